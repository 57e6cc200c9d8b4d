"""The ledger: one row a mail owed to a person, and the moves of `DeliveryState`.

A worker claims rows under a lease, announces each before its last byte leaves, and settles it afterwards. What it had announced
when it died is `uncertain`; what it had only claimed goes back to `pending`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from scheduler.record import Delivery, DeliveryState, Purpose
from scheduler.store.engine import Store
from scheduler.store.schema import deliveries, mailings
from scheduler.store.trail import Entry, append

_CHUNK = 2000
_HAD_IT = [DeliveryState.CLAIMED, DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.UNCERTAIN]


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
    """Who was sent an earlier mail about this record through this list: the audience of a correction or retraction."""
    query = (
        select(deliveries.c.recipient)
        .join(mailings, mailings.c.id == deliveries.c.mailing_id)
        .where(
            mailings.c.record_id == mailing.record_id,
            mailings.c.list == mailing.list,
            mailings.c.id < mailing.id,
            deliveries.c.state.in_(_HAD_IT),
        )
        .distinct()
        .order_by(deliveries.c.recipient)
    )
    with store.read() as db:
        return list(db.execute(query).scalars())


def freeze(store: Store, mailing: Mailing, recipients: Iterable[str], *, now: datetime) -> int:
    """Writes the audience down, in short steps. Doing it again adds nobody. Gives how many were added."""
    people = list(dict.fromkeys(recipients))
    added = 0
    for start in range(0, len(people), _CHUNK):
        chunk = people[start : start + _CHUNK]
        with store.write() as db:
            owed = select(deliveries.c.recipient).where(
                deliveries.c.record_id == mailing.record_id,
                deliveries.c.revision == mailing.revision,
                deliveries.c.purpose == mailing.purpose,
                deliveries.c.recipient.in_(chunk),
            )
            already = set(db.execute(owed).scalars())
            rows = [
                {
                    "mailing_id": mailing.id,
                    "record_id": mailing.record_id,
                    "revision": mailing.revision,
                    "purpose": mailing.purpose,
                    "recipient": person,
                    "state": DeliveryState.PENDING,
                    "due_at": now,
                }
                for person in chunk
                if person not in already
            ]
            if rows:
                db.execute(insert(deliveries), rows)
            added += len(rows)
    with store.write() as db:
        db.execute(
            update(mailings).where(mailings.c.id == mailing.id, mailings.c.frozen_at.is_(None)).values(frozen_at=now)
        )
    return added


def recover(store: Store, *, now: datetime) -> tuple[int, int]:
    """Takes back the work of workers whose lease has ended. Gives how many became pending again, and how many uncertain."""
    ended = and_(deliveries.c.worker.is_not(None), deliveries.c.lease_until < now)
    with store.read() as db:
        if db.execute(select(deliveries.c.id).where(ended).limit(1)).scalar() is None:
            return 0, 0
    with store.write() as db:
        again = db.execute(
            update(deliveries)
            .where(ended, deliveries.c.state == DeliveryState.CLAIMED)
            .values(state=DeliveryState.PENDING, worker=None, lease_until=None)
        )
        unknown = db.execute(
            update(deliveries)
            .where(ended, deliveries.c.state == DeliveryState.SENDING)
            .values(
                state=DeliveryState.UNCERTAIN,
                worker=None,
                lease_until=None,
                settled_at=now,
                problem="the worker stopped between announcing this mail and hearing that it was taken",
            )
        )
    return again.rowcount, unknown.rowcount


def claim(store: Store, *, worker: str, now: datetime, lease_for: timedelta, limit: int) -> list[Delivery]:
    """Takes up to `limit` due mails for `worker`; nobody else has them until the lease ends."""
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.state == DeliveryState.PENDING, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    with store.read() as db:
        if (
            db.execute(
                select(deliveries.c.id)
                .where(deliveries.c.state == DeliveryState.PENDING, deliveries.c.due_at <= now)
                .limit(1)
            ).scalar()
            is None
        ):
            return []
    with store.write() as db:
        taken = (
            db.execute(
                update(deliveries)
                .where(deliveries.c.id.in_(select(due.c.id)), deliveries.c.state == DeliveryState.PENDING)
                .values(
                    state=DeliveryState.CLAIMED,
                    worker=worker,
                    lease_until=now + lease_for,
                    attempts=deliveries.c.attempts + 1,
                )
                .returning(
                    deliveries.c.id,
                    deliveries.c.record_id,
                    deliveries.c.revision,
                    deliveries.c.purpose,
                    deliveries.c.recipient,
                    deliveries.c.attempts,
                    deliveries.c.mailing_id,
                )
            )
            .mappings()
            .all()
        )
        lists = dict(
            db.execute(
                select(mailings.c.id, mailings.c.list).where(mailings.c.id.in_({row["mailing_id"] for row in taken}))
            )
            .tuples()
            .all()
        )
    follow_ups = [row for row in taken if row["purpose"] != Purpose.RELEASE]
    earlier = _earlier(store, follow_ups) if follow_ups else {}
    return [
        Delivery(
            id=row["id"],
            record_id=row["record_id"],
            revision=row["revision"],
            purpose=Purpose(row["purpose"]),
            list=lists[row["mailing_id"]],
            recipient=row["recipient"],
            attempts=row["attempts"],
            earlier=earlier.get(row["id"], ()),
        )
        for row in sorted(taken, key=lambda row: int(row["id"]))
    ]


def _earlier(store: Store, rows: Sequence[Any]) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    with store.read() as db:
        for row in rows:
            query = (
                select(deliveries.c.message_id)
                .where(
                    deliveries.c.record_id == row["record_id"],
                    deliveries.c.recipient == row["recipient"],
                    deliveries.c.id < row["id"],
                    deliveries.c.message_id.is_not(None),
                )
                .order_by(deliveries.c.id)
            )
            found[row["id"]] = tuple(value for value in db.execute(query).scalars() if value)
    return found


def announce(
    store: Store, ids: Sequence[tuple[int, str]], *, worker: str, now: datetime, lease_for: timedelta
) -> set[int]:
    """Writes down, before anything is handed over, that these (id, Message-ID) are about to be sent.

    Gives the ids that are still this worker's; what is not among them must not be sent.
    """
    with store.write() as db:
        mine: set[int] = set()
        for delivery_id, message_id in ids:
            moved = db.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == delivery_id,
                    deliveries.c.worker == worker,
                    deliveries.c.state == DeliveryState.CLAIMED,
                )
                .values(state=DeliveryState.SENDING, message_id=message_id, lease_until=now + lease_for)
                .returning(deliveries.c.id)
            ).one_or_none()
            if moved is not None:
                mine.add(moved.id)
    return mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How sending ended: `sent`, `failed`, `uncertain`, or `pending` (to be tried again at ``due_at``)."""

    id: int
    state: DeliveryState
    problem: str | None = None
    due_at: datetime | None = None


def renew(store: Store, *, worker: str, now: datetime, lease_for: timedelta) -> None:
    """Says that `worker` lives: its leases run on."""
    with store.write() as db:
        db.execute(update(deliveries).where(deliveries.c.worker == worker).values(lease_until=now + lease_for))


def settle(store: Store, outcomes: Sequence[Outcome], *, worker: str, now: datetime) -> None:
    """Writes down how each ended, where it is still this worker's."""
    with store.write() as db:
        for outcome in outcomes:
            again = outcome.state is DeliveryState.PENDING
            db.execute(
                update(deliveries)
                .where(
                    deliveries.c.id == outcome.id,
                    deliveries.c.worker == worker,
                    deliveries.c.state.in_([DeliveryState.CLAIMED, DeliveryState.SENDING]),
                )
                .values(
                    state=outcome.state,
                    worker=None,
                    lease_until=None,
                    problem=outcome.problem,
                    due_at=outcome.due_at if again else deliveries.c.due_at,
                    settled_at=None if again else now,
                )
            )


def resolve(store: Store, *, record_id: str, resend: bool, reason: str, now: datetime, actor: str) -> int:
    """A person decides about a record's uncertain mails: send again, byte for byte the same, or take them for sent."""
    change: dict[str, Any] = (
        {"state": DeliveryState.PENDING, "due_at": now, "settled_at": None}
        if resend
        else {"state": DeliveryState.SENT, "settled_at": now}
    )
    uncertain = (deliveries.c.record_id == record_id, deliveries.c.state == DeliveryState.UNCERTAIN)
    with store.write() as db:
        count = db.execute(update(deliveries).where(*uncertain).values(**change)).rowcount
        if count:
            detail = {"act": "resend" if resend else "sent", "mails": count, "reason": reason}
            append(db, at=now, actor=actor, entries=[Entry(event="mail_resolved", record_id=record_id, detail=detail)])
    return count


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


def overtake(db: Connection, *, record_id: str, revision: int, now: datetime) -> None:
    """A correction came before earlier mails had gone: first mails carry the new revision, older corrections are called off."""
    waiting = and_(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None))
    untried = and_(
        deliveries.c.record_id == record_id,
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.message_id.is_(None),
    )
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.RELEASE).values(revision=revision))
    db.execute(update(deliveries).where(untried, deliveries.c.purpose == Purpose.RELEASE).values(revision=revision))
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.CORRECTION).values(frozen_at=now))
    db.execute(
        update(deliveries)
        .where(untried, deliveries.c.purpose == Purpose.CORRECTION)
        .values(state=DeliveryState.FAILED, settled_at=now, problem="a newer correction came before this one was sent")
    )


def call_off(db: Connection, *, record_id: str, now: datetime) -> None:
    """A retraction came before mails had gone: those nobody has begun to send are not sent."""
    db.execute(
        update(mailings).where(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None)).values(frozen_at=now)
    )
    db.execute(
        update(deliveries)
        .where(deliveries.c.record_id == record_id, deliveries.c.state == DeliveryState.PENDING)
        .values(
            state=DeliveryState.FAILED, settled_at=now, problem="the record was retracted before this mail was sent"
        )
    )
