"""The commands about mail, as a person types them."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_cli import in_process, said, typed

from scheduler.record import Purpose
from scheduler.record.reach import Report
from scheduler.store import ledger, open_store, subscribers
from scheduler.store import reports as kept
from scheduler.store.ledger import progress

PEOPLE = 'email;name\nann@example.org;"Lee, Ann"\n=cmd@example.org;=1+1\nzoe@example.net;Zoë\n'


@pytest.fixture
def store(house):
    opened = open_store(house.url)
    yield opened
    opened.close()


@pytest.fixture
def here(house, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    return in_process(house, monkeypatch, capsys)


def test_lists_in_and_out(house, store):
    """A CSV is imported all or nothing, exported with how everybody stands and without formulas, and read again as it was."""
    (house.folder / "l.csv").write_text(PEOPLE + "nobody\n")
    assert "l.csv:5: The address is not of the form" in said(house, 1, "mail", "import", "press", "l.csv", "-r", "Fair")
    assert not list(subscribers.members(store))
    (house.folder / "l.csv").write_text(PEOPLE)
    assert "3 added to press; 0 of 3" in said(house, 0, "mail", "import", "press", "l.csv", "-r", "Fair")
    assert "Did you mean 'press'?" in said(house, 1, "mail", "import", "pres", "l.csv", "-r", "Fair")
    said(house, 0, "mail", "remove", "press", "zoe@example.net", "-r", "She said so")
    again = said(house, 1, "mail", "remove", "press", "zoe@example.net", "-r", "She said so")
    assert "List 'press': his place there is `left` already; nothing was changed." in again

    assert "Written: out.csv" in said(house, 0, "mail", "export", "press", "out.csv")
    out = house.folder / "out.csv"
    assert (out.stat().st_mode & 0o777, out.read_bytes()[:3]) == (0o600, b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"))))
    assert [(row["email"], row["name"], row["state"], row["reason"]) for row in rows] == [
        ("'=cmd@example.org", "'=1+1", "active", "Fair"),
        ("ann@example.org", "Lee, Ann", "active", "Fair"),
        ("zoe@example.net", "Zoë", "left", "She said so"),
    ]
    assert "2 added to wire" in said(house, 0, "mail", "import", "wire", "out.csv", "-r", "Those too")
    wire = [each.recipient for each in subscribers.members(store, list_id="wire")]
    assert wire == ["=1+1 <=cmd@example.org>", "Lee, Ann <ann@example.org>"]
    [press, _] = house.json("mail", "lists")
    assert press["subscribers"] == {"active": 2, "left": 1, "bounced": 0, "complained": 0, "asked": 0}
    trail = house.json("trail")
    assert [row["event"] for row in trail] == ["subscribers_added", "subscriber_removed", "subscribers_added"]
    assert {row["actor"] for row in trail} == {"editor@desk"}


def test_a_list_can_be_taken_in_before_the_service_has_run(house):
    """The first thing a new installation does may be to import its list."""
    (house.folder / "l.csv").write_text(PEOPLE)
    assert "3 added to press" in said(house, 0, "mail", "import", "press", "l.csv", "-r", "From the old system")


def test_the_file_of_a_list_is_checked(house):
    """`embargo check` reads the files of lists, and says where one is wrong."""
    house.config.write_text(house.config.read_text().replace("{name: Wire,", "{name: Wire, file: wire.csv,"))
    assert "wire.csv" in said(house, 1, "check")
    (house.folder / "wire.csv").write_text("email\nann@example.org\nnobody\n")
    [wrong] = house.json("check")["lists"]
    assert (wrong["line"], wrong["file"].endswith("wire.csv")) == (3, True)
    (house.folder / "wire.csv").write_text("email\nann@example.org\n")
    said(house, 0, "check")


def test_one_person(house, store):
    """A person is added at his word, shown all that is stored about him, and erased; what still names him is pointed out."""
    subscribers.read_office(store, list_id="press", recipients=["desk@example.org"], now=datetime.now(UTC))
    assert "On the list wire: Desk <desk@example.org>." in said(
        house, 0, "mail", "add", "wire", "Desk <desk@example.org>", "-r", "On the phone"
    )
    found = json.loads(house.run("mail", "export", "--address", "desk@example.org").stdout)
    assert [(each["list"], each["origin"]) for each in found["subscriptions"]] == [
        ("press", "office"),
        ("wire", "command"),
    ]
    said(house, 2, "mail", "export")
    text = said(house, 0, "mail", "forget", "DESK@example.org", "-r", "He asked for it")
    assert "Erased: 2 rows about that address." in text
    assert "It still stands in" in text
    assert "config.yaml (mail: lists: press: recipients): take it out there" in text
    assert "was erased" in said(house, 1, "mail", "add", "press", "desk@example.org", "-r", "Again")
    said(house, 0, "mail", "add", "press", "desk@example.org", "-r", "Again", "--anew")
    assert subscribers.counts(store)["press"]["active"] == 1


@pytest.mark.sqlite_only("the file is taken away")
def test_a_pipe_for_bounces(house, store, tmp_path):
    """`embargo mail bounce` takes any message, so that the mail system bounces no bounce, and says 75 to bring it again."""
    assert "about nobody of ours" in said(house, 0, "mail", "bounce", stdin="Subject: Hello\n\nWords.\n")
    store.close()
    (tmp_path / "var" / "embargo.db").unlink()
    assert "no database" in said(house, 75, "mail", "bounce", stdin="Subject: Hello\n\nWords.\n")


@pytest.mark.sqlite_only("the file is taken away")
def test_a_message_that_cannot_be_read(house, here, store):
    """A file that is not there is told by its name with status 1, as is what is wrong with the settings; what may pass is 75."""
    status, text = here("mail", "bounce", "/nonexist")
    assert status == 1
    assert text == (
        "embargo: The message /nonexist can't be read: No such file or directory. "
        "Name the file it is in, or pass it on standard input.\n"
    )
    (house.folder / "message").write_text("Subject: Hello\n\nWords.\n")
    good = house.config.read_text()
    house.config.write_text(good.replace("database:", "databse:"))
    assert here("mail", "bounce", "message")[0] == 1
    assert "Unknown key" in said(house, 75, "mail", "bounce", stdin="Subject: Hello\n\nWords.\n")
    house.config.write_text(good)
    store.close()
    (house.folder / "var/embargo.db").unlink()
    assert here("mail", "bounce", "message")[0] == 75


FORGED = (Path(__file__).parents[1] / "reports/forged-address-only.eml").read_text()


def test_reports_about_nobody_are_counted(here, house, store):
    """`embargo mail` counts the reports that name no mail of ours: many of them mean that tokens get lost on the way."""
    assert here("mail") == (0, "No mail has been owed yet.\n")
    (house.folder / "forged").write_text(FORGED)
    assert "about nobody of ours" in here("mail", "bounce", "forged")[1]
    assert "Reports of the last 30 days that name no mail of ours: hard 1.\n" in here("mail")[1]
    assert json.loads(here("mail", "--json")[1])["unattributed"] == {"hard": 1}
    with store.write() as db:
        db.exec_driver_sql("UPDATE reports SET at = at - 31 * 86400 * 1000000")
    assert json.loads(here("mail", "--json")[1])["unattributed"] == {}


def test_a_report_about_somebody_erased_is_still_about_a_mail_of_ours(office):
    """Erasing a reader does not make his bounces a stranger's."""
    released(office, "desk@example.org")
    [desk] = subscribers.members(office.store)
    told = {"status": "5.1.1", "detail": None, "now": office.clock()}
    whose = kept.whose(office.store, tokens=[desk.token], message_ids=[], now=office.clock())
    mail = replace(whose, delivery_id=1)
    assert kept.keep(office.store, digest="his", kind=Report.HARD, whose=mail, **told)
    subscribers.forget(office.store, address=desk.address, reason="asked", now=office.clock(), actor="editor")
    assert kept.unattributed(office.store, since=office.clock()) == {}


LONG = "the-first-quarterly-report-on-the-high-level-economic-dialogue"
WORDY = "Correspondents abroad, agencies and everybody else who writes about trade"


@pytest.fixture
def troubled(house, here, store):
    """A record with a long id has gone to a list with a long name; one mail of it failed, one is uncertain and says nothing."""
    house.config.write_text(house.config.read_text().replace("Press list", f'"{WORDY}"'))
    here("add", str(house.record(LONG, embargo="none")))
    here("lift", LONG, "-r", "Now")
    here("worker", "--once")
    with store.write() as db:
        db.exec_driver_sql(
            "UPDATE deliveries SET state = CASE id WHEN 1 THEN 'failed' ELSE 'uncertain' END, attempts = 1,"
            " problem = CASE id WHEN 1 THEN '550 5.7.1 no' END"
        )


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize(
    ("command", "key", "number"),
    [
        (["mail"], f"{LONG} (1)", "uncertain 1"),
        (["mail", "lists"], WORDY, "complained 0"),
        (["mail", "ledger", LONG], f"{LONG} (1)", "uncertain 1"),
    ],
)
def test_no_word_is_broken_on_a_narrow_terminal(house, here, command, key, number):
    """On 80 columns every id, address, name and number stands in one piece; in a pipe each row is one line, as long as it is."""
    status, wide = here(*command)
    heading, row, *_ = wide.splitlines()
    assert (status, key in row, len(row) > 80, number.split()[0] in heading) == (0, True, True, True)
    status, narrow = typed(house, *command)
    lines = [line.rstrip() for line in narrow.splitlines()]
    assert (status, [line for line in lines if len(line) > 80]) == (0, [])
    assert (key in " ".join(narrow.split()), any(number in line for line in lines)) == (True, True)
    assert set(narrow.split()) - set(wide.split()) <= {"·"}


@pytest.mark.usefixtures("troubled")
def test_what_the_ledger_says_of_mails_in_trouble(here):
    """Below a mail in trouble stands what was said of it, and nothing where nothing was."""
    lines = [line.strip() for line in here("mail", "ledger", LONG)[1].splitlines()[2:]]
    assert sorted(lines) == [
        "550 5.7.1 no",
        "To decide about uncertain mails: embargo mail resolve ID --resend, or --sent.",
        f"failed  desk@example.org ({LONG}, try 1)",
        f"uncertain  Zoë <zoe@example.net> ({LONG}, try 1)",
    ]
    assert lines.index("550 5.7.1 no") == 1 + next(n for n, line in enumerate(lines) if line.startswith("failed"))


def test_a_mailing_that_fits_stays_a_table(house, here):
    """Where a table is not too wide for the terminal it is one, and numbers stand below each other."""
    here("add", str(house.record("one", embargo="none")))
    here("lift", "one", "-r", "Now")
    here("worker", "--once")
    heading, row = (line.rstrip() for line in typed(house, "mail", "ledger")[1].splitlines())
    assert heading.split() == [
        "record",
        "purpose",
        "list",
        "audience",
        "sent",
        "failed",
        "suppressed",
        "uncertain",
        "pending",
    ]
    assert (len(heading), heading.index("sent") + 3) == (len(row), row.index("2", row.index("2") + 1))


def released(office, *people):
    subscribers.read_office(office.store, list_id="press", recipients=people, now=office.clock())
    office.record("one", embargo="none")
    office.lift()
    for mailing in ledger.to_freeze(office.store):
        while ledger.freeze(office.store, mailing, now=office.clock()) is not None:
            pass


def test_how_far_a_mailing_is(office):
    """Progress adds up to the audience, has the rate of the last minute, the time left, and the domains that make trouble."""
    released(
        office, *(f"reader{number}@example.org" for number in range(90)), *(f"r{n}@slow.example" for n in range(10))
    )
    at = office.clock()
    micros = int(at.timestamp()) * 10**6
    office.raw(f"UPDATE deliveries SET state = 'sent', settled_at = {micros - 120 * 10**6} WHERE id <= 30")
    office.raw(f"UPDATE deliveries SET state = 'sent', settled_at = {micros - 20 * 10**6} WHERE id BETWEEN 31 AND 60")
    office.raw(
        f"UPDATE deliveries SET state = 'failed', settled_at = {micros}, message_id = id WHERE id BETWEEN 61 AND 64"
    )
    office.raw(f"UPDATE deliveries SET due_at = {micros + 1}, attempts = 1, problem = '451' WHERE id BETWEEN 65 AND 66")
    office.raw(f"UPDATE mailings SET owed_at = {micros - 300 * 10**6}")
    [found] = progress(office.store, now=at)
    assert (found.record_id, found.purpose, found.list, found.frozen) == ("one", Purpose.RELEASE, "press", True)
    assert (found.audience, found.sent, found.failed, found.suppressed, found.uncertain) == (100, 60, 4, 0, 0)
    assert (found.pending, found.rate, found.left_for) == (36, 0.5, timedelta(seconds=72))
    addresses = [
        row[0].rpartition("@")[2] for row in office.raw("SELECT address FROM deliveries WHERE id BETWEEN 61 AND 66")
    ]
    assert dict(found.errors) == {domain: addresses.count(domain) for domain in set(addresses)}


FOLLOW = [sys.executable, "-m", "scheduler", "mail", "--follow"]


def test_following_a_mailing(house):
    """On a terminal the progress is drawn anew until everything has ended; into a pipe goes a line a change."""
    assert "No mail has been owed yet." in said(house, 0, "mail")
    said(house, 0, "add", str(house.record("one", embargo="none")))
    said(house, 0, "lift", "one", "--reason", "Now")
    master, slave = pty.openpty()
    piped = subprocess.Popen(FOLLOW, cwd=house.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    drawn = subprocess.Popen(FOLLOW, cwd=house.folder, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    assert piped.stdout.readline() == (
        "one (1) release press: 0 of 0 sent, 0 failed, 0 suppressed, 0 uncertain, 0 pending\n"
    )
    said(house, 0, "worker", "--once")
    lines = piped.communicate()[0].splitlines()
    assert lines[-1] == "one (1) release press: 2 of 2 sent, 0 failed, 0 suppressed, 0 uncertain, 0 pending"
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    assert (piped.returncode, drawn.wait()) == (0, 0)
    assert b"one (1)" in shown
    os.close(master)
    [mailing] = house.json("mail")["mailings"]
    assert (mailing["audience"], mailing["sent"], mailing["pending"], mailing["errors"]) == (2, 2, 0, {})
    [row] = house.json("mail", "ledger", "one")["mailings"]
    assert (row["audience"], row["suppressed"]) == (2, 0)
