"""What a PostgreSQL server says, put so that a person can act on it, and nothing that it quotes of our texts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError

from scheduler import clock
from scheduler.errors import StoreRefused

OLDEST = 15
"""The oldest major version."""

_REMEDIES = {
    "password": "Put the right one in `database:`, or into the service user's ~/.pgpass.",
    "authentication": "Let this user in with a line in the server's pg_hba.conf, or name another in `database:`.",
    "pg_hba.conf": "Let this user in with a line in the server's pg_hba.conf, or name another in `database:`.",
    "role": "Make that user (`createuser`), or name another in `database:`.",
    "does not exist": "Make it (`createdb`), or name another in `database:`.",
    "permission denied": "Let this user own the database: `ALTER DATABASE … OWNER TO …`.",
    "lock timeout": "It is held by another program, or another of ours that hangs; this is tried again.",
    "too many": "Raise the server's max_connections, or close what else is connected.",
}
_OTHERWISE = "Does the server run, and is it reached from here? `embargo doctor` looks."


def hush(engine: Engine) -> None:
    """Takes out of the server's errors what they quote of a row: no error may carry held text."""

    @event.listens_for(engine, "handle_error")
    def _hush(context: ExceptionContext) -> None:
        found = context.original_exception
        primary = getattr(getattr(found, "diag", None), "message_primary", None)
        if primary is None:
            return
        found.args = (primary,)
        if isinstance(context.sqlalchemy_exception, DBAPIError):
            named = f"({type(found).__module__}.{type(found).__name__}) {primary}"
            context.sqlalchemy_exception.args = (named, *context.sqlalchemy_exception.args[1:])


_PASSING = {
    "25006",  # read-only: a standby that is not promoted yet
    "25P03",  # it was idle for too long in a transaction
    "42501",  # a right was taken away
    "42P01",  # a table is not there: somebody else is at work on them
}


def is_operational(error: DBAPIError) -> bool:
    """Whether it is for an operator to mend, though its driver has no class for that."""
    return getattr(error.orig, "sqlstate", None) in _PASSING


def place(target: URL) -> str:
    """Which database is meant, for a person: without password or options."""
    return f"{target.database or '(none)'} on {target.host or 'localhost'}:{target.port or 5432}"


def refusal(error: DBAPIError, target: URL) -> StoreRefused:
    """Why the database can't be used, and what to do about it."""
    words = " ".join(str(error.orig).split()).removesuffix(".")
    remedy = next((each for sign, each in _REMEDIES.items() if sign in words), _OTHERWISE)
    return StoreRefused(f"The database {place(target)} can't be used: {words}. {remedy}")


def require_version(db: Connection) -> None:
    """Raises :class:`StoreRefused` where the server is too old."""
    number = int(db.exec_driver_sql("SHOW server_version_num").scalar_one())
    if number // 10_000 < OLDEST:
        shown = db.exec_driver_sql("SHOW server_version").scalar_one()
        raise StoreRefused(
            f"The PostgreSQL server at {place(db.engine.url)} is version {shown}: {OLDEST} or later is needed. "
            "Upgrade it, or name another under `database:`; nothing was changed."
        )


class Facts(NamedTuple):
    """What a server says of itself: its version, how far its clock is ahead of the host's, and its standbys, by how each is
    waited for (`sync`, `quorum`, `potential`, `async`; empty: this user may not see it).
    """

    version: str
    ahead: timedelta
    standbys: tuple[str, ...]


def facts(db: Connection) -> Facts:
    """Asks it. The time that the answer takes is shared out between its two ways."""
    version = str(db.exec_driver_sql("SHOW server_version").scalar_one())
    before = clock.system()
    shown: datetime = db.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    ahead = shown - (before + (clock.system() - before) / 2)
    streaming = (
        "SELECT coalesce(sync_state, '') FROM pg_stat_replication WHERE coalesce(state, 'streaming') = 'streaming'"
    )
    return Facts(version, ahead, tuple(db.exec_driver_sql(streaming).scalars()))
