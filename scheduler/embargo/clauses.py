"""What the clause after "until" and the words behind a statement say: an event in words of no table, or another time."""

from __future__ import annotations

import re
from difflib import get_close_matches

from scheduler.embargo.chains import CODE, is_strange
from scheduler.embargo.lexer import cut
from scheduler.embargo.openings import Opening, unknown
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where

POINTS_BACK = re.compile(
    r"\b(?:then|(?:this|that|the (?:above|following|stated|given)) (?:exact )?(?:time|date|hour))\b"
)
"""Words that mean a time told elsewhere."""

_CLAUSE_END = re.compile(r"[\n.;:!?*(]|\s-\s")
_ELSEWHERE = re.compile(r"[\s,]*in\s+[a-z]")
_UNKNOWN_TIME = re.compile(r"\W{0,2}(?!local|same|this|that|exact|standard)[a-z][\w.-]*(?: [a-z][\w.-]*)? time\b")
_ANOTHER = re.compile(r"\bnot\b[^.]{0,60}\b(?:before|until)\b")
_LIST = re.compile(r"\s+[a-z ]{3,20}\n\s*")
_SENTENCE_END = re.compile(r"(?:(?<=\w{5})|(?<=\d[ap]m)|(?<=[ap]\.m))[.!?](?:\s|$)")
_ALTERNATIVE = re.compile(r"^\W*or\b")


def event(opening: Opening, links: list[Token]) -> Event | None:
    """What an embargo waits for in words of no table: the clause after "until", where no time stands in it.

    An expected time may follow: "until the jury returns, about 4 p.m.".
    """
    until = next((link for link in links if isinstance(link, Until) and link.clause), None)
    words = opening.lexicon
    if until is None or len(unknown(opening.text[opening.end : until.start], words)) > 3:
        return None
    following = next((link for link in links if link.start >= until.end and not isinstance(link, Until)), None)
    if following and not unknown(opening.text[until.end : following.start], words):
        return None
    about = next((link for link in links if isinstance(link, About)), None)
    clock = next((link for link in links if isinstance(link, Clock)), None)
    if about and not (clock and clock.start < about.start):
        clause = opening.text[until.end : about.start]
        return None if re.search(r"\d", clause) or not unknown(clause, words) else _clause(until, clause)
    ends = _CLAUSE_END.search(opening.text, until.end, opening.ceiling)
    if (ends.group() == ":") if ends else (opening.ceiling < len(opening.text)):
        return None
    clause = opening.text[until.end : ends.start() if ends else opening.ceiling]
    known = Clock | Day | Weekday | Relative | Twist | About | Event
    timed = any(isinstance(token, known) for token in cut(clause, 0, len(clause), words))
    if timed or POINTS_BACK.search(clause) or re.search(r"\d|[\[{<_]", clause):
        return None
    return _clause(until, clause) if max(map(len, unknown(clause, words)), default=0) > 2 else None


def _clause(until: Until, clause: str) -> Event:
    return Event(start=until.end, end=until.end + len(clause.rstrip(" \n(,;-")))


def put_in(links: list[Token], happens: Event) -> list[Token]:
    """The tokens with an event among them, and without the words it takes up or that make its time less than exact."""
    kept = [link for link in links if link.end <= happens.start or link.start >= happens.end]
    return sorted([*(link for link in kept if not isinstance(link, About)), happens], key=lambda link: link.start)


def addition(opening: Opening, last: int, links: list[Token], tokens: list[Token]) -> Token | None:
    """What the words behind a statement's tokens add to them: a date, or a :class:`Twist` where they change what they say."""
    tail = _tail(opening, last, links)
    back = bool(links) and links[-1].end <= opening.start and POINTS_BACK.search(tail)
    behind = [token for token in tokens if last <= token.start < last + len(tail)]
    turned = any(
        isinstance(token, Twist)
        or (isinstance(token, About) and not unknown(opening.text[last : token.start], opening.lexicon))
        for token in behind
    )
    twisted = bool(links) and not back and (turned or _turns(opening, last, tail, links))
    if twisted or _goes_on(opening, last, links, tokens):
        return Twist(start=last, end=last)
    return _unread_day(opening, last) if _is_undated(links) else None


def _tail(opening: Opening, last: int, links: list[Token]) -> str:
    """What follows the tokens in their sentence or line; a full stop may be part of a zone's name and end the sentence too."""
    ends = opening.raw[last - 1] == "." and re.match(r"\s+[A-Z]", opening.raw[last : last + 9])
    if ends and links and not isinstance(links[-1], Clock):
        return ""
    return re.split(r"\n|[.!?](?:\s|$)", opening.text[last : last + 80], maxsplit=1)[0]


def _turns(opening: Opening, last: int, tail: str, links: list[Token]) -> bool:
    """Whether the words after the tokens, up to the end of the sentence or line, change what the tokens say."""
    kinds = {type(link) for link in links}
    if _ALTERNATIVE.search(tail):
        return True
    if Clock not in kinds:
        return False
    if not kinds & {Day, Weekday, Relative} and (opening.lexicon.hangs.match(tail) or _is_misspelt_day(opening, tail)):
        return True
    strange = isinstance(links[-1], Clock) and is_strange(opening.raw[last : last + len(tail)], opening.lexicon)
    return Where not in kinds and bool(_ELSEWHERE.match(tail) or _UNKNOWN_TIME.match(tail) or strange)


def _is_misspelt_day(opening: Opening, tail: str) -> bool:
    """Whether a word that is nearly a weekday follows at once: "5 p.m. Mondya"."""
    word = re.match(r"[\s,(]{0,3}(\w{5,10})", tail)
    return word is not None and bool(get_close_matches(word[1], opening.lexicon.weekdays, n=1, cutoff=0.75))


def _goes_on(opening: Opening, last: int, links: list[Token], tokens: list[Token]) -> bool:
    """Whether another time follows for another audience: "6 a.m. for the papers; radio and television 8 a.m."."""
    told = {shown for link in links if isinstance(link, Clock) for shown in link.times}
    if told and _ANOTHER.search(opening.text, last, min(last + 120, opening.ceiling)):
        return True
    following = next((token for token in tokens if token.start >= last and isinstance(token, Clock)), None)
    if not told or following is None or told & set(following.times):
        return False
    gap = opening.text[last : following.start]
    listed = re.search(r"[;,]", gap) is not None and not re.search(r"[\n.:()-]", gap)
    return (listed or _LIST.fullmatch(gap) is not None) and len(unknown(gap, opening.lexicon)) <= 4


def _is_undated(links: list[Token]) -> bool:
    kinds = {type(link) for link in links}
    return Clock in kinds and not kinds & {Day, Weekday, Relative}


def _unread_day(opening: Opening, last: int) -> Token | None:
    """What may be the day of a time without one: figures that were not read on its line, or a date by itself on one of the next.

    Figures give a :class:`Twist`, for they may mean another day than the one of issue.
    """
    text, words = opening.text, opening.lexicon
    rest, *lines = text[last : min(last + 200, opening.ceiling)].split("\n")
    rest = CODE.sub("", rest[: stop.start()] if (stop := _SENTENCE_END.search(rest)) else rest)
    if re.search(r"\d", rest):
        return Twist(start=last, end=last)
    at = last + len(rest)
    for line in lines[:3]:
        at = text.find("\n", at) + 1
        tokens = cut(text, at, at + len(line), words)
        day = next((token for token in tokens if isinstance(token, Day)), None)
        others = [token for token in tokens if not isinstance(token, Day | Weekday)]
        if day and not others and not unknown(text[at : day.start] + text[day.end : at + len(line)], words):
            return day
    return None
