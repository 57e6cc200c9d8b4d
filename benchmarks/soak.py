"""A year of the real service in some twelve minutes, and what it leaves in memory, descriptors and files.

    python benchmarks/soak.py [--lifts 5000] [--edits 200] [--restarts 50] [--seed N]

Needs the extra `test`, and Linux. Each restart (SIGTERM, signal 9 to the service, signal 9 to all its processes) is a week and a
reboot later by the service's wall clock, so that backups, retention and the feeds' window do what they do in a year; in between,
lifts come many a second. Settings, zones, templates and lists are edited, well and badly; records are corrected and retracted;
mail goes to a server that counts; monitor, alerts and the desk's summary run; the site is read all the while. First come the
weeks with their restarts, then edits close together under lifts, then lifts alone, in days: after each the clock is set a day
forward under the running service, and a person says that it is right. So the feeds' 48 hours pass within one life, as in a year.

Exit status 1 unless nothing was early, lost or doubled; trail, table and site are sound; no process grows by more than `GROWTH`
over the last two thirds of the lifts alone (least squares), or keeps more descriptors or threads; no file is left over; and the
log holds no traceback. A small run has too few lifts to judge growth by, and says so.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "fire")]

from conftest import Clock, House, Office, eventually, files_below, free_port, words  # noqa: E402 - they lie beside the tests
from furnace import Reader, Report  # noqa: E402
from kit import each_mail_once, projection, sound  # noqa: E402
from outdoors import Server, WallClock, rows, until  # noqa: E402

from scheduler import config  # noqa: E402
from scheduler.errors import MoveRefused, NotFound  # noqa: E402
from scheduler.parts import build  # noqa: E402
from scheduler.record import State  # noqa: E402
from scheduler.store import open_store, records  # noqa: E402
from scheduler.store.ledger.taking import NEWER, RETRACTED  # noqa: E402

GROWTH = {"service": 8.0, "worker": 2.0, "web": 2.0, "monitor": 2.0}
"""MiB of resident memory that a process may come to hold more with a thousand lifts. The service keeps the parts of documents it
joined last, some 7 KiB for each of these releases, until they are 128 MB (`scheduler.render.pages`).
"""
FEW = 8
"""So many more descriptors or threads may be kept: connections to the database and the mail server come when they are needed."""
MOST = {"descriptors": 48, "threads": 24}
"""What a process may have at any time."""
WAL = 64 * 1024
"""KiB that the database's log may have at any time."""
ENOUGH = 800
"""Lifts over which a process has to be seen for its memory to be judged by them."""
KEPT = 7
WEEK = timedelta(days=7)
DAY = timedelta(days=1)
A_DAY = 40
"""So many lifts does a day of lifts alone have."""
RATE = 20.0
ZONES = ("America/Phoenix", "America/Hermosillo")  # the same time all year: records that name no zone keep their lift
EDITS = ("settings", "bad settings", "zone", "bad template", "template", "list")
SETTINGS = """\
newsroom: {{name: Soak Press Office, url: "http://127.0.0.1:{port}/", timezone: {zone}, language: en}}
records: [{{folder: records/}}]
database: sqlite:///var/embargo.db
embargo: {{past_on_arrival: release}}
site: {{folder: public/, items: 50}}
http: {{listen: "127.0.0.1:{port}"}}
mail:
  from: Soak Press Office <press@example.org>
  transport: smtp://127.0.0.1:{server}
  connections: {connections}
  lists:
    press: {{name: Press list, file: lists/press.csv, default: true}}
    wire: {{name: Wire, recipients: [wire@example.com]}}
templates: templates/
monitor: {{listen: "127.0.0.1:{monitor}"}}
alerts: {{mail: [ops@example.org]}}
desk: {{mail: [planning@example.org], ahead: [1h]}}
backup: {{folder: backups/, every: 1d, keep: {kept}}}
retention: {{text: 40d, ledger: 40d, asks: 1d}}
"""
BAD = ("newsroom: [", "color: blue\n", "clock: {tolerance: never}\n", "log: {format: parchment}\n")
_ABOUT = re.compile(r"Quokka (k\d+)\.")
_OURS = re.compile(rb"^To: (ops|planning)@", re.MULTILINE)
_ENDING = re.compile(
    r"^Traceback \(most recent call last\):\n(?:.*\n)*?([a-zA-Z_.]+(?:Error|Refused|Exception)\b.*)", re.MULTILINE
)
_OPEN = (
    "SELECT (SELECT count(*) FROM records WHERE state NOT IN ('released', 'retracted')) + (SELECT count(*) FROM mailings"
    " WHERE frozen_at IS NULL) + (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'claimed', 'sending'))"
)
_UNSENT = "SELECT id, record_id, state, problem FROM deliveries WHERE state NOT IN ('sent', 'uncertain', 'suppressed')"
_LATE = "SELECT (released_at - lift_at) / 1000.0 FROM records WHERE released_at - lift_at < 60000000 ORDER BY 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process at one moment: memory in MiB, and how many records there had been."""

    role: str
    pid: int
    lifts: int
    rss: float
    pss: float
    descriptors: int
    threads: int


@dataclass(kw_only=True)
class Outcome:
    """What came of it. `problems` are what must not be, a sentence each; `passed_over` says what could not be judged.

    From `steady_from` records on, nothing was edited any more. `tracebacks` counts them by their last line.
    """

    report: Report
    edits: Counter[str]
    retractions: int
    restarts: Counter[str]
    samples: list[Sample] = field(repr=False)
    files: list[Counter[str]] = field(repr=False)
    said: Counter[str]
    late_ms: list[float] = field(repr=False)
    steady_from: int
    tracebacks: Counter[str]
    problems: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


class Year:
    """The newsroom, its people and its readers; `run` is the whole of it."""

    def __init__(self, house: House, wall: WallClock, server: Server, port: int, seed: int) -> None:
        self.house, self.wall, self.server, self.port = house, wall, server, port
        self.monitor = free_port()
        self.chance = random.Random(seed)
        self.report = Report(seed=seed)
        self.lifts: dict[str, datetime] = {}
        self.stated: dict[str, str] = {}
        self.steps: list[tuple[datetime, timedelta]] = [(datetime.now(UTC), timedelta())]
        self.retracted: set[str] = set()
        self.edits: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.tracebacks: Counter[str] = Counter()
        self.steady_from = 0
        self.letters: set[str] = set()
        self.unsent: dict[int, str] = {}
        self._zone = 0
        for name in ("records", "lists", "templates"):
            (house.folder / name).mkdir(mode=0o700)
        self._put("lists/press.csv", "email\ndesk@example.org\nzoe@example.net\n")
        self._settle()

    # --- what people do

    def _put(self, name: str, text: str) -> None:
        """A file, as a careful program writes it, from outside the newsroom."""
        aside = self.house.folder.parent / "aside"
        aside.touch(mode=0o600)
        aside.write_text(text, "utf-8")
        aside.replace(self.house.folder / name)

    def _settle(self, extra: str = "") -> None:
        text = SETTINGS.format(
            port=self.house.port,
            server=self.port,
            monitor=self.monitor,
            kept=KEPT,
            zone=ZONES[self._zone % 2],
            connections=self.chance.randint(2, 8),
        )
        self._put("config.yaml", text + extra)

    def write(self, count: int, *, over: float) -> None:
        """New records that lift one after the other, over so many seconds from now."""
        for _ in range(count):
            name = f"k{len(self.lifts)}"
            at = self.wall() + timedelta(seconds=1 + self.chance.uniform(0, over))
            stated = words(at)
            if self.chance.random() < 0.2:  # in the newsroom's own zone
                at = at.replace(microsecond=0)
                stated = f"{at.astimezone(ZoneInfo(ZONES[0])):%Y-%m-%d %H:%M:%S}"
            self.lifts[name], self.stated[name] = at, stated
            more = f"lists: [press, wire]\ntopics: [t{self.chance.randrange(20)}]\n"
            self._record(name, more if self.chance.random() < 0.3 else "")
            self.report.records += 1

    def _record(self, name: str, more: str) -> None:
        body = f"{self.chance.random()} words, and words again. " * 20
        text = f"---\ntitle: Quokka {name}.\nembargo: {self.stated[name]}\n{more}---\n{body}\n"
        self._put(f"records/{name}.md", text)

    def correct(self) -> None:
        """Other words for a record whose file is there, released or not."""
        name = self.chance.choice([path.stem for path in (self.house.folder / "records").iterdir()])
        self._record(name, f"correction: A word, {self.chance.random()}.\n")
        self.report.corrections += 1

    def retract(self) -> None:
        """A record that is out is taken back, as the command does it."""
        name = self.chance.choice(list(self.lifts)[-100:])
        with self.office() as office, contextlib.suppress(MoveRefused, NotFound):
            office.retract(name)
            self.retracted.add(name)

    @contextlib.contextmanager
    def office(self) -> Iterator[Office]:
        parts = build(config.read(self.house.config))
        office = Office(
            self.house.folder,
            parts,
            open_store(f"sqlite:///{self.house.folder}/var/embargo.db"),
            Clock(self.wall()),
        )
        try:
            yield office
        finally:
            office.store.close()

    def edit(self) -> None:
        """The next edit of the round, seen to be taken or refused."""
        kind = EDITS[self.edits.total() % len(EDITS)]
        mark = self._log_size()
        match kind:
            case "settings":
                self._settle()
            case "bad settings":
                self._settle(self.chance.choice(BAD))
            case "zone":
                self._zone += 1
                self._settle()
            case "bad template":
                self._put("templates/release.html", "{% if %}")
            case "template":
                text = (ROOT / "templates" / "release.html").read_text("utf-8")
                self._put("templates/release.html", f"{text}<!-- {self.chance.random()} -->\n")
            case "list":
                people = [f"reader{self.chance.randrange(10**6)}@example.org" for _ in range(self.chance.randint(1, 3))]
                self._put("lists/press.csv", "\n".join(["email", *people]) + "\n")
        event = "list_read" if kind == "list" else "config_refused" if kind.startswith("bad") else "config_taken"
        eventually(lambda: f" {event}".encode() in self._tail(mark), f"{event} after an edit ({kind})")
        self.edits[kind] += 1

    def must_mend(self) -> bool:
        """Whether the last edit was a bad one, with which the service would not start again."""
        return self.edits.total() % len(EDITS) in {2, 4}

    # --- lives

    def start(self) -> None:
        self.house.start()
        self.report.lives += 1

    def end(self, how: str) -> None:
        """Ends this life, and with it all its processes."""
        service = self.house.service
        assert service is not None
        pids = [pid for pid, _ in self.processes()]
        if how == "term":
            self.house.stop()
        else:
            (os.killpg if how == "kill all" else os.kill)(service.pid, signal.SIGKILL)
            service.wait()
            self.house.service = None
            self.report.kills += 1
        eventually(lambda: not any(map(_lives, pids)), "all its processes to end")
        self.restarts[how] += 1
        # Retention erases the reasons of what is old.
        self.unsent |= {number: why for number, _, _, why in rows(self.house, _UNSENT) if why is not None}
        self._read_log()
        for name, data in list(self.server.bytes.items()):
            if any(map(_OURS.search, data)):
                self.letters.add(name)
        self.server.bytes.clear()

    def pass_a_week(self) -> None:
        """The machine is started anew a week later; whoever tidies the folder of records has been there."""
        self.wall.set(self.wall.step + WEEK)
        self.steps.append((datetime.now(UTC), self.wall.step))
        with contextlib.closing(sqlite3.connect(self.house.folder / "var" / "embargo.db")) as db, db:
            db.execute("UPDATE meta SET value = json_set(value, '$.boot', 'the one before') WHERE key = 'clock'")
        for name in list(self.lifts)[:-200]:
            (self.house.folder / "records" / f"{name}.md").unlink(missing_ok=True)

    def pass_a_day(self) -> None:
        """The clock is set a day forward under the running service, once nothing is in hand; a person says that it is right."""
        self._settle_down()
        self.wall.set(self.wall.step + DAY)
        self.steps.append((datetime.now(UTC), self.wall.step))
        eventually(lambda: self._vitals().get("doubts"), "the clock to be doubted")
        said = self.house.run("clock", "trust", "--reason", "A day has passed.")
        assert said.returncode == 0, said.stderr
        eventually(lambda: self._vitals().get("doubts") == [], "the clock to be believed")

    def _settle_down(self) -> None:
        """Waits until all is accepted, and nothing is owed any more."""
        eventually(
            lambda: rows(self.house, "SELECT count(*) FROM records")[0][0] == len(self.lifts), "all accepted", 120
        )
        eventually(lambda: rows(self.house, _OPEN)[0][0] == 0, "all to be released and mailed", 120)

    def _vitals(self) -> dict[str, Any]:
        try:
            said = json.loads((self.house.folder / "var" / "embargo.db.vitals").read_bytes())
        except FileNotFoundError:
            return {}
        assert isinstance(said, dict)
        return said

    def processes(self) -> list[tuple[int, str]]:
        """Process id and role of all that run, as the service says."""
        service = self.house.service
        said = self._vitals()
        if service is None or not said or said["pid"] != service.pid:
            return []
        return [(service.pid, "service"), *((each["pid"], each["name"]) for each in said["children"] if each["pid"])]

    def _log_size(self) -> int:
        return (self.house.folder / "service.log").stat().st_size

    def _tail(self, mark: int) -> bytes:
        with (self.house.folder / "service.log").open("rb") as log:
            log.seek(mark)
            return log.read()

    def _read_log(self) -> None:
        """Counts what a person should have seen, and begins a new log."""
        text = self._tail(0).decode()
        self.said.update(re.findall(r"^\S+ error (\w+)", text, re.MULTILINE))
        self.tracebacks.update(_ENDING.findall(text))
        (self.house.folder / "service.log").unlink()

    # --- the whole

    def run(self, *, lifts: int, edits: int, restarts: int, told: Callable[[str], object]) -> None:
        """Weeks with a restart each; a life of edits under lifts, then of lifts alone, to their end. It is stopped in order."""
        early, late = int(lifts * 0.4), int(lifts * 0.3)
        ways = ["term", "kill", "kill all"] * (restarts // 3 + 1)
        for week in range(restarts):
            self.start()
            eventually(lambda: b" backup_made" in self._tail(0), "the backup that is due")
            share = early * (week + 1) // restarts - len(self.lifts)
            end = time.monotonic() + 1 + self.chance.uniform(0.2, 1.2) * share / RATE
            self.write(share, over=share / RATE)
            while self.edits.total() < edits // 4 * (week + 1) // restarts or self.must_mend():
                self.edit()
            self.correct()
            self.retract()
            eventually(lambda end=end: until(end), "the end of the week")
            self.end(ways[week])
            self.pass_a_week()
            if week % 10 == 9:
                told(f"{week + 1} weeks, {len(self.lifts)} records")
        self.start()
        left = edits - self.edits.total()
        for number in range(left):
            share = late * (number + 1) // left - (len(self.lifts) - early)
            self.write(share, over=share / RATE)
            self.edit()
            if number % 3 == 0 and not self.must_mend():
                self.correct()
                self.retract()
        while self.must_mend():
            self.edit()
        self.steady_from = len(self.lifts)
        told(f"{self.edits.total()} edits, {len(self.lifts)} records")
        while len(self.lifts) < lifts:
            count = min(A_DAY, lifts - len(self.lifts))
            self.write(count, over=count / RATE)
            self.pass_a_day()
        told(f"{len(self.lifts)} records")

    def come_to_its_end(self) -> None:
        """Until nothing is owed any more and the site shows it; then the service stops in order."""
        house = self.house
        self._settle_down()
        with self.office() as office:
            projection(office, "../fresh").rebuild(now=office.clock())
        fresh, public = house.folder.parent / "fresh", house.folder / "public"
        try:
            eventually(lambda: files_below(public) == files_below(fresh), "the site to be what the table says", 60)
        finally:
            shutil.rmtree(fresh)

    def judge(self, samples: list[Sample], files: list[Counter[str]]) -> Outcome:
        """All of it; the service has stopped."""
        made = Outcome(
            report=self.report,
            edits=self.edits,
            retractions=len(self.retracted),
            restarts=self.restarts,
            samples=samples,
            files=[*files, census(self.house.folder)],
            said=self.said,
            late_ms=[late for (late,) in rows(self.house, _LATE)],
            steady_from=self.steady_from,
            tracebacks=self.tracebacks,
        )
        with self.office() as office:
            self._count(office)
            for check in (sound, lambda office: self.report.mails.update(each_mail_once(office, self))):
                try:
                    check(office)
                except AssertionError as error:
                    made.problems.append(f"unsound: {error}")
        for name, found in (("early", self.report.early), ("lost", self.report.lost), ("doubled", self.report.doubled)):
            made.problems += [f"{name}: {each}" for each in found]
        last = made.files[-1]
        made.problems += [f"{last[kind]} files {kind}" for kind in ("left over", "unknown") if last[kind]]
        if (most := max(each["WAL, KiB"] for each in made.files)) > WAL:
            made.problems.append(f"the database's log had {most} KiB")
        if last["backups"] > KEPT:
            made.problems.append(f"{last['backups']} backups, of which {KEPT} were to be kept")
        weigh(made)
        return made

    def _count(self, office: Office) -> None:
        for name, lift_at in self.lifts.items():
            standing = records.find(office.store, name)
            wanted = State.RETRACTED if name in self.retracted else State.RELEASED
            if standing is None or standing.state is not wanted or standing.released_at is None:
                self.report.lost.append(f"{name} {standing and standing.state}")
            elif standing.released_at < lift_at or standing.lift_at != lift_at:
                self.report.early.append(
                    f"{name}, lift {lift_at}, stored {standing.lift_at}, released {standing.released_at}"
                )
        for name, count in office.raw(
            "SELECT record_id, count(*) FROM trail WHERE event = 'released' GROUP BY 1 HAVING count(*) > 1"
        ):
            self.report.doubled.append(f"{name} released {count} times")
        for number, name, state, _ in office.raw(_UNSENT):
            why = self.unsent.get(number)
            if why not in {RETRACTED, NEWER}:  # what is not true any more is not sent
                self.report.lost.append(f"a mail about {name} {state}: {why}")
        for subject, at in self.server.heard:
            if (found := _ABOUT.search(subject)) and self.shown(at) < self.lifts[found[1]]:
                self.report.early.append(f"mail about {found[1]}, at {self.shown(at)}, before its lift")

    def shown(self, at: datetime) -> datetime:
        """What the service's wall clock showed at a true instant."""
        return at + next(step for since, step in reversed(self.steps) if since <= at)

    def copies(self) -> dict[str, list[bytes]]:
        """The mails about records that the server has taken, as `kit.Wire` gives them."""
        return {name: [b""] * count for name, count in self.server.taken.items() if name not in self.letters}


class TrueLifts(dict[str, datetime]):
    """The lifts of a year by the true clock, by which a reader goes."""

    def __init__(self, year: Year) -> None:
        self._year = year

    def __getitem__(self, name: str) -> datetime:
        return self._year.lifts[name] - self._year.wall.step


class Sampler(threading.Thread):
    """Looks at all processes and files again and again, and reads the site meanwhile."""

    def __init__(self, year: Year, every: float) -> None:
        super().__init__(daemon=True)
        self._year, self._every = year, every
        self._over = threading.Event()
        self.samples: list[Sample] = []
        self.files: list[Counter[str]] = []
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        while not self._over.wait(self._every):
            for pid, role in self._year.processes():
                with contextlib.suppress(OSError):  # it has just ended
                    self.samples.append(measure(pid, role, len(self._year.lifts)))
            self.files.append(census(self._year.house.folder))
            for path in ("", "rss.xml", "feed.json", "subscribe", f"releases/k{max(len(self._year.lifts) - 50, 0)}/"):
                self._ask(self._year.house.port, f"/{path}")
            self._ask(self._year.monitor, "/metrics")

    def _ask(self, port: int, path: str) -> None:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(asking), contextlib.suppress(OSError, http.client.HTTPException):  # it may be starting
            asking.request("GET", path, headers={"Accept-Encoding": "gzip"})
            answer = asking.getresponse()
            answer.read()
            if answer.status >= 500:
                self.refused[f"{path} {answer.status}"] += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


def measure(pid: int, role: str, lifts: int) -> Sample:
    here = Path(f"/proc/{pid}")
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB", (here / "smaps_rollup").read_text(), re.MULTILINE))
    return Sample(
        role=role,
        pid=pid,
        lifts=lifts,
        rss=int(sizes["Rss"]) / 1024,
        pss=int(sizes["Pss"]) / 1024,
        descriptors=len(os.listdir(here / "fd")),  # noqa: PTH208 - names are enough
        threads=len(os.listdir(here / "task")),  # noqa: PTH208
    )


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def census(folder: Path) -> Counter[str]:
    """How many files of each kind there are, and how many KiB the database's log has."""
    found: Counter[str] = Counter()
    for parent, _, names in os.walk(folder):
        place = Path(parent).relative_to(folder).parts[:1]
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(OSError):  # gone since it was listed
                kind = _kind(place[0] if place else "", name)
                if kind == "left over" and time.time() - path.stat().st_mtime < 5:
                    kind = "in the making"
                found[kind] += 1
                if name.endswith("-wal"):
                    found["WAL, KiB"] = path.stat().st_size // 1024
    return found


def _kind(place: str, name: str) -> str:
    if name.startswith(".") or name.endswith((".tmp", ".part", ".new", ".restore", "-journal")):
        return "left over"
    ours = {"public": "site", "backups": "backups", "var": "database", "records": "records"}
    own = place in {"lists", "templates"} or name in {"config.yaml", "service.log"}
    return ours.get(place) or ("settings" if own else "unknown")


def longest(samples: list[Sample], role: str) -> list[Sample]:
    """Those of the process of this role that was seen most often."""
    seen = Counter(each.pid for each in samples if each.role == role)
    pid = seen.most_common(1)[0][0] if seen else 0
    return [each for each in samples if each.pid == pid]


def growth(made: Outcome, role: str) -> tuple[int, float]:
    """Over how many lifts, and MiB more of resident memory with a thousand of them: the slope of the last two thirds."""
    seen = [each for each in longest(made.samples, role) if each.lifts >= made.steady_from]
    rest = seen[len(seen) // 3 :]
    lifts = [each.lifts for each in rest]
    if len(set(lifts)) < 2:
        return 0, 0.0
    slope = statistics.linear_regression(lifts, [each.rss for each in rest]).slope
    return lifts[-1] - lifts[0], 1000 * slope


ROLES = ("service", "worker", "web", "monitor")


def weigh(made: Outcome) -> None:
    """Judges memory, descriptors and threads: what the last third of samples never falls below, the first had to reach."""
    for role in ROLES:
        for what, most in MOST.items():
            held = max((getattr(each, what) for each in made.samples if each.role == role), default=0)
            if held > most:
                made.problems.append(f"{role} had {held} {what}, more than {most}")
        seen = longest(made.samples, role)
        third = len(seen) // 3
        span, grown = growth(made, role)
        if span < ENOUGH:
            made.passed_over.append(f"whether {role} grows: {span} lifts")
            continue
        if grown > GROWTH[role]:
            made.problems.append(f"{role} grows by {grown:.1f} MiB with a thousand lifts, more than {GROWTH[role]}")
        for what in MOST:
            before = max(getattr(each, what) for each in seen[:third])
            after = min(getattr(each, what) for each in seen[-third:])
            if after > before + FEW:
                made.problems.append(f"{role} keeps {what}: at most {before} at first, then never fewer than {after}")


def soak(
    folder: Path,
    *,
    lifts: int,
    edits: int,
    restarts: int,
    seed: int,
    every: float = 1.0,
    told: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """The whole of it, in a folder of its own."""
    server = Server()
    house = House(folder / "newsroom", free_port())
    house.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, server.apart() as port:
        wall = WallClock(folder / "step", patch)
        # Read from its file once a second: read at each look, it would take most of the time of all processes.
        patch.setenv("FAKETIME_NO_CACHE", "0")
        patch.setenv("FAKETIME_CACHE_DURATION", "1")
        year = Year(house, wall, server, port, seed)
        sampler, reader = Sampler(year, every), Reader(house, TrueLifts(year))
        sampler.start()
        reader.start()
        try:
            year.run(lifts=lifts, edits=edits, restarts=restarts, told=told)
            year.come_to_its_end()
            sampler.stop()
            reader.stop()
            year.end("term")
        except BaseException:
            print(house.log[-5000:], file=sys.stderr)
            raise
        finally:
            house.stop()
        year.report.early += reader.early.values()
        made = year.judge(sampler.samples, sampler.files)
        made.problems += [f"{count} times {what}" for what, count in sampler.refused.items()]
        return made


def put(made: Outcome) -> None:
    """Prints the figures and the verdict."""
    report, ended = made.report, ", ".join(f"{count} by {how}" for how, count in made.restarts.items())
    print(f"seed {report.seed}: {report.records} records in {report.lives} lives, ended {ended}")
    print(f"{report.corrections} records rewritten, {made.retractions} retracted; edits: {dict(made.edits)}")
    print(
        f"mails: {dict(report.mails)}; early {len(report.early)}, lost {len(report.lost)}, doubled {len(report.doubled)}"
    )
    if late := made.late_ms:
        middle, most = late[len(late) // 2], late[len(late) * 99 // 100]
        print(f"lateness, overdue ones apart: median {middle:.1f} ms, 99 of 100 below {most:.0f} ms")
    print(f"said aloud: {dict(made.said)}")
    print(f"\n{'':10}{'samples':>8}{'RSS, MiB':>26}{'PSS':>8}{'growth':>10}{'descriptors':>16}{'threads':>12}")
    for role in ROLES:
        if seen := longest(made.samples, role):
            rss = f"{seen[0].rss:.1f} … {seen[-1].rss:.1f}, most {max(each.rss for each in seen):.1f}"
            many = f"{seen[0].descriptors} … {seen[-1].descriptors}"
            threads = f"{seen[0].threads} … {seen[-1].threads}"
            print(
                f"{role:10}{len(seen):>8}{rss:>26}{seen[-1].pss:>8.1f}{growth(made, role)[1]:>10.2f}{many:>16}{threads:>12}"
            )
    print("(of the process of each role that lived longest; growth: MiB with a thousand lifts, of the lifts alone)\n")
    kinds = sorted({kind for each in made.files for kind in each})
    for kind in kinds:
        most = max(each[kind] for each in made.files)
        print(f"{kind:20}{made.files[0][kind]:>8} at first, {most:>8} at most, {made.files[-1][kind]:>8} at the end")
    print(f"site files for each record: {made.files[-1]['site'] / report.records:.2f}\n")
    for each in made.passed_over:
        print(f"not judged: {each}")
    for each in made.problems:
        print(f"PROBLEM  {each}")
    for each, count in made.tracebacks.items():
        print(f"PROBLEM  traceback, {count} times: {each}")
    print("wanting" if made.problems or made.tracebacks else "sound")


def main() -> None:
    """Runs, prints, and ends with status 1 where something is wanting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lifts", type=int, default=5000)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        made = soak(Path(folder), **vars(asked), told=lambda line: print(line, flush=True))
    put(made)
    sys.exit(bool(made.problems or made.tracebacks))


if __name__ == "__main__":
    main()
