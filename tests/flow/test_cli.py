"""The command, as a person types it and as a machine reads it."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, date, datetime

import pytest

YEAR = datetime.now(UTC).year + 1
DAY = f"{YEAR}-12-01"
SOON = f"{DAY} 09:00 America/New_York"
LIFT = f"{YEAR + 4}-12-01 09:00 America/New_York"
SAID = f"{date(YEAR, 12, 1):%a} {SOON}"


def said(house, status, *arguments, stdin=None) -> str:
    """What the command said, on both channels and in one line, after it ended with this status and without a traceback."""
    done = house.run(*arguments, stdin=stdin)
    everything = done.stdout + done.stderr
    assert done.returncode == status, everything
    assert "Traceback" not in everything
    assert "sqlalchemy" not in everything
    return " ".join(everything.split())


def test_a_first_look(house):
    """On a new installation every command says what is there, that nothing is wrong, and what to do next."""
    house.config.unlink()
    assert "embargo init" in said(house, 1, "queue")
    assert "Next: edit it, `embargo check`, `embargo run`" in said(house, 0, "init")
    assert "No record files yet." in said(house, 0, "check")
    assert "Nothing is held. Drop a record file into" in said(house, 0, "queue")
    assert "nothing has been decided yet" in said(house, 0, "trail")
    assert "No mail has been owed yet." in said(house, 0, "mail", "ledger")


def test_taking_files_in(house):
    """`embargo add` takes files in and says of each what becomes of it; one that is refused makes the status 1."""
    good = house.record("good", embargo=SOON, title="A [bold] title")
    asked = house.record("asked", embargo=LIFT)
    bad = house.record("bad", embargo=f"{DAY} 09:00 EST")
    text = said(house, 1, "add", str(good), str(asked), str(bad), "nowhere.md")
    assert "accepted good, revision 1" in text
    assert "A [bold] title" in text
    assert "more than two years ahead" in text
    assert "embargo confirm asked" in text
    assert f"refused {bad}:3: " in text
    assert "America/New_York" in text
    assert "nowhere.md: It can't be read: No such file or directory." in text
    assert "No service is running: it takes effect when one starts" in text

    text = said(house, 0, "queue")
    assert text.index("asked") < text.index("good")
    assert SAID in text
    assert f"{DAY} 14:00 UTC" in text
    assert f"{bad}:3" in text
    assert "1 attention, 1 held" in text

    queue = house.json("queue")
    assert queue.keys() == {"now", "records", "refused", "counts"}
    first, second = queue["records"]
    assert (first["id"], first["state"], first["lift_at"]) == ("asked", "attention", None)
    assert first["candidates"][0]["at"] == f"{YEAR + 4}-12-01T14:00:00+00:00"
    assert (second["id"], second["lift_at"]) == ("good", f"{DAY}T14:00:00+00:00")
    assert (second["local"], second["zone"]) == (f"{DAY}T09:00:00", "America/New_York")
    assert {row["origin"] for row in queue["refused"]} == {str(bad), str(house.folder / "nowhere.md")}
    assert queue["counts"]["held"] == 1


def test_looking_without_taking_in(house):
    """`embargo check` says what would become of each file, and takes none in."""
    house.record("good", embargo=SOON)
    assert SAID in said(house, 0, "check")
    bad = house.record("bad", embargo="tomorrow")
    twin = house.write("twin.md", f"---\nid: good\ntitle: A\nembargo: {SOON}\n---\nB.\n")
    done = house.run("check", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["good"] is False
    by_file = {each["file"]: each for each in report["records"]}
    assert by_file[str(bad)]["state"] == "refused"
    assert by_file[str(bad)]["line"] == 3
    assert "belongs to" in by_file[str(twin)]["problem"]
    held = by_file[str(house.folder / "records/good.md")]
    assert (held["state"], held["lift"]["at"]) == ("held", f"{DAY}T14:00:00+00:00")
    assert not (house.folder / "var").exists()


def test_the_life_of_a_record(house):
    """A record can be shown, put off, lifted, corrected and retracted by command, and each says what it did."""
    path = house.record("one", embargo=SOON, title="A title", body="Words of it.")
    said(house, 0, "add", str(path))
    text = said(house, 0, "amend", "one", f"{YEAR}-12-02 10:00 Europe/Paris", "--reason", "They asked")
    assert "Amended. one lifts in" in text
    assert f" {YEAR}-12-02 10:00 Europe/Paris, {YEAR}-12-02 09:00 UTC" in text
    assert "held until a person lifts it: `embargo lift one`" in said(house, 0, "amend", "one", "on delivery")
    assert "Released. one." in said(house, 0, "lift", "one", "--reason", "It was delivered")
    path.write_text(
        path.read_text().replace("Words of it.", "Better words.").replace("---\ntitle", "---\ncorrection: So.\ntitle")
    )
    assert "corrected one, revision 2" in said(house, 0, "correct", "one", str(path))

    shown = house.json("show", "one")
    assert (shown["state"], shown["revision"], shown["text"]) == ("released", 2, "Better words.")
    assert (shown["address"], shown["settled_by"]) == ("releases/one.html", "editor@desk")
    assert [row["event"] for row in shown["trail"]] == [
        "accepted",
        "rescheduled",
        "rescheduled",
        "released",
        "corrected",
    ]
    assert "They asked" in shown["trail"][1]["detail"]

    assert "Retracted. one." in said(house, 0, "retract", "one", "--reason", "It was wrong")
    text = said(house, 0, "show", "one")
    assert "retracted" in text
    assert "by editor@desk" in text
    assert "Nothing is held." in said(house, 0, "queue")
    assert house.state("one") == "retracted"


def test_a_proposal_is_confirmed(house):
    """`embargo confirm` takes the proposed time; `embargo withdraw` takes a record back for good."""
    said(house, 0, "add", str(house.record("one", embargo=LIFT)))
    assert "Confirmed. one lifts in" in said(house, 0, "confirm", "one")
    assert "it is held and can't be confirmed. `embargo amend one WHEN`" in said(house, 1, "confirm", "one")
    assert "one will not be released" in said(house, 0, "withdraw", "one", "--reason", "Off")
    text = said(house, 1, "lift", "one", "--reason", "On again")
    assert "Record 'one': it was withdrawn and can't be lifted." in text


@pytest.mark.parametrize(
    "command",
    [["show"], ["confirm"], ["mail", "ledger"]],
)
def test_an_unknown_record(house, command):
    """A command about an unknown id says so, and where the ids are."""
    assert "There is no record 'nobody'. `embargo queue --all` lists the ids." in said(house, 1, *command, "nobody")


@pytest.mark.parametrize(
    "arguments",
    [["amend", "one"], ["explain", "x", "--zone", "Nowhere"], ["preview", "one", "--as", "pdf"]],
)
def test_wrong_usage(house, arguments):
    """Wrong usage ends with status 2 and says how the command is used."""
    if "preview" in arguments:
        said(house, 0, "add", str(house.record("one", embargo=SOON)))
    assert "Usage:" in said(house, 2, *arguments)


@pytest.mark.parametrize(
    ("kind", "shows"), [("page", "<!doctype html>"), ("rss", "<rss"), ("mail", "Subject: A title")]
)
def test_a_preview(house, kind, shows):
    """A preview is the very document readers will get, and writes nothing."""
    said(house, 0, "add", str(house.record("one", embargo=SOON, body="Words of it.")))
    text = said(house, 0, "preview", "one", "--as", kind)
    assert shows in text
    assert "Words of it." in text
    assert not (house.folder / "public").exists()


def test_what_words_mean(house):
    """`embargo explain` says what an embargo statement means, or why a person must be asked."""
    words = f"EMBARGOED UNTIL 9:00 a.m. ET, December 1, {YEAR}"
    assert f"{DAY} 14:00 UTC" in said(house, 0, "explain", words)
    reading = house.json("explain", words)
    assert (reading["kind"], reading["lifts"]) == ("fixed", f"{DAY}T14:00:00Z")
    assert reading["statements"][0]["line"] == 1
    assert "ambiguous" in said(house, 1, "explain", "Embargoed until 9 a.m.")
    lines = said(house, 0, "explain", "--jsonl", stdin=json.dumps({"id": 7, "text": words}) + "\n")
    assert json.loads(lines)["id"] == 7
    assert "A line is not as expected" in said(house, 1, "explain", "--jsonl", stdin="nonsense\n")


def test_the_proof(house):
    """The trail is printed and proved; a row that was changed is named and makes the status 1."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    text = said(house, 0, "trail")
    assert re.search(r"1 .*UTC +accepted +one \(1\) +editor@desk +[0-9a-f]{12}", text)
    [row] = house.json("trail")
    assert (row["seq"], row["event"], row["record"], row["previous"]) == (1, "accepted", "one", "0" * 64)
    assert "sound 1 rows" in said(house, 0, "trail", "verify")
    db = sqlite3.connect(house.folder / "var/embargo.db")
    db.execute("DROP TRIGGER trail_refuses_update")
    db.execute("UPDATE trail SET actor = 'somebody'")
    db.commit()
    db.close()
    assert "row 1 (accepted): it was changed after it was written." in said(house, 1, "trail", "verify")
    assert "wrong trail: row 1" in said(house, 1, "doctor")


def test_the_ledger_and_the_lists(house):
    """Lists, ledger and worker: what is owed, what was sent, and that it is sent once."""
    lists = house.json("mail", "lists")
    assert lists == [
        {"id": "press", "name": "Press list", "recipients": 2, "default": True},
        {"id": "wire", "name": "Wire", "recipients": 1, "default": False},
    ]
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    said(house, 0, "lift", "one", "--reason", "Now")
    assert "not yet" in said(house, 0, "mail", "ledger")
    said(house, 0, "worker", "--once")
    said(house, 0, "worker", "--once")
    assert len(list((house.folder / "var/mail/new").iterdir())) == 2
    ledger = house.json("mail", "ledger", "one")
    [mailing] = ledger["mailings"]
    assert (mailing["audience"], mailing["sent"], mailing["pending"]) == (2, 2, 0)
    assert ledger["troubled"] == []
    text = said(house, 0, "mail", "resolve", "one", "--resend", "--reason", "To be sure")
    assert "No mail of this record is uncertain." in text


def test_a_healthy_installation(house):
    """`embargo doctor` finds nothing wrong with a healthy installation; `embargo backup` copies it once."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    findings = house.json("doctor")
    assert all(finding["good"] for finding in findings)
    assert any(f"{DAY} 14:00 UTC" in finding["what"] for finding in findings)
    assert "Written and checked: copy.db" in said(house, 0, "backup", "copy.db")
    assert "copy.db is there already" in said(house, 1, "backup", "copy.db")


def test_settings_that_cannot_be_used(house):
    """Bad settings are told with file and line, all of them, whatever the command."""
    house.config.write_text(
        house.config.read_text().replace("database:", "databse:").replace("items: 50", "items: none")
    )
    text = said(house, 1, "queue")
    assert "embargo: config.yaml:4: Unknown key `databse`. Did you mean `database`?" in text
    assert "config.yaml:5: `site.items` can't be used." in text


def test_a_database_that_cannot_be_used(house):
    """A damaged database is told in a sentence, by the commands as by the doctor."""
    (house.folder / "var").mkdir()
    (house.folder / "var/embargo.db").write_text("no database " * 100)
    assert "can't be used: file is not a database" in said(house, 1, "queue")
    assert "file is not a database" in said(house, 1, "doctor")


def test_a_correction_is_of_a_released_record(house):
    """`embargo correct` refuses a record that is not released, and a file that is about another one."""
    path = house.record("one", embargo=SOON)
    said(house, 0, "add", str(path))
    assert "only a released record is corrected" in said(house, 1, "correct", "one", str(path))
    said(house, 0, "lift", "one", "--reason", "Now")
    other = house.record("two", embargo=SOON)
    assert "the file is about 'two'. Write `id: one` into it." in said(house, 1, "correct", "one", str(other))
