"""Where a text speaks of an embargo of its own, and which words belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from scheduler.embargo.lexer import TWIST, any_of, cut, group
from scheduler.embargo.standing import (
    ADVERB,
    PARAGRAPH,
    STOP,
    is_banner,
    is_label,
    is_of_others,
    is_ours,
    sentence_before,
)
from scheduler.embargo.tokens import Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.words import LANGUAGES, NUMBERS

MOST = 500
"""A text that speaks of embargoes more often than this is left to a person."""

_REACH = 320  # characters after an opening in which its statement may run on
_BEFORE = 120  # characters before it in which a day may stand


class Sort(StrEnum):
    """What the opening words announce."""

    EMBARGO = "embargo"
    IMMEDIATE = "immediate"  # for immediate release, no embargo
    LIFTED = "lifted"  # the embargo there was is lifted


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The words that open a statement: offsets in the text, and the borders that its neighbours set."""

    sort: Sort
    start: int
    end: int
    floor: int = 0
    ceiling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statement: where its words stand, its tokens in order, and the days that stand right before it.

    ``murky``: figures among its words were not understood. ``ours``: it plainly speaks of this text, not of another one.
    ``led``: a word such as "until" leads to its time. ``spoken``: it is said on a call. ``foreign``: it is not in English.
    """

    sort: Sort
    start: int
    end: int
    tokens: tuple[Token, ...] = ()
    before: tuple[Token, ...] = ()
    murky: bool = False
    ours: bool = True
    led: bool = True
    spoken: bool = False
    foreign: bool = False


def _phrases(name: str) -> str:
    return "|".join(getattr(language, name) for language in LANGUAGES).replace(" ", r"\s{1,20}")


_OPENING = re.compile(
    rf"(?P<none>sin embargo\b(?!\s*:))|(?P<immediate>{_phrases('immediate')})|(?P<embargo>{_phrases('notice')})"
)
_FILLER = re.compile(rf"(?<![\w'])(?:{any_of(group('filler', 'until'))})(?![\w])")
_CODE = re.compile(r"(?<![\w-])[a-z]+[-/ ]?\d+[-/]\d[\d-]*")
_FIGURE = re.compile(rf"\d|\b(?:{NUMBERS})\b")
_WORD = re.compile(r"[\w']+")
_FOREIGN = re.compile(
    r"\b(?:sperrfrist|frei|bis|ab|uhr|fino|prima|ore|alle|hasta|antes|las|jusqu|avant|heures?|midi|minuit)\b"
)
_JOINS = re.compile(r"\b(?:and|or|until|which|for)\b|;")
_LEADS = re.compile(r"\s+(?:for\s+\w+\s+)?(?:until|till|before|hasta|bis|fino|jusqu)\b")
_LIFTS = re.compile(r"\b(?:lift|end)s?\s+(?:the\s+|our\s+|this\s+)?$")
_CONDITION = re.compile(r"\b(?:until|when|before|once|after|if|not|arms|trade|oil|weapons)\b[^.]{0,30}$")
_DENIAL = re.compile(r"\bnot\s+$")
_CALL = re.compile(r"\b(?:calls?|briefing|conversation|on\s+(?:deep\s+)?background|on\s+the\s+record)\b")
_ORDER = re.compile(r"not|no\s|non|ne\s|do|hold|held|nicht")
_LOOSE = re.compile(r"for\s+release|frei")
_SENTENCE = re.compile(r"[.!?]\s+[A-Z][a-z]")
_LABELS = re.compile(r"\s*[:\d]")
_ASIDE = re.compile(r"\b(?:when|as)\b")
_CAPITALS = re.compile(r"[\s,(]{0,3}([A-Z]{2,5})\b")
_HANGS = re.compile(r"[\s,]*(?:on|after|before|in|the|of|following)\b")
_ELSEWHERE = re.compile(r"[\s,]*in\s+[a-z]")
_TURN = re.compile(rf"{TWIST}|^\W*or\b|\bapprox|\btbc\b")


def find(raw: str, text: str) -> tuple[Found, ...] | None:
    """Every statement of a text (``text`` is ``raw`` folded) in order; ``None`` when they are too many for one document."""
    openings = _openings(text)
    if openings is None:
        return None
    statements = (_statement(raw, text, opening) for opening in openings)
    return tuple(statement for statement in statements if statement is not None)


def unknown(gap: str) -> list[str]:
    """The words between two tokens that a statement can't do without explaining."""
    return _WORD.findall(_FILLER.sub(" ", gap))


def _openings(text: str) -> list[Opening] | None:
    merged: list[Opening] = []
    for count, match in enumerate(_OPENING.finditer(text)):
        if count > 4 * MOST or len(merged) > MOST:
            return None
        start, end = match.span()
        if match.lastgroup == "none" or text[max(0, start - 1) : start].isalnum():
            continue
        sort = Sort.EMBARGO
        if match.lastgroup == "immediate":
            sort = Sort.LIFTED if re.search(r"lift|aufgehoben", match.group()) else Sort.IMMEDIATE
        last = merged[-1] if merged else None
        if last and sort is last.sort is Sort.EMBARGO and start - last.end < 60:
            gap = text[last.end : start]
            if not unknown(gap) and not PARAGRAPH.search(gap):
                merged[-1] = Opening(sort=sort, start=last.start, end=end)
                continue
        merged.append(Opening(sort=sort, start=start, end=end))
    starts = [*(opening.start for opening in merged[1:]), len(text)]
    ends = [0, *(opening.end for opening in merged)]
    return [
        Opening(
            sort=one.sort,
            start=one.start,
            end=one.end,
            floor=max(floor, one.start - _BEFORE),
            ceiling=min(ceiling, one.end + _REACH),
        )
        for one, floor, ceiling in zip(merged, ends, starts, strict=False)
    ]


def _statement(raw: str, text: str, opening: Opening) -> Found | None:
    start, end = opening.start, opening.end
    lead = sentence_before(raw, text, start)
    chain, murky = _chain(raw, text, opening)
    if opening.sort is not Sort.EMBARGO and not _is_announced(text, opening, chain):
        denied = _CONDITION if opening.sort is Sort.LIFTED else _DENIAL
        return None if denied.search(lead) else Found(sort=opening.sort, start=start, end=end)
    banner = is_banner(raw, text, start, end)
    order = _ORDER.match(text, start) is not None
    foreign_to_it = not banner and (
        _LOOSE.match(text, start) or (opening.sort is Sort.LIFTED and _CONDITION.search(lead))
    )
    if foreign_to_it or is_of_others(lead, text[end : end + 80], banner=banner):
        return None
    ours = banner or order or is_ours(lead, text[end : end + 40])
    labelled = banner and (not raw[start:end].islower() or _LABELS.match(raw, end) is not None)
    led = labelled or order or _LIFTS.search(lead) is not None or _is_led(text, end, chain)
    if not any(isinstance(token, Clock | Day | Event | Weekday | Relative) for token in chain):
        chain = _clock_before(text, opening) if banner else []
        start = chain[0].start if chain else start
        if not chain and not (banner and is_label(raw, text, start, end)) and not (ours and _LEADS.match(text, end)):
            return None
    elif not led and not {Day, Clock} <= {type(token) for token in chain}:
        return None
    adverb = ADVERB.search(text, max(opening.floor, start - 40), start)
    start = adverb.start() if adverb else start
    while chain and isinstance(chain[-1], Until):
        chain.pop()
    last = max([end, *(token.end for token in chain)])
    tail = re.split(r"\n|[.!?](?:\s|$)", text[last : last + 80], maxsplit=1)[0]
    if chain and _turns(raw[last : last + len(tail)], tail, chain):
        chain.append(Twist(start=last, end=last))
    return Found(
        sort=Sort.EMBARGO,
        start=start,
        end=last,
        tokens=tuple(chain),
        before=() if any(isinstance(token, Day) for token in chain) else tuple(_days_before(text, opening)),
        murky=murky,
        ours=ours,
        led=led,
        spoken=_CALL.search(lead) is not None,
        foreign=_FOREIGN.search(text[start:last]) is not None,
    )


def _is_announced(text: str, opening: Opening, chain: list[Token]) -> bool:
    """Whether an embargo said to be lifted has a time with it, and so is still to be lifted then."""
    time = next((token for token in chain if isinstance(token, Clock | Day)), None)
    return opening.sort is Sort.LIFTED and time is not None and not STOP.search(text[opening.end : time.start])


def _chain(raw: str, text: str, opening: Opening) -> tuple[list[Token], bool]:
    """The tokens that follow an opening without a break, and whether figures that were not understood stand among them."""
    chain: list[Token] = []
    last, murky = opening.end, False
    for token in cut(text, opening.end, opening.ceiling):
        gap = text[last : token.start]
        if _breaks(raw[last : token.start], gap, chain, token):
            if _is_left_out(text[last : token.end], chain, token):
                chain.append(Twist(start=last, end=last))
            break
        clocked = any(isinstance(link, Clock) for link in chain)
        if chain and isinstance(chain[-1], Clock) and _strange(raw[last : token.start]):
            chain.append(Twist(start=last, end=last))
        if clocked and re.search(r"[/;\n]", gap):
            chain.append(Token(start=last, end=token.start))
        murky = murky or _FIGURE.search(_CODE.sub("", gap)) is not None
        chain.append(token)
        last = token.end
    return chain, murky


def _is_left_out(rest: str, chain: list[Token], token: Token) -> bool:
    """Whether a time without a day is parted from one that its own sentence or line still names."""
    if any(isinstance(link, Day | Weekday | Relative) for link in chain) or not isinstance(
        token, Day | Weekday | Relative
    ):
        return False
    gap, _, broken = rest[: token.start - token.end].partition("\n")
    # "8 p.m. Satuday,\n5 June": the line broke behind a word that was not understood.
    return not STOP.search(gap) and ("\n" not in rest or (bool(unknown(gap)) and not unknown(broken)))


def _breaks(raw_gap: str, gap: str, chain: list[Token], token: Token) -> bool:
    """Whether the words between two tokens part them."""
    clocked = any(isinstance(link, Clock) for link in chain)
    dated = any(isinstance(link, Day) for link in chain)
    settled = clocked or any(isinstance(link, Event) for link in chain)
    # "until 2 p.m., when the Minister speaks" is until 2 p.m.
    aside = clocked and isinstance(token, Event) and _ASIDE.search(gap)
    parted = PARAGRAPH.search(gap) and (dated or isinstance(token, Clock) == clocked)
    if aside or parted or gap.count("\n") > 3 or (settled and STOP.search(gap)):
        return True
    words = [word for word in unknown(gap) if not word.isdigit()]
    if all(isinstance(link, Until) for link in chain):
        return len(words) > (8 if isinstance(token, Until) else 6) or _SENTENCE.search(raw_gap) is not None
    if settled and "\n" in gap:
        return bool(words)
    if settled and re.match(r"\s+[A-Z][a-z]", raw_gap) and not words:
        # "9 a.m. On Friday": the full stop is part of the time, the capital opens a sentence.
        return True
    return len(words) > (3 if _JOINS.search(gap) and not dated else 1)


def _strange(raw_gap: str) -> bool:
    """Whether what follows a clock time looks like the name of a zone that is not known."""
    found = _CAPITALS.match(raw_gap)
    return found is not None and bool(unknown(found[1].lower()))


def _turns(raw_tail: str, tail: str, chain: list[Token]) -> bool:
    """Whether the words after the tokens, up to the end of the sentence or line, change what the tokens say."""
    kinds = {type(token) for token in chain}
    dayless = not kinds & {Day, Weekday, Relative}
    hangs = (dayless and _HANGS.match(tail)) or (Where not in kinds and _ELSEWHERE.match(tail))
    strange = Where not in kinds and isinstance(chain[-1], Clock) and _strange(raw_tail)
    return bool(_TURN.search(tail) or (Clock in kinds and (hangs or strange)))


def _is_led(text: str, end: int, chain: list[Token]) -> bool:
    """Whether a word such as "until" follows closely; a mere "to" must follow at once."""
    until = next((token for token in chain if isinstance(token, Until)), None)
    if until is None:
        return False
    return len(unknown(text[end : until.start])) <= (4 if until.end - until.start > 2 else 0)


def _days_before(text: str, opening: Opening) -> list[Token]:
    """The days that end right before an opening, with little but filler between."""
    days: list[Token] = []
    border = opening.start
    for token in reversed(cut(text, opening.floor, opening.start)):
        gap = ADVERB.sub("", text[token.end : border] + " ")
        if len(unknown(gap)) > (0 if days else 3) or PARAGRAPH.search(gap):
            break
        if isinstance(token, Day | Weekday | Relative):
            days.insert(0, token)
        elif not isinstance(token, Until | Clock | Where) and type(token) is not Token:
            break
        border = token.start
    return days


def _clock_before(text: str, opening: Opening) -> list[Token]:
    """What stands right before an opening on its line, if it is a clock time with its zone and day."""
    line = max(opening.floor, text.rfind("\n", 0, opening.start) + 1)
    tokens = cut(text, line, opening.start)
    timed = any(isinstance(token, Clock) for token in tokens)
    return tokens if timed and not unknown(text[tokens[-1].end : opening.start]) else []
