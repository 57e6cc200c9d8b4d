"""Moves that a person decides upon by command."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from scheduler.embargo import Kind, Lift, tz_version
from scheduler.errors import MoveRefused, NotFound
from scheduler.record import Purpose, State
from scheduler.store import ledger
from scheduler.store.engine import Store
from scheduler.store.moves.owed import decoded, entry, owe
from scheduler.store.postgres import earlier
from scheduler.store.records import CURRENT
from scheduler.store.schema import records, revisions
from scheduler.store.trail import append

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


def _unsettled(db: Connection, record_id: str, act: str, from_states: Sequence[State]) -> MoveRefused | NotFound:
    now = db.execute(
        select(records.c.state, revisions.c.unfit).join(revisions, CURRENT).where(records.c.id == record_id)
    ).one_or_none()
    if now is None or now.state not in from_states:
        hint = f" `embargo amend {record_id} WHEN` gives it another time." if now and now.state == State.HELD else ""
        return _too_late(db, record_id, act, hint)
    if now.unfit:
        return MoveRefused(record_id, f"no time can be settled for it yet. {now.unfit}")
    return MoveRefused(record_id, f"its file was edited this moment. Look at it again: `embargo show {record_id}`.")


def settle(
    store: Store,
    *,
    record_id: str,
    revision: int,
    lift: Lift | None,
    kind: Kind,
    words: str,
    from_states: Sequence[State],
    event: str,
    reason: str | None,
    now: datetime,
    actor: str,
) -> None:
    """A person who looked at `revision` decides when: it is held until `lift` (``None``: until a person lifts it)."""
    with store.write() as db:
        unfit = select(revisions.c.unfit).where(CURRENT).scalar_subquery()
        moved = db.execute(
            update(records)
            .where(
                records.c.id == record_id,
                records.c.revision == revision,
                records.c.state.in_(from_states),
                unfit.is_(None),
            )
            .values(state=State.HELD, reason=None, lift_at=None if lift is None else lift.at, settled_by=actor)
            .returning(records.c.id, records.c.revision)
        ).one_or_none()
        if moved is None:
            act = "confirmed" if event == "confirmed" else "amended"
            raise _unsettled(db, record_id, act, from_states)
        if lift is not None:
            db.execute(
                update(revisions)
                .where(revisions.c.record_id == record_id, revisions.c.number == moved.revision)
                .values(lift_local=lift.local.isoformat(), lift_zone=lift.zone, tz_version=tz_version())
            )
        decision = entry(
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
        append(db, at=now, actor=actor, entries=[decision])


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
        append(db, at=now, actor=actor, entries=[entry("withdrawn", record_id, moved.revision, reason=reason)])


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
        owe(db, [(record_id, moved.revision, decoded(moved.lists))], Purpose.RETRACTION, now, default_lists)
        append(db, at=now, actor=actor, entries=[entry("retracted", record_id, moved.revision, reason=reason)])


def lift_by_hand(
    store: Store, *, record_id: str, reason: str, now: datetime, actor: str, default_lists: Sequence[str]
) -> None:
    """A person lifts a held record now, whatever it waits for; on PostgreSQL by the earlier of `now` and the server's clock."""
    with store.write() as db:
        now = earlier(db, now)
        moved = db.execute(
            update(records)
            .where(records.c.id == record_id, records.c.state == State.HELD)
            .values(state=State.RELEASED, lift_at=now, released_at=now, settled_by=actor)
            .returning(records.c.revision, records.c.lists)
        ).one_or_none()
        if moved is None:
            raise _too_late(db, record_id, "lifted", " A record in attention is confirmed first: `embargo confirm`.")
        owe(db, [(record_id, moved.revision, decoded(moved.lists))], Purpose.RELEASE, now, default_lists)
        decision = entry("released", record_id, moved.revision, by="hand", lift_at=now, reason=reason)
        append(db, at=now, actor=actor, entries=[decision])
