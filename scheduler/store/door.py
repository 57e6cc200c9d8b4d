"""A way into the database that reaches the subscribers and nothing else: the web server's, which must never read a record."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from scheduler.store import postgres, sqlite
from scheduler.store.engine import Store
from scheduler.store.schema import asks, forgotten, meta, subscribers, trail, trail_head

OPEN = frozenset(table.name for table in (asks, forgotten, meta, subscribers, trail, trail_head))
"""The tables behind the door."""

_ON_TABLES = {sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_ALWAYS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_TRANSACTION}
_PRAGMAS = {"busy_timeout", "read_uncommitted"}  # of each transaction, and of SQLAlchemy's first look
_FUNCTIONS = {"coalesce", "count", "max"}


def open_door(url: str) -> Store:
    """The store at `url` as it is: neither made nor migrated, and not looked at before it is first used.

    On SQLite the database itself denies this process every table but `OPEN`, and changes of its settings and its schema.
    Where it is not there, what is asked of it raises :class:`StoreRefused`.
    """
    target = make_url(url)
    if target.get_backend_name() != "sqlite":
        return Store(postgres.connect(target), None)
    path = Path(os.path.realpath(target.database or ""))
    # SQLite's own way to say that the file must be there. Opened each time, so that it is the one that is there now: what
    # somebody who leaves says must not go into a file that was moved away.
    place = f"sqlite+pysqlite:///file:{quote(str(path))}?mode=rw&uri=true"
    engine = create_engine(place, poolclass=NullPool, hide_parameters=True)
    sqlite.listen(engine)

    @event.listens_for(engine, "connect")
    def _locked(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.set_authorizer(_allowed)

    return Store(engine, path)


def _allowed(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    """SQLite's own question before it prepares a statement (sqlite3_set_authorizer)."""
    if (
        action in _ALWAYS
        or (action in _ON_TABLES and first in OPEN)
        or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
        or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
    ):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
