"""The only reader of the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Gives the present instant, aware and in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def system() -> datetime:
    """The host's wall clock, truncated to the microsecond.

    Made from integer nanoseconds: a float of seconds can read less than an earlier reading did.
    """
    return _EPOCH + timedelta(microseconds=time.time_ns() // 1000)
