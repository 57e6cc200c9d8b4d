"""The language files: what they hold, what is refused of them, and that a language is added with one file."""

# Local times have no zone of their own here, and Swedish is written with its letters.
# ruff: noqa: DTZ001, RUF001

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scheduler
from scheduler import embargo
from scheduler.embargo import Kind, read
from scheduler.embargo.languages import Language, every, parse
from scheduler.embargo.languages.phrases import any_phrase
from scheduler.embargo.zones import instants, keys, zone

PACKAGE = Path(scheduler.__file__).parent
DOCUMENT = (Path(__file__).parents[2] / "docs" / "languages.md").read_text("utf-8")
FILES = {
    file.stem: file.read_text("utf-8")
    for file in sorted((PACKAGE / "embargo" / "languages").glob("*.toml"))
    if file.stem != "zones"
}
SWEDISH = """
name = "Swedish"
clock = 24

[days]
months = [
    "januari|jan", "februari|feb", "mars", "april|apr", "maj", "juni|jun", "juli|jul", "augusti|aug", "september|sept|sep",
    "oktober|okt", "november|nov", "december|dec",
]
weekdays = ["måndag|mån", "tisdag|tis", "onsdag|ons", "torsdag|tors", "fredag|fre", "lördag|lör", "söndag|sön"]
today = ["idag", "i dag"]
tomorrow = ["imorgon", "i morgon"]
overmorrow = ["övermorgon", "i övermorgon"]
tonight = ["ikväll", "i kväll"]

[times]
evening = ["ikväll", "i kväll", "på kvällen|eftermiddagen"]
midnight = ["midnatt"]
at = ["kl", "klockan"]
about = ["ungefär|cirka|omkring"]
numbers = "ett|två|tre|fyra|fem|sex|sju|åtta|nio|tio|elva|tolv"
until = ["till|före|efter"]
filler = "den i på av och är kl klockan under pressmeddelande rapporten"
event = ["vidare besked", "talets|mötets slut"]

[zones]
time = ["tid"]
in = ["i"]

[zones.places]
"Europe/Stockholm" = ["svensk"]
"Europe/London" = ["Londons", "brittisk"]

[statement]
order = ["får ej|inte publiceras före"]
label = ["under"]
immediate = ["för omedelbar publicering", "inget embargo"]
lifted = ["embargot [är] hävt"]

[standing]
ours = ["rapporten|texten|pressmeddelandet"]
"""
SWEDISH_ANSWERS = {
    "Embargo till fredag 4 juni 2027 kl. 9.00": "2027-06-04T07:00:00Z",
    "EMBARGO: TORSDAG DEN 13 JANUARI 2028 KLOCKAN 18": "2028-01-13T17:00:00Z",
    "Rapporten är under embargo till den 2 mars 2029 kl. 06.30.": "2029-03-02T05:30:00Z",
    "Får ej publiceras före måndag 7 juni 2027 kl. 00.01": "2027-06-06T22:01:00Z",
    "Embargo till i morgon kl. 10.00": "2027-06-03T08:00:00Z",
    "Embargo till i övermorgon klockan nio": "2027-06-04T07:00:00Z",
    "Embargo till i kväll kl. 20.00": "2027-06-02T18:00:00Z",
    "Embargo till 4 juni 2027 kl. 15.00 brittisk tid": "2027-06-04T14:00:00Z",
    "Embargo till vidare besked": "event",
    "Embargo till talets slut": "event",
    "För omedelbar publicering": "immediate",
    "Embargot är hävt.": "immediate",
    "Embargo till fredag 4 juni 2027": "ambiguous",
    "Embargo till torsdag 4 juni 2027 kl. 9.00": "ambiguous",
    "Embargo till 4 juni 2027 vid midnatt": "ambiguous",
    "Bron öppnas fredag 4 juni 2027 kl. 9.00.": "none",
}


@pytest.mark.parametrize("code", FILES)
def test_every_language_file_is_read(code):
    """Every language file is read, and each of its phrases is one that the reader can look for."""
    language = parse(code, tomllib.loads(FILES[code]))
    assert embargo.languages()[code] == language.name
    assert set(language.months.values()) == set(range(1, 13))
    assert set(language.weekdays.values()) == set(range(7))
    assert set(language.places.values()) <= keys()
    for name in Language.__slots__:
        value = getattr(language, name)
        if isinstance(value, tuple):
            for phrase in value:
                assert re.compile(any_phrase([phrase])).search("") is None, phrase


MISTAKES = {
    "a wrong key": ('tomorrow = ["imorgon"', 'tomorow = ["imorgon"', "tomorow"),
    "eleven months": ('"november|nov", ', "", "months"),
    "six weekdays": ('"lördag|lör", ', "", "weekdays"),
    "eleven numbers": ("|elva|", "|", "numbers"),
    "a phrase that begins with any word": ('order = ["får', 'order = ["* får', "order"),
    "a phrase of nothing that must be there": (
        'midnight = ["midnatt"]',
        'midnight = ["[kring] [midnatt]"]',
        "midnight",
    ),
    "no name": ('name = "Swedish"\n', "", "name"),
    "a phrase that is not in a list": ('today = ["idag", "i dag"]', 'today = "idag"', "today"),
}


@pytest.mark.parametrize(("was", "becomes", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_language_file_with_a_mistake_is_refused(was, becomes, named):
    """A language file with a mistake is refused, and the file and its key are named."""
    assert was in SWEDISH
    with pytest.raises(ValueError, match=rf"^sv\.toml: .*'{named}'"):
        parse("sv", tomllib.loads(SWEDISH.replace(was, becomes)))


def test_every_key_of_a_language_file_is_documented():
    """Every key of a language file is in the document for those who write one."""
    names = {"in" if name == "into" else name for name in Language.__slots__} - {"code"}
    assert names - set(re.findall(r"`(\w+)`", DOCUMENT)) == set()


def test_a_language_is_added_with_one_file(tmp_path):
    """A press officer adds a language with one file, and its statements are read, whether the language is told or found."""
    shutil.copytree(PACKAGE, tmp_path / "scheduler", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scheduler" / "embargo" / "languages" / "sv.toml").write_text(SWEDISH, "utf-8")
    lines = [
        json.dumps({"id": text, "text": text, "issued": "2027-06-02", "default_zone": "Europe/Stockholm"})
        for text in SWEDISH_ANSWERS
    ]
    command = [sys.executable, "-c", "from scheduler.cli import main; main()", "explain", "--jsonl", "-"]
    for options in ([], ["--lang", "sv"]):
        ran = subprocess.run(
            [*command, *options], input="\n".join(lines), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        answers = [json.loads(line) for line in ran.stdout.splitlines()]
        assert {one["id"]: one["lifts"] or one["kind"] for one in answers} == SWEDISH_ANSWERS


# How each language writes a day and a time; {month} and {weekday} are words of its own file.
FORMS = {
    "en": (
        "Embargoed until {hour12}:{minute} {half} on {weekday} {day} {month} {year}",
        "EMBARGO: {month} {day}, {year}, {hour}:{minute} hrs",
    ),
    "de": (
        "Sperrfrist: {weekday}, {day}. {month} {year}, {hour}.{minute} Uhr",
        "Gesperrt bis {day}. {month} {year}, {hour}:{minute} Uhr",
    ),
    "fr": (
        "Sous embargo jusqu’au {weekday} {day} {month} {year} à {hour}h{minute}",
        "EMBARGO : {day} {month} {year}, {hour} h {minute}",
    ),
    "es": (
        "Embargado hasta las {hour}:{minute} horas del {weekday} {day} de {month} de {year}",
        "No publicar antes del {day} de {month} de {year} a las {hour}.{minute} h",
    ),
    "it": (
        "Sotto embargo fino alle ore {hour}.{minute} di {weekday} {day} {month} {year}",
        "Embargo fino al {day} {month} {year}, ore {hour}:{minute}",
    ),
    "pt": (
        "Sob embargo até às {hour}h{minute} de {weekday}, {day} de {month} de {year}",
        "Não divulgar antes de {day} de {month} de {year}, às {hour}:{minute}",
    ),
    "nl": (
        "Onder embargo tot {weekday} {day} {month} {year}, {hour}.{minute} uur",
        "Niet publiceren voor {day} {month} {year}, {hour}:{minute} uur",
    ),
}
WALLS = st.datetimes(min_value=datetime(1975, 1, 1), max_value=datetime(2099, 1, 1)).map(
    lambda wall: wall.replace(second=0, microsecond=0)
)


@pytest.mark.parametrize("language", every(), ids=lambda language: language.code)
@given(data=st.data(), wall=WALLS, key=st.sampled_from(sorted(keys())))
@settings(max_examples=150)
def test_any_time_written_as_a_language_writes_it(language, data, wall, key):
    """Any minute, written as a language writes it, is read as that instant; one that clocks skip or double is asked about."""
    months = [word for word, number in language.months.items() if number == wall.month]
    weekdays = [word for word, number in language.weekdays.items() if number == wall.weekday()]
    text = data.draw(st.sampled_from(FORMS[language.code])).format(
        month=data.draw(st.sampled_from(months)),
        weekday=data.draw(st.sampled_from(weekdays)),
        day=wall.day,
        year=wall.year,
        hour=f"{wall.hour:02}",
        hour12=wall.hour % 12 or 12,
        half=f"{wall:%p}",
        minute=f"{wall.minute:02}",
    )
    reading = read(text, default_zone=key)
    found = instants(wall, zone(key))
    if len(found) == 1:
        assert reading.kind is Kind.FIXED, (text, reading.reason)
        assert reading.lift.at == found[0]
    else:
        assert reading.kind is Kind.AMBIGUOUS
        assert len(reading.candidates) == 2
        assert "clocks" in reading.reason
