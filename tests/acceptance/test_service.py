"""The installed service as its users see it: real processes, a real clock, files, HTTP and mail."""

from __future__ import annotations

import contextlib
import http.client
import json
import mailbox
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from email import policy

import feedparser
from conftest import ahead, eventually, words

CANARY = "Quokkafeather"
LATER = words(ahead(30 * 86400))


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def answers(port):
    with contextlib.suppress(OSError):
        return get(port, "/rss.xml")[0] == 200
    return False


class Watcher(threading.Thread):
    """A subscriber in a hurry: asks for the feed without a pause and notes what it saw, and when, by the true clock."""

    def __init__(self, port, needle, wanted):
        super().__init__(daemon=True)
        self.port, self.needle, self.wanted = port, needle, wanted
        self.polls, self.first_seen, self.first_count, self.all_seen = 0, None, 0, None
        self.stopped = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while self.all_seen is None and not self.stopped.is_set():
            connection.request("GET", "/rss.xml")
            body = connection.getresponse().read()
            now = datetime.now(UTC)
            self.polls += 1
            count = body.count(self.needle)
            if count and self.first_seen is None:
                self.first_seen, self.first_count = now, count
            if count >= self.wanted:
                self.all_seen = now
        connection.close()


def watch(house, needle, wanted=1):
    watcher = Watcher(house.port, needle.encode(), wanted)
    watcher.start()
    return watcher


def seen(watcher):
    eventually(lambda: watcher.all_seen, "the feed to carry it")
    watcher.join()
    return watcher


def trail(house):
    return [json.loads(row["detail"]) | row for row in house.json("trail")]


def rows(house, query):
    return house.raw(query)


def state(house, record_id):
    found = rows(house, f"SELECT state FROM records WHERE id = '{record_id}'")
    return found[0][0] if found else None


def mails(house):
    folder = house.folder / "var" / "mail"
    if not (folder / "new").is_dir():
        return []
    return list(
        mailbox.Maildir(
            folder, factory=lambda file: __import__("email").message_from_binary_file(file, policy=policy.default)
        )
    )


def test_a_record_dropped_into_the_folder_lifts_on_the_instant(house):
    """A record dropped into the folder seconds before its lift is in the feed, on its page and in the mail, never early."""
    house.start()
    eventually(lambda: answers(house.port), "the web server")
    lift_at = ahead(3)
    house.record("rates", embargo=words(lift_at), title=f"{CANARY} rates unchanged")
    watcher = watch(house, CANARY)
    assert get(house.port, "/releases/rates.html")[0] == 404
    seen(watcher)
    assert watcher.first_seen >= lift_at
    assert watcher.polls > 100
    status, _, page = get(house.port, "/releases/rates.html")
    assert status == 200
    assert CANARY.encode() in page
    eventually(lambda: len(mails(house)) == 2, "both mails")
    assert {mail["To"] for mail in mails(house)} == {"desk@example.org", "Zoë <zoe@example.net>"}
    assert all(
        datetime.strptime(mail["Date"], "%a, %d %b %Y %H:%M:%S %z") <= datetime.now(UTC) for mail in mails(house)
    )
    # The other feeds are written after RSS, JSON Feed the last of them.
    eventually(lambda: CANARY.encode() in house.site("feed.json"), "the other feeds")
    [released] = [row for row in trail(house) if row["event"] == "released"]
    assert datetime.fromisoformat(released["at"]) >= lift_at
    for name in ("rss.xml", "atom.xml"):
        feed = feedparser.parse(house.site(name))
        assert not feed.bozo
        assert [entry.title for entry in feed.entries] == [f"{CANARY} rates unchanged"]
    assert json.loads(house.site("feed.json"))["items"][0]["title"] == f"{CANARY} rates unchanged"


def test_many_records_lift_together_and_the_feed_carries_every_one(house):
    """Three hundred records that lift together are all in the feed, though `items` is fifty, and none of them before."""
    house.start()
    eventually(lambda: answers(house.port), "the web server")
    for number in range(300):
        house.record(f"n{number}", embargo=LATER, title=f"{CANARY}{number}.")
    eventually(lambda: rows(house, "SELECT count(*) FROM records")[0][0] == 300, "all to be accepted", patience=90)
    lift_at = ahead(4)
    house.raw("UPDATE records SET lift_at = ?", parameters=(round(lift_at.timestamp() * 1e6),))
    watcher = seen(watch(house, f"<title>{CANARY}", 300))
    assert watcher.first_seen >= lift_at
    assert watcher.first_count == 300  # nobody sees half of them
    assert len(list((house.folder / "public" / "releases").glob("*.html"))) == 300


def test_kill_nine_around_the_lifts_loses_nothing_and_repeats_nothing(house):
    """Twenty kills with signal 9 around twenty lifts: each record is released once, never early, and mailed once."""
    chance = random.Random(20261124)
    lifts = {}
    for number in range(20):
        lifts[f"k{number}"] = ahead(6 + 0.35 * number)
        house.record(f"k{number}", embargo=words(lifts[f"k{number}"]), title=f"{CANARY} {number}")
    house.start()
    eventually(lambda: rows(house, "SELECT count(*) FROM records")[0][0] == 20, "all to be accepted")
    kills = 0
    for lift_at in lifts.values():
        wait = lift_at.timestamp() - time.time() + chance.uniform(-0.05, 0.05)
        if wait > 0:
            time.sleep(wait)  # the kill has to fall around the lift
        house.kill()
        kills += 1
        house.start()
    assert kills == 20
    eventually(lambda: rows(house, "SELECT count(*) FROM records WHERE state = 'released'")[0][0] == 20, "all lifts")
    released = [row for row in trail(house) if row["event"] == "released"]
    assert Counter(row["record"] for row in released) == dict.fromkeys(lifts, 1)
    assert all(datetime.fromisoformat(row["at"]) >= lifts[row["record"]] for row in released)
    eventually(lambda: house.site("rss.xml").count(b"<item>") == 20, "the feed to carry all")
    settled = "SELECT count(*) FROM deliveries WHERE state IN ('sent', 'uncertain')"
    eventually(lambda: rows(house, settled)[0][0] == 40, "all mails", patience=90)
    names = Counter(mail["Message-ID"] for mail in mails(house))
    assert set(names.values()) == {1}
    assert house.run("trail", "verify").returncode == 0


def test_a_held_record_shows_nowhere(house):
    """No word of a held record, nor its id, is in the site folder, an answer or header, a log, or a process's arguments."""
    house.start()
    eventually(lambda: answers(house.port), "the web server")
    before = {path.name: path.read_bytes() for path in (house.folder / "public").rglob("*") if path.is_file()}
    house.write(
        f"{CANARY.lower()}-id.md",
        f"---\ntitle: {CANARY} title\nembargo: {LATER}\nsummary: {CANARY} summary\n"
        f"topics: [{CANARY}topic]\nwithhold: [Nobody Atall]\n---\nThe {CANARY} body.\n",
    )
    eventually(lambda: state(house, f"{CANARY.lower()}-id") == "held", "it to be held")
    secret = re.compile(CANARY, re.IGNORECASE)
    for path in (f"/releases/{CANARY.lower()}-id.html", "/", "/rss.xml", "/atom.xml", "/feed.json", "/none"):
        status, headers, body = get(house.port, path)
        assert not secret.search(f"{headers}{body.decode()}") or path.startswith("/releases")
        if path.startswith("/releases"):
            unknown = get(house.port, "/releases/no-such-record.html")
            assert (status, headers | {"Date": ""}, body) == (unknown[0], unknown[1] | {"Date": ""}, unknown[2])
    after = {path.name: path.read_bytes() for path in (house.folder / "public").rglob("*") if path.is_file()}
    assert after == before
    assert not secret.search(house.log)
    assert not secret.search(subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout)
    house.stop()
    assert not secret.search(house.log)


def test_a_record_in_attention_is_released_by_confirming_it(house):
    """A transcript with no year and no zone waits for a person, and `confirm` releases it, the running service at once."""
    house.start()
    house.write("call.txt", _transcript())
    eventually(lambda: state(house, "call") == "attention", "it to be in attention")
    [row] = house.json("queue")["records"]
    assert row["candidates"][0]["at"] == "2026-03-03T14:00:00+00:00"
    assert house.run("confirm", "call", "--reason", "checked").returncode == 0
    eventually(lambda: b"releases/call.html" in house.site("rss.xml"), "the feed")


def _transcript():
    from scheduler import shipped

    return (shipped("examples") / "background-call.txt").read_text("utf-8")


def test_a_command_takes_effect_in_the_running_service(house):
    """Lift, correct, retract and withdraw by command show on the site of the running service."""
    house.start()
    first = house.record("first", embargo="on delivery", title="Before", body="The old text.")
    house.record("second", embargo=LATER, title="Never")
    eventually(lambda: state(house, "second") == "held" and state(house, "first") == "held", "both to be held")
    assert house.run("lift", "first", "--reason", "delivered").returncode == 0
    eventually(lambda: b"The old text." in house.site("rss.xml"), "the release")
    # A mail that has not gone by then carries the correction, or is called off by the retraction.
    eventually(lambda: len(mails(house)) == 2, "the release in two mails")
    first.write_text("---\ntitle: After\nembargo: on delivery\ncorrection: A figure was wrong.\n---\nThe new text.\n")
    eventually(lambda: b"The new text." in house.site("releases/first.html"), "the correction")
    assert b"A figure was wrong." in house.site("releases/first.html")
    eventually(lambda: len(mails(house)) == 4, "the correction in two mails")
    assert house.run("retract", "first", "--reason", "Not ours to say.").returncode == 0
    # Feeds are written after the pages.
    eventually(lambda: b"Not ours to say." in house.site("rss.xml"), "the retraction")
    assert b"Not ours to say." in house.site("releases/first.html")
    assert b"The new text." not in house.site("releases/first.html") + house.site("rss.xml")
    assert house.run("withdraw", "second", "--reason", "not needed").returncode == 0
    assert state(house, "second") == "withdrawn"
    eventually(lambda: len(mails(house)) == 6, "release, correction and retraction to two people")


def test_a_second_service_on_the_same_database_says_so_and_exits(house):
    """A second service on the same database says so and exits."""
    house.start()
    second = house.run("run")
    assert second.returncode == 1
    assert "Another service" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_edit_of_the_settings_is_taken_up_and_a_bad_one_is_reported(house):
    """A running service takes an edit of its settings up; a bad edit changes nothing and is reported with its line."""
    house.start()
    good = house.config.read_text()
    house.config.write_text(good.replace("Test Press Office, url", "Renamed Office, url"))
    eventually(lambda: b"Renamed Office" in house.site("rss.xml"), "the new name in the feed")
    house.config.write_text(good.replace("items: 50", "itmes: 50"))
    eventually(lambda: "config_refused" in house.log, "the report")
    assert "config.yaml:5: Unknown key `itmes`. Did you mean `items`?" in house.log
    assert b"Renamed Office" in house.site("rss.xml")
    lift_at = ahead(3)
    house.record("still", embargo=words(lift_at), title="Still running")
    eventually(lambda: b"Still running" in house.site("rss.xml"), "the old settings to run on")
    worker = re.findall(r"child_started child=worker pid=(\d+)", house.log)[-1]
    os.kill(int(worker), signal.SIGKILL)
    house.record("mailed", embargo="none", title="Mailed by a new worker")
    eventually(lambda: "Mailed by a new worker" in {mail["Subject"] for mail in mails(house)}, "the mail")


def test_an_edit_of_a_template_is_taken_up_and_a_broken_one_is_reported(house):
    """A running service takes an edit of a template up; a broken one changes nothing and is reported with file and line."""
    templates = house.folder / "own"
    templates.mkdir()
    headline = templates / "headline.txt"
    headline.write_text("First: {{ release.title }}")
    house.config.write_text(house.config.read_text() + "templates: own/\n")
    house.record("one", embargo="none", title="A title")
    house.start()
    eventually(lambda: b"First: A title" in house.site("rss.xml"), "the template")
    headline.write_text("Second: {{ release.title }}")
    eventually(lambda: b"Second: A title" in house.site("rss.xml"), "the edit")
    headline.write_text("Third:\n{{ release.titel }}")
    eventually(lambda: "config_refused" in house.log, "the report")
    assert "headline.txt:2: UndefinedError" in house.log
    house.record("two", embargo="none", title="Another title")
    eventually(lambda: b"Second: Another title" in house.site("rss.xml"), "the old template to run on")
    headline.write_text("Third: {{ release.title }}")
    eventually(lambda: b"Third: A title" in house.site("rss.xml"), "the mended template")


def test_a_file_whose_name_is_no_text_keeps_no_other_from_being_taken_in(house):
    """A record file whose name is not UTF-8 is refused with what to do, and every other file is taken in all the same."""
    odd = house.folder / "records" / os.fsdecode(b"caf\xe9.md")
    house.start()
    odd.write_text("---\ntitle: A title\nembargo: on delivery\nid: odd\n---\nA body.\n")
    eventually(lambda: house.json("queue")["refused"], "the refusal")
    [refused] = house.json("queue")["refused"]
    assert refused["origin"].endswith("records/caf\\udce9.md")
    assert (refused["problem"], refused["remedy"]) == ("Its name is not UTF-8.", "Rename the file.")
    house.record("good", embargo="on delivery")
    eventually(lambda: house.state("good") == "held", "the other file to be taken in")
    assert "Traceback" not in house.run("check").stderr
    odd.rename(odd.with_name("renamed.md"))
    eventually(lambda: house.state("odd") == "held", "the renamed file to be taken in")


def test_children_are_restarted_and_stop_with_the_service(house):
    """The web server and the worker are started again when they die, and go when the service stops or is killed."""
    house.start()
    eventually(lambda: answers(house.port), "the web server")
    pids = {name: int(pid) for name, pid in re.findall(r"child_started child=(\w+) pid=(\d+)", house.log)}
    assert set(pids) == {"web", "worker"}
    os.kill(pids["web"], signal.SIGKILL)
    eventually(lambda: house.log.count("child_started child=web") == 2, "a new web server")
    eventually(lambda: answers(house.port), "the new web server to answer")
    house.stop()
    assert "service_stopped" in house.log
    with socket.create_server(("127.0.0.1", house.port)):
        pass
    house.start()
    eventually(lambda: answers(house.port), "the web server")
    house.kill()
    eventually(lambda: not answers(house.port), "the orphans to go")


def test_what_fell_due_while_the_service_was_down_is_released_at_start_and_said(house):
    """What fell due while the service was down is released when it starts, and how late is said aloud."""
    house.start()
    lift_at = ahead(4)
    house.record("late", embargo=words(lift_at), title="Overdue")
    eventually(lambda: state(house, "late") == "held", "it to be held")
    house.kill()
    eventually(lambda: datetime.now(UTC) >= lift_at, "the lift to pass")
    assert house.site("rss.xml").count(b"<item>") == 0
    time.sleep(max(0.0, lift_at.timestamp() + 1.1 - time.time()))  # later than what counts as punctual
    house.start()
    eventually(lambda: b"Overdue" in house.site("rss.xml"), "the release")
    assert "overdue_released" in house.log


def test_the_overdue_policy_hold_asks_a_person(house):
    """With `overdue: hold`, what fell due while the service was down waits for a person."""
    house.config.write_text(house.config.read_text() + "embargo: {overdue: hold}\n")
    lift_at = ahead(8)
    assert house.run("add", str(house.record("late", embargo=words(lift_at)))).returncode == 0
    assert state(house, "late") == "held"
    eventually(lambda: datetime.now(UTC) >= lift_at, "the lift to pass")
    house.start()
    [row] = house.json("queue")["records"]
    assert row["state"] == "attention"
    assert "while the service was down" in row["reason"]
    assert house.run("confirm", "late").returncode == 0
    eventually(lambda: b"releases/late.html" in house.site("rss.xml"), "the release")


def test_a_held_file_that_becomes_too_large_holds_the_record(house):
    """A held record whose file is replaced by one that can't be taken goes to attention; its old text is not released."""
    house.start()
    held = house.record("figures", embargo=LATER, title="Old figures")
    eventually(lambda: state(house, "figures") == "held", "it to be held")
    held.write_text("x" * 5_100_000)
    eventually(lambda: state(house, "figures") == "attention", "the refusal to hold it")


def test_folders_that_are_deleted_while_it_runs(house):
    """A site folder that is deleted is written anew, and a records folder that is deleted and made again is watched again."""
    house.start()
    house.record("one", embargo="none", title="One")
    eventually(lambda: house.site("releases/one.html"), "the page")
    (house.folder / "public").rename(house.folder / "public.old")
    eventually(
        lambda: house.site("releases/one.html") and house.site("style.css") and house.site("rss.xml"), "the site"
    )
    (house.folder / "records").rename(house.folder / "records.old")
    (house.folder / "records").mkdir()
    house.record("two", embargo="none", title="Two")
    eventually(lambda: house.site("releases/two.html"), "the page of a record in the new folder")


def test_settings_edited_twice_in_a_row_leave_each_page_its_own_text(house):
    """Settings that are edited again while the site is still being written leave every page with its own text."""
    for number in range(120):
        house.record(f"p{number}", embargo="none", title=f"Title {number}.")
    house.start()
    eventually(
        lambda: rows(house, "SELECT count(*) FROM records WHERE state = 'released'")[0][0] == 120, "all", patience=60
    )
    good = house.config.read_text()
    for name in ("First Office", "Second Office"):
        house.config.write_text(good.replace("Test Press Office, url", f"{name}, url"))
        eventually(lambda name=name: name.encode() in house.site("rss.xml"), "the new name in the feed")
    eventually(
        lambda: all(b"Second Office" in house.site(f"releases/p{number}.html") for number in range(120)), "all pages"
    )
    assert all(f"<h1>Title {number}.</h1>".encode() in house.site(f"releases/p{number}.html") for number in range(120))
    assert "site_refused" not in house.log


def test_the_demo_tells_the_whole_story(tmp_path):
    """`embargo demo` shows check, queue, lift, feed, mail and trail, and says where to look."""
    told = subprocess.run(
        [sys.executable, "-m", "scheduler", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "Traceback" not in told.stderr
    for word in (
        "held",
        "attention",
        "refused",
        "Before the lift the feed has 0 entries",
        "Released",
        "Message-ID",
        "Sound",
    ):
        assert word in told.stdout
    assert list(tmp_path.iterdir()) == []
