"""The picture of how everything stands, and the queue while somebody watches it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import PATIENCE, Office, words

from scheduler import clock, config
from scheduler.cli import queue, say, status
from scheduler.embargo import Kind
from scheduler.errors import FileRefused
from scheduler.monitor.look import Snapshot, Trouble
from scheduler.parts import build
from scheduler.record import Purpose, Standing, State
from scheduler.store import open_store, vitals
from scheduler.store.ledger import Progress
from scheduler.store.vitals import Vitals

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ZONE = "America/New_York"
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
LONG = "a-rather-long-id-" + "of-many-words-" * 6 + "end"
TITLES = ("A title", "中央銀行が政策金利を引き上げ" * 8, "وزارة الخارجية تعلن عن اتفاق" * 5, "words " * 40)


def standing(record_id="one", ahead=2 * HOUR, **fields) -> Standing:
    """A held record of which only what is given matters."""
    given = {
        "state": State.HELD,
        "lift_at": None if ahead is None else NOW + ahead,
        "reason": None,
        "title": "A title",
        "lists": None,
        **fields,
    }
    return Standing(
        id=record_id,
        uuid="",
        origin=f"/office/records/{record_id}.md",
        digest="",
        accepted_digest="",
        revision=2,
        settled_by=None,
        accepted_at=NOW,
        released_at=None,
        changed_at=None,
        vanished=False,
        kind=Kind.FIXED,
        words="",
        zone=ZONE,
        candidates=(),
        unfit=None,
        **given,
    )


def beat(**fields) -> Vitals:
    """A heartbeat of a service that is well."""
    given = {"at": NOW, "ready": True, "started_at": NOW - HOUR, "config_at": NOW - MINUTE, **fields}
    return Vitals(pid=4711, host="desk", armed_for=None, site_at=NOW, children=(), **given)


def view(*troubles, lifts=(), mailings=(), alive=True, counts=None, **fields) -> status.View:
    counts = counts or {State.HELD: len(lifts)}
    snapshot = Snapshot(at=NOW, vitals=beat(**fields) if alive else None, alive=alive, counts=counts)
    return status.View(
        newsroom="Example Press Office", zone=ZONE, snapshot=snapshot, troubles=troubles, lifts=lifts, mailings=mailings
    )


def trouble(problem="Something is wrong.", *, kind="site", remedy="embargo doctor", urgent=True) -> Trouble:
    return Trouble(kind=kind, problem=problem, remedy=remedy, urgent=urgent)


def mailing(**fields) -> Progress:
    given = {"audience": 3000, "sent": 1200, "failed": 4, "frozen": True, "rate": 40.0, **fields}
    about = {"record_id": "one", "revision": 1, "purpose": Purpose.RELEASE, "list": "press", "owed_at": NOW}
    return Progress(id=1, suppressed=0, uncertain=0, errors=(), **about, **given)


def drawn(lines) -> str:
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize(
    ("seen", "says", "colour"),
    [
        (view(), "ALL WELL", "green"),
        (view(ready=False), "STARTING", "yellow"),
        (view(alive=False), "NOT RUNNING: nothing lifts", "red"),
        (view(trouble()), "1 THING NEEDS YOU", "red"),
        (view(trouble(urgent=False)), "1 THING NEEDS YOU", "yellow"),
        (view(trouble(kind="attention"), trouble(), counts={State.ATTENTION: 500}), "501 THINGS NEED YOU", "red"),
    ],
)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_headline(seen, says, colour, width):
    """One coloured line across the screen says whether everything is all right, and what clocks show in the newsroom."""
    line = status.headline(seen, NOW, width)
    assert line.plain.strip().startswith(says)
    assert line.cell_len == width
    assert line.spans[0].style == f"bold reverse {colour}"
    assert line.plain.endswith("07:00:00 New York ") == (width > 45 or len(says) < 20)


@pytest.mark.parametrize(
    ("ahead", "says", "style"),
    [
        (2 * HOUR + 14 * MINUTE + 3 * SECOND, "in 2 h 14 min 3 s", "bold"),
        (HOUR, "in 1 h 0 min 0 s", "bold"),
        (HOUR - SECOND, "in 59 min 59 s", "bold yellow"),
        (MINUTE - SECOND, "in 59 s", "bold reverse yellow"),
        (SECOND / 4, "in 1 s", "bold reverse yellow"),
        (-SECOND, "now", "bold reverse yellow"),
        (-5 * SECOND, "due 5 s ago", "bold reverse red"),
        (None, "by hand", "bold"),
    ],
)
def test_a_lift_comes_near(ahead, says, style):
    """The countdown counts seconds, changes its colour under an hour and under a minute, and turns red when a lift is late."""
    first = status.lift(standing(ahead=ahead), ZONE, NOW, 80, ticking=True)[0]
    assert first.plain.split("  ")[-2].strip() == says
    assert first.spans[0].style == style


def test_times_of_a_lift():
    """A lift is told in the newsroom's zone and in UTC, with another day where it is one there."""
    text = drawn(status.lift(standing(ahead=2 * HOUR, lists=("press", "wire")), ZONE, NOW, 80))
    assert "today 09:00, 14:00 UTC  one (2) to press, wire" in text
    assert "today 20:30, Tue 01:30 UTC" in drawn(status.lift(standing(ahead=13.5 * HOUR), ZONE, NOW, 80))
    assert "Tue 2 Nov 2027 08:00, 12:00 UTC" in drawn(status.lift(standing(ahead=337 * 24 * HOUR), ZONE, NOW, 80))
    assert f"\n  {'i' * 70} (2)" in drawn(status.lift(standing("i" * 70), ZONE, NOW, 80))
    assert say.moment(NOW, "UTC", NOW) == "today 12:00 UTC"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_everything_fits(width):
    """No line is wider than the screen, no word is broken, and ids and commands stand whole, however long, to be copied."""
    lifts = tuple(standing(f"record-{number}", title=title) for number, title in enumerate(TITLES))
    troubles = (
        trouble("config.yaml:12: `overdu` is no key of embargo.", kind="config"),
        trouble("one: Two times.", kind="attention", remedy=f"embargo confirm {LONG}"),
        trouble(remedy="Start it by its systemd unit, or see what the log of it says about the end."),
    )
    seen = view(*troubles, lifts=(*lifts, standing(LONG)), mailings=(mailing(),), config_problems=("a", "b:2: No."))
    lines = status.picture(seen, NOW, width, 50)
    wide = [line.plain for line in lines if line.cell_len > width]
    assert [line for line in wide if LONG not in line and "embargo " not in line] == []
    text = drawn(lines)
    assert f"\n  embargo confirm {LONG}\n" in text
    assert text.count(f"{LONG} (2)") == 1
    assert text.count("…") == (3 if width < 200 else 2)  # the titles, each in one line
    told = " ".join(text.split())
    for sentence in (
        "! config.yaml:12: `overdu` is no key of embargo. embargo doctor",
        "Start it by its systemd unit, or see what the log of it says about the end.",
        "40% 1,204 of 3,000, 40.0/s, 44 s left 4 failed: embargo mail ledger one",
        "also refused: b:2: No. clock believed records 5 held mail none in 48 hours site no feed yet",
    ):
        assert sentence in told
    assert ("━" in text) == (width > 40)


def test_nothing_at_all():
    """An empty newsroom without a service says so, and what it knows."""
    text = drawn(status.picture(view(alive=False), NOW, 80, 24))
    assert "NOT RUNNING" in text
    assert "Nothing is held." in text
    assert "service   not running" in text
    assert "records   none yet" in text


@pytest.mark.parametrize(("width", "height"), [(40, 12), (80, 24), (200, 60)])
def test_five_hundred_records(width, height):
    """A queue of any length fills the screen: what needs a person first, then what lifts next; the rest is counted."""
    waiting = [standing(f"ask-{n}", None, state=State.ATTENTION, reason="Two times. " * 9) for n in range(100)]
    held = [standing(f"held-{n}", n * MINUTE) for n in range(1, 401)]
    seen = queue.Board(view=view(trouble()), open=(*waiting, *held))
    lines = queue.board(seen, NOW, width, height)
    text = drawn(lines)
    assert height - 5 < len(lines) <= height + 4 * (height < 24)
    assert text.index("NEEDS YOU") < text.index("embargo confirm ask-0 WHEN") < text.index("in 1 min 0 s")
    more = [int(count) for count in re.findall(r"and (\d+) more: embargo queue", text)]
    assert sum(more) + text.count("embargo confirm") + len(re.findall(r"held-\d+", text)) == 500


def test_a_release_is_seen(office):
    """What was released while somebody watches flashes for some seconds under its title, and leaves; a withdrawal just leaves."""
    for record_id in ("one", "two", "three"):
        office.record(record_id, title=f"Title of {record_id}")
    look = queue.Watched()
    settings = office.parts.config
    before = look(office.store, settings, office.clock())
    assert [each.id for each in before.open] == ["one", "three", "two"]
    assert "RELEASED" not in drawn(queue.board(before, office.clock(), 80, 24))
    office.lift_by_hand("one")
    office.withdraw("two")
    seen = look(office.store, settings, office.clock())
    shown = [queue.board(seen, office.clock() + n * SECOND / 2, 80, 24) for n in (0, 1, 12)]
    assert ["RELEASED  Title of one" in drawn(lines) for lines in shown] == [True, True, False]
    styles = [next(line for line in lines if "RELEASED" in line.plain).spans[0].style for lines in shown[:2]]
    assert styles == ["bold reverse green", "bold green"]
    assert "Title of two" not in drawn(shown[0])
    assert "Title of three" in drawn(shown[2])
    office.clock.pass_by(seconds=10)
    assert look(office.store, settings, office.clock()).open == seen.open


def test_a_record_in_attention_says_why(office):
    """For the operator a record that needs a person stands with its reason and the command."""
    office.record("past", embargo="2026-11-29 09:00 America/New_York")
    seen = status.see(office.store, office.parts.config, office.clock())
    told = " ".join(drawn(status.picture(seen, office.clock(), 80, 24)).split())
    assert re.search(r"! past: .* passed .* embargo confirm past", told)


TYPESET = "Zoë\u2019s \u201cprix\u201d \u2013 中文…"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", TYPESET),
        ("latin-1", 'Zoë\'s "prix" - ????~'),
        ("ascii", 'Zoe\'s "prix" - ????~'),
    ],
)
def test_letters_that_a_terminal_lacks(encoding, written):
    """What a terminal can't write is written by its nearest letters, in as many columns."""
    assert say.lettered(TYPESET, encoding) == written


@contextmanager
def desk(house):
    """The pipeline on the house's database, at the present."""
    store = open_store(house.url)
    try:
        yield Office(house.folder, build(config.read(house.config)), store, clock=clock.system)
    finally:
        store.close()


@contextmanager
def beating(store):
    """The heartbeat of a service that is well, as long as this lasts."""
    over = threading.Event()

    def write():
        while not over.wait(0.5):
            vitals.write(store, beat(at=clock.system(), started_at=clock.system()))

    vitals.write(store, beat(at=clock.system(), started_at=clock.system()))
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        vitals.remove(store, site=Path())


def test_status_in_a_pipe(house):
    """In a pipe each line is one fact parted by tabs, with the columns of the JSON; the exit status says whether all is well."""
    with desk(house) as office:
        office.record("one", embargo=f"{NOW.year + 1}-12-01 09:00", title="Two 中文 words")
        with beating(office.store):
            done = house.run("status")
            document = json.loads(house.run("status", "--json").stdout)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert rows[0][:3] == ["status", "well", "0"]
        assert ["lift", f"{NOW.year + 1}-12-01T14:00:00+00:00", "one", "1", "-", "Two 中文 words"] in rows
        for kind, *columns in rows:
            one = document[kind] if isinstance(document[kind], dict) else document[kind][0]
            assert len(columns) == len(one), kind
        assert document["lift"][0]["id"] == "one"
        with pytest.raises(FileRefused):
            office.record("bad", embargo="2027-12-01 09:00 EST")
    done = house.run("status")
    assert done.returncode == 1
    assert done.stdout.startswith("status\tdown\t2\t")
    assert "\nproblem\tservice\t-\tyes\tThe service is not running.\t" in done.stdout
    assert "/records/bad.md:3: " in done.stdout


def test_a_terminal_without_letters_or_colour(house):
    """Where only ASCII can be written titles are still readable, without a traceback; NO_COLOR is heeded."""
    with desk(house) as office:
        office.record(embargo=f"{NOW.year + 1}-12-01 09:00", title="Zoë\u2019s 中文")
    env = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "NO_COLOR": "1"}
    with screen(house, "status", env=env) as seen:
        text = seen.rest()
    assert "Zoe's ????" in text
    assert "NOT RUNNING" in text
    assert re.findall(r"\x1b\[[0-9;]*3[0-7]m", text) == []
    assert text.isascii()


@pytest.mark.parametrize("arguments", [["status"], ["queue", "--all"]])
def test_watching_needs_a_terminal(house, arguments):
    """`--watch` without a terminal, or with what it can't be joined with, is wrong usage."""
    done = house.run(*arguments, "--watch")
    assert done.returncode == 2
    assert "--watch" in done.stderr
    assert done.stdout == ""


class Screen:
    """A terminal of our own, and the command that runs on it."""

    def __init__(self, pid: int, end: int) -> None:
        self.pid, self.end, self.text, self.gone = pid, end, "", False

    def until(self, *expected: str) -> str:
        """What was written since the last call, up to the last of what is waited for; each draws on the one before."""
        give_up = time.monotonic() + PATIENCE
        while any(each not in self.text for each in expected):
            assert time.monotonic() < give_up, f"waited in vain for {expected}:\n{self.text}"
            if select.select([self.end], [], [], 0.2)[0] and not self._more():
                raise AssertionError(f"ended without {expected}:\n{self.text}")
        text, self.text = self.text, ""
        return text

    def rest(self) -> str:
        """All that is still written."""
        while self._more():
            pass
        return self.text

    def _more(self) -> bool:
        try:
            found = os.read(self.end, 65536)
        except OSError:
            found = b""
        self.text += found.decode("utf-8", "replace")
        return bool(found)

    def size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def left(self) -> int:
        self.gone = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def screen(house, *arguments, env=None, size=(80, 24)):
    ready, go = os.pipe()
    pid, end = pty.fork()
    if pid == 0:
        os.read(ready, 1)  # until the terminal has its size
        os.chdir(house.folder)
        clean = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
        os.execve(
            sys.executable, [sys.executable, "-m", "scheduler", *arguments], {**clean, "TERM": "xterm", **(env or {})}
        )
    made = Screen(pid, end)
    made.size(*size)
    os.write(go, b".")
    try:
        yield made
    finally:
        if not made.gone:
            os.kill(pid, signal.SIGKILL)
            made.left()
        for each in (end, ready, go):
            os.close(each)


@pytest.mark.sqlite_only("the file is taken away and another put in its place")
def test_watching_the_queue(house):
    """`embargo queue --watch` shows what comes and goes, fits itself to the terminal, and outlives that the database is gone, and
    another one in its place; `q` ends it with status 0 and leaves the terminal as it was.
    """
    database = house.folder / "var" / "embargo.db"
    with desk(house) as office, screen(house, "queue", "--watch") as seen:
        office.record("one", embargo=words(clock.system() + 2 * HOUR), title="The first of them")
        before = termios.tcgetattr(seen.end)
        assert "\x1b[?1049h" in seen.until("NOT RUNNING", "The first of them", "q ends")
        seen.until("in 1 h 59 min")
        assert termios.tcgetattr(seen.end) != before
        office.record("two", embargo=words(clock.system() + MINUTE), title="A second one")
        seen.until("A second one")
        seen.size(40, 24)
        seen.until(f"\n{'  The first of them':<40}\r\n")
        copy = house.folder / "copy.db"
        office.store.backup(copy)
        office.store.close()
        database.unlink()
        seen.until("There is no database", "Seen last")
        copy.rename(database)
        with desk(house) as restored:
            restored.lift_by_hand("two")
        seen.until("RELEASED")
        os.write(seen.end, b"q")
        assert "\x1b[?1049l" in seen.rest()
        assert seen.left() == 0
        assert termios.tcgetattr(seen.end) == before


def test_watching_the_status(house):
    """`embargo status --watch` draws the whole picture anew, and turns when a service comes to life; Ctrl-C ends it."""
    (house.folder / "public").mkdir()
    with desk(house) as office, screen(house, "status", "--watch", size=(100, 40)) as seen:
        seen.until("NOT RUNNING")
        with beating(office.store):
            seen.until("ALL WELL", "process 4711 on desk")
        os.write(seen.end, b"\x03")
        assert "\x1b[?25h" in seen.rest()
        assert seen.left() == 0
