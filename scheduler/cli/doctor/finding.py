"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from scheduler.errors import EmbargoError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`what` is so, `why` it matters, and the `remedy`, what to do; a good one with a remedy is a note."""

    good: bool = True
    what: str
    why: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def judged(what: str, *, good: bool, why: str, remedy: str) -> Finding:
    """A finding that needs its remedy only where it is not good."""
    return Finding(good=good, what=what, why=why, remedy="" if good else remedy)


def safely(name: str, look: Check) -> Iterator[Finding]:
    """The findings of one check; one that fails is a finding, and keeps no other from its own."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever it is, a person must hear it among the rest
        said = str(error) if isinstance(error, EmbargoError | OSError) else type(error).__name__
        yield Finding(
            good=False,
            what=f"{name}: this could not be examined: {said}",
            why="What is not looked at may be wrong.",
            remedy="Mend what it names; if it names no cause, this is a fault of Embargo's: report it.",
        )
