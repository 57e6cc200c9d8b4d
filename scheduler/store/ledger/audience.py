"""Who is owed which mail, and what a correction or retraction changes about mails that have not gone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    select,
    true,
    update,
)

from scheduler.record import DeliveryState, Membership, Purpose
from scheduler.store import jobs
from scheduler.store.engine import Store
from scheduler.store.schema import Instant, deliveries, mailings, subscribers
from scheduler.store.subscribers import NOBODY

SEGMENT = 1000
"""So many of an audience are written down in one transaction, which no lift waits for longer than it may."""

GONE = "not on the list any more"

# A mail that was announced has its Message-ID until it is known that nobody took it.
MAY_HAVE_ARRIVED = and_(deliveries.c.message_id.is_not(None), deliveries.c.state != DeliveryState.FAILED)
# Who was erased gets nothing more; null: written before there were subscribers.
TO_SOMEBODY = deliveries.c.subscriber_id.is_distinct_from(NOBODY)

_FOLLOW_UP, _SHORT, _LONG = range(3)
PRIORITIES = (_FOLLOW_UP, _SHORT, _LONG)
"""What goes first: corrections and retractions, then lists of at most :data:`SEGMENT`, then longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """One list owed one mail about one revision. `priority` is one of :data:`PRIORITIES`."""

    id: int
    record_id: str
    revision: int
    purpose: Purpose
    list: str
    owed_at: datetime
    priority: int


def to_freeze(store: Store) -> list[Mailing]:
    """The mailings whose audience has not been written down to its end, those first that go first."""
    some = select(subscribers.c.id).where(subscribers.c.list == mailings.c.list).limit(SEGMENT + 1)
    size = select(func.count()).select_from(some.correlate(mailings).subquery()).scalar_subquery()
    priority = case((mailings.c.purpose != Purpose.RELEASE, _FOLLOW_UP), (size <= SEGMENT, _SHORT), else_=_LONG)
    query = (
        select(
            mailings.c.id,
            mailings.c.record_id,
            mailings.c.revision,
            mailings.c.purpose,
            mailings.c.list,
            mailings.c.owed_at,
            priority.label("priority"),
        )
        .where(mailings.c.frozen_at.is_(None))
        .order_by("priority", mailings.c.id)
    )
    with store.read() as db:
        return [Mailing(**{**row, "purpose": Purpose(row["purpose"])}) for row in db.execute(query).mappings()]


def freeze(store: Store, mailing: Mailing, *, now: datetime) -> int | None:
    """Writes the next segment of the audience down: at most :data:`SEGMENT` of the list, or of those who had the first mail.

    Gives how many mails are owed by that; ``None`` when there are no more, or the mailing has been called off. A kill in between
    loses nothing and doubles nobody: what has been written down is known by its place.
    """
    waiting = and_(mailings.c.id == mailing.id, mailings.c.frozen_at.is_(None))
    at = select(mailings.c.revision, mailings.c.frozen_to, mailings.c.segments).where(waiting)
    # Alone: who is erased this moment must be found in what is written down, and two of us must not owe one person two mails.
    with store.write() as db:
        place = db.execute(at.with_for_update()).one_or_none()
        if place is None:
            return None
        # A correction may have overtaken the first mail since.
        mailing = replace(mailing, revision=place.revision)
        if mailing.purpose is Purpose.RELEASE:
            last, people = _of_the_list(db, mailing, after=place.frozen_to)
        else:
            last, people = _of_the_first(db, mailing, step=place.segments)
        if people is None:
            db.execute(update(mailings).where(waiting).values(frozen_at=now))
            return None
        added = _owe(db, mailing, people, segment=place.segments, now=now)
        if mailing.purpose is Purpose.RELEASE:
            added += _take_over(db, mailing, after=place.frozen_to, last=last, segment=place.segments, now=now)
        db.execute(update(mailings).where(waiting).values(frozen_to=last, segments=place.segments + 1))
        if added:
            jobs.ask_to_deliver(db, mailing_id=mailing.id, segment=place.segments, priority=mailing.priority)
    return added


def close(store: Store, mailing: Mailing, *, now: datetime) -> None:
    """Ends a mailing whose list is no more: what was written down stays owed, nobody is added."""
    with store.write() as db:
        db.execute(
            update(mailings).where(mailings.c.id == mailing.id, mailings.c.frozen_at.is_(None)).values(frozen_at=now)
        )


_People = Select[tuple[int, str, str, str]]


def _of_the_list(db: Connection, mailing: Mailing, *, after: int) -> tuple[int, _People | None]:
    """The next of those who are on the list: subscriber, recipient, address, and whether he is to get it."""
    listed = and_(subscribers.c.list == mailing.list, subscribers.c.listed == 1, subscribers.c.id > after)
    page = select(subscribers.c.id).where(listed).order_by(subscribers.c.id).limit(SEGMENT).subquery()
    last = db.execute(select(func.max(page.c.id))).scalar()
    if last is None:
        return after, None
    state = case(
        (subscribers.c.state == Membership.ACTIVE, DeliveryState.PENDING.value), else_=DeliveryState.SUPPRESSED.value
    )
    people = select(subscribers.c.id, subscribers.c.recipient, subscribers.c.address, state)
    return last, people.where(listed, subscribers.c.id <= last)


def _of_the_first(db: Connection, mailing: Mailing, *, step: int) -> tuple[int, _People | None]:
    """The next of those who may have had an earlier mail about this record through this list.

    A correction is not for those whose first mail carried its text already.
    """
    before = (
        select(mailings.c.id, mailings.c.segments)
        .where(mailings.c.record_id == mailing.record_id, mailings.c.list == mailing.list, mailings.c.id < mailing.id)
        .order_by(mailings.c.id)
    )
    segments = [(row.id, segment) for row in db.execute(before) for segment in range(max(1, row.segments))]
    if step >= len(segments):
        return 0, None
    mailing_id, segment = segments[step]
    people = select(
        deliveries.c.subscriber_id, deliveries.c.recipient, deliveries.c.address, literal(DeliveryState.PENDING.value)
    ).where(
        deliveries.c.mailing_id == mailing_id,
        deliveries.c.segment == segment,
        MAY_HAVE_ARRIVED,
        TO_SOMEBODY,
        deliveries.c.revision < mailing.revision if mailing.purpose is Purpose.CORRECTION else true(),
    )
    return 0, people


def _owe(db: Connection, mailing: Mailing, people: _People, *, segment: int, now: datetime) -> int:
    """Owes each of `people` a mail who is not owed it through another list. Gives how many."""
    who = people.subquery()
    subscriber_id, recipient, address, state = who.c
    owed = deliveries.alias()
    already = select(owed.c.id).where(
        owed.c.record_id == mailing.record_id,
        owed.c.address == address,
        # Nobody gets a first mail twice, whichever revision the other one carried.
        true() if mailing.purpose is Purpose.RELEASE else owed.c.revision == mailing.revision,
        owed.c.purpose == mailing.purpose,
    )
    suppressed = state == DeliveryState.SUPPRESSED
    values: dict[str, ColumnElement[object]] = {
        "mailing_id": literal(mailing.id),
        "segment": literal(segment),
        "subscriber_id": subscriber_id,
        "record_id": literal(mailing.record_id),
        "revision": literal(mailing.revision),
        "purpose": literal(mailing.purpose.value),
        "recipient": recipient,
        "address": address,
        "state": state,
        "priority": literal(mailing.priority),
        "due_at": literal(now, Instant),
        "problem": case((suppressed, GONE), else_=null()),
        "settled_at": case((suppressed, literal(now, Instant)), else_=null()),
    }
    rows = select(*values.values()).select_from(who).where(~already.exists())
    adding = insert(deliveries).from_select(list(values), rows)
    return db.execute(adding, execution_options={"preserve_rowcount": True}).rowcount


def _take_over(db: Connection, mailing: Mailing, *, after: int, last: int, segment: int, now: datetime) -> int:
    """Owes what is suppressed because its reader has left another list to those who are on this one, too."""
    found = (
        select(deliveries.c.id, subscribers.c.id.label("subscriber_id"))
        .join(subscribers, subscribers.c.address == deliveries.c.address)
        .where(
            subscribers.c.list == mailing.list,
            subscribers.c.id > after,
            subscribers.c.id <= last,
            subscribers.c.listed == 1,
            subscribers.c.state == Membership.ACTIVE,
            deliveries.c.record_id == mailing.record_id,
            deliveries.c.purpose == mailing.purpose,
            deliveries.c.state == DeliveryState.SUPPRESSED,
            deliveries.c.mailing_id != mailing.id,
        )
    )
    rows = db.execute(found).all()
    for row in rows:
        db.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id, deliveries.c.state == DeliveryState.SUPPRESSED)
            .values(
                state=DeliveryState.PENDING,
                mailing_id=mailing.id,
                segment=segment,
                subscriber_id=row.subscriber_id,
                priority=mailing.priority,
                revision=mailing.revision,
                due_at=now,
                problem=None,
                settled_at=None,
            )
        )
    return len(rows)


def overtake(db: Connection, *, record_id: str, revision: int, now: datetime) -> None:
    """A correction: audiences not yet written down get the new revision as their first mail, and no older correction.

    What was written down and has not gone finds out when it is taken, or announced.
    """
    waiting = and_(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None))
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.RELEASE).values(revision=revision))
    db.execute(update(mailings).where(waiting, mailings.c.purpose == Purpose.CORRECTION).values(frozen_at=now))


def call_off(db: Connection, *, record_id: str, now: datetime) -> None:
    """A retraction: nobody is added to earlier audiences. What has not gone finds out when it is taken or announced."""
    waiting = and_(mailings.c.record_id == record_id, mailings.c.frozen_at.is_(None))
    db.execute(update(mailings).where(waiting).values(frozen_at=now))
