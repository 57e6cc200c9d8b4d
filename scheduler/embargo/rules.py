"""How the words of a language turn into tokens: for each word, the rules by which a token may begin there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain

from scheduler.embargo.languages import Language, abbreviations, every
from scheduler.embargo.languages.phrases import any_phrase, first_words
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.zones import places

LETTER = r"[^\W\d_]"
SEASONS = {"standard": "standard", "daylight": "daylight", "summer": "daylight", "saving": "", "savings": ""}
HALF = r"[-.\s]*(?P<half{0}>[ap])\s?[-.]?\s?m(?:(?![a-z])|(?=(?:sun|mon|tues|wednes|thurs|fri|satur)day))\.?"

# The others are words of running text.
_DOTTED = r"\.\s?"
_NAMES = {"utc", "gmt", "z", *map(str.lower, abbreviations())} - set(every()[0].words)
ABBREVIATED = "|".join(f"{name}|{_DOTTED.join(name)}" for name in sorted(_NAMES, key=len, reverse=True))
"""The short names of zones, with or without full stops."""

UNITS = "|".join(re.escape(unit) for language in every() for unit in sorted(language.units, key=len, reverse=True))
YEAR = rf"(?:19|20|21)\d\d(?!\d|\s?(?:{UNITS})\b)"

Make = Callable[[re.Match[str]], Token | None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a token may begin at a word. Of the rules there, those of the lowest ``rank`` that match hold, the longest of them."""

    rank: int
    regex: str
    make: Make

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when first needed: most texts meet few of the rules."""
        return re.compile(self.regex)


_Rules = Iterator[tuple[frozenset[str], Rule]]


def rules(language: Language) -> Iterable[tuple[frozenset[str], Rule]]:
    """The rules of a language, each with the words at which it may hold."""
    return chain(_days(language), _clocks(language), _words(language), _places(language))


def _days(language: Language) -> _Rules:
    months, weekdays, parts = _any(language.months), _any(language.weekdays), _any(language.parts)
    yield (
        _firsts(language.months),
        Rule(
            rank=1,
            regex=rf"(?P<month>{months})(?!{LETTER})\.?\s*(?P<day>\d{{1,2}})(?!\d)(?:\s?(?:st|nd|rd|th)\b)?"
            rf"(?!\s?[:.]\s?\d\d|\s*[ap]\.?\s?m\b)(?:[\s,]{{1,3}}(?P<year>{YEAR}))?",
            make=partial(_month_first, months=language.months),
        ),
    )
    for phrase, day in language.dates.items():
        yield first_words(phrase), Rule(rank=1, regex=any_phrase([phrase]), make=partial(_day_named, day=day))
    if language.on:
        yield (
            _firsts(language.on),
            Rule(
                rank=2,
                regex=rf"(?:{_any(language.on)})\s+(?:dia\s+)?(?P<day>\d{{1,2}})(?![\d/:]|[.h]\d|\s*(?:{UNITS})\b"
                rf"|\W{{0,2}}\s*(?:{LETTER}{{1,3}}\s+)?(?:{months})(?!{LETTER})|\s*[ap]\W?\s?m\b|-)",
                make=_day_alone,
            ),
        )
    leads = rf"(?P<this>{any_phrase(language.this)})|(?P<next>{any_phrase(language.next)})"
    yield (
        _firsts([f"{day}{part}" for day in language.weekdays for part in (*language.parts, "")])
        | _firsts([*language.this, *language.next]),
        Rule(
            rank=14,
            # Two letters that mean a weekday may be another word, but not with a full stop or comma behind them.
            regex=rf"(?:(?:{leads})\s+)?(?P<weekday>{weekdays})(?P<part>{parts})?(?!{LETTER})"
            r"(?:(?<!\b\w\w)|(?=[.,]))\.?",
            make=partial(_weekday, weekdays=language.weekdays, parts=language.parts),
        ),
    )


def _clocks(language: Language) -> _Rules:
    numbers, at = _any(language.numbers), _any(language.at)
    units = "|".join(re.escape(unit) for unit in language.units if unit not in {"hours", "hrs", "hr", "h"})
    if language.at:
        yield (
            _firsts(language.at),
            Rule(
                rank=2,
                regex=rf"(?:{at})\s+(?:(?P<digits>\d{{1,2}})(?:[.:,h](?P<minutes>[0-5]\d))?(?!\w|[:.,/-]\d|\s?h\s?\d"
                rf"|\s*[ap]\W?\s?m\b)(?:\s*(?:{UNITS})(?!{LETTER})\.?)?|(?P<word>{numbers})(?!{LETTER}))",
                make=partial(_hour_word, numbers=language.numbers, sure=True),
            ),
        )
    if language.fractions:
        yield (
            _firsts(language.fractions),
            Rule(
                rank=2,
                regex=rf"(?P<fraction>{any_phrase(language.fractions)})\s+(?:(?P<digits>1?\d)(?!\d)|(?P<word>{numbers})(?!{LETTER}))"
                rf"(?:{HALF.format('')})?",
                make=partial(_fraction, numbers=language.numbers, fractions=language.fractions),
            ),
        )
    if language.past:
        yield (
            _firsts([*language.numbers, *language.at]),
            Rule(
                rank=1,
                regex=rf"(?:(?:{at or '(?!)'})\s+)?(?P<word>{numbers})\s+(?:(?:{units})\s+)?"
                rf"(?P<fraction>{any_phrase(language.past)})",
                make=partial(_fraction, numbers=language.numbers, fractions=language.past),
            ),
        )
    yield (
        _firsts(language.numbers),
        Rule(
            rank=3,
            regex=rf"(?P<word>{numbers})\s+(?:(?:{units})(?!{LETTER})|{HALF.format('')})",
            make=partial(_hour_word, numbers=language.numbers, sure=language.clock == 24),
        ),
    )


def _words(language: Language) -> _Rules:
    relative = partial(_relative, meaning=_meaning(language))
    for rank, make, phrases in (
        (4, noon, language.noon),
        (4, midnight, language.midnight),
        (10, _plain(Token), language.against),
        (11, relative, language.overmorrow),
        (12, _plain(Twist), language.twist),
        (13, _plain(Event), language.event),
        (15, relative, (*language.today, *language.tomorrow, *language.tonight, *language.morning, *language.evening)),
        (16, _plain(About), language.about),
        (16, _planned, language.planned),
        (17, _until, language.until),
        (17, _plain(Until), language.leads),
    ):
        for phrase in phrases:
            yield first_words(phrase), Rule(rank=rank, regex=any_phrase([phrase]), make=make)


def _places(language: Language) -> _Rules:
    for phrase in language.local:
        yield first_words(phrase), Rule(rank=9, regex=any_phrase([phrase]) + r"(?!\s+time|\s+in\b)", make=_local)
    place = rf"\s*(?P<place>(?:the\s+)?{LETTER}(?:{LETTER}|[.'-])+(?:,?\s+[a-z.'-]+){{0,2}})"
    for phrase in language.into:
        yield first_words(phrase), Rule(rank=18, regex=any_phrase([phrase]) + place, make=_place)


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))


def _firsts(words: Iterable[str]) -> frozenset[str]:
    return frozenset(first for word in words for first in first_words(word))


def times(hour: int, minute: int, *, half: str, sure: bool) -> tuple[tuple[int, int, int], ...]:
    """The readings of an hour and minute as days to add, hour, minute; none where no clock shows them.

    ``half`` is ``a`` or ``p`` where that is said; ``sure`` that a 24-hour clock is meant.
    """
    if half and 1 <= hour <= 12:
        return ((0, hour % 12 + (12 if half == "p" else 0), minute),)
    if half and not (hour > 12 and half == "p"):
        # 0.30 am says the same thing twice; 15.00 am contradicts itself.
        return ((0, 0, minute),) if hour == 0 and half == "a" else ()
    if hour == 24:
        return ((1, 0, 0),) if minute == 0 else ()
    if hour > 24:
        return ()
    if sure or half or not 1 <= hour <= 12:
        return ((0, hour, minute),)
    return ((0, hour, minute), (0, (hour + 12) % 24, minute))


def _month_first(found: re.Match[str], *, months: dict[str, int]) -> Day:
    dates = ((int(found["year"]) if found["year"] else None, months[found["month"]], int(found["day"])),)
    return Day(start=found.start(), end=found.end(), dates=dates)


def _hour_word(found: re.Match[str], *, numbers: dict[str, int], sure: bool) -> Clock | None:
    groups = found.groupdict()
    digits = groups.get("digits")
    hour = int(digits) if digits else numbers[groups["word"]]
    half = groups.get("half") or ""
    readings = times(hour, int(groups.get("minutes") or 0), half=half, sure=sure)
    if not readings:
        return None
    return Clock(start=found.start(), end=found.end(), times=readings, digits=len(digits or "1"), half=half)


def _fraction(found: re.Match[str], *, numbers: dict[str, int], fractions: dict[str, int]) -> Clock | None:
    groups = found.groupdict()
    hour = int(groups["digits"]) if groups.get("digits") else numbers[groups["word"]]
    minutes = hour * 60 + fractions[" ".join(found["fraction"].split())]
    half = groups.get("half") or ""
    readings = times(minutes // 60 or 12, minutes % 60, half=half, sure=False)
    return Clock(start=found.start(), end=found.end(), times=readings, digits=1, half=half) if readings else None


def _day_alone(found: re.Match[str]) -> Day:
    return Day(start=found.start(), end=found.end(), dates=((None, None, int(found["day"])),))


def _day_named(found: re.Match[str], *, day: str) -> Day:
    month, _, number = day.partition("-")
    return Day(start=found.start(), end=found.end(), dates=((None, int(month), int(number)),))


def noon(found: re.Match[str]) -> Clock:
    return Clock(start=found.start(), end=found.end(), times=((0, 12, 0),))


def midnight(found: re.Match[str]) -> Clock:
    return Clock(start=found.start(), end=found.end(), times=((0, 0, 0), (1, 0, 0)))


def _weekday(found: re.Match[str], *, weekdays: dict[str, int], parts: dict[str, str]) -> Token:
    start, end = found.span()
    lead = "this" if found["this"] else "next" if found["next"] else ""
    half = parts[found["part"]] if found["part"] else ""
    if half == "night":
        return Twist(start=start, end=end)
    return Weekday(start=start, end=end, number=weekdays[found["weekday"]], lead=lead, half=half)


def _meaning(language: Language) -> Callable[[str], tuple[int | None, str]]:
    shifts = [
        (re.compile(any_phrase(phrases)), shift)
        for phrases, shift in (
            ((*language.today, *language.tonight), 0),
            (language.tomorrow, 1),
            (language.overmorrow, 2),
        )
    ]
    halves = [
        (re.compile(any_phrase(phrases)), half)
        for phrases, half in ((language.morning, "a"), ((*language.evening, *language.tonight), "p"))
    ]

    @cache
    def meaning(words: str) -> tuple[int | None, str]:
        shift = next((shift for pattern, shift in shifts if pattern.fullmatch(words)), None)
        return shift, next((half for pattern, half in halves if pattern.fullmatch(words)), "")

    return meaning


def _relative(found: re.Match[str], *, meaning: Callable[[str], tuple[int | None, str]]) -> Relative:
    shift, half = meaning(" ".join(found.group().split()))
    return Relative(start=found.start(), end=found.end(), shift=shift, half=half)


@cache
def _plain(kind: type[Token]) -> Make:
    return lambda found: kind(start=found.start(), end=found.end())


def _until(found: re.Match[str]) -> Until:
    return Until(start=found.start(), end=found.end(), clause=True)


def _planned(found: re.Match[str]) -> About:
    return About(start=found.start(), end=found.end(), planned=True)


def _local(found: re.Match[str]) -> Where:
    return Where(start=found.start(), end=found.end(), local=True)


def _place(found: re.Match[str]) -> Where | None:
    """The longest run of the words after ``in`` that names a place."""
    words, first = found["place"], found.start("place")
    for match in reversed(list(re.finditer(r"[^\s,]+", words))):
        run = " ".join(words[: match.end()].split())
        key = places().get(run) or places().get(run.rstrip("."))
        if key:
            return Where(start=found.start(), end=first + match.end(), key=key)
    return None


def offset(found: re.Match[str]) -> Where | None:
    """An offset from UTC by its groups ``sign``, ``hours`` and ``minutes``; ``None`` where no zone has it."""
    minutes = int(found["hours"]) * 60 + int(found["minutes"] or 0)
    if minutes > 14 * 60 or minutes % 15:
        return None
    return Where(start=found.start(), end=found.end(), quarters=minutes // 15 * (-1 if found["sign"] == "-" else 1))


def _abbreviation(found: re.Match[str]) -> Where:
    start, end = found.span()
    name = re.sub(r"\W", "", found["name"]).upper()
    if name in {"UTC", "GMT", "Z"}:
        return Where(start=start, end=end, quarters=0)
    return Where(start=start, end=end, abbreviation=name)


def _named(found: re.Match[str]) -> Where:
    """The abbreviation of "Eastern" and its like, which are other zones in Australia."""
    season = {"": "", "standard": "S", "daylight": "D", "summer": "D"}[found["season"] or ""]
    return Where(start=found.start(), end=found.end(), abbreviation=f"{found['region'][0].upper()}{season}T")


ZONES: tuple[tuple[frozenset[str], Rule], ...] = (
    (
        frozenset({"utc", "gmt"}),
        Rule(
            rank=5,
            regex=r"(?:utc|gmt)\s?(?P<sign>[+-])\s?(?P<hours>\d{1,2})(?::?(?P<minutes>[0-5]\d))?(?!\d)",
            make=offset,
        ),
    ),
    (
        frozenset(_NAMES | {name[0] for name in _NAMES}),
        Rule(rank=7, regex=rf"(?<!')(?P<name>{ABBREVIATED})(?![\w'])\.?(?:\s+time(?![a-z]))?", make=_abbreviation),
    ),
    (
        frozenset({"us", "u", "eastern", "central", "mountain", "pacific"}),
        Rule(
            rank=8,
            regex=r"(?:us\s+|u\.s\.\s+)?(?P<region>eastern|central|mountain|pacific)"
            r"(?:\s+(?P<season>standard|daylight|summer)(?:\s+savings?)?)?(?:\s+time)?(?!\s*european|\s+[a-z]+\s+time)(?![a-z])",
            make=_named,
        ),
    ),
)
"""The rules for names of zones, which every language shares."""
