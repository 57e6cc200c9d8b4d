"""Where a text speaks of an embargo of its own, and which words belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from scheduler.embargo.chains import chain, clock_before, days_before
from scheduler.embargo.clauses import addition, event, put_in
from scheduler.embargo.languages import Language
from scheduler.embargo.lexer import cut
from scheduler.embargo.openings import Opening, Sort, openings, unknown
from scheduler.embargo.standing import (
    IS,
    STOP,
    is_banner,
    is_label,
    is_of_others,
    is_ours,
    is_quoted,
    is_shown,
    is_template,
    sentence_before,
)
from scheduler.embargo.tokens import Clock, Day, Event, Relative, Token, Until, Weekday


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statement: where its words stand, its tokens in order, and the days that stand right before it.

    ``murky``: figures among its words were not understood. ``ours``: it plainly speaks of this text, not of another one.
    ``led``: a word such as "until" leads to its time. ``spoken``: it is said on a call.
    ``lifted``: it says that the embargo is lifted, and when.
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
    lifted: bool = False
    language: Language = field(repr=False)

    @property
    def is_free(self) -> bool:
        """Whether it says that there is no embargo (any more), and no time from which that holds."""
        return self.sort is not Sort.EMBARGO and not self.tokens


_LIFTS = re.compile(r"\b(?:lift|end)s?\s+(?:the\s+|our\s+|this\s+)?$")
_CONDITION = re.compile(r"\b(?:until|when|before|once|after|if|not|arms|trade|oil|weapons)\b[^.]{0,30}$")
_DENIAL = re.compile(r"\bnot\s+$")
_CALL = re.compile(r"\b(?:calls?|briefing|conversation|on\s+(?:deep\s+)?background|on\s+the\s+record)\b")
_LABELLED = re.compile(r"\s*(?:[:\d]|[-\u2013\u2014(]\s*\d)")
_FOR = re.compile(r"\s+for\s+(?=\d|(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|tomorrow\b)")
_STATED = re.compile(r"[^.\n]{0,40}\b(?:time|date)\b[^.\n]{0,40}\b(?:stated|given|shown|indicated|specified|printed)\b")
_DONE = re.compile(r"\b(?:now|hereby|has been|have been)\b")
_WAS = re.compile(r"\W*(?:it )?(?:was|were|originally|formerly|previously)\b")


def find(raw: str, text: str, only: Language | None = None) -> tuple[Found, ...] | None:
    """Every statement of a text (``text`` is ``raw`` folded) in order; ``None`` when they are too many for one document."""
    opened = openings(raw, text, only)
    if opened is None:
        return None
    return tuple(statement for opening in opened if (statement := _statement(opening)) is not None)


def _statement(opening: Opening) -> Found | None:
    raw, text, start, end = opening.raw, opening.text, opening.start, opening.end
    if is_quoted(raw, text, start, end) or is_shown(text, start) or is_template(text, end):
        return None
    tokens = cut(text, end, opening.ceiling, opening.lexicon)
    links, murky = chain(opening, tokens)
    lead = sentence_before(raw, text, start)
    banner = is_banner(raw, text, start, end)
    if opening.sort is not Sort.EMBARGO and not _is_announced(opening, links):
        return _free(opening, lead, banner=banner)
    if happens := event(opening, links):
        links, murky = put_in(links, happens), False
    if _is_foreign(opening, lead, links, banner=banner) or (not banner and _STATED.match(text, end)):
        return None
    order = opening.form in {"order", "ban"} or text.startswith("nicht", start)
    ours = banner or order or opening.form == "loose" or is_ours(lead, text[end : end + 100])
    leads = _is_led(opening, links)
    labelled = (
        banner
        and (not raw[start:end].islower() or _LABELLED.match(raw, end) is not None)
        and not _is_of_occasion(opening, links)
    )
    led = labelled or order or leads or _LIFTS.search(lead) is not None
    kinds = {type(link) for link in links}
    if not kinds & {Clock, Day, Event, Weekday, Relative}:
        links = clock_before(opening, prose=not banner)
        led = led or bool(links)
        if (
            not links
            and not (banner and is_label(raw, text, start, end))
            and not (ours and leads and opening.form != "ban")
        ):
            return None
    elif not led and not kinds >= {Day, Clock}:
        return None
    return _found(opening, links, tokens, murky=murky, ours=ours, led=led, spoken=_CALL.search(lead) is not None)


def _free(opening: Opening, lead: str, *, banner: bool) -> Found | None:
    """A statement that there is no embargo (any more), unless it is denied, supposed, or about something else."""
    after = opening.text[opening.end : opening.end + 200]
    if opening.sort is Sort.IMMEDIATE and not banner and is_of_others("", after, banner=False):
        return None
    if (_CONDITION if opening.sort is Sort.LIFTED else _DENIAL).search(lead):
        return None
    return Found(sort=opening.sort, start=opening.start, end=opening.end, language=opening.lexicon.languages[0])


def _is_foreign(opening: Opening, lead: str, links: list[Token], *, banner: bool) -> bool:
    """Whether an opening is none of this text's: words that only may open a statement, in prose, or another's embargo."""
    if not banner:
        waits = next((isinstance(link, Event) for link in links if not isinstance(link, Until)), False)
        supposed = opening.sort is Sort.LIFTED and _CONDITION.search(lead) is not None
        if supposed or (opening.form == "loose" and not waits):
            return True
    return is_of_others(lead, opening.text[opening.end : opening.end + 200], banner=banner)


def _is_announced(opening: Opening, links: list[Token]) -> bool:
    """Whether what is said to be free has a time with it, at which it may be only then."""
    text = opening.text
    time = next((link for link in links if isinstance(link, Clock | Day)), None)
    if time is None or opening.form == "over" or _WAS.match(text, opening.end):
        return False
    if opening.sort is Sort.IMMEDIATE:
        clock = next((link for link in links if isinstance(link, Clock)), None)
        gap = text[opening.end : clock.start] if clock else "\n"
        return not STOP.search(gap) and "\n" not in gap and not gap.startswith(":")
    done = _DONE.search(text, opening.start, opening.end)
    return not done and not STOP.search(text[opening.end : time.start])


def _is_led(opening: Opening, links: list[Token]) -> bool:
    """Whether a word such as "until" follows closely; a mere "to" must follow at once."""
    until = next((link for link in links if isinstance(link, Until)), None)
    if IS.match(opening.text, opening.end) or _FOR.match(opening.text, opening.end):
        return True
    if until is None:
        return False
    strange = unknown(opening.text[opening.end : until.start], opening.lexicon)
    return len(strange) <= (4 if until.end - until.start > 2 else 0)


def _is_of_occasion(opening: Opening, links: list[Token]) -> bool:
    """Whether what stands behind a label is the time of an occasion: "EMBARGO - press conference on 4 June, 10 a.m."."""
    first = next((link for link in links if isinstance(link, Clock | Day | Weekday | Relative)), None)
    return first is not None and opening.lexicon.occasion.search(opening.text, opening.end, first.start) is not None


def _settled(clock: Clock, tokens: list[Token], last: int) -> Clock:
    """A time with the half of the day that is told when it is said again: "until 4:15. Again, that's 4:15 p.m."."""
    later = (token for token in tokens if token.start >= last and isinstance(token, Clock) and token.half)
    again = next((token for token in later if len(clock.times) > 1 and token.times[0] in clock.times), None)
    return replace(clock, times=again.times, half=again.half) if again else clock


def _found(
    opening: Opening, links: list[Token], tokens: list[Token], *, murky: bool, ours: bool, led: bool, spoken: bool
) -> Found:
    start = min([opening.start, *(link.start for link in links)])
    adverb = opening.lexicon.label.search(opening.text, max(opening.floor, start - 40), start)
    while links and isinstance(links[-1], Until):
        links.pop()
    last = max([opening.end, *(link.end for link in links)])
    links = [_settled(link, tokens, last) if isinstance(link, Clock) else link for link in links]
    added = addition(opening, last, links, tokens)
    links = [*links, added] if added else links
    return Found(
        sort=opening.sort if opening.sort is Sort.IMMEDIATE else Sort.EMBARGO,
        start=adverb.start() if adverb else start,
        end=last,
        tokens=tuple(links),
        before=() if any(isinstance(link, Day) for link in links) else tuple(days_before(opening)),
        murky=murky,
        ours=ours,
        led=led,
        spoken=spoken,
        lifted=opening.sort is Sort.LIFTED,
        language=opening.lexicon.languages[0],
    )
