"""What another instance wrote last lifts and mails nothing until a person adopts it: real copies, real processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest
from conftest import SETTINGS, SQLITE, House, eventually, free_port

from scheduler.daemon.lock import Fence
from scheduler.errors import StoreRefused
from scheduler.pipeline.fence import heed_site, repeats
from scheduler.store import fence, open_store

pytestmark = pytest.mark.sqlite_only("a database on a server is never a copy by mishap, and never fenced")

PAST = "2026-01-05 09:00 America/New_York"


def database(house):
    return house.folder / "var" / "embargo.db"


def instance(house):
    return house.folder / "var" / "embargo.db.instance"


def rows(house, query):
    return house.raw(query)


def state(house, record_id="one"):
    found = rows(house, f"SELECT state FROM records WHERE id = '{record_id}'")
    return found[0][0] if found else None


def mails(house):
    folder = house.folder / "var" / "mail" / "new"
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def begun(house, *, released=False):
    """A service that runs on a store with one record."""
    house.record("one", embargo="on delivery")
    house.start()
    eventually(lambda: state(house), "the record to be held")
    if released:
        house.run("lift", "one", "--reason", "now")
        eventually(lambda: mails(house) == 2, "the mails")
        eventually(lambda: house.site("releases/one.html"), "the page")
    return house


def copied(house, folder):
    """The whole folder, copied, as a newsroom on another port."""
    shutil.copytree(house.folder, folder)
    (folder / "service.log").unlink(missing_ok=True)
    port = free_port()
    (folder / "config.yaml").write_text(SETTINGS.format(port=port, database=SQLITE), "utf-8")
    return House(folder, port)


def a_heartbeat_later(house):
    """After this the service has looked, at least once since the call, whether anything is due."""
    taken = house.log.count("config_taken")
    os.utime(house.config)
    eventually(lambda: house.log.count("config_taken") > taken, "the next heartbeat")


@pytest.fixture
def other(tmp_path_factory):
    """Where a copy may be put; the service there is stopped at the end."""
    made = []

    def of(house):
        made.append(copied(house, tmp_path_factory.mktemp("copy") / "house"))
        return made[-1]

    yield of
    for each in made:
        each.stop()


@pytest.mark.parametrize("running", [True, False])
def test_a_copied_folder_lifts_and_mails_nothing_until_it_is_adopted(house, other, running):
    """A copied folder takes files in, but lifts and mails nothing until a person adopts it; then it does within a second."""
    begun(house)
    if not running:
        house.stop()
    copy = other(house)
    copy.run("amend", "one", PAST)
    copy.start()
    copy.record("two", embargo="none")
    eventually(lambda: state(copy, "two"), "the copy to take a file in")
    a_heartbeat_later(copy)
    assert "error store_fenced why=" in copy.log
    assert (state(copy), state(copy, "two"), mails(copy), copy.site("releases/one.html")) == ("held", "held", 0, b"")
    refused = copy.run("lift", "two", "--reason", "now")
    assert refused.returncode == 1
    assert "embargo adopt" in refused.stderr
    assert copy.run("worker", "--once").returncode == 1
    assert "The store is fenced" in copy.run("queue").stdout
    assert "The store is fenced" in copy.json("queue")["standstill"][0]
    shown = copy.run("adopt")
    assert shown.returncode == 1
    assert "2 records (one, two) held here whose lift has passed" in shown.stdout
    told = copy.json("adopt")
    assert (told["fenced"], told["due"], told["shown"]) == (True, ["one", "two"], [])
    assert state(copy) == "held"
    assert copy.run("adopt", "--reason", "the other machine burnt").returncode == 0
    eventually(lambda: state(copy) == "released", "the copy to lift")
    eventually(lambda: mails(copy) == 4, "the copy to mail")
    eventually(lambda: copy.site("releases/one.html"), "the copy's page")
    [row] = [row for row in copy.json("trail") if row["event"] == "adopted"]
    detail = json.loads(row["detail"])
    assert (detail["reason"], row["actor"]) == ("the other machine burnt", "editor@desk")
    assert "copy of the one at" in detail["why"]
    assert house.run("adopt").returncode == 0
    assert "store_fenced" not in house.log


def gone(house, *, killed=False):
    """No process of the house is left, its children included: one that still has the file open would write into a backup."""
    group = house.service.pid
    (house.kill if killed else house.stop)()

    def empty():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    eventually(empty, "the children to end")


def put_back(house, backup, how):
    for suffix in ("-wal", "-shm"):
        database(house).with_name(f"embargo.db{suffix}").unlink(missing_ok=True)
    if how == "renamed":
        backup.replace(database(house))
    else:
        database(house).write_bytes(backup.read_bytes())


@pytest.mark.parametrize(("ended", "how"), [("stopped", "in place"), ("killed", "renamed")])
def test_a_restored_backup_repeats_nothing_until_it_is_adopted(house, tmp_path, how, ended):
    """A backup put back in its old place does not release and mail again what went out since, and says what that is."""
    begun(house)
    backup = tmp_path / "backup.db"
    assert house.run("backup", str(backup)).returncode == 0
    house.run("lift", "one", "--reason", "now")
    eventually(lambda: mails(house) == 2, "the mails")
    page = eventually(lambda: house.site("releases/one.html"), "the page")
    gone(house, killed=ended == "killed")
    put_back(house, backup, how)
    house.start()
    a_heartbeat_later(house)
    assert "store_fenced" in house.log
    assert (state(house), mails(house), house.site("releases/one.html")) == ("held", 2, page)
    told = house.json("adopt")
    assert (told["fenced"], told["shown"]) == (True, ["one"])
    house.run("withdraw", "one", "--reason", "it went out already")
    house.run("adopt", "--reason", "the disk broke")
    eventually(lambda: not house.site("releases/one.html"), "the site to follow the store")
    house.stop()
    house.start()
    assert house.run("adopt").returncode == 0
    assert (state(house), mails(house)) == ("withdrawn", 2)


def test_mails_that_a_restored_store_would_send_again_are_counted(house, tmp_path):
    """What a restored store would mail again is shown with its records, and nothing of it is mailed before it is adopted."""
    house.record("one", embargo="on delivery")
    house.run("add", "records/one.md")
    house.run("lift", "one", "--reason", "now")
    house.start()
    eventually(lambda: mails(house) == 2, "the mails")
    house.stop()
    backup = tmp_path / "backup.db"
    house.run("backup", str(backup))
    with contextlib.closing(sqlite3.connect(backup, isolation_level=None)) as db:
        db.execute("UPDATE deliveries SET state = 'pending', message_id = NULL, settled_at = NULL")
        db.execute("UPDATE deliveries SET state = 'uncertain' WHERE id = (SELECT max(id) FROM deliveries)")
    house.start()
    house.stop()
    put_back(house, backup, "in place")
    assert house.run("worker", "--once").returncode == 1
    told = house.json("adopt")["mails"]
    assert told == {"owed": {}, "pending": {"one": 1}, "claimed": {}, "sending": {}, "uncertain": {"one": 1}}
    assert "1 mail about 1 record (one)" in house.run("adopt").stdout
    assert mails(house) == 2


def test_a_folder_that_was_moved_is_the_same_store(house, tmp_path_factory):
    """A folder that was moved on its disk goes on as it was, and says where it came from."""
    begun(house)
    house.stop()
    place = tmp_path_factory.mktemp("moved") / "house"
    house.folder.rename(place)
    moved = House(place, house.port)
    try:
        moved.start()
        moved.run("lift", "one", "--reason", "now")
        eventually(lambda: mails(moved) == 2, "the mails")
        assert "store_moved note=" in moved.log
        assert "store_fenced" not in moved.log
    finally:
        moved.stop()


def test_honest_starts_stops_and_kills_never_fence(house, tmp_path):
    """A service that is stopped, killed while it starts or runs, and backed up, is never fenced from its own store."""
    house.record("one", embargo="on delivery")
    house.run("add", "records/one.md")
    marks = set()
    for _ in range(4):
        before = instance(house).read_bytes() if instance(house).exists() else b""
        process = subprocess.Popen([sys.executable, "-m", "scheduler", "run"], cwd=house.folder, stderr=subprocess.PIPE)
        eventually(lambda then=before: instance(house).exists() and instance(house).read_bytes() != then, "a new mark")
        process.kill()
        process.communicate()
        marks.add(instance(house).read_bytes())
    assert len(marks) == 4
    house.start()
    house.run("backup", str(tmp_path / "backup.db"))
    house.kill()
    house.start()
    house.run("lift", "one", "--reason", "now")
    eventually(lambda: mails(house) == 2, "the mails")
    assert "fenced" not in house.log
    assert stat.S_IMODE(instance(house).stat().st_mode) == 0o600


KILLS = """
import os, signal, sys
from datetime import UTC, datetime
from scheduler.store import fence, open_store

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

def run(folder, count):
    # The child kills itself at the line of fence.py with this number.
    pid = os.fork()
    if pid == 0:
        left = [count]
        def trace(frame, event, _):
            if frame.f_code.co_filename != fence.__file__:
                return None
            if event == "line":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace
        store = open_store(f"sqlite:///{folder}/embargo.db")
        sys.settrace(trace)
        fence.hold(store, now=NOW) if len(sys.argv) < 3 else fence.adopt(store, reason="r", now=NOW, actor="a")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

kills = 0
while (ended := run(sys.argv[1], kills + 1)) != 0:
    assert ended == -signal.SIGKILL, ended
    kills += 1
    store = open_store(f"sqlite:///{sys.argv[1]}/embargo.db")
    why = fence.examine(store).why
    if len(sys.argv) < 3:
        assert not why, (kills, why)
    elif not why:  # adopted, then: with its row, or not at all
        with store.read() as db:
            assert fence.trail.head(db) == 1, kills
        break
    store.close()
print(kills)
"""


def killed_everywhere(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(folder), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_kill_at_any_line_of_a_start_leaves_the_store_its_own(tmp_path):
    """Kill -9 at any line that gives a store its mark, the first or a later one, never fences it."""
    assert killed_everywhere(tmp_path) > 50
    assert killed_everywhere(tmp_path) > 50


def test_a_kill_at_any_line_of_an_adoption_adopts_with_its_row_or_not_at_all(tmp_path, office):
    """Kill -9 at any line of an adoption leaves the store fenced, or adopted with the decision on the trail."""
    store = open_store(f"sqlite:///{tmp_path}/embargo.db")
    fence.hold(store, now=office.clock())
    store.close()
    (tmp_path / "embargo.db.instance").unlink()
    assert killed_everywhere(tmp_path, "adopt") > 50


def why(office):
    return " ".join(fence.examine(office.store).why)


def test_a_disk_that_takes_no_mark_does_not_keep_a_store_from_its_own(office, tmp_path):
    """Where the mark can't be written the service says so and lifts; a store that is not its own stays fenced."""
    said = []
    fence.hold(office.store, now=office.clock())
    watched = Fence(office.store, clock=office.clock, site=tmp_path, alarm=lambda event, **_: said.append(event))
    blocked = tmp_path / "var" / "embargo.db.instance.tmp"
    blocked.mkdir()
    assert watched.closed
    assert watched.look()
    assert (watched.closed, said) == (False, ["fence_failed"])
    (tmp_path / "var" / "embargo.db.instance").unlink()
    office.record()
    assert not watched.tend(calm=False)
    assert not watched.closed
    assert not watched.tend(calm=True)
    assert (watched.closed, said[1:]) == (True, ["store_fenced"])
    blocked.rmdir()
    fence.adopt(office.store, reason="because", now=office.clock(), actor="editor@desk")
    assert watched.tend(calm=False)
    assert not watched.closed


def test_a_store_of_an_older_version_is_taken_as_it_is(office):
    """A new store, and one that an older version wrote, is this instance's own, and so it stays."""
    office.record()
    assert why(office) == ""
    assert fence.hold(office.store, now=office.clock()) == ((), None)
    assert why(office) == ""
    with pytest.raises(StoreRefused, match="nothing to adopt"):
        fence.adopt(office.store, reason="because", now=office.clock(), actor="editor@desk")


def test_a_database_without_its_file_or_with_one_it_does_not_fit_is_fenced(office, tmp_path):
    """A database that came alone, with a broken file, with that of another store, or older than its mark is fenced."""
    file = tmp_path / "var" / "embargo.db.instance"
    office.record()
    fence.hold(office.store, now=office.clock())
    kept = json.loads(file.read_text())
    file.unlink()
    assert "came here alone" in why(office)
    file.write_text("{}")
    assert "holds something else" in why(office)
    file.write_text(json.dumps(kept | {"store": "another"}))
    assert "belongs to another store" in why(office)
    file.write_text(json.dumps(kept))
    assert why(office) == ""
    office.raw("DELETE FROM meta WHERE key = 'instance'")  # a backup of before the first mark
    assert "of another time" in why(office)
    fence.adopt(office.store, reason="because", now=office.clock(), actor="editor@desk")
    assert why(office) == ""
    assert office.events()[-1] == "adopted"


def test_a_new_store_in_the_place_of_another_is_not_fenced(office, tmp_path):
    """Who deletes a database and begins anew in its place is not asked to adopt an empty store."""
    file = tmp_path / "var" / "embargo.db.instance"
    fence.hold(office.store, now=office.clock())
    file.write_text(json.dumps(json.loads(file.read_text()) | {"store": "another"}))
    office.raw("DELETE FROM meta WHERE key = 'instance'")
    assert fence.hold(office.store, now=office.clock()).why == ()
    assert why(office) == ""


def test_another_machine_fences_and_a_container_is_none(office, tmp_path, monkeypatch):
    """A disk in another machine is fenced; a container's machine id, which an image brings along, is no sign of one."""
    machine = tmp_path / "machine-id"
    machine.write_text("4e1b0cc96e914ab8a2e8d3f5a9c7b610\n")
    monkeypatch.setattr(fence, "_MACHINE_ID", machine)
    monkeypatch.setattr(fence, "_CONTAINER", (str(tmp_path / "no-container"),))
    fence.hold(office.store, now=office.clock())
    assert why(office) == ""
    assert "4e1b" not in (tmp_path / "var" / "embargo.db.instance").read_text()
    machine.write_text("a4a9a54b9fbb44f4a1e97a1f5b1e8d02\n")
    assert "another machine" in why(office)
    monkeypatch.setattr(fence, "_CONTAINER", (str(tmp_path),))
    assert why(office) == ""


def test_another_disk_tells_a_move_from_a_copy_by_nothing(office, tmp_path):
    """At another path on another disk nothing tells a move from a copy, so it is fenced; a disk's number alone is no sign."""
    file = tmp_path / "var" / "embargo.db.instance"
    fence.hold(office.store, now=office.clock())
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"device": 7}))
    assert why(office) == ""
    file.write_text(json.dumps(kept | {"device": 7, "path": "/elsewhere/embargo.db"}))
    assert "can't be told" in why(office)
    file.write_text(json.dumps(kept | {"inode": None}))
    assert why(office) == ""


def test_a_page_of_what_is_held_shows_that_the_store_was_set_back(office, tmp_path):
    """A folder set back in place, database and mark together, is fenced by a newer page of what is held in it."""
    office.record()
    site = tmp_path / "site"
    page = site / "releases" / "one.html"
    page.parent.mkdir(parents=True)
    page.write_text("out")
    at = office.clock().timestamp()
    os.utime(page, (at - 60, at - 60))
    fence.hold(office.store, now=office.clock())
    heed_site(office.store, folder=site)
    assert why(office) == ""
    os.utime(page, (at + 60, at + 60))
    heed_site(office.store, folder=site)
    assert why(office)
    assert repeats(office.store, folder=site, now=office.clock()).shown == ("one",)
    office.clock.pass_by(minutes=5)
    fence.adopt(office.store, reason="because", now=office.clock(), actor="editor@desk")
    heed_site(office.store, folder=site)
    assert why(office) == ""
