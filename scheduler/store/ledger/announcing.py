"""Announcing mails before they leave: the last look at whether they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, or_, select, true, update

from scheduler.record import Delivery, DeliveryState, Membership, Purpose
from scheduler.store.ledger.audience import GONE
from scheduler.store.ledger.taking import UNTAKEN, is_behind, out_of_date, standing
from scheduler.store.schema import called_off, deliveries, mailings, records, subscribers

_NAME: ColumnElement[str] = bindparam("name")
HELD = and_(
    deliveries.c.id == bindparam("held"),
    deliveries.c.epoch == bindparam("held_epoch"),
    deliveries.c.worker == bindparam("held_by"),
)
"""The row that these three parameters name, as it was taken and still by who took it."""


def announce(
    db: Connection, wanted: Sequence[tuple[Delivery, str]], *, worker: str, now: datetime, lease_for: timedelta
) -> frozenset[int]:
    """Writes down that these, with their Message-IDs, are about to be sent. Gives the ids of those that may be."""
    if not wanted:
        return frozenset()
    epochs = {each.id: each.epoch for each, _ in wanted}
    held = (
        standing(epochs)
        .where(deliveries.c.worker == worker, deliveries.c.state == DeliveryState.CLAIMED)
        # What corrects or retracts a record meanwhile waits: its audience must find these mails announced.
        .with_for_update(read=True, of=records)
    )
    rows = [row for row in db.execute(held) if epochs[row.id] == row.epoch]
    changed = {row.id for row in rows if is_behind(row) or out_of_date(row)}
    if changed:  # taken anew it gets the newest text, or does not go
        db.execute(update(deliveries).where(deliveries.c.id.in_(changed)).values(UNTAKEN))
    mine = {row.id for row in rows} - changed
    mine -= _suppress(db, list(mine), worker=worker, now=now)
    named = [{"held": each.id, "held_epoch": each.epoch, "held_by": worker, "name": name} for each, name in wanted]
    if named := [each for each in named if each["held"] in mine]:
        announced = update(deliveries).where(HELD, deliveries.c.state == DeliveryState.CLAIMED)
        db.execute(announced.values(state=DeliveryState.SENDING, message_id=_NAME, lease_until=now + lease_for), named)
    return frozenset(mine)


def _suppress(db: Connection, ids: Sequence[int], *, worker: str, now: datetime) -> set[int]:
    """Those among `ids` whose reader has left, or whom no mail reaches, since the audience was written down.

    A correction goes to everybody who had the first mail and has not left, though the office lists him no more.
    """
    active = and_(
        subscribers.c.state == Membership.ACTIVE,
        or_(subscribers.c.listed == 1, deliveries.c.purpose != Purpose.RELEASE),
    )
    found = (
        select(*(deliveries.c[name] for name in ("id", "record_id", "revision", "purpose", "address", "message_id")))
        .outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        .where(
            deliveries.c.id.in_(ids),
            deliveries.c.subscriber_id.is_not(None),
            func.coalesce(case((active, 1), else_=0), 0) == 0,
        )
    )
    left = db.execute(found).all()
    if left:
        # Whoever writes an audience down this moment looks for what is suppressed, to take it over: one after the other.
        theirs = select(mailings.c.id).where(mailings.c.record_id.in_({row.record_id for row in left}))
        db.execute(theirs.order_by(mailings.c.id).with_for_update(read=True)).all()
    for row in left:
        mine = and_(
            deliveries.c.id == row.id, deliveries.c.worker == worker, deliveries.c.state == DeliveryState.CLAIMED
        )
        db.execute(update(deliveries).where(mine).values(_otherwise(db, row) or _NOT_SENT | {"settled_at": now}))
    return {row.id for row in left}


_NOT_SENT: dict[str, Any] = {
    "state": called_off(DeliveryState.SUPPRESSED),
    "worker": None,
    "lease_until": None,
    "problem": GONE,
}


def _otherwise(db: Connection, row: Any) -> dict[str, Any] | None:
    """The move to another list that owes him the same mail, where he is on one; not of what may have arrived through this one."""
    if row.message_id is not None:
        return None
    other = (
        select(mailings.c.id, mailings.c.segments, subscribers.c.id.label("subscriber_id"))
        .join(subscribers, subscribers.c.list == mailings.c.list)
        .where(
            mailings.c.record_id == row.record_id,
            mailings.c.purpose == row.purpose,
            # A first mail carries the newest text, whichever its mailing began with.
            true() if row.purpose == Purpose.RELEASE else mailings.c.revision == row.revision,
            subscribers.c.address == row.address,
            subscribers.c.listed == 1,
            subscribers.c.state == Membership.ACTIVE,
        )
        .order_by(mailings.c.id)
        .limit(1)
    )
    found = db.execute(other).one_or_none()
    if found is None:
        return None
    segment = max(0, found.segments - 1)
    return UNTAKEN | {"mailing_id": found.id, "subscriber_id": found.subscriber_id, "segment": segment}
