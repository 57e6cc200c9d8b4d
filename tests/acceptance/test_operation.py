"""The running service as its operator and the machine's service manager see it: edits, secrets, signs of life, systemd."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import socket
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import ahead, eventually, free_port, locked, words

from scheduler import config, shipped
from scheduler.daemon.sources import Sources
from scheduler.parts import build

LATER = words(ahead(30 * 86400))
TOMORROW = datetime.now(UTC).date() + timedelta(days=2)


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """What a service manager hears, datagram for datagram."""
    heard: queue.Queue[dict[str, str]] = queue.Queue()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    def listen():
        with contextlib.suppress(OSError):
            while data := listener.recv(4096):
                heard.put(dict(line.split("=", 1) for line in data.decode().split("\n")))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield heard
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"", str(tmp_path / "notify"))
    thread.join()
    listener.close()


def until(heard, key):
    """What was said up to the first that has this key, that one included."""
    said = []
    while not said or key not in said[-1]:
        said.append(heard.get(timeout=30))
    return said


def held(house, record_id):
    return next((row for row in house.json("queue")["records"] if row["id"] == record_id), {})


def edit(house, old, new):
    text = house.config.read_text()
    assert old in text
    house.config.write_text(text.replace(old, new))


def test_the_service_manager_hears_how_it_is(house, manager):
    """The service is ready when it holds, feeds the watchdog from the loop that lifts, says the next lift, and when it ends."""
    house.record("one", embargo=LATER)
    house.run("add", "records/one.md")
    house.start()
    before = until(manager, "READY")
    assert before[-1]["READY"] == "1"
    assert not [said for said in before if "STOPPING" in said]
    alive = until(manager, "WATCHDOG")[-1]
    assert alive["STATUS"] == f"Next lift {LATER[:10]} {LATER[11:19]} UTC."
    edit(house, "Test Press Office, url", "Renamed Office, url")
    house.service.send_signal(signal.SIGHUP)
    assert int(until(manager, "RELOADING")[-1]["MONOTONIC_USEC"]) > 0
    until(manager, "READY")
    eventually(lambda: "config_taken" in house.log, "the edit to be taken")
    house.stop()
    assert until(manager, "STOPPING")[-1]["STOPPING"] == "1"


def test_the_zone_of_a_source_is_edited(house):
    """A held record that names no zone lifts by its folder's; when that is edited its lift moves, which is said. Others stay."""
    house.record("local", embargo=f"{TOMORROW} 09:00")
    house.record("exact", embargo=f"{TOMORROW} 09:00 UTC")
    house.record("settled", embargo=f"{TOMORROW} 09:00")
    house.start()
    eventually(lambda: len(house.json("queue")["records"]) == 3, "all to be held")
    house.run("amend", "settled", f"{TOMORROW} 10:00 UTC", "--reason", "the minister's diary")
    nine = datetime.combine(TOMORROW, time(9))
    exact, settled = held(house, "exact")["lift_at"], held(house, "settled")["lift_at"]
    assert datetime.fromisoformat(held(house, "local")["lift_at"]) == nine.replace(tzinfo=ZoneInfo("America/New_York"))
    edit(house, "timezone: America/New_York", "timezone: Asia/Tokyo")
    eventually(lambda: "lift_moved_by_settings" in house.log, "the lift to move")
    assert datetime.fromisoformat(held(house, "local")["lift_at"]) == nine.replace(tzinfo=ZoneInfo("Asia/Tokyo"))
    assert held(house, "exact")["lift_at"] == exact
    assert held(house, "settled")["lift_at"] == settled
    assert house.log.count("lift_moved_by_settings") == 1
    assert "local" not in re.findall(r"lift_moved_by_settings.*", house.log)[0]  # ids in the log are random ones
    house.stop()
    edit(house, "timezone: Asia/Tokyo", "timezone: Europe/London")  # also while nothing runs
    house.start()
    eventually(lambda: house.log.count("lift_moved_by_settings") == 2, "the lift to move again")


def test_a_zone_that_is_edited_while_nothing_runs_holds_from_the_first_moment(house):
    """What is due at the start by a zone or a file that was edited meanwhile is not released before it is due by the new one."""
    edit(house, "timezone: America/New_York", "timezone: Asia/Tokyo")
    at = datetime.now(ZoneInfo("Asia/Tokyo")).replace(microsecond=0) + timedelta(seconds=10)
    house.record("local", embargo=f"{at:%Y-%m-%d %H:%M:%S}")
    house.record("edited", embargo=f"{at:%Y-%m-%d %H:%M:%S}")
    house.run("add", "records/local.md", "records/edited.md")
    assert [datetime.fromisoformat(row["lift_at"]) for row in house.json("queue")["records"]] == [at, at]
    house.record("edited", embargo=LATER)
    edit(house, "timezone: Asia/Tokyo", "timezone: America/New_York")
    eventually(lambda: datetime.now(UTC) > at, "the old instant to pass")
    house.start()
    new = at.replace(tzinfo=ZoneInfo("America/New_York"))
    assert datetime.fromisoformat(held(house, "local")["lift_at"]) == new
    assert datetime.fromisoformat(held(house, "edited")["lift_at"]) == datetime.fromisoformat(LATER)
    assert not house.site("releases/local.html")


def test_a_zone_that_is_edited_to_and_fro_leaves_nothing_between(house):
    """However often a zone is edited before all is followed, each record ends at the time that the last one means."""
    for number in range(12):
        house.record(f"r{number}", embargo=f"{TOMORROW} 09:00")
    house.start()
    eventually(lambda: len(house.json("queue")["records"]) == 12, "all to be held")
    for old, new in (("America/New_York", "Asia/Tokyo"), ("Asia/Tokyo", "Europe/London")):
        taken = house.log.count("config_taken")
        edit(house, f"timezone: {old}", f"timezone: {new}")
        eventually(lambda taken=taken: house.log.count("config_taken") > taken, "the edit")
    nine = datetime.combine(TOMORROW, time(9), ZoneInfo("Europe/London"))
    eventually(
        lambda: {datetime.fromisoformat(row["lift_at"]) for row in house.json("queue")["records"]} == {nine},
        "all to stand at London's nine",
    )


def test_a_database_that_another_holds_locked_does_not_make_the_service_look_dead(house, manager):
    """While another program holds the database's write lock the service goes on saying that it lives."""
    house.record("one", embargo=LATER)
    house.start()
    eventually(lambda: held(house, "one"), "the record to be held")
    with locked(house.url):
        while not manager.empty():
            manager.get()
        for _ in range(4):
            until(manager, "WATCHDOG")


def test_an_edit_of_a_secret_is_taken_up_and_what_it_lacked_may_come_later(house):
    """A new password is taken up though the settings are as before; an edit that lacks its secret is taken when that is there."""
    house.start()
    edit(house, "transport:", "password_file: secret\n  transport:")
    eventually(lambda: "config_refused" in house.log, "the report")
    status = house.json("status")
    assert "secret" in json.dumps(status)
    (house.folder / "secret").write_text("first\n")
    (house.folder / "secret").chmod(0o600)
    eventually(lambda: house.log.count("config_taken") == 1, "the edit, now that it has what it lacked")
    assert house.log.count("config_refused") == 1
    (house.folder / "secret").write_text("second\n")
    eventually(lambda: house.log.count("config_taken") == 2, "the new secret")
    assert "first" not in house.log
    assert "second" not in house.log


def test_a_worker_that_starts_anew_uses_the_templates_that_were_taken(house):
    """While an edit of a template is refused, a mail worker that was killed comes back and sends with the one before."""
    own = house.folder / "own"
    own.mkdir()
    (own / "mail.txt").write_text((shipped("templates") / "mail.txt").read_text() + "\nThe desk is at home.\n")
    house.config.write_text(house.config.read_text() + "templates: own/\n")
    house.start()
    (own / "mail.txt").write_text("{% if %}")
    eventually(lambda: "config_refused" in house.log, "the report")
    [worker] = re.findall(r"child_started child=worker pid=(\d+)", house.log)
    eventually(lambda: "worker_ready" in house.log, "the worker")
    os.kill(int(worker), signal.SIGKILL)
    eventually(lambda: house.log.count("worker_ready") == 2, "another worker")
    house.record("one", embargo="none")
    mails = eventually(lambda: list((house.folder / "var" / "mail" / "new").glob("*")), "the mail")
    assert "The desk is at home." in mails[0].read_text()


def test_an_edit_reads_only_those_files_anew_that_it_concerns(office):
    """Where neither zone, lists nor templates of a folder change, none of its files is read and told of again."""
    sources = Sources(
        parts=office.parts, store=office.store, clock=office.clock, changed=lambda: None, trouble=lambda _: None
    )
    text = office.parts.config.text.decode()

    def folder(old, new):
        parts = build(config.parse(text.replace(old, new).encode(), path=office.parts.config.file))
        return sources.renewed(parts)._folders[0]

    assert folder("items: 50", "items: 60") is sources._folders[0]
    for old, new in (("New_York", "Chicago"), ("name: Wire", "name: Wires"), ("language: en", "language: fr")):
        assert folder(old, new) is not sources._folders[0]


def ask(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def test_a_monitor_sees_the_service_hold_lift_and_hang(house):
    """The monitor's port says that the service is ready, counts its lifts, and stops saying so when the service hangs."""
    port = free_port()
    house.config.write_text(house.config.read_text() + f'monitor: {{listen: "127.0.0.1:{port}"}}\n')
    house.record("later", embargo=LATER)
    house.record("now", embargo="none")
    house.start()
    eventually(lambda: ask(port, "readyz")[0] == 200, "the service to be ready")
    for line in ("embargo_lateness_seconds_count 1.0", "embargo_held 1.0"):
        eventually(lambda line=line: line in ask(port, "metrics")[1].splitlines(), line)
    house.service.send_signal(signal.SIGSTOP)
    try:
        code, said = eventually(
            lambda: answer if (answer := ask(port, "healthz"))[0] == 503 else None, "the monitor to notice"
        )
        assert "heartbeat is not fresh" in said
        assert code == 503
    finally:
        house.service.send_signal(signal.SIGCONT)
    eventually(lambda: ask(port, "healthz")[0] == 200, "the service to be well again")
    pid = re.findall(r"child_started child=monitor pid=(\d+)", house.log)[-1]
    house.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the monitor to end with its service")


def test_backups_are_made_by_themselves(house):
    """With `backup:` in the settings the service makes its backups without being told, and they are sound."""
    house.config.write_text(house.config.read_text() + "backup: {folder: backups/, every: 1d, keep: 2}\n")
    house.record("one", embargo=LATER)
    house.start()
    eventually(lambda: "backup_made" in house.log, "a backup")
    [made] = (house.folder / "backups").glob("*.db")
    assert made.stat().st_mode & 0o777 == 0o600


def test_the_log_can_be_json(house):
    """With `log: {format: json}` every line of the service and its processes is one JSON object with the event."""
    house.config.write_text(house.config.read_text() + "log: {format: json}\n")
    house.record("one", embargo="none")
    house.start()
    eventually(lambda: '"released"' in house.log and '"worker_ready"' in house.log, "the release, and the worker")
    house.stop()
    lines = [line for line in house.log.splitlines() if not line.startswith("{")]
    assert lines == []
    events = [json.loads(line)["event"] for line in house.log.splitlines()]
    assert {"service_starting", "service_ready", "worker_ready", "released", "service_stopped"} <= set(events)
