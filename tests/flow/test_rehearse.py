"""The rehearsal: what it tells, and that nothing real is touched by it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from conftest import NOW, House, ahead, eventually, words

from scheduler.errors import MoveRefused, StoreRefused
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.rehearse import Rehearsal
from scheduler.store import open_store, still

pytestmark = pytest.mark.sqlite_only("a rehearsal is made on a copy of the file")

DAY = f"{datetime.now(UTC).year + 1}-12-01"
CANARY = "xanthicquokka"


def everything(folder):
    """Every file and folder in it: its bytes, and when it was last changed."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


# --- in this process, at a time that the test sets


@pytest.fixture
def rehearsal(office):
    """Makes a rehearsal of what the office holds, in a folder of its own; the clock begins where the office's stands."""
    stores = []

    def make(*, mail=True, lists=None):
        folder = office.folder / f"rehearsal{len(stores)}"
        folder.mkdir()
        still.copy(f"sqlite:///{office.store.path}", folder / "store.db")
        stores.append(open_store(f"sqlite:///{folder / 'store.db'}"))
        chosen = office.parts if lists is None else replace(office.parts, lists=lists)
        return Rehearsal(
            store=stores[-1],
            folder=folder,
            renderer=office.parts.renderer,
            items=50,
            postroom=partial(chosen.postroom, stores[-1], "rehearsal") if mail else None,
            default_lists=office.policy.default_lists,
            now=office.clock(),
        )

    yield make
    for store in stores:
        store.close()


def told(steps):
    return [
        (step.at, [each.id for each in step.released], [(each.list, each.people) for each in step.mail])
        for step in steps
    ]


def test_the_clock_moves_from_lift_to_lift(office, rehearsal):
    """Each lift up to the given time is acted out at its instant, with the mail it owes and the files it changes."""
    office.record("late", embargo="2026-12-03 09:00 America/New_York")
    office.record("b", embargo="2026-12-02 09:00 America/New_York", keys="lists: [wire, press]\n")
    office.record("a", embargo="2026-12-02 09:00 America/New_York")
    office.record("first", embargo="2026-12-01 09:00 America/New_York")
    made = rehearsal()
    assert made.last("b") == NOW + timedelta(days=2, hours=2)
    assert made.last() == NOW + timedelta(days=3, hours=2)
    steps = list(made.run(made.last("b")))
    assert told(steps) == [
        (NOW + timedelta(days=1, hours=2), ["first"], [("press", 2)]),
        (NOW + timedelta(days=2, hours=2), ["b", "a"], [("press", 2), ("wire", 1), ("press", 2)]),
    ]
    assert steps[0].files[0] == "releases/first.html"
    assert set(steps[0].files[1:]) >= {"index.html", "rss.xml", "atom.xml", "feed.json"}
    assert (steps[0].mail[0].first, steps[0].mail[0].last) == ("desk@example.org", "Zoë <zoe@example.net>")
    assert all(took > timedelta() for step in steps for took in (step.release_for, step.refresh_for, step.mail_for))
    assert made.obstacles() == []
    assert {office.get(name).state for name in ("a", "b", "first", "late")} == {"held"}


def test_what_is_due_already_comes_first(office, rehearsal):
    """What is due as the rehearsal begins, a release or a mail, is acted out at once; what lifts after its end is not."""
    office.record("sent", embargo="2026-12-01 09:00 America/New_York")
    office.clock.pass_by(days=1, hours=3)
    assert [each.id for each in office.lift()] == ["sent"]
    office.record("over", embargo="2026-12-01 11:00 America/New_York")
    office.clock.pass_by(hours=2)
    office.record("later", embargo="2026-12-09 11:00 America/New_York")
    made = rehearsal()
    assert told(made.run(office.clock() + timedelta(days=1))) == [
        (office.clock(), ["over"], [("press", 2), ("press", 2)])
    ]


def test_what_would_not_go_out_is_told_with_the_reason(office, rehearsal):
    """Attention, a text that is unfit, and an event that only a person can end are told, of one record or of all."""
    office.record("asked", embargo=None)
    office.record("unfit", keys="withhold: [Jane Roe]\n", body="Jane Roe said so.")
    office.record("event", embargo="on delivery")
    made = rehearsal()
    assert list(made.run(made.last())) == []
    found = {each.record_id: each for each in made.obstacles()}
    assert "Nothing in the metadata or the text says when." in found["asked"].why
    assert found["unfit"].why == office.get("unfit").unfit
    assert "a person lifts it" in found["event"].why
    assert [each.expected for each in found.values()] == [False, False, True]
    assert [each.record_id for each in made.obstacles("event")] == ["event"]


def test_mail_that_would_not_go_out_is_told(office, rehearsal):
    """A list that reaches nobody, an address that can't be mailed and a newsroom without mail are told."""
    office.record("one", keys="lists: [wire, press]\n")
    made = rehearsal(lists={"press": MailList(name="Press", recipients=("zoë@example.org", "desk@example.org"))})
    [step] = made.run(made.last())
    assert [each.people for each in step.mail] == [1]
    assert [each.why.partition(":")[0] for each in made.obstacles()] == [
        "Its list wire reaches nobody.",
        "zoë@example.org",
    ]
    silent = rehearsal(mail=False)
    [step] = silent.run(silent.last())
    assert step.mail == ()
    assert "No mail is configured: nobody is mailed." in [each.why for each in silent.obstacles()]


def test_a_site_that_cannot_be_written_is_told(office, rehearsal):
    """A page that can't be put into the site is told; the rehearsal goes on."""
    office.record("one")
    made = rehearsal()
    (office.folder / "rehearsal0/public/releases/one.html/in the way").mkdir(parents=True)
    [step] = made.run(made.last())
    assert "rss.xml" in step.files
    assert any("This can't be written" in each.why for each in made.obstacles())


def test_what_is_out_already_is_not_rehearsed(office, rehearsal):
    """A record that was released or withdrawn has no lift to rehearse, and the refusal says so."""
    office.record("one")
    office.withdraw("one")
    with pytest.raises(MoveRefused, match="it is withdrawn; there is nothing to rehearse"):
        rehearsal().last("one")


def test_a_database_is_copied_whatever_state_it_was_left_in(office, tmp_path):
    """A copy is whole, and its original untouched, while a process has it open, after a kill, and after one in good order."""
    office.record("one")
    left = tmp_path / "left"
    shutil.copytree(office.store.path.parent, left)
    (tmp_path / "moved").mkdir()
    for name in ("embargo.db", "embargo.db-wal"):
        shutil.copy(left / name, tmp_path / "moved" / name)
    for number, folder in enumerate((left, tmp_path / "moved")):
        before = everything(folder)
        still.copy(f"sqlite:///{folder}/embargo.db", tmp_path / f"copy{number}.db")
        assert everything(folder) == before
    still.copy(f"sqlite:///{office.store.path}", tmp_path / "copy2.db")
    for number in range(3):
        store = open_store(f"sqlite:///{tmp_path}/copy{number}.db")
        with store.read() as db:
            assert db.exec_driver_sql("SELECT id, state FROM records").all() == [("one", "held")]
        store.close()


def test_a_database_that_cannot_be_copied_is_told(office, tmp_path):
    """No database, a damaged one, and one on a server are told in a sentence, and none is made."""
    with pytest.raises(StoreRefused, match=r"There is no database .* yet, so nothing is held"):
        still.copy(f"sqlite:///{tmp_path}/none.db", tmp_path / "copy.db")
    with pytest.raises(StoreRefused, match="PostgreSQL server's"):
        still.copy("postgresql://db.example.org/embargo", tmp_path / "copy.db")
    left = tmp_path / "left"
    shutil.copytree(office.store.path.parent, left)
    (left / "embargo.db").write_bytes(b"no database " * 10_000)
    (left / "embargo.db-wal").write_bytes(b"")
    before = everything(left)
    with pytest.raises(StoreRefused, match=r"embargo\.db can't be copied: .*file is not a database"):
        still.copy(f"sqlite:///{left}/embargo.db", tmp_path / "copy.db")
    assert everything(left) == before
    assert not (tmp_path / "copy.db").exists()


# --- the command


@pytest.fixture
def stage(house, tmp_path_factory, monkeypatch):
    """A newsroom with two records that lift and one for a person; temporary folders are made where the test looks."""
    house.temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(house.temporary))
    house.record("nine", embargo=f"{DAY} 09:00 America/New_York", title=f"Nine {CANARY}", body=f"{CANARY} in words.")
    house.record("ten", embargo=f"{DAY} 10:00 America/New_York", title="Ten")
    house.record("open", embargo="on delivery", title="Open")
    house.run("add", *sorted(str(path) for path in (house.folder / "records").iterdir()))
    return house


def mentions(folder):
    """The files below it in whose name or bytes a held word stands."""
    return [
        path
        for path in folder.rglob("*")
        if CANARY in path.name or (path.is_file() and CANARY.encode() in path.read_bytes())
    ]


def test_nothing_real_is_touched(stage):
    """A rehearsal leaves every file of the newsroom as it was, byte for byte and to the instant of its last change."""
    (stage.folder / "public").mkdir()
    before = everything(stage.folder)
    done = stage.run("rehearse")
    assert (done.returncode, done.stderr) == (0, "")
    for says in (
        f"up to {date.fromisoformat(DAY):%a} {DAY} 10:00 America/New_York, in ",
        "2 releases, 4 mails. Nothing real was touched.",
        f"nine  Nine {CANARY}",
        "releases/ten.html",
        "index.html, rss.xml, atom.xml, feed.json",
        "Press list  nine: 2 people, desk@example.org … Zoë <zoe@example.net>",
        "- open  It waits for an event: a person lifts it, `embargo lift open`.",
    ):
        assert says in done.stdout
    assert done.stdout.index("09:00 America") < done.stdout.index("nine  Nine") < done.stdout.index("ten  Ten")
    assert everything(stage.folder) == before
    assert list(stage.temporary.iterdir()) == []


def stands_still(group):
    """Whether every thread of a process group is stopped."""
    states = set()
    for path in Path("/proc").glob("[0-9]*/task/*/stat"):
        with suppress(OSError):  # a process that has just ended
            state, _parent, its_group, *_ = path.read_text().rpartition(")")[2].split()
            states |= {state} if its_group == str(group) else set()
    return states == {"T"}


def test_nothing_real_is_touched_while_the_service_runs(stage):
    """Beside a service that has everything open, a rehearsal touches nothing either, the files that share memory included."""
    stage.start()
    service = stage.service.pid
    os.killpg(service, signal.SIGSTOP)  # so that what changes is not its doing
    try:
        eventually(lambda: stands_still(service), "the service to stop")
        before = everything(stage.folder)
        found = stage.json("rehearse", "nine")
        assert everything(stage.folder) == before
    finally:
        os.killpg(service, signal.SIGCONT)
    [step] = found["steps"]
    assert (step["at"], [each["id"] for each in step["released"]]) == (f"{DAY}T14:00:00+00:00", ["nine"])
    assert step["released"][0]["page"] == f"http://127.0.0.1:{stage.port}/releases/nine.html"
    assert step["files"][0] == "releases/nine.html"
    assert step["mail"] == [
        {
            "record": "nine",
            "revision": 1,
            "purpose": "release",
            "list": "press",
            "people": 2,
            "first": "desk@example.org",
            "last": "Zoë <zoe@example.net>",
        }
    ]
    assert set(step["took_ms"]) == {"release", "refresh", "mail"}
    assert found["not"] == []
    assert stage.state("nine") == "held"
    assert stage.run("trail", "verify").returncode == 0


def test_no_network_is_used(stage):
    """Whatever the configured transport, rehearsed mail goes into a folder and no server hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"smtp://127.0.0.1:{server.getsockname()[1]}"
        stage.config.write_text(stage.config.read_text().replace("maildir:var/mail", url))
        found = stage.json("rehearse")
        assert select.select([server], [], [], 0)[0] == []
    assert sum(each["people"] for step in found["steps"] for each in step["mail"]) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_rehearsal_leaves_nothing(stage, number):
    """The folder of a rehearsal is its owner's alone while it lasts, and gone after Ctrl-C, SIGTERM or a closed terminal."""
    people = ", ".join(f"p{index}@example.org" for index in range(30_000))
    stage.config.write_text(stage.config.read_text().replace("desk@example.org", people))
    before = everything(stage.folder)
    with subprocess.Popen(
        [sys.executable, "-m", "scheduler", "rehearse", "--keep", str(stage.temporary / "kept")],
        cwd=stage.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where the tests themselves run in the background of a shell, Ctrl-C is ignored, and that is handed down.
        preexec_fn=(lambda: signal.signal(number, signal.SIG_DFL)) if number == signal.SIGINT else None,  # noqa: PLW1509 - no other thread runs here
    ) as process:
        eventually(lambda: list(stage.temporary.glob("embargo-rehearsal-*/mail/new/*")), "the first mail")
        [folder] = stage.temporary.glob("embargo-rehearsal-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    assert process.returncode not in {0, -number}
    assert CANARY.encode() not in out + error
    assert b"Traceback" not in error
    assert list(stage.temporary.iterdir()) == []
    assert everything(stage.folder) == before


def test_what_came_of_it_can_be_kept(stage):
    """With --keep the site and the mail stay in a new folder that is its owner's alone; the copy of the store does not."""
    found = stage.json("rehearse", "--at", f"{DAY} 09:30", "--keep", "kept")
    kept = stage.folder / "kept"
    assert found["kept"] == str(kept)
    assert [step["at"] for step in found["steps"]] == [f"{DAY}T14:00:00+00:00"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert sorted(path.name for path in kept.iterdir()) == ["mail", "public"]
    assert b"Nine" in (kept / "public" / "rss.xml").read_bytes()
    assert len(list((kept / "mail" / "new").iterdir())) == 2
    again = stage.run("rehearse", "--keep", "kept")
    assert (again.returncode, "can't be made: File exists. Name a new one." in again.stderr) == (1, True)
    for place in ("public/kept", "records/kept"):
        done = stage.run("rehearse", "--keep", place)
        assert (done.returncode, "which others read. Name another folder." in done.stderr) == (1, True)
    assert not (stage.folder / "public").exists()
    assert mentions(stage.temporary) == []


def test_what_is_kept_is_named_as_it_is(stage):
    """With --keep the folders that came of it are named: mail where mail is configured, the site alone where none is."""
    assert "kept  first: public/ and mail/" in stage.run("rehearse", "--keep", "first").stdout
    stage.config.write_text(stage.config.read_text().partition("mail:")[0])
    done = stage.run("rehearse", "--keep", "second")
    assert "No mail is configured: nobody is mailed." in done.stdout
    assert "kept  second: public/\n" in done.stdout
    assert [path.name for path in (stage.folder / "second").iterdir()] == ["public"]


def test_nothing_held_is_said(stage):
    """Where nothing is held the rehearsal says so; where something is, it does not."""
    assert "Nothing is held" not in stage.run("rehearse").stdout
    for record_id in ("nine", "ten", "open"):
        stage.run("withdraw", record_id, "--reason", "off")
    done = stage.run("rehearse")
    assert (done.returncode, "Nothing is held: there is nothing that could lift." in done.stdout) == (0, True)


def test_what_cannot_be_rehearsed_is_told(stage):
    """A record that stays, one that is not there, a time that is none or has passed: a sentence, status 1, nothing left."""
    for arguments, says in (
        (("open",), "It waits for an event"),
        (("nobody",), "There is no record 'nobody'."),
        (("--at", "none"), "--at 'none' is no time."),
        (("--at", "2020-01-01 09:00"), "2020-01-01 14:00 UTC has passed."),
        (("--at", "2026-12-01 09:00 EST"), "--at '2026-12-01 09:00 EST' has the zone 'EST', which is not exact. Write"),
        (("--at", ""), "--at is empty. Write a date, a time and a zone, such as '2026-12-01 09:00 America/New_York'."),
        (
            ("--at", "soon"),
            "--at 'soon' is not in a form that names one instant. Write a date, a time and a zone, such",
        ),
        (("--at", f"{DAY}"), f"--at '{DAY}' names a day but no time."),
        (("nobody", "--keep", "kept"), "There is no record 'nobody'."),
    ):
        done = stage.run("rehearse", *arguments)
        assert (done.returncode, says in done.stdout + done.stderr) == (1, True)
        assert "The embargo" not in done.stderr
        assert "'on delivery', or" not in done.stderr
    assert list(stage.temporary.iterdir()) == []
    assert not (stage.folder / "kept").exists()


def test_what_would_keep_the_service_from_it_is_told(stage):
    """A site folder that can't be written is told, though the rehearsal needs none."""
    (stage.folder / "public").write_text("no folder")
    done = stage.run("rehearse")
    assert (done.returncode, "can't be written by this user" in done.stdout) == (1, True)


def test_what_a_start_would_hold_is_not_released(stage):
    """What is too late for `overdue` is told as waiting for a person, and a lift after the named time as such."""
    stage.config.write_text(stage.config.read_text() + "embargo: {overdue: hold}\n")
    stage.run("amend", "nine", "2026-01-05 09:00 America/New_York")
    stage.raw("UPDATE revisions SET accepted_at = accepted_at - CAST(400 * 86400 AS BIGINT) * 1000000")
    told = stage.json("rehearse")
    assert [each["id"] for step in told["steps"] for each in step["released"]] == ["ten"]
    [waits] = [each["why"] for each in told["not"] if each["record"] == "nine"]
    assert "fell due while the service was down" in waits
    late = stage.run("rehearse", "ten", "--at", f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:%M} UTC")
    assert (late.returncode, "is after the time that was named" in late.stdout) == (1, True)


def test_a_rehearsal_of_a_fenced_store_says_so(stage):
    """A copied newsroom would release nothing: its rehearsal says that it is fenced, and what to do."""
    stage.start()
    stage.stop()
    shutil.copytree(stage.folder, stage.folder / "copy")
    copy = House(stage.folder / "copy", stage.port)
    done = copy.run("rehearse")
    assert (done.returncode, "embargo adopt" in done.stdout) == (1, True)
    assert "wrong  place: " in copy.run("doctor").stdout


def test_a_newsroom_without_a_database_has_none_after_a_rehearsal(house):
    """Before anything was taken in a rehearsal says so, acts nothing out, and makes no database by trying."""
    done = house.run("rehearse")
    assert (done.returncode, "nothing has been taken in" in done.stderr) == (0, True)
    assert "Nothing is held: there is nothing that could lift." in done.stdout
    assert house.json("rehearse")["steps"] == []
    done = house.run("rehearse", "one")
    assert (done.returncode, "There is no record 'one'." in done.stderr) == (1, True)
    assert sorted(path.name for path in house.folder.iterdir()) == ["config.yaml", "records"]


def test_a_rehearsed_record_still_lifts(house):
    """What was rehearsed lifts all the same, at its own instant, once."""
    house.start()
    house.record("one", embargo=words(ahead(3600)))
    eventually(lambda: house.state("one"), "the record")
    assert house.run("rehearse", "one").returncode == 0
    house.record("one", embargo=words(ahead(2)))
    eventually(lambda: b"<item>" in house.site("rss.xml"), "the lift")
    events = [row["event"] for row in house.json("trail") if row["record"] == "one"]
    assert events == ["accepted", "amended", "released"]
    assert house.site("rss.xml").count(b"<item>") == 1
