"""Decides about a brief: held until an instant, until a person lifts it, or attention with its reason. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.embargo import Kind, Lift, Reading
from scheduler.record.values import Decided, PastOnArrival, State, Verdict

FAR_AHEAD = timedelta(days=731)
"""A lift further away than this is taken for a slip of the pen and shown to a person."""

_LONGEST = 200
"""So many characters of a statement are quoted in a reason."""


def check(
    *,
    stated: Reading | None,
    text: Reading,
    now: datetime,
    past_on_arrival: PastOnArrival,
    doubt: str | None = None,
    unfit: str | None = None,
) -> Verdict:
    """Decides about a brief from its metadata's reading (``None``: it has none) and its running text's.

    ``doubt`` has the sentences for which a person must look at it before it lifts, ``unfit`` one that keeps the text from
    going out whatever the time, such as a withheld name found in it.
    """
    decided = Decided.TEXT if stated is None else Decided.METADATA
    reading = text if stated is None else stated
    kind, words, lift, reason = reading.kind, reading.words, reading.lift, None
    candidates = instants(reading)
    if reading.kind is Kind.IMMEDIATE and stated is not None:
        lift = Lift(at=now, local=now.replace(tzinfo=None), zone="UTC")
    if stated is None:
        reason = _without_metadata(text)
    elif _contradicted(stated, text, now):
        reason = (
            f"The metadata says {_quoted(stated)}, but the text says {_quoted(text)}. "
            "Confirm what is right, or correct the file."
        )
        # Both are the source's words: an edit of either is an edit of the embargo.
        words = f"{stated.words} | {' '.join(text.words.split())}"
        kind = Kind.EVENT if Kind.EVENT in {stated.kind, text.kind} else kind
        known = {candidate.at for candidate in candidates}
        candidates += tuple(candidate for candidate in instants(text) if candidate.at not in known)
    if doubt is not None:
        reason = doubt
        # A part of what the source said about when: to take it back, or to say it anew, is an edit of the embargo.
        words = " | ".join(filter(None, (words, doubt)))
        kind = kind if kind is Kind.EVENT else Kind.AMBIGUOUS
    if reason is None and reading.kind is Kind.FIXED:
        reason = _unlikely(reading, now, past_on_arrival)
    reason = unfit or reason
    return Verdict(
        state=State.ATTENTION if reason else State.HELD,
        kind=kind,
        words=words,
        decided=decided,
        lift=None if reason else lift,
        reason=reason,
        candidates=candidates,
        unfit=unfit,
    )


def instants(reading: Reading) -> tuple[Lift, ...]:
    """All that a reading may mean, likeliest first."""
    return reading.candidates or ((reading.lift,) if reading.lift else ())


def _without_metadata(text: Reading) -> str | None:
    match text.kind:
        case Kind.FIXED:
            return None
        case Kind.NONE:
            return "Nothing in the metadata or the text says when. Write an `embargo:` line, or confirm a time."
        case Kind.EVENT:
            return (
                f"Only the text says when: “{text.words}”. Write `embargo: on delivery` to hold it until a person lifts it, "
                "or confirm a time."
            )
        case Kind.IMMEDIATE:
            return f"Only the text says when: “{text.words}”. Write `embargo: none` to release it at once, or confirm a time."
        case Kind.AMBIGUOUS:
            return text.reason


def _contradicted(stated: Reading, text: Reading, now: datetime) -> bool:
    """Whether the text denies what the metadata says. What it leaves open (a year, a zone), the metadata settles."""
    meant = {lift.at for lift in instants(text)}
    match stated.kind, text.kind:
        case _, Kind.NONE:
            return False
        case Kind.FIXED, Kind.FIXED | Kind.AMBIGUOUS:
            assert stated.lift is not None
            return bool(meant) and stated.lift.at not in meant
        case Kind.FIXED, Kind.IMMEDIATE:
            assert stated.lift is not None
            return stated.lift.at > now
        case Kind.EVENT, _:
            return text.kind in {Kind.FIXED, Kind.IMMEDIATE}
        case _:
            return stated.kind is not text.kind


def _quoted(reading: Reading) -> str:
    """A reading's words with the instants they mean, for a sentence."""
    words = " ".join(reading.words.split())
    match reading.kind:
        case Kind.IMMEDIATE:
            meant = "no embargo"
        case Kind.EVENT:
            meant = "an event"
        case _:
            meant = " or ".join(_utc(lift) for lift in instants(reading)) or "no exact time"
    return f"“{words if len(words) <= _LONGEST else words[:_LONGEST] + '…'}” ({meant})"


def _utc(lift: Lift) -> str:
    return f"{lift.at.replace(tzinfo=None).isoformat(' ', 'auto' if lift.at.second or lift.at.microsecond else 'minutes')} UTC"


def _unlikely(reading: Reading, now: datetime, past_on_arrival: PastOnArrival) -> str | None:
    assert reading.lift is not None
    if reading.lift.at > now + FAR_AHEAD:
        return f"The lift, {reading.lift}, is more than two years ahead. If it is meant, confirm it; else correct the year."
    if reading.lift.at <= now and past_on_arrival is PastOnArrival.HOLD:
        return f"The lift, {reading.lift}, had passed when the record came in. Confirm it to release at once, or correct it."
    return None
