"""The ledger read out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from scheduler.record import DeliveryState, Purpose
from scheduler.store.engine import Store
from scheduler.store.ledger.audience import PRIORITIES
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
                and_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.problem.is_not(None)),
            )
        )
        .order_by(deliveries.c.id)
    )
    if record_id is not None:
        query = query.where(deliveries.c.record_id == record_id)
    with store.read() as db:
        return [dict(row) for row in db.execute(query).mappings()]


RATE_OVER = timedelta(minutes=1)
"""The rate of a mailing is that of its last minute."""

_MAILINGS = 20
_SAMPLE = 5000
_DOMAINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a mailing is. ``audience`` grows until it is ``frozen``; ``pending`` counts what is in hand, too.

    ``rate`` is in mails a second, ``left_for`` how long the rest takes at it, ``None`` where nothing moves. ``errors`` are the
    domains with most mails that a server refused or put off, of a sample of either, with how many.
    """

    id: int
    record_id: str
    revision: int
    purpose: Purpose
    list: str
    owed_at: datetime
    frozen: bool
    audience: int
    sent: int
    failed: int
    suppressed: int
    uncertain: int
    rate: float
    errors: tuple[tuple[str, int], ...]

    @property
    def pending(self) -> int:
        """What has not ended."""
        return self.audience - self.sent - self.failed - self.suppressed - self.uncertain

    @property
    def left_for(self) -> timedelta | None:
        """How long the rest takes."""
        return timedelta(seconds=self.pending / self.rate) if self.rate else None


def progress(store: Store, *, now: datetime) -> list[Progress]:
    """The newest mailings, newest first. It counts the rows of each: of a million, half a second."""
    newest = select(mailings).order_by(mailings.c.id.desc()).limit(_MAILINGS)
    with store.read() as db:
        rows = db.execute(newest).all()
        ids = [row.id for row in rows]
        of_these = deliveries.c.mailing_id.in_(ids)
        audience = select(deliveries.c.mailing_id, func.count()).where(of_these).group_by(deliveries.c.mailing_id)
        people = {row[0]: int(row[1]) for row in db.execute(audience)}
        ended = (
            select(deliveries.c.mailing_id, deliveries.c.state, func.count())
            .where(of_these, deliveries.c.settled_at.is_not(None))
            .group_by(deliveries.c.mailing_id, deliveries.c.state)
        )
        ends = {(row[0], row[1]): int(row[2]) for row in db.execute(ended)}
        errors = _errors(db, ids, now=now)
        return [
            Progress(
                id=row.id,
                record_id=row.record_id,
                revision=row.revision,
                purpose=Purpose(row.purpose),
                list=row.list,
                owed_at=row.owed_at,
                frozen=row.frozen_at is not None,
                audience=people.get(row.id, 0),
                sent=ends.get((row.id, DeliveryState.SENT), 0),
                failed=ends.get((row.id, DeliveryState.FAILED), 0),
                suppressed=ends.get((row.id, DeliveryState.SUPPRESSED), 0),
                uncertain=ends.get((row.id, DeliveryState.UNCERTAIN), 0),
                rate=_rate(db, row.id, owed_at=row.owed_at, now=now),
                errors=tuple(errors[row.id].most_common(_DOMAINS)) if row.id in errors else (),
            )
            for row in rows
        ]


def _rate(db: Connection, mailing_id: int, *, owed_at: datetime, now: datetime) -> float:
    lately = select(func.count()).where(
        deliveries.c.mailing_id == mailing_id,
        deliveries.c.state == DeliveryState.SENT,
        deliveries.c.settled_at > now - RATE_OVER,
    )
    under_way = min(RATE_OVER, max(timedelta(seconds=1), now - owed_at))
    return float(db.execute(lately).scalar_one() / under_way.total_seconds())


def _errors(db: Connection, ids: Sequence[int], *, now: datetime) -> dict[int, Counter[str]]:
    """Mails that a server refused or put off, by mailing and domain: none that we ended, or could bring to no server."""
    about = select(deliveries.c.mailing_id, deliveries.c.address).where(deliveries.c.address.contains("@"))
    failed = about.where(
        deliveries.c.mailing_id.in_(ids),
        deliveries.c.state == DeliveryState.FAILED,
        deliveries.c.message_id.is_not(None),  # else it was never announced to a server
    )
    waiting = [
        about.where(
            deliveries.c.state == DeliveryState.PENDING,
            deliveries.c.priority == priority,
            deliveries.c.due_at > now,
            deliveries.c.attempts > 0,  # reaching no server is no try
            deliveries.c.problem.is_not(None),
        )
        for priority in PRIORITIES
    ]
    found: dict[int, Counter[str]] = {}
    for query in (failed, *waiting):
        for mailing_id, address in db.execute(query.limit(_SAMPLE)):
            found.setdefault(mailing_id, Counter())[address.rpartition("@")[2]] += 1
    return found
