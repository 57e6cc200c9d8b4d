"""What embargo statements mean: those of tests/statements, one by one. How they are written: docs/languages.md."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from scheduler import embargo
from scheduler.embargo import Kind, read

FILES = sorted((Path(__file__).parents[1] / "statements").glob("*.toml"))
TABLES = {file.stem: tomllib.loads(file.read_text("utf-8"))["statement"] for file in FILES}
STATEMENTS = [(lang, one) for lang, table in TABLES.items() for one in table]
IDS = [
    f"{lang}-{number}-{re.sub(r'[^a-z0-9]+', '-', one['rule'].lower()).strip('-')}"
    for lang, table in TABLES.items()
    for number, one in enumerate(table, 1)
]

# What a file shows of its language, whichever it is.
RULES = {
    *(
        "day month year",
        "date in figures",
        "ISO 8601",
        "no year",
        "weekday only",
        "today",
        "tomorrow",
        "day after tomorrow",
    ),
    *("tonight", "part of the day", "half past", "noon", "24:00", "00.01hrs", "local time", "a city's time"),
    *("equivalents agree", "line break", "on delivery", "end of the call", "until further notice"),
    *("for immediate release", "lifted already", "trade embargo", "no time", "weekday against date"),
    *("midnight of a day", "approximate", "bare word", "close of markets"),
}
# What is shown once at least, in one language or another.
SOMEWHERE = RULES | {
    *(
        "month day year",
        "year first",
        "ordinal",
        "weekday in short",
        "midnight tonight",
        "12 a.m.",
        "12 p.m.",
        "12.01am",
    ),
    *("0001", "00:00", "four figures", "dotted halves", "a time said twice", "hour in words", "24-hour clock"),
    *("IANA name", "offset", "name of a zone", "the newsroom's zone", "ET by season", "abbreviation in season"),
    *("GMT in summer is GMT", "abbreviation by newsroom", "misnamed zone", "misnamed zone settled", "unclear zone"),
    *(
        "equivalents disagree",
        "the clocks skip it",
        "the clocks show it twice",
        "the name settles the hour shown twice",
    ),
    *("hold for release", "not before", "for release at", "embargo date", "a dash for until", "the embargo lifts"),
    *("a time beside the event", "day from the heading", "time before the word", "no day", "statements agree"),
    *("other times around it", "scanning slips", "event with an expected time", "start of a speech", "landing"),
    *("on publication", "no embargo", "someone's embargo", "policy", "example", "check against delivery alone"),
    *("access under embargo", "no such word", "waiting period", "sin embargo", "seizure", "two days"),
    *("neither a.m. nor p.m.", "figures read two ways", "no such day", "this week or the next"),
    *("no year and no day of issue", "no day of issue", "different media", "different parts"),
    *("embargo and immediate release", "statements contradict", "a time or an event", "words that move the time"),
    *("scanning leaves it open",),
}


@pytest.mark.parametrize("told", [False, True], ids=["found", "told"])
@pytest.mark.parametrize(("lang", "one"), STATEMENTS, ids=IDS)
def test_a_statement_means_what_a_careful_reader_says(lang, one, told):
    """A statement is read as a careful reader reads it, whether its language is told or found."""
    text, issued = one["text"], one.get("issued")
    reading = read(text, default_zone=one["zone"], issued=issued, lang=lang if told else None)
    assert (reading.lift.at if reading.lift else reading.kind) == one["answer"], reading.reason
    if reading.kind is Kind.AMBIGUOUS:
        assert one["reason"] in reading.reason.lower()
        assert reading.words
        assert reading.words in text


def test_the_statements_show_every_rule():
    """At least 300 statements, half of them not English, show every rule of reading, most of them in every language."""
    counts = Counter(lang for lang, _ in STATEMENTS)
    shown = {lang: {one["rule"] for one in table} for lang, table in TABLES.items()}
    for _, one in STATEMENTS:
        assert (one["answer"] == Kind.AMBIGUOUS) == ("reason" in one), one["text"]
        assert isinstance(one["answer"], datetime) or one["answer"] in set(Kind) - {Kind.FIXED}, one["text"]
    assert counts.keys() == embargo.languages().keys()
    assert counts.total() >= 300
    assert counts["en"] <= counts.total() / 2
    assert set().union(*shown.values()) >= SOMEWHERE
    assert {lang: missing for lang, rules in shown.items() if (missing := RULES - rules)} == {}
    assert len({(one["text"], one["zone"], one.get("issued")) for _, one in STATEMENTS}) == counts.total()
