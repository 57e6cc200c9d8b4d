"""What one process at a time does, of all that share a database."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from enum import IntEnum

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scheduler.store.engine import Store
from scheduler.store.postgres import WRITE_LOCK


class Work(IntEnum):
    """What there is; the numbers are the locks', and never change."""

    AUDIENCES = 1
    UPKEEP = 2
    ALERTS = 3


class Duty:
    """On PostgreSQL it is that process's whose session holds the lock. A session ends with its process, and some ten seconds
    after its machine was cut off (`postgres.connect`). On SQLite, where one service runs, it is whoever's asks.

    Threads do not share one.
    """

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._key = WRITE_LOCK, int(work)
        self._held: Connection | None = None

    def mine(self) -> bool:
        """Takes it if nobody has it. It stays ours until `drop`, or until the database can't be reached; then it is not ours."""
        if self._store.path is not None:
            return True
        if self._held is not None:
            try:
                self._held.execute(select(1))
            except DBAPIError:
                self._lose()
            else:
                return True
        # Nothing waits for the write lock here, and no transaction stays open.
        options = {"isolation_level": "AUTOCOMMIT", "embargo_write": True, "embargo_alone": False}
        with suppress(OperationalError, PoolTimeout), ExitStack() as stack:
            session = stack.enter_context(self._store.engine.connect().execution_options(**options))
            if session.execute(select(func.pg_try_advisory_lock(*self._key))).scalar_one():
                self._held = session
                stack.pop_all()
        return self._held is not None

    def drop(self) -> None:
        """Lets another have it."""
        if self._held is not None:
            try:
                self._held.execute(select(func.pg_advisory_unlock(*self._key)))
            except DBAPIError:
                self._lose()
            else:
                self._held.close()
                self._held = None

    def _lose(self) -> None:
        if self._held is not None:
            with suppress(DBAPIError):
                self._held.invalidate()
                self._held.close()
            self._held = None
