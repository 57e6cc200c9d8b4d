"""How fast mails may leave. Asked before a mail is announced: what waits for its turn can still be called off."""

from __future__ import annotations

CATCH_UP = 0.1
"""Seconds of its pace that are made up for after a pause."""


class Pace:
    """At most `rate` mails a second (``None``: as many as there are); `now` is in seconds and never goes back."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = float("-inf")

    def allows(self, now: float, wanted: int) -> int:
        """How many of `wanted` may begin now."""
        if not self._gap:
            return wanted
        due = now - max(self._next, now - CATCH_UP)
        return 0 if due < 0 else min(wanted, int(due / self._gap) + 1)

    def took(self, now: float, count: int) -> None:
        """Notes that so many have begun."""
        if self._gap:
            self._next = max(self._next, now - CATCH_UP) + count * self._gap

    def wait(self, now: float) -> float:
        """Seconds until the next may begin."""
        return max(0.0, self._next - now) if self._gap else 0.0
