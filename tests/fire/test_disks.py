"""Full disks, a site that can't be written, a locked database and a damaged one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import ahead, eventually, files_below, locked, words
from kit import projection, send, site_is_whole, sound
from outdoors import child, no_room, released_at, rows, start, state

from scheduler.errors import SiteRefused, StoreRefused
from scheduler.outlets.mail import transport
from scheduler.record import State

MODEST = str(Path(__file__).with_name("modest.py"))


def events(house, record_id):
    return [row["event"] for row in house.json("trail") if row["record"] == record_id]


@pytest.mark.sqlite_only("the disk of its file")
def test_a_full_disk_of_the_database_refuses_moves_and_loses_nothing(office):
    """Where the database's disk is full, accepting and releasing are refused and change nothing; with room again they go on."""
    office.record("one", embargo="none")
    with no_room(0):
        with pytest.raises(StoreRefused, match="Is its disk full"):
            office.lift()
        with pytest.raises(StoreRefused):
            office.withdraw("one")
    assert office.get("one").state is State.HELD
    sound(office)
    assert [each.id for each in office.lift()] == ["one"]
    sound(office)


def test_a_full_disk_of_the_site_leaves_every_file_whole(office):
    """Where the site's disk is full, each file keeps its old bytes and no rest lies about; with room the site is complete."""
    office.record("one", embargo="none", title="First")
    office.lift()
    shown = projection(office)
    shown.rebuild(now=office.clock())
    before = files_below(office.folder / "public")
    office.record("two", embargo="none", title="Second")
    [lifted] = office.lift()
    with no_room(0), pytest.raises(SiteRefused, match="can't be written"):
        shown.refresh([lifted.id], now=office.clock(), new=True)
    assert files_below(office.folder / "public") == before
    shown.follow(now=office.clock())
    site_is_whole(office)


class Cramped:
    """A Maildir on a full disk, while the database has room."""

    def __init__(self, folder: Path) -> None:
        self._maildir = transport("maildir:mail", base=folder)
        self._mails: list[dict[str, object]] = []
        self._both = asyncio.Barrier(2)

    async def send(self, **mail) -> str:
        """Both at once, while the ledger, whose disk has room, writes nothing."""
        self._mails.append(mail)
        if await self._both.wait() == 0:
            with no_room(0, beyond=16):
                sent = (self._maildir.send(**each) for each in self._mails)
                self._said = await asyncio.gather(*sent, return_exceptions=True)
        await self._both.wait()
        raise self._said[self._mails.index(mail)]

    async def close(self) -> None:
        """Nothing is kept open."""


def test_a_full_disk_of_the_maildir_is_tried_again(office):
    """Where the Maildir's disk is full, the mail waits with what the system said; with room again it stands there once, whole."""
    office.record("one", embargo="none")
    office.lift()
    send(office, Cramped(office.folder))
    ledger = office.raw("SELECT state, message_id, problem FROM deliveries")
    assert [(state, name) for state, name, _ in ledger] == [("pending", None), ("pending", None)]
    assert all("can't be written" in problem for _, _, problem in ledger)
    assert not list((office.folder / "mail" / "new").iterdir())
    office.clock.pass_by(hours=1)
    send(office, transport("maildir:mail", base=office.folder))
    assert office.raw("SELECT DISTINCT state FROM deliveries") == [("sent",)]
    stored = list((office.folder / "mail" / "new").iterdir())
    assert len(stored) == 2
    assert all(path.read_bytes().endswith(b"--\n") for path in stored)
    assert not list((office.folder / "mail" / "tmp").iterdir())


def test_a_disk_that_is_full_over_a_lift_delays_it_and_no_more(house):
    """A service whose disk is full at a lift says so, lives, and releases, shows and mails once as soon as there is room."""
    service = start(house)
    lift_at = ahead(4)
    house.record("one", embargo=words(lift_at), title="Quokka")
    eventually(lambda: state(house, "one") == "held", "it to be held")
    with no_room(service.pid, child(house, "worker")):
        eventually(lambda: "_failed" in house.log and datetime.now(UTC) > lift_at, "the alarm")
        assert "Is its disk full" in house.log
        assert state(house, "one") == "held"
        assert b"Quokka" not in house.site("rss.xml")
        assert service.poll() is None
    eventually(lambda: b"Quokka" in house.site("feed.json"), "the release")
    assert released_at(house, "one") >= lift_at
    eventually(lambda: len(rows(house, "SELECT 1 FROM deliveries WHERE state = 'sent'")) == 2, "the mail")
    assert events(house, "one") == ["accepted", "released"]
    assert house.run("trail", "verify").returncode == 0


def test_a_site_that_can_not_be_written_is_said_and_made_good(house):
    """A site folder without permission stops neither release nor mail, is said with its remedy, and is written once it may be."""
    start(house, MODEST)
    house.record("one", embargo=words(ahead(3)), title="Quokka")
    eventually(lambda: state(house, "one") == "held" and house.site("feed.json"), "it to be held")
    public = house.folder / "public"
    public.chmod(0o555)
    eventually(lambda: "site_refused" in house.log, "the alarm")
    assert "Let the service's user write there." in house.log
    assert state(house, "one") == "released"
    assert b"Quokka" not in house.site("rss.xml")
    eventually(lambda: len(rows(house, "SELECT 1 FROM deliveries WHERE state = 'sent'")) == 2, "the mail")
    public.chmod(0o755)
    eventually(
        lambda: b"Quokka" in house.site("feed.json") and b"Quokka" in house.site("releases/one.html"), "the site"
    )
    assert events(house, "one") == ["accepted", "released"]


def test_a_database_that_another_program_locks_delays_the_lift_and_no_more(house):
    """A database that another process locks for ten seconds over a lift delays it; it is released once, as soon as it can be."""
    service = start(house)
    lift_at = ahead(3)
    house.record("one", embargo=words(lift_at), title="Quokka")
    eventually(lambda: state(house, "one") == "held", "it to be held")
    with locked(house.url) as told:
        # The service waits ten seconds for a lock; then it has to say so, and go on trying.
        eventually(lambda: told in house.log, "the alarm")
        assert datetime.now(UTC) > lift_at
        assert house.raw("SELECT state FROM records") == [("held",)]
        assert b"Quokka" not in house.site("rss.xml")
    eventually(lambda: b"Quokka" in house.site("feed.json"), "the release")
    assert service.poll() is None
    eventually(lambda: len(rows(house, "SELECT 1 FROM deliveries WHERE state = 'sent'")) == 2, "the mail")
    assert events(house, "one") == ["accepted", "released"]


def filled(house):
    """A dozen long records far ahead, and one that lifts soon; its instant."""
    for number in range(12):
        house.record(f"r{number}", embargo=words(ahead(30 * 86400)), body="Some words. " * 200)
    eventually(lambda: rows(house, "SELECT count(*) FROM records")[0][0] == 12, "all to be held")
    lift_at = ahead(5)
    house.record("one", embargo=words(lift_at), title="Quokka")
    eventually(lambda: state(house, "one") == "held", "it to be held")
    return lift_at


def spoil(database: Path, first: int, last: int) -> None:
    """Writes rubbish over the pages of a database between these hundredths of it."""
    pages = database.stat().st_size // 4096
    begin, end = max(1, pages * first // 100), pages * last // 100
    with database.open("r+b") as stream:
        stream.seek(begin * 4096)
        stream.write(random.Random(4).randbytes((end - begin) * 4096))


def digest(database: Path) -> str:
    return hashlib.sha256(database.read_bytes()).hexdigest()


@pytest.mark.sqlite_only("damage of its file")
@pytest.mark.parametrize("part", [(0, 100), (33, 66)], ids=["all", "the middle"])
def test_a_database_damaged_while_stopped_is_refused_and_left_as_it_is(house, part):
    """A service whose database was damaged while it was stopped says so and ends; it lifts nothing and writes nothing."""
    house.start()
    lift_at = filled(house)
    house.stop()
    database = house.folder / "var" / "embargo.db"
    spoil(database, *part)
    before = digest(database)
    said = house.run("run")
    assert said.returncode == 1
    assert "damaged" in said.stderr
    assert "Traceback" not in said.stderr
    eventually(lambda: datetime.now(UTC) > lift_at, "the lift to pass")
    assert b"Quokka" not in house.site("rss.xml")
    assert digest(database) == before
    found = house.run("doctor")
    assert found.returncode == 1
    assert "damaged" in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.sqlite_only("damage of its file")
def test_a_database_damaged_while_running_stops_the_service(house):
    """A service that finds its database damaged says so and ends, with status 1 and nothing lifted from then on."""
    service = start(house)
    filled(house)
    database = house.folder / "var" / "embargo.db"
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spoil(database, 0, 100)
    house.record("two", embargo=words(ahead(60)))  # whoever writes now reads what is damaged
    eventually(lambda: service.poll() is not None, "the service to end")
    assert service.returncode == 1
    assert "database_damaged" in house.log
    assert "restore" in house.log
    before = digest(database)
    assert house.run("run").returncode == 1
    assert digest(database) == before
