"""Erases a person: what is left of him is a keyed hash, by which no list brings him back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, case, cast, delete, literal, or_, select, update

from scheduler.record import DeliveryState, address_of
from scheduler.store.engine import Store
from scheduler.store.schema import Instant, asks, called_off, deliveries, forgotten, mailings, reports, subscribers
from scheduler.store.subscribers.values import hash_of, secret_in
from scheduler.store.trail import Entry, append
from scheduler.store.upsert import inserted

ERASED = "forgotten:"
"""With its number behind it, what stands in a delivery for an address that was erased."""

NOBODY = 0
"""The subscriber of such a delivery: no row has this id, so that nothing more is sent."""

WAS_ERASED = "its reader was erased"

_HELD = (DeliveryState.PENDING, DeliveryState.CLAIMED)
_OPEN = (*_HELD, DeliveryState.SENDING)


def forget(store: Store, *, address: str, reason: str, now: datetime, actor: str) -> int:
    """Erases everything that is stored about an address. Gives how many rows that were: places on lists, asks and mails.

    The ledger still counts his mails, to the unit; those that have not gone do not go. What SQLite had on the disk is
    overwritten, except copies left in unused space, which go with the next ``VACUUM``.
    """
    person = address_of(address)
    with store.write() as db:
        if db.dialect.name == "sqlite":
            db.exec_driver_sql("PRAGMA secure_delete = ON")
        hash_ = hash_of(secret_in(db), person)
        ids = list(
            db.execute(delete(subscribers).where(subscribers.c.address == person).returning(subscribers.c.id)).scalars()
        )
        asked = db.execute(delete(asks).where(asks.c.address == person)).rowcount
        mailed = _nameless(db, person, now=now)
        about = or_(reports.c.subscriber_id.in_(ids), reports.c.delivery_id.in_(mailed))
        db.execute(update(reports).where(about).values(detail=None, subscriber_id=None))
        db.execute(inserted(db, forgotten).values(hash=hash_, forgotten_at=now).on_conflict_do_nothing())
        detail: dict[str, Any] = {
            "who": hash_[:12],
            "places": len(ids),
            "asks": asked,
            "mails": len(mailed),
            "reason": reason,
        }
        append(db, at=now, actor=actor, entries=[Entry(event="subscriber_forgotten", detail=detail)])
    _overwrite(store)
    return len(ids) + asked + len(mailed)


def _nameless(db: Connection, person: str, *, now: datetime) -> list[int]:
    """Takes name and address out of the ledger. Gives the deliveries."""
    # By record: the ledger has no index by address alone, and one of those is the record's.
    theirs = (deliveries.c.record_id.in_(select(mailings.c.record_id)), deliveries.c.address == person)
    held = deliveries.c.state.in_(_HELD)
    name = literal(ERASED) + cast(deliveries.c.id, Text)
    nameless = (
        update(deliveries)
        .where(*theirs)
        .values(
            recipient=name,
            address=name,
            subscriber_id=NOBODY,
            state=case((held, called_off(DeliveryState.SUPPRESSED)), else_=deliveries.c.state),
            worker=case((held, None), else_=deliveries.c.worker),
            lease_until=case((held, None), else_=deliveries.c.lease_until),
            settled_at=case((held, literal(now, Instant)), else_=deliveries.c.settled_at),
            problem=case(
                (deliveries.c.state.in_([DeliveryState.SENT, DeliveryState.SENDING]), None),
                else_=WAS_ERASED,
            ),
        )
    )
    return list(db.execute(nameless.returning(deliveries.c.id)).scalars())


def _overwrite(store: Store) -> None:
    """Empties SQLite's write-ahead log, in which older pages stand, unless somebody reads or writes this moment."""
    if store.path is not None:
        with store.engine.connect() as db:
            raw = db.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
