"""Taking mails that are due. What was decided since they were owed is asked here, mail by mail: a correction or retraction in the
middle of a long run changes no row but its own, and no lift waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, update

from scheduler.record import Delivery, DeliveryState, Purpose, State
from scheduler.store import subscribers as people
from scheduler.store.ledger.audience import MAY_HAVE_ARRIVED, PRIORITIES
from scheduler.store.schema import called_off, deliveries, mailings, records

NEWER = "a newer correction came before this mail was sent"
RETRACTED = "the record was retracted before this mail was sent"
AHEAD = "a correction, which carries the text, went ahead of it"
FIRST_COMES = "the mail before it has not gone out, and will carry the text as it is then"

_LATER = timedelta(minutes=1)

UNTAKEN: dict[str, Any] = {
    "state": DeliveryState.PENDING,
    "worker": None,
    "lease_until": None,
    "attempts": deliveries.c.attempts - 1,
}

_TAKEN = ("id", "epoch", "record_id", "revision", "purpose", "recipient", "address", "attempts", "mailing_id")

OUT_OF_DATE = and_(
    deliveries.c.purpose != Purpose.RETRACTION,
    select(records.c.id)
    .where(
        records.c.id == deliveries.c.record_id,
        or_(records.c.state == State.RETRACTED, records.c.revision > deliveries.c.revision),
    )
    .exists(),
)
"""Mails that are not sent again, byte for byte the same, since their record was corrected or retracted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """``claimed`` are the mails taken; ``looked`` counts those that were due, also what turned out not to go any more."""

    claimed: tuple[Delivery, ...] = field(default=(), repr=False)
    looked: int = 0


class Segment(NamedTuple):
    """A part of a mailing's audience that one worker sends; `priority` is the mailing's."""

    mailing_id: int
    number: int
    priority: int


def due(now: datetime, segments: Collection[Segment] = ()) -> Iterator[Select[int]]:
    """The ids of what is due, one question after the other, in the order of going.

    A worker with `segments` in hand takes them, and before them only what is more urgent than one of them, wherever that is.
    """
    pending = (
        select(deliveries.c.id)
        .where(deliveries.c.state == DeliveryState.PENDING, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at, deliveries.c.id)
    )
    last = max((each.priority for each in segments), default=None)
    for priority in PRIORITIES:
        if last is None or priority < last:
            yield pending.where(deliveries.c.priority == priority)
    if segments:
        # By its place alone: with its priority the server would rather walk through all that is due.
        places = (
            and_(deliveries.c.mailing_id == each.mailing_id, deliveries.c.segment == each.number) for each in segments
        )
        yield pending.where(or_(*places))


def lock(db: Connection, *which: ColumnElement[bool], skip: bool = False, limit: int | None = None) -> list[int]:
    """Locks these deliveries, and gives their ids; on SQLite whoever writes has them all.

    Always by id, so that two who want the same ones never wait for each other. `skip`: not those that another has locked.
    """
    rows = select(deliveries.c.id).where(*which).order_by(deliveries.c.id).limit(limit)
    return list(db.execute(rows.with_for_update(of=deliveries, skip_locked=skip)).scalars())


def standing(ids: Collection[int]) -> Select[Any]:
    """These deliveries, each with the `newest` revision of its record and whether it was `retracted`."""
    return (
        select(
            *(
                deliveries.c[name]
                for name in ("id", "epoch", "record_id", "revision", "purpose", "address", "message_id")
            ),
            records.c.revision.label("newest"),
            (records.c.state == State.RETRACTED).label("retracted"),
        )
        .join(records, records.c.id == deliveries.c.record_id)
        .where(deliveries.c.id.in_(ids))
    )


def out_of_date(row: Any) -> str | None:
    """Why a mail of `standing` does not go any more."""
    if row.purpose == Purpose.RETRACTION:
        return None
    if row.retracted:
        return RETRACTED
    # A first mail that nobody has yet carries the newest text when it goes.
    return NEWER if row.revision < row.newest and not is_behind(row) else None


def is_behind(row: Any) -> bool:
    """Whether it is a first mail that nobody has, of a record that was corrected since."""
    return bool(row.purpose == Purpose.RELEASE and row.message_id is None and row.revision < row.newest)


def claim(
    db: Connection, *, worker: str, now: datetime, lease_for: timedelta, limit: int, segments: Collection[Segment] = ()
) -> Take:
    """Takes up to `limit`, what goes first before the rest; with `segments` in hand, of these."""
    taken: list[Any] = []
    looked = 0
    arrived: dict[tuple[str, str], list[Any]] = {}
    for question in due(now, segments):
        if len(taken) >= limit:
            break
        wanted = question.limit(limit - len(taken)).with_for_update(skip_locked=True)
        ids = list(db.execute(wanted).scalars())
        if not ids:
            continue
        looked += len(ids)
        rows = db.execute(standing(ids)).all()
        arrived |= _arrived(db, rows)
        ids = _fit(db, rows, arrived, now=now)
        claimed = db.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(ids), deliveries.c.state == DeliveryState.PENDING)
            .values(
                state=DeliveryState.CLAIMED,
                worker=worker,
                lease_until=now + lease_for,
                attempts=deliveries.c.attempts + 1,
                epoch=deliveries.c.epoch + 1,
            )
            .returning(
                *(deliveries.c[name] for name in _TAKEN),
            )
        )
        taken += sorted(claimed, key=lambda row: int(row.id))
    return Take(claimed=_described(db, taken, arrived), looked=looked)


def _arrived(db: Connection, rows: Sequence[Any]) -> dict[tuple[str, str], list[Any]]:
    """What else may have arrived, by record and address, for those of `rows` of which that matters: follow-ups, and first mails
    that were on their way before, when a follow-up may have gone ahead.
    """
    wanted: dict[str, list[str]] = {}
    for row in rows:
        if row.purpose != Purpose.RELEASE or row.epoch:
            wanted.setdefault(row.record_id, []).append(row.address)
    found: dict[tuple[str, str], list[Any]] = {}
    for record_id, addresses in wanted.items():
        under_way = and_(deliveries.c.state == DeliveryState.SENDING, deliveries.c.settled_at.is_(None))
        query = select(
            *(deliveries.c[name] for name in ("id", "record_id", "address", "message_id")), under_way.label("under_way")
        ).where(deliveries.c.record_id == record_id, deliveries.c.address.in_(addresses), MAY_HAVE_ARRIVED)
        for each in db.execute(query.order_by(deliveries.c.id)):
            found.setdefault((each.record_id, each.address), []).append(each)
    return found


def _fit(db: Connection, rows: Sequence[Any], arrived: dict[tuple[str, str], list[Any]], *, now: datetime) -> list[int]:
    """Those of `rows` that are to go, and writes down why the others are not."""
    dropped: dict[tuple[str, DeliveryState], list[int]] = {}
    later: list[int] = []
    for row in rows:
        others = arrived.get((row.record_id, row.address), [])
        if why := out_of_date(row):
            dropped.setdefault((why, DeliveryState.FAILED), []).append(row.id)
        elif row.message_id is None and row.purpose != Purpose.RELEASE and not any(each.id < row.id for each in others):
            dropped.setdefault((FIRST_COMES, DeliveryState.SUPPRESSED), []).append(row.id)
        elif row.message_id is None and row.purpose == Purpose.RELEASE and others:
            if all(each.under_way for each in others):  # the follow-up may come back
                later.append(row.id)
            else:
                dropped.setdefault((AHEAD, DeliveryState.SUPPRESSED), []).append(row.id)
    for (why, state), ids in dropped.items():
        gone = update(deliveries).where(deliveries.c.id.in_(ids))
        db.execute(gone.values(state=called_off(state), settled_at=now, problem=why))
    for newest in {row.newest for row in rows if is_behind(row)}:
        behind = [row.id for row in rows if is_behind(row) and row.newest == newest]
        db.execute(update(deliveries).where(deliveries.c.id.in_(behind)).values(revision=newest))
    if later:
        db.execute(update(deliveries).where(deliveries.c.id.in_(later)).values(due_at=now + _LATER))
    out = {each for ids in dropped.values() for each in ids} | set(later)
    return [row.id for row in rows if row.id not in out]


def _described(db: Connection, taken: Sequence[Any], arrived: dict[tuple[str, str], list[Any]]) -> tuple[Delivery, ...]:
    if not taken:
        return ()
    named = select(mailings.c.id, mailings.c.list).where(mailings.c.id.in_({row.mailing_id for row in taken}))
    lists: dict[int, str] = {row.id: row.list for row in db.execute(named)}
    key = people.secret_in(db)
    return tuple(
        Delivery(
            id=row.id,
            epoch=row.epoch,
            record_id=row.record_id,
            revision=row.revision,
            purpose=Purpose(row.purpose),
            list=lists[row.mailing_id],
            recipient=row.recipient,
            attempts=row.attempts,
            token=people.token_of(key, list_id=lists[row.mailing_id], address=row.address),
            earlier=_earlier(row, arrived) if row.purpose != Purpose.RELEASE else (),
        )
        for row in taken
    )


def _earlier(row: Any, arrived: dict[tuple[str, str], list[Any]]) -> tuple[str, ...]:
    others = arrived.get((row.record_id, row.address), [])
    return tuple(each.message_id for each in others if each.id < row.id)
