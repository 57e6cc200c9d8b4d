"""Takes in whom the office lists, in its settings and files: many rows, in steps that no lift waits for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Dialect,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    update,
)

from scheduler.record import Membership, address_of
from scheduler.store.engine import Store
from scheduler.store.schema import meta, micros, subscribers
from scheduler.store.subscribers.values import forgotten_among, hash_of, secret, token_of
from scheduler.store.trail import Entry, append
from scheduler.store.upsert import insert_for, inserted

STEP = 500
"""So many rows are written in one transaction, which no lift waits for longer than it may."""

PAUSE = 0.003
"""Seconds between two transactions, in which whoever waits for the database gets it."""

_SORTED = 128 * STEP
"""So many are put in the order of their addresses before they are written, which keeps a step to few pages of the indexes."""

OFFICE = "office"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reading of the office's lists changed: how many are listed anew, how many are no more, how many are now."""

    added: int
    gone: int
    total: int


class Person(NamedTuple):
    """Somebody to be written: what tells him apart, and what his mail is addressed to."""

    address: str
    recipient: str


def read_office(store: Store, *, list_id: str, recipients: Iterable[str], now: datetime) -> Reading:
    """Makes everybody whom the office names, and nobody else of hers, part of the list.

    Who left, bounced or complained stays so, and counts as listed; who asked for himself stays though the office drops him; who
    was erased is passed over. Memory is constant. It is done in short transactions: a kill in between leaves some of the new ones
    listed and nobody taken off, and the next reading ends it.
    """
    key = secret(store)
    with store.write() as db:
        reading = _next(db)
    added = 0
    for people in steps(recipients):
        added += _take(store, people, list_id=list_id, key=key, reading=reading, now=now)
        time.sleep(PAUSE)
    gone = _sweep(store, list_id=list_id, reading=reading)
    named = (subscribers.c.list == list_id, subscribers.c.reading >= reading, subscribers.c.listed == 1)
    with store.read() as db:
        total = db.execute(select(func.count()).select_from(subscribers).where(*named)).scalar_one()
    if added or gone:
        detail: dict[str, str | int | None] = {"list": list_id, "added": added, "gone": gone, "total": total}
        with store.write() as db:
            append(db, at=now, actor="service", entries=[Entry(event="list_read", detail=detail)])
    return Reading(added=added, gone=gone, total=total)


def steps(recipients: Iterable[str]) -> Iterator[Sequence[Person]]:
    """Everybody, at most `STEP` at a time, in an order that is quick to write; nobody twice among neighbours."""
    waiting = iter(recipients)
    while chunk := list(islice(waiting, _SORTED)):
        first = {address_of(each): each for each in reversed(chunk)}  # of two spellings the first one counts
        people = [Person(*item) for item in sorted(first.items())]
        for start in range(0, len(people), STEP):
            yield people[start : start + STEP]


def known(db: Connection, list_id: str, people: Sequence[Person]) -> dict[str, Any]:
    """The rows of those who are in the table already, by their addresses."""
    columns = (
        subscribers.c.id,
        subscribers.c.address,
        subscribers.c.recipient,
        subscribers.c.origin,
        subscribers.c.state,
        subscribers.c.listed,
        subscribers.c.reading,
    )
    theirs = subscribers.c.address.in_([each.address for each in people])
    return {row.address: row for row in db.execute(select(*columns).where(subscribers.c.list == list_id, theirs))}


def _next(db: Connection) -> int:
    """The number of a new reading, above all before it."""
    first = inserted(db, meta).values(key="list_reading", value="1")
    again = first.on_conflict_do_update(
        index_elements=["key"], set_={"value": cast(cast(meta.c.value, Integer) + 1, Text)}
    )
    return int(db.execute(again.returning(meta.c.value)).scalar_one())


# A later reading, of another worker, may have been here first.
_MARKED = case((subscribers.c.reading < bindparam("now_read"), bindparam("now_read")), else_=subscribers.c.reading)
_RENAME = (
    update(subscribers)
    .where(
        subscribers.c.id == bindparam("known_id"),
        subscribers.c.origin == OFFICE,
        subscribers.c.reading < bindparam("now_read"),
    )
    .values(recipient=bindparam("spelt"))
)


def _take(store: Store, people: Sequence[Person], *, list_id: str, key: bytes, reading: int, now: datetime) -> int:
    """Lists these people, in one transaction. Gives how many were not listed before."""
    with store.read() as db:
        there = known(db, list_id, people)
    new = {
        hash_of(key, each.address): new_row(
            each, list_id=list_id, key=key, origin=OFFICE, reading=reading, now=now, reason=None
        )
        for each in people
        if each.address not in there
    }
    spelt = [
        {"known_id": row.id, "spelt": each.recipient, "now_read": reading}
        for each in people
        if (row := there.get(each.address)) and row.recipient != each.recipient and row.origin == OFFICE
    ]
    marked = update(subscribers).where(subscribers.c.id.in_([row.id for row in there.values()]))
    with store.write() as db:
        added = insert_new(db, new)
        if spelt:
            db.execute(_RENAME, spelt)
        if there:
            db.execute(marked.values(listed=1, reading=_MARKED), {"now_read": reading})
    return added + sum(not row.listed for row in there.values())


_COLUMNS = ("list", "address", "recipient", "token", "state", "origin", "listed", "reading", "since_at", "reason")

NewRow = tuple[str, str, str, str, str, str, int, int, int, str | None]


def new_row(
    person: Person, *, list_id: str, key: bytes, origin: str, reading: int, now: datetime, reason: str | None
) -> NewRow:
    """Somebody who is new to a list, for `insert_new`."""
    token = token_of(key, list_id=list_id, address=person.address)
    active = Membership.ACTIVE.value
    return (list_id, person.address, person.recipient, token, active, origin, 1, reading, micros(now), reason)


@cache
def _insertion(dialect: Dialect) -> str:
    """The INSERT of a `NewRow`, for the driver itself: what SQLAlchemy does a row takes as long as the database."""
    adding = insert_for(dialect, subscribers).values({name: bindparam(name) for name in _COLUMNS})
    later = adding.excluded.reading
    named = {
        "listed": literal_column("1"),
        "reading": case((subscribers.c.reading < later, later), else_=subscribers.c.reading),
    }
    return str(adding.on_conflict_do_update(index_elements=["list", "address"], set_=named).compile(dialect=dialect))


def insert_new(db: Connection, new: dict[str, NewRow]) -> int:
    """Puts these on a list, by the hashes of their addresses; who was erased is passed over. Gives how many.

    Somebody may have added one meanwhile: he stays as he is, and is listed.
    """
    erased = forgotten_among(db, new.keys())
    rows = [row for hash_, row in new.items() if hash_ not in erased]
    if rows:
        given = rows if db.dialect.positional else [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        db.exec_driver_sql(_insertion(db.dialect), given)
    return len(rows)


def _sweep(store: Store, *, list_id: str, reading: int) -> int:
    """Takes off whom the reading did not name: of those whom nobody but the office has listed. Gives how many."""
    unnamed = (
        subscribers.c.list == list_id,
        subscribers.c.listed == 1,
        subscribers.c.reading < reading,
        or_(subscribers.c.origin == OFFICE, subscribers.c.state != Membership.ACTIVE),
    )
    gone, last = 0, 0
    while True:
        page = select(subscribers.c.id).where(*unnamed, subscribers.c.id > last).order_by(subscribers.c.id).limit(STEP)
        with store.read() as db:
            ids = list(db.execute(page).scalars())
        if not ids:
            return gone
        last = ids[-1]
        with store.write() as db:
            off = update(subscribers).where(subscribers.c.id.in_(ids), *unnamed)
            gone += db.execute(off.values(listed=0)).rowcount
        time.sleep(PAUSE)
