"""What is kept no longer than the office wants: texts that nobody is shown, addresses of old mails, wishes nobody confirmed.

Rows stay where something counts them; the trail is never touched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from scheduler.record import DeliveryState, State
from scheduler.store.engine import Store
from scheduler.store.schema import asks, deliveries, mailings, records, reports, revisions, trail
from scheduler.store.subscribers.erasure import ERASED, NOBODY
from scheduler.store.subscribers.office import PAUSE

STEP = 200
"""So many rows are written in one transaction, which no lift waits for longer than it may."""

_GONE = "(erased)"
"""The title of a revision whose text was erased."""


class Kind(NamedTuple):
    """One kind of what can be erased.

    Its ``key``, the ``rows`` whose time came before an instant, and how some of them are erased, which gives how many.
    """

    key: tuple[Column[Any], ...]
    rows: Callable[[datetime], Select[Any]]
    erase: Callable[[Connection, list[Row[Any]]], int]


def _no_mail_open() -> ColumnElement[bool]:
    """No mail may still have to say this revision, byte for byte as it is."""
    mail = deliveries.alias()
    said = select(mail.c.id).where(
        mail.c.record_id == revisions.c.record_id,
        mail.c.revision == revisions.c.number,
        or_(mail.c.settled_at.is_(None), mail.c.state == DeliveryState.UNCERTAIN),
    )
    owed = select(mailings.c.id).where(mailings.c.record_id == revisions.c.record_id, mailings.c.frozen_at.is_(None))
    return and_(~said.exists(), ~owed.exists())


def _texts(before: datetime) -> Select[Any]:
    """Revisions that another superseded, and withdrawn records, both longer ago than `before`: no page shows them."""
    newer = revisions.alias()
    superseded = select(newer.c.number).where(
        newer.c.record_id == revisions.c.record_id,
        newer.c.number == revisions.c.number + 1,
        newer.c.accepted_at < before,
        records.c.state.in_([State.RELEASED, State.RETRACTED, State.WITHDRAWN]),
    )
    withdrawn = select(trail.c.record_id).where(trail.c.event == "withdrawn", trail.c.at < before)
    return (
        select(revisions.c.record_id, revisions.c.number, revisions.c.fields)
        .join(records, records.c.id == revisions.c.record_id)
        .where(
            revisions.c.title != _GONE,
            or_(superseded.exists(), and_(records.c.state == State.WITHDRAWN, records.c.id.in_(withdrawn))),
            _no_mail_open(),
        )
    )


_BLANK = (
    update(revisions)
    .where(revisions.c.record_id == bindparam("known"), revisions.c.number == bindparam("which"), _no_mail_open())
    .values(title=_GONE, summary="", text="", html="", fields=bindparam("left"))
)


def _erase_texts(db: Connection, rows: list[Row[Any]]) -> int:
    each = ({"known": row.record_id, "which": row.number, "left": _bare(row.fields)} for row in rows)
    return sum(db.execute(_BLANK, one).rowcount for one in each)


def _bare(fields: str) -> str:
    """The fields of a revision with their names and nothing in them but the language."""
    found: dict[str, Any] = json.loads(fields)
    bare: dict[str, Any] = {name: [] if isinstance(value, list) else None for name, value in found.items()}
    return json.dumps({**bare, "language": found["language"]})


_ENDED = deliveries.c.state.in_([DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.SUPPRESSED])


def _mails(before: datetime) -> Select[Any]:
    """Mails that ended before, and still have an address. What is uncertain has not ended: a person decides."""
    named: ColumnElement[bool] = ~deliveries.c.address.startswith(ERASED)
    return select(deliveries.c.id).where(_ENDED, deliveries.c.settled_at < before, named)


def _erase_mails(db: Connection, rows: list[Row[Any]]) -> int:
    name = literal(ERASED) + cast(deliveries.c.id, Text)
    nameless = update(deliveries).where(deliveries.c.id.in_([row.id for row in rows]), _ENDED)
    return db.execute(nameless.values(recipient=name, address=name, subscriber_id=NOBODY, problem=None)).rowcount


def _reports(before: datetime) -> Select[Any]:
    """What mail systems said of mails, which may name who was to read them."""
    return select(reports.c.id).where(reports.c.detail.is_not(None), reports.c.at < before)


def _erase_reports(db: Connection, rows: list[Row[Any]]) -> int:
    db.execute(update(reports).where(reports.c.id.in_([row.id for row in rows])).values(detail=None))
    return 0  # they are counted with their mails


def _wishes(before: datetime) -> Select[Any]:
    return select(asks.c.id).where(asks.c.asked_at < before)


def _erase_wishes(db: Connection, rows: list[Row[Any]]) -> int:
    return db.execute(delete(asks).where(asks.c.id.in_([row.id for row in rows]))).rowcount


KINDS = {
    "text": (Kind((revisions.c.record_id, revisions.c.number), _texts, _erase_texts),),
    "ledger": (Kind((deliveries.c.id,), _mails, _erase_mails), Kind((reports.c.id,), _reports, _erase_reports)),
    "asks": (Kind((asks.c.id,), _wishes, _erase_wishes),),
}


def count(store: Store, kind: str, *, before: datetime) -> int:
    """How many rows of a kind would be erased."""
    with store.read() as db:
        return int(db.execute(select(func.count()).select_from(KINDS[kind][0].rows(before).subquery())).scalar_one())


def erase(store: Store, kind: str, *, before: datetime) -> Iterator[int]:
    """Erases them, in short transactions; gives after each how many it was. What SQLite had on the disk is overwritten."""
    for part in KINDS[kind]:
        yield from _erased(store, part, before)


def _erased(store: Store, kind: Kind, before: datetime) -> Iterator[int]:
    key, rows, act = kind
    due = rows(before).order_by(*key).limit(STEP)
    page = due
    while True:
        with store.read() as db:  # looking for them takes longer than a lift may wait
            some = list(db.execute(page))
        if not some:
            return
        page = due.where(tuple_(*key) > tuple(some[-1])[: len(key)])
        with store.write() as db:
            if db.dialect.name == "sqlite":
                db.exec_driver_sql("PRAGMA secure_delete = ON")
            done = act(db, some)
        yield done
        time.sleep(PAUSE)
