"""Opens the database, keeps its two kinds of transaction, and brings its schema up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, literal, literal_column, select, text, update
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as AllTaken

from scheduler import permissions
from scheduler.errors import StoreDamaged, StoreRefused
from scheduler.store import jobs, postgres, schema, server, sqlite
from scheduler.store.trail import GENESIS


def create(db: Connection) -> None:
    """The newest schema, in an empty database. What the migrations make of an old one is the same."""
    schema.metadata.create_all(db)
    db.execute(schema.trail_head.insert().values(only=1, seq=0, hash=GENESIS))
    db.execute(schema.meta.insert().values(key="store_id", value=str(uuid.uuid4())))
    db.execute(schema.meta.insert().values(key="schema", value=str(_NEWEST)))
    for statement in _append_only(db.dialect.name):
        db.exec_driver_sql(statement)


def _append_only(dialect: str) -> Iterator[str]:
    """Statements that make the database itself refuse to change a row of the trail."""
    message = "the trail is append-only"
    for act in ("UPDATE", "DELETE") if dialect == "sqlite" else ("UPDATE", "DELETE", "TRUNCATE"):
        name = f"trail_refuses_{act.lower()}"
        if dialect == "sqlite":
            yield f"CREATE TRIGGER {name} BEFORE {act} ON trail BEGIN SELECT RAISE(ABORT, '{message}'); END"
            continue
        refuse = f"RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'"
        yield f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse}; END $$"
        yield f"CREATE TRIGGER {name} BEFORE {act} ON trail FOR EACH STATEMENT EXECUTE FUNCTION {name}()"


def _attachments(db: Connection) -> None:
    tables = (schema.attachments, schema.attachment_chunks, schema.revision_attachments)
    schema.metadata.create_all(db, tables=tables)
    schema.records_by_change.create(db)


def _subscribers(db: Connection) -> None:
    # SQLite can't change what a column may hold, so the ledger is written anew.
    changed = (schema.mailings, schema.deliveries)
    for table in changed:
        db.exec_driver_sql(f"CREATE TABLE old_{table.name} AS SELECT * FROM {table.name}")  # noqa: S608 - our own names
    for table in reversed(changed):
        table.drop(db)
    schema.metadata.create_all(db, tables=(*changed, schema.subscribers, schema.asks, schema.forgotten, schema.reports))
    for table in changed:
        known = [column["name"] for column in inspect(db).get_columns(f"old_{table.name}")]
        values = [*map(literal_column, known), *_NEW[table.name].values()]
        old = select(*values).select_from(text(f"old_{table.name}"))
        db.execute(table.insert().from_select([*known, *_NEW[table.name]], old))
        db.exec_driver_sql(f"DROP TABLE old_{table.name}")


_NEW = {
    "mailings": {"frozen_to": literal(0), "segments": literal(0)},
    "deliveries": {"segment": literal(0), "priority": literal(1), "epoch": literal(0), "repeats": literal(0)},
}

# Step n brings schema n to n+1. A step that has been released is never edited.
_MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_attachments, _subscribers)
_NEWEST = len(_MIGRATIONS) + 1


class Store:
    """The database. Threads may share one; each ``read()`` and ``write()`` has a connection of its own.

    All instants are aware and in UTC. Errors an operator can mend are raised as :class:`StoreRefused`; others travel as they are.
    """

    def __init__(self, engine: Engine, path: Path | None) -> None:
        self.engine = engine
        self.path = path

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with self._usable(), self.engine.connect() as db, db.begin():
            yield db

    @contextmanager
    def write(self, *, alone: bool = True) -> Iterator[Connection]:
        """One transaction, committed at the end. It owns the write lock from its start, so that a decision never meets another.

        Not `alone`: on PostgreSQL it may run beside others; its own statements have to lock the rows that they change.
        """
        with self._usable(), self.engine.connect() as db:
            writing = db.execution_options(embargo_write=True, embargo_alone=alone)
            with writing.begin():
                yield writing

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except AllTaken as error:
            raise StoreRefused("All connections to the database are in use. This is tried again.") from error
        except DatabaseError as error:
            if type(error) not in {DatabaseError, OperationalError} and not server.is_operational(error):
                raise  # a refused row, or a bug
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise self.damaged(error.orig) from error
            if self.path is None:
                raise server.refusal(error, self.engine.url) from error
            raise StoreRefused(
                f"The database {self.path} can't be used: {error.orig}. "
                "Is its disk full, or another program holding it? `embargo doctor` looks."
            ) from error

    def damaged(self, found: object) -> StoreDamaged:
        """What is to be said about a file in which `found` was found."""
        return StoreDamaged(
            f"The database {self.path} is damaged: {found}. "
            "Stop the service, keep the file under another name, and restore the last backup: `embargo restore FILE`."
        )

    def checkpoint(self) -> None:
        """Moves SQLite's write-ahead log into the database, so that no lift has to; waits for nobody."""
        if self.path is not None:
            with self.engine.connect() as db:
                db.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def damage(self, *, quick: bool = False) -> str | None:
        """What the database itself finds wrong with its file; ``None`` if it is sound. `quick` leaves the indexes out."""
        if self.path is None:
            return None
        try:
            with self.engine.connect() as db:
                found = str(db.exec_driver_sql(f"PRAGMA {'quick' if quick else 'integrity'}_check").scalar())
        except DatabaseError as error:
            return str(error.orig)
        return None if found == "ok" else found

    def backup(self, target: Path, *, part: str = "", replace: bool = False) -> None:
        """Writes a consistent copy, whoever is writing meanwhile, and checks it. Raises :class:`StoreRefused`.

        Until it is whole, sound and on the disk it is a hidden file beside `target`, called `part` where that is given; a kill
        leaves that one at most, and the next backup of that name takes it over. `replace`: what stands there gives way then.
        """
        if self.path is None:
            raise StoreRefused("This database is a PostgreSQL server's: back it up with pg_dump.")
        taken = StoreRefused(f"{target} is there already; it is left as it is. Name a new file.")
        if os.path.lexists(target) and not replace:
            raise taken
        try:
            unfinished = target.with_name(part or f".{target.name}.part")
            with _unfinished(unfinished) as descriptor:
                self._copy(unfinished)
                if unfinished.stat().st_ino != os.fstat(descriptor).st_ino:
                    raise StoreRefused(f"Somebody removed {unfinished} while the backup was written. Try again.")
                os.fsync(descriptor)
                if not replace:
                    os.close(permissions.private_file(target))
                unfinished.replace(target)
                flush(target.parent)
        except FileExistsError:
            raise taken from None
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise StoreRefused(
                f"The backup {target} can't be written: {why}. Nothing that was there before was changed."
            ) from error

    def _copy(self, target: Path) -> None:
        # Into an empty file, as a reader: no writer waits for it, and what was erased is not in it.
        with self.engine.connect() as db:
            db.connection.driver_connection.execute("VACUUM INTO ?", (str(target),))  # type: ignore[union-attr]  # sqlite3's
        with closing(sqlite3.connect(target)) as copy:
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise StoreRefused(f"The backup {target} is not sound: {found}. Run `embargo doctor`.")

    def close(self) -> None:
        """Gives back all connections."""
        self.engine.dispose()


def flush(folder: Path) -> None:
    """Has the names in a folder on the disk, so that no power cut brings back what they were."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _unfinished(path: Path) -> Iterator[int]:
    """An empty file that nobody else writes to; gone at the end, unless it was renamed. Raises :class:`OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = path.stat().st_ino == os.fstat(descriptor).st_ino  # else it was another's, and is done
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise StoreRefused(
                f"Another backup is being written to {path.parent}. Wait for it, or name another folder."
            )
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            yield descriptor
        finally:
            # After a rename the next one may have begun a file of its own here.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                path.unlink()
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def open_store(url: str) -> Store:
    """The store at `url` (``sqlite:///path`` or ``postgresql://…``), created or migrated as needed.

    Raises :class:`StoreRefused` where the database is not ours, newer than this program, damaged, or can't be opened.
    """
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise StoreRefused("`database` is no database address. Write sqlite:///var/embargo.db") from error
    match target.get_backend_name():
        case "sqlite":
            store = Store(*sqlite.connect(target))
        case "postgresql":
            store = Store(postgres.connect(target), None)
        case other:
            raise StoreRefused(f"database: '{other}' is not supported. Write sqlite:///… or postgresql://…")
    try:
        _migrate(store)
    except DatabaseError as error:
        store.close()
        if store.path is None:
            raise server.refusal(error, target) from error
        raise _unusable(target, error.orig) from error
    except sqlite3.DatabaseError as error:
        store.close()
        raise _unusable(target, error) from error
    except StoreRefused:
        store.close()
        raise
    return store


def _unusable(target: URL, found: object) -> StoreRefused:
    return StoreRefused(
        f"The database {target.render_as_string()} can't be used: {found}. "
        "If the file is damaged, keep it under another name, and restore the last backup: `embargo restore FILE`."
    )


def version(db: Connection) -> int:
    """The schema's number, 0 for an empty database; refuses one that is not ours to change."""
    tables = set(inspect(db).get_table_names())
    number = 0
    if tables.issuperset({"meta", "records", "trail_head"}):
        found = db.execute(select(schema.meta.c.value).where(schema.meta.c.key == "schema")).scalar()
        number = int(found or 0)
    if number == 0 and tables:
        raise StoreRefused(
            "The database holds other tables than Embargo's. Point `database:` at an empty one; nothing was changed."
        )
    if number > _NEWEST:
        raise StoreRefused(
            f"The database has schema {number}, this program knows {_NEWEST}: it was written by a newer Embargo. "
            "Install that version, or restore the backup made before the upgrade."
        )
    return number


def is_newest(db: Connection) -> bool:
    """Whether the schema is this program's; raises :class:`StoreRefused` as `version` does."""
    return version(db) == _NEWEST


def _migrate(store: Store) -> None:
    with store.engine.connect() as db, db.begin():
        if store.path is None:
            server.require_version(db)
        version(db)  # before anything is changed
    with store.engine.connect() as db:
        if store.path is not None:
            sqlite.write_ahead(db)
    with (
        store.engine.connect() as plain,
        (db := plain.execution_options(embargo_write=True, embargo_alone=True)).begin(),
    ):
        before = version(db)
        if before == 0:
            create(db)
        elif before < _NEWEST:
            _keep(store, db, before)
            for step in _MIGRATIONS[before - 1 :]:
                step(db)
            db.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value=str(_NEWEST)))
        if store.path is None:
            jobs.install(db)


def _keep(store: Store, db: Connection, number: int) -> None:
    """A backup of the database as it is, beside it. `db` owns the write lock, so that nothing is decided after it."""
    if store.path is None:
        return
    row = db.execute(select(schema.trail_head.c.seq)).scalar_one()
    target = store.path.with_name(f"{store.path.name}.schema-{number}.row-{row}.db")
    try:
        store.backup(target, replace=True)
    except StoreRefused as error:
        raise StoreRefused(
            f"The database {store.path} has schema {number}, this program needs {_NEWEST}, and brings no database there "
            f"without a backup. {error}"
        ) from error
