"""What is read out of a message that came back."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.record.reach import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said about one recipient: `status` by RFC 3463, where there is any; `addresses` in lower case, under which the
    report knows him; `detail` in the reporter's words, on one line without addresses.
    """

    kind: Report
    status: str | None = None
    addresses: frozenset[str] = field(default=frozenset(), repr=False)
    detail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a message says, of one recipient or several, and what it is about: our tokens and Message-IDs, the surest first."""

    said: tuple[Said, ...]
    tokens: tuple[str, ...] = field(default=(), repr=False)
    message_ids: tuple[str, ...] = field(default=(), repr=False)
