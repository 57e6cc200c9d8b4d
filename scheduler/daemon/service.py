"""The service: starts everything, keeps it going, and stops it in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType

from scheduler import clock, log
from scheduler.config import Config
from scheduler.daemon import edits
from scheduler.daemon.children import Children
from scheduler.daemon.cluster import Listener, ServerClock, Skew, others_hold
from scheduler.daemon.edits import signature
from scheduler.daemon.guard import Guard, Host
from scheduler.daemon.hubs import Hubs, is_listening
from scheduler.daemon.lifter import Lifter
from scheduler.daemon.lock import Fence, InstanceLock, SiteLock
from scheduler.daemon.notify import notify, reloading
from scheduler.daemon.rules import ZoneRules
from scheduler.daemon.signs import Signs
from scheduler.daemon.sources import ACTOR, Sources
from scheduler.daemon.upkeep import Heads, Upkeep
from scheduler.errors import ConfigRefused, EmbargoError, SiteRefused, StoreDamaged, StoreRefused
from scheduler.log import alarm, failure, say, warn_of
from scheduler.parts import Parts, build
from scheduler.permissions import loose
from scheduler.pipeline.release import MAIN, Projection
from scheduler.store import Store, moves, nodes, open_store, records, vitals

_TICK = 0.25
_HEARTBEAT = 1.0
_CHECKPOINT_EVERY = 30.0
_NOTE_EVERY = 60.0
_UPKEEP_EVERY = 60.0
_TRY_EDIT_EVERY = 10.0
_REPEAT_ALARM = 60.0
_QUIET = timedelta(seconds=5)
_SWITCH = 0.0005
"""Seconds between two threads' turns. Python's own 5 ms would be the lateness of a lift that meets an intake."""


class Service:
    """One running service. A database in a file has one, one on a server any number; `run` returns when it was asked to stop."""

    def __init__(self, settings: Config, *, read_clock: clock.Clock = clock.system) -> None:
        self._waking = threading.Lock()
        self._rebuilding = threading.Lock()
        self._stop = threading.Event()
        self._news = threading.Event()
        self._reload = threading.Event()
        self._damaged: StoreDamaged | None = None
        self._last: dict[str, float] = {}
        self._file = settings.file
        self._stat = signature(settings)
        self._parts: Parts = build(settings)
        self._store: Store = open_store(settings.database)
        path, site = self._store.path, settings.site.folder
        self._lock = SiteLock(site) if path is None else InstanceLock(path)
        self._clock = ServerClock(self._store, host=read_clock)
        self._skew = Skew(self._clock)
        self._listener = Listener(self._store, heard=self._news.set)
        self._fence = Fence(self._store, clock=self._clock, site=site, alarm=self._repeated)
        key = nodes.key(self._store, "clock", site=site)
        self._guard = Guard(self._store, key=key, host=Host(wall=read_clock), actor=ACTOR)
        self._caught_up = False
        self._heads = Heads(self._store, clock=self._clock, alarm=self._repeated)
        self._rules = ZoneRules(self._store, actor=ACTOR)
        self._hubs = self._wanted_hubs(settings)
        self._projection: Projection = self._parts.projection(self._store, announce=self._announce)
        self._sources = self._all_sources()
        self._children = Children(settings)
        self._signs = Signs(self._store, clock=self._clock, site=site)
        self._upkeep = Upkeep(
            self._store,
            clock=self._clock,
            is_calm=lambda: self._calm() or self._stop.is_set(),
            refused=lambda problem: self._repeated("upkeep_refused", problem=problem),
            fail=lambda: self._trouble("upkeep_failed"),
        )
        self._lifter = Lifter(
            clock=self._clock,
            next_lift=lambda: None if self._guard.suspect or self._fence.closed else records.next_lift(self._store),
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
        warn_of(loose(self._parts.config.private))
        if found := self._store.damage(quick=True):
            raise self._store.damaged(found)
        self._fence.look()
        self._clock.measure()
        self._watch_clock()
        self._guard.start()
        vitals.forget_gone(self._store)
        self._listener.start()
        if not self._fence.closed:
            self._sources.look_first()
        self._wake()
        self._lifter.start()
        self._sources.start()
        try:
            self._start(self._rebuild, self._projection)
            self._children.tend()
            self._hubs.start()
            self._announce(MAIN)
            self._signs.running = True
            self._sign()
            notify(READY=1)
            say("service_ready", held=self._held())
            self._beat()
        finally:
            notify(STOPPING=1, STATUS="Finishing what is in hand.")
            say("service_stopping")
            self._sources.stop()
            self._lifter.stop()
            self._hubs.stop()
            self._guard.stop()
            self._listener.stop()
            self._children.stop()
            if self._damaged is None:
                self._fence.look()
                self._heads.note()
                vitals.remove(self._store, site=self._signs.site)
            self._store.close()
            self._lock.release()
            say("service_stopped")
        if self._damaged is not None:
            raise self._damaged

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        (self._reload if number == signal.SIGHUP else self._stop).set()
        self._news.set()

    def _held(self) -> int:
        return sum(count for state, count in records.counts(self._store).items() if state in {"held", "attention"})

    # --- the lift

    def _watch_clock(self) -> None:
        part = self._parts.config.clock
        self._guard.configure(
            tolerance=timedelta(seconds=part.tolerance), hold=part.unsynchronised == "hold", servers=part.servers
        )

    def _catch_up(self, reading: clock.Reading) -> None:
        """What fell due while the service was down follows the policy, as soon as the clock can be believed."""
        self._rules.follow(reading.now)
        limit = self._parts.config.embargo.release_within
        if limit is not None and not others_hold(self._store, site=self._signs.site):
            before = min(reading.now - limit, reading.zero_at + self._guard.began)
            for uuid, lift_at in moves.hold_overdue(self._store, now=reading.now, before=before, actor=ACTOR):
                alarm("overdue_held", record=uuid, late_s=f"{(reading.now - lift_at).total_seconds():.3f}")
        self._caught_up = True

    def _watch_zone_rules(self) -> None:
        if not self._rules.are_renewed() or self._fence.closed:
            return
        with self._waking:
            self._rules.take(self._clock())
        self._lifter.arm()
        self._children.renew(self._parts.config)

    def _wake(self) -> None:
        with self._waking:
            if self._damaged is not None:
                return
            reading = self._guard.look()
            if reading is None or self._fence.closed:
                return
            if not self._caught_up:
                self._catch_up(reading)
            now, lift_at = min(reading.now, self._clock()), records.next_lift(self._store)
            if lift_at is None or lift_at > now:
                return  # without the write lock, which another may hold for long
            lifted = moves.release_due(
                self._store, now=now, actor=ACTOR, default_lists=self._parts.config.default_lists
            )
            if not lifted:
                return
            self._show(lambda: self._projection.refresh([each.id for each in lifted], now=self._clock(), new=True))
        for each in lifted:
            late_s = (each.released_at - each.lift_at).total_seconds()
            self._signs.lifted(late_s)
            if late_s > 1:
                alarm("overdue_released", record=each.uuid, late_s=f"{late_s:.3f}")
            else:
                say("released", record=each.uuid, late_ms=f"{late_s * 1000:.3f}")

    def _show(self, act: Callable[[], object]) -> None:
        """Writes the site. What could not be written stays owed and is tried again at the next heartbeat."""
        if self._fence.closed:
            return  # the site may be ahead of this store: it shows what went out
        try:
            act()
        except SiteRefused as error:
            self._signs.shown(str(error))
            self._repeated("site_refused", problem=str(error))
        else:
            self._signs.shown(None)

    def _rebuild(self, projection: Projection) -> None:
        try:
            with self._rebuilding:
                self._show(lambda: projection.rebuild(now=self._clock()))
        except Exception:  # noqa: BLE001 - a thread's end must not go unheard
            self._trouble("rebuild_failed")

    def _announce(self, paths: Sequence[str]) -> None:
        if not self._fence.closed:
            self._hubs.announce(paths)

    def _changed(self) -> None:
        self._lifter.arm()

    # --- the heartbeat, on the monotonic clock

    def _beat(self) -> None:
        beat = time.monotonic()
        while not self._stop.is_set():
            self._news.wait(_TICK)
            self._news.clear()
            self._tried(self._glance)
            if time.monotonic() - beat >= _HEARTBEAT:
                beat = time.monotonic()
                self._sign()
                self._children.tend()
                self._tried(self._pulse)

    def _tried(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001 - the heart goes on beating; the alarm repeats while the trouble lasts
            self._trouble("heartbeat_failed")

    def _glance(self) -> None:
        if self._guard.tick():
            self._wake()
            self._lifter.arm()
        # What commands and other processes decided shows here.
        if self._projection.has_news():
            self._lifter.arm()
            if self._projection.was_set_back():
                self._begin_anew()
            self._show(lambda: self._projection.follow(now=self._clock()))

    def _begin_anew(self) -> None:
        """Takes everything up from the store as it is now: a standby has taken over that lacks what was decided last."""
        alarm("store_set_back", remedy="look at embargo trail and embargo queue; files are taken in once more")
        self._sources.stop()
        self._sources = self._all_sources()
        self._sources.start()
        self._start(self._rebuild, self._projection)
        self._announce(MAIN)

    def _pulse(self) -> None:
        self._clock.measure()
        self._skew.judge(timedelta(seconds=self._parts.config.clock.tolerance))
        if self._fence.tend(calm=self._calm()):
            self._start(self._rebuild, self._projection)
            self._announce(MAIN)
        self._wake()
        self._lifter.arm()
        if not self._rebuilding.locked() and not self._projection.is_whole():
            self._repeated("site_incomplete", folder=self._parts.config.site.folder)
            self._start(self._rebuild, self._projection)
        if self._reload.is_set() or signature(self._parts.config) != self._stat:
            self._reload.clear()
            self._reconfigure()
        elif self._signs.config_problems and self._calm() and self._due_again("edit", _TRY_EDIT_EVERY):
            self._take_edit()  # what it lacks may lie where nobody watches
        self._watch_zone_rules()
        if self._calm() and self._due_again("checkpoint", _CHECKPOINT_EVERY):
            self._store.checkpoint()
        if self._due_again("trail_head", _NOTE_EVERY):
            self._heads.note()
        if not self._fence.closed and self._calm() and self._due_again("upkeep", _UPKEEP_EVERY):
            self._start(self._upkeep.tend, self._parts.config)

    def _sign(self) -> None:
        """The lift loop says that it lives: to whom looks from outside, and to systemd's watchdog."""
        self._signs.armed_for = self._lifter.armed_for
        try:
            self._signs.beat(self._parts.config, self._guard, self._children, fenced=self._fence.closed)
        except StoreRefused as error:
            self._repeated("vitals_refused", problem=str(error))

    def _calm(self) -> bool:
        lift_at = records.next_lift(self._store)
        return lift_at is None or not timedelta() <= lift_at - self._clock() <= _QUIET

    def _trouble(self, event: str) -> None:
        if isinstance(error := sys.exception(), StoreDamaged):
            # Each further write could lose more: a person restores a backup, and starts again.
            self._damaged = error
            self._stop.set()
            self._repeated("database_damaged", problem=str(error))
            return
        if self._due_again(event):
            failure(event)

    def _repeated(self, event: str, **fields: object) -> None:
        if self._due_again(event + str(fields)):
            alarm(event, **fields)

    def _due_again(self, what: str, every: float = _REPEAT_ALARM) -> bool:
        now = time.monotonic()
        if now - self._last.get(what, -every) < every:
            return False
        self._last[what] = now
        return True

    # --- settings

    def _all_sources(self) -> Sources:
        return Sources(
            parts=self._parts, store=self._store, clock=self._clock, changed=self._changed, trouble=self._trouble
        )

    def _wanted_hubs(self, settings: Config) -> Hubs:
        http = settings.http
        return Hubs(
            settings.websub.hubs,
            base=settings.newsroom.url,
            allow_private=settings.websub.allow_private,
            is_served=lambda: http is None or is_listening(http.host, http.port),
        )

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _reconfigure(self) -> None:
        """Takes an edit of the settings, the templates or the secrets up, all or nothing."""
        reloading()
        try:
            self._stat = signature(self._parts.config)
            self._signs.config_problems = ()
            self._take_edit()
        finally:
            notify(READY=1)

    def _take_edit(self) -> None:
        try:
            settings, seen = edits.read(self._file)
            self._same_database(settings)
            parts = build(settings)
            projection = parts.projection(self._store, announce=self._announce)
            sources = self._sources.renewed(parts)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old settings run on
            problems = tuple(error.problems) if isinstance(error, ConfigRefused) else (str(error) or repr(error),)
            if problems != self._signs.config_problems:
                self._signs.config_problems = problems
                for problem in problems:
                    alarm("config_refused", problem=problem)
                if not isinstance(error, (EmbargoError, OSError)):
                    failure("config_failed")
            return
        self._sources.stop()
        with self._waking:
            self._projection.retire()
            self._stat = seen
            self._parts, self._projection, self._sources = parts, projection, sources
        if not self._fence.closed:
            sources.look_first()
        sources.start()
        self._signs.config_at, self._signs.config_problems = self._clock(), ()
        log.start(verbose=logging.getLogger().isEnabledFor(logging.DEBUG), form=settings.log.format)
        self._hubs.stop()
        self._hubs = self._wanted_hubs(settings)
        self._hubs.start()
        self._announce(MAIN)
        self._watch_clock()
        self._start(self._rebuild, projection)
        self._children.renew(settings)
        say("config_taken", level=logging.WARNING)

    def _same_database(self, settings: Config) -> None:
        old, fixed = self._parts.config, ""
        if settings.database != old.database:
            fixed = "database"
        elif self._store.path is None and settings.site.folder != old.site.folder:
            fixed = "site: folder"  # by which the others know this service
        if fixed:
            raise ConfigRefused(
                [f"{self._file}: `{fixed}` can't change while the service runs. Change it back, or restart."]
            )
