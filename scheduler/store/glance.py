"""What whoever looks after the service asks again and again: a few counts and the soonest of each kind, at little cost."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, and_, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from scheduler.record import DeliveryState, State
from scheduler.store import postgres
from scheduler.store.engine import Store
from scheduler.store.ledger.audience import PRIORITIES
from scheduler.store.records import CURRENT
from scheduler.store.schema import deliveries, mailings, meta, records, refusals, revisions

SOONEST = 20
"""So many records of a kind are named."""
ENOUGH = 1000
"""So many mails that wait for another try are counted of each priority."""
LATELY = timedelta(hours=48)
LONG_AGO = timedelta(days=1)
"""An instant that a record may mean is one no more so long after it."""

_LOOKED_AT = 1000

_HELD = records.c.state == State.HELD
_STANDING = "trouble:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A held record and its instant."""

    uuid: str
    record_id: str
    lift_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A record that waits for a person; ``lift_at`` is the nearest instant that it may mean, if one is known."""

    uuid: str
    record_id: str
    lift_at: datetime | None


_LOOKING = {
    *(sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION),
    *(sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_PRAGMA),
}
_CHANGES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


def open_window(url: str, *, patience: timedelta = timedelta(seconds=1)) -> Store:
    """The store at `url` as it is, to look at: neither made nor migrated, and opened each time, so that it is the one there now.

    On SQLite the database itself denies this process every change but notes in `meta`. What is asked of it while it can't be
    used raises :class:`StoreRefused`, a question after `patience` at the latest.
    """
    target, wait_ms = make_url(url), patience // timedelta(milliseconds=1)
    if target.get_backend_name() != "sqlite":
        return Store(postgres.connect(target, patience=patience, keep=False), None)
    path = Path(os.path.realpath(target.database or ""))
    # Not mode=ro: where a kill left a log behind, the first who looks has to read it in.
    place = f"sqlite+pysqlite:///file:{quote(str(path))}?mode=rw&uri=true"
    engine = create_engine(place, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _only_looks(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
        connection.execute("PRAGMA temp_store = MEMORY")  # as everywhere: nothing is laid down in /tmp
        connection.set_authorizer(_allowed)

    @event.listens_for(engine, "begin")
    def _begin(db: Connection) -> None:
        db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("embargo_write") else "BEGIN")

    return Store(engine, path)


def _allowed(action: int, first: str | None, _second: str | None, _database: str | None, _inner: str | None) -> int:
    """SQLite's own question before it prepares a statement (sqlite3_set_authorizer)."""
    return (
        sqlite3.SQLITE_OK if action in _LOOKING or (action in _CHANGES and first == meta.name) else sqlite3.SQLITE_DENY
    )


def counts(db: Connection) -> dict[State, int]:
    """How many records stand in each state."""
    by_state = select(records.c.state, func.count()).group_by(records.c.state)
    return dict.fromkeys(State, 0) | {State(state): count for state, count in db.execute(by_state)}


def lifts(db: Connection, *, now: datetime) -> tuple[Lift, ...]:
    """The next lifts after `now`, soonest first."""
    query = select(records.c.uuid, records.c.id, records.c.lift_at).where(_HELD, records.c.lift_at > now)
    rows = db.execute(query.order_by(records.c.lift_at).limit(SOONEST))
    return tuple(Lift(uuid=row.uuid, record_id=row.id, lift_at=row.lift_at) for row in rows)


def due(db: Connection, *, now: datetime) -> tuple[int, datetime | None]:
    """How many records are held though their lift has come, and the earliest of those lifts."""
    query = select(func.count(), func.min(records.c.lift_at)).where(_HELD, records.c.lift_at <= now)
    row = db.execute(query).one()
    return row[0], row[1]


def attention(db: Connection, *, now: datetime) -> tuple[Waiting, ...]:
    """Records that wait for a person, those first whose likeliest instant, of those not long past, is nearest."""
    query = (
        select(records.c.uuid, records.c.id, records.c.lift_at, revisions.c.candidates)
        .join(revisions, CURRENT)
        .where(records.c.state == State.ATTENTION)
        .order_by(records.c.accepted_at.desc())
        .limit(_LOOKED_AT)
    )
    found = []
    for row in db.execute(query):
        instants = [datetime.fromisoformat(each["at"]) for each in json.loads(row.candidates)]
        instants += [row.lift_at] if row.lift_at else []
        at = min((each for each in instants if each > now - LONG_AGO), default=None)
        found.append(Waiting(uuid=row.uuid, record_id=row.id, lift_at=at))
    found.sort(key=lambda each: (each.lift_at is None, each.lift_at or now, each.record_id))
    return tuple(found[:SOONEST])


def refused(db: Connection) -> int:
    """How many files can't be taken in."""
    return int(db.execute(select(func.count()).select_from(refusals)).scalar_one())


def newest_release(db: Connection) -> datetime | None:
    """When the last record was released."""
    newest = select(records.c.released_at).where(records.c.released_at.is_not(None))
    return db.execute(newest.order_by(records.c.released_at.desc()).limit(1)).scalar()


def ledger(db: Connection, *, now: datetime) -> dict[DeliveryState, int]:
    """How many mails stand in each state, of what has been owed :data:`LATELY`: a quarter of a second for a million."""
    # Mailings are numbered as they become owed, so that the way from the newest one back is short.
    before = select(mailings.c.id).where(mailings.c.owed_at < now - LATELY).order_by(mailings.c.id.desc()).limit(1)
    first = db.execute(before).scalar() or 0
    by_state = select(deliveries.c.state, func.count()).where(deliveries.c.mailing_id > first)
    rows = db.execute(by_state.group_by(deliveries.c.state))
    return dict.fromkeys(DeliveryState, 0) | {DeliveryState(state): count for state, count in rows}


def failing(db: Connection) -> tuple[int, int]:
    """How many mails wait for another try because a server put them off, and how many because no server could be reached."""
    put_off = unreached = 0
    for priority in PRIORITIES:
        # The last to fall due are those which were tried already, so that a long list that waits for its turn costs nothing.
        last = (
            select(deliveries.c.problem, deliveries.c.attempts)
            .where(deliveries.c.state == DeliveryState.PENDING, deliveries.c.priority == priority)
            .order_by(deliveries.c.due_at.desc())
            .limit(ENOUGH)
        )
        for row in db.execute(last):
            put_off += row.problem is not None and row.attempts > 1
            unreached += row.problem is not None and row.attempts == 0
    return put_off, unreached


def uncertain(db: Connection) -> dict[str, int]:
    """For each record, how many mails may or may not have arrived: :data:`SOONEST` records at most, the last mailed ones."""
    by_mailing = (
        select(deliveries.c.mailing_id, func.count().label("mails"))
        .where(deliveries.c.state == DeliveryState.UNCERTAIN)
        .group_by(deliveries.c.mailing_id)
        .subquery()
    )
    query = select(mailings.c.record_id, by_mailing.c.mails).join(mailings, mailings.c.id == by_mailing.c.mailing_id)
    found: dict[str, int] = {}
    for record_id, mails in db.execute(query.order_by(mailings.c.id.desc())):
        if record_id in found or len(found) < SOONEST:
            found[record_id] = found.get(record_id, 0) + mails
    return found


def standing(db: Connection) -> Mapping[tuple[str, str], str]:
    """The troubles that other processes have left, by kind and subject."""
    keys = and_(meta.c.key >= _STANDING, meta.c.key < _STANDING[:-1] + chr(ord(":") + 1))
    found = {}
    for key, sentence in db.execute(select(meta.c.key, meta.c.value).where(keys).order_by(meta.c.key)):
        kind, _, subject = key.removeprefix(_STANDING).partition(":")
        found[kind, subject] = sentence
    return found
