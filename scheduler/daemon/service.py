"""The service: starts everything, keeps it going, and stops it in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType

from scheduler import clock, config
from scheduler.config import Config
from scheduler.daemon import worker
from scheduler.daemon.children import Child
from scheduler.daemon.lifter import Lifter
from scheduler.daemon.lock import InstanceLock
from scheduler.daemon.log import alarm, failure, say
from scheduler.daemon.parts import Parts, build
from scheduler.daemon.sources import ACTOR, Sources
from scheduler.errors import ConfigRefused, EmbargoError, SiteRefused
from scheduler.pipeline.release import Projection
from scheduler.record import Overdue
from scheduler.store import Store, moves, open_store, records

_TICK = 0.25
_HEARTBEAT = 1.0
_CHECKPOINT_EVERY = 30.0
_REPEAT_ALARM = 60.0
_QUIET = timedelta(seconds=5)
_SWITCH = 0.0005
"""Seconds between two threads' turns. Python's own 5 ms would be the lateness of a lift that meets an intake."""


class Service:
    """One running service on one database. `run` returns when it was asked to stop."""

    def __init__(self, settings: Config, *, read_clock: clock.Clock = clock.system) -> None:
        self._clock = read_clock
        self._waking = threading.Lock()
        self._tending = threading.Lock()
        self._rebuilding = threading.Lock()
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._alarmed: dict[str, float] = {}
        self._file = settings.file
        self._stat = _signature(settings.file)
        self._parts: Parts = build(settings)
        self._store: Store = open_store(settings.database)
        self._lock = None if self._store.path is None else InstanceLock(self._store.path)
        self._projection: Projection = self._parts.projection(self._store)
        self._sources = self._wanted_sources(self._parts)
        self._children = self._wanted_children(settings)
        self._lifter = Lifter(
            clock=self._clock,
            next_lift=lambda: records.next_lift(self._store),
            warm=lambda until, at_most: self._projection.warm(until=until, at_most=at_most),
            wake=self._wake,
            fail=lambda: self._trouble("lift_failed"),
        )

    def run(self) -> None:
        """Starts, goes on until SIGTERM or SIGINT, and stops in order: intake, lifts, mail, web."""
        sys.setswitchinterval(_SWITCH)
        signal.signal(signal.SIGTERM, self._signalled)
        signal.signal(signal.SIGINT, self._signalled)
        signal.signal(signal.SIGHUP, self._signalled)
        say("service_starting", pid=os.getpid(), database=self._store.engine.url.render_as_string())
        self._catch_up()
        self._lifter.start()
        self._sources.start()
        self._start(self._rebuild, self._projection)
        self._tend_children()
        say("service_ready", held=self._held())
        try:
            self._beat()
        finally:
            say("service_stopping")
            self._sources.stop()
            self._lifter.stop()
            with self._tending:
                for child in self._children:
                    child.ask_to_stop()
                for child in self._children:
                    child.stop()
            self._store.close()
            if self._lock is not None:
                self._lock.release()
            say("service_stopped")

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        (self._reload if number == signal.SIGHUP else self._stop).set()

    def _held(self) -> int:
        return sum(count for state, count in records.counts(self._store).items() if state in {"held", "attention"})

    # --- the lift

    def _catch_up(self) -> None:
        """What fell due while the service was down follows the policy, and is said aloud either way."""
        now = self._clock()
        if self._parts.config.embargo.overdue is Overdue.HOLD:
            for record_id in moves.hold_overdue(self._store, now=now, actor=ACTOR):
                alarm("overdue_held", record=records.get(self._store, record_id).uuid)
        self._wake()

    def _wake(self) -> None:
        with self._waking:
            lifted = moves.release_due(
                self._store, now=self._clock(), actor=ACTOR, default_lists=self._parts.config.default_lists
            )
            if not lifted:
                return
            self._show(lambda: self._projection.refresh([each.id for each in lifted], now=self._clock(), new=True))
        for each in lifted:
            late = (each.released_at - each.lift_at) / timedelta(milliseconds=1)
            tell = alarm if late > 1000 else say
            tell("overdue_released" if late > 1000 else "released", record=each.uuid, late_ms=f"{late:.3f}")

    def _show(self, act: Callable[[], object]) -> None:
        """Writes the site. What could not be written stays owed and is tried again at the next heartbeat."""
        try:
            act()
        except SiteRefused as error:
            self._repeated("site_refused", problem=str(error))

    def _rebuild(self, projection: Projection) -> None:
        try:
            with self._rebuilding:
                self._show(lambda: projection.rebuild(now=self._clock()))
        except Exception:  # noqa: BLE001 - a thread's end must not go unheard
            self._trouble("rebuild_failed")

    def _changed(self) -> None:
        self._lifter.arm()

    # --- the heartbeat, on the monotonic clock

    def _beat(self) -> None:
        beat = checkpoint = time.monotonic()
        while not self._stop.wait(_TICK):
            now = time.monotonic()
            try:
                # What commands and other processes decided shows here.
                if self._projection.has_news():
                    self._lifter.arm()
                    self._show(lambda: self._projection.follow(now=self._clock()))
                if now - beat < _HEARTBEAT:
                    continue
                beat = now
                self._wake()
                self._lifter.arm()
                self._tend_children()
                if not self._rebuilding.locked() and not self._projection.is_whole():
                    self._repeated("site_incomplete", folder=self._parts.config.site.folder)
                    self._start(self._rebuild, self._projection)
                if self._reload.is_set() or _signature(self._file) != self._stat:
                    self._reload.clear()
                    self._reconfigure()
                if now - checkpoint > _CHECKPOINT_EVERY and self._calm():
                    checkpoint = now
                    self._store.checkpoint()
            except Exception:  # noqa: BLE001 - the heart goes on beating; the alarm repeats while the trouble lasts
                self._trouble("heartbeat_failed")

    def _calm(self) -> bool:
        lift_at = records.next_lift(self._store)
        return lift_at is None or lift_at - self._clock() > _QUIET

    def _trouble(self, event: str) -> None:
        if self._due_again(event):
            failure(event)

    def _repeated(self, event: str, **fields: object) -> None:
        if self._due_again(event + str(fields)):
            alarm(event, **fields)

    def _due_again(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._alarmed.get(what, -_REPEAT_ALARM) < _REPEAT_ALARM:
            return False
        self._alarmed[what] = now
        return True

    # --- settings

    def _wanted_sources(self, parts: Parts) -> Sources:
        return Sources(parts=parts, store=self._store, clock=self._clock, changed=self._changed, trouble=self._trouble)

    def _wanted_children(self, settings: Config) -> list[Child]:
        wanted = []
        if settings.mail is not None:
            # The settings as they were taken: the file may hold an edit that was refused.
            arguments = ["scheduler", "worker", "--config", str(self._file), "--leash"]
            wanted.append(Child("worker", arguments, patience=30, greeting=worker.greeting(settings)))
        if settings.http is not None:
            folder = str(settings.site.folder)
            wanted.append(
                Child("web", ["scheduler.web", folder, settings.http.host, str(settings.http.port)], patience=10)
            )
        return wanted

    def _tend_children(self) -> None:
        # A worker that is finishing what it has in hand for new settings must not hold up the heartbeat.
        if self._tending.acquire(blocking=False):
            try:
                for child in self._children:
                    child.tend()
            finally:
                self._tending.release()

    def _renew_children(self, settings: Config) -> None:
        """Starts the children anew, except a web server that would be the same."""
        with self._tending:
            wanted = self._wanted_children(settings)
            same = {child.arguments: child for child in self._children if child.name == "web"}
            kept = [same.get(child.arguments, child) for child in wanted]
            for child in self._children:
                if child not in kept:
                    child.stop()
            self._children = kept

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _reconfigure(self) -> None:
        """Takes an edit of the settings up, all or nothing."""
        self._stat = _signature(self._file)
        try:
            settings = config.read(self._file)
            self._same_database(settings)
            parts = build(settings)
            projection = parts.projection(self._store)
            sources = self._wanted_sources(parts)
        except (EmbargoError, OSError) as error:
            for problem in error.problems if isinstance(error, ConfigRefused) else [str(error)]:
                alarm("config_refused", problem=problem)
            return
        self._sources.stop()
        with self._waking:
            self._projection.retire()
            self._parts, self._projection, self._sources = parts, projection, sources
        self._sources.start()
        self._start(self._rebuild, projection)
        self._start(self._renew_children, settings)
        say("config_taken", level=logging.WARNING)

    def _same_database(self, settings: Config) -> None:
        if settings.database != self._parts.config.database:
            raise ConfigRefused(
                [f"{self._file}: `database` can't change while the service runs. Change it back, or restart."]
            )


def _signature(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
