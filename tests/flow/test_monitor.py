"""The monitor: what a look sees, what of it a person is told, and the port that answers for the service."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import promql_parser
import pytest
import yaml
from conftest import NOW, Clock, eventually, free_port
from mail_kit import ZOE, Post, announce, claim, drain, freeze, released, worker
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from scheduler import config, leash
from scheduler.config import read
from scheduler.config.parts import BackupPart
from scheduler.errors import DeliveryFailed, StoreRefused
from scheduler.monitor.look import KINDS, ChildVitals, Lift, Node, Snapshot, Vitals, Waiting, look, troubles
from scheduler.monitor.metrics import expose
from scheduler.monitor.serve import Server, Watch
from scheduler.record import DeliveryState, State
from scheduler.store import fence, glance, open_store, vitals

ROOT = Path(__file__).parents[2]
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DISK = 500 * 10**6

BEAT = Vitals(
    at=NOW,
    pid=4711,
    host="press1",
    started_at=NOW - HOUR,
    ready=True,
    armed_for=NOW + HOUR,
    config_at=NOW - HOUR,
    site_at=NOW - HOUR,
    children=(ChildVitals(name="worker", pid=4712, restarts=0),),
    lateness=(0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0),
    lateness_sum_s=2.5,
)
WELL = Snapshot(
    at=NOW,
    vitals=BEAT,
    alive=True,
    beat_age=SECOND / 2,
    counts=dict.fromkeys(State, 0) | {State.HELD: 3},
    lifts=(Lift(uuid="u1", record_id="one", lift_at=NOW + HOUR),),
    released_at=NOW - HOUR,
    ledger=dict.fromkeys(DeliveryState, 0),
    disk={Path("/srv"): 10**10},
    feed_at=NOW - HOUR,
)


def beating(**changes):
    return replace(WELL, vitals=replace(BEAT, **changes))


# --- the heartbeat


@pytest.mark.sqlite_only("the heartbeat is a file beside it")
def test_a_heartbeat_is_read_as_it_was_written(office):
    """What the service writes of itself at a heartbeat is read as it was written, and is its owner's alone."""
    assert vitals.read(office.store, site=office.folder / "public") is None
    beat = replace(BEAT, doubts=("stepped",), offset_s=-0.25, config_problems=("a",), site_problem="b")
    vitals.write(office.store, replace(beat, pid=1))
    file = vitals.beside(office.store)
    file.with_name(file.name + ".tmp").write_text("left by a kill")
    vitals.write(office.store, beat)
    found = vitals.read(office.store, site=office.folder / "public")
    assert replace(found, steady=timedelta()) == beat
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.glob("*vitals*")] == [file.name]
    vitals.remove(office.store, site=office.folder / "public")
    vitals.remove(office.store, site=office.folder / "public")
    assert vitals.read(office.store, site=office.folder / "public") is None


@pytest.mark.sqlite_only("the heartbeat is a file beside it")
@pytest.mark.parametrize("torn", [b"", b'{"at": "2026-', b"[]", b"\xff"])
def test_a_torn_heartbeat_is_none(office, torn):
    """What a power cut left of a heartbeat is taken for none."""
    vitals.beside(office.store).write_bytes(torn)
    assert vitals.read(office.store, site=office.folder / "public") is None


@pytest.mark.sqlite_only("the heartbeat is a file beside it")
def test_a_heartbeat_that_cannot_be_written_is_refused(office):
    """A heartbeat that can't be written says which file, and what to look at."""
    vitals.beside(office.store).mkdir()
    with pytest.raises(StoreRefused, match=r"embargo\.db\.vitals can't be written.*disk full"):
        vitals.write(office.store, BEAT)
    with pytest.raises(StoreRefused, match=r"embargo\.db\.vitals can't be read"):
        vitals.read(office.store, site=office.folder / "public")


# --- the look


@pytest.fixture
def settings(office):
    """The newsroom's settings, with the folders of this test."""
    config = office.parts.config
    site = config.site.model_copy(update={"folder": office.folder / "public"})
    backup = BackupPart(folder="backups").model_copy(update={"folder": office.folder / "backups"})
    return config.model_copy(update={"site": site, "backup": backup, "file": office.folder / "config.yaml"})


@pytest.fixture
def see(office, settings):
    """A look, through the window that the monitor has; `steady` passes since the last heartbeat."""
    window = glance.open_window(office.url, patience=timedelta(milliseconds=50))

    def seen(since_beat=SECOND):
        beat = vitals.read(window, site=office.folder / "public")
        return look(window, settings, now=office.clock(), steady=lambda: beat.steady + since_beat)

    yield seen
    window.close()


def test_a_look_sees_what_waits_and_what_was_released(office, see, settings):
    """A look sees what lifts next, what waits for a person, what is overdue, and when something was last released."""
    office.record("later", embargo="2026-12-02 09:00 America/New_York")
    office.record("sooner", embargo="2026-12-01 09:00 America/New_York")
    office.record("event", embargo="on delivery")
    office.record("unsure", embargo=None)
    office.record("old", embargo="2026-11-30 07:10 America/New_York")
    office.record("past", embargo="2026-11-30 07:01 America/New_York")
    office.record("now", embargo="2026-11-30 07:05 America/New_York")
    office.record("out", embargo="none")
    office.lift()
    office.clock.pass_by(minutes=5)
    seen = see()
    assert (seen.at, seen.problem, seen.fenced) == (NOW + 5 * MINUTE, None, ())
    assert [lift.record_id for lift in seen.lifts] == ["old", "sooner", "later"]
    assert seen.lifts[1].lift_at == datetime(2026, 12, 1, 14, tzinfo=UTC)
    assert (seen.due, seen.due_since) == (2, NOW + MINUTE)
    assert seen.overdue_for == 4 * MINUTE
    assert [(each.record_id, each.lift_at) for each in seen.attention] == [("unsure", None)]
    assert seen.counts[State.HELD] == 6
    assert seen.counts[State.ATTENTION] == 1
    assert seen.released_at == NOW
    assert seen.feed_at is None
    settings.site.folder.mkdir()
    (settings.site.folder / "atom.xml").write_text("x")
    os.utime(settings.site.folder / "atom.xml", (NOW.timestamp(), NOW.timestamp()))
    assert see().feed_at == NOW


def test_those_whose_instant_is_near_are_named_first(office, see):
    """Of many that wait for a person those are named whose instant is nearest."""
    for number in range(25):
        office.record(f"r{number:02}", embargo=None)
    for hours, record_id in ((1, "r24"), (2, "r11"), (-30, "r07")):
        at = int((NOW + timedelta(hours=hours)).timestamp() * 10**6)
        office.raw(f"UPDATE records SET lift_at = {at} WHERE id = '{record_id}'")
    seen = see()
    assert [each.record_id for each in seen.attention][:3] == ["r24", "r11", "r00"]
    assert len(seen.attention) == glance.SOONEST
    assert seen.counts[State.ATTENTION] == 25


@pytest.mark.sqlite_only("a heartbeat on a server is as old as the server's clock says")
def test_a_service_is_alive_while_its_heart_beats(office, see):
    """The service is alive while its last heartbeat is fresh by a clock that nobody can set."""
    assert not see().alive
    vitals.write(office.store, BEAT)
    assert see(4 * SECOND).alive
    assert not see(5 * SECOND).alive
    office.clock.pass_by(days=-3)
    assert see(SECOND).alive
    assert see(SECOND).beat_age == SECOND
    assert not see(-HOUR).alive, "written before the machine was started anew"


def test_a_look_counts_the_mails_of_the_last_two_days(office, see):
    """A look counts the mails that were owed in the last 48 hours, by state, and those that may have arrived, by record."""
    released(office, "old")
    drain(worker(office, Post()))
    office.clock.pass_by(hours=49)
    released(office, "new")
    freeze(office)
    taken = claim(office, "w1")
    assert announce(office, "w1", taken[:1])
    seen = see()
    assert {state: count for state, count in seen.ledger.items() if count} == {
        DeliveryState.SENDING: 1,
        DeliveryState.CLAIMED: len(taken) - 1,
    }
    office.clock.pass_by(hours=1)
    drain(worker(office, Post()))
    assert see().uncertain == {"new": 1}
    assert see().ledger[DeliveryState.SENT] == len(taken) - 1


def test_a_mail_that_is_put_off_twice_is_failing(office, see):
    """A mail that servers have put off twice is failing; one that was put off once may only be greylisted."""
    post = Post()
    post.answers[ZOE] = DeliveryFailed("451 not now")
    released(office)
    drain(worker(office, post))
    assert see().failing == 0
    office.clock.pass_by(minutes=2)
    drain(worker(office, post))
    assert (see().failing, see().unreached) == (1, 0)
    office.clock.pass_by(hours=1)
    post.answers.clear()
    drain(worker(office, post))
    assert see().failing == 0


def test_a_server_that_is_away_is_told_from_one_that_says_no(office, see, monkeypatch):
    """That no mail server can be reached is seen at the first try, also when the next one is due."""
    post = Post()
    post.answers[ZOE] = DeliveryFailed("connection refused", reached=False)
    released(office)
    drain(worker(office, post))
    assert (see().failing, see().unreached) == (0, 1)
    office.clock.pass_by(hours=1)
    assert see().unreached == 1
    monkeypatch.setattr(glance, "ENOUGH", 1)
    office.clock.pass_by(hours=-1)
    released(office, "another")
    freeze(office)
    assert see().unreached == 1, "behind those that wait for their first try"
    office.clock.pass_by(hours=1)
    post.answers.clear()
    drain(worker(office, post))
    assert see().unreached == 0


def test_what_other_processes_left_is_seen(office, see):
    """The troubles that other processes have noted are seen, by kind and subject."""
    office.raw(
        "INSERT INTO meta VALUES ('trouble:list:press', 'The file p.csv is empty.'), ('troubles', 'x'), ('trouble:x', 'y')"
    )
    assert see().standing == {("list", "press"): "The file p.csv is empty.", ("x", ""): "y"}


@pytest.mark.sqlite_only("a copy of its file")
def test_a_copy_is_seen_to_be_fenced(office, settings):
    """A look at a copy of the database says why it is fenced."""
    fence.hold(office.store, now=NOW)
    copy = office.folder / "copy.db"
    office.store.backup(copy)
    window = glance.open_window(f"sqlite:///{copy}")
    assert look(window, settings, now=NOW).fenced
    window.close()


@pytest.mark.sqlite_only("the disk of its file")
def test_one_folder_stands_for_each_disk(office, see, settings):
    """Of several folders on one disk one is named; one that is not there yet counts by where it will be."""
    assert list(see().disk) == [office.store.path.parent]
    assert see().disk[office.store.path.parent] > 0
    other = Path("/dev/shm/embargo-test-backups")
    if other.parent.stat().st_dev != office.folder.stat().st_dev:
        settings.backup.__dict__["folder"] = other
        assert list(see().disk) == [office.store.path.parent, other]


@pytest.mark.sqlite_only("the plans are SQLite's")
def test_a_look_reads_no_table_that_grows_but_by_its_indexes(office):
    """A look reads mails, mailings and revisions by their indexes alone, however many there are."""
    asked = set()

    def heard(_db, _cursor, statement, parameters, _context, _many):
        asked.add((statement, tuple(parameters)))

    window = glance.open_window(office.url)
    event.listen(window.engine, "before_cursor_execute", heard)
    look(window, office.parts.config, now=NOW)
    plans = [
        step[3]
        for statement, parameters in asked
        if statement.startswith("SELECT")
        for step in office.raw(f"EXPLAIN QUERY PLAN {statement}", parameters=parameters)
    ]
    window.close()
    scans = {plan for plan in plans if plan.startswith("SCAN")}
    # The way back from the newest mailing ends at the first that is older; uncertain mails are few.
    allowed = {"SCAN records", "SCAN mailings", "SCAN deliveries USING INDEX deliveries_uncertain", "SCAN trail_head"}
    allowed.add("SCAN refusals USING COVERING INDEX sqlite_autoindex_refusals_1")  # as many as there are files
    assert {scan for scan in scans if not scan.startswith("SCAN anon")} == allowed
    assert sum(plan.startswith("SEARCH deliveries USING INDEX") for plan in plans) == 4


@pytest.mark.sqlite_only("SQLite itself denies the change")
def test_the_window_shows_everything_and_changes_nothing_but_notes(office):
    """Through the monitor's window the database refuses every change but a note, and is not made where it is not there."""
    office.record()
    window = glance.open_window(office.url)
    for change in (
        "DELETE FROM revisions",
        "UPDATE records SET state = 'released'",
        "DROP TABLE asks",
        "ATTACH 'x' AS y",
    ):
        with pytest.raises(StoreRefused, match="not authorized"), window.write() as db:
            db.exec_driver_sql(change)
    with window.write() as db:
        db.exec_driver_sql("INSERT INTO meta VALUES ('a note', 'x')")
    window.close()
    missing = office.folder / "missing.db"
    gone = glance.open_window(f"sqlite:///{missing}")
    with pytest.raises(StoreRefused, match="unable to open"), gone.read():
        pass
    assert not missing.exists()


# --- what a person is told


def waiting(lift_at, record_id="one"):
    return replace(WELL, attention=(Waiting(uuid="u", record_id=record_id, lift_at=lift_at),))


CASES = {
    "nothing": (WELL, []),
    "not running": (Snapshot(at=NOW), [("service", "", True)]),
    "no sign of life": (replace(WELL, alive=False), [("service", "", True)]),
    "no sign of life hides what it last said": (
        replace(beating(doubts=("stepped",), config_problems=("x",)), alive=False),
        [("service", "", True)],
    ),
    "no database": (replace(WELL, problem="The database is gone."), [("service", "database", True)]),
    "nobody can tell": (Snapshot(at=NOW, problem="It hangs."), [("service", "database", True)]),
    "still starting": (beating(ready=False, started_at=NOW - MINUTE), []),
    "starting for ever": (beating(ready=False, started_at=NOW - 3 * MINUTE), [("service", "", True)]),
    "fenced": (replace(WELL, fenced=("It is a copy.",)), [("fenced", "", True)]),
    "clock": (beating(doubts=("stepped", "witness")), [("clock", "", True)]),
    "due this moment": (replace(WELL, due=1, due_since=NOW - 5 * SECOND), []),
    "overdue": (replace(WELL, due=1, due_since=NOW - 6 * SECOND), [("overdue", "", True)]),
    "attention for an event": (waiting(None), [("attention", "one", False)]),
    "attention for tomorrow": (waiting(NOW + 2 * HOUR), [("attention", "one", False)]),
    "attention in an hour": (waiting(NOW + HOUR - SECOND), [("attention", "one", True)]),
    "attention since the morning": (waiting(NOW - 5 * HOUR), [("attention", "one", True)]),
    "attention since last week": (waiting(NOW - 170 * HOUR), [("attention", "one", False)]),
    "more attention than is named": (
        replace(waiting(None), counts={State.ATTENTION: 3}),
        [("attention", "one", False), ("attention", "", False)],
    ),
    "child": (beating(children=(ChildVitals(name="web", pid=None, restarts=3),)), [("child", "web", True)]),
    "child of a start": (
        beating(ready=False, started_at=NOW, children=(ChildVitals(name="web", pid=None, restarts=0),)),
        [],
    ),
    "config": (beating(config_problems=("config.yaml:3: Unknown key.",)), [("config", "", False)]),
    "site": (beating(site_problem="index.html can't be written."), [("site", "", True)]),
    "an old feed": (replace(WELL, feed_at=NOW - 900 * HOUR, released_at=NOW - 900 * HOUR), []),
    "a feed being written": (replace(WELL, released_at=NOW - 30 * SECOND), []),
    "a stale feed": (replace(WELL, released_at=NOW - 2 * MINUTE), [("site", "", True)]),
    "no feed": (replace(WELL, feed_at=None), [("site", "", True)]),
    "no feed, no release": (replace(WELL, feed_at=None, released_at=None), []),
    "put off": (replace(WELL, failing=3), [("mail_failing", "", False)]),
    "no server": (replace(WELL, failing=3, unreached=2), [("mail_failing", "", True)]),
    "uncertain": (
        replace(WELL, uncertain={"one": 2, "two": 1}),
        [("mail_uncertain", "one", False), ("mail_uncertain", "two", False)],
    ),
    "disk": (replace(WELL, disk={Path("/srv"): DISK - 1, Path("/var"): DISK}), [("disk", "/srv", False)]),
    "full disk": (replace(WELL, disk={Path("/srv"): DISK // 5 - 1}), [("disk", "/srv", True)]),
    "list": (replace(WELL, standing={("list", "press"): "The file is empty."}), [("list", "press", False)]),
    "urgent ones first": (
        replace(beating(config_problems=("x",), doubts=("stepped",)), failing=1, disk={Path("/srv"): 0}),
        [("clock", "", True), ("disk", "/srv", True), ("config", "", False), ("mail_failing", "", False)],
    ),
}


@pytest.mark.parametrize(("seen", "expected"), CASES.values(), ids=CASES)
def test_what_a_person_is_told(seen, expected):
    """A person is told what is wrong, what is urgent first, and nothing where all is well."""
    found = troubles(seen, disk=DISK)
    assert [(each.kind, each.subject, each.urgent) for each in found] == expected
    for each in found:
        assert each.kind in KINDS
        assert each.problem
        assert each.remedy


def test_a_trouble_says_what_happened_to_which_thing():
    """A trouble says what happened, to which thing, and what to type."""
    seen = replace(waiting(NOW + HOUR / 2), due=2, due_since=NOW - 2 * HOUR - 3 * MINUTE)
    overdue, attention = troubles(seen, disk=DISK)
    assert overdue.problem == "2 records are still held; the oldest lift was 2 h 3 min ago."
    assert attention.problem == (
        "The record one waits for a person, and does not lift by itself. It may be meant for 2026-11-30 12:30 UTC."
    )
    assert attention.remedy == "See `embargo show one`."


# --- the metrics


def metrics(seen):
    body, _ = expose(seen, troubles(seen, disk=DISK))
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def value(families, name, **labels):
    (found,) = (
        each.value for each in families[name].samples if each.labels == labels and not each.name.endswith("_created")
    )
    return found


FULL = replace(
    beating(offset_s=0.02, server_offset_s=0.01),
    nodes=(Node(BEAT, SECOND), Node(replace(BEAT, host="press2"), HOUR)),
    counts=dict.fromkeys(State, 0) | {State.HELD: 3, State.ATTENTION: 1},
    ledger=dict.fromkeys(DeliveryState, 0) | {DeliveryState.SENT: 7},
    due=2,
    due_since=NOW,
)


def documented():
    text = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| `embargo_")
    ]
    return {name.strip("`"): (set(re.findall(r"`(\w+)`", labels)), meaning) for name, labels, meaning in rows}


def test_every_metric_is_documented_with_its_labels_and_its_meaning():
    """The table of metrics in the document is what the monitor gives: names, labels and meanings."""
    given = {
        name: ({label for sample in family.samples for label in sample.labels}, family.documentation)
        for name, family in metrics(FULL).items()
    }
    assert given == documented()


def test_every_kind_of_trouble_is_documented():
    """The document names every kind of trouble."""
    text = (ROOT / "docs" / "monitoring.md").read_text("utf-8").partition("## Troubles")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(KINDS)


def test_a_silent_service_and_clocks_that_differ_are_said():
    """Of services on one database each says of another that it is silent, and of its own clock that it differs."""
    found = {each.kind: each for each in troubles(replace(FULL, vitals=replace(BEAT, server_offset_s=-3.0)), disk=DISK)}
    assert found["node"].subject == "press2:"
    assert "1 h" in found["node"].problem
    assert "3.0 s behind" in found["skew"].problem
    assert not {"node", "skew"}.intersection(each.kind for each in troubles(WELL, disk=DISK))


def test_the_metrics_say_what_was_seen():
    """The metrics say what a look has seen."""
    given = metrics(FULL)
    assert value(given, "embargo_service_up") == 1
    assert value(given, "embargo_held") == 3
    assert value(given, "embargo_attention") == 1
    assert value(given, "embargo_due_unreleased") == 2
    assert value(given, "embargo_next_lift_timestamp_seconds") == (NOW + HOUR).timestamp()
    assert value(given, "embargo_newest_release_timestamp_seconds") == (NOW - HOUR).timestamp()
    assert value(given, "embargo_config_taken_timestamp_seconds") == (NOW - HOUR).timestamp()
    assert value(given, "embargo_armed") == value(given, "embargo_clock_trusted") == 1
    assert value(given, "embargo_config_valid") == 1
    assert value(given, "embargo_clock_offset_seconds") == 0.02
    assert value(given, "embargo_beat_age_seconds") == 0.5
    assert value(given, "embargo_feed_age_seconds") == 3600
    assert value(given, "embargo_disk_free_bytes", folder="/srv") == 10**10
    assert value(given, "embargo_ledger", state="sent") == 7
    assert value(given, "embargo_ledger", state="uncertain") == 0
    assert {sample.labels["kind"] for sample in given["embargo_trouble"].samples} == set(KINDS)
    lateness = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value
        for sample in given["embargo_lateness_seconds"].samples
    }
    assert lateness["bucket", "0.005"] == 0
    assert lateness["bucket", "0.01"] == 2
    assert lateness["bucket", "1.0"] == 3
    assert lateness["bucket", "+Inf"] == lateness["count", None] == 4
    assert lateness["sum", None] == 2.5


def test_the_metrics_count_troubles_and_leave_out_what_nobody_knows():
    """While the service or the database is away, the metrics still say what is known, and nothing that is not."""
    wrong = metrics(beating(doubts=("stepped",), config_problems=("x",), armed_for=None))
    assert value(wrong, "embargo_trouble", kind="clock") == value(wrong, "embargo_trouble", kind="config") == 1
    assert value(wrong, "embargo_clock_trusted") == value(wrong, "embargo_config_valid") == 0
    assert value(wrong, "embargo_armed") == 0
    down = metrics(replace(FULL, alive=False))
    assert value(down, "embargo_service_up") == 0
    assert value(down, "embargo_held") == 3
    assert not down.keys() & {"embargo_armed", "embargo_clock_trusted", "embargo_lateness_seconds"}
    gone = metrics(replace(FULL, problem="It is locked."))
    assert value(gone, "embargo_armed") == 1
    assert not gone.keys() & {"embargo_held", "embargo_due_unreleased", "embargo_ledger"}
    assert value(gone, "embargo_trouble", kind="service") == 1


def test_no_label_betrays_a_record_or_a_reader(office, see):
    """No metric holds a title, a record's id or an address, and no probe a title or an address."""
    office.record("secret-merger", embargo=None, title="Merger of Foo and Bar", body="Words.")
    released(office, "quiet-launch", title="The launch")
    drain(worker(office, Post()))
    seen = replace(see(), uncertain={"quiet-launch": 1})
    assert seen.attention
    said = expose(seen, troubles(seen, disk=DISK))[0].decode()
    assert not re.search(r"merger|launch|example\.(org|net|com)", said, re.IGNORECASE)


# --- the port


class Port:
    """The port over looks that the test gives; ask it for an address."""

    def __init__(self):
        self.seen = WELL
        watch = Watch(lambda *, now: replace(self.seen, at=now), clock=Clock(), disk=DISK)
        self.server = Server("127.0.0.1", 0, watch)
        self.number = self.server.server_address[1]

    def ask(self, path, *, seen=None, method="GET", **headers):
        if seen is not None:
            self.seen, self.server.watch._seen = seen, None
        connection = HTTPConnection("127.0.0.1", self.number, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body, answer


@pytest.fixture(scope="module")
def open_port():
    made = Port()
    yield made
    made.server.stop()


@pytest.fixture
def port(open_port):
    """The port, over a service that is well."""
    open_port.seen, open_port.server.watch._seen = WELL, None
    return open_port


NOT_HEALTHY = {
    "no heartbeat": (replace(WELL, alive=False, beat_age=90 * SECOND), "heartbeat is not fresh: the last is 90 s old"),
    "never": (replace(WELL, vitals=None, alive=False, beat_age=None), "heartbeat is not fresh: there is none"),
    "database": (replace(WELL, problem="The database is locked."), "The database is locked."),
    "overdue": (replace(WELL, due=2, due_since=NOW - MINUTE), "still held though their lift has come: 2"),
}
NOT_READY = NOT_HEALTHY | {
    "starting": (beating(ready=False), "has not finished starting"),
    "clock": (beating(doubts=("stepped",)), "in doubt: stepped"),
    "fenced": (replace(WELL, fenced=("It is a copy.",)), "fenced: It is a copy."),
    "not armed": (beating(armed_for=None), "alarm is not set"),
    "armed too late": (beating(armed_for=NOW + 2 * HOUR), "alarm is not set"),
    "config": (beating(config_problems=("config.yaml:3: x",)), "settings is refused"),
}


@pytest.mark.parametrize(("seen", "why"), NOT_READY.values(), ids=NOT_READY)
def test_the_probes_say_each_reason(port, seen, why):
    """A probe that says no says each reason in plain text; what a new start would not help leaves the service healthy."""
    status, body, answer = port.ask("/readyz", seen=seen)
    assert (status, answer.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
    assert why in body
    assert body.count("\n") == 1
    healthy = port.ask("/healthz")
    if any(seen is case for case, _ in NOT_HEALTHY.values()):
        assert healthy[:2] == (503, body)
    else:
        assert healthy[:2] == (200, "ok\n")


@pytest.mark.parametrize(
    "seen", [WELL, beating(armed_for=NOW), replace(WELL, lifts=(), vitals=replace(BEAT, armed_for=None))]
)
def test_a_service_that_is_well_is_ready(port, seen):
    """A service that is armed for the next lift, or has nothing to arm for, is healthy and ready."""
    assert port.ask("/readyz", seen=seen)[:2] == port.ask("/healthz")[:2] == (200, "ok\n")


@pytest.mark.parametrize("stopped", [beating(doubts=("stepped",)), replace(WELL, fenced=("A copy.",))])
def test_what_may_not_lift_makes_nobody_sick(port, stopped):
    """A record that is held because the clock is in doubt, or the database fenced, is no reason to start the service anew."""
    late = replace(stopped, due=1, due_since=NOW - HOUR)
    assert port.ask("/healthz", seen=late)[0] == 200
    assert port.ask("/readyz")[0] == 503


def test_the_port_is_read_only_and_has_three_addresses(port):
    """The port answers GET and HEAD at three addresses and nothing else."""
    status, body, answer = port.ask("/metrics?x=1")
    assert status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "embargo_service_up 1.0\n" in body
    _, body, answer = port.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as client:
        client.sendall(b"HEAD /healthz HTTP/1.0\r\n\r\n")
        said = client.makefile("rb").read()
    assert said.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"\r\nContent-Length: 3\r\n" in said
    assert said.endswith(b"\r\n\r\n")
    assert port.ask("/")[:2] == (404, "There are /metrics, /healthz and /readyz.\n")
    assert port.ask("/metrics/")[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert port.ask("/metrics", method=method)[0] == 501
    assert "Python" not in answer.headers["Server"]


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:9797", 200), ("[::1]", 200), ("localhost:1", 200), ("evil.example", 421)]
)
def test_a_name_that_leads_here_is_refused(port, host, status):
    """A page in a browser on this machine can't reach the port by a name that leads here."""
    assert port.ask("/metrics", Host=host)[0] == status


def test_slow_and_broken_clients_keep_nobody_out(port):
    """Clients that send nothing, half a request, or go away are cut off when there are too many, and keep nobody out."""
    slow = []
    for number in range(50):
        client = socket.create_connection(("127.0.0.1", port.number), timeout=10)
        client.sendall((b"GET /metrics HTTP/1.0\r\nX: ", b"", b"\x00\xff\r\n\r\n")[number % 3])
        slow.append(client)
    assert port.ask("/healthz")[0] == 200
    assert len(port.server._clients) <= 17
    assert slow[0].recv(1) == b"", "the first to come is the first to go"
    for client in slow:
        client.close()
    eventually(lambda: not port.server._clients, "every client to be forgotten")
    eventually(
        lambda: not [each for each in threading.enumerate() if "process_request" in each.name], "every thread to end"
    )


def test_a_client_that_says_nothing_is_not_waited_for(port, monkeypatch):
    """A client that says nothing is cut off after some seconds."""
    assert port.server.RequestHandlerClass.timeout <= 10
    monkeypatch.setattr(port.server.RequestHandlerClass, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as client:
        assert client.recv(1) == b""


# --- one look for all


def test_all_who_ask_share_a_look():
    """However many ask at once, one look answers them all."""
    looks, go = [], threading.Event()

    def slowly(*, now):
        looks.append(now)
        go.wait(10)
        return replace(WELL, at=now)

    watch = Watch(slowly, clock=Clock(), disk=DISK)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(watch.snapshot())) for _ in range(20)]
    for thread in asking:
        thread.start()
    eventually(lambda: looks, "the look")
    go.set()
    for thread in asking:
        thread.join()
    assert len(looks) == 1
    assert answers == [replace(WELL, at=NOW)] * 20


def test_looking_takes_a_twentieth_of_the_time_at_most(monkeypatch):
    """A look that takes long is taken the more rarely, so that looking costs a twentieth of one core at most."""
    worked, clock = iter([0.0, 10.0]), Clock()

    def uptime():
        return (clock.at - NOW).total_seconds()

    watch = Watch(lambda *, now: replace(WELL, at=now), clock=clock, disk=DISK)
    monkeypatch.setattr("time.thread_time", lambda: next(worked))
    monkeypatch.setattr("time.monotonic", uptime)
    watch.snapshot()
    clock.pass_by(seconds=199)
    assert watch.snapshot().at == NOW
    worked = iter([10.0, 10.0])
    clock.pass_by(seconds=1)
    assert watch.snapshot().at == clock.at
    clock.pass_by(seconds=1)
    worked = iter([10.0, 10.0])
    assert watch.snapshot().at == clock.at


def test_a_look_that_hangs_or_fails_is_said(monkeypatch, caplog):
    """While the look itself hangs or fails, whoever asks hears so."""
    monkeypatch.setattr("scheduler.monitor.serve._PATIENCE", 0.01)
    hung, go = threading.Event(), threading.Event()

    def hang(*, now):
        hung.set()
        go.wait(10)
        return replace(WELL, at=now)

    watch = Watch(hang, clock=Clock(), disk=DISK)
    thread = threading.Thread(target=watch.snapshot)
    thread.start()
    hung.wait(10)
    assert "takes too long" in watch.snapshot().problem
    go.set()
    thread.join()

    def fail(**_):
        raise RuntimeError("a bug")

    assert "failed" in Watch(fail, clock=Clock(), disk=DISK).snapshot().problem
    assert "look_failed" in caplog.text


# --- a database that can't be used


def lock(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    return db


def gone(path):
    path.unlink()


def damage(path):
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    path.write_bytes(path.read_bytes()[:100] + os.urandom(path.stat().st_size - 100))


@pytest.mark.sqlite_only("the file is locked, gone or damaged")
@pytest.mark.parametrize("harm", [lock, gone, damage])
def test_a_database_that_cannot_be_used_is_said_and_the_rest_is_still_answered(office, settings, port, harm, capfd):
    """Over a database that is locked, gone or damaged the probes say so, and the metrics still say what is known."""
    vitals.write(office.store, BEAT)
    path = office.store.path
    office.store.close()
    for each in path.parent.glob(f"{path.name}-*"):
        each.unlink()
    kept = harm(path)
    window = glance.open_window(f"sqlite:///{path}", patience=timedelta(milliseconds=50))
    seen = look(window, settings, now=NOW)
    assert seen.alive
    assert seen.counts == {}
    status, body, _ = port.ask("/healthz", seen=seen)
    assert status == 503
    assert str(path) in body
    assert len(body.splitlines()) == 1
    status, body, _ = port.ask("/metrics")
    assert status == 200
    assert "embargo_service_up 1.0" in body
    assert "embargo_disk_free_bytes{" in body
    assert "embargo_held" not in body
    assert "Traceback" not in capfd.readouterr().err
    window.close()
    if kept is not None:
        kept.close()


# --- the process


@pytest.fixture
def monitor(house):
    """The process as the service starts it, leashed by its standard input."""
    number = free_port()
    house.config.write_text(
        house.config.read_text("utf-8") + f'monitor: {{listen: "127.0.0.1:{number}"}}\nlog: {{format: json}}\n'
    )
    open_store(read(house.config).database).close()
    started = []

    def start():
        with (house.folder / "monitor.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "scheduler.monitor", "--config", str(house.config), "--leash"],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        process.stdin.write(leash.greeting(config.dump(config.read(house.config))))
        process.stdin.flush()
        started.append(process)
        return process

    def events():
        return [json.loads(line)["event"] for line in (house.folder / "monitor.log").read_text().splitlines()]

    yield start, events, number
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()


def test_the_monitor_answers_until_the_service_is_gone(house, monitor):
    """The monitor answers at its port, on the settings it was told, and ends when the service is gone."""
    start, events, number = monitor
    process = start()
    eventually(lambda: "monitor_listening" in events(), "the port")
    house.config.unlink()
    connection = HTTPConnection("127.0.0.1", number, timeout=10)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (503, b"The service's heartbeat is not fresh: there is none.\n")
    connection.close()
    process.stdin.close()
    assert process.wait(20) == 0
    assert events() == ["monitor_ready", "monitor_listening", "monitor_stopped"]


def test_a_port_that_is_taken_is_said_and_had_when_it_is_free(monitor):
    """A monitor whose port is another's says so, works on, and takes the port when it is free; SIGTERM ends it in order."""
    start, events, number = monitor
    with socket.create_server(("127.0.0.1", number)):
        process = start()
        eventually(lambda: "monitor_port_refused" in events(), "the alarm")
    eventually(lambda: "monitor_listening" in events(), "the port")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert events()[-1] == "monitor_stopped"


# --- the rules for Prometheus

RULES = ROOT / "deploy" / "prometheus" / "embargo.rules.yml"
ALERTS = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
}


def selected(expression):
    """The vector selectors of an expression, by the one parser."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    walk(promql_parser.parse(expression), visit)
    return found


def walk(node, visit):
    visit(node)
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        below = getattr(node, name, None)
        for each in below if isinstance(below, list) else [below]:
            if each is not None:
                walk(each, visit)


@pytest.mark.parametrize("name", ALERTS)
def test_a_rule_asks_for_metrics_that_there_are(name):
    """Each alert rule asks for metrics, labels and kinds that there are, and says what to do."""
    rule = ALERTS[name]
    samples = {
        (sample.name, label, text)
        for family in metrics(FULL).values()
        for sample in family.samples
        for label, text in [*sample.labels.items(), ("", "")]
    }
    vectors = selected(rule["expr"])
    assert vectors
    for vector in vectors:
        assert (vector.name, "", "") in samples
        for matcher in vector.matchers.matchers:
            assert (vector.name, matcher.name, matcher.value) in samples
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["remedy"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_each_rule_fires_when_it_should_and_not_before():
    """Each alert rule fires when it should and not before, says Prometheus' own tool."""
    tried = subprocess.run(
        ["promtool", "test", "rules", str(RULES.with_name("embargo.test.yml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_a_record_that_waits_is_urgent_an_hour_before_it_may_be_meant_to_lift(office):
    """A record that waits for a person wakes one when the instant that it may mean is near, and not before."""
    lift_at = office.clock() + timedelta(hours=2)
    office.record("named", embargo=lift_at.isoformat(), body="By Jane Roe.", keys="withhold: [Jane Roe]\n")
    for near in (False, True):
        [found] = [
            each
            for each in troubles(look(office.store, office.parts.config, now=office.clock()), disk=0)
            if each.kind == "attention"
        ]
        assert (found.urgent, f"{lift_at:%Y-%m-%d %H:%M}" in found.problem) == (near, True)
        office.clock.pass_by(minutes=90)
