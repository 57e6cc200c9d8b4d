"""PostgreSQL: one database, any number of machines.

Decisions are taken one after the other, as on SQLite, under a lock that each of our transactions takes at its start: what is true
when a move looks is true when it writes. Nothing waits without an end: neither for a lock, nor for a statement, nor for a
machine that is gone while it holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from scheduler.errors import StoreRefused
from scheduler.store import server

if TYPE_CHECKING:
    import psycopg

WRITE_LOCK = 0x656D6261  # "emba"
"""The key of the advisory lock that a transaction which decides holds to its end."""

CHANNEL = "embargo"
"""Where it is said that something has been decided; the word itself is empty."""

_PATIENCE = timedelta(seconds=10)
_FOR_A_STATEMENT = timedelta(seconds=60)
_IDLE = timedelta(seconds=3)
_MILLISECOND = timedelta(milliseconds=1)
_POOL, _MORE = 5, 20

# A server that is gone without a word is noticed after some ten seconds (libpq's manual, "Parameter Key Words").
_WIRE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def _limits(patience: timedelta) -> dict[str, int]:
    """A session's settings, in the server's own units."""
    return {
        "lock_timeout": min(_PATIENCE, patience) // _MILLISECOND,
        "statement_timeout": patience // _MILLISECOND,
        # Whoever is cut off, or frozen, while it holds the lock loses it after that; our statements follow at once.
        "idle_in_transaction_session_timeout": _IDLE // _MILLISECOND,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        # A client that takes no more of an answer holds up its session no longer than that.
        "tcp_user_timeout": 10_000,
    }


def conninfo(engine: Engine) -> str:
    """How another library reaches the same database under the same limits: libpq's connection string, password and all."""
    _, named = engine.dialect.create_connect_args(engine.url)
    said = {key: value for key, value in named.items() if key != "context"}  # that one is SQLAlchemy's
    limits = " ".join(f"-c {name}={value}" for name, value in _limits(_FOR_A_STATEMENT).items())
    options = f"{said.pop('options', '')} {limits}".strip()
    wire = _WIRE | {"application_name": "embargo"} | said
    return str(engine.dialect.import_dbapi().conninfo.make_conninfo(**wire, options=options))


def connect(target: URL, *, patience: timedelta = _FOR_A_STATEMENT, keep: bool = True) -> Engine:
    """Connections to the server at `target`, each statement with an end: after `patience`. Not to `keep`: opened each time.

    Raises :class:`StoreRefused` where what they need is not installed.
    """
    if not (find_spec("psycopg") and find_spec("procrastinate")):
        raise StoreRefused(
            "`database` is a PostgreSQL server, which needs more: pip install 'embargo-scheduler[cluster]'"
        )
    wire = {key: value for key, value in _WIRE.items() if key not in target.query}  # what the address says goes first
    wire["application_name"] = target.query.get("application_name", "embargo")  # type: ignore[assignment]  # a text
    pool: dict[str, Any] = (
        {"pool_size": _POOL, "max_overflow": _MORE, "pool_timeout": _PATIENCE.total_seconds(), "pool_pre_ping": True}
        if keep
        else {"poolclass": NullPool}
    )
    engine = create_engine(target.set(drivername="postgresql+psycopg"), hide_parameters=True, connect_args=wire, **pool)
    server.hush(engine)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _entry: ConnectionPoolEntry) -> None:
        with connection.cursor() as cursor:
            for name, value in _limits(patience).items():
                cursor.execute(f"SET {name} = {value}")
            cursor.execute("SET TIME ZONE 'UTC'")
            # Each statement sees what was committed before it: a row is looked at after its lock is had.
            cursor.execute("SET default_transaction_isolation = 'read committed'")
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(db: Connection) -> None:
        options = db.get_execution_options()
        if not options.get("embargo_write"):
            db.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        elif options.get("embargo_alone", True):
            db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    return engine


def now(db: Connection) -> datetime:
    """What the server's clock shows at this moment, aware and in UTC."""
    said: datetime = db.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return said


def earlier(db: Connection, host_now: datetime) -> datetime:
    """The earlier of the host's clock and the server's, to be asked inside the transaction that releases by it; on SQLite, which
    has no clock of its own, the host's.
    """
    return host_now if db.dialect.name == "sqlite" else min(host_now, now(db))


def tell(db: Connection) -> None:
    """Says to all who listen, at the commit, that something has been decided. It is a wake-up call, and may be lost."""
    if db.dialect.name != "sqlite":
        db.exec_driver_sql(f"NOTIFY {CHANNEL}")


def told(engine: Engine, *, every: timedelta) -> Iterator[bool]:
    """Listens on a connection of its own; gives True once it does, and whenever something was decided, and False when nothing was
    for `every`.

    Raises :class:`StoreRefused`, or SQLAlchemy's own errors, where the server can't be reached or is gone.
    """
    try:
        proxy = engine.raw_connection()
        connection: psycopg.Connection[Any] = proxy.driver_connection  # type: ignore[assignment]  # psycopg's
        proxy.detach()
        with closing(connection):
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            yield True
            while True:
                heard = bool(list(connection.notifies(timeout=every.total_seconds(), stop_after=1)))
                if not heard:
                    connection.execute("SELECT 1")  # a server that is gone without a word says nothing either
                yield heard
    except engine.dialect.loaded_dbapi.Error as error:
        raise StoreRefused(str(error)) from error
