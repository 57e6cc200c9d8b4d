"""What the words of the languages mean in an embargo statement: rules that turn text at a word into tokens."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial

from scheduler.embargo.languages import Language, abbreviations, every
from scheduler.embargo.languages.phrases import any_phrase, first_words
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.zones import places

LETTER = r"[^\W\d_]"
SEASONS = {"standard": "standard", "daylight": "daylight", "summer": "daylight", "saving": "", "savings": ""}
HALF = r"[.\s]*(?P<half{0}>[ap])\.?\s?m(?![a-z])\.?"

# The others of the names are words in running text.
_NAMES = {"utc", "gmt", "z", *map(str.lower, abbreviations())} - {"art", "cat", "wet", "west"}
ABBREVIATED = "|".join(r"\.?".join(name) for name in sorted(_NAMES, key=len, reverse=True))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The words of some languages, read together."""

    languages: tuple[Language, ...]
    rules: dict[str, tuple[Rule, ...]]
    months: dict[str, int]
    noons: Mapping[str, Make]
    of: frozenset[str]
    filler: frozenset[str]
    time: re.Pattern[str]
    joins: re.Pattern[str]
    label: re.Pattern[str]


@cache
def lexicon(languages: tuple[Language, ...]) -> Lexicon:
    """The lexicon of these languages. Where two of them mean different things by a word, the earlier one's holds."""
    rules: defaultdict[str, list[Rule]] = defaultdict(list)
    for language in reversed(languages):
        for words, rule in _rules(language):
            for word in words:
                rules[word].insert(0, rule)
    for words, rule in _ZONE_RULES:
        for word in words:
            rules[word].append(rule)

    def phrases(name: str) -> str:
        return any_phrase(phrase for language in languages for phrase in getattr(language, name))

    return Lexicon(
        languages=languages,
        rules={word: tuple(sorted(several, key=lambda rule: rule.rank)) for word, several in rules.items()},
        months={word: number for language in reversed(languages) for word, number in language.months.items()},
        noons={word: _noon for language in languages for word in language.noon}
        | {word: _midnight for language in languages for word in language.midnight},
        of=frozenset(word for language in languages for word in language.of),
        filler=frozenset(word for language in languages for word in _fillers(language)),
        time=re.compile(phrases("time")),
        joins=re.compile(rf"{phrases('joins')}|{phrases('until')}|;"),
        label=re.compile(rf"(?:{phrases('label')}\s+)+$"),
    )


def _fillers(language: Language) -> Iterable[str]:
    """The words a statement does without: filler, and what leads to its time."""
    return language.filler | {word for phrase in language.until for word in re.findall(r"\w+", phrase)}


def _rules(language: Language) -> Iterable[tuple[frozenset[str], Rule]]:
    months, weekdays, numbers = (_any(words) for words in (language.months, language.weekdays, language.numbers))
    yield (
        _firsts(language.months),
        Rule(
            rank=1,
            regex=rf"(?P<month>{months})(?!{LETTER})\.?\s*(?P<day>\d{{1,2}})(?!\d)(?:\s?(?:st|nd|rd|th)\b)?"
            rf"(?!\s?[:.]\s?\d\d|\s*[ap]\.?\s?m\b)(?:[\s,]{{1,3}}(?P<year>{YEAR}))?",
            make=partial(_month_first, months=language.months),
        ),
    )
    if language.at:
        at = _any(language.at)
        yield (
            _firsts(language.at),
            Rule(
                rank=2,
                regex=rf"(?:{at})\s+(?:(?P<digits>\d{{1,2}})(?!\d|:|[.h]\d)|(?P<word>{numbers})(?!{LETTER}))",
                make=partial(_hour_word, numbers=language.numbers, sure=True),
            ),
        )
    units = "|".join(re.escape(unit) for unit in language.units if unit not in {"hours", "hrs", "hr", "h"})
    yield (
        _firsts(language.numbers),
        Rule(
            rank=3,
            regex=rf"(?P<word>{numbers})\s+(?:(?:{units})(?!{LETTER})|{HALF.format('')})",
            make=partial(_hour_word, numbers=language.numbers, sure=language.clock == 24),
        ),
    )
    for rank, make, phrases in (
        (4, _noon, language.noon),
        (4, _midnight, language.midnight),
        (10, _plain(Token), language.against),
        (12, _plain(Twist), language.twist),
        (13, _plain(Event), language.event),
        (16, _plain(About), language.about),
        (17, _plain(Until), language.until),
    ):
        for phrase in phrases:
            yield first_words(phrase), Rule(rank=rank, regex=any_phrase([phrase]), make=make)
    for phrase in language.local:
        yield first_words(phrase), Rule(rank=9, regex=any_phrase([phrase]) + r"(?!\s+time|\s+in\b)", make=_local)
    leads = (rf"(?P<this>{any_phrase(language.this)})", rf"(?P<next>{any_phrase(language.next)})")
    yield (
        _firsts(language.weekdays) | _firsts([*language.this, *language.next]),
        Rule(
            rank=14,
            regex=rf"(?:(?:{'|'.join(leads)})\s+)?(?P<weekday>{weekdays})(?!{LETTER})\.?",
            make=partial(_weekday, weekdays=language.weekdays),
        ),
    )
    relative = partial(_relative, meaning=_meaning(language))
    for phrase in (*language.today, *language.tomorrow, *language.tonight, *language.morning, *language.evening):
        yield first_words(phrase), Rule(rank=15, regex=any_phrase([phrase]), make=relative)
    for phrase in language.overmorrow:
        yield first_words(phrase), Rule(rank=11, regex=any_phrase([phrase]), make=relative)
    for phrase in language.into:
        yield (
            first_words(phrase),
            Rule(
                rank=18,
                regex=any_phrase([phrase])
                + rf"\s*(?P<place>(?:the\s+)?{LETTER}(?:{LETTER}|[.'-])+(?:,?\s+[a-z.]+){{0,2}})",
                make=_place,
            ),
        )


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))


def _firsts(words: Iterable[str]) -> frozenset[str]:
    return frozenset(first for word in words for first in first_words(word))


def year(digits: str | None) -> int | None:
    """The year that four or two digits name."""
    if digits is None:
        return None
    short = int(digits)
    return short if short > 99 else short + (1900 if short > 69 else 2000)


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
    dates = ((year(found["year"]), months[found["month"]], int(found["day"])),)
    return Day(start=found.start(), end=found.end(), dates=dates)


def _hour_word(found: re.Match[str], *, numbers: dict[str, int], sure: bool) -> Clock | None:
    groups = found.groupdict()
    digits = groups.get("digits")
    hour = int(digits) if digits else numbers[groups["word"]]
    readings = times(hour, 0, half=groups.get("half") or "", sure=sure)
    return Clock(start=found.start(), end=found.end(), times=readings, digits=len(digits or "1")) if readings else None


def _noon(found: re.Match[str]) -> Clock:
    return Clock(start=found.start(), end=found.end(), times=((0, 12, 0),))


def _midnight(found: re.Match[str]) -> Clock:
    return Clock(start=found.start(), end=found.end(), times=((0, 0, 0), (1, 0, 0)))


def _weekday(found: re.Match[str], *, weekdays: dict[str, int]) -> Weekday | None:
    lead = "this" if found["this"] else "next" if found["next"] else ""
    return Weekday(start=found.start(), end=found.end(), number=weekdays[found["weekday"]], lead=lead)


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


def _plain(kind: type[Token]) -> Make:
    return lambda found: kind(start=found.start(), end=found.end())


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
    name = found["name"].replace(".", "").upper()
    if name in {"UTC", "GMT", "Z"}:
        return Where(start=start, end=end, quarters=0)
    return Where(start=start, end=end, abbreviation=name)


def _named(found: re.Match[str]) -> Where:
    season = SEASONS.get(found["season"] or "", "")
    return Where(start=found.start(), end=found.end(), key=places()[found["region"]], season=season)


_ZONE_RULES = (
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
        Rule(rank=7, regex=rf"(?P<name>{ABBREVIATED})(?![\w'])\.?(?:\s+time(?![a-z]))?", make=_abbreviation),
    ),
    (
        frozenset({"us", "u", "eastern", "central", "mountain", "pacific"}),
        Rule(
            rank=8,
            regex=r"(?:us\s+|u\.s\.\s+)?(?P<region>eastern|central|mountain|pacific)"
            r"(?:\s+(?P<season>standard|daylight)(?:\s+savings?)?)?(?:\s+time)?(?!\s*european|\s+[a-z]+\s+time)(?![a-z])",
            make=_named,
        ),
    ),
)
