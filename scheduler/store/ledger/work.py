"""What a worker does with the mails that are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, null, select, update

from scheduler.errors import MoveRefused
from scheduler.record import Delivery, DeliveryState, Purpose, State, address_of
from scheduler.store.engine import Store
from scheduler.store.ledger.audience import MAY_HAVE_ARRIVED, NEWER, stop
from scheduler.store.schema import deliveries, mailings, records
from scheduler.store.trail import Entry, append


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
                    epoch=deliveries.c.epoch + 1,
                )
                .returning(
                    deliveries.c.id,
                    deliveries.c.record_id,
                    deliveries.c.revision,
                    deliveries.c.purpose,
                    deliveries.c.recipient,
                    deliveries.c.attempts,
                    deliveries.c.epoch,
                    deliveries.c.mailing_id,
                )
            )
            .mappings()
            .all()
        )
        named = select(mailings.c.id, mailings.c.list).where(mailings.c.id.in_({row["mailing_id"] for row in taken}))
        lists = {row.id: row.list for row in db.execute(named)}
    follow_ups = [row for row in taken if row["purpose"] != Purpose.RELEASE]
    earlier = _earlier(store, follow_ups) if follow_ups else {}
    return [
        Delivery(
            id=row["id"],
            epoch=row["epoch"],
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
                    deliveries.c.address == address_of(row["recipient"]),
                    deliveries.c.id < row["id"],
                    MAY_HAVE_ARRIVED,
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


_ABOUT = records.c.id == deliveries.c.record_id
_OUT_OF_DATE = and_(
    deliveries.c.purpose != Purpose.RETRACTION,
    select(records.c.id).where(_ABOUT, records.c.state == State.RETRACTED).exists(),
)


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
                    # Nobody took it, unless an earlier try, settled as uncertain, may have arrived.
                    message_id=case((deliveries.c.settled_at.is_(None), null()), else_=deliveries.c.message_id)
                    if again
                    else deliveries.c.message_id,
                    due_at=outcome.due_at if again else deliveries.c.due_at,
                    settled_at=deliveries.c.settled_at if again else now,
                )
            )
        _catch_up(db, [outcome.id for outcome in outcomes if outcome.state is DeliveryState.PENDING], now=now)


def _catch_up(db: Connection, ids: Sequence[int], *, now: datetime) -> None:
    """What was corrected or retracted while these mails were with a server that did not take them holds for them too."""
    if not ids:
        return
    mine = and_(
        deliveries.c.id.in_(ids), deliveries.c.state == DeliveryState.PENDING, deliveries.c.message_id.is_(None)
    )
    newest = select(records.c.revision).where(_ABOUT).scalar_subquery()
    db.execute(update(deliveries).where(mine, deliveries.c.purpose == Purpose.RELEASE).values(revision=newest))
    db.execute(
        update(deliveries)
        .where(mine, deliveries.c.purpose == Purpose.CORRECTION, deliveries.c.revision < newest)
        .values(state=DeliveryState.FAILED, settled_at=now, problem=NEWER)
    )
    stop(db, and_(deliveries.c.id.in_(ids), _OUT_OF_DATE), now=now)


def resolve(store: Store, *, record_id: str, resend: bool, reason: str, now: datetime, actor: str) -> int:
    """A person decides about a record's uncertain mails: send again, byte for byte the same, or take them for sent.

    Raises :class:`MoveRefused` where all that could be sent again is what was retracted since.
    """
    change: dict[str, Any] = (
        {"state": DeliveryState.PENDING, "due_at": now} if resend else {"state": DeliveryState.SENT, "settled_at": now}
    )
    uncertain = and_(deliveries.c.record_id == record_id, deliveries.c.state == DeliveryState.UNCERTAIN)
    with store.write() as db:
        which = and_(uncertain, ~_OUT_OF_DATE) if resend else uncertain
        count = db.execute(update(deliveries).where(which).values(**change)).rowcount
        if count:
            detail = {"act": "resend" if resend else "sent", "mails": count, "reason": reason}
            append(db, at=now, actor=actor, entries=[Entry(event="mail_resolved", record_id=record_id, detail=detail)])
        elif db.execute(select(deliveries.c.id).where(uncertain).limit(1)).scalar() is not None:
            raise MoveRefused(
                record_id, "it was retracted, so its mails are not sent again. Take them for sent: `--sent`."
            )
    return count
