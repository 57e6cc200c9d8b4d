"""Where a text speaks of an embargo of its own, and which words belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scheduler.embargo.languages import Language, every
from scheduler.embargo.languages.phrases import any_phrase
from scheduler.embargo.lexer import cut
from scheduler.embargo.lexicon import Lexicon
from scheduler.embargo.openings import PARAGRAPH, Opening, Sort, openings, unknown
from scheduler.embargo.standing import STOP, is_banner, is_label, is_of_others, is_ours, sentence_before
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statement: where its words stand, its tokens in order, and the days that stand right before it.

    ``murky``: figures among its words were not understood. ``ours``: it plainly speaks of this text, not of another one.
    ``led``: a word such as "until" leads to its time. ``spoken``: it is said on a call.
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
    language: Language = field(repr=False)


_CODE = re.compile(r"(?<![\w-])[a-z]+[-/ ]?\d+[-/]\d[\d-]*")
_FIGURE = re.compile(rf"\d|{any_phrase(every()[0].numbers)}")
_LIFTS = re.compile(r"\b(?:lift|end)s?\s+(?:the\s+|our\s+|this\s+)?$")
_CONDITION = re.compile(r"\b(?:until|when|before|once|after|if|not|arms|trade|oil|weapons)\b[^.]{0,30}$")
_DENIAL = re.compile(r"\bnot\s+$")
_CALL = re.compile(r"\b(?:calls?|briefing|conversation|on\s+(?:deep\s+)?background|on\s+the\s+record)\b")
_SENTENCE = re.compile(r"[.!?]\s+[A-Z][a-z]")
_LABELS = re.compile(r"\s*[:\d]")
_ASIDE = re.compile(r"\b(?:when|as)\b")
_CAPITALS = re.compile(r"[\s,(]{0,3}([A-Z]{2,5})\b")
_HANGS = re.compile(r"[\s,]*(?:on|after|before|in|the|of|following)\b")
_ELSEWHERE = re.compile(r"[\s,]*in\s+[a-z]")
_TURN = re.compile(r"^\W*or\b")


def find(raw: str, text: str, only: Language | None = None) -> tuple[Found, ...] | None:
    """Every statement of a text (``text`` is ``raw`` folded) in order; ``None`` when they are too many for one document."""
    opened = openings(text, only)
    if opened is None:
        return None
    statements = (_statement(raw, text, opening) for opening in opened)
    return tuple(statement for statement in statements if statement is not None)


def _statement(raw: str, text: str, opening: Opening) -> Found | None:
    start, end = opening.start, opening.end
    lead = sentence_before(raw, text, start)
    tokens = cut(text, opening.end, opening.ceiling, opening.lexicon)
    chain, murky = _chain(raw, text, opening, tokens)
    if opening.sort is not Sort.EMBARGO and not _is_announced(text, opening, chain):
        denied = _CONDITION if opening.sort is Sort.LIFTED else _DENIAL
        language = opening.lexicon.languages[0]
        return None if denied.search(lead) else Found(sort=opening.sort, start=start, end=end, language=language)
    banner = is_banner(raw, text, start, end)
    order = opening.form in {"order", "ban"} or text.startswith("nicht", start)
    foreign_to_it = not banner and (
        opening.form == "loose" or (opening.sort is Sort.LIFTED and _CONDITION.search(lead))
    )
    if foreign_to_it or is_of_others(lead, text[end : end + 80], banner=banner):
        return None
    ours = banner or order or is_ours(lead, text[end : end + 40])
    labelled = banner and (not raw[start:end].islower() or _LABELS.match(raw, end) is not None)
    leads = _is_led(text, opening, chain)
    led = labelled or order or _LIFTS.search(lead) is not None or leads
    if not any(isinstance(token, Clock | Day | Event | Weekday | Relative) for token in chain):
        chain = _clock_before(text, opening) if banner else []
        start = chain[0].start if chain else start
        if not chain and not (banner and is_label(raw, text, start, end)) and not (ours and leads):
            return None
    elif not led and not {Day, Clock} <= {type(token) for token in chain}:
        return None
    adverb = opening.lexicon.label.search(text, max(opening.floor, start - 40), start)
    start = adverb.start() if adverb else start
    while chain and isinstance(chain[-1], Until):
        chain.pop()
    last = max([end, *(token.end for token in chain)])
    tail = re.split(r"\n|[.!?](?:\s|$)", text[last : last + 80], maxsplit=1)[0]
    turned = any(isinstance(token, Twist | About) and last <= token.start < last + len(tail) for token in tokens)
    if chain and (turned or _turns(raw[last : last + len(tail)], tail, chain, opening.lexicon)):
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
        language=opening.lexicon.languages[0],
    )


def _is_announced(text: str, opening: Opening, chain: list[Token]) -> bool:
    """Whether an embargo said to be lifted has a time with it, and so is still to be lifted then."""
    time = next((token for token in chain if isinstance(token, Clock | Day)), None)
    return opening.sort is Sort.LIFTED and time is not None and not STOP.search(text[opening.end : time.start])


def _chain(raw: str, text: str, opening: Opening, tokens: list[Token]) -> tuple[list[Token], bool]:
    """The tokens that follow an opening without a break, and whether figures that were not understood stand among them."""
    chain: list[Token] = []
    last, murky = opening.end, False
    words = opening.lexicon
    for token in tokens:
        gap = text[last : token.start]
        if _breaks(raw[last : token.start], gap, chain, token, words):
            if _is_left_out(text[last : token.end], chain, token, words):
                chain.append(Twist(start=last, end=last))
            break
        clocked = any(isinstance(link, Clock) for link in chain)
        if chain and isinstance(chain[-1], Clock) and _strange(raw[last : token.start], words):
            chain.append(Twist(start=last, end=last))
        if clocked and re.search(r"[/;\n]", gap):
            chain.append(Token(start=last, end=token.start))
        murky = murky or _FIGURE.search(_CODE.sub("", gap)) is not None
        chain.append(token)
        last = token.end
    return chain, murky


def _is_left_out(rest: str, chain: list[Token], token: Token, words: Lexicon) -> bool:
    """Whether a time without a day is parted from one that its own sentence or line still names."""
    if any(isinstance(link, Day | Weekday | Relative) for link in chain) or not isinstance(
        token, Day | Weekday | Relative
    ):
        return False
    gap, _, broken = rest[: token.start - token.end].partition("\n")
    # "8 p.m. Satuday,\n5 June": the line broke behind a word that was not understood.
    return not STOP.search(gap) and ("\n" not in rest or (bool(unknown(gap, words)) and not unknown(broken, words)))


def _breaks(raw_gap: str, gap: str, chain: list[Token], token: Token, words: Lexicon) -> bool:
    """Whether the words between two tokens part them."""
    clocked = any(isinstance(link, Clock) for link in chain)
    dated = any(isinstance(link, Day) for link in chain)
    settled = clocked or any(isinstance(link, Event) for link in chain)
    # "until 2 p.m., when the Minister speaks" is until 2 p.m.
    aside = clocked and isinstance(token, Event) and _ASIDE.search(gap)
    parted = PARAGRAPH.search(gap) and (dated or isinstance(token, Clock) == clocked)
    if aside or parted or gap.count("\n") > 3 or (settled and STOP.search(gap)):
        return True
    strange = [word for word in unknown(gap, words) if not word.isdigit()]
    if all(isinstance(link, Until) for link in chain):
        return len(strange) > (8 if isinstance(token, Until) else 6) or _SENTENCE.search(raw_gap) is not None
    if settled and "\n" in gap:
        return bool(strange)
    if settled and re.match(r"\s+[A-Z][a-z]", raw_gap) and not strange:
        # "9 a.m. On Friday": the full stop is part of the time, the capital opens a sentence.
        return True
    return len(strange) > (3 if words.joins.search(gap) and not dated else 1)


def _strange(raw_gap: str, words: Lexicon) -> bool:
    """Whether what follows a clock time looks like the name of a zone that is not known."""
    found = _CAPITALS.match(raw_gap)
    return found is not None and bool(unknown(found[1].lower(), words))


def _turns(raw_tail: str, tail: str, chain: list[Token], words: Lexicon) -> bool:
    """Whether the words after the tokens, up to the end of the sentence or line, change what the tokens say."""
    kinds = {type(token) for token in chain}
    dayless = not kinds & {Day, Weekday, Relative}
    hangs = (dayless and _HANGS.match(tail)) or (Where not in kinds and _ELSEWHERE.match(tail))
    strange = Where not in kinds and isinstance(chain[-1], Clock) and _strange(raw_tail, words)
    return bool(_TURN.search(tail) or (Clock in kinds and (hangs or strange)))


def _is_led(text: str, opening: Opening, chain: list[Token]) -> bool:
    """Whether a word such as "until" follows closely; a mere "to" must follow at once."""
    until = next((token for token in chain if isinstance(token, Until)), None)
    if until is None:
        return False
    return len(unknown(text[opening.end : until.start], opening.lexicon)) <= (4 if until.end - until.start > 2 else 0)


def _days_before(text: str, opening: Opening) -> list[Token]:
    """The days that end right before an opening, with little but filler between."""
    days: list[Token] = []
    border = opening.start
    for token in reversed(cut(text, opening.floor, opening.start, opening.lexicon)):
        gap = opening.lexicon.label.sub("", text[token.end : border] + " ")
        if len(unknown(gap, opening.lexicon)) > (0 if days else 3) or PARAGRAPH.search(gap):
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
    tokens = cut(text, line, opening.start, opening.lexicon)
    timed = any(isinstance(token, Clock) for token in tokens)
    return tokens if timed and not unknown(text[tokens[-1].end : opening.start], opening.lexicon) else []
