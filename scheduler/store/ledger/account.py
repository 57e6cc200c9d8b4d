"""The ledger read out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, or_, select

from scheduler.record import DeliveryState
from scheduler.store.engine import Store
from scheduler.store.schema import deliveries, mailings


def balance(store: Store, *, record_id: str | None = None) -> list[dict[str, Any]]:
    """A row a mailing: record, revision, purpose, list, audience, and how many stand in each state.

    `audience` is counted apart from the states; it is their sum, always.
    """
    counted = [func.count().filter(deliveries.c.state == state).label(state.value) for state in DeliveryState]
    query = (
        select(
            mailings.c.id,
            mailings.c.record_id,
            mailings.c.revision,
            mailings.c.purpose,
            mailings.c.list,
            mailings.c.frozen_at,
            func.count(deliveries.c.id).label("audience"),
            *counted,
        )
        .outerjoin(deliveries, deliveries.c.mailing_id == mailings.c.id)
        .group_by(
            mailings.c.id,
            mailings.c.record_id,
            mailings.c.revision,
            mailings.c.purpose,
            mailings.c.list,
            mailings.c.frozen_at,
        )
        .order_by(mailings.c.id)
    )
    if record_id is not None:
        query = query.where(mailings.c.record_id == record_id)
    with store.read() as db:
        return [dict(row) for row in db.execute(query).mappings()]


def troubled(store: Store, *, record_id: str | None = None) -> list[dict[str, Any]]:
    """The deliveries that failed, are uncertain, or wait for another try, with what was said."""
    query = (
        select(
            deliveries.c.id,
            deliveries.c.record_id,
            deliveries.c.revision,
            deliveries.c.recipient,
            deliveries.c.state,
            deliveries.c.attempts,
            deliveries.c.due_at,
            deliveries.c.problem,
        )
        .where(
            or_(
                deliveries.c.state.in_([DeliveryState.FAILED, DeliveryState.UNCERTAIN]),
                and_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.attempts > 0),
            )
        )
        .order_by(deliveries.c.id)
    )
    if record_id is not None:
        query = query.where(deliveries.c.record_id == record_id)
    with store.read() as db:
        return [dict(row) for row in db.execute(query).mappings()]
