"""A source's words about when, turned into one instant, or a refusal with its reason. Pure: no I/O, no clock.

Two ways in. :func:`stated` reads the ``embargo`` of a record's metadata and is strict: what does not name exactly one
instant raises :class:`~scheduler.errors.EmbargoRefused`. :func:`read` reads running text, finds every statement in it and
answers with one :class:`Reading`; it never raises and never guesses.
"""

from __future__ import annotations

from datetime import datetime

from scheduler.embargo.answer import Kind, Lift, Place, Reading, Statement
from scheduler.embargo.languages import every
from scheduler.embargo.metadata import stated
from scheduler.embargo.text import read
from scheduler.embargo.zones import installed_tz_version, local, take_installed_tz, tz_version, zone

__all__ = [
    "Kind",
    "Lift",
    "Place",
    "Reading",
    "Statement",
    "installed_tz_version",
    "languages",
    "lift_in",
    "local",
    "read",
    "stated",
    "take_installed_tz",
    "tz_version",
    "zone",
]


def lift_in(key: str, at: datetime) -> Lift:
    """The lift at an aware instant, as clocks show it in `key`: an IANA key or an offset such as ``-05:00``."""
    return Lift(at=at, local=local(at, key).replace(tzinfo=None), zone=key)


def languages() -> dict[str, str]:
    """The names of the languages that are read, by code, English first."""
    return {language.code: language.name for language in every()}
