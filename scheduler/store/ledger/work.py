"""What a worker does with the mails that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Text, and_, bindparam, case, null, or_, select, update

from scheduler.record import Delivery, DeliveryState
from scheduler.store import subscribers as people
from scheduler.store.engine import Store
from scheduler.store.ledger.announcing import HELD, announce
from scheduler.store.ledger.audience import TO_SOMEBODY
from scheduler.store.ledger.taking import OUT_OF_DATE, UNTAKEN, Segment, claim, due, lock
from scheduler.store.schema import Instant, called_off, deliveries, mailings

STEP = 1000
"""So many rows at most are changed in one transaction."""

REPEATS = 2
"""So often is a mail that may have arrived sent again unasked, where its list says `uncertain: resend`."""


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
    """``mine`` are the ids that may be sent now, ``claimed`` the mails taken for the next turn, of ``looked`` that were due."""

    mine: frozenset[int] = frozenset()
    claimed: tuple[Delivery, ...] = field(default=(), repr=False)
    looked: int = 0


def is_due(store: Store, *, now: datetime, segments: Collection[Segment] = ()) -> bool:
    """Whether a worker with these `segments` in hand has something to do."""
    with store.read() as db:
        return any(db.execute(question.limit(1)).scalar() is not None for question in due(now, segments))


def turn(
    store: Store,
    *,
    worker: str,
    now: datetime,
    lease_for: timedelta,
    outcomes: Sequence[Outcome] = (),
    wanted: Sequence[tuple[Delivery, str]] = (),
    limit: int = 0,
    segments: Collection[Segment] = (),
) -> Turn:
    """One transaction for everything a worker has to write down: how mails ended, which (with their Message-IDs) are about to be
    sent, and up to `limit` more that nobody else has until the lease ends; with `segments` in hand, of these.

    What is not among the answer's ``mine`` must not be sent: it is another's by now, was called off, or its reader has left.
    Workers take their turns beside one another, and no lift waits for them: each locks the rows that it changes.
    """
    # Beside other workers: it changes rows that this worker holds, and takes such as nobody has locked.
    with store.write(alone=False) as db:
        held = [*(each.id for each in outcomes), *(each.id for each, _ in wanted)]
        lock(db, deliveries.c.id.in_(held), deliveries.c.worker == worker)
        _settle(db, outcomes, worker=worker, now=now)
        mine = announce(db, wanted, worker=worker, now=now, lease_for=lease_for)
        take = claim(db, worker=worker, now=now, lease_for=lease_for, limit=limit, segments=segments)
    return Turn(mine=mine, claimed=take.claimed, looked=take.looked)


def renew(store: Store, ids: Collection[int], *, worker: str, now: datetime, lease_for: timedelta) -> None:
    """Says that `worker` has these in hand: their leases run on."""
    mine = and_(deliveries.c.id.in_(ids), deliveries.c.worker == worker)
    with store.write(alone=False) as db:
        lock(db, mine)
        db.execute(update(deliveries).where(mine).values(lease_until=now + lease_for))


def give_back(store: Store, *, worker: str) -> int:
    """What `worker` has taken and not announced is anybody's again. Gives how many."""
    mine = and_(deliveries.c.worker == worker, deliveries.c.state == DeliveryState.CLAIMED)
    with store.write(alone=False) as db:
        lock(db, mine)
        return db.execute(update(deliveries).where(mine).values(UNTAKEN)).rowcount


def recover(store: Store, *, now: datetime) -> tuple[int, int]:
    """Takes back the work of workers whose lease has ended. Gives how many became pending again, and how many uncertain."""
    ended = and_(deliveries.c.worker.is_not(None), deliveries.c.lease_until < now)
    with store.read() as db:
        if db.execute(select(deliveries.c.id).where(ended).limit(1)).scalar() is None:
            return 0, 0
    with store.write(alone=False) as db:
        # What is locked is in somebody's hands this moment: another's who takes it back, or its worker's after all.
        taken = deliveries.c.id.in_(lock(db, ended, skip=True))
        again = db.execute(update(deliveries).where(taken, deliveries.c.state == DeliveryState.CLAIMED).values(UNTAKEN))
        unknown = db.execute(
            update(deliveries)
            .where(taken, deliveries.c.state == DeliveryState.SENDING)
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
    """Owes again, byte for byte the same, some of what is uncertain on these lists, `after` that. Gives how many.

    At most :data:`REPEATS` times: a server that never says that it took a mail would get it for ever.
    """
    theirs = select(mailings.c.id).where(mailings.c.list.in_(list(lists)))
    which = and_(
        deliveries.c.state == DeliveryState.UNCERTAIN,
        deliveries.c.repeats < REPEATS,
        deliveries.c.mailing_id.in_(theirs),
        TO_SOMEBODY,
        ~OUT_OF_DATE,
    )
    with store.read() as db:
        if db.execute(select(deliveries.c.id).where(which).limit(1)).scalar() is None:
            return 0
    with store.write(alone=False) as db:
        again = update(deliveries).where(deliveries.c.id.in_(lock(db, which, skip=True, limit=STEP)))
        return db.execute(
            again.values(state=DeliveryState.PENDING, due_at=now + after, repeats=deliveries.c.repeats + 1)
        ).rowcount


# --- settling

_IN_HAND = and_(HELD, or_(deliveries.c.state == DeliveryState.CLAIMED, deliveries.c.state == DeliveryState.SENDING))


def _settle(db: Connection, outcomes: Sequence[Outcome], *, worker: str, now: datetime) -> None:
    """Writes down how each ended, where it is still this worker's."""
    ended = [each for each in outcomes if each.state is not DeliveryState.PENDING]
    again = [each for each in outcomes if each.state is DeliveryState.PENDING]
    if ended:
        # What may have arrived at an earlier try is uncertain for good, however this one ended.
        before = and_(deliveries.c.settled_at.is_not(None), bindparam("end") == DeliveryState.FAILED.value)
        end = case((before, DeliveryState.UNCERTAIN.value), else_=bindparam("end"))
        final = update(deliveries).where(_IN_HAND).values(_outcome() | {"state": end, "settled_at": now})
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
        _forget(db, [each.id for each in again], now=now)


def _outcome() -> dict[str, ColumnElement[Any] | None]:
    # A server's words name the reader; nothing names one who was erased meanwhile.
    why = case((deliveries.c.subscriber_id == people.NOBODY, null()), else_=bindparam("why", type_=Text))
    return {"state": bindparam("end"), "worker": None, "lease_until": None, "problem": why}


def _row(outcome: Outcome, worker: str) -> dict[str, Any]:
    return {
        "held": outcome.id,
        "held_epoch": outcome.epoch,
        "held_by": worker,
        "end": outcome.state.value,
        "why": outcome.problem,
    }


def _forget(db: Connection, ids: Sequence[int], *, now: datetime) -> None:
    """Whose reader was erased while a server had them are not tried again."""
    theirs = and_(
        deliveries.c.id.in_(ids),
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.subscriber_id == people.NOBODY,
    )
    end = called_off(DeliveryState.SUPPRESSED)
    db.execute(update(deliveries).where(theirs).values(state=end, settled_at=now, problem=people.WAS_ERASED))
