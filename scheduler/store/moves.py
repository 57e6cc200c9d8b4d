"""Every move of a record: one guarded statement each, with its row on the trail in the same transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.embargo import Kind, Lift, tz_version
from scheduler.errors import FileRefused, MoveRefused, NotFound
from scheduler.record import Brief, Draft, Purpose, Standing, State, Verdict
from scheduler.store import ledger
from scheduler.store.engine import Store
from scheduler.store.records import CURRENT, lift_json
from scheduler.store.schema import mailings, records, refusals, revisions
from scheduler.store.trail import Entry, append

_FIELDS = ("topics", "attribution", "contact", "source", "moderator", "speakers", "correction")


class Raced(Exception):
    """Another process moved the record between our look and our move."""


def _revision_row(draft: Draft, *, number: int, now: datetime) -> dict[str, Any]:
    brief, verdict = draft.brief, draft.verdict
    fields = {name: getattr(brief, name) for name in _FIELDS}
    fields["questions"] = [asdict(question) for question in brief.questions]
    fields["language"] = brief.language or draft.language
    lift = verdict.lift
    return {
        "record_id": brief.id,
        "number": number,
        "digest": brief.digest,
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


def _entry(event: str, record_id: str, revision: int, **detail: str | int | datetime | None) -> Entry:
    plain = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in detail.items()}
    return Entry(event=event, record_id=record_id, revision=revision, detail=plain)


def _verdict_entry(event: str, brief: Brief, verdict: Verdict, revision: int) -> Entry:
    lift = verdict.lift
    return _entry(
        event,
        brief.id,
        revision,
        digest=brief.digest,
        lift_at=None if lift is None else lift.at,
        local=None if lift is None else lift.local.isoformat(),
        reason=verdict.reason,
        state=verdict.state,
        tz_version=tz_version(),
        words=verdict.words,
        zone=None if lift is None else lift.zone,
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
                    digest=brief.digest,
                    state=verdict.state,
                    revision=1,
                    lift_at=None if verdict.lift is None else verdict.lift.at,
                    reason=verdict.reason,
                    lists=_lists(brief),
                    accepted_at=now,
                )
            )
            db.execute(insert(revisions).values(_revision_row(draft, number=1, now=now)))
            _accepted(db, brief.origin)
            append(db, at=now, actor=actor, entries=[_verdict_entry("accepted", brief, verdict, 1)])
    except IntegrityError as error:
        raise Raced from error


def _accepted(db: Connection, origin: str) -> None:
    db.execute(refusals.delete().where(refusals.c.origin == origin))


def amend(store: Store, draft: Draft, *, standing: Standing, keep_lift: bool, now: datetime, actor: str) -> None:
    """A new revision of a record that is still held or in attention supersedes the old one.

    With `keep_lift` the lift a person decided by command stands. Raises :class:`Raced` where the record has moved.
    """
    brief, verdict = draft.brief, draft.verdict
    number = standing.revision + 1
    changes: dict[str, Any] = {
        "revision": number,
        "digest": brief.digest,
        "origin": brief.origin,
        "lists": _lists(brief),
        "vanished": 0,
        "state": verdict.state,
        "reason": verdict.reason,
    }
    if not keep_lift:
        changes |= {"lift_at": None if verdict.lift is None else verdict.lift.at, "settled_by": None}
    with store.write() as db:
        db.execute(insert(revisions).values(_revision_row(draft, number=number, now=now)))
        _move(db, standing, changes, from_states=(State.HELD, State.ATTENTION))
        _accepted(db, brief.origin)
        append(db, at=now, actor=actor, entries=[_verdict_entry("amended", brief, verdict, number)])


def correct(
    store: Store, draft: Draft, *, standing: Standing, now: datetime, actor: str, default_lists: Sequence[str]
) -> None:
    """A new revision of a released record: same id, same lift, its lists are owed a correction."""
    brief = draft.brief
    number = standing.revision + 1
    with store.write() as db:
        db.execute(insert(revisions).values(_revision_row(draft, number=number, now=now)))
        _move(
            db,
            standing,
            {"revision": number, "digest": brief.digest, "origin": brief.origin, "vanished": 0, "changed_at": now},
            from_states=(State.RELEASED,),
        )
        _accepted(db, brief.origin)
        ledger.overtake(db, record_id=standing.id, revision=number, now=now)
        _owe(db, [(standing.id, number, standing.lists)], Purpose.CORRECTION, now, default_lists)
        append(
            db,
            at=now,
            actor=actor,
            entries=[_entry("corrected", standing.id, number, digest=brief.digest, note=brief.correction)],
        )


def _move(db: Connection, standing: Standing, changes: dict[str, Any], *, from_states: Sequence[State]) -> None:
    moved = db.execute(
        update(records)
        .where(records.c.id == standing.id, records.c.state.in_(from_states), records.c.revision == standing.revision)
        .values(**changes)
        .returning(records.c.id)
    ).one_or_none()
    if moved is None:
        raise Raced


def seen_again(store: Store, *, standing: Standing, origin: str, digest: str) -> None:
    """Notes that the file was read and says nothing new: it is there, under this name, with these bytes."""
    if standing.origin == origin and standing.digest == digest and not standing.vanished:
        with store.read() as db:
            if db.execute(select(refusals.c.origin).where(refusals.c.origin == origin)).scalar() is None:
                return
    with store.write() as db:
        db.execute(update(records).where(records.c.id == standing.id).values(origin=origin, digest=digest, vanished=0))
        _accepted(db, origin)


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
        db.execute(refusals.delete().where(refusals.c.origin == origin))
        append(
            db, at=now, actor=actor, entries=[_entry("vanished", row.id, row.revision, origin=origin) for row in moved]
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
        _accepted(db, origin)
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
            .values(state=State.ATTENTION, reason=reason, digest=digest)
            .returning(records.c.id, records.c.revision)
        ).all()
        entries = [_entry("attention", row.id, row.revision, reason=reason) for row in held]
        detail = {"digest": digest, "origin": origin, "line": refusal.line, "problem": refusal.problem}
        append(db, at=now, actor=actor, entries=[Entry(event="refused", detail=detail), *entries])
    return True


# --- moves of a person


_NOW = {
    State.ATTENTION: "is in attention",
    State.HELD: "is held",
    State.RELEASED: "was released",
    State.WITHDRAWN: "was withdrawn",
    State.RETRACTED: "was retracted",
}


def _too_late(db: Connection, record_id: str, act: str, hint: str = "") -> MoveRefused | NotFound:
    row = db.execute(select(records.c.state, records.c.released_at).where(records.c.id == record_id)).one_or_none()
    if row is None:
        return NotFound(record_id)
    stamp = f" at {row.released_at:%Y-%m-%d %H:%M:%S} UTC" if row.released_at else ""
    return MoveRefused(record_id, f"it {_NOW[State(row.state)]}{stamp} and can't be {act}.{hint}")


def settle(
    store: Store,
    *,
    record_id: str,
    lift: Lift | None,
    kind: Kind,
    words: str,
    from_states: Sequence[State],
    event: str,
    reason: str | None,
    now: datetime,
    actor: str,
) -> None:
    """A person decides when: the record is held until `lift` (``None``: until a person lifts it)."""
    with store.write() as db:
        unfit = select(revisions.c.unfit).where(CURRENT).scalar_subquery()
        moved = db.execute(
            update(records)
            .where(records.c.id == record_id, records.c.state.in_(from_states), unfit.is_(None))
            .values(state=State.HELD, reason=None, lift_at=None if lift is None else lift.at, settled_by=actor)
            .returning(records.c.id, records.c.revision)
        ).one_or_none()
        if moved is None:
            blocked = db.execute(
                select(revisions.c.unfit).join(records, CURRENT).where(records.c.id == record_id)
            ).scalar()
            if blocked:
                raise MoveRefused(record_id, f"no time can be settled for it yet. {blocked}")
            act = "confirmed" if event == "confirmed" else "amended"
            raise _too_late(db, record_id, act)
        if lift is not None:
            db.execute(
                update(revisions)
                .where(revisions.c.record_id == record_id, revisions.c.number == moved.revision)
                .values(lift_local=lift.local.isoformat(), lift_zone=lift.zone, tz_version=tz_version())
            )
        entry = _entry(
            event,
            record_id,
            moved.revision,
            kind=kind,
            lift_at=None if lift is None else lift.at,
            local=None if lift is None else lift.local.isoformat(),
            reason=reason,
            tz_version=tz_version(),
            words=words,
            zone=None if lift is None else lift.zone,
        )
        append(db, at=now, actor=actor, entries=[entry])


def withdraw(store: Store, *, record_id: str, reason: str, now: datetime, actor: str) -> None:
    """Takes a record back before its lift, for good."""
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.id == record_id, records.c.state.in_([State.HELD, State.ATTENTION]))
            .values(state=State.WITHDRAWN, reason=None)
            .returning(records.c.revision)
        ).one_or_none()
        if moved is None:
            raise _too_late(db, record_id, "withdrawn", " A released record can be retracted: `embargo retract`.")
        append(db, at=now, actor=actor, entries=[_entry("withdrawn", record_id, moved.revision, reason=reason)])


def retract(
    store: Store, *, record_id: str, reason: str, now: datetime, actor: str, default_lists: Sequence[str]
) -> None:
    """Takes a released record back: readers see `reason` in its place, and its lists are owed a notice."""
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.id == record_id, records.c.state == State.RELEASED)
            .values(state=State.RETRACTED, retraction=reason, changed_at=now)
            .returning(records.c.revision, records.c.lists)
        ).one_or_none()
        if moved is None:
            raise _too_late(db, record_id, "retracted", " Before its lift a record is withdrawn: `embargo withdraw`.")
        ledger.call_off(db, record_id=record_id, now=now)
        _owe(db, [(record_id, moved.revision, _decoded(moved.lists))], Purpose.RETRACTION, now, default_lists)
        append(db, at=now, actor=actor, entries=[_entry("retracted", record_id, moved.revision, reason=reason)])


def lift_by_hand(
    store: Store, *, record_id: str, reason: str, now: datetime, actor: str, default_lists: Sequence[str]
) -> None:
    """A person lifts a held record now, whatever it waits for."""
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.id == record_id, records.c.state == State.HELD)
            .values(state=State.RELEASED, lift_at=now, released_at=now, settled_by=actor)
            .returning(records.c.revision, records.c.lists)
        ).one_or_none()
        if moved is None:
            raise _too_late(db, record_id, "lifted", " A record in attention is confirmed first: `embargo confirm`.")
        _owe(db, [(record_id, moved.revision, _decoded(moved.lists))], Purpose.RELEASE, now, default_lists)
        entry = _entry("released", record_id, moved.revision, by="hand", lift_at=now, reason=reason)
        append(db, at=now, actor=actor, entries=[entry])


# --- the lift


def _decoded(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(json.loads(value))


def _owe(
    db: Connection,
    moved: Iterable[tuple[str, int, tuple[str, ...] | None]],
    purpose: Purpose,
    now: datetime,
    default_lists: Sequence[str],
) -> None:
    owed = [
        {"record_id": record_id, "revision": revision, "purpose": purpose, "list": name, "owed_at": now}
        for record_id, revision, lists in moved
        for name in (default_lists if lists is None else lists)
    ]
    if owed:
        db.execute(insert(mailings), owed)


class Lifted(NamedTuple):
    """A record that was released: when it was to lift, and when it did."""

    id: str
    uuid: str
    lift_at: datetime
    released_at: datetime


def release_due(store: Store, *, now: datetime, actor: str, default_lists: Sequence[str]) -> list[Lifted]:
    """The lift: every held record whose lift is not after `now` is released, in one transaction with what it owes.

    Harmless at any time and any number of times.
    """
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.state == State.HELD, records.c.lift_at <= now)
            .values(state=State.RELEASED, released_at=now)
            .returning(records.c.id, records.c.uuid, records.c.revision, records.c.lists, records.c.lift_at)
        ).all()
        if moved:
            _owe(
                db, [(row.id, row.revision, _decoded(row.lists)) for row in moved], Purpose.RELEASE, now, default_lists
            )
            entries = [_entry("released", row.id, row.revision, by="lift", lift_at=row.lift_at) for row in moved]
            append(db, at=now, actor=actor, entries=entries)
    return [Lifted(row.id, row.uuid, row.lift_at, now) for row in moved]


def hold_overdue(store: Store, *, now: datetime, actor: str) -> list[str]:
    """For the policy `overdue: hold`: what fell due while the service was down goes to attention."""
    reason = (
        f"It fell due while the service was down, found at {now:%Y-%m-%d %H:%M:%S} UTC. Confirm it to release at once."
    )
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.state == State.HELD, records.c.lift_at <= now)
            .values(state=State.ATTENTION, reason=reason, settled_by=None)
            .returning(records.c.id, records.c.revision, records.c.lift_at)
        ).all()
        entries = [_entry("attention", row.id, row.revision, lift_at=row.lift_at, reason=reason) for row in moved]
        append(db, at=now, actor=actor, entries=entries)
    return [row.id for row in moved]
