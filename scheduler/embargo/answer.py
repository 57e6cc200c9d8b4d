"""What an embargo can turn out to mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """The five answers."""

    FIXED = "fixed"  # one instant
    EVENT = "event"  # waits for something to happen: on delivery, at the end of the call, until further notice
    IMMEDIATE = "immediate"  # for immediate release, no embargo, or lifted already
    NONE = "none"  # nothing is said about an embargo on this document
    AMBIGUOUS = "ambiguous"  # a person must be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """One instant with the local time it was computed from.

    ``at`` is aware and in UTC, ``local`` the naive wall-clock time, ``zone`` an IANA key or an offset such as ``-05:00``.
    """

    at: datetime
    local: datetime
    zone: str

    def __str__(self) -> str:
        local, at = (one.replace(tzinfo=None).isoformat(" ", "minutes") for one in (self.local, self.at))
        return f"{local} {self.zone} ({at} UTC)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where words stand in a text: ``start`` and ``end`` are offsets in characters, ``line`` and ``column`` count from 1."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One embargo statement found in running text: its words as they stand there, and where."""

    words: str = field(repr=False)
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source's words about when come to.

    ``lift`` is set for ``fixed`` alone. ``reason`` is one sentence for a person: why it is ambiguous, or how it was understood.
    ``candidates`` are the instants an ambiguous (or event) statement might mean, likeliest first. ``words`` are the deciding
    statement's own, ``lang`` the code of the language it is in; ``statements`` all that were found (empty for metadata).
    """

    kind: Kind
    words: str = field(default="", repr=False)
    reason: str = field(default="", repr=False)
    lift: Lift | None = None
    candidates: tuple[Lift, ...] = ()
    statements: tuple[Statement, ...] = ()
    lang: str = ""
