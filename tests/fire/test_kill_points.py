"""Signal 9 at every boundary: before each statement, around each commit, and at each step of each file."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from datetime import timedelta
from multiprocessing import forkserver

import pytest
import victim
from conftest import NOW, Clock, files_below
from kit import (
    Wire,
    each_mail_once,
    later,
    nothing_early,
    nothing_torn,
    opened,
    projection,
    restart,
    send,
    site_is_whole,
    sound,
)

from scheduler.outlets.mail import transport
from scheduler.record import DeliveryState
from scheduler.store import fence, ledger

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["victim"])

CANARIES = {name: f"Quokka{name}" for name in ("out", "due", "wired", "later", "new")}
EVENTS = {
    "out": ["accepted", "released", "corrected"],
    "due": ["accepted", "released"],
    "wired": ["accepted", "released"],
    "later": ["accepted", "amended"],
    "new": ["accepted"],
}


@pytest.fixture(scope="module", autouse=True)
def forks():
    """A process without threads that has everything loaded; each child is forked from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def text(name: str, embargo: str, body: str = "A body.", keys: str = "") -> str:
    return f"---\ntitle: {CANARIES[name]} title\nembargo: {embargo}\n{keys}---\n{body}\n"


@pytest.fixture
def day(tmp_path):
    """A newsroom's folder a moment before two lifts: one record is out and mailed, three files have been written or edited."""
    folder, clock = tmp_path / "newsroom", Clock()
    folder.mkdir()
    office = opened(folder, clock)
    wire = Wire(folder / "wire")
    office.take(office.put("out.md", text("out", "none")))
    office.lift()
    projection(office).rebuild(now=clock())
    send(office, wire)
    office.take(office.put("due.md", text("due", later(clock, minutes=1))))
    office.take(office.put("wired.md", text("wired", later(clock, minutes=1), keys="lists: [press, wire]\n")))
    office.take(office.put("later.md", text("later", later(clock, days=1))))
    office.put("new.md", text("new", later(clock, days=1)))
    office.put("out.md", text("out", "none", "Better words.", "correction: A word was wrong.\n"))
    office.put("later.md", text("later", later(clock, days=2), "Better words."))
    office.store.close()
    return folder, clock


def killed(folder, act, clock, n) -> str | None:
    """Where the child that does `act` was killed; None if it came to its end before boundary `n`."""
    child = FORK.Process(target=victim.act, args=(folder, act, clock, n))
    child.start()
    child.join()
    assert child.exitcode in {0, -9}
    return (folder / "point").read_text() if child.exitcode else None


def every_kill(tmp_path, folder, act, clock):
    """The boundaries of `act`: each kill is done on the folder as it was at first, and handed on to be examined."""
    shutil.copytree(folder, tmp_path / "before")
    n = 0
    while True:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "before", folder)
        at = killed(folder, act, clock, n)
        yield at
        if at is None:
            break
        n += 1


ACTS = {
    "accept": {"before INSERT INTO records", "before INSERT INTO trail", "after COMMIT"},
    "amend": {"before UPDATE records SET", "before INSERT INTO revisions", "after COMMIT"},
    "correct": {"before UPDATE records SET", "before INSERT INTO mailings", "after COMMIT"},
    "release": {
        "before UPDATE records SET",
        "before INSERT INTO mailings",
        "after COMMIT",
        "half a file",
        "before replace",
    },
    "rebuild": {"before open", "half a file", "before replace"},
    "send": {
        "before INSERT INTO deliveries",
        "before UPDATE mailings SET",
        "before UPDATE deliveries SET",
        "before replace",
    },
}


@pytest.mark.parametrize("act", ACTS)
def test_kill_nine_at_every_boundary(tmp_path, day, act):
    """Wherever accept, amend, correct, release, refresh, claim, send or settle is killed, a restart makes it good."""
    folder, clock = day
    if act in {"release", "rebuild", "send"}:
        clock.pass_by(minutes=1)
    if act in {"rebuild", "send"}:
        office = opened(folder, clock)
        office.lift()
        office.store.close()
    wire = Wire(folder / "wire")
    passed = []
    for at in every_kill(tmp_path, folder, act, clock):
        passed.append(at)
        office = opened(folder, Clock(NOW + timedelta(minutes=1)))
        nothing_early(office, CANARIES)
        nothing_torn(folder / "public")
        sound(office)
        restart(office)
        sound(office)
        site_is_whole(office)
        nothing_early(office, CANARIES)
        assert {name: office.events(name) for name in EVENTS} == EVENTS
        counts = each_mail_once(office, wire)
        assert set(counts) <= {DeliveryState.SENT, DeliveryState.UNCERTAIN}
        assert counts.total() == 9  # two first mails and two corrections for `out`, two and three for what was due
        if counts[DeliveryState.UNCERTAIN]:
            for name in EVENTS:
                person = {"reason": "asked for", "now": office.clock(), "actor": "editor@desk"}
                ledger.resolve(office.store, record_id=name, resend=True, **person)
            send(office, wire)
            assert all(len(set(copies)) == 1 for copies in wire.copies().values())
        office.store.close()
        shutil.rmtree(folder / "fresh")
    assert passed.pop() is None
    assert set(passed) >= ACTS[act]


def test_kill_nine_while_the_database_is_made(tmp_path):
    """A service that is killed while it makes its database starts again and goes on as if nothing had been."""
    folder, clock = tmp_path / "newsroom", Clock()
    folder.mkdir()
    passed = []
    for at in every_kill(tmp_path, folder, "create", clock):
        passed.append(at)
        office = opened(folder, clock)
        sound(office)
        office.record("one")
        office.store.close()
    assert passed.pop() is None
    assert {"before CREATE TABLE meta", "before COMMIT", "after COMMIT"} <= {at.replace(" (", "") for at in passed}


def test_kill_nine_while_the_store_gets_a_new_mark(day):
    """A service that is killed while it renews the mark that tells its store from a copy still knows the store for its own."""
    folder, clock = day
    n = 0
    while at := killed(folder, "mark", clock, n):
        office = opened(folder, clock)
        assert not fence.examine(office.store).why, at
        office.store.close()
        n += 1
    assert n > 10


def test_kill_nine_while_mail_is_put_into_a_maildir(tmp_path, day):
    """A mail whose writing is killed stands in the Maildir whole or not at all, and whole once the ledger says `sent`."""
    folder, clock = day
    clock.pass_by(minutes=1)
    office = opened(folder, clock)
    office.lift()
    office.store.close()
    passed = []
    for at in every_kill(tmp_path, folder, "store mail", clock):
        passed.append(at)
        office = opened(folder, Clock(clock()))
        office.clock.pass_by(minutes=1)
        send(office, transport("maildir:mail", base=folder))
        stored = [data for name, data in files_below(folder / "mail").items() if not name.startswith("tmp/")]
        assert all(data.endswith(b"--\n") for data in stored), "a mail is torn"
        counts = dict(office.raw("SELECT state, count(*) FROM deliveries WHERE record_id != 'out' GROUP BY state"))
        assert set(counts) <= {"sent", "uncertain"}
        assert counts.get("sent", 0) <= len(stored) <= sum(counts.values()) == 5
        office.store.close()
    assert passed.pop() is None
    assert {"before fsync", "before replace"} <= set(passed)
