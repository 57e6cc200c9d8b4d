"""The lift, and what takes its place where the service was down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, literal, select, update

from scheduler.record import Purpose, State
from scheduler.store.engine import Store
from scheduler.store.moves.owed import decoded, entry, owe, owe_default
from scheduler.store.postgres import earlier
from scheduler.store.records import CURRENT
from scheduler.store.schema import micros, records, revisions
from scheduler.store.trail import append


class Lifted(NamedTuple):
    """A record that was released: when it was to lift, and when it did."""

    id: str
    uuid: str
    lift_at: datetime
    released_at: datetime


def release_due(store: Store, *, now: datetime, actor: str, default_lists: Sequence[str]) -> list[Lifted]:
    """The lift: every held record whose lift is not after `now` is released, in one transaction with what it owes.

    Harmless at any time and any number of times. What lifts together is released one microsecond after the other, by lift and
    id: so it has an order that never changes, and each its own date. On PostgreSQL it is by the earlier of `now` and the server's
    clock.
    """
    place = func.row_number().over(order_by=(records.c.lift_at, records.c.id)) - 1
    with store.write() as db:
        now = earlier(db, now)
        due = (
            select(records.c.id, place.label("place"))
            .where(records.c.state == State.HELD, records.c.lift_at <= now)
            .subquery()
        )
        moved = db.execute(
            update(records)
            .where(records.c.id == due.c.id, records.c.state == State.HELD)
            .values(state=State.RELEASED, released_at=literal(micros(now)) + due.c.place)
            .returning(records.c.id, records.c.uuid, records.c.revision, records.c.lists, records.c.lift_at)
        ).all()
        if moved:
            last = now + timedelta(microseconds=len(moved))
            owe_default(db, released_at=now, until=last, owed_at=now, default_lists=default_lists)
            named = [(row.id, row.revision, decoded(row.lists)) for row in moved if row.lists is not None]
            owe(db, named, Purpose.RELEASE, now, default_lists)
            entries = [entry("released", row.id, row.revision, by="lift", lift_at=row.lift_at) for row in moved]
            append(db, at=now, actor=actor, entries=entries)
    return [Lifted(row.id, row.uuid, row.lift_at, now) for row in moved]


def hold_overdue(store: Store, *, now: datetime, before: datetime, actor: str) -> list[tuple[str, datetime]]:
    """What was to lift before `before`, and did not because the service was down, goes to attention: uuid and lift of each.

    Not what had passed when it came in, such as `embargo: none`: that was decided upon then.
    """
    came_in_at = select(revisions.c.accepted_at).where(CURRENT).scalar_subquery()
    reason = (
        f"It fell due while the service was down, found at {now:%Y-%m-%d %H:%M:%S} UTC. Confirm it to release at once."
    )
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(records.c.state == State.HELD, records.c.lift_at < before, records.c.lift_at > came_in_at)
            .values(state=State.ATTENTION, reason=reason, settled_by=None)
            .returning(records.c.id, records.c.uuid, records.c.revision, records.c.lift_at)
        ).all()
        entries = [entry("attention", row.id, row.revision, lift_at=row.lift_at, reason=reason) for row in moved]
        append(db, at=now, actor=actor, entries=entries)
    return [(row.uuid, row.lift_at) for row in moved]
