"""Moves that a record's file brings about."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.embargo import tz_version
from scheduler.errors import FileRefused
from scheduler.record import Brief, Draft, Purpose, Standing, State, Verdict
from scheduler.store import ledger
from scheduler.store.engine import Store
from scheduler.store.moves.owed import Raced, entry, owe
from scheduler.store.records import lift_json
from scheduler.store.schema import records, refusals, revision_attachments, revisions
from scheduler.store.trail import Entry, append

_FIELDS = ("topics", "attribution", "contact", "source", "moderator", "speakers", "correction")


def _revision_row(draft: Draft, *, number: int, now: datetime) -> dict[str, Any]:
    brief, verdict = draft.brief, draft.verdict
    fields = {name: getattr(brief, name) for name in _FIELDS}
    fields["attachments"] = [asdict(each.attachment) for each in brief.enclosed]
    fields["questions"] = [asdict(question) for question in brief.questions]
    fields["language"] = brief.language or draft.language
    lift = verdict.lift
    return {
        "record_id": brief.id,
        "number": number,
        "digest": brief.whole_digest,
        "accepted_at": now,
        "embargo_kind": verdict.kind,
        "embargo_words": verdict.words,
        "embargo_source": verdict.decided,
        "lift_local": None if lift is None else lift.local.isoformat(),
        "lift_zone": draft.zone if lift is None else lift.zone,
        "tz_version": tz_version(),
        "candidates": json.dumps([lift_json(candidate) for candidate in verdict.candidates]),
        "unfit": verdict.unfit,
        "fields": json.dumps(fields, ensure_ascii=False),
        "title": brief.title,
        "summary": draft.content.summary,
        "text": draft.content.text,
        "html": draft.content.html,
    }


def _insert_revision(db: Connection, draft: Draft, *, number: int, now: datetime) -> None:
    db.execute(insert(revisions).values(_revision_row(draft, number=number, now=now)))
    if digests := draft.brief.attached:
        of = {"record_id": draft.brief.id, "revision": number}
        db.execute(insert(revision_attachments), [{**of, "digest": digest} for digest in digests])


def _attached(brief: Brief) -> dict[str, str]:
    """Which bytes are decided about, for the trail; nothing where there are none."""
    return {"attachments": " ".join(brief.attached)} if brief.enclosed else {}


def _verdict_entry(event: str, brief: Brief, verdict: Verdict, revision: int, settled_by: str | None = None) -> Entry:
    lift = verdict.lift
    return entry(
        event,
        brief.id,
        revision,
        candidates=" ".join(candidate.at.isoformat() for candidate in verdict.candidates),
        decided=verdict.decided,
        digest=brief.whole_digest,
        kind=verdict.kind,
        lift_at=None if lift is None else lift.at,
        local=None if lift is None else lift.local.isoformat(),
        origin=brief.origin,
        reason=verdict.reason,
        settled_by=settled_by,
        state=verdict.state,
        tz_version=tz_version(),
        unfit=verdict.unfit,
        words=verdict.words,
        zone=None if lift is None else lift.zone,
        **_attached(brief),
    )


def _lists(brief: Brief) -> str | None:
    return None if brief.lists is None else json.dumps(brief.lists)


def insert_new(store: Store, draft: Draft, *, now: datetime, actor: str) -> None:
    """Accepts a brief as a new record. Raises :class:`Raced` where the id has been taken meanwhile."""
    brief, verdict = draft.brief, draft.verdict
    try:
        with store.write() as db:
            db.execute(
                insert(records).values(
                    id=brief.id,
                    uuid=(name := str(uuid.uuid4())),
                    tag=f"tag:{draft.domain},{now.year}:{name}",
                    origin=brief.origin,
                    digest=brief.whole_digest,
                    state=verdict.state,
                    revision=1,
                    lift_at=None if verdict.lift is None else verdict.lift.at,
                    reason=verdict.reason,
                    lists=_lists(brief),
                    accepted_at=now,
                )
            )
            _insert_revision(db, draft, number=1, now=now)
            append(db, at=now, actor=actor, entries=[_verdict_entry("accepted", brief, verdict, 1)])
            _accepted(db, brief, now=now, actor=actor)
    except IntegrityError as error:
        raise Raced from error


def _accepted(db: Connection, brief: Brief, *, now: datetime, actor: str) -> None:
    """The file stands accepted. What it held before under another id would go out beside it, so a person is asked."""
    _not_refused(db, brief.origin)
    reason = f"Its file now holds the record '{brief.id}' instead. Withdraw this one, or confirm it to release it too."
    replaced = db.execute(
        update(records)
        .where(
            records.c.origin == brief.origin,
            records.c.id != brief.id,
            records.c.vanished == 0,
            records.c.state.in_([State.HELD, State.ATTENTION]),
        )
        .values(state=State.ATTENTION, reason=reason, vanished=1)
        .returning(records.c.id, records.c.revision)
    ).all()
    entries = [entry("attention", row.id, row.revision, reason=reason) for row in replaced]
    append(db, at=now, actor=actor, entries=entries)


def _not_refused(db: Connection, origin: str) -> None:
    db.execute(refusals.delete().where(refusals.c.origin == origin))


def amend(store: Store, draft: Draft, *, standing: Standing, keep_lift: bool, now: datetime, actor: str) -> None:
    """A new revision of a record that is still held or in attention supersedes the old one.

    With `keep_lift` the lift a person decided by command stands. Raises :class:`Raced` where the record has moved.
    """
    brief, verdict = draft.brief, draft.verdict
    number = standing.revision + 1
    changes: dict[str, Any] = {
        "revision": number,
        "digest": brief.whole_digest,
        "origin": brief.origin,
        "lists": _lists(brief),
        "vanished": 0,
        "state": verdict.state,
        "reason": verdict.reason,
    }
    if not keep_lift:
        changes |= {"lift_at": None if verdict.lift is None else verdict.lift.at, "settled_by": None}
    with store.write() as db:
        _move(db, standing, changes, from_states=(State.HELD, State.ATTENTION))
        _insert_revision(db, draft, number=number, now=now)
        settled_by = standing.settled_by if keep_lift else None
        amended = _verdict_entry("amended", brief, verdict, number, settled_by=settled_by)
        append(db, at=now, actor=actor, entries=[amended])
        _accepted(db, brief, now=now, actor=actor)


def correct(
    store: Store, draft: Draft, *, standing: Standing, now: datetime, actor: str, default_lists: Sequence[str]
) -> None:
    """A new revision of a released record: same id, same lift, its lists are owed a correction."""
    brief = draft.brief
    number = standing.revision + 1
    with store.write() as db:
        _move(
            db,
            standing,
            {
                "revision": number,
                "digest": brief.whole_digest,
                "origin": brief.origin,
                "vanished": 0,
                "changed_at": now,
            },
            from_states=(State.RELEASED,),
        )
        _insert_revision(db, draft, number=number, now=now)
        ledger.overtake(db, record_id=standing.id, revision=number, now=now)
        owe(db, [(standing.id, number, standing.lists)], Purpose.CORRECTION, now, default_lists)
        detail = {"digest": brief.whole_digest, "note": brief.correction, **_attached(brief)}
        append(db, at=now, actor=actor, entries=[entry("corrected", standing.id, number, **detail)])
        _accepted(db, brief, now=now, actor=actor)


def _move(db: Connection, standing: Standing, changes: dict[str, Any], *, from_states: Sequence[State]) -> None:
    """Moves a record that still stands as it was looked at, in text and in time: a person may have decided meanwhile."""
    moved = db.execute(
        update(records)
        .where(
            records.c.id == standing.id,
            records.c.state.in_(from_states),
            records.c.revision == standing.revision,
            records.c.lift_at.is_not_distinct_from(standing.lift_at),
            records.c.settled_by.is_not_distinct_from(standing.settled_by),
        )
        .values(**changes)
        .returning(records.c.id)
    ).one_or_none()
    if moved is None:
        raise Raced


def seen_again(store: Store, *, standing: Standing, origin: str, digest: str, now: datetime, actor: str) -> None:
    """Notes that the file was read and says nothing new: it is there, under this name, with these bytes."""
    if standing.origin == origin and standing.digest == digest and not standing.vanished:
        with store.read() as db:
            if db.execute(select(refusals.c.origin).where(refusals.c.origin == origin)).scalar() is None:
                return
    with store.write() as db:
        db.execute(update(records).where(records.c.id == standing.id).values(origin=origin, digest=digest, vanished=0))
        _not_refused(db, origin)
        seen = entry("seen_again", standing.id, standing.revision, digest=digest, origin=origin)
        append(db, at=now, actor=actor, entries=[seen])


def vanish(store: Store, *, origin: str, now: datetime, actor: str) -> list[str]:
    """Notes that a file disappeared, which changes nothing else. Gives the uuids of its records."""
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(
                records.c.origin == origin, records.c.vanished == 0, records.c.state.in_([State.HELD, State.ATTENTION])
            )
            .values(vanished=1)
            .returning(records.c.id, records.c.uuid, records.c.revision)
        ).all()
        _not_refused(db, origin)
        append(
            db, at=now, actor=actor, entries=[entry("vanished", row.id, row.revision, origin=origin) for row in moved]
        )
    return [row.uuid for row in moved]


def refuse(
    store: Store, *, origin: str, digest: str, refusal: FileRefused, readable: bool, now: datetime, actor: str
) -> bool:
    """Writes a refusal down, once per content. Gives whether it is news.

    A record held from a file that was read and refused goes to attention: somebody meant to change it, and how is unknown.
    """
    with store.write() as db:
        known = db.execute(select(refusals.c.digest).where(refusals.c.origin == origin)).scalar()
        if known == digest:
            return False
        _not_refused(db, origin)
        db.execute(
            insert(refusals).values(
                origin=origin,
                digest=digest,
                line=refusal.line,
                problem=refusal.problem,
                remedy=refusal.remedy,
                refused_at=now,
            )
        )
        reason = f"Its file was changed and can't be read: {refusal.problem} {refusal.remedy}"
        held = db.execute(
            update(records)
            .where(literal(readable), records.c.origin == origin, records.c.state.in_([State.HELD, State.ATTENTION]))
            .values(state=State.ATTENTION, reason=reason, digest=digest, vanished=0)
            .returning(records.c.id, records.c.revision)
        ).all()
        entries = [entry("attention", row.id, row.revision, reason=reason) for row in held]
        detail = {"digest": digest, "origin": origin, "line": refusal.line, "problem": refusal.problem}
        append(db, at=now, actor=actor, entries=[Entry(event="refused", detail=detail), *entries])
    return True
