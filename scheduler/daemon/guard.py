"""Watches the wall clock: while there is reason to doubt it, nothing lifts by time.

Why each of these is a reason, and what else was thought of: docs/decisions/0004-what-stops-the-lifts.md.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import ntplib
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from scheduler import clock
from scheduler.clock import Reading
from scheduler.errors import StoreRefused
from scheduler.log import alarm, say
from scheduler.store import Store, meta, trail

_MINUTE = timedelta(minutes=1)
_ASK_EVERY = timedelta(minutes=10)
_SETTLES_IN = timedelta(minutes=10)
_PATIENCE = timedelta(seconds=2)
_GRACE = timedelta(seconds=0.3)


class Doubt(StrEnum):
    """A reason not to believe the wall clock."""

    STEPPED = "stepped"  # forward, against the steady clock
    BEHIND = "behind"  # the newest row of the trail, at the start
    UNSYNCHRONISED = "unsynchronised"  # says the kernel, where the settings hold for that
    WITNESS = "witness"  # an NTP server says that it is fast


class Known(BaseModel):
    """What the table `meta` keeps about the clock, for the next start and for other processes.

    `zero_at` is :attr:`Reading.zero_at` as last believed, in the boot `boot`; `seen_zero_at` as the service last told of it.
    `doubts` and `settled` give seconds: by how much the clock seems wrong, and how much of that a person has accepted.
    """

    model_config = ConfigDict(frozen=True)

    boot: str | None = None
    zero_at: datetime | None = None
    seen_zero_at: datetime | None = None
    since: datetime | None = None
    doubts: dict[Doubt, float] = {}
    settled: dict[Doubt, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What an NTP server said: how far our clock is ahead of it, give or take `within`; or why it said nothing."""

    server: str
    ahead: timedelta = timedelta()
    within: timedelta = timedelta()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where the readings come from."""

    wall: clock.Clock = clock.system
    steady: clock.Steady = clock.steady
    boot_id: Callable[[], str | None] = clock.boot_id
    unsynchronised: Callable[[], bool | None] = clock.kernel_says_unsynchronised

    def read(self) -> Reading:
        """Both clocks at once."""
        return clock.read(self.wall, self.steady)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks about the clock beside the steady one.

    `newest` is that of the trail where the clock has to reach it, `witnessed` where `zero_at` should be at most.
    """

    newest: datetime | None = None
    unsynchronised: bool | None = None
    witnessed: datetime | None = None


def doubts(
    known: Known, reading: Reading, evidence: Evidence, *, tolerance: timedelta, hold: bool
) -> dict[Doubt, float]:
    """The reasons to doubt this reading, each with seconds. What a person has settled is none, unless it has grown."""
    by: dict[Doubt, timedelta] = {}
    if known.zero_at is not None:
        by[Doubt.STEPPED] = reading.zero_at - known.zero_at
    if evidence.newest is not None:
        by[Doubt.BEHIND] = evidence.newest - reading.now
    if evidence.witnessed is not None:
        by[Doubt.WITNESS] = reading.zero_at - evidence.witnessed
    found = {
        why: each.total_seconds()
        for why, each in by.items()
        if each > tolerance + timedelta(seconds=known.settled.get(why, 0))
    }
    if hold and evidence.unsynchronised and Doubt.UNSYNCHRONISED not in known.settled:
        found[Doubt.UNSYNCHRONISED] = 0.0
    return found


def load(db: Connection, key: str) -> Known:
    """What is known about the clock; `key` is that of :func:`scheduler.store.nodes.key` for ``clock``."""
    return Known.model_validate_json(meta.get(db, key) or "{}")


def examine(
    store: Store, *, key: str, host: Host, tolerance: timedelta, hold: bool
) -> tuple[Known, Reading, Evidence, dict[Doubt, float]]:
    """What a service that started now would find, witnesses apart. Nothing is written."""
    boot, reading = host.boot_id(), host.read()
    with store.read() as db:
        known, newest = load(db, key), meta.newest_at(db)
    if boot is None or known.boot != boot:
        known = known.model_copy(update={"boot": boot, "zero_at": None, "seen_zero_at": None, "settled": {}})
    elif Doubt.STEPPED in known.doubts and known.zero_at and abs(reading.zero_at - known.zero_at) <= tolerance:
        newest = None  # the clock has come back; the trail may hold instants from when it was wrong
    evidence = Evidence(newest=newest, unsynchronised=host.unsynchronised())
    return known, reading, evidence, doubts(known, reading, evidence, tolerance=tolerance, hold=hold)


def trust(
    store: Store,
    *,
    key: str,
    known: Known,
    reading: Reading,
    found: dict[Doubt, float],
    running: bool,
    reason: str,
    actor: str,
) -> None:
    """A person takes the clock for right as it was found: by the running service, where one runs, else by `reading`."""
    seen_zero_at = (running and known.seen_zero_at) or reading.zero_at
    settled = known.model_copy(
        update={
            "zero_at": seen_zero_at,
            "seen_zero_at": seen_zero_at,
            "since": None,
            "doubts": {},
            "settled": {**known.settled, **{why: by for why, by in found.items() if why is not Doubt.STEPPED}},
        }
    )
    with store.write() as db:
        meta.put(db, key, settled.model_dump_json())
        entry = trail.Entry(event="clock_trusted", detail={"reason": reason, **_millis(found)})
        trail.append(db, at=reading.now, actor=actor, entries=[entry])


def _millis(found: dict[Doubt, float]) -> dict[str, int]:
    return {f"{why}_ms": round(by * 1000) for why, by in found.items()}


def _said(found: dict[Doubt, float]) -> dict[str, Any]:
    return {"why": ",".join(found), "by_s": f"{max(found.values(), default=0):.3f}"}


def ask(servers: Sequence[str]) -> list[Witness]:
    """Asks NTP servers (``host`` or ``host:port``), all at once; little more than two seconds, whatever they do."""
    said: dict[str, Witness] = {}
    # Of our own, and left behind: an executor's threads would keep the process from ending while a name is looked up.
    threads = [threading.Thread(target=lambda at=each: said.update({at: _ask(at)}), daemon=True) for each in servers]
    for thread in threads:
        thread.start()
    give_up = clock.steady() + _PATIENCE + _GRACE
    for thread in threads:
        thread.join(max((give_up - clock.steady()).total_seconds(), 0))
    return [said.get(each) or Witness(server=each, problem="no answer in time") for each in servers]


def _ask(server: str) -> Witness:
    place = urlsplit(f"//{server}")
    try:
        answer = ntplib.NTPClient().request(
            place.hostname, version=4, port=place.port or 123, timeout=_PATIENCE.total_seconds()
        )
    except (ntplib.NTPException, OSError, ValueError) as error:
        return Witness(server=server, problem=str(error) or type(error).__name__)
    if answer.leap == 3 or not 0 < answer.stratum < 16:
        return Witness(server=server, problem="it does not know the time itself")
    return Witness(
        server=server, ahead=timedelta(seconds=-answer.offset), within=timedelta(seconds=abs(answer.delay) / 2)
    )


class Guard:
    """Says at each look what time it is, or that nobody knows.

    `look` may be called by any thread and writes nothing; `tick` is the heartbeat's: it writes down and repeats alarms.
    """

    def __init__(self, store: Store, *, key: str, host: Host, actor: str) -> None:
        self._store = store
        self._key = key
        self._host = host
        self._actor = actor
        self.began = timedelta()  # when the service did, by the steady clock
        self._lock = threading.RLock()
        self._tolerance = timedelta(seconds=0.5)
        self._hold = False
        self._servers: tuple[str, ...] = ()
        self._ask_again = threading.Event()
        self._stopping = False
        self._known = Known()
        self._evidence = Evidence()
        self._unwritten: list[tuple[datetime, trail.Entry]] = []
        self._changed = False
        self._turned = False
        self._told = self._asked = timedelta()
        self._lower_since: timedelta | None = None
        self.offset_s: float | None = None
        """How many seconds the clock was ahead by the witness that says most, when last heard; ``None``: none was."""

    def configure(self, *, tolerance: timedelta, hold: bool, servers: Sequence[str]) -> None:
        """Takes settings: what is tolerated, whether an unsynchronised kernel stops the lifts, and whom to ask."""
        with self._lock:
            self._tolerance, self._hold, self._servers = tolerance, hold, tuple(servers)
            if not servers:
                self.offset_s = None
                self._evidence = replace(self._evidence, witnessed=None)
        self._ask_again.set()

    def start(self) -> None:
        """Compares the clock with what was known of it before, and with what witnesses say; waits for them."""
        with self._lock:
            self._known, reading, self._evidence, _ = examine(
                self._store, key=self._key, host=self._host, tolerance=self._tolerance, hold=self._hold
            )
            self.began = self._asked = reading.steady
            self._told = reading.steady - _MINUTE
            self._kernel(self._evidence.unsynchronised, before=None)
            self.hear(ask(self._servers))
            with contextlib.suppress(StoreRefused):  # the heartbeat writes it down, or says that it can't
                self.tick()
        threading.Thread(target=self._ask_around, name="witnesses", daemon=True).start()

    def stop(self) -> None:
        """Asks nobody any more."""
        self._stopping = True
        self._ask_again.set()

    @property
    def suspect(self) -> bool:
        """Whether the clock was in doubt when it was last looked at."""
        return bool(self._known.doubts)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why it was in doubt when it was last looked at."""
        return tuple(self._known.doubts)

    def look(self) -> Reading | None:
        """The present; ``None`` while the clock is in doubt."""
        with self._lock:
            reading = self._host.read()
            self._judge(reading)
            return None if self.suspect else reading

    def tick(self) -> bool:
        """Looks, writes down what is new and says again what lasts. Gives whether the alarm has to be set anew."""
        with self._lock:
            if self.suspect and not self._changed:
                self._adopt()
            reading = self._host.read()
            if reading.steady - self._asked >= _MINUTE:
                self._asked = reading.steady
                self._kernel(self._host.unsynchronised(), before=self._evidence.unsynchronised)
            self._judge(reading)
            self._settle(reading)
            if self.suspect and reading.steady - self._told >= _MINUTE:
                self._alarm(reading, self._known.doubts)
            if self._changed:
                self._write()
            turned, self._turned = self._turned, False
            return turned

    def _judge(self, reading: Reading) -> None:
        newest = self._evidence.newest
        if newest is not None and newest - reading.now <= self._tolerance:
            # Caught up: from here on the steady clock knows better than the trail.
            self._evidence = replace(self._evidence, newest=None)
        known = self._known
        found = doubts(known, reading, self._evidence, tolerance=self._tolerance, hold=self._hold)
        seen = known.seen_zero_at or reading.zero_at
        if found and (found.keys() != known.doubts.keys() or abs(reading.zero_at - seen) > self._tolerance):
            # As the clock would have shown it: what is true again later must not find itself behind this row.
            at = reading.now - timedelta(seconds=found.get(Doubt.STEPPED, 0))
            self._note(seen_zero_at=reading.zero_at, since=known.since or at, doubts=found)
            self._row(at, "clock_suspect", wall=reading.now.isoformat(), **_millis(found))
            self._alarm(reading, found)
        elif known.doubts and not found:
            self._note(zero_at=known.zero_at or reading.zero_at, seen_zero_at=reading.zero_at, since=None, doubts={})
            self._row(reading.now, "clock_came_back", **_millis(known.doubts))
            say("clock_came_back", **_said(known.doubts))
            self._turned = True
        elif not found and known.zero_at is None:
            self._note(zero_at=reading.zero_at, seen_zero_at=reading.zero_at)
        elif not found and abs(seen - reading.zero_at) > self._tolerance:
            back = seen - reading.zero_at
            self._note(seen_zero_at=reading.zero_at)
            self._turned = True
            if back < timedelta():
                say("clock_came_back", by_s=f"{-back.total_seconds():.3f}")
            else:
                self._row(reading.now, "clock_stepped_back", by_ms=back // timedelta(milliseconds=1))
                alarm("clock_stepped_back", by_s=f"{back.total_seconds():.3f}")

    def _note(self, **changes: object) -> None:
        self._known = self._known.model_copy(update=changes)
        self._changed = True

    def _row(self, at: datetime, event: str, **detail: str | int) -> None:
        self._unwritten.append((at, trail.Entry(event=event, detail=detail)))

    def _alarm(self, reading: Reading, found: dict[Doubt, float]) -> None:
        self._told = reading.steady
        alarm("clock_suspect", **_said(found), remedy="nothing lifts by time; see `embargo clock`")

    def _settle(self, reading: Reading) -> None:
        """A clock that was set back and stays so is the one to go by: else it could be set forward again unseen."""
        zero_at = self._known.zero_at
        if self.suspect or zero_at is None or zero_at - reading.zero_at <= self._tolerance / 10:
            self._lower_since = None
        elif self._lower_since is None:
            self._lower_since = reading.steady
        elif reading.steady - self._lower_since >= _SETTLES_IN:
            self._lower_since = None
            self._note(zero_at=reading.zero_at, seen_zero_at=reading.zero_at)

    def _write(self) -> None:
        with self._store.write() as db:
            meta.put(db, self._key, self._known.model_dump_json())
            for at, entry in self._unwritten:
                trail.append(db, at=at, actor=self._actor, entries=[entry])
        self._unwritten, self._changed = [], False

    def _adopt(self) -> None:
        """Takes over what a person has settled by command."""
        with self._store.read() as db:
            stored = load(db, self._key)
        if not stored.doubts:
            say("clock_trusted", **_said(self._known.doubts))
            self._known, self._turned = stored, True

    def _kernel(self, unsynchronised: bool | None, *, before: bool | None) -> None:  # noqa: FBT001 - it is what the kernel says
        self._evidence = replace(self._evidence, unsynchronised=unsynchronised)
        if unsynchronised and not before:
            alarm(
                "clock_unsynchronised",
                remedy="the kernel knows of nothing that keeps its clock right; run an NTP client",
            )
        elif before and unsynchronised is False:
            say("clock_synchronised")

    def _ask_around(self) -> None:
        self._ask_again.clear()
        while not self._stopping:
            doubted = Doubt.WITNESS in self._known.doubts
            self._ask_again.wait((_MINUTE if doubted else _ASK_EVERY).total_seconds())
            self._ask_again.clear()
            self.hear(ask(self._servers))

    def hear(self, witnesses: Sequence[Witness]) -> None:
        """Takes what witnesses said a moment ago. Those that say nothing change nothing; of the others the strictest counts."""
        heard = [each.ahead - each.within for each in witnesses if each.problem is None]
        for each in witnesses:
            if each.problem is not None:
                alarm("witness_silent", server=each.server, problem=each.problem)
        with self._lock:
            self.offset_s = None
            if heard:
                self.offset_s = max(each.ahead for each in witnesses if each.problem is None).total_seconds()
                self._evidence = replace(self._evidence, witnessed=self._host.read().zero_at - max(heard))
