"""Moves everything from one database to another, SQLite or PostgreSQL, and holds each row that arrived against what left.

In this order: the old database is closed to everybody else; all of it is copied, compared and made durable in the new one, with a
note that it is still on its way; the old one notes where it went; the new one drops its note. Either note fences (`fence`): a
kill at any moment leaves one database in use at most, and the same command once more ends the move or says what to do.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, delete, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from scheduler import permissions
from scheduler.errors import StoreDamaged, StoreRefused
from scheduler.store import fence, postgres, schema, sqlite, trail, vitals
from scheduler.store.engine import Store, create, flush, is_newest, open_store
from scheduler.store.transfer import rows

_BESIDE = ("", "-wal", "-shm", "-journal", ".instance", ".heads")
_OTHERS_FOR = 2.0
_LOOKS = 20


class Moved(NamedTuple):
    """How many rows of each table there are, and how many the trail has now. `resumed`: an earlier move was only ended."""

    rows: Mapping[str, int]
    trail: int
    resumed: bool


def address(said: str) -> URL:
    """A database's address, a file's with its whole path. Raises :class:`StoreRefused` for what is none."""
    wrong = StoreRefused("That is no database address. Write sqlite:///PATH or postgresql://…")
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        raise wrong from None  # it may hold a password
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(database=os.path.realpath(Path(url.database).expanduser()))
    if backend != "postgresql":
        raise wrong
    return url


def file_of(url: URL) -> Path | None:
    """Where an SQLite database is; ``None`` for a server's."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def shown(url: URL) -> str:
    """An address as it may be printed: without its password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def move(source: URL, target: URL, *, now: datetime, actor: str, reason: str | None, told: rows.Told) -> Moved:
    """Moves everything from `source` to `target`, an empty place. Call it with the service's lock of each that is a file.

    Raises :class:`StoreRefused` where one of them is in use or not as it must be, or where a row did not arrive as it left; then
    the source is as it was, and the target empty.
    """
    coming = _coming(target)
    with closing(_opened(source)) as old:
        _fit(old, source, target, coming)
        if coming is not None:
            counts = _arrive(target, now)
            return Moved(counts, counts[schema.trail.name], resumed=True)
        name = secrets.token_hex(8)
        with _locked(old, now) as before:
            with _fresh(target) as after:
                counts = rows.counted(before)
                rows.copy(before, after, sum(counts.values()), told)
                rows.compare(before, after, sum(counts.values()), told)
                rows.go_on(before, after)
                vitals.forget(after)
                fence.expect(after, fence.Move(place=shown(source), at=now, name=name))
                detail: dict[str, str | int | None] = {"reason": reason, "rows": sum(counts.values())}
                detail |= {"from": shown(source), "to": shown(target)}
                trail.append(after, at=now, actor=actor, entries=[trail.Entry(event="moved", detail=detail)])
                count, broken = trail.verify(after)
                if broken:
                    raise StoreRefused(f"The trail in {shown(target)} is broken, so nothing was moved: {broken[0]}")
            # Here the new one is on its disk, and not in use.
            fence.leave(before, fence.Move(place=shown(target), at=now, name=name))
    _arrive(target, now)
    return Moved(counts, count, resumed=False)


# --- the two ends


def _opened(url: URL) -> Store:
    """The store as it is: neither made nor migrated. A file is this process's alone while there is a connection to it."""
    path = file_of(url)
    if path is None:
        return Store(postgres.connect(url, keep=False), None)
    if not path.is_file():
        raise StoreRefused(f"There is no database {path}: nothing was moved.")

    def connect() -> sqlite3.Connection:
        # Before anything is read: so SQLite lets nobody else have the file open in write-ahead mode, not even to read.
        made = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_OTHERS_FOR, check_same_thread=False
        )
        try:
            made.execute("PRAGMA locking_mode = EXCLUSIVE")
            made.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            made.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise StoreRefused(
                f"Another program has {path} open: stop the service, every worker and whatever else looks into it. "
                "Nothing was moved."
            ) from None
        return made

    engine = create_engine("sqlite+pysqlite://", poolclass=NullPool, creator=connect, hide_parameters=True)
    sqlite.listen(engine)
    return Store(engine, path)


def _coming(target: URL) -> fence.Move | None:
    """The move that did not come to its end there; ``None`` where the target is empty. Raises :class:`StoreRefused` else."""
    path = file_of(target)
    if path is not None:
        there = [each for each in (path.with_name(path.name + end) for end in _BESIDE) if os.path.lexists(each)]
        if not there:
            return None
        if not path.is_file():
            raise StoreRefused(f"{there[0]} is there already, of another database. Move it aside, and keep it.")
    found = None
    with suppress(StoreDamaged), closing(_opened(target)) as store, store.read() as db:
        tables = inspect(db).get_table_names()
        if not tables and path is None:
            return None
        found = fence.moves(db).coming if schema.meta.name in tables and is_newest(db) else None
    if found is None:
        raise StoreRefused(
            f"{shown(target)} is not empty, and it is left as it is. Name a new {'file' if path else 'database'} to move to."
        )
    return found


def _fit(old: Store, source: URL, target: URL, coming: fence.Move | None) -> None:
    """Raises :class:`StoreRefused` where the source can't be moved; with `coming`, where that move can't be ended."""
    with old.read() as db:
        if not is_newest(db):
            raise StoreRefused(
                f"{shown(source)} is empty, or of an older version of Embargo. Start this version on it, or type "
                "`embargo doctor` with it in `database:`, which brings it up to date. Nothing was moved."
            )
        gone = fence.moves(db).to
    if coming is not None:
        if gone is None or gone.name != coming.name:
            rid = "delete that file" if file_of(target) else "drop that database and create it anew"
            raise StoreRefused(
                f"{shown(target)} has what is left of a move that was cut off, and is not in use: {rid}, and move again. "
                f"{shown(source)} is as it was."
            )
        return
    if why := fence.examine(old).why:
        raise StoreRefused(
            f"{shown(source)} is fenced: {' '.join(why)} Only what is in use can be moved: `embargo adopt`."
        )
    if found := old.damage():
        raise old.damaged(found)
    with old.read() as db:
        _, broken = trail.verify(db)
    if broken:
        raise StoreRefused(
            f"The trail of {shown(source)} is broken, so nothing was moved: {broken[0]} See `embargo trail verify`."
        )


@contextmanager
def _locked(store: Store, now: datetime) -> Iterator[Connection]:
    """A transaction beside which nobody decides anything. Raises :class:`StoreRefused` where a service or worker is at it."""
    with store.write() as db:
        _without_end(db)
        if store.path is None:
            names = ", ".join(table.name for table in schema.metadata.sorted_tables)
            db.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
            _nobody(db)
        held = select(schema.deliveries.c.worker, schema.deliveries.c.lease_until).where(
            schema.deliveries.c.worker.is_not(None), schema.deliveries.c.lease_until > now
        )
        if row := db.execute(held.limit(1)).one_or_none():
            raise StoreRefused(
                f"The worker {row.worker} has mail in hand. Stop it and the service; if it was killed, wait until "
                f"{row.lease_until:%H:%M:%S} UTC. Nothing was moved."
            )
        yield db


def _nobody(db: Connection) -> None:
    """Raises :class:`StoreRefused` where a service or another of our programs uses this database on a server."""
    others = text(
        "SELECT coalesce(host(client_addr), 'a local process') FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'embargo' AND pid <> pg_backend_pid()"
    )
    for look in range(_LOOKS):  # a command that has just ended takes a moment to be gone
        db.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        found = sorted(set(db.execute(others).scalars()))
        if not found:
            break
        if look + 1 < _LOOKS:
            db.exec_driver_sql(f"SELECT pg_sleep({_OTHERS_FOR / _LOOKS})")
    if found:
        raise StoreRefused(
            f"A service, worker or command is connected to {shown(db.engine.url)} from {', '.join(found)}. "
            "Stop every one of them, on every machine. Nothing was moved."
        )
    if inspect(db).has_table(schema.meta.name) and (hosts := vitals.beating(db)):
        raise StoreRefused(
            f"A service runs on {', '.join(hosts)}: stop it. If it was killed, wait for ten seconds. Nothing was moved."
        )


def _without_end(db: Connection) -> None:
    """A move takes its time: no statement of this transaction is cut off, and no pause in it."""
    if db.dialect.name == "postgresql":
        db.exec_driver_sql("SET LOCAL statement_timeout = 0")
        db.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


@contextmanager
def _fresh(target: URL) -> Iterator[Connection]:
    """A transaction in an empty database with the newest schema; afterwards all of it is durable, or there is nothing."""
    path = file_of(target)
    if path is None:
        with closing(Store(postgres.connect(target, keep=False), None)) as store, store.write() as db:
            _without_end(db)
            if inspect(db).get_table_names():
                raise StoreRefused(f"{shown(target)} is not empty any more: another program was quicker.")
            _nobody(db)
            if (letters := db.exec_driver_sql("SHOW server_encoding").scalar_one()) != "UTF8":
                raise StoreRefused(f"{shown(target)} has the encoding {letters}: create it with ENCODING 'UTF8'.")
            _empty_schema(db)
            yield db
        return
    part = _part(path)
    beside = [Path(f"{part}{end}") for end in ("", "-wal", "-shm", "-journal")]
    try:
        permissions.folder(path.parent, permissions.PRIVATE)
        for each in beside:
            each.unlink(missing_ok=True)  # left by a kill
        os.close(permissions.private_file(part))
        with closing(Store(*sqlite.connect(target.set(database=str(part))))) as store:
            with store.write() as db:
                _empty_schema(db)
                yield db
            if found := store.damage():
                raise store.damaged(found)
        _under_its_name(part, path)
    except OSError as error:
        raise StoreRefused(f"{path} can't be written: {error.strerror}. Nothing was moved.") from error
    finally:
        for each in beside:
            each.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.move")


def _under_its_name(part: Path, path: Path) -> None:
    with part.open("rb+") as file:
        if os.geteuid() == 0:  # what root moves, the service's user must be able to read
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fsync(file.fileno())
    os.link(part, path)  # unlike a rename, over nothing that came meanwhile
    flush(path.parent)


def _empty_schema(db: Connection) -> None:
    create(db)
    for table in (schema.meta, schema.trail_head):
        db.execute(delete(table))  # the old ones come


def _arrive(target: URL, now: datetime) -> Mapping[str, int]:
    """Takes the new database into use, and counts its rows."""
    path = file_of(target)
    if path is not None:
        _part(path).unlink(missing_ok=True)
    with closing(open_store(target.render_as_string(hide_password=False))) as store:
        fence.arrive(store, now=now)
        with store.read() as db:
            return rows.counted(db)
