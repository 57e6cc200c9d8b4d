"""A copy of the database that leaves the database untouched, and what a rehearsal on the copy wants to know."""

from __future__ import annotations

import os
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from scheduler.errors import StoreRefused
from scheduler.record import DeliveryState
from scheduler.store.engine import Store
from scheduler.store.schema import deliveries, mailings

_TRIES = 5


class Mailed(NamedTuple):
    """What went to one list about one record: to how many people, the first and the last of them."""

    record_id: str
    revision: int
    purpose: str
    list: str
    people: int
    first: str
    last: str


def copy(url: str, target: Path) -> None:
    """Writes a consistent copy of the database at `url` to `target`, whoever is writing meanwhile.

    `Store.backup` through the store would create, migrate or tidy up the original. Raises :class:`StoreRefused`.
    """
    named = make_url(url)
    if named.get_backend_name() != "sqlite":
        raise StoreRefused(
            "A rehearsal copies the database, and this one is a PostgreSQL server's: that is not possible."
        )
    path = Path(os.path.realpath(named.database or ""))
    if not path.is_file():
        raise StoreRefused(f"There is no database {path} yet, so nothing is held.")
    for left in reversed(range(_TRIES)):
        try:
            if _copied(path, target):
                return
        except (DatabaseError, StoreRefused, OSError) as error:
            # A process that comes or goes makes or takes the files beside it; anything else will not pass.
            if not left or all(part.exists() for part in _beside(path)):
                raise StoreRefused(f"The database {path} can't be copied: {error}") from error
        for part in (target, Path(f"{target}-wal")):
            part.unlink(missing_ok=True)
    raise StoreRefused(f"The database {path} can't be copied: it is opened and closed all the time. Try again.")


def _beside(path: Path) -> tuple[Path, Path]:
    return Path(f"{path}-wal"), Path(f"{path}-shm")


def _copied(path: Path, target: Path) -> bool:
    if (reader := _reader(path)) is not None:
        reader.backup(target)
        return True
    # Nobody has it open; SQLite would make log and index.
    log, index = _beside(path)
    before = path.stat()
    shutil.copyfile(path, target)
    if log.exists():
        shutil.copyfile(log, f"{target}-wal")
    after = path.stat()
    opened = log.exists() and index.exists()
    return not opened and (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


def _reader(path: Path) -> Store | None:
    """The original, to be read alone, where somebody has it open or died over it; ``None`` where nobody has.

    SQLite writes not a byte if it may not write the index either.
    """
    if not all(part.exists() for part in _beside(path)):
        return None
    address = f"file:{quote(str(path))}?mode=ro&readonly_shm=1"
    engine = create_engine(
        "sqlite+pysqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(address, uri=True, timeout=10)
    )
    return Store(engine, path)


def original(url: str, copied: Store) -> Store:
    """The store at `url`, of which `copied` is a copy, to be read alone."""
    path = Path(os.path.realpath(make_url(url).database or ""))
    return _reader(path) or Store(copied.engine, path)


def mailed(store: Store, *, at: datetime) -> list[Mailed]:
    """What was sent at this very instant, in the order of sending."""
    sent = (
        select(
            deliveries.c.mailing_id,
            func.count().label("people"),
            func.min(deliveries.c.id).label("first"),
            func.max(deliveries.c.id).label("last"),
        )
        .where(deliveries.c.state == DeliveryState.SENT, deliveries.c.settled_at == at)
        .group_by(deliveries.c.mailing_id)
        .subquery()
    )
    first, last = deliveries.alias(), deliveries.alias()
    about = (mailings.c.record_id, mailings.c.revision, mailings.c.purpose, mailings.c.list)
    query = (
        select(*about, sent.c.people, first.c.recipient, last.c.recipient)
        .join(sent, sent.c.mailing_id == mailings.c.id)
        .join(first, first.c.id == sent.c.first)
        .join(last, last.c.id == sent.c.last)
        .order_by(sent.c.first)
    )
    with store.read() as db:
        return [Mailed(*row) for row in db.execute(query)]
