"""The tokens that belong to a statement: those that follow its opening without a break, or stand before it."""

from __future__ import annotations

import re

from scheduler.embargo.languages import every
from scheduler.embargo.languages.phrases import any_phrase
from scheduler.embargo.lexer import cut
from scheduler.embargo.lexicon import Lexicon
from scheduler.embargo.openings import PARAGRAPH, Opening, unknown
from scheduler.embargo.standing import STOP
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where

CODE = re.compile(r"(?<![\w-])(?:[a-z]+[-/ ]?\d+[-/]\d[\d-]*|[a-z]{1,3}\s?\d+,?/\s?\d+)")
"""A file or release number, in which figures say nothing about the time."""

_FIGURE = re.compile(rf"\d|{any_phrase(every()[0].numbers)}")
_SENTENCE = re.compile(r"[.!?]\s+[A-Z][a-z]")
_ASIDE = re.compile(r"\b(?:when|as)\b")
_CAPITALS = re.compile(r"[\s,(]{0,3}([A-Z]{2,5})\b")
_HOURS = re.compile(r"(?<![\w.:/-])(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)\s+$")
_NOTHING = frozenset({"", " ", ", ", ",", ": ", ":"})
_UNDER = re.compile(r"\bunder\s+(?:an?\s+)?$")
_WILL_LIFT = re.compile(r"\s+(?:will\s+)?(?:be\s+)?(?:lifts?|lifted|ends?|expires?)\b")


def chain(opening: Opening, tokens: list[Token]) -> tuple[list[Token], bool]:
    """The tokens that follow an opening without a break, and whether figures that were not understood stand among them."""
    links: list[Token] = []
    last, murky, clocked = opening.end, False, False
    raw, text, words = opening.raw, opening.text, opening.lexicon
    for token in tokens:
        gap = text[last : token.start]
        stopped = clocked and gap.strip() == "." and raw[token.start : token.start + 3].isupper()
        if stopped and isinstance(token, Day | Weekday):
            # "12 NOON. SUNDAY 4 JUNE": in capitals a full stop may part what belongs together.
            gap = " "
        if gap in _NOTHING and (stopped or raw[last - 1] != ".") and not (links and isinstance(token, Event | Twist)):
            links.append(token)
            last = token.end
            clocked = clocked or isinstance(token, Clock)
            continue
        if _is_apart(opening, last, token) or _breaks(raw[last : token.start], gap, links, token, words):
            if _is_left_out(text[last : token.end], links, token, words):
                links.append(Twist(start=last, end=last))
            break
        if not clocked and STOP.search(gap):
            # "Simultaneous release in London. Not before 9 a.m.": the place is not that of the time.
            links = [link for link in links if not isinstance(link, Where)]
        if links and isinstance(links[-1], Clock) and is_strange(raw[last : token.start], words):
            links.append(Twist(start=last, end=last))
        if clocked and re.search(r"[/;\n]", gap):
            links.append(Token(start=last, end=token.start))
        murky = murky or (len(gap) > 2 and _FIGURE.search(CODE.sub("", gap)) is not None)
        links.append(token)
        last = token.end
        clocked = clocked or isinstance(token, Clock)
    return links, murky


def _is_apart(opening: Opening, last: int, token: Token) -> bool:
    """Whether a token opens a sentence behind a full stop that was read as part of an abbreviation, or stands in prose below."""
    raw, text = opening.raw, opening.text
    if raw[last - 1] == "." and raw[token.start : token.start + 2].istitle():
        return isinstance(token, Twist | About | Until | Event)
    if not isinstance(token, Where) or "\n" not in text[last : token.start]:
        return False
    return len(unknown(text[token.end : text.find("\n", token.end, token.end + 200)], opening.lexicon)) > 2


def _is_left_out(rest: str, links: list[Token], token: Token, words: Lexicon) -> bool:
    """Whether a time without a day is parted from one that its own sentence or line still names."""
    days = Day | Weekday | Relative
    if any(isinstance(link, days) for link in links) or not isinstance(token, days):
        return False
    gap, _, broken = rest[: token.start - token.end].partition("\n")
    # "8 p.m. Satuday,\n5 June": the line broke behind a word that was not understood.
    return not STOP.search(gap) and ("\n" not in rest or (bool(unknown(gap, words)) and not unknown(broken, words)))


def _breaks(raw_gap: str, gap: str, links: list[Token], token: Token, words: Lexicon) -> bool:
    """Whether the words between two tokens part them."""
    clocked = any(isinstance(link, Clock) for link in links)
    dated = any(isinstance(link, Day) for link in links)
    settled = clocked or any(isinstance(link, Event) for link in links)
    # "until 2 p.m., when the Minister speaks" is until 2 p.m.
    aside = clocked and isinstance(token, Event) and _ASIDE.search(gap)
    # The statement is whole; a token in the prose of the next line is none of it.
    beyond = clocked and dated and "\n" in gap and not isinstance(token, Clock | Where)
    parted = PARAGRAPH.search(gap) and (dated or isinstance(token, Clock) == clocked)
    if aside or beyond or parted or gap.count("\n") > 3 or (settled and STOP.search(gap)):
        return True
    strange = [word for word in unknown(gap, words) if not word.isdigit()]
    if all(isinstance(link, Until) for link in links):
        return len(strange) > (8 if isinstance(token, Until) else 6) or _SENTENCE.search(raw_gap) is not None
    if settled and "\n" in gap:
        return bool(strange)
    if settled and re.match(r"\s+[A-Z][a-z]", raw_gap) and not strange:
        # "9 a.m. On Friday": the full stop is part of the time, the capital opens a sentence.
        return True
    return len(strange) > (3 if words.joins.search(gap) and not dated else 1)


def is_strange(raw_gap: str, words: Lexicon) -> bool:
    """Whether what follows a clock time looks like the name of a zone that is not known."""
    found = _CAPITALS.match(raw_gap)
    return found is not None and found[1].endswith("T") and bool(unknown(found[1].lower(), words))


def days_before(opening: Opening) -> list[Token]:
    """The days that end right before an opening, with little but filler between."""
    if opening.floor == opening.start:
        return []
    days: list[Token] = []
    border = opening.start
    words = opening.lexicon
    for token in reversed(cut(opening.text, opening.floor, opening.start, words)):
        gap = words.label.sub("", opening.text[token.end : border] + " ")
        if len(unknown(gap, words)) > (0 if days else 3) or PARAGRAPH.search(gap):
            break
        if isinstance(token, Day | Weekday | Relative):
            days.insert(0, token)
        elif not isinstance(token, Until | Clock | Where) and type(token) is not Token:
            break
        border = token.start
    return days


def _time_of(opening: Opening) -> list[Token]:
    """The time that names an embargo: "under a 5:00 a.m. Eastern embargo"."""
    tokens = cut(opening.text, max(opening.floor, opening.start - 60), opening.start, opening.lexicon)
    first = next((place for place, token in enumerate(tokens) if isinstance(token, Clock)), None)
    if first is None or opening.text[tokens[-1].end : opening.start].strip():
        return []
    return tokens[first:] if _UNDER.search(opening.text, opening.floor, tokens[first].start) else []


def clock_before(opening: Opening, *, prose: bool) -> list[Token]:
    """What stands before an opening on its line, if it is a clock time with its zone and day right before it.

    In ``prose``: a time or an event anywhere in the clause before "the embargo will lift".
    """
    text = opening.text
    if prose and not _WILL_LIFT.match(text, opening.end):
        return _time_of(opening)
    begin = max(opening.floor, text.rfind("\n", 0, opening.start) + 1)
    if prose:
        begin = max([opening.floor, *(stop.end() for stop in STOP.finditer(text, opening.floor, opening.start))])
    tokens = cut(text, begin, opening.start, opening.lexicon)
    if not prose and (hours := _HOURS.search(text, begin, opening.start)):
        times = ((0, int(hours["hour"]), int(hours["minute"])),)
        return [*tokens, Clock(start=hours.start(), end=opening.start, times=times, digits=2)]
    timed = any(isinstance(token, Clock | Event) if prose else isinstance(token, Clock) for token in tokens)
    return tokens if timed and len(unknown(text[tokens[-1].end : opening.start], opening.lexicon)) <= prose else []
