"""The log's two forms."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler import log
from scheduler.permissions import Loose


def started(**how):
    """Starts the log; the test runner's own handlers are not closed by that."""
    logging.getLogger().handlers.clear()
    log.start(**how)


@pytest.fixture(params=["text", "json"])
def form(request):
    """Either form; what the test runner had is there again afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield request.param
    root.handlers[:] = handlers
    root.setLevel(level)


def line_of(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def head_and_rest(line):
    at, level, rest = line.split(" ", 2)
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() < 60
    return level, rest


def test_a_line_says_when_how_loud_what_and_its_fields(form, capsys):
    """A line of the log says when, how loud, what, and its fields; as text or as an object."""
    started(form=form)
    log.say("released", record="4b5b", late_ms="1.5", note="two words", empty="", where=Path("/srv/x"), count=3)
    line = line_of(capsys)
    if form == "text":
        rest = 'released record=4b5b late_ms=1.5 note="two words" empty="" where=/srv/x count=3'
        assert head_and_rest(line) == ("info", rest)
    else:
        said = json.loads(line)
        assert list(said)[:3] == ["at", "level", "event"]
        assert datetime.fromisoformat(said.pop("at")).utcoffset() is not None
        assert said == {
            "level": "info",
            "event": "released",
            "record": "4b5b",
            "late_ms": "1.5",
            "note": "two words",
            "empty": "",
            "where": "/srv/x",
            "count": 3,
        }


def test_what_others_say_can_forge_no_line(form, capsys):
    """What a server or a file name says can't begin a line of its own in the log, nor colour the terminal that shows it."""
    started(form=form)
    log.alarm(
        "hub_given_up",
        problem="no\r\n2026-01-01T00:00:00.000+00:00 info released\x1b[31m\u2028x",
        at="?",
    )
    line = line_of(capsys)
    assert "\x1b" not in line
    if form == "text":
        assert head_and_rest(line)[1].startswith("hub_given_up problem=")
    else:
        said = json.loads(line)
        assert (said["level"], said["event"]) == ("error", "hub_given_up")
        assert said["at"] != "?"


def test_a_failure_brings_its_traceback(form, capsys):
    """A failure brings its traceback, in the same object where lines are objects."""
    started(form=form)
    try:
        Path("/nowhere/at/all").read_bytes()
    except OSError:
        log.failure("lift_failed", hub="https://hub.example.org/a b")
    said = capsys.readouterr().err
    if form == "text":
        first, rest = said.split("\n", 1)
        assert head_and_rest(first) == ("error", 'lift_failed hub="https://hub.example.org/a b"')
    else:
        found = json.loads(line := said.rstrip("\n"))
        assert "\n" not in line
        assert (found["event"], found["hub"]) == ("lift_failed", "https://hub.example.org/a b")
        rest = found["exception"]
    assert rest.startswith("Traceback")
    assert "FileNotFoundError: [Errno 2]" in rest


def test_libraries_write_the_same_lines(form, capsys):
    """What a library logs comes as a line of the same form; what APScheduler and its like warn of is normal, and left out."""
    started(form=form)
    logging.getLogger("apscheduler.scheduler").warning("maximum number of running instances reached")
    logging.getLogger("granian").warning("took %s ms", 5)
    line = line_of(capsys)
    if form == "text":
        assert head_and_rest(line) == ("warning", "took 5 ms")
    else:
        said = json.loads(line)
        assert (said["level"], said["event"]) == ("warning", "took 5 ms")


@pytest.mark.parametrize("verbose", [False, True])
def test_debug_lines_are_for_those_who_ask(form, capsys, verbose):
    """Debug lines are written for those who ask for them."""
    started(form=form, verbose=verbose)
    log.say("looked", level=logging.DEBUG)
    assert ("looked" in capsys.readouterr().err) is verbose


def test_what_others_can_reach_comes_with_its_mending(form, capsys):
    """Each private thing that others can reach is a line with the command that mends it."""
    started(form=form)
    log.warn_of([Loose(path=Path("/srv/records"), mode=0o755)])
    line = line_of(capsys)
    if form == "text":
        rest = 'others_can_reach path=/srv/records mode=0755 mend="chmod go-rwx /srv/records"'
        assert head_and_rest(line) == ("warning", rest)
    else:
        assert json.loads(line)["mend"] == "chmod go-rwx /srv/records"
