"""What a worker does with the mails that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    update,
)

from scheduler.record import Delivery, DeliveryState, Membership, Purpose, State
from scheduler.store import subscribers as people
from scheduler.store.engine import Store
from scheduler.store.ledger.audience import GONE, MAY_HAVE_ARRIVED, NEWER, PRIORITIES, stop
from scheduler.store.schema import Instant, deliveries, mailings, records, subscribers

REPEATS = 2
"""So often is a mail that may have arrived sent again unasked, where its list says `uncertain: resend`."""

_ABOUT = records.c.id == deliveries.c.record_id
OUT_OF_DATE = and_(
    deliveries.c.purpose != Purpose.RETRACTION,
    select(records.c.id).where(_ABOUT, records.c.state == State.RETRACTED).exists(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How sending ended: `sent`, `failed`, `uncertain`, or `pending` (to be tried again at ``due_at``).

    ``epoch`` is the delivery's, as it was taken. What is `pending` without having ``counted`` was no try: no server was reached.
    """

    id: int
    epoch: int
    state: DeliveryState
    problem: str | None = None
    due_at: datetime | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """``mine`` are the ids that may be sent now, ``claimed`` the mails taken for the next turn."""

    mine: frozenset[int] = frozenset()
    claimed: tuple[Delivery, ...] = field(default=(), repr=False)


def is_due(store: Store, *, now: datetime) -> bool:
    """Whether a worker has something to do."""
    with store.read() as db:
        return any(db.execute(_due(priority, now).limit(1)).scalar() is not None for priority in PRIORITIES)


def turn(
    store: Store,
    *,
    worker: str,
    now: datetime,
    lease_for: timedelta,
    outcomes: Sequence[Outcome] = (),
    wanted: Sequence[tuple[Delivery, str]] = (),
    limit: int = 0,
) -> Turn:
    """One transaction for everything a worker has to write down: how mails ended, which (with their Message-IDs) are about to be
    sent, and up to `limit` more that nobody else has until the lease ends.

    What is not among the answer's ``mine`` must not be sent: it is another's by now, was called off, or its reader has left.
    """
    with store.write() as db:
        _settle(db, outcomes, worker=worker, now=now)
        mine = _announce(db, wanted, worker=worker, now=now, lease_for=lease_for)
        taken = _claim(db, worker=worker, now=now, lease_for=lease_for, limit=limit)
        claimed = _described(db, taken)
    return Turn(mine=mine, claimed=claimed)


def renew(store: Store, *, worker: str, now: datetime, lease_for: timedelta) -> None:
    """Says that `worker` lives: its leases run on."""
    with store.write() as db:
        db.execute(update(deliveries).where(deliveries.c.worker == worker).values(lease_until=now + lease_for))


def give_back(store: Store, *, worker: str) -> int:
    """What `worker` has taken and not announced is anybody's again. Gives how many."""
    mine = and_(deliveries.c.worker == worker, deliveries.c.state == DeliveryState.CLAIMED)
    with store.write() as db:
        return db.execute(update(deliveries).where(mine).values(_UNTAKEN)).rowcount


def recover(store: Store, *, now: datetime) -> tuple[int, int]:
    """Takes back the work of workers whose lease has ended. Gives how many became pending again, and how many uncertain."""
    ended = and_(deliveries.c.worker.is_not(None), deliveries.c.lease_until < now)
    with store.read() as db:
        if db.execute(select(deliveries.c.id).where(ended).limit(1)).scalar() is None:
            return 0, 0
    with store.write() as db:
        again = db.execute(
            update(deliveries).where(ended, deliveries.c.state == DeliveryState.CLAIMED).values(_UNTAKEN)
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


def repeat(store: Store, *, lists: Collection[str], now: datetime, after: timedelta) -> int:
    """Owes again, byte for byte the same, what is uncertain on these lists, `after` that. Gives how many.

    At most :data:`REPEATS` times: a server that never says that it took a mail would get it for ever.
    """
    theirs = select(mailings.c.id).where(mailings.c.list.in_(list(lists)))
    which = and_(
        deliveries.c.state == DeliveryState.UNCERTAIN,
        deliveries.c.repeats < REPEATS,
        deliveries.c.mailing_id.in_(theirs),
        ~OUT_OF_DATE,
    )
    with store.read() as db:
        if db.execute(select(deliveries.c.id).where(which).limit(1)).scalar() is None:
            return 0
    with store.write() as db:
        again = update(deliveries).where(which)
        return db.execute(
            again.values(state=DeliveryState.PENDING, due_at=now + after, repeats=deliveries.c.repeats + 1)
        ).rowcount


# --- taking

_UNTAKEN: dict[str, Any] = {
    "state": DeliveryState.PENDING,
    "worker": None,
    "lease_until": None,
    "attempts": deliveries.c.attempts - 1,
}


def _due(priority: int, now: datetime) -> Select[tuple[int]]:
    return (
        select(deliveries.c.id)
        .where(
            deliveries.c.state == DeliveryState.PENDING, deliveries.c.priority == priority, deliveries.c.due_at <= now
        )
        .order_by(deliveries.c.due_at, deliveries.c.id)
    )


def _claim(db: Connection, *, worker: str, now: datetime, lease_for: timedelta, limit: int) -> list[Any]:
    """The rows taken, what goes first before the rest."""
    taken: list[Any] = []
    for priority in PRIORITIES:
        if len(taken) >= limit:
            break
        due = _due(priority, now).limit(limit - len(taken)).with_for_update(skip_locked=True).cte("due")
        rows = db.execute(
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
                deliveries.c.epoch,
                deliveries.c.record_id,
                deliveries.c.revision,
                deliveries.c.purpose,
                deliveries.c.recipient,
                deliveries.c.address,
                deliveries.c.attempts,
                deliveries.c.mailing_id,
            )
        )
        taken += sorted(rows, key=lambda row: int(row.id))
    return taken


def _described(db: Connection, taken: Sequence[Any]) -> tuple[Delivery, ...]:
    if not taken:
        return ()
    named = select(mailings.c.id, mailings.c.list, mailings.c.owed_at)
    about = {row.id: row for row in db.execute(named.where(mailings.c.id.in_({row.mailing_id for row in taken})))}
    key = people.secret_in(db)
    return tuple(
        Delivery(
            id=row.id,
            epoch=row.epoch,
            record_id=row.record_id,
            revision=row.revision,
            purpose=Purpose(row.purpose),
            list=about[row.mailing_id].list,
            recipient=row.recipient,
            attempts=row.attempts,
            owed_at=about[row.mailing_id].owed_at,
            token=people.token_of(key, list_id=about[row.mailing_id].list, address=row.address),
            earlier=_earlier(db, row) if row.purpose != Purpose.RELEASE else (),
        )
        for row in taken
    )


def _earlier(db: Connection, row: Any) -> tuple[str, ...]:
    query = (
        select(deliveries.c.message_id)
        .where(
            deliveries.c.record_id == row.record_id,
            deliveries.c.address == row.address,
            deliveries.c.id < row.id,
            MAY_HAVE_ARRIVED,
        )
        .order_by(deliveries.c.id)
    )
    return tuple(value for value in db.execute(query).scalars() if value)


# --- announcing

_NAME: ColumnElement[str] = bindparam("name")
_HELD = and_(
    deliveries.c.id == bindparam("held"),
    deliveries.c.epoch == bindparam("held_epoch"),
    deliveries.c.worker == bindparam("held_by"),
)


def _announce(
    db: Connection, wanted: Sequence[tuple[Delivery, str]], *, worker: str, now: datetime, lease_for: timedelta
) -> frozenset[int]:
    if not wanted:
        return frozenset()
    epochs = {each.id: each.epoch for each, _ in wanted}
    held = (
        select(deliveries.c.id, deliveries.c.epoch)
        .where(
            deliveries.c.id.in_(list(epochs)),
            deliveries.c.worker == worker,
            deliveries.c.state == DeliveryState.CLAIMED,
        )
        .with_for_update()
    )
    mine = {row.id for row in db.execute(held) if epochs[row.id] == row.epoch}
    mine -= _suppress(db, list(mine), worker=worker, now=now)
    rows = [{"held": each.id, "held_epoch": each.epoch, "held_by": worker, "name": name} for each, name in wanted]
    if rows := [row for row in rows if row["held"] in mine]:
        announced = update(deliveries).where(_HELD, deliveries.c.state == DeliveryState.CLAIMED)
        db.execute(announced.values(state=DeliveryState.SENDING, message_id=_NAME, lease_until=now + lease_for), rows)
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
        select(*(deliveries.c[name] for name in ("id", "record_id", "purpose", "address", "message_id")))
        .outerjoin(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        .where(
            deliveries.c.id.in_(ids),
            deliveries.c.subscriber_id.is_not(None),
            func.coalesce(case((active, 1), else_=0), 0) == 0,
        )
    )
    left = db.execute(found).all()
    for row in left:
        mine = and_(
            deliveries.c.id == row.id, deliveries.c.worker == worker, deliveries.c.state == DeliveryState.CLAIMED
        )
        db.execute(update(deliveries).where(mine).values(_otherwise(db, row) or _NOT_SENT | {"settled_at": now}))
    return {row.id for row in left}


# What may have arrived at an earlier try is uncertain for good.
_NOT_SENT: dict[str, Any] = {
    "state": case(
        (deliveries.c.message_id.is_(None), DeliveryState.SUPPRESSED.value), else_=DeliveryState.UNCERTAIN.value
    ),
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
            subscribers.c.address == row.address,
            subscribers.c.listed == 1,
            subscribers.c.state == Membership.ACTIVE,
        )
        .limit(1)
    )
    found = db.execute(other).one_or_none()
    if found is None:
        return None
    segment = max(0, found.segments - 1)
    return _UNTAKEN | {"mailing_id": found.id, "subscriber_id": found.subscriber_id, "segment": segment}


# --- settling

_IN_HAND = and_(_HELD, or_(deliveries.c.state == DeliveryState.CLAIMED, deliveries.c.state == DeliveryState.SENDING))


def _settle(db: Connection, outcomes: Sequence[Outcome], *, worker: str, now: datetime) -> None:
    """Writes down how each ended, where it is still this worker's."""
    ended = [each for each in outcomes if each.state is not DeliveryState.PENDING]
    again = [each for each in outcomes if each.state is DeliveryState.PENDING]
    if ended:
        final = update(deliveries).where(_IN_HAND).values(_outcome() | {"settled_at": now})
        db.execute(final, [_row(each, worker) for each in ended])
    if again:
        # Nobody took it, unless an earlier try, settled as uncertain, may have arrived.
        name = case((deliveries.c.settled_at.is_(None), null()), else_=deliveries.c.message_id)
        later = update(deliveries).where(_IN_HAND)
        later = later.values(
            _outcome()
            | {
                "message_id": name,
                "due_at": bindparam("due", type_=Instant),
                "attempts": deliveries.c.attempts - bindparam("uncounted", type_=Integer),
            }
        )
        db.execute(
            later, [_row(each, worker) | {"due": each.due_at, "uncounted": int(not each.counted)} for each in again]
        )
        _catch_up(db, [each.id for each in again], now=now)


def _outcome() -> dict[str, ColumnElement[Any] | None]:
    return {"state": bindparam("end"), "worker": None, "lease_until": None, "problem": bindparam("why")}


def _row(outcome: Outcome, worker: str) -> dict[str, Any]:
    return {
        "held": outcome.id,
        "held_epoch": outcome.epoch,
        "held_by": worker,
        "end": outcome.state.value,
        "why": outcome.problem,
    }


def _catch_up(db: Connection, ids: Sequence[int], *, now: datetime) -> None:
    """What was corrected or retracted while these mails were with a server that did not take them holds for them too."""
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
    stop(db, and_(deliveries.c.id.in_(ids), OUT_OF_DATE), now=now)
