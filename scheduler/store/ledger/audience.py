"""Who is owed which mail, and what a correction or retraction changes about mails that have not gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, insert, select, true, update

from scheduler.record import DeliveryState, Purpose, address_of
from scheduler.store.engine import Store
from scheduler.store.schema import deliveries, mailings

_CHUNK = 1000
NEWER = "a newer correction came before this one was sent"

# A mail that was announced has its Message-ID until it is known that nobody took it.
MAY_HAVE_ARRIVED = and_(deliveries.c.message_id.is_not(None), deliveries.c.state != DeliveryState.FAILED)
_UNSENT = deliveries.c.state.in_([DeliveryState.PENDING, DeliveryState.CLAIMED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One list owed one mail about one revision."""

    id: int
    record_id: str
    revision: int
    purpose: Purpose
    list: str


def to_freeze(store: Store) -> list[Mailing]:
    """The mailings whose audience has not been written down yet, oldest first."""
    query = (
        select(mailings.c.id, mailings.c.record_id, mailings.c.revision, mailings.c.purpose, mailings.c.list)
        .where(mailings.c.frozen_at.is_(None))
        .order_by(mailings.c.id)
    )
    with store.read() as db:
        return [Mailing(**{**row, "purpose": Purpose(row["purpose"])}) for row in db.execute(query).mappings()]


def earlier_audience(store: Store, mailing: Mailing) -> list[str]:
    """Who may have had an earlier mail about this record through this list: the audience of a correction or retraction.

    A correction is not for those whose first mail carried its text already.
    """
    older = deliveries.c.revision < mailing.revision if mailing.purpose is Purpose.CORRECTION else true()
    query = (
        select(deliveries.c.recipient)
        .join(mailings, mailings.c.id == deliveries.c.mailing_id)
        .where(
            mailings.c.record_id == mailing.record_id,
            mailings.c.list == mailing.list,
            mailings.c.id < mailing.id,
            MAY_HAVE_ARRIVED,
            older,
        )
        .distinct()
        .order_by(deliveries.c.recipient)
    )
    with store.read() as db:
        return list(db.execute(query).scalars())


def freeze(store: Store, mailing: Mailing, recipients: Iterable[str], *, now: datetime) -> int:
    """Writes the audience down, in short steps. Doing it again adds nobody. Gives how many were added.

    It stops where the mailing has been called off, and follows a first mail that a correction has overtaken meanwhile.
    """
    people: dict[str, str] = {}
    for person in recipients:
        people.setdefault(address_of(person), person)
    waiting = and_(mailings.c.id == mailing.id, mailings.c.frozen_at.is_(None))
    addresses = list(people)
    added = 0
    for start in range(0, len(addresses), _CHUNK):
        chunk = addresses[start : start + _CHUNK]
        with store.write() as db:
            revision = db.execute(select(mailings.c.revision).where(waiting).with_for_update()).scalar()
            if revision is None:
                return added
            owed = select(deliveries.c.address).where(
                deliveries.c.record_id == mailing.record_id,
                # Nobody gets a first mail twice, whichever revision the other one carried.
                true() if mailing.purpose is Purpose.RELEASE else deliveries.c.revision == revision,
                deliveries.c.purpose == mailing.purpose,
                deliveries.c.address.in_(chunk),
            )
            already = set(db.execute(owed).scalars())
            rows = [
                {
                    "mailing_id": mailing.id,
                    "segment": start // _CHUNK,
                    "priority": 1,
                    "record_id": mailing.record_id,
                    "revision": revision,
                    "purpose": mailing.purpose,
                    "recipient": people[address],
                    "address": address,
                    "state": DeliveryState.PENDING,
                    "due_at": now,
                }
                for address in chunk
                if address not in already
            ]
            if rows:
                db.execute(insert(deliveries), rows)
            added += len(rows)
    with store.write() as db:
        db.execute(update(mailings).where(waiting).values(frozen_at=now))
    return added


def overtake(db: Connection, *, record_id: str, revision: int, now: datetime) -> None:
    """A correction came before earlier mails had gone: first mails carry the new revision, older corrections are called off.

    A worker that had claimed one finds when it announces it that it is its no more.
    """
    waiting = and_(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None))
    untried = and_(deliveries.c.record_id == record_id, _UNSENT, deliveries.c.message_id.is_(None))
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.RELEASE).values(revision=revision))
    db.execute(
        update(deliveries)
        .where(untried, deliveries.c.purpose == Purpose.RELEASE)
        .values(state=DeliveryState.PENDING, worker=None, lease_until=None, revision=revision)
    )
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.CORRECTION).values(frozen_at=now))
    db.execute(
        update(deliveries)
        .where(untried, deliveries.c.purpose == Purpose.CORRECTION)
        .values(
            state=DeliveryState.FAILED,
            worker=None,
            lease_until=None,
            settled_at=now,
            problem=NEWER,
        )
    )


def call_off(db: Connection, *, record_id: str, now: datetime) -> None:
    """A retraction came before mails had gone: those nobody has begun to send are not sent.

    One that was to be sent again, since it may not have arrived, is uncertain as before: its reader is told of the retraction.
    """
    db.execute(
        update(mailings).where(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None)).values(frozen_at=now)
    )
    stop(db, deliveries.c.record_id == record_id, now=now)


def stop(db: Connection, which: ColumnElement[bool], *, now: datetime) -> None:
    """Sends none of these mails about a retracted record; what may have arrived already is uncertain."""
    db.execute(
        update(deliveries)
        .where(which, _UNSENT)
        .values(
            state=case((deliveries.c.message_id.is_(None), DeliveryState.FAILED), else_=DeliveryState.UNCERTAIN),
            worker=None,
            lease_until=None,
            settled_at=now,
            problem="the record was retracted before this mail was sent",
        )
    )
