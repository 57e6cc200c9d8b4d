"""SQLite: one file, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from scheduler import permissions
from scheduler.errors import StoreRefused

_OLDEST_SQLITE = (3, 35)  # UPDATE … RETURNING
_LOCK_WAIT = 10.0
_LOCK_STEP = 0.001
_BUSY = "PRAGMA busy_timeout = 10000"


def connect(target: URL) -> tuple[Engine, Path]:
    """Connections to the file at `target`, made where there is none, and its path. Raises :class:`StoreRefused`."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreRefused(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or later is needed.")
    if not target.database or target.database == ":memory:":
        raise StoreRefused("database: an SQLite database needs a file. Write sqlite:///var/embargo.db")
    path = _made(Path(target.database))
    # Parameters are held text: no error may carry them.
    engine = create_engine(
        target.set(drivername="sqlite+pysqlite", database=str(path)),
        pool_size=5,
        max_overflow=20,
        hide_parameters=True,
    )
    listen(engine)
    return engine, path


def _made(named: Path) -> Path:
    """The database file itself, made with its folder where there is none, for its owner alone.

    A link is followed: under its own name alone can a second service see that the file has one.
    """
    path = Path(os.path.realpath(named))
    if named.is_symlink() and not path.exists():
        raise StoreRefused(
            f"The database {named} is a link to {path}, where there is nothing. "
            "Mount or restore what it leads to; to begin with an empty database there, delete the link."
        )
    try:
        permissions.folder(path.parent, permissions.PRIVATE)
        if not path.exists():
            with suppress(FileExistsError):  # another process was quicker
                os.close(permissions.private_file(path))
    except OSError as error:
        raise StoreRefused(f"The database {path} can't be opened: {error.strerror}. Is its folder writable?") from error
    return path


def listen(engine: Engine) -> None:
    """Gives each connection our settings, and each transaction the lock that it asks for (``embargo_write``)."""

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        # For the rare moments at which even a reader meets a lock: the first one after a crash, the last one that closes.
        connection.execute(_BUSY)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -8000")
        connection.execute("PRAGMA temp_store = MEMORY")  # a large sort would lay held text down in /tmp

    @event.listens_for(engine, "begin")
    def _begin(db: Connection) -> None:
        if not db.get_execution_options().get("embargo_write"):
            db.exec_driver_sql("BEGIN")
            return
        # SQLite's own waiting backs off to 100 ms, far too long for a lift that meets another writer.
        give_up = time.monotonic() + _LOCK_WAIT
        db.exec_driver_sql("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    db.exec_driver_sql("BEGIN IMMEDIATE")
                except OperationalError as error:
                    if "locked" not in str(error.orig) or time.monotonic() > give_up:
                        raise
                    time.sleep(_LOCK_STEP)
                else:
                    return
        finally:
            db.exec_driver_sql(_BUSY)


def write_ahead(db: Connection) -> None:
    """Switches the file to write-ahead logging, for good. That takes a lock of its own, outside any transaction."""
    raw = db.connection.driver_connection
    assert raw is not None
    raw.execute("PRAGMA journal_mode = WAL")
