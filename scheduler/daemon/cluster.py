"""What services on one PostgreSQL share: its clock, and its word when one of them, or a command, has decided something."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from scheduler import clock
from scheduler.errors import StoreRefused
from scheduler.log import alarm, say
from scheduler.store import Store, nodes, postgres, vitals

_SAMPLES = 8
_REPEAT = 60.0
_QUIET_FOR = timedelta(seconds=5)
_AGAIN = (0.1, 5.0)
"""Seconds after which a lost connection is tried again: at first, and at last."""


class _Sample(NamedTuple):
    """Between which instants the server's clock stood when the steady one stood at zero: apart by a round trip."""

    low: datetime
    high: datetime


class ServerClock:
    """The earlier of the host's clock and the server's, as far as the latter is known; with a database in a file, the host's.

    The server's is followed by the steady clock from one `measure` to the next, always on the late side: an alarm by it rings
    when the server's time has come, and not before, when the move would find nothing due, again and again.
    """

    def __init__(self, store: Store, *, host: clock.Clock = clock.system, steady: clock.Steady = clock.steady) -> None:
        self._store = store
        self._host = host
        self._steady = steady
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._best: _Sample | None = None

    def __call__(self) -> datetime:
        best, now = self._best, self._host()
        return now if best is None else min(now, best.low + self._steady())

    @property
    def offset(self) -> timedelta | None:
        """By how much the server's clock is ahead of the host's; ``None`` where there is none, or it was not asked yet."""
        if self._best is None:
            return None
        low, high = self._best
        return low + (high - low) / 2 + self._steady() - self._host()

    def measure(self) -> None:
        """Asks the server. Raises :class:`~scheduler.errors.StoreRefused` where it does not answer."""
        if self._store.path is not None:
            return
        with self._store.read() as db:
            before = self._steady()
            said = postgres.now(db)
            after = self._steady()
        new = _Sample(said - after, said - before)
        # What does not fit the newest answer is from before a step of that clock. Of the others the quickest knows it best.
        fitting = [each for each in self._samples if each.low <= new.high and new.low <= each.high]
        if len(fitting) < len(self._samples):
            self._samples = deque(fitting, maxlen=_SAMPLES)
        self._samples.append(new)
        self._best = min(self._samples, key=lambda each: each.high - each.low)


def others_hold(store: Store, *, site: Path) -> bool:
    """Whether another service is ready on this store: then what falls due this moment is its to lift, and none was down."""
    ours = nodes.name(site)
    return any(each.alive and each.vitals.ready and each.vitals.node != ours for each in vitals.every(store))


class Skew:
    """Says aloud when host and server differ by more than is tolerated: which of them is wrong can't be seen from here."""

    def __init__(self, server: ServerClock) -> None:
        self._server = server
        self._told: float | None = None

    def judge(self, tolerance: timedelta) -> None:
        """Looks at what was last measured; once a minute while they differ, and once when they do no more."""
        offset = self._server.offset
        if offset is None:
            return
        if abs(offset) <= tolerance:
            if self._told is not None:
                self._told = None
                say("server_clock_agrees", by_s=f"{offset.total_seconds():.3f}")
        elif self._told is None or time.monotonic() - self._told >= _REPEAT:
            self._told = time.monotonic()
            alarm(
                "server_clock_differs",
                by_s=f"{offset.total_seconds():.3f}",
                remedy="the earlier clock decides, so lifts may be late; run an NTP client on both machines",
            )


class Listener:
    """Sets `heard` whenever anything is decided on the store; with a database in a file, never.

    What is said while the connection is gone is lost: the owner looks from time to time anyway.
    """

    def __init__(self, store: Store, *, heard: Callable[[], None]) -> None:
        self._store = store
        self._heard = heard
        self._stopping = threading.Event()

    def start(self) -> None:
        """Starts the thread, which has a connection of its own."""
        if self._store.path is None:
            threading.Thread(target=self._run, name="listener", daemon=True).start()

    def stop(self) -> None:
        """Listens no more, within seconds."""
        self._stopping.set()

    def _run(self) -> None:
        first, longest = _AGAIN
        wait, lost = first, False
        while not self._stopping.wait(wait if lost else 0):
            try:
                for heard in postgres.told(self._store.engine, every=_QUIET_FOR):
                    if self._stopping.is_set():
                        return
                    if lost:
                        say("listening_again")
                        wait, lost = first, False
                    if heard:
                        self._heard()
            except (StoreRefused, SQLAlchemyError) as error:
                if self._stopping.is_set():
                    return
                if not lost:
                    alarm("listening_lost", problem=str(error).strip().partition("\n")[0])
                lost, wait = True, min(wait * 2, longest)
