"""The only reader of the clocks: the time of day, and what tells whether it can be believed."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

Clock = Callable[[], datetime]
"""Gives the present instant, aware and in UTC."""

Steady = Callable[[], timedelta]
"""Gives the time since some instant of its own, which nobody can set."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# It runs on while the machine is suspended, as the wall clock does. Elsewhere than on Linux CLOCK_MONOTONIC does so by itself.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_AT_ONCE = timedelta(milliseconds=5)
_TIMEX_BYTES = 1024  # more than `struct timex` has anywhere; all zero, it asks and changes nothing
_TIME_ERROR = 5


def system() -> datetime:
    """The host's wall clock, truncated to the microsecond.

    Made from integer nanoseconds: a float of seconds can read less than an earlier reading did.
    """
    return _EPOCH + timedelta(microseconds=time.time_ns() // 1000)


def steady() -> timedelta:
    """The time since this boot, suspended or not, truncated to the microsecond."""
    return timedelta(microseconds=time.clock_gettime_ns(_STEADY) // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The wall clock, and what the steady clock said at the same moment."""

    now: datetime
    steady: timedelta

    @property
    def zero_at(self) -> datetime:
        """What the wall clock showed, by its present setting, when the steady one stood at zero.

        It moves when the wall clock is stepped, and only then: both clocks are slewed alike.
        """
        return self.now - self.steady


def read(wall: Clock = system, by: Steady = steady) -> Reading:
    """Both clocks, read within a few milliseconds: a process that was stopped in between reads again."""
    while True:
        before = by()
        now = wall()
        if by() - before <= _AT_ONCE:
            return Reading(now=now, steady=before)


def boot_id() -> str | None:
    """What tells this run of the kernel from any other; ``None`` where it isn't said."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


def kernel_says_unsynchronised() -> bool | None:
    """Whether the kernel knows of nothing that keeps its clock right (ntp_adjtime(3)); ``None`` where it can't be asked."""
    try:
        said = int(ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return None
    return None if said < 0 else said == _TIME_ERROR
