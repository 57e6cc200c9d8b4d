"""The command, as a person types it and as a machine reads it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.cli import main

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


def typed(house, *arguments, answers=()) -> tuple[int, str]:
    """On a terminal of 80 columns: the status and what was shown; each of the `answers` was typed when a reason was asked for."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", *arguments],
        cwd=house.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm", "EMBARGO_ACTOR": "editor@desk"},
    )
    os.close(theirs)
    seen, asked = b"", list(answers)
    with os.fdopen(ours, "r+b", buffering=0) as screen, process:
        while part := _shown_by(screen):
            seen += part
            if asked and seen.count(b"Reason: ") > len(answers) - len(asked):
                answer = asked.pop(0)
                screen.write(os.fsencode(f"{answer() if callable(answer) else answer}\n"))
    return process.returncode, re.sub(r"\x1b\[[\d;]*m", "", seen.decode(errors="replace").replace("\r\n", "\n"))


def _shown_by(screen) -> bytes:
    try:
        return screen.read(65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def in_process(house, monkeypatch, capsys):
    """A command in this process, without a terminal: its exit status, and what it said on both channels."""
    monkeypatch.chdir(house.folder)

    def run(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["embargo", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return run


@pytest.fixture
def here(house, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    return in_process(house, monkeypatch, capsys)


def test_a_first_look(house):
    """On a new installation every command says what is there, that nothing is wrong, and what to do next."""
    house.config.unlink()
    assert "embargo init" in said(house, 1, "queue")
    assert "Next: edit it, `embargo check`, `embargo run`" in said(house, 0, "init")
    assert "No record files yet." in said(house, 0, "check")
    assert "Nothing is held. Drop a record file into" in said(house, 0, "queue")
    assert "nothing has been decided yet" in said(house, 0, "trail")
    assert "No mail has been owed yet." in said(house, 0, "mail", "ledger")


@pytest.mark.sqlite_only("a server's database is made by whoever looks after the server")
@pytest.mark.parametrize(
    ("command", "status", "answer"),
    [
        (["queue"], 0, {"records": []}),
        (["rehearse"], 0, {"steps": []}),
        (["clock"], 0, {"state": "believed"}),
        (["mail", "ledger"], 0, {"mailings": [], "troubled": []}),
        (["trail", "verify"], 0, {"rows": 0, "broken": []}),
        (["adopt"], 0, {"fenced": False}),
        (["trail"], 0, []),
        (["show", "one"], 1, None),
        (["preview", "one"], 1, None),
        (["confirm", "one"], 1, None),
        (["lift", "one", "--reason", "now"], 1, None),
        (["clock", "trust"], 1, None),
        (["adopt", "--reason", "mine"], 1, None),
        (["trail", "export", "out"], 1, None),
        (["backup", "out"], 1, None),
    ],
)
def test_looking_makes_no_database(house, command, status, answer):
    """Before anything was taken in a command says that there is no database yet, gives the empty answer, and makes none."""
    text = said(house, status, *command)
    assert f"There is no database {house.folder}/var/embargo.db yet: nothing has been taken in." in text
    if isinstance(answer, dict):
        assert house.json(*command).items() >= answer.items()
    elif answer is not None:
        assert house.json(*command) == answer
    assert sorted(path.name for path in house.folder.iterdir()) == ["config.yaml", "records"]


@pytest.mark.sqlite_only("the file is out of reach")
@pytest.mark.parametrize(
    "command", [["queue"], ["rehearse"], ["trail", "verify"], ["doctor"], ["lift", "a", "-r", "b"]]
)
def test_a_database_out_of_reach_is_not_taken_for_none(house, command):
    """Where it can't be seen whether there is a database, no command says that nothing is held."""
    (house.folder / "var").write_text("no folder")
    text = said(house, 1, *command)
    assert f"The database {house.folder}/var/embargo.db can't be reached: Not a directory." in text
    assert "othing" not in text


@pytest.mark.sqlite_only("a server's database is made by whoever looks after the server")
def test_the_doctor_makes_nothing(house):
    """On a new installation `embargo doctor` finds nothing wrong, says that there is no database yet, and makes no folder."""
    assert f"database: {house.folder}/var/embargo.db is not there yet; nothing has been taken in" in said(
        house, 0, "doctor"
    )
    assert sorted(path.name for path in house.folder.iterdir()) == ["config.yaml", "records"]
    (house.folder / "public").symlink_to("nowhere")
    assert "wrong site: " in said(house, 1, "doctor")


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
    assert queue.keys() == {"now", "standstill", "records", "refused", "counts"}
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


CONTRADICTED = f"EMBARGOED UNTIL 10 a.m. ET, December 1, {YEAR}\n\nA body."


def test_metadata_against_text(house):
    """Where metadata and text disagree, `check`, `queue` and `show` give the words and instants of both, numbered."""
    path = house.record("one", embargo=SOON, body=CONTRADICTED)
    reason = (
        f"The metadata says “{SOON}” ({DAY} 14:00 UTC), but the text says "
        f"“EMBARGOED UNTIL 10 a.m. ET, December 1, {YEAR}” ({DAY} 15:00 UTC)."
    )
    assert reason in said(house, 1, "check")
    text = said(house, 0, "add", str(path))
    for shown in (text, said(house, 0, "queue"), said(house, 0, "show", "one")):
        assert reason in shown
        assert re.search(rf" 1 {SAID} {DAY} 14:00 UTC in .* 2 .* {DAY} 15:00 UTC in ", shown)
        assert "embargo confirm one NUMBER" in shown
    assert [each["at"][11:16] for each in house.json("show", "one")["candidates"]] == ["14:00", "15:00"]


def test_several_proposals(house):
    """Of several times `embargo confirm` takes none by itself: it lists them with the command for each, and takes a number."""
    said(house, 0, "add", str(house.record("one", embargo=SOON, body=CONTRADICTED)))
    text = said(house, 1, "confirm", "one")
    assert re.search(rf"1 {SAID} {DAY} 14:00 UTC in .* embargo confirm one '{SOON}' 2 ", text)
    assert "Take one by its number: `embargo confirm one 1`" in text
    offered = house.run("confirm", "one", "--json")
    assert offered.returncode == 1
    choices = json.loads(offered.stdout)["choices"]
    assert [(each["number"], each["lift"]["at"][11:16]) for each in choices] == [(1, "14:00"), (2, "15:00")]
    assert choices[0]["command"] == f"embargo confirm one '{SOON}'"
    assert choices[1]["seconds_ahead"] - choices[0]["seconds_ahead"] == pytest.approx(3600)
    assert "there is no proposal 3. `embargo show one` lists them." in said(house, 1, "confirm", "one", "3")
    assert house.state("one") == "attention"
    assert house.json("confirm", "one", "2")["lift_at"] == f"{DAY}T15:00:00+00:00"
    assert house.state("one") == "held"


def test_several_proposals_on_a_terminal(house):
    """On a terminal `embargo confirm` lists what is proposed, asks, and takes the number."""
    said(house, 0, "add", str(house.record("one", embargo=SOON, body=CONTRADICTED)))
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "confirm", "one"],
            cwd=house.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        )
        os.close(theirs)
        seen = b""
        with process:
            while b"Which number" not in seen:
                seen += screen.read(1000)
            screen.write(b"2\n")
    assert process.returncode == 0
    assert f"{DAY} 15:00 UTC".encode() in seen
    assert b"embargo confirm one '" not in seen
    assert house.json("show", "one")["lift_at"] == f"{DAY}T15:00:00+00:00"


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
    text = said(house, 0, "explain", words, "--zone", "Europe/Paris")
    assert f"»{words}« fixed in " in text
    assert f"{date(YEAR, 12, 1):%A} 1 December 09:00 in New York, 15:00 in Paris" in text
    assert f"local {SAID} UTC {DAY} 14:00 UTC why It is embargoed until" in text
    assert "language English" in text
    assert f"embargo: {SOON}" in text
    assert "read in Europe/Paris (--zone)" in text
    reading = house.json("explain", words)
    assert (reading["kind"], reading["lifts"], reading["lang"]) == ("fixed", f"{DAY}T14:00:00Z", "en")
    assert (reading["default_zone"], reading["statements"][0]["line"]) == ("America/New_York", 1)
    assert "ambiguous" in said(house, 1, "explain", "Embargoed until 9 a.m.")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("Embargoed until delivery", 0, "event until something happens"),
        (f"Embargoed until delivery, expected at 9 a.m. ET, December 1, {YEAR}", 0, f"expected {SAID} {DAY} 14:00 UTC"),
        ("FOR IMMEDIATE RELEASE", 0, "write in its metadata: embargo: none"),
        ("The weather is fine.", 0, "none nothing is said about an embargo"),
        ("EMBARGOED UNTIL 9 a.m. ET, December 1, 2020", 0, "That time has passed."),
        (f"EMBARGOED UNTIL 9 a.m. ET, December 1, {YEAR + 4}", 0, "more than two years ahead"),
        ("EMBARGOED UNTIL 9 a.m. tomorrow", 1, "Or say when the text was issued: --issued YYYY-MM-DD."),
        ("EMBARGOED UNTIL 2 p.m. UTC, December 1", 1, "proposed "),
    ],
)
def test_what_to_do_about_words(house, words, status, says):
    """Whatever words mean, `embargo explain` says what becomes of a record with them and what to write."""
    text = said(house, status, "explain", words)
    assert says in text
    assert " next " in text


def test_a_time_that_comes_twice(house):
    """A time that clocks show twice is explained as two numbered proposals, each with a line that a record takes."""
    text = said(house, 1, "explain", "EMBARGOED UNTIL 1:30 a.m. New York time, Sunday November 7, 2027")
    assert re.search(r"1 Sun 2027-11-07 01:30 America/New_York 2027-11-07 05:30 UTC .* 2 Sun", text)
    for number, line in enumerate(re.findall(r"embargo: (\S+ \S+)", text), 5):
        assert said(house, 0, "add", str(house.record(f"at-{number}", embargo=line)))
        assert house.json("show", f"at-{number}")["lift_at"] == f"2027-11-07T0{number}:30:00+00:00"
    assert house.state("at-6") == "held"


@pytest.mark.parametrize(("soon", "says"), [(0, "today"), (1, "tomorrow"), (-1, "yesterday")])
def test_a_day_that_is_near(house, soon, says):
    """A day next to today is called so."""
    at = datetime.now(UTC) + timedelta(days=soon)
    text = said(house, 0, "explain", f"EMBARGOED UNTIL {at:%H:%M} UTC, {at.day} {at:%B %Y}", "--zone", "UTC")
    if datetime.now(UTC).date() == at.date() - timedelta(days=soon):  # midnight did not come between
        assert f"{says} {at:%H:%M} UTC" in text


def test_where_the_zone_is_from(house):
    """A time without a zone is read in the zone given, else the newsroom's, else UTC, and the answer says which."""
    words = f"Embargoed until 9 a.m., 1 December {YEAR}"
    assert "America/New_York (the newsroom's, config.yaml)" in said(house, 0, "explain", words)
    assert f"{DAY} 00:00 UTC" in said(house, 0, "explain", words, "--zone", "Asia/Tokyo")
    good = house.config.read_text()
    house.config.write_text(good.replace("database:", "databse:"))
    assert "Unknown key `databse`" in said(house, 1, "explain", words)
    assert "Asia/Tokyo (--zone)" in said(house, 0, "explain", words, "--zone", "Asia/Tokyo")
    house.config.unlink()
    text = said(house, 0, "explain", words)
    assert "UTC (no --zone and no config.yaml here)" in text
    assert f"local {date(YEAR, 12, 1):%a} {DAY} 09:00 UTC why" in text


def test_a_language_is_found_or_given(house):
    """A statement's language is found, or given with `--lang`; one that is not read is refused with those that are."""
    words = f"Sperrfrist: 1. Dezember {YEAR}, 9 Uhr"
    assert "language German" in said(house, 0, "explain", words)
    assert house.json("explain", words, "--lang", "de")["lang"] == "de"
    refused = house.run("explain", words, "--lang", "xx")
    assert refused.returncode == 2
    assert "en (English), de (German)" in refused.stderr


def test_a_long_text_is_shown_around_its_statements(house):
    """Of a long text the lines around each statement are shown with their numbers, and nothing a terminal would obey."""
    statement = f"EMBARGOED UNTIL\n09:00 UTC\n1 DECEMBER {YEAR}"
    long_line = f"{'word ' * 200}EMBARGOED UNTIL 09:00 UTC, 1 DECEMBER {YEAR}. {'word ' * 200}"
    path = house.write("long.txt", "first\n" * 30 + f"{statement}\r\n\x1b[31mafter\n" + "last\n" * 30 + long_line)
    done = house.run("explain", str(path))
    assert done.returncode == 0
    shown = [line.rstrip() for line in done.stdout.splitlines()]
    start = shown.index("30  first")
    assert shown[start : start + 5] == [
        "30  first",
        "31  »EMBARGOED UNTIL«",
        "32  »09:00 UTC«",
        f"33  »1 DECEMBER {YEAR}«",
        "34  \N{REPLACEMENT CHARACTER}[31mafter",
    ]
    assert done.stdout.count("first") == 1
    assert done.stdout.count("word") < 80
    assert "two statements agree" in " ".join(done.stdout.split())
    assert max(map(len, shown)) < 100
    many = house.write("many.txt", f"{long_line}\n" * 20)
    assert "… and 12 more statements" in said(house, 0, "explain", str(many))


def test_text_in_any_script(house):
    """A text in any script is shown as it stands, in lines that fit."""
    text = f"{'日本語の文章' * 20} EMBARGOED UNTIL 09:00 UTC 1 December {YEAR}"
    done = house.run("explain", "-", stdin=text)
    assert done.returncode == 0
    assert f"»EMBARGOED UNTIL 09:00 UTC 1 December {YEAR}«" in " ".join(done.stdout.split())
    assert max(len(line) + sum(map("日本語の文章".count, line)) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        ([""], None, "the text: it is empty."),
        ([], " \n", "standard input: it is empty."),
        (["nowhere.md"], None, "nowhere.md: it can't be read: No such file or directory."),
        (["./nowhere"], None, "nowhere: it can't be read: No such file or directory."),
        (["records"], None, "records: it can't be read: Is a directory."),
        (["binary"], None, "binary: it is no plain text."),
        (["latin"], None, "latin:2: this is not UTF-8."),
        (["-"], "a" * 10_000_001, "standard input: it is larger than 10 MB."),
    ],
)
def test_what_is_no_text(house, arguments, stdin, says):
    """What is empty, missing, too large or no text is told in a sentence, with its name."""
    (house.folder / "binary").write_bytes(b"%PDF\0\1\2")
    (house.folder / "latin").write_bytes("Embargo\nTélé".encode("latin-1"))
    assert says in said(house, 1, "explain", *arguments, stdin=stdin)


def test_answers_by_the_line(house):
    """`embargo explain --jsonl` answers each line; a bad one says what is wrong with it and stops none of the others."""
    said_in_german = f"Sperrfrist: 1. Dezember {YEAR}, 9 Uhr"
    lines = [
        json.dumps(
            {"id": 7, "text": f"EMBARGOED UNTIL 9:00 a.m. ET, December 1, {YEAR}", "lang": None, "issued": None}
        ),
        "nonsense",
        "",
        json.dumps({"id": "de", "text": said_in_german, "lang": "de", "default_zone": "Europe/Berlin"}),
        json.dumps({"id": 1, "text": said_in_german, "lang": "xx"}),
        json.dumps({"id": 2, "text": None}),
        json.dumps({"id": 3, "text": "Embargo", "issued": "1 May"}),
        json.dumps({"id": 4, "text": "Embargo", "default_zone": "EST"}),
        "[1]",
        "[" * 100_000,
        json.dumps({"id": 5, "text": "EMBARGOED \ud800 UNTIL 9 a.m. tomorrow", "issued": f"{YEAR}-11-30"}),
        json.dumps({"id": 6, "text": f"Embargoed until 9 a.m., 1 December {YEAR}"}),
    ]
    done = house.run("explain", "--jsonl", stdin="\n".join(lines))
    assert (done.returncode, done.stderr) == (1, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0] == {
        "id": 7,
        "kind": "fixed",
        "lifts": f"{DAY}T14:00:00Z",
        "reason": answers[0]["reason"],
        "words": f"EMBARGOED UNTIL 9:00 a.m. ET, December 1, {YEAR}",
        "candidates": [],
        "lang": "en",
    }
    assert [answer["id"] for answer in answers] == [7, None, "de", 1, 2, 3, 4, None, None, 5, 6]
    assert (answers[2]["lifts"], answers[2]["lang"]) == (f"{DAY}T08:00:00Z", "de")
    errors = [answer.get("error", "") for answer in answers]
    for number, says in (
        (1, "not JSON"),
        (3, "de (German)"),
        (4, "`text`"),
        (5, "`issued`"),
        (6, "'EST'"),
        (7, "object"),
    ):
        assert says in errors[number]
    assert errors[9:] == ["", ""]
    assert answers[10]["lifts"] == f"{DAY}T14:00:00Z"  # in the newsroom's zone


def test_an_answer_does_not_wait_for_the_next_line(house):
    """`embargo explain --jsonl` answers a line as soon as it has come, so that a pipe may be of any length."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "explain", "--jsonl"],
        cwd=house.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    with process:
        for number in range(3):
            process.stdin.write(json.dumps({"id": number, "text": "For immediate release"}).encode() + b"\n")
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
    assert process.returncode == 0


def test_the_proof(house):
    """The trail is printed and proved; a row that was changed is named and makes the status 1."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    text = said(house, 0, "trail")
    assert re.search(r"1 .*UTC +accepted +one \(1\) +editor@desk +[0-9a-f]{12}", text)
    [row] = house.json("trail")
    assert (row["seq"], row["event"], row["record"], row["previous"]) == (1, "accepted", "one", "0" * 64)
    assert "sound 1 rows" in said(house, 0, "trail", "verify")
    house.raw("DROP TRIGGER trail_refuses_update", "UPDATE trail SET actor = 'somebody'")
    assert "row 1 (accepted, record one): it was changed after it was written." in said(house, 1, "trail", "verify")
    assert "wrong trail: row 1" in said(house, 1, "doctor")


def test_the_ledger_and_the_lists(house):
    """Lists, ledger and worker: what is owed, what was sent, and that it is sent once."""
    lists = house.json("mail", "lists")
    assert [{key: each[key] for key in ("id", "name", "recipients", "default")} for each in lists] == [
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


NO_TEXT = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "arguments",
    [
        ["withdraw", "one", "--reason", NO_TEXT],
        ["retract", "one", "--reason", NO_TEXT],
        ["lift", "one", "--reason", "now", "--actor", NO_TEXT],
        ["show", NO_TEXT],
        ["amend", "one", NO_TEXT],
        ["add", NO_TEXT],
        ["trail", "--record", NO_TEXT],
        ["backup", NO_TEXT],
        ["rehearse", "--at", NO_TEXT],
    ],
)
def test_arguments_that_are_no_text(house, arguments):
    """Whatever argument holds bytes that are no UTF-8 is refused with what to write, and nothing is changed."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    text = said(house, 2, *arguments)
    assert "'caf\\udce9' holds bytes that are no text. Write it in UTF-8" in text
    assert [row["event"] for row in house.json("trail")] == ["accepted"]


def test_an_actor_that_is_no_text(house, monkeypatch):
    """The actor of the environment is held to the same."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    monkeypatch.setenv("EMBARGO_ACTOR", NO_TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "withdraw", "one", "--reason", "off"],
        cwd=house.folder,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"holds bytes that are no text" in done.stderr) == (2, True)
    assert house.state("one") == "held"


@pytest.mark.parametrize(
    "command",
    [
        ["lift", "one"],
        ["withdraw", "one"],
        ["retract", "one"],
        ["mail", "import", "press", "records/list.csv"],
        ["mail", "add", "press", "ann@example.org"],
        ["mail", "remove", "press", "ann@example.org"],
        ["mail", "forget", "ann@example.org"],
        ["mail", "resolve", "one", "--sent"],
    ],
)
def test_a_reason_is_not_waited_for_where_nobody_is(house, here, command):
    """Without a terminal a decision without its reason is wrong usage that names `--reason`, and nothing is decided."""
    here("add", str(house.record("one", embargo=SOON)))
    (house.folder / "records/list.csv").write_text("email\nann@example.org\n")
    status, text = here(*command)
    assert (status, "Usage: " in text) == (2, True)
    assert "Invalid value for --reason: say why; without a terminal nobody can be asked" in text
    assert " 1 rows" in here("trail", "verify")[1]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["lift", "nobody"], "There is no record 'nobody'."),
        (["withdraw", "nobody"], "There is no record 'nobody'."),
        (["retract", "nobody"], "There is no record 'nobody'."),
        (["mail", "resolve", "nobody", "--sent"], "There is no record 'nobody'."),
        (["mail", "import", "pres", "list.csv"], "Did you mean 'press'?"),
        (["mail", "import", "press", "list.csv"], "list.csv: It can't be read"),
        (["mail", "add", "pres", "ann@example.org"], "Did you mean 'press'?"),
        (["mail", "add", "press", "ann"], "The address is not of the form"),
        (["mail", "remove", "press", "ann@example.org"], "There is no database"),
        (["mail", "forget", "ann"], "The address is not of the form"),
    ],
)
def test_what_is_wrong_comes_before_the_question_why(house, here, command, says):
    """Whoever decides about what is not there is told so, and not asked for a reason first."""
    status, text = here(*command)
    assert (status, says in text, "eason" in text) == (1, True, False), text
    assert not (house.folder / "var").exists()


def test_a_reason_is_asked_for_on_a_terminal(house, here):
    """On a terminal a reason is asked for until there is one, and what is decided is decided at the instant of the answer."""
    here("add", str(house.record("one", embargo=SOON)))
    answered = []

    def last() -> str:
        answered.append(datetime.now(UTC))
        return "They agreed"

    status, seen = typed(house, "lift", "one", answers=[" ", NO_TEXT, last])
    assert (status, seen.count("Reason: "), "Released. one." in seen) == (0, 3, True)
    assert "holds bytes that are no text" in seen
    *_, released = json.loads(here("trail", "--json")[1])
    assert datetime.fromisoformat(released["at"]) >= answered[0]
    assert (released["event"], "They agreed" in released["detail"]) == ("released", True)


def test_a_terminal_without_the_letters(house):
    """On a terminal that has only ASCII other letters are escapes, and JSON is whole all the same."""
    said(house, 0, "add", str(house.record("one", embargo=SOON, title="Zoë…s title")))
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40", "EMBARGO_ACTOR": "Zoë"}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", *arguments],
            cwd=house.folder,
            capture_output=True,
            check=False,
            env=plain,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode("ascii")

    assert r"Zo\xeb\u2026s title" in run("queue")
    assert json.loads(run("queue", "--json"))["records"][0]["title"] == "Zoë…s title"
    for command in (["check"], ["rehearse"], ["show", "one"], ["clock"], ["doctor"], ["--help"], ["lift", "--help"]):
        assert run(*command)


@pytest.mark.parametrize(
    "command", [["queue"], ["queue", "--json"], ["show", "one"], ["trail", "export", "-"], ["--help"]]
)
def test_an_output_that_takes_nothing(house, command):
    """An output on a full disk is an error in a sentence; one that was closed, or whose reader has gone, is none."""
    said(house, 0, "add", str(house.record("one", embargo=SOON)))
    arguments = [sys.executable, "-m", "scheduler", *command]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(arguments, cwd=house.folder, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"embargo: The output: No space left on device.\n")
    shell = 'exec "$@" >&- <&-'
    done = subprocess.run(["sh", "-c", shell, "sh", *arguments], cwd=house.folder, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(arguments, cwd=house.folder, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert done.stderr == b""


def test_settings_that_cannot_be_used(house):
    """Bad settings are told with file and line, all of them, whatever the command."""
    house.config.write_text(
        house.config.read_text().replace("database:", "databse:").replace("items: 50", "items: none")
    )
    text = said(house, 1, "queue")
    assert "embargo: config.yaml:4: Unknown key `databse`. Did you mean `database`?" in text
    assert "config.yaml:5: `site.items` can't be used." in text


@pytest.mark.sqlite_only("the file is damaged")
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


def test_a_broken_template_is_no_fault_of_a_record(house):
    """With a broken template of one's own, records are not refused for it: the template is named, and looking goes on."""
    path = house.record("one", embargo=SOON)
    (house.folder / "own").mkdir()
    (house.folder / "own/headline.txt").write_text("{{ nope }}")
    house.config.write_text(house.config.read_text() + "templates: own/\n")
    for command in (["add", str(path)], ["check"]):
        assert "headline.txt:1: UndefinedError" in said(house, 1, *command)
    assert house.json("queue")["refused"] == []
