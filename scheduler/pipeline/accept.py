"""Accepts what sources hand us: a new record, an amendment of a held one, or a correction of a released one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from scheduler import embargo
from scheduler.embargo import Kind, Lift, Reading
from scheduler.errors import EmbargoRefused, FileRefused, MoveRefused, RenderRefused
from scheduler.intake import attachments as files
from scheduler.record import (
    Attachment,
    Brief,
    Content,
    Decided,
    Draft,
    Enclosed,
    PastOnArrival,
    Release,
    Standing,
    State,
    Verdict,
    check,
    instants,
)
from scheduler.render.text import content
from scheduler.render.withheld import found
from scheduler.store import Store, attachments, moves, records

_TRIES = 5
_SAMPLE = "00000000-0000-4000-8000-000000000000"

Rehearsal = Callable[[Release], None]
"""Renders every output of a release and throws it away; raises :class:`RenderRefused`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the office has decided about what comes in: zone and language where a brief names none, its lists, late briefs."""

    zone: str
    language: str
    domain: str
    past_on_arrival: PastOnArrival
    lists: tuple[str, ...]
    default_lists: tuple[str, ...]


class Outcome(StrEnum):
    """What became of a brief."""

    ACCEPTED = "accepted"
    AMENDED = "amended"
    CORRECTED = "corrected"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A draft, and how the embargo in its metadata (``None``: there is none) and in its text was understood."""

    draft: Draft
    stated: Reading | None
    text: Reading


def judge(brief: Brief, *, policy: Policy, rehearse: Rehearsal, now: datetime) -> Judged:
    """Tries all that can fail and decides; stores nothing. Raises :class:`FileRefused`."""
    _lists_known(brief, policy)
    _attachments_there(brief)
    stated = None
    if brief.embargo is not None:
        try:
            stated = embargo.stated(brief.embargo.words, zone=brief.embargo.zone, default_zone=policy.zone)
        except EmbargoRefused as error:
            raise FileRefused(
                file=brief.origin, line=brief.embargo.line, problem=error.problem, remedy=error.remedy
            ) from error
        if brief.embargo.zone:  # a part of what the source said: an edit of it is an edit of the embargo
            stated = replace(stated, words=f"{stated.words} {brief.embargo.zone}")
    text = _read(brief, stated, zone=policy.zone, now=now)
    ready = content(brief)
    verdict = check(
        stated=stated,
        text=text,
        now=now,
        past_on_arrival=policy.past_on_arrival,
        doubt=brief.doubt or _only_around(brief, stated, text, zone=policy.zone, now=now),
        unfit=_unfit(brief, ready),
    )
    draft = Draft(
        brief=brief, content=ready, verdict=verdict, zone=policy.zone, language=policy.language, domain=policy.domain
    )
    try:
        rehearse(as_release(draft, now=now))
    except RenderRefused as error:
        raise FileRefused(
            file=brief.origin, problem=f"It can't be shown as {error.output}.", remedy=error.problem
        ) from error
    return Judged(draft=draft, stated=stated, text=text)


def _read(brief: Brief, stated: Reading | None, *, zone: str, now: datetime) -> Reading:
    """What a brief's text says; what the text leaves open, the metadata settles where it can mean what they say."""
    # A title can carry the statement too ("EMBARGOED UNTIL …: Rates unchanged").
    words = f"{brief.body}\n\n{brief.title}" + (f"\n\n{brief.notes}" if brief.notes else "")
    text = embargo.read(words, default_zone=zone, issued=brief.issued, seen=brief.seen, now=now)
    if stated is None or stated.lift is None or not instants(text) or _means(text, stated.lift):
        return text
    place = stated.lift.zone
    # A zone with a place in it is one whose clocks the text may mean; an offset or UTC may as well be a machine's slip.
    keys = [zone, place] if "/" in place and not place.startswith("Etc/") else [zone]
    near = (embargo.read(words, default_zone=key, issued=brief.issued, now=stated.lift.at) for key in keys)
    return next((reading for reading in near if _means(reading, stated.lift)), text)


def _only_around(brief: Brief, stated: Reading | None, text: Reading, *, zone: str, now: datetime) -> str | None:
    """A doubt where what stands around a text decides what neither its metadata nor it says: it may speak of another text."""
    if stated is not None or not brief.notes:
        return None
    own = _read(replace(brief, notes=""), None, zone=zone, now=now)
    if (own.kind, own.lift) == (text.kind, text.lift):
        return None
    words = " ".join(text.words.split())
    return f"What stands around the text speaks of an embargo that the text itself does not state: “{words}”. Confirm a time."


def _means(text: Reading, lift: Lift) -> bool:
    return any(meant.at == lift.at for meant in instants(text))


def _lists_known(brief: Brief, policy: Policy) -> None:
    unknown = [name for name in brief.lists or () if name not in policy.lists]
    if unknown:
        known = ", ".join(policy.lists) or "none is configured"
        raise FileRefused(
            file=brief.origin, problem=f"There is no mail list '{unknown[0]}'.", remedy=f"Known lists: {known}."
        )


def _attachments_there(brief: Brief) -> None:
    for number, each in enumerate(brief.enclosed, 1):
        if not each.attachment.digest:
            raise FileRefused(
                file=brief.origin,
                line=each.line,
                problem=f"Attachment {number} is not there, or can't be read.",
                remedy="Put the file there (its path starts from the record's own folder), or take it out of `attachments`.",
            )


def complete(store: Store, standing: Standing | None, brief: Brief) -> Brief:
    """`brief` with what the store keeps of the record's attachments in place of those whose files are gone.

    Silence is not a command: a file that disappears after it was taken in changes nothing.
    """
    if standing is None or all(each.attachment.digest for each in brief.enclosed):
        return brief
    [release] = records.releases(store, [standing.id])
    kept = {attachment.name: attachment for attachment in release.attachments}

    def filled(each: Enclosed) -> Enclosed:
        old = kept.get(each.attachment.name)
        if each.attachment.digest or old is None:
            return each
        return replace(each, attachment=replace(each.attachment, size=old.size, digest=old.digest))

    return replace(brief, enclosed=tuple(map(filled, brief.enclosed)))


def _said(attachment: Attachment) -> str:
    return "\n".join(filter(None, (attachment.name, attachment.alt, attachment.title)))


def _unfit(brief: Brief, ready: Content) -> str | None:
    fields = {
        "title": brief.title,
        "summary": ready.summary,
        "body": ready.text,
        "markup of the body": ready.html,
        "attribution": brief.attribution or "",
        "contact": brief.contact or "",
        "source": brief.source or "",
        "topics": "\n".join(brief.topics),
        "id": brief.id,
        "correction": brief.correction or "",
        "attachments": "\n".join(_said(each.attachment) for each in brief.enclosed),
        "speakers": "\n".join([brief.moderator or "", *brief.speakers]),
        "questions": "\n".join(f"{question.asker}\n{question.outlet}" for question in brief.questions),
    }
    finding = found(brief.withhold, fields)
    return None if finding is None else f"It holds {finding}. Take that name out of the text, or out of `withhold`."


def as_release(draft: Draft, *, now: datetime) -> Release:
    """A draft as outputs would show it, at its lift, at the likeliest time it might lift, or `now`."""
    brief, ready = draft.brief, draft.content
    lift = draft.verdict.lift or next(iter(draft.verdict.candidates), None)
    at = lift.at if lift else now
    return Release(
        id=brief.id,
        uuid=_SAMPLE,
        tag=f"tag:{draft.domain},{now.year}:{_SAMPLE}",
        revision=1,
        title=brief.title,
        summary=ready.summary,
        html=ready.html,
        text=ready.text,
        published_at=at,
        updated_at=at,
        zone=lift.zone if lift else draft.zone,
        language=brief.language or draft.language,
        topics=brief.topics,
        attribution=brief.attribution,
        contact=brief.contact,
        source=brief.source,
        moderator=brief.moderator,
        speakers=brief.speakers,
        questions=brief.questions,
        correction=brief.correction,
        attachments=tuple(each.attachment for each in brief.enclosed),
    )


def accept(
    store: Store, brief: Brief, *, policy: Policy, rehearse: Rehearsal, now: datetime, actor: str
) -> tuple[Outcome, Standing]:
    """Takes a brief in, with the bytes of its attachments. Raises :class:`FileRefused`; then nothing is changed, and `refuse`
    writes it down.

    Raises :class:`MoveRefused` where others move the record faster than this can be decided, and another
    :class:`EmbargoError` where an attachment changes meanwhile.
    """
    for _ in range(_TRIES):
        standing = records.find(store, brief.id) or _renamed(store, brief)
        whole = complete(store, standing, brief)
        try:
            outcome = _accept(store, standing, whole, policy=policy, rehearse=rehearse, now=now, actor=actor)
        except moves.Raced:
            continue
        known = standing.id if standing is not None and outcome is Outcome.UNCHANGED else brief.id
        return outcome, records.get(store, known)
    raise MoveRefused(
        brief.id, "it is being changed by others this very moment, so the file was not taken in. Try again."
    )


def _accept(
    store: Store,
    standing: Standing | None,
    brief: Brief,
    *,
    policy: Policy,
    rehearse: Rehearsal,
    now: datetime,
    actor: str,
) -> Outcome:
    if standing is not None:
        _same_source(standing, brief)
        digest = brief.whole_digest
        if standing.digest == standing.accepted_digest == digest:
            moves.seen_again(store, standing=standing, origin=brief.origin, digest=digest, now=now, actor=actor)
            return Outcome.UNCHANGED
        if standing.state in {State.WITHDRAWN, State.RETRACTED}:
            raise FileRefused(
                file=brief.origin,
                problem=f"The record '{brief.id}' was {standing.state}.",
                remedy="To release this text after all, give the file another `id:`.",
            )
    draft = judge(brief, policy=policy, rehearse=rehearse, now=now).draft
    if standing is None:
        _keep(store, brief, now=now)
        moves.insert_new(store, draft, now=now, actor=actor)
        return Outcome.ACCEPTED
    if standing.state is State.RELEASED:
        return _correct(store, standing, draft, policy=policy, now=now, actor=actor)
    verdict, keep = _decided_by_command(standing, draft.verdict)
    _keep(store, brief, now=now)
    moves.amend(store, replace(draft, verdict=verdict), standing=standing, keep_lift=keep, now=now, actor=actor)
    return Outcome.AMENDED


def _keep(store: Store, brief: Brief, *, now: datetime) -> None:
    """The bytes go into the store before the revision that refers to them."""
    for each in brief.enclosed:
        if not attachments.keep(store, digest=each.attachment.digest, chunks=files.chunks(each), now=now):
            raise files.changed()


def _renamed(store: Store, brief: Brief) -> Standing | None:
    """The record of the same bytes whose file is gone: this is that file under another name, not the text a second time."""
    for standing in records.of_digest(store, brief.whole_digest):
        same = standing.origin == brief.origin or not Path(standing.origin).exists()
        if same and standing.accepted_digest == brief.whole_digest:
            return standing
    return None


def _same_source(standing: Standing, brief: Brief) -> None:
    """An id belongs to one file. Where that file is gone, another with the same id is the same file under a new name."""
    if standing.origin != brief.origin and Path(standing.origin).exists():
        raise FileRefused(
            file=brief.origin,
            problem="Its id belongs to the record of another file.",
            remedy="Give this file another `id:`; `embargo queue --all --json` names the other file.",
        )


def _decided_by_command(standing: Standing, verdict: Verdict) -> tuple[Verdict, bool]:
    """What a person decided about the time stands until the embargo in the file itself is edited."""
    if standing.settled_by is None or standing.words != verdict.words:
        return verdict, False
    lift = None if standing.lift_at is None else embargo.lift_in(standing.zone, standing.lift_at)
    state = State.ATTENTION if verdict.unfit else State.HELD
    return replace(verdict, state=state, reason=verdict.unfit, lift=lift), True


def _another(standing: Standing, verdict: Verdict, now: datetime) -> bool:
    """Whether the file of a released record states an embargo that it did not state before and that may not be over.

    Then it is no correction but, most likely, the next text under an old name: readers would have it at once.
    """
    # What words of running text may mean moves on with the year; if they are the old ones, so is the embargo.
    edited = verdict.words != standing.words or verdict.decided is Decided.METADATA
    ahead = edited and any(lift.at > now and lift not in standing.candidates for lift in verdict.candidates)
    unclear = verdict.kind in {Kind.EVENT, Kind.AMBIGUOUS} or (verdict.kind, verdict.state) == (
        Kind.IMMEDIATE,
        State.ATTENTION,
    )
    return ahead or (unclear and verdict.words != standing.words)


def _correct(store: Store, standing: Standing, draft: Draft, *, policy: Policy, now: datetime, actor: str) -> Outcome:
    brief = draft.brief
    if draft.verdict.unfit:
        raise FileRefused(
            file=brief.origin,
            problem="The record has been released, and this correction can't be.",
            remedy=draft.verdict.unfit,
        )
    if _another(standing, draft.verdict, now):
        raise FileRefused(
            file=brief.origin,
            line=brief.embargo.line if brief.embargo else None,
            problem=f"The record '{brief.id}' has been released, and this file says that it is not to go out now.",
            remedy="If it is another text, give it another `id:`; if it is a correction, take the new embargo out.",
        )
    [old] = records.releases(store, [standing.id])
    draft = replace(draft, zone=old.zone, verdict=replace(draft.verdict, lift=None))
    new = replace(
        as_release(draft, now=now),
        uuid=old.uuid,
        tag=old.tag,
        revision=old.revision,
        published_at=old.published_at,
        updated_at=old.updated_at,
        zone=old.zone,
    )
    if new == old:
        digest = brief.whole_digest
        moves.seen_again(store, standing=standing, origin=brief.origin, digest=digest, now=now, actor=actor)
        return Outcome.UNCHANGED
    _keep(store, brief, now=now)
    moves.correct(store, draft, standing=standing, now=now, actor=actor, default_lists=policy.default_lists)
    return Outcome.CORRECTED


def refuse(store: Store, refusal: FileRefused, *, origin: str, digest: str, now: datetime, actor: str) -> bool:
    """Writes a refusal down. Gives whether it is news: each content of a file is reported once.

    `digest` is empty where the file could not be read at all; then a record held from it stays as it is.
    """
    return moves.refuse(
        store,
        origin=origin,
        digest=digest or f"unread: {refusal.problem}",
        refusal=refusal,
        readable=bool(digest),
        now=now,
        actor=actor,
    )
