"""Running text cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from scheduler.embargo.languages import every
from scheduler.embargo.lexicon import Lexicon
from scheduler.embargo.rules import ABBREVIATED, HALF, LETTER, SEASONS, UNITS, YEAR, offset, times
from scheduler.embargo.tokens import Clock, DateParts, Day, Relative, Token, Weekday, Where
from scheduler.embargo.zones import keys, places

# No look behind: the search leaps from one of these characters to the next.
_ATOM = re.compile(rf"(?P<word>{LETTER}+)|(?P<figure>\d+)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>[0-5]\d)(?!\d)")
_ORDINAL = r"(?:\s?(?:st|nd|rd|th|er|°)\b\.?|\.|°)?"
_OF = "|".join({re.escape(word) for language in every() for word in language.of})
_DAY_FIRST = re.compile(
    rf"(?P<day>\d{{1,2}}){_ORDINAL}\s*(?:(?P<of>{_OF})\s+|-)?(?P<month>{LETTER}{{3,}})\.?"
    rf"(?:[\s,-]{{0,3}}(?:(?P<of2>{_OF})\s+)?(?P<year>{YEAR}))?"
)
_HOUR = re.compile(r"(?P<hour>1?\d)(?=\s[a-z])")
_NAME = re.compile(rf"\s*(?P<name>{LETTER}+)")
_TWELVE = re.compile(rf"12(?:[.:]00)?\s+(?P<word>{LETTER}[\w-]*)")
_ALONE = "|".join(sorted(set(UNITS.split("|")) - {"hours", "hrs", "hr"}, key=len, reverse=True))
_ZONISH = rf"(?:{ABBREVIATED}|local|(?:[a-z.]+\s+){{1,2}}time)\b"
# "Embargoed to 1600": four figures behind such a word are a time, but not those that may be a year.
_LED = r"(?:(?<=to \d{4})|(?<=until \d{4})|(?<=till \d{4})|(?<=before \d{4}))(?<!19\d\d)(?<!20\d\d)(?<!21\d\d)"
_FIGURES = re.compile(
    "|".join(
        f"(?P<{name}>{form})"
        for name, form in {
            "iso": r"(?P<yi>\d{4})-(?P<mi>\d\d)-(?P<di>\d\d)(?:t(?=\d)|(?!\d))",
            "num": r"(?P<a>\d{1,2})\s?(?P<sep>[/.-])\s?(?P<b>\d{1,2})\s?(?P=sep)\s?(?P<y3>(?:19|20|21)\d\d|\d\d)(?!\d|[:.]\d)",
            "dm": r"(?P<d4>[0-3]?\d)\.(?P<m4>0?[1-9]|1[0-2])\.(?!\d|pm|am)",
            "stroke": r"(?P<d5>[0-3]?\d)/(?P<m5>[0-3]?\d)(?![\d/]|\s*[ap]\W?\s?m\b)",
            "mil12": rf"(?P<h1>\d{{1,2}})(?P<n1>[0-5]\d){HALF.format(1)}",
            "clock12": rf"(?P<h2>\d{{1,2}})(?:(?:\s?[.:]\s?|[,;\s])(?P<n2>[0-5o][\do]))?(?:[.:][0-5]\d)?{HALF.format(2)}",
            "clock24": r"(?P<h3>\d{1,2})(?:[:.]|\s?(?P<mark>h|u|uhr)\s?|,(?=\d\d\s?(?:uhr|uur|ore|h)\b))(?P<n3>[0-5]\d)"
            r"(?:[:.][0-5]\d)?(?!\d|[./]\d)"
            rf"(?:\s*(?P<u3>{UNITS})(?![a-z])\.?)?",
            "mil24": r"(?P<h4>[01]\d|2[0-4])(?P<n4>[0-5]\d)"
            rf"(?:\s*(?:{UNITS})(?![a-z])\.?|(?=[\s(,]{{1,3}}{_ZONISH})|(?<=0\d\d\d)(?!\d)|{_LED}(?!\d|[./-]\d))",
            "hour": rf"(?P<h5>\d{{1,2}})\s{{0,3}}(?P<u5>{_ALONE})(?![a-z])",
            "ordinal": r"(?P<d8>\d{1,2})(?:st|nd|rd|th)(?![a-z])",
        }.items()
    )
)
_IANA = re.compile(rf"(?!(?:{ABBREVIATED})/)[a-z]+/[a-z_-]+(?:/[a-z_]+)?")
_BARE = re.compile(
    r"[^\S\n]?[ ,(]{1,2}(?P<bare>[a-z][a-z.]{2,}(?:[^\S\n][a-z.]{2,}){0,2})(?=\s*(?:[,;)/(\n]|\.?$|\.\s))"
)


@cache
def _key_names() -> dict[str, str]:
    return {key.casefold(): key for key in keys()}


def cut(text: str, start: int, end: int, lexicon: Lexicon) -> list[Token]:
    """The tokens of a stretch of folded text, in order."""
    tokens: list[Token] = []
    position = start
    rules, numbers = lexicon.rules, lexicon.numbers
    for atom in _ATOM.finditer(text, start, end):
        begin, word = atom.start(), atom["word"]
        if begin < position:
            continue
        if word and word not in rules and word not in numbers and not text.startswith("/", atom.end()):
            continue
        if begin and (text[begin - 1].isalnum() or text[begin - 1] == "_") and not _goes_on(text, begin, atom):
            continue
        token = _token(text, atom, end, lexicon)
        if token is not None:
            tokens.append(token)
            position = token.end
    for place in (*_timed_places(text, start, end, lexicon), *_bare_places(text, tokens, end)):
        if all(place.end <= token.start or token.end <= place.start for token in tokens):
            tokens.append(place)
    tokens.sort(key=lambda token: token.start)
    return tokens


def _goes_on(text: str, begin: int, atom: re.Match[str]) -> bool:
    """Whether a token may begin within a word all the same: at the time or the Z of an instant in ISO 8601, at an offset."""
    before = text[begin - 1]
    if atom["figure"]:
        return before == "t" and text[max(0, begin - 2)].isdigit()
    return before.isdigit() and (atom["sign"] is not None or atom["word"] == "z")


def _token(text: str, atom: re.Match[str], end: int, lexicon: Lexicon) -> Token | None:
    start, word = atom.start(), atom["word"]
    if atom["figure"]:
        return _figure(text, start, end, lexicon)
    if atom["sign"]:
        return offset(atom)
    best: Token | None = None
    rank = 0
    for rule in lexicon.rules.get(word, ()):
        if best and rule.rank > rank:
            break
        found = rule.pattern.match(text, start, end)
        token = rule.make(found) if found else None
        if token and (best is None or token.end > best.end):
            best, rank = token, rule.rank
    if best is None and word in lexicon.numbers and _names_half(text, atom.end(), end, lexicon):
        return _bare_hour(start, atom.end(), lexicon.numbers[word])
    if text.startswith("/", atom.end()) and (best is None or rank > 6) and (found := _IANA.match(text, start, end)):
        key = _key_names().get(found.group())
        return Where(start=start, end=found.end(), key=key) if key else best
    return best


def _timed_places(text: str, start: int, end: int, lexicon: Lexicon) -> Iterator[Where]:
    """The places before the word "time", such as "San Diego time"."""
    if not any(text.find(word, start, end) >= 0 for word in lexicon.times):
        return
    for time in lexicon.time.finditer(text, start, end):
        left = max(start, time.start() - 48)
        words = list(re.finditer(rf"{LETTER}(?:{LETTER}|[.',])*", text[left : time.start()]))
        seasons = [word for word in words[-2:] if word.group() in SEASONS]
        words = [word for word in words if word.group() not in {*SEASONS, "local"}]
        for count in (3, 2, 1):
            if len(words) < count:
                continue
            key = places().get(" ".join(word.group() for word in words[-count:]))
            if key:
                season = SEASONS[seasons[0].group()] if seasons else ""
                yield Where(start=left + words[-count].start(), end=time.end(), key=key, season=season)
                break


def _bare_places(text: str, tokens: list[Token], end: int) -> Iterator[Where]:
    """The places that follow a clock time, such as "6:00 a.m. New York", or in a list of them its day."""
    for token in tokens:
        if isinstance(token, Clock | Day) and (found := _BARE.match(text, token.end, end)):
            if isinstance(token, Day) and not text.startswith((")", ",", ";"), found.end()):
                continue
            key = places().get(" ".join(found["bare"].split()))
            if key:
                yield Where(start=found.start("bare"), end=found.end(), key=key)


def _figure(text: str, start: int, end: int, lexicon: Lexicon) -> Token | None:
    found = _DAY_FIRST.match(text, start, end)
    if found and found["month"] in lexicon.months and {found["of"], found["of2"]} <= {None, *lexicon.of}:
        dates = ((int(found["year"]) if found["year"] else None, lexicon.months[found["month"]], int(found["day"])),)
        return Day(start=start, end=found.end(), dates=dates)
    found = lexicon.counted.match(text, start, end) if lexicon.counted else None
    if found:
        return Weekday(start=start, end=found.end(), number=int(found["number"]) - 2)
    found = _TWELVE.match(text, start, end) if text.startswith("12", start) else None
    if found and found["word"] in lexicon.noons:
        return lexicon.noons[found["word"]](found)
    found = _FIGURES.match(text, start, end)
    if found is None:
        hour = _HOUR.match(text, start, end)
        named = hour is not None and _names_half(text, hour.end(), end, lexicon)
        return _bare_hour(start, hour.end(), int(hour["hour"])) if hour and named else None
    if found.lastgroup in {"iso", "num", "dm", "ordinal", "stroke"}:
        return None if found.lastgroup == "stroke" and _is_no_day(text, found, lexicon) else _day(found)
    return _clock(found) if found.lastgroup != "hour" or found["u5"] in lexicon.units else None


def _bare_hour(start: int, end: int, hour: int) -> Clock:
    return Clock(start=start, end=end, times=times(hour, 0, half="", sure=False), digits=1)


def _names_half(text: str, position: int, end: int, lexicon: Lexicon) -> bool:
    """Whether a bare number is an hour, for a part of the day follows it: "9 tomorrow morning", "7 in the evening"."""
    for _ in range(2):
        atom = _ATOM.match(text, position, end) or _ATOM.match(text, position + 1, end)
        token = _token(text, atom, end, lexicon) if atom and atom["word"] else None
        if not isinstance(token, Relative):
            return False
        if token.half:
            return True
        position = token.end
    return False


def _is_no_day(text: str, stroke: re.Match[str], lexicon: Lexicon) -> bool:
    """Whether two figures with a stroke between are no day and month: two days of one month, or a fraction."""
    month = _NAME.match(text, stroke.end())
    return max(int(stroke["d5"]), int(stroke["m5"])) < 3 or (month is not None and month["name"] in lexicon.months)


def _day(found: re.Match[str]) -> Day:
    one = found.group
    dates: tuple[DateParts, ...]
    match found.lastgroup:
        case "iso":
            dates = ((int(one("yi")), int(one("mi")), int(one("di"))),)
        case "dm":
            dates = ((None, int(one("m4")), int(one("d4"))),)
        case "ordinal":
            dates = ((None, None, int(one("d8"))),)
        case "stroke":
            dates = ((None, int(one("m5")), int(one("d5"))), (None, int(one("d5")), int(one("m5"))))
        case _:
            named = int(one("y3"))
            dates = ((named, int(one("b")), int(one("a"))), (named, int(one("a")), int(one("b"))))
    return Day(start=found.start(), end=found.end(), dates=dates)


def _clock(found: re.Match[str]) -> Clock | None:
    one = found.group
    half, sure = "", False
    match found.lastgroup:
        case "mil12":
            digits, minutes, half = one("h1"), one("n1"), one("half1")
        case "clock12":
            digits, minutes, half = one("h2"), (one("n2") or "0").replace("o", "0"), one("half2")
        case "clock24":
            digits, minutes, sure = one("h3"), one("n3"), (one("u3") or one("mark")) is not None
        case "mil24":
            digits, minutes, sure = one("h4"), one("n4"), True
        case _:
            digits, minutes, sure = one("h5"), "0", one("u5") != "o'clock"
    readings = times(int(digits), int(minutes), half=half, sure=sure or digits.startswith("0"))
    if not readings:
        return None
    return Clock(start=found.start(), end=found.end(), times=readings, digits=len(digits), half=half)
