"""What a running service alone knows of itself, for those who look at it from outside: written anew at each heartbeat."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from scheduler import clock
from scheduler.errors import StoreRefused
from scheduler.store import meta, nodes, postgres
from scheduler.store.engine import Store

FRESH_FOR = timedelta(seconds=5)
"""A service whose last heartbeat is older is not running, or hangs."""

LATENESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0)
"""Upper bounds, in seconds, of the buckets in which lifts are counted by their lateness; one more takes what is later."""

SILENT_AFTER = timedelta(seconds=10)
"""A service that gave no sign for so long is not running, or hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildVitals:
    """A process that the service keeps: ``pid`` is ``None`` while it is not there; it ended so often, each time soon."""

    name: str
    pid: int | None
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One heartbeat.

    ``ready`` means holding: the clock looked at, what fell due meanwhile caught up, the alarm armed, the site whole once.
    ``armed_for`` is the lift that the alarm is set for. ``doubts`` say why the clock is not believed, ``offset_s`` how far it
    was ahead of the last NTP answer. ``settings`` is the text of those in force, ``config_at`` when they were taken,
    ``config_problems`` why a newer edit of them is refused. ``site_at`` is the last complete refresh. ``lateness`` counts lifts
    since the start by :data:`LATENESS_BUCKETS`. ``steady`` is the steady clock's, set by `write`. Where the database is on a
    server: ``server_at`` is what its clock showed, set by `write`, ``server_offset_s`` how far that was ahead of the host's.
    ``site`` is the folder.
    """

    at: datetime
    pid: int
    host: str
    site: str = ""
    started_at: datetime
    ready: bool
    armed_for: datetime | None
    doubts: tuple[str, ...] = ()
    offset_s: float | None = None
    server_offset_s: float | None = None
    settings: str = field(default="", repr=False)
    config_at: datetime
    config_problems: tuple[str, ...] = field(default=(), repr=False)
    site_at: datetime | None
    site_problem: str | None = field(default=None, repr=False)
    children: tuple[ChildVitals, ...]
    lateness: tuple[int, ...] = (0,) * (len(LATENESS_BUCKETS) + 1)
    lateness_sum_s: float = 0.0
    steady: timedelta = timedelta()
    server_at: datetime | None = None

    @property
    def node(self) -> str:
        """What the node is called; see :func:`scheduler.store.nodes.name`."""
        return f"{self.host}:{self.site}"


class Node(NamedTuple):
    """The last heartbeat of one of the services on a server's database, and how old it is by the server's clock."""

    vitals: Vitals
    age: timedelta

    @property
    def alive(self) -> bool:
        """Whether it gives signs of life."""
        return self.age < FRESH_FOR


_FORM = TypeAdapter(Vitals)
_KIND = "vitals"
_PREFIX = f"{_KIND}:"
_GONE_AFTER = timedelta(days=1)


def beside(store: Store) -> Path | None:
    """The file; ``None`` for a database on a server, which keeps the vitals itself, apart for each node."""
    return None if store.path is None else store.path.with_name(store.path.name + ".vitals")


def write(store: Store, vitals: Vitals) -> None:
    """Replaces what was written before, whole or not at all. It need not outlive the machine, so it is not forced to the disk.

    Raises :class:`StoreRefused` where it can't be written.
    """
    file, known = beside(store), replace(vitals, steady=clock.steady())
    if file is None:
        # No decision: it waits for none, and for no disk and no standby either.
        with store.write(alone=False) as db:
            db.exec_driver_sql("SET LOCAL synchronous_commit = off")
            # Without the settings, which may hold secrets: dumps and other roles read this table.
            known = replace(known, settings="", server_at=postgres.now(db))
            meta.put(db, nodes.key(store, _KIND, site=Path(vitals.site)), _FORM.dump_json(known).decode())
        return
    said = _FORM.dump_json(known)
    temporary = file.with_name(file.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a kill
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(said)
        temporary.replace(file)
    except OSError as error:
        raise StoreRefused(f"{file} can't be written: {error.strerror}. Is its disk full, or not writable?") from error


def read(store: Store, *, site: Path) -> Vitals | None:
    """The last heartbeat, however old, of this host's service with this site folder; ``None``: none that this version can read.

    Raises :class:`StoreRefused` where it can't be looked at.
    """
    file = beside(store)
    try:
        if file is None:
            with store.read() as db:
                said: str | bytes | None = meta.get(db, nodes.key(store, _KIND, site=site))
        else:
            said = file.read_bytes()
        return None if said is None else _FORM.validate_json(said)
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        raise StoreRefused(f"{file} can't be read: {error.strerror}. Look as the service's user.") from error


def every(store: Store) -> tuple[Node, ...]:
    """The nodes of a server's database, by host and folder, those that are silent too; none where it is in a file.

    One that stopped in order is none any more. What this version can't read is left out.
    """
    if store.path is not None:
        return ()
    with store.read() as db:
        return _every(db)


def _every(db: Connection) -> tuple[Node, ...]:
    now, found = postgres.now(db), []
    for said in meta.below(db, _PREFIX).values():
        with suppress(ValidationError):
            beat = _FORM.validate_json(said)
            found.append(Node(beat, now - (beat.server_at or beat.at)))
    return tuple(sorted(found, key=lambda node: node.vitals.node))


def beating(db: Connection) -> list[str]:
    """The machines whose service gave a sign to a database on a server of late, by name."""
    return [node.vitals.host for node in _every(db) if node.age < SILENT_AFTER]


def forget(db: Connection) -> None:
    """Leaves nothing of what services said on other databases, in the caller's transaction."""
    meta.drop_below(db, _PREFIX, meta.below(db, _PREFIX))


def forget_gone(store: Store) -> None:
    """Takes away the heartbeats of nodes that have been silent for a day: of machines that do not come back."""
    gone = [node.vitals for node in every(store) if node.age > _GONE_AFTER]
    if gone:
        with store.write(alone=False) as db:
            for each in gone:
                meta.drop(db, _PREFIX + each.node)


def remove(store: Store, *, site: Path) -> None:
    """Says that the service has stopped in order."""
    file = beside(store)
    if file is not None:
        file.unlink(missing_ok=True)
        return
    with store.write(alone=False) as db:
        meta.drop(db, nodes.key(store, _KIND, site=site))
