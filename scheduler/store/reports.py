"""What came back about mails of ours: whose each report is, kept once, and what it changes in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.record import DeliveryState
from scheduler.record.reach import FAILURES, REPORTS_TAKE, SOFT_FOR, Report
from scheduler.store.engine import Store
from scheduler.store.schema import asks, deliveries, mailings, reports, subscribers

_ARRIVED = or_(
    deliveries.c.state.in_([DeliveryState.SENT, DeliveryState.UNCERTAIN]),
    # uncertain, and waiting to be sent again
    and_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.message_id.is_not(None)),
)


def _lately(since: datetime) -> ColumnElement[bool]:
    """The mails about records of which some were owed after `since`."""
    return deliveries.c.record_id.in_(select(mailings.c.record_id).where(mailings.c.owed_at > since))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whom a report is about: a place on a list, and which mail to it, as far as that is certain."""

    subscriber_id: int
    list: str
    address: str = field(repr=False)
    token: str = field(repr=False)
    delivery_id: int | None


def is_known(store: Store, *, digest: str) -> bool:
    """Whether the message with this digest has been taken before."""
    with store.read() as db:
        return db.execute(select(reports.c.id).where(reports.c.digest == digest)).scalar() is not None


def whose(store: Store, *, tokens: Sequence[str], message_ids: Sequence[str], now: datetime) -> Whose | None:
    """Whom these tokens and Message-IDs stand for: the first that is known decides. ``None``: nobody."""
    place = select(subscribers.c.id, subscribers.c.list, subscribers.c.address, subscribers.c.token)
    with store.read() as db:
        found = (db.execute(place.where(subscribers.c.token == token)).one_or_none() for token in tokens)
        person = next(filter(None, found), None)
        if person is None and message_ids:
            named = select(deliveries.c.subscriber_id).where(deliveries.c.message_id.in_(message_ids))
            person = db.execute(place.where(subscribers.c.id.in_(named))).first()
        if person is None:
            return None
        # By record and address: the ledger has no other index that finds a person's mails.
        his = and_(_lately(now - SOFT_FOR - REPORTS_TAKE), deliveries.c.address == person.address)
        # Without a Message-ID a mail is meant only where no other can be.
        which = (
            deliveries.c.message_id.in_(message_ids)
            if message_ids
            else and_(_ARRIVED, deliveries.c.settled_at > now - REPORTS_TAKE)
        )
        mails = db.execute(select(deliveries.c.id).where(his, which).limit(2)).scalars().all()
    return Whose(
        subscriber_id=person.id,
        list=person.list,
        address=person.address,
        token=person.token,
        delivery_id=mails[0] if len(mails) == 1 else None,
    )


def history(store: Store, *, address: str, now: datetime) -> tuple[list[datetime], list[datetime]]:
    """When mails to an address came back for a reason that may pass, and when one is known to have got through.

    That is known of what was reported as delivered, and of what was sent so long ago that a failure would have been reported.
    """
    since = now - SOFT_FOR - REPORTS_TAKE
    his = select(subscribers.c.id).where(subscribers.c.address == address)
    told = select(reports.c.at, reports.c.kind).where(reports.c.subscriber_id.in_(his), reports.c.at > since)
    sent = select(deliveries.c.settled_at).where(
        _lately(since - REPORTS_TAKE),
        deliveries.c.address == address,
        deliveries.c.state == DeliveryState.SENT,
        deliveries.c.settled_at > since,
        deliveries.c.settled_at < now - REPORTS_TAKE,
    )
    with store.read() as db:
        rows = db.execute(told).all()
        sent_at = [at for at in db.execute(sent).scalars() if at is not None]
    failed_at = [row.at for row in rows if row.kind in FAILURES]
    silent = [at for at in sent_at if not any(at <= failed <= at + REPORTS_TAKE for failed in failed_at)]
    return (
        [row.at for row in rows if row.kind == Report.SOFT],
        silent + [row.at for row in rows if row.kind == Report.DELIVERED],
    )


def keep(
    store: Store,
    *,
    digest: str,
    kind: Report,
    whose: Whose | None,
    status: str | None,
    detail: str | None,
    now: datetime,
) -> bool:
    """Writes a report down and what it says of its mail. ``False``: it was known, and nothing is changed.

    What came back was not delivered, though the next server had taken it; what arrived is uncertain no more.
    """
    values: dict[str, Any] = {"digest": digest, "at": now, "kind": kind, "status": status, "detail": detail}
    if whose is not None:
        values |= {"subscriber_id": whose.subscriber_id, "delivery_id": whose.delivery_id}
    try:
        with store.write() as db:  # alone: who is erased this moment must be found in it
            if db.execute(select(reports.c.id).where(reports.c.digest == digest)).scalar() is not None:
                return False
            db.execute(insert(reports).values(**values))
            if whose is not None and whose.delivery_id is not None:
                mine = deliveries.c.id == whose.delivery_id
                if kind in FAILURES:
                    back = {
                        "state": DeliveryState.FAILED,
                        "problem": " ".join(filter(None, ("bounced:", status, detail))),
                    }
                    db.execute(update(deliveries).where(mine, _ARRIVED).values(**back, settled_at=now))
                elif kind is Report.DELIVERED:
                    unsure = and_(_ARRIVED, deliveries.c.state != DeliveryState.SENT)
                    here = {"state": DeliveryState.SENT, "problem": None, "settled_at": now}
                    db.execute(update(deliveries).where(mine, unsure).values(**here))
    except IntegrityError:  # another worker took it this moment
        return False
    return True


def invitation_failed(store: Store, *, tokens: Sequence[str], problem: str) -> bool:
    """Notes that the mail to somebody who asked to be put on a list came back. ``False``: none of these tokens is an ask's."""
    open_ = and_(asks.c.token.in_(tokens), asks.c.confirmed_at.is_(None))
    with store.write() as db:
        return bool(db.execute(update(asks).where(open_).values(problem=problem)).rowcount)


def unattributed(store: Store, *, since: datetime) -> dict[str, int]:
    """How many reports of each kind came since then that name no mail of ours."""
    # Of somebody who was erased the mail is still known.
    nobodys = and_(reports.c.subscriber_id.is_(None), reports.c.delivery_id.is_(None), reports.c.at >= since)
    counted = select(reports.c.kind, func.count()).where(nobodys).group_by(reports.c.kind).order_by(reports.c.kind)
    with store.read() as db:
        return {kind: int(count) for kind, count in db.execute(counted)}
