"""The languages newsrooms write in: each one file of tables beside this one, written as docs/languages.md says.

Words are kept as :func:`fold` leaves them: lower case, without accents, with plain marks.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from scheduler.embargo.languages.phrases import first_words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Language:
    """The tables of one language; docs/languages.md says what each holds.

    ``months`` and ``weekdays`` give each word its number (January 1, Monday 0), ``fractions`` the minutes that a phrase adds
    to the hour after it, ``past`` to the hour before it, ``dates`` a day as ``12-25``, ``parts`` the half of the day that the
    end of a weekday names. ``filler`` holds single words, ``places`` IANA keys by name; what else is a tuple holds phrases, in
    the notation of :mod:`scheduler.embargo.languages.phrases`.
    """

    code: str
    name: str
    clock: int
    counted: str = ""
    months: dict[str, int]
    weekdays: dict[str, int]
    numbers: dict[str, int]
    fractions: dict[str, int] = field(default_factory=dict)
    past: dict[str, int] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    filler: frozenset[str]
    places: dict[str, str]
    today: tuple[str, ...] = ()
    tomorrow: tuple[str, ...] = ()
    overmorrow: tuple[str, ...] = ()
    tonight: tuple[str, ...] = ()
    this: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    morning: tuple[str, ...] = ()
    evening: tuple[str, ...] = ()
    noon: tuple[str, ...] = ()
    midnight: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    hangs: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    twist: tuple[str, ...] = ()
    occasion: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    into: tuple[str, ...] = ()
    notice: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    immediate: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    idiom: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()

    def does_without(self) -> frozenset[str]:
        """The words a statement says nothing by: filler, and what leads to its time."""
        return self.filler | {word for phrase in (*self.until, *self.leads) for word in re.findall(r"\w+", phrase)}

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
            *self.leads,
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

_SCANNED = re.compile(
    r"(?<![\w.:])(?=[ol]*\d)[\dol]{1,2}\s?[.:]\s?[\dol]{2}(?![\w.:])"
    r"|(?<![\w.:])(?=[ol]*\d)[\dol]{1,2}[.:][\dol]{2}(?=\s?[ap]\W?\s?m)"
    r"|(?<!\w)(?:\dl|l\d|\do)(?=\s?[ap]\W?\s?m\b)|(?<!\w)[123]o(?=\s(?:ja|fe|ma|ap|ju|au|se|oc|ok|no|de[cz])[a-z]+\s)"
    r"|(?<!\w)l(?=\d(?!\w))|(?<!\w)[12]o(?=\s(?:uhr|h|horas|heures|uur|ore)\b)|(?<=\b2)o(?=\d\d\b)|(?<=\b2\d)o(?=\d\b)"
)
_LETTERED = re.compile(r"0(?<=[a-z]0)(?!\d)|0(?<!\w0)(?=re\b)")
_MIXED = re.compile(r"[ol](?:(?<=\d.)|(?=[\d.:])|(?<=[.:].)(?=[\dol]))")


_UNDERSCORE = re.compile(r"(?<![a-z])_|_(?![a-z])")
_GLUED = re.compile(r"[a-z](?=E(?:MBARGO|mbargo))")


def part(raw: str, folded: str) -> str:
    """Folded text in which the word embargo stands apart from one that lost its line break: ``AucklandEMBARGOED``."""
    if _GLUED.search(raw) is None:
        return folded
    letters = list(folded)
    for found in _GLUED.finditer(raw):
        letters[found.start()] = " "
    return "".join(letters)


def mend(folded: str) -> str:
    """Folded text whose figures a scanner took for letters are figures again: ``5.oo pm``, ``2o27``, and ``embarg0`` a word."""
    if _MIXED.search(folded):
        folded = _SCANNED.sub(lambda found: found.group().replace("o", "0").replace("l", "1"), folded)
    if "_" in folded:
        folded = _UNDERSCORE.sub(" ", folded)
    return _LETTERED.sub("o", folded) if "0" in folded else folded


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
    told: dict[str, Any] = {"code": code} | {key: value for key, value in table.items() if not isinstance(value, dict)}
    for section in table.values():
        told |= section if isinstance(section, dict) else {}
    if "in" in told:
        told["into"] = told.pop("in")
    known = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(Language)}
    if strange := told.keys() - known.keys():
        raise ValueError(f"{code}.toml: '{min(strange)}' is not a key of a language file.")
    if missing := {key for key, needed in known.items() if needed} - told.keys():
        raise ValueError(f"{code}.toml: '{min(missing)}' is missing.")
    try:
        read = {key: _value(key, words) for key, words in told.items()}
    except ValueError as error:
        raise ValueError(f"{code}.toml: {error}") from error
    return Language(**read)


def _value(key: str, words: Any) -> Any:
    reader = _READ.get(key)
    return reader(key, words) if reader else _phrases(key, words)


def _as_it_is(_: str, value: Any) -> Any:
    return value


def _numbered(key: str, groups: Any) -> dict[str, int]:
    first, count = {"months": (1, 12), "weekdays": (0, 7), "numbers": (1, 12)}[key]
    several = groups.split("|") if isinstance(groups, str) else groups
    if len(several) != count:
        raise ValueError(f"'{key}' has {len(several)} entries; it needs {count}.")
    return {word: number for number, group in enumerate(several, first) for word in fold(group).split("|")}


def _by_phrase(_: str, meanings: Any) -> dict[str, Any]:
    return {fold(phrase): meaning for phrase, meaning in meanings.items()}


def _by_place(_: str, places: Any) -> dict[str, str]:
    return {fold(name): zone for zone, names in places.items() for name in names}


def _filler(_: str, words: str) -> frozenset[str]:
    return frozenset(fold(words).split())


def _phrases(key: str, phrases: Any) -> tuple[str, ...]:
    if not isinstance(phrases, list):
        raise ValueError(f"'{key}' must be a list of phrases.")  # noqa: TRY004 - one error for all mistakes of a file
    folded = tuple(phrase if phrase.startswith("/") else fold(phrase) for phrase in phrases)
    try:
        for phrase in folded:
            _ = phrase.startswith("/") or first_words(phrase)
    except ValueError as error:
        raise ValueError(f"'{key}': {error}") from error
    return folded


_READ: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("code", "name", "clock", "counted"), _as_it_is),
    **dict.fromkeys(("months", "weekdays", "numbers"), _numbered),
    **dict.fromkeys(("fractions", "past", "dates", "parts"), _by_phrase),
    "filler": _filler,
    "places": _by_place,
}
"""How the value of a key is read; what is not here is a list of phrases."""
