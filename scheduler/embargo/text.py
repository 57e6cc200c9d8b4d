"""Running text: every embargo statement in it, and what they come to together."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING

from scheduler.embargo.answer import Kind, Lift, Place, Reading, Statement
from scheduler.embargo.days import NO_YEAR, Context
from scheduler.embargo.languages import fold, mend, named, part
from scheduler.embargo.openings import MOST, Sort
from scheduler.embargo.resolve import Outcome, resolve
from scheduler.embargo.statements import Found, find

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

_BEGAN = re.compile(
    r"\b(?:via (?:teleconference|telephone|conference call|video ?conference)|conference call|briefing room)[\s,]{1,4}"
    r"(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)\s?(?P<half>[ap])\.?m\b"
)
_CANDIDATES = 6


def read(
    text: str,
    *,
    default_zone: str,
    issued: date | None = None,
    seen: date | None = None,
    now: datetime | None = None,
    lang: str | None = None,
) -> Reading:
    """What a text says about its own embargo. Never raises, takes linear time, and guesses nothing.

    ``default_zone`` is the IANA zone of the newsroom, in which a time without a zone is read. ``issued`` is the document's date,
    from which "tomorrow", a weekday and a day without a year count. Without it such a day is ambiguous, with candidates: of
    the years whose weekday fits, the latest not after ``seen`` (a day on or after the day of issue), else the nearest to
    ``now``. ``lang`` is the code of the text's language (``KeyError`` where there is no file for it); without it that is found.
    """
    folded = mend(part(text, fold(text)))
    found = find(text, folded, None if lang is None else named(lang))
    if found is None:
        return Reading(kind=Kind.AMBIGUOUS, reason=f"The text speaks of embargoes more than {MOST} times.")
    context = Context(default_zone=default_zone, issued=issued, seen=seen, now=now, began=_began(folded))
    statements = _statements(text, found)
    reading = _answer(found, statements, context)
    spoken = (one.language.code for one, each in zip(found, statements, strict=True) if each.words == reading.words)
    return replace(reading, lang=next(spoken, ""))


def _answer(found: Sequence[Found], statements: tuple[Statement, ...], context: Context) -> Reading:
    free = [place for place, one in enumerate(found) if one.is_free]
    embargoes = [(place, one) for place, one in enumerate(found) if not one.is_free]
    if any(found[place].sort is Sort.IMMEDIATE for place in free):
        embargoes = [(place, one) for place, one in embargoes if not one.lifted]
    outcomes = [(place, resolve(one, context)) for place, one in embargoes]
    whole = [(place, outcome) for place, outcome in outcomes if found[place].tokens and found[place].ours] or [
        (place, outcome) for place, outcome in outcomes if found[place].ours
    ]
    if whole and not free:
        # What may be about another text sets nothing, but contradicts.
        whole += [(place, outcome) for place, outcome in outcomes if not found[place].ours]
    if not whole:
        if not free:
            return Reading(kind=Kind.NONE, reason="The text states no embargo on itself.")
        reason = (
            "It is for immediate release."
            if found[free[0]].sort is Sort.IMMEDIATE
            else "The embargo is lifted already."
        )
        return Reading(kind=Kind.IMMEDIATE, words=statements[free[0]].words, reason=reason, statements=statements)
    if free:
        lifted = found[free[-1]].sort is Sort.LIFTED and free[-1] > whole[-1][0]
        if lifted and all(outcome.kind is Kind.EVENT for _, outcome in whole):
            return Reading(
                kind=Kind.IMMEDIATE,
                words=statements[free[-1]].words,
                reason="The embargo is lifted already.",
                statements=statements,
            )
        return Reading(
            kind=Kind.AMBIGUOUS,
            words=statements[whole[0][0]].words,
            reason="It states an embargo and says that there is none.",
            candidates=_candidates([outcome for _, outcome in whole]),
            statements=statements,
        )
    return _together(whole, statements)


def _began(folded: str) -> time | None:
    if "via " not in folded and "call" not in folded and "briefing" not in folded:
        return None
    found = _BEGAN.search(folded, 0, 20_000)
    if found is None or not 1 <= int(found["hour"]) <= 12:
        return None
    return time(int(found["hour"]) % 12 + (12 if found["half"] == "p" else 0), int(found["minute"]))


def _statements(text: str, found: Sequence[Found]) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    line, line_start, counted = 1, 0, 0
    for one in found:
        line += text.count("\n", counted, one.start)
        line_start = max(text.rfind("\n", counted, one.start) + 1, line_start)
        counted = max(one.start, counted)
        place = Place(start=one.start, end=one.end, line=line, column=one.start - line_start + 1)
        statements.append(Statement(words=text[one.start : one.end], place=place))
    return tuple(statements)


def _candidates(outcomes: Sequence[Outcome]) -> tuple[Lift, ...]:
    lifts = {lift.at: lift for outcome in reversed(outcomes) for lift in reversed(outcome.lifts)}
    return tuple(reversed(lifts.values()))[:_CANDIDATES]


def _together(whole: Sequence[tuple[int, Outcome]], statements: tuple[Statement, ...]) -> Reading:
    """What several statements of one text come to: one answer where they agree, else a question."""
    dated = [outcome for _, outcome in whole if not outcome.dayless]
    outcomes = [outcome for _, outcome in whole if not (outcome.dayless and _repeats(outcome, dated))]
    words = statements[next(place for place, outcome in whole if outcome is outcomes[0])].words
    kinds = {outcome.kind for outcome in outcomes}
    candidates = _candidates(outcomes)
    count = len(whole)
    if kinds == {Kind.EVENT}:
        reason = "It waits for an event, which a person must confirm."
        return Reading(kind=Kind.EVENT, words=words, reason=reason, candidates=candidates, statements=statements)
    instants = {lift.at for outcome in outcomes for lift in outcome.lifts}
    agree = f"{_number(count)} statements agree" if count > 1 else ""
    notes = list(dict.fromkeys(note for outcome in outcomes for note in outcome.notes))
    if kinds == {Kind.FIXED} and len(instants) == 1:
        lift = outcomes[0].lifts[0]
        reason = _sentence([f"it is embargoed until {lift}", agree, *notes])
        return Reading(kind=Kind.FIXED, words=words, reason=reason, lift=lift, statements=statements)
    doubts = list(dict.fromkeys(doubt for outcome in outcomes for doubt in outcome.doubts))
    if NO_YEAR in doubts and any(outcome.zoneless for outcome in outcomes):
        doubts = ["no year and no zone are stated", *(doubt for doubt in doubts if doubt != NO_YEAR)]
    same = (
        len({outcome.kind for outcome in outcomes}) == 1
        and len({tuple(lift.at for lift in one.lifts) for one in outcomes}) == 1
    )
    if count > 1 and not same:
        agree = f"{_number(count)} statements do not say the same"
    return Reading(
        kind=Kind.AMBIGUOUS,
        words=words,
        reason=_sentence([*doubts, agree, *notes]),
        candidates=candidates,
        statements=statements,
    )


def _repeats(outcome: Outcome, dated: Sequence[Outcome]) -> bool:
    """Whether a statement without a day names the clock time of one that has a day."""
    clocks = {(lift.local.time(), lift.zone) for lift in outcome.lifts}
    return any((lift.local.time(), lift.zone) in clocks for other in dated for lift in other.lifts)


def _number(count: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(count, str(count))


def _sentence(clauses: Sequence[str]) -> str:
    joined = "; ".join(clause for clause in clauses if clause)
    return f"{joined[:1].upper()}{joined[1:]}."
