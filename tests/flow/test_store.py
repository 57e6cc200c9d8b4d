"""The database: how it is opened, refused, shared, copied and kept from others."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import NOW, Office, locked
from sqlalchemy.exc import IntegrityError

from scheduler.errors import StoreRefused
from scheduler.store import open_store, records, schema, trail


def url(path) -> str:
    return f"sqlite:///{path}"


def plain(path, *statements):
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return [db.execute(statement).fetchall() for statement in statements][-1]
    finally:
        db.close()


def test_a_new_database_has_the_newest_schema(tmp_path):
    """A database that is not there is made, with its folder, and opened again as it is."""
    path = tmp_path / "var" / "deep" / "embargo.db"
    open_store(url(path)).close()
    before = plain(path, "SELECT key, value FROM meta ORDER BY key")
    open_store(url(path)).close()
    assert plain(path, "SELECT key, value FROM meta ORDER BY key") == before
    assert before[0] == ("schema", "3")
    assert plain(path, "PRAGMA journal_mode") == [("wal",)]


def test_several_processes_may_make_it_at_once(tmp_path):
    """Service, worker and command may open a database that is not there at the same moment: it is made once."""
    path, stores, ready = tmp_path / "embargo.db", [], threading.Barrier(8)

    def start():
        ready.wait()
        stores.append(open_store(url(path)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    for store in stores:
        store.close()
    assert plain(path, "SELECT count(*) FROM meta") == [(2,)]


@pytest.mark.sqlite_only("the modes of its files")
def test_nobody_else_may_read_held_texts(office):
    """The database, its log beside it, its folder and its backups are the service's alone."""
    office.record()
    target = office.folder / "copy.db"
    office.store.backup(target)
    files = [*office.store.path.parent.iterdir(), target]
    assert {file.name for file in files} == {"embargo.db", "embargo.db-wal", "embargo.db-shm", "copy.db"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(office.store.path.parent.stat().st_mode) == 0o700


def test_another_programs_database_is_left_alone(tmp_path):
    """A database of another program is refused and not changed by a byte."""
    path = tmp_path / "other.db"
    plain(path, "CREATE TABLE meta (name TEXT)", "CREATE TABLE letters (text TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="other tables than Embargo's"):
        open_store(url(path))
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(tmp_path):
    """A database written by a newer version is refused, and the sentence says what to do."""
    path = tmp_path / "embargo.db"
    open_store(url(path)).close()
    plain(path, "UPDATE meta SET value = '4' WHERE key = 'schema'")
    with pytest.raises(StoreRefused, match=r"schema 4, this program knows 3.*newer Embargo"):
        open_store(url(path))


def laid_out(path):
    """Tables, indexes and triggers, as their statements say."""
    found = plain(path, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in found}


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path):
    """A database written by the first version is what a new one would be once it is opened, and keeps all that is in it."""
    path, new = tmp_path / "embargo.db", tmp_path / "new.db"
    old = sqlite3.connect(path)
    old.executescript(Path(__file__).with_name("schema-1.sql").read_text("utf-8"))
    old.close()
    open_store(url(new)).close()
    assert "attachments" not in laid_out(path)
    for _ in range(2):
        store = open_store(url(path))
        assert laid_out(path) == laid_out(new)
        assert plain(path, "SELECT value FROM meta WHERE key = 'schema'") == [("3",)]
        assert {standing.id: standing.state for standing in records.listed(store)} == {
            "held": "held",
            "out": "released",
        }
        assert [release.attachments for release in records.releases(store, ["held", "out"])] == [(), ()]
        with store.read() as db:
            assert trail.verify(db) == (4, [])
        store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """A damaged file, or another one, is refused with what to do, and left as it is."""
    path = tmp_path / "embargo.db"
    path.write_bytes(b"This is a letter and no database at all. " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match=r"can't be used: file is not a database.*restore the last backup"):
        open_store(url(path))
    assert path.read_bytes() == before


@pytest.mark.sqlite_only("damage of its file")
def test_damage_is_found(office):
    """A database whose file was damaged says so when it is examined."""
    for number in range(30):
        office.record(f"r{number}", body="Words. " * 400)
    assert office.store.damage() is None
    office.raw("PRAGMA wal_checkpoint(TRUNCATE)")
    office.store.close()
    path = office.store.path
    data = bytearray(path.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 12288)
    path.write_bytes(data)
    assert office.store.damage()
    with pytest.raises(StoreRefused, match=r"is damaged: database disk image is malformed.*restore the last backup"):
        records.listed(office.store)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("sqlite:///{folder}/file/embargo.db", "can't be opened: .*Is its folder writable"),
        ("sqlite:///{folder}", "can't be used: unable to open database file"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://user:secret@host/name", "'mysql' is not supported"),
        ("user:secret@nothing", "no database address"),
    ],
)
def test_an_address_that_cannot_be_used(tmp_path, address, says):
    """A database address that can't be used is refused in a sentence, without the password that may be in it."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreRefused, match=says) as refused:
        open_store(address.format(folder=tmp_path))
    assert "secret" not in str(refused.value)


@pytest.mark.sqlite_only("a server's database is backed up with pg_dump")
def test_a_backup_is_a_whole_database(office):
    """A backup taken while others write is a sound database of its own, with a sound trail."""
    office.record()
    over = threading.Event()
    writer = Office(office.folder, office.parts, open_store(office.url))

    def write():
        number = 0
        while not over.is_set():
            writer.record(f"r{number}")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    copies = [office.folder / f"copy{number}.db" for number in range(5)]
    for copy in copies:
        office.store.backup(copy)
    over.set()
    thread.join()
    writer.store.close()
    for copy in copies:
        store = open_store(url(copy))
        with store.read() as db:
            count, broken = trail.verify(db)
        assert (count, broken) == (len(records.listed(store)), [])
        store.close()


@pytest.mark.sqlite_only("a server's database is backed up with pg_dump")
def test_a_backup_never_writes_over_a_file(office):
    """A backup to a file that is there already is refused, and the file is left as it is."""
    target = office.folder / "copy.db"
    target.write_text("precious")
    with pytest.raises(StoreRefused, match="there already"):
        office.store.backup(target)
    assert target.read_text() == "precious"


@pytest.mark.sqlite_only("a server's database is backed up with pg_dump")
def test_a_backup_that_cannot_be_written(office):
    """A backup that can't be written is refused in a sentence and leaves nothing behind."""
    (office.folder / "file").write_text("in the way")
    for target in (office.folder / "file" / "copy.db", office.folder / "nowhere" / "copy.db"):
        with pytest.raises(StoreRefused, match="can't be written"):
            office.store.backup(target)
    assert not (office.folder / "nowhere").exists()


def test_writers_wait_for_each_other(office):
    """A writer that meets another waits for it, and goes on within some milliseconds of its end."""
    other = open_store(office.url)
    began, ended = threading.Event(), []

    def hold():
        with other.write():
            began.set()
            time.sleep(0.15)
        ended.append(time.monotonic())

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait()
    office.record()
    assert time.monotonic() - ended[0] < 0.1
    thread.join()
    other.close()


def test_a_writer_that_waits_in_vain_says_so(office, monkeypatch):
    """A database that another program keeps locked is reported as that, not as a failure of ours."""
    monkeypatch.setattr("scheduler.store.sqlite._LOCK_WAIT", 0.05)
    monkeypatch.setattr("scheduler.store.postgres._PATIENCE", timedelta(seconds=0.05))
    desk = Office(office.folder, office.parts, open_store(office.url), office.clock)
    with locked(office.url) as told, pytest.raises(StoreRefused, match=rf"{told}.*another program"):
        desk.record()
    assert desk.record().id == "one"
    desk.store.close()


def test_readers_never_wait(office):
    """Whoever reads sees what was last committed, while another writes."""
    other = open_store(office.url)
    with other.write() as db:
        trail.append(db, at=NOW, actor="a", entries=[trail.Entry(event="e")])
        assert office.events() == []
    assert office.events() == ["e"]
    other.close()


def test_many_writers_at_once(office):
    """Four processes that write at once lose nothing, and the trail stays one chain."""

    def work(name):
        desk = Office(office.folder, office.parts, open_store(office.url))
        for number in range(10):
            desk.record(f"{name}{number}")
        desk.store.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.listed(office.store)) == 40
    with office.store.read() as db:
        assert trail.verify(db) == (40, [])


def test_a_checkpoint_waits_for_nobody(office):
    """The log is moved into the database at a quiet moment, and nothing is lost by it."""
    office.record()
    office.store.checkpoint()
    assert office.raw("SELECT id FROM records") == [("one",)]


@pytest.mark.parametrize("year", [1, 1969, 1970, 2026, 9999])
def test_instants_are_kept_exactly(year):
    """An instant is kept to the microsecond, whatever its year."""
    at = datetime(year, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert schema.instant(schema.micros(at)) == at


def test_an_instant_without_a_zone_is_refused(office):
    """A time without a zone can't get into the database."""
    with pytest.raises(Exception, match="without a zone"), office.store.write() as db:
        trail.append(db, at=NOW.replace(tzinfo=None), actor="a", entries=[trail.Entry(event="e")])
    assert office.events() == []


def test_a_refused_row_is_told_from_a_broken_database(office):
    """A row that breaks a rule is refused by the rule's name."""
    office.record()
    with pytest.raises(IntegrityError, match="record_state_is_known"), office.store.write() as db:
        db.execute(schema.records.update().values(state="published"))
