"""What a running service alone knows of itself, for those who look at it from outside: written anew at each heartbeat."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from scheduler import clock
from scheduler.errors import StoreRefused
from scheduler.store import meta
from scheduler.store.engine import Store

LATENESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0)
"""Upper bounds, in seconds, of the buckets in which lifts are counted by their lateness; one more takes what is later."""


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
    since the start by :data:`LATENESS_BUCKETS`. ``steady`` is the steady clock's, set by `write`.
    """

    at: datetime
    pid: int
    host: str
    started_at: datetime
    ready: bool
    armed_for: datetime | None
    doubts: tuple[str, ...] = ()
    offset_s: float | None = None
    settings: str = field(default="", repr=False)
    config_at: datetime
    config_problems: tuple[str, ...] = field(default=(), repr=False)
    site_at: datetime | None
    site_problem: str | None = field(default=None, repr=False)
    children: tuple[ChildVitals, ...]
    lateness: tuple[int, ...] = (0,) * (len(LATENESS_BUCKETS) + 1)
    lateness_sum_s: float = 0.0
    steady: timedelta = timedelta()


_FORM = TypeAdapter(Vitals)


def beside(store: Store) -> Path | None:
    """The file; ``None`` for a database on a server, which keeps the vitals itself, apart for each host."""
    return None if store.path is None else store.path.with_name(store.path.name + ".vitals")


def write(store: Store, vitals: Vitals) -> None:
    """Replaces what was written before, whole or not at all. It need not outlive the machine, so it is not forced to the disk.

    Raises :class:`StoreRefused` where it can't be written.
    """
    said = _FORM.dump_json(replace(vitals, steady=clock.steady()))
    file = beside(store)
    if file is None:  # without the settings, which may hold secrets: dumps and other roles read this table
        said = _FORM.dump_json(replace(vitals, steady=clock.steady(), settings=""))
        with store.write() as db:
            meta.put(db, _key(), said.decode())
        return
    temporary = file.with_name(file.name + ".tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a kill
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(said)
        temporary.replace(file)
    except OSError as error:
        raise StoreRefused(f"{file} can't be written: {error.strerror}. Is its disk full, or not writable?") from error


def read(store: Store) -> Vitals | None:
    """The last heartbeat, however old; ``None`` where there is none, or none that this version can read.

    Raises :class:`StoreRefused` where it can't be looked at.
    """
    file = beside(store)
    try:
        if file is None:
            with store.read() as db:
                said: str | bytes | None = meta.get(db, _key())
        else:
            said = file.read_bytes()
        return None if said is None else _FORM.validate_json(said)
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        raise StoreRefused(f"{file} can't be read: {error.strerror}. Look as the service's user.") from error


def remove(store: Store) -> None:
    """Says that the service has stopped in order."""
    file = beside(store)
    if file is not None:
        file.unlink(missing_ok=True)
        return
    with store.write() as db:
        meta.drop(db, _key())


def _key() -> str:
    return f"vitals:{socket.gethostname()}"
