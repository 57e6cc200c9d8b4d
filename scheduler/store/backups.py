"""The backups of a folder: when the next one is due, which may go, and how one becomes the database again."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from scheduler import permissions
from scheduler.errors import StoreRefused
from scheduler.store import trail
from scheduler.store.engine import Store, flush, version

_NAME = re.compile(r"embargo-(\d{8}T\d{6}\.\d{3})Z\.db", re.ASCII)
_PART = ".embargo-backup.part"
_INSTANCE = "instance"
_BESIDE = ("", "-wal", "-shm", "-journal", ".instance", ".heads")


class Backup(NamedTuple):
    """A backup of this module's naming: when it was begun, where it is, and its bytes."""

    at: datetime
    path: Path
    size: int


def listed(folder: Path) -> list[Backup]:
    """The backups in a folder, newest first; none where there is no folder. Raises :class:`StoreRefused`."""
    found = []
    try:
        for path in folder.iterdir() if folder.exists() else ():
            at = _instant(path.name)
            if at is not None and path.is_file() and not path.is_symlink() and (size := path.stat().st_size):
                found.append(Backup(at, path, size))
    except OSError as error:
        raise StoreRefused(f"The backups in {folder} can't be listed: {error.strerror}.") from error
    return sorted(found, reverse=True)


def _instant(name: str) -> datetime | None:
    named = _NAME.fullmatch(name)
    try:
        return None if named is None else datetime.strptime(f"{named[1]}+0000", "%Y%m%dT%H%M%S.%f%z")
    except ValueError:  # no such day: a name of somebody else's
        return None


def due(folder: Path, every: timedelta, now: datetime) -> bool:
    """Whether no backup in the folder is younger than `every`. One from the future, by a wrong clock, counts for nothing."""
    return not any(now - every < each.at <= now for each in listed(folder))


def make(store: Store, folder: Path, keep: int, now: datetime) -> Path:
    """Writes and checks a backup named for `now`; then the oldest go until `keep` are left. Raises :class:`StoreRefused`.

    Nothing goes before the new one is sound and on the disk, and nothing of any other name.
    """
    now = now.astimezone(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    try:
        permissions.folder(folder, permissions.PRIVATE)
    except OSError as error:
        raise StoreRefused(f"The folder of backups {folder} can't be made: {error.strerror}.") from error
    made = folder / f"embargo-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z.db"
    store.backup(made, part=_PART)
    for each in [each for each in listed(folder) if each.at <= now][max(keep, 1) :]:
        try:
            each.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreRefused(
                f"{made} is written and checked, but the old backup {each.path} can't be deleted: {error.strerror}."
            ) from error
    return made


def restore(source: Path, database: Path) -> int:
    """Puts the backup `source` in the place of a database that is not there, and gives how many rows its trail has.

    It is fenced from its first moment, until a person adopts it. Raises :class:`StoreRefused` where there is a database, or where
    the backup is not sound, newer than this program, or no backup; then nothing was changed. Call it with the service's lock.
    """
    make_room(database)
    if any(Path(f"{source}{end}").exists() for end in ("-wal", "-journal")):
        raise StoreRefused(
            f"{source} has a log beside it: it is a database that was in use, and no backup. Write one: `embargo backup`."
        )
    part = database.with_name(f".{database.name}.restore")
    beside = [Path(f"{part}{end}") for end in ("", "-wal", "-shm", "-journal")]
    try:
        for each in beside:
            each.unlink(missing_ok=True)
        with source.open("rb") as data, os.fdopen(permissions.private_file(part), "wb") as copy:
            shutil.copyfileobj(data, copy)
        rows = _examined(part, source)
        _displace(part)
        with part.open("rb+") as copy:
            if os.geteuid() == 0:  # what root restores, the service's user must be able to read
                owner = database.parent.stat()
                os.fchown(copy.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(copy.fileno())
        make_room(database)
        os.link(part, database)  # unlike a rename, over nothing that came meanwhile
        flush(database.parent)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StoreRefused(
            f"{source} can't be restored to {database}: {why}. There is still no database there."
        ) from error
    finally:
        for each in beside:
            each.unlink(missing_ok=True)
    return rows


def make_room(database: Path) -> None:
    """Raises :class:`StoreRefused`, with how to move it aside, where a database or a part of one has this place."""
    there = [path for path in (database.with_name(database.name + end) for end in _BESIDE) if os.path.lexists(path)]
    if any(path.name.removeprefix(database.name) in _BESIDE[:4] for path in there):
        aside = database.parent / "aside"
        raise StoreRefused(
            f"There is a database {database}, and it is left as it is. To restore another, move it aside and keep it: "
            f"{shlex.join(['mkdir', '-m', '700', str(aside)])} && {shlex.join(['mv', *map(str, there), str(aside)])}"
        )


def _examined(copy: Path, source: Path) -> int:
    """How many rows the trail of a sound backup has. `copy` is read, `source` is spoken of."""
    address = f"file:{quote(str(copy))}?mode=ro&immutable=1"
    engine = create_engine(
        "sqlite+pysqlite://",
        poolclass=NullPool,
        creator=lambda: sqlite3.connect(address, uri=True),
        hide_parameters=True,
    )
    store = Store(engine, copy)
    if damage := store.damage():
        raise StoreRefused(f"{source} is not sound: {damage}. Take another backup; nothing was changed.")
    try:
        with engine.connect() as db:
            number = version(db)
            count, broken = trail.verify(db) if number else (0, [])
    except (DatabaseError, StoreRefused) as error:
        why = error.orig if isinstance(error, DatabaseError) else error
        raise StoreRefused(f"{source} is no backup that can be restored. {why}") from error
    if not number:
        raise StoreRefused(f"{source} is no backup that can be restored. It is empty.")
    if broken:
        raise StoreRefused(
            f"{source} is not what was written: its trail is broken, {broken[0]} Take another backup. To use this one all the "
            "same, copy it to the database's place by hand."
        )
    return count


def _displace(copy: Path) -> None:
    """Gives a database a mark that fits no file beside it: wherever it is put, it is fenced."""
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("PRAGMA journal_mode = DELETE")  # one file, whatever it was
        found = db.execute("SELECT value FROM meta WHERE key = ?", (_INSTANCE,)).fetchone()
        before = found[0].partition(" ")[0] if found else "restored"
        mark = f"{before} {secrets.token_hex(16)}"
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_INSTANCE, mark))
