"""The languages newsrooms write in: each one file of tables beside this one, written as docs/languages.md says.

Words are kept as :func:`fold` leaves them: lower case, without accents, with plain marks.
"""

from __future__ import annotations

import tomllib
import unicodedata
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from scheduler.embargo.languages.phrases import first_words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Language:
    """The tables of one language; docs/languages.md says what each holds.

    ``months`` and ``weekdays`` give each word its number (January 1, Monday 0). ``filler`` holds single words, ``places`` IANA
    keys by name; what else is a tuple holds phrases, in the notation of :mod:`scheduler.embargo.languages.phrases`.
    """

    code: str
    name: str
    clock: int
    months: dict[str, int]
    weekdays: dict[str, int]
    numbers: dict[str, int]
    filler: frozenset[str]
    places: dict[str, str]
    today: tuple[str, ...] = ()
    tomorrow: tuple[str, ...] = ()
    overmorrow: tuple[str, ...] = ()
    tonight: tuple[str, ...] = ()
    this: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    morning: tuple[str, ...] = ()
    evening: tuple[str, ...] = ()
    noon: tuple[str, ...] = ()
    midnight: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    twist: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    into: tuple[str, ...] = ()
    notice: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    immediate: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    idiom: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()

    def vocabulary(self) -> frozenset[str]:
        """The words by which a text in this language is known."""
        phrases = (
            *self.today,
            *self.tomorrow,
            *self.tonight,
            *self.noon,
            *self.midnight,
            *self.units,
            *self.until,
            *self.event,
        )
        phrases += (
            *self.notice,
            *self.order,
            *self.ban,
            *self.loose,
            *self.immediate,
            *self.lifted,
            *self.label,
            *self.about,
        )
        words = {word for phrase in phrases for word in first_words(phrase)}
        return frozenset(words | self.filler | {*self.months, *self.weekdays, *self.numbers}) - {"embargo"}


def fold(text: str) -> str:
    """The text in lower case and without accents or typographic quotes, dashes and blanks: character for character."""
    # The one letter whose small form is two characters.
    lowered = text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "I").lower()
    return lowered if lowered.isascii() else lowered.translate(_plain())


_MARKS = {
    "'": "\u2018\u2019\u00b4\u0060\u02bc\u2032",
    '"': "\u201c\u201d\u201e\u00ab\u00bb\u2033",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    " ": "\u00a0\u2007\u2009\u202f",
    ":": "\uff1a",
    "\u00b0": "\u00ba",
}
"""Typographic marks, by the plain one that stands for them in folded text."""


@cache
def _plain() -> dict[int, str]:
    plain = {code: unicodedata.normalize("NFD", chr(code))[0] for code in range(0xC0, 0x250)}
    for plainly, marks in _MARKS.items():
        plain |= dict.fromkeys(map(ord, marks), plainly)
    return plain


@cache
def every() -> tuple[Language, ...]:
    """All languages, English first."""
    names = (file.name for file in files(__name__).iterdir())
    codes = {name.removesuffix(".toml") for name in names if name.endswith(".toml")} - {"zones"}
    return tuple(parse(code, _table(code)) for code in ("en", *sorted(codes - {"en"})))


def named(code: str) -> Language:
    """The language of a code such as ``de``; ``KeyError`` where there is no file for it."""
    return {language.code: language for language in every()}[code]


@cache
def abbreviations() -> dict[str, tuple[tuple[str, timedelta | None], ...]]:
    """The zones an abbreviation may mean, likeliest first: IANA key, and the distance from UTC that the name claims, if any."""
    rows: dict[str, list[str]] = _table("zones")["abbreviations"]
    return {name: tuple(map(_claimed, entries)) for name, entries in rows.items()}


def _claimed(entry: str) -> tuple[str, timedelta | None]:
    key, _, away = entry.partition(" ")
    return key, datetime.strptime(away, "%z").utcoffset() if away else None


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))


def parse(code: str, table: dict[str, Any]) -> Language:
    """A language from the tables of its file; ``ValueError`` says which key of them is not as it should be."""
    known = {field.name for field in fields(Language)}
    told: dict[str, Any] = {key: value for key, value in table.items() if not isinstance(value, dict | list)}
    for section in table.values():
        told |= section if isinstance(section, dict) else {}
    told["code"] = code
    if "in" in told:
        told["into"] = told.pop("in")
    if strange := told.keys() - known:
        raise ValueError(f"{code}.toml: '{min(strange)}' is not a key of a language file.")
    for key, words in told.items():
        match key:
            case "code" | "name" | "clock":
                pass
            case "months" | "weekdays":
                told[key] = _numbered(code, key, words, {"months": 12, "weekdays": 7}[key])
            case "numbers":
                told[key] = _numbered(code, key, words.split("|"), 12)
            case "filler":
                told[key] = frozenset(fold(words).split())
            case "places":
                told[key] = {fold(name): zone for zone, names in words.items() for name in names}
            case _:
                told[key] = tuple(phrase if phrase.startswith("/") else fold(phrase) for phrase in words)
    return Language(**told)


def _numbered(code: str, key: str, groups: list[str], count: int) -> dict[str, int]:
    if len(groups) != count:
        raise ValueError(f"{code}.toml: '{key}' has {len(groups)} entries; it needs {count}.")
    first = 0 if key == "weekdays" else 1
    return {word: number for number, group in enumerate(groups, first) for word in fold(group).split("|")}
