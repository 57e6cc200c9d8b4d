"""Who asked, on the page, to be put on lists; it counts when the link of the mail sent to him is followed."""

from __future__ import annotations

import json
import secrets
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, update

from scheduler.record import address_of
from scheduler.store.engine import Store
from scheduler.store.schema import asks, forgotten, subscribers
from scheduler.store.schema import meta as notes
from scheduler.store.subscribers.moves import READER, put
from scheduler.store.subscribers.values import SELECT, Subscriber, hash_of, secret_in, subscriber
from scheduler.store.trail import Entry, append

OPEN_FOR = timedelta(days=7)
"""So long the link of an invitation can be followed."""

# One address: one in ten minutes, three in a day. All together: a hundred a minute.
_LATELY, _AT_MOST = timedelta(minutes=10), 3
_FLOOD, _FLOOD_IN = 100, timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Somebody's wish to be on lists, not yet confirmed. ``token`` stands in the link that confirms it."""

    id: int
    token: str = field(repr=False)
    address: str = field(repr=False)
    recipient: str = field(repr=False)
    lists: tuple[str, ...]
    wording: str
    asked_from: str = field(repr=False)
    asked_at: datetime


def ask(store: Store, *, recipient: str, lists: Sequence[str], wording: str, asked_from: str, now: datetime) -> bool:
    """Notes that somebody asked. ``False``: too many did, for this address or in all; the visitor is told the same."""
    address = address_of(recipient)
    his = select(func.count(), func.max(asks.c.asked_at)).where(
        asks.c.address == address, asks.c.asked_at > now - timedelta(days=1)
    )
    flood = select(asks.c.asked_at).order_by(asks.c.id.desc()).offset(_FLOOD - 1).limit(1)
    with store.write() as db:
        secret_in(db)
        db.execute(select(notes.c.key).where(notes.c.key == "mail_secret").with_for_update())  # one after the other
        times, last = db.execute(his).one()
        newest = db.execute(flood).scalar()
        if times >= _AT_MOST or (last and last > now - _LATELY) or (newest and newest > now - _FLOOD_IN):
            return False
        db.execute(
            insert(asks).values(
                token=b32encode(secrets.token_bytes(15)).decode().lower(),
                address=address,
                recipient=recipient.strip(),
                lists=json.dumps(sorted(set(lists))),
                wording=wording,
                asked_from=asked_from,
                asked_at=now,
                due_at=now,
            )
        )
    return True


def asks_to_send(store: Store, *, now: datetime, limit: int) -> list[Ask]:
    """The wishes whose mail is due, oldest first."""
    due = and_(asks.c.announced_at.is_(None), asks.c.due_at <= now)
    query = select(asks).where(due).order_by(asks.c.due_at, asks.c.id).limit(limit)
    with store.read() as db:
        return [_ask(row) for row in db.execute(query)]


def _ask(row: Row[tuple[object, ...]]) -> Ask:
    return Ask(
        id=row.id,
        token=row.token,
        address=row.address,
        recipient=row.recipient,
        lists=tuple(json.loads(row.lists)),
        wording=row.wording,
        asked_from=row.asked_from,
        asked_at=row.asked_at,
    )


def announce_ask(store: Store, *, ask_id: int, now: datetime) -> bool:
    """Says that its mail is about to be sent. ``False``: another worker's was first. A crash after it sends none again."""
    mine = and_(asks.c.id == ask_id, asks.c.announced_at.is_(None))
    with store.write() as db:
        return bool(db.execute(update(asks).where(mine).values(announced_at=now)).rowcount)


def settle_ask(
    store: Store, *, ask_id: int, problem: str | None, now: datetime, due_at: datetime | None = None
) -> None:
    """Says how sending it ended: taken by the next server, or not and why; to be tried again at `due_at`, if no server has it."""
    ended: dict[str, Any] = {"sent_at": now, "problem": None} if problem is None else {"problem": problem}
    if due_at is not None:
        ended |= {"announced_at": None, "due_at": due_at}
    with store.write() as db:
        db.execute(update(asks).where(asks.c.id == ask_id).values(ended))


def confirm(store: Store, *, token: str, confirmed_from: str, now: datetime) -> tuple[Subscriber, ...] | None:
    """Puts on his lists who followed the link of his invitation, though he had left them or was erased.

    ``None``: there is no such link, or it is older than `OPEN_FOR`. Followed again it changes nothing.
    Gives how he stands on them.
    """
    open_ = and_(asks.c.token == token, asks.c.asked_at > now - OPEN_FOR)
    with store.write() as db:
        moved = update(asks).where(open_, asks.c.confirmed_at.is_(None)).values(confirmed_at=now)
        row = db.execute(moved.returning(*asks.c)).one_or_none()
        if row is None:
            row = db.execute(select(asks).where(open_)).one_or_none()
            if row is None:
                return None
            his = and_(subscribers.c.address == row.address, subscribers.c.list.in_(json.loads(row.lists)))
            return tuple(map(subscriber, db.execute(SELECT.where(his).order_by(subscribers.c.list))))
        key = secret_in(db)
        hash_ = hash_of(key, row.address)
        db.execute(delete(forgotten).where(forgotten.c.hash == hash_))
        consent = {
            "asked_at": row.asked_at.isoformat(),
            "asked_from": row.asked_from,
            "wording": row.wording,
            "sent_at": None if row.sent_at is None else row.sent_at.isoformat(),
            "confirmed_at": now.isoformat(),
            "confirmed_from": confirmed_from,
        }
        lists = json.loads(row.lists)
        made = [
            put(
                db,
                key=key,
                list_id=each,
                recipient=row.recipient,
                reason="confirmed",
                now=now,
                consent=consent,
                origin="form",
            )[0]
            for each in lists
        ]
        entries = [Entry(event="subscriber_confirmed", detail={"list": each, "who": hash_[:12]}) for each in lists]
        append(db, at=now, actor=READER, entries=entries)
    return tuple(made)
