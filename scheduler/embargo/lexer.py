"""Running text cut into tokens: one regular expression, made of the words of every language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from scheduler.embargo.tokens import About, Clock, DateParts, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.words import LANGUAGES, NUMBERS, PLACES, TWISTS
from scheduler.embargo.zones import ABBREVIATIONS, keys


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


def _numbered(groups: list[str], first: int) -> dict[str, int]:
    return {word: number for number, group in enumerate(groups, first) for word in group.split("|")}


def group(*names: str) -> list[str]:
    """The words of a kind, such as ``until``, of every language."""
    return [word for language in LANGUAGES for name in names for word in getattr(language, name).split("|")]


def any_of(words: list[str] | dict[str, int]) -> str:
    """A regular expression for any of these words, longest first, whatever white space stands between their parts."""
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(set(words), key=len, reverse=True))


_MONTHS = {word: number for language in LANGUAGES for word, number in _numbered(language.months.split(","), 1).items()}
_WEEKDAYS = {
    word: number for language in LANGUAGES for word, number in _numbered(language.weekdays.split(","), 0).items()
}
_SHIFTS = dict.fromkeys(group("today", "tonight"), 0) | dict.fromkeys(group("tomorrow"), 1)
_HALVES = dict.fromkeys(group("morning"), "a") | dict.fromkeys(group("evening", "tonight"), "p")
_NOON = frozenset(group("noon"))
_HOURS = NUMBERS.split("|")
_SEASONS = {"standard": "standard", "daylight": "daylight", "summer": "daylight", "saving": "", "savings": ""}

_M = r"(?:[.\s]*(?P<half{0}>[ap])\.?\s?m(?![a-z])\.?)"
# In running text these are words.
_NAMES = {"utc", "gmt", "z", *map(str.lower, ABBREVIATIONS)} - {"art", "cat", "wet", "west"}
_ABBREVIATED = "|".join(r"\.?".join(name) for name in sorted(_NAMES, key=len, reverse=True))
_ZONISH = rf"(?:{_ABBREVIATED}|local|(?:[a-z.]+\s+){{1,2}}time)\b"
_UNIT = any_of(group("hour"))
_ALONE = any_of([unit for unit in group("hour") if unit not in {"hours", "hrs", "hr"}])
TWIST = TWISTS.replace(" ", r"\s+")
_YEAR = rf"(?:19|20|21)\d\d(?!\d|\s?(?:{_UNIT})\b)"
_ORDINAL = r"(?:\s?(?:st|nd|rd|th|er|°|o)\b\.?|\.|°)?"
_OF_FIGURES = {
    "iso": r"(?P<yi>\d{4})-(?P<mi>\d\d)-(?P<di>\d\d)(?:t(?=\d)|(?!\d))",
    "dmy": rf"(?P<d1>\d{{1,2}}){_ORDINAL}\s*(?:of\s+|de\s+|del\s+|di\s+|-)?(?P<mo1>{any_of(_MONTHS)})(?![a-z])\.?"
    rf"(?:[\s,-]{{0,3}}(?:de\s+|del\s+)?(?P<y1>{_YEAR}))?",
    "num": r"(?P<a>\d{1,2})(?P<sep>[/.-])(?P<b>\d{1,2})(?P=sep)(?P<y3>(?:19|20|21)\d\d|\d\d)(?!\d|[:.]\d)",
    "dm": r"(?P<d4>\d{1,2})\.(?P<m4>\d{1,2})\.(?!\d)",
    "noon12": rf"12(?:[.:]00)?\s+(?P<noon12w>{any_of(group('noon', 'midnight'))})(?![a-z])",
    "mil12": rf"(?P<h1>\d{{1,2}})(?P<n1>[0-5]\d){_M.format(1)}",
    "clock12": rf"(?P<h2>\d{{1,2}})(?:\s?[.:]\s?(?P<n2>[0-5o][\do]))?(?:[.:][0-5]\d)?{_M.format(2)}",
    "clock24": rf"(?P<h3>\d{{1,2}})(?:[:.]|\s?(?:h|uhr)\s?)(?P<n3>[0-5]\d)(?:[:.][0-5]\d)?(?!\d|[./]\d)"
    rf"(?:\s*(?P<u3>{_UNIT})(?![a-z])\.?)?",
    "mil24": rf"(?P<h4>[01]\d|2[0-4])(?P<n4>[0-5]\d)"
    rf"(?:\s*(?:{_UNIT})(?![a-z])\.?|(?=[\s(,]{{1,3}}{_ZONISH})|(?<=0\d\d\d)(?!\d))",
    "hour": rf"(?P<h5>\d{{1,2}})\s{{0,3}}(?P<u5>{_ALONE})(?![a-z])",
    "ordinal": r"(?P<d8>\d{1,2})(?:st|nd|rd|th)(?![a-z])",
}
_OF_WORDS = {
    "mdy": rf"(?P<mo2>{any_of(_MONTHS)})(?![a-z])\.?\s*(?P<d2>\d{{1,2}})(?!\d)(?:\s?(?:st|nd|rd|th)\b)?"
    rf"(?!\s?[:.]\s?\d\d|\s*[ap]\.?\s?m\b)(?:[\s,]{{1,3}}(?P<y2>{_YEAR}))?",
    "orehour": r"(?:ore|alle|las)\s+(?P<h6>\d{1,2})(?![\d:.])",
    "word": rf"(?P<w7>{NUMBERS})\s+(?:o'clock|(?P<half7>[ap])\.?\s?m(?![a-z])\.?)",
    "noon": rf"(?:{any_of(group('noon', 'midnight'))})(?![a-z])",
    "gmt": r"(?:utc|gmt)\s?(?P<s1>[+-])\s?(?P<oh1>\d{1,2})(?::?(?P<om1>[0-5]\d))?(?!\d)",
    "iana": rf"(?!(?:{_ABBREVIATED})/)(?:[a-z]+/[a-z_-]+(?:/[a-z_]+)?)",
    "abbr": rf"(?:{_ABBREVIATED})(?![\w'])\.?(?:\s+time(?![a-z]))?",
    "named": r"(?:us\s+|u\.s\.\s+)?(?P<nm>eastern|central|mountain|pacific)"
    r"(?:\s+(?P<sn>standard|daylight)(?:\s+savings?)?)?(?:\s+time)?(?!\s*european|\s+[a-z]+\s+time)(?![a-z])",
    "local": r"(?:local(?:\s+time)?|ortszeit|heure\s+locale|hora\s+local|ora\s+locale)(?!\s+time|\s+in)(?![a-z])",
    "check": r"check(?:ed)?\s+against\s+delivery|as\s+prepared\s+for\s+delivery",
    "twist": TWIST,
    "event": "|".join(language.event for language in LANGUAGES).replace(" ", r"\s+"),
    "weekday": rf"(?:(?P<lead>this|next)\s+)?(?P<wd>{any_of(_WEEKDAYS)})(?![a-z])\.?",
    "relative": rf"(?P<rel>{any_of([*_SHIFTS, *_HALVES])})(?![a-z])",
    "about": rf"(?:{any_of(group('about'))})(?![a-z])",
    "until": rf"(?:{any_of(group('until'))})(?![a-z]|-\d)",
    "placed": r"(?:in|hora|heure\s+d[eu]|hora\s+d[eu]|ora\s+di|heure)\s+"
    r"(?P<in>(?:the\s+)?[a-z][a-z.']+(?:,?\s+[a-z.]+){0,2})",
}
_FIGURES, _WORDS = ("|".join(f"(?P<{name}>{it})" for name, it in kind.items()) for kind in (_OF_FIGURES, _OF_WORDS))
_LEX = re.compile(
    # A token starts where a word does, but for the "t" of an ISO date and what may follow its time.
    rf"(?:(?<!\w)|(?<=\dt))(?:(?=\d)(?:{_FIGURES})|(?=[a-z])(?:{_WORDS}))"
    r"|(?P<offset>(?P<s2>[+-])(?P<oh2>\d\d):?(?P<om2>[0-5]\d)(?!\d))|(?P<zulu>(?<=\d)z(?!\w))"
)
_WORD = re.compile(r"[\w']+|.", re.DOTALL)
_BARE = re.compile(r"[\s,(]{1,3}(?P<bare>[a-z][a-z.]{2,}(?:[^\S\n][a-z.]{2,}){0,2})(?=\s*(?:[,;)/(\n]|\.?$|\.\s))")
_TIME = re.compile(r"(?<![a-z])time(?![a-z])")


@cache
def _place_keys() -> dict[str, str]:
    cities = {key.rpartition("/")[2].replace("_", " ").casefold(): key for key in sorted(keys(), reverse=True)}
    return cities | PLACES


@cache
def _key_names() -> dict[str, str]:
    return {key.casefold(): key for key in keys()}


def cut(text: str, start: int, end: int) -> list[Token]:
    """The tokens of a stretch of folded text, in order."""
    tokens: list[Token] = []
    position = start
    while (found := _LEX.search(text, position, end)) is not None:
        token = _token(found)
        if token is not None:
            tokens.append(token)
            position = token.end
            continue
        # What reached over several words turned out to be none of ours; what it swallowed may be.
        word = _WORD.match(text, found.start(), end)
        position = word.end() if word and found.lastgroup in {"placed", "iana"} else found.end()
    for place in (*_timed_places(text, start, end), *_bare_places(text, tokens, end)):
        if all(place.end <= token.start or token.end <= place.start for token in tokens):
            tokens.append(place)
    tokens.sort(key=lambda token: token.start)
    return tokens


def _timed_places(text: str, start: int, end: int) -> Iterator[Where]:
    """The places before the word "time", such as "San Diego time"."""
    for time in _TIME.finditer(text, start, end):
        left = max(start, time.start() - 48)
        words = list(re.finditer(r"[a-z][a-z.',]*", text[left : time.start()]))
        seasons = [word for word in words[-2:] if word.group() in _SEASONS]
        words = [word for word in words if word.group() not in {*_SEASONS, "local"}]
        for count in (3, 2, 1):
            if len(words) < count:
                continue
            key = _place_keys().get(" ".join(word.group() for word in words[-count:]))
            if key:
                season = _SEASONS[seasons[0].group()] if seasons else ""
                yield Where(start=left + words[-count].start(), end=time.end(), key=key, season=season)
                break


def _bare_places(text: str, tokens: list[Token], end: int) -> Iterator[Where]:
    """The places that follow a clock time at once, such as "6:00 a.m. New York"."""
    for token in tokens:
        if isinstance(token, Clock) and (found := _BARE.match(text, token.end, end)):
            key = _place_keys().get(" ".join(found["bare"].split()))
            if key:
                yield Where(start=found.start("bare"), end=found.end(), key=key)


def _token(found: re.Match[str]) -> Token | None:
    make = _MAKERS.get(found.lastgroup or "")
    return make(found) if make else Token(start=found.start(), end=found.end())


def _day(found: re.Match[str]) -> Day | None:
    start, end = found.span()
    one = found.group
    dates: tuple[DateParts, ...]
    match found.lastgroup:
        case "iso":
            dates = ((int(one("yi")), int(one("mi")), int(one("di"))),)
        case "dmy":
            dates = ((_year(one("y1")), _MONTHS[one("mo1")], int(one("d1"))),)
        case "mdy":
            dates = ((_year(one("y2")), _MONTHS[one("mo2")], int(one("d2"))),)
        case "dm":
            dates = ((None, int(one("m4")), int(one("d4"))),)
        case "ordinal":
            dates = ((None, None, int(one("d8"))),)
        case _:
            year = _year(one("y3"))
            dates = ((year, int(one("b")), int(one("a"))), (year, int(one("a")), int(one("b"))))
    return Day(start=start, end=end, dates=dates)


def _year(digits: str | None) -> int | None:
    if digits is None:
        return None
    short = int(digits)
    return short if short > 99 else short + (1900 if short > 69 else 2000)


def _clock(found: re.Match[str]) -> Clock | None:
    start, end = found.span()
    one = found.group
    half, sure = "", False
    match found.lastgroup:
        case "mil12":
            digits, minutes, half = one("h1"), one("n1"), one("half1")
        case "clock12":
            digits, minutes, half = one("h2"), (one("n2") or "0").replace("o", "0"), one("half2")
        case "clock24":
            digits, minutes, sure = one("h3"), one("n3"), one("u3") is not None
        case "mil24":
            digits, minutes, sure = one("h4"), one("n4"), True
        case "hour":
            digits, minutes, sure = one("h5"), "0", one("u5") != "o'clock"
        case "orehour":
            digits, minutes, sure = one("h6"), "0", True
        case "word":
            digits, minutes, half = str(_HOURS.index(one("w7")) + 1), "0", one("half7") or ""
        case _:
            noon = (found["noon12w"] or found.group()) in _NOON
            return Clock(start=start, end=end, times=((0, 12, 0),) if noon else ((0, 0, 0), (1, 0, 0)))
    times = _times(int(digits), int(minutes), half=half, sure=sure or digits.startswith("0"))
    return Clock(start=start, end=end, times=times, digits=len(digits)) if times else None


def _times(hour: int, minute: int, *, half: str, sure: bool) -> tuple[tuple[int, int, int], ...]:
    if half and 1 <= hour <= 12:
        return ((0, hour % 12 + (12 if half == "p" else 0), minute),)
    if half and not (hour > 12 and half == "p"):
        # 0.30 am says the same thing twice; 15.00 am contradicts itself.
        return ((0, 0, minute),) if hour == 0 and half == "a" else ()
    if hour == 24:
        return ((1, 0, 0),) if minute == 0 else ()
    if hour > 24:
        return ()
    return (
        ((0, hour, minute),)
        if sure or half or not 1 <= hour <= 12
        else ((0, hour, minute), (0, (hour + 12) % 24, minute))
    )


def _weekday(found: re.Match[str]) -> Weekday:
    return Weekday(start=found.start(), end=found.end(), number=_WEEKDAYS[found["wd"]], lead=found["lead"] or "")


def _relative(found: re.Match[str]) -> Relative:
    word = " ".join(found["rel"].split())
    return Relative(start=found.start(), end=found.end(), shift=_SHIFTS.get(word), half=_HALVES.get(word, ""))


def _offset(found: re.Match[str]) -> Where | None:
    number = "1" if found.lastgroup == "gmt" else "2"
    minutes = int(found["oh" + number]) * 60 + int(found["om" + number] or 0)
    if minutes > 14 * 60 or minutes % 15:
        return None
    quarters = minutes // 15 * (-1 if found["s" + number] == "-" else 1)
    return Where(start=found.start(), end=found.end(), quarters=quarters)


def _iana(found: re.Match[str]) -> Where | None:
    key = _key_names().get(found.group())
    return Where(start=found.start(), end=found.end(), key=key) if key else None


def _abbreviation(found: re.Match[str]) -> Where:
    start, end = found.span()
    name = found.group().split()[0].replace(".", "").upper()
    if name in {"UTC", "GMT", "Z"}:
        return Where(start=start, end=end, quarters=0)
    return Where(start=start, end=end, abbreviation=name)


def _named(found: re.Match[str]) -> Where:
    season = _SEASONS.get(found["sn"] or "", "")
    return Where(start=found.start(), end=found.end(), key=PLACES[found["nm"]], season=season)


def _local(found: re.Match[str]) -> Where:
    return Where(start=found.start(), end=found.end(), local=True)


def _place(found: re.Match[str]) -> Where | None:
    """The longest run of the words after ``in`` that names a place."""
    words, first = found["in"], found.start("in")
    ends = [match.end() for match in re.finditer(r"[^\s,]+", words)]
    for end in reversed(ends):
        key = _place_keys().get(" ".join(words[:end].strip(".").split())) or _place_keys().get(
            " ".join(words[:end].split())
        )
        if key:
            return Where(start=found.start(), end=first + end, key=key)
    return None


def _plain_token(kind: type[Token]) -> Callable[[re.Match[str]], Token]:
    return lambda found: kind(start=found.start(), end=found.end())


_MAKERS: dict[str, Callable[[re.Match[str]], Token | None]] = {
    **dict.fromkeys(("iso", "dmy", "mdy", "num", "dm", "ordinal"), _day),
    **dict.fromkeys(("mil12", "clock12", "clock24", "mil24", "hour", "orehour", "word", "noon", "noon12"), _clock),
    **dict.fromkeys(("offset", "gmt"), _offset),
    **dict.fromkeys(("abbr", "zulu"), _abbreviation),
    "iana": _iana,
    "named": _named,
    "local": _local,
    "placed": _place,
    "weekday": _weekday,
    "relative": _relative,
    "event": _plain_token(Event),
    "twist": _plain_token(Twist),
    "about": _plain_token(About),
    "until": _plain_token(Until),
}
