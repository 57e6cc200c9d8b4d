"""What an embargo statement is made of: clock times, days, zones, events and the words around them."""

from __future__ import annotations

from dataclasses import dataclass

DateParts = tuple[int | None, int | None, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of a statement; ``start`` and ``end`` are offsets in the folded text it was found in."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(Token):
    """A time of day. ``times`` are its readings: days to add, hour, minute.

    More than one: the words leave it open, and the first is the one a 24-hour clock shows. ``digits`` counts those of the hour;
    ``half`` is ``a`` or ``p`` where it says a.m. or p.m.
    """

    times: tuple[tuple[int, int, int], ...]
    digits: int = 0
    half: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day(Token):
    """A calendar day. ``dates`` are its readings as year, month, day.

    Year and month are ``None`` where they aren't said; a year below 100 is one of two digits.
    """

    dates: tuple[DateParts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekday(Token):
    """A day of the week, Monday 0. ``lead`` is ``this`` or ``next`` where that is said, ``half`` as in :class:`Relative`."""

    number: int
    lead: str = ""
    half: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative(Token):
    """A day counted from the day of issue (``shift``), a part of the day (``a`` before noon, ``p`` after), or both."""

    shift: int | None
    half: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Token):
    """A zone: an IANA ``key`` (with the ``season`` its name claims), an ``abbreviation``, or ``quarters`` of an hour east."""

    key: str = ""
    season: str = ""
    abbreviation: str = ""
    quarters: int | None = None
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Token):
    """Something that must happen first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About(Token):
    """A word that makes a time less than exact, or (``planned``) says that something is meant to happen then."""

    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Twist(Token):
    """Words that make what stands beside them mean another time, such as "the day after"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until(Token):
    """A word that leads to the end of an embargo; ``clause``: what follows may be any event, as after "until"."""

    clause: bool = False
