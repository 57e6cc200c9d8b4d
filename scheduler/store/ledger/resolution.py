"""What a person decides about mails that may or may not have arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import and_, select, update

from scheduler.errors import MoveRefused
from scheduler.record import DeliveryState
from scheduler.store.engine import Store
from scheduler.store.ledger.audience import TO_SOMEBODY
from scheduler.store.ledger.taking import OUT_OF_DATE
from scheduler.store.ledger.work import STEP
from scheduler.store.schema import deliveries
from scheduler.store.trail import Entry, append


def resolve(store: Store, *, record_id: str, resend: bool, reason: str, now: datetime, actor: str) -> int:
    """A person decides about a record's uncertain mails: send again, byte for byte the same, or take them for sent.

    Each :data:`STEP` of them is a transaction of its own, with its line on the trail. Raises :class:`MoveRefused` where all that
    could be sent again is what was corrected or retracted since.
    """
    change: dict[str, Any] = (
        {"state": DeliveryState.PENDING, "due_at": now} if resend else {"state": DeliveryState.SENT, "settled_at": now}
    )
    uncertain = and_(deliveries.c.record_id == record_id, deliveries.c.state == DeliveryState.UNCERTAIN)
    which = and_(uncertain, TO_SOMEBODY, ~OUT_OF_DATE) if resend else uncertain
    last, total = 0, 0
    while True:
        # By id, and each once: what is sent again may be uncertain again before the last one is.
        some = select(deliveries.c.id).where(which, deliveries.c.id > last).order_by(deliveries.c.id).limit(STEP)
        with store.write() as db:
            ids = db.execute(some.with_for_update()).scalars().all()
            if not ids:
                break
            count = db.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(**change)).rowcount
            detail = {"act": "resend" if resend else "sent", "mails": count, "reason": reason}
            append(db, at=now, actor=actor, entries=[Entry(event="mail_resolved", record_id=record_id, detail=detail)])
        last, total = ids[-1], total + count
    if not total:
        with store.read() as db:
            if db.execute(select(deliveries.c.id).where(uncertain).limit(1)).scalar() is not None:
                raise MoveRefused(
                    record_id,
                    "it was corrected or retracted, or its readers were erased, so these mails are not sent again. "
                    "Take them for sent: `--sent`.",
                )
    return total
