"""The vital signs of the service: gathered as things happen, written down at each heartbeat."""

from __future__ import annotations

import os
import socket
from bisect import bisect_left
from datetime import datetime
from pathlib import Path

from scheduler.config import Config
from scheduler.daemon.children import Children
from scheduler.daemon.cluster import ServerClock
from scheduler.daemon.guard import Guard
from scheduler.daemon.notify import notify
from scheduler.store import Store, vitals
from scheduler.store.vitals import LATENESS_BUCKETS, Vitals


class Signs:
    """What the service knows of itself. `site_at` is its last complete refresh, `armed_for` what the alarm is set for."""

    def __init__(self, store: Store, *, clock: ServerClock, site: Path) -> None:
        self._store = store
        self.site = site
        self._clock = clock
        self._started_at = self.config_at = clock()
        self._lateness = [0] * (len(LATENESS_BUCKETS) + 1)
        self._lateness_sum = 0.0
        self.config_problems: tuple[str, ...] = ()
        self.site_at: datetime | None = None
        self.site_problem: str | None = None
        self.armed_for: datetime | None = None
        self.running = False

    def lifted(self, late_s: float) -> None:
        """Counts a lift by how late it was."""
        self._lateness[bisect_left(LATENESS_BUCKETS, late_s)] += 1
        self._lateness_sum += late_s

    def shown(self, problem: str | None) -> None:
        """Notes how writing the site ended."""
        self.site_problem = problem
        if problem is None:
            self.site_at = self._clock()

    def beat(self, settings: Config, guard: Guard, children: Children, *, fenced: bool) -> None:
        """Writes them down, and feeds systemd's watchdog. Raises :class:`~scheduler.errors.StoreRefused`."""
        offset = self._clock.offset
        notify(WATCHDOG=1, STATUS=self._status(guard, fenced=fenced))
        vitals.write(
            self._store,
            Vitals(
                at=self._clock(),
                pid=os.getpid(),
                host=socket.gethostname(),
                site=os.path.realpath(self.site),
                started_at=self._started_at,
                ready=self.running and self.site_at is not None and not guard.suspect and not fenced,
                armed_for=self.armed_for,
                doubts=guard.doubts,
                offset_s=guard.offset_s,
                server_offset_s=None if offset is None else offset.total_seconds(),
                settings=settings.text.decode("utf-8-sig"),
                config_at=self.config_at,
                config_problems=self.config_problems,
                site_at=self.site_at,
                site_problem=self.site_problem,
                children=children.vitals(),
                lateness=tuple(self._lateness),
                lateness_sum_s=self._lateness_sum,
            ),
        )

    def _status(self, guard: Guard, *, fenced: bool) -> str:
        if fenced:
            return "The database is fenced: nothing lifts. See embargo adopt."
        if guard.suspect:
            return "The clock is in doubt: nothing lifts by time. See embargo clock."
        lift = "Nothing to lift." if self.armed_for is None else f"Next lift {self.armed_for:%Y-%m-%d %H:%M:%S} UTC."
        return f"{lift} An edit of the settings is refused: see embargo check." if self.config_problems else lift
