"""Backups, their rotation, the way back, and the backup before a migration: real files, real processes, a real drill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW, ahead, eventually, words

from scheduler.errors import StoreRefused
from scheduler.store import backups, fence, open_store, records, trail

pytestmark = pytest.mark.sqlite_only("a server's database is backed up with pg_dump")

DAY = timedelta(days=1)
KEPT = "backup: {folder: backups/, every: 1d, keep: 2}\n"


def url(path) -> str:
    return f"sqlite:///{path}"


def plain(path, *statements):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as db:
        return [db.execute(statement).fetchall() for statement in statements][-1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def heavy(path, pieces=40):
    """So much in the database that a copy takes its time."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        rows = [(f"heavy {number}", 0, os.urandom(1 << 20)) for number in range(pieces)]
        db.executemany("INSERT INTO attachment_chunks VALUES (?, ?, ?)", rows)


# --- backups


def test_the_newest_backups_are_kept(office):
    """Of the backups in a folder so many stay as the settings say, the newest; what has any other name is left alone."""
    folder = office.folder / "backups"
    folder.mkdir()
    others = [
        "embargo-20200101T000000.000Z.db.old",
        "embargo-2020.db",
        "my-embargo-20200101T000000.000Z.db",
        "notes.txt",
    ]
    for name in others:
        (folder / name).write_text("precious")
    (folder / "embargo-20200102T000000.000Z.db").mkdir()
    made = []
    for number in range(4):
        office.record(f"r{number}")
        made.append(backups.make(office.store, folder, 2, office.clock()))
        office.clock.pass_by(days=1)
    assert names(folder) == sorted([*others, "embargo-20200102T000000.000Z.db", made[2].name, made[3].name])
    assert [each.path for each in backups.listed(folder)] == [made[3], made[2]]
    assert made[0].name == "embargo-20261130T120000.000Z.db"
    assert plain(made[3], "SELECT count(*) FROM records") == [(4,)]
    assert {stat.S_IMODE(each.stat().st_mode) for each in made[2:]} == {0o600}


def test_when_a_backup_is_due(office):
    """The next backup is due when none is younger than the settings say; one dated in the future keeps none from being made."""
    folder = office.folder / "backups"
    assert backups.due(folder, DAY, NOW)
    backups.make(office.store, folder, 2, NOW + 30 * DAY)
    assert backups.due(folder, DAY, NOW)
    made = backups.make(office.store, folder, 1, NOW)
    assert not backups.due(folder, DAY, NOW + DAY / 2)
    assert backups.due(folder, DAY, NOW + DAY)
    assert made.exists()
    assert len(backups.listed(folder)) == 2
    made.write_bytes(b"")
    assert backups.due(folder, DAY, NOW)


def test_a_backup_that_is_killed_is_never_taken_for_one(house):
    """However a backup is killed, no file of a backup's name is half written, older ones stand, and the next one succeeds."""
    house.run("add", str(house.record("one", embargo="on delivery")))
    refused = house.run("backup").stderr
    assert "Name a file, `embargo backup FILE`, or add `backup: {folder: backups/}`" in refused
    house.config.write_text(house.config.read_text() + KEPT)
    assert house.run("backup").returncode == 0
    folder = house.folder / "backups"
    [first] = backups.listed(folder)
    heavy(house.folder / "var/embargo.db")
    part = folder / ".embargo-backup.part"
    script = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from scheduler.store import backups, open_store\n"
        "store = open_store(sys.argv[1])\n"
        "while True: backups.make(store, Path(sys.argv[2]), 5, datetime(2026, 1, 1, tzinfo=UTC))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, url(house.folder / "var/embargo.db"), str(folder)])
    eventually(lambda: part.exists() and part.stat().st_size > 1 << 20, "a copy to be under way")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.exists()
    assert backups.listed(folder) == [first]
    done = house.run("backup")
    assert done.returncode == 0, done.stderr
    found = backups.listed(folder)
    assert len(found) == 2
    assert first in found
    assert all(plain(each.path, "PRAGMA integrity_check") == [("ok",)] for each in found)
    assert names(folder) == sorted(each.path.name for each in found)


@contextlib.contextmanager
def no_room(beyond):
    """No file of this process may grow longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_backups(office):
    """Where there is no room for a backup that is said in a sentence, nothing half written is left, and no old one goes."""
    folder = office.folder / "backups"
    first = backups.make(office.store, folder, 1, NOW)
    before = first.read_bytes()
    with (
        no_room(100_000),
        pytest.raises(
            StoreRefused, match=r"The backup \S+ can't be written: .*Nothing that was there before was changed"
        ),
    ):
        backups.make(office.store, folder, 1, NOW + DAY)
    assert names(folder) == [first.name]
    assert first.read_bytes() == before


def test_one_backup_at_a_time(office):
    """Two backups to one folder at once do not spoil each other: the second is refused, and says so."""
    folder = office.folder / "backups"
    folder.mkdir()
    with (folder / ".embargo-backup.part").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("of another process")
        other.flush()
        with pytest.raises(StoreRefused, match="Another backup is being written to"):
            backups.make(office.store, folder, 1, NOW)
        assert (folder / ".embargo-backup.part").read_text() == "of another process"
    made = backups.make(office.store, folder, 1, NOW)
    assert names(folder) == [made.name]


# --- the way back


def backed_up(office, name="copy.db"):
    target = office.folder / name
    office.store.backup(target)
    return target


def moved_aside(office):
    office.store.close()
    office.store.path.parent.rename(office.folder / "aside")
    office.store.path.parent.mkdir()


def damaged(path):
    data = bytearray(path.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 12288)
    path.write_bytes(data)


def tampered(path):
    plain(path, "DROP TRIGGER trail_refuses_update", "UPDATE trail SET actor = 'somebody'")


def foreign(path):
    path.unlink()
    plain(path, "CREATE TABLE letters (text TEXT)")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damaged, "is not sound: .*Take another backup"),
        (tampered, "its trail is broken, row 1 "),
        (foreign, "no backup that can be restored.*other tables"),
        (lambda path: path.write_text("a letter " * 100), "is not sound: file is not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:50000]), "is not sound"),
        (lambda path: path.write_bytes(b""), "It is empty"),
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: plain(path, "UPDATE meta SET value = '99' WHERE key = 'schema'"), "schema 99.*newer Embargo"),
        (lambda path: Path(f"{path}-wal").write_bytes(b"log"), "in use, and no backup"),
    ],
)
def test_what_is_no_sound_backup_is_not_restored(office, spoil, says):
    """A backup that is damaged, cut, changed, newer than the program, or none at all is refused; no database is made of it."""
    for number in range(20):
        office.record(f"r{number}", body="Words. " * 400)
    copy = backed_up(office)
    moved_aside(office)
    spoil(copy)
    with pytest.raises(StoreRefused, match=says):
        backups.restore(copy, office.store.path)
    assert names(office.store.path.parent) == []


def test_a_database_that_is_there_is_not_restored_over(office):
    """A database in the place of the restored one, or a log of one, is left as it is; the command that is told makes room."""
    office.record()
    fence.hold(office.store, now=NOW)
    copy, database = backed_up(office), office.store.path
    office.store.close()
    before = database.read_bytes()
    with pytest.raises(StoreRefused, match=r"There is a database .*it is left as it is"):
        backups.restore(copy, database)
    assert database.read_bytes() == before
    database.rename(office.folder / "kept.db")
    database.with_name("embargo.db-wal").write_bytes(b"of another time")
    with pytest.raises(StoreRefused, match="There is a database") as refused:
        backups.restore(copy, database)
    subprocess.run(str(refused.value).partition("keep it: ")[2], shell=True, check=True)
    assert names(database.parent / "aside") == ["embargo.db-wal", "embargo.db.instance"]
    assert backups.restore(copy, database) == 1
    assert names(database.parent) == ["aside", "embargo.db"]
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


@pytest.mark.parametrize("beside", [True, False])
def test_a_restored_store_is_fenced_whatever_lies_beside_it(office, beside):
    """What was restored is fenced from its first moment, though no service ever ran on it, or it fits the file beside it."""
    office.record()
    if beside:
        fence.hold(office.store, now=NOW)
    copy = backed_up(office)
    note = office.store.path.with_name("embargo.db.instance")
    moved_aside(office)
    if beside:
        shutil.copy(office.folder / "aside" / note.name, note)
    assert backups.restore(copy, office.store.path) == 1
    store = open_store(office.url)
    assert fence.examine(store).why
    assert [each.id for each in records.listed(store)] == ["one"]
    with store.read() as db:
        assert trail.verify(db) == (1, [])
    store.close()
    assert not any(each.endswith(".restore") for each in names(office.store.path.parent))
    assert plain(copy, "SELECT count(*) FROM records") == [(1,)]


def test_the_drill(house):
    """After a crash the last backup is restored: it lifts and mails nothing until it is adopted, and then the next lift comes."""
    house.config.write_text(house.config.read_text() + KEPT)
    database = house.folder / "var/embargo.db"
    mail = house.folder / "var/mail/new"

    def mails():
        return len(names(mail)) if mail.exists() else 0

    def stands(record_id):
        found = plain(database, f"SELECT state FROM records WHERE id = '{record_id}'")
        return found[0][0] if found else None

    def looked_again():
        taken = house.log.count("config_taken")
        os.utime(house.config)
        eventually(lambda: house.log.count("config_taken") > taken, "the next heartbeat")

    for name in ("one", "two"):
        house.record(name, embargo="on delivery")
    house.start()
    eventually(lambda: stands("one") and stands("two"), "the records to be held")
    kept = house.folder / "kept.db"
    done = house.run("backup", str(kept))
    assert done.returncode == 0, done.stderr
    house.run("lift", "one", "--reason", "now")
    eventually(lambda: mails() == 2, "the mails")
    eventually(lambda: house.site("releases/one.html"), "the page")
    refused = house.run("restore", str(kept))
    assert "Another service" in refused.stderr
    group = house.service.pid
    house.kill()

    def children_ended():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            return False
        return True

    eventually(children_ended, "the worker and the web server to end")
    [command] = re.findall(r"mkdir -m 700 .*", house.run("restore", str(kept)).stderr)
    subprocess.run(command, shell=True, check=True)
    done = house.run("restore", str(kept))
    assert done.returncode == 0, done.stderr
    assert "Restored and checked" in done.stdout
    assert "1 record (one) held here, with a page on the site already" in " ".join(done.stdout.split())
    house.start()
    looked_again()
    assert (stands("one"), stands("two")) == ("held", "held")
    assert mails() == 2
    house.run("withdraw", "one", "--reason", "it went out already")
    house.run("amend", "two", words(ahead(1)))
    assert house.run("adopt", "--reason", "the disk broke").returncode == 0
    eventually(lambda: stands("two") == "released", "the next lift")
    eventually(lambda: mails() == 4, "its mails")
    eventually(lambda: house.site("releases/two.html"), "its page")
    assert stands("one") == "withdrawn"


# --- migrations


def old(folder, number):
    """A database as the version of that schema wrote it."""
    path = folder / "embargo.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name(f"schema-{number}.sql").read_text("utf-8"))
    return path


def laid_out(path):
    found = plain(path, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in found}


def content(path, *tables):
    return {table: plain(path, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


@pytest.mark.parametrize(("number", "row"), [(1, 4), (2, 3)])
def test_every_released_schema_is_brought_up_to_date(tmp_path, number, row):
    """A database of any released version becomes what a new one is, keeps what is in it, and lies beside itself as it was."""
    path, new = old(tmp_path, number), tmp_path / "new" / "embargo.db"
    open_store(url(new)).close()
    kept = ("records", "revisions", "trail", "trail_head", "meta", "mailings", "deliveries")
    before, plan = content(path, *kept), laid_out(path)
    for _ in range(2):
        store = open_store(url(path))
        with store.read() as db:
            assert trail.verify(db) == (row, [])
        store.close()
        assert laid_out(path) == laid_out(new)
        assert content(path, "records", "revisions", "trail") == {key: before[key] for key in kept[:3]}
        assert plain(path, "SELECT recipient, state FROM deliveries ORDER BY id") == [
            (each[-10], each[-8]) for each in before["deliveries"]
        ]
        aside = tmp_path / f"embargo.db.schema-{number}.row-{row}.db"
        assert [each for each in names(tmp_path) if "schema" in each] == [aside.name]
        assert (content(aside, *kept), laid_out(aside)) == (before, plan)
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600


def test_no_schema_is_left_without_a_backup(tmp_path):
    """Where the backup can't be written the database stays as it was, and a sentence says why."""
    path = old(tmp_path, 2)
    (tmp_path / ".embargo.db.schema-2.row-3.db.part").mkdir()
    before = laid_out(path)
    with pytest.raises(StoreRefused, match=r"has schema 2, this program needs 3.*without a backup.*can't be written"):
        open_store(url(path))
    assert laid_out(path) == before
    assert plain(path, "SELECT value FROM meta WHERE key = 'schema'") == [("2",)]


def test_a_migration_that_fails_changes_nothing(tmp_path):
    """A migration that breaks off leaves the database as it was, to its last table, and the backup beside it."""
    path = old(tmp_path, 1)
    plain(path, "CREATE TABLE old_mailings (mine TEXT)")  # in the way of the second step
    before = laid_out(path)
    with pytest.raises(StoreRefused, match="old_mailings already exists"):
        open_store(url(path))
    assert laid_out(path) == before
    assert plain(tmp_path / "embargo.db.schema-1.row-4.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_of_an_older_version_is_restored(office, tmp_path):
    """A backup that an older version wrote can be restored, and is brought up to date when it is opened."""
    moved_aside(office)
    assert backups.restore(old(tmp_path, 2), office.store.path) == 3
    store = open_store(office.url)
    assert plain(store.path, "SELECT value FROM meta WHERE key = 'schema'") == [("3",)]
    assert fence.examine(store).why
    store.close()
