"""Time zones: which names are exact, which local times exist, and what is meant by names that are not exact.

Zones come from the ``tzdata`` package and never from the machine, so the version we report is the one that decided, and
every machine decides alike.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import cache
from importlib import import_module, reload
from importlib.resources import files
from zoneinfo import ZoneInfo

from dateutil.tz import datetime_ambiguous, datetime_exists

from scheduler.embargo.languages import abbreviations, every
from scheduler.errors import EmbargoRefused

_TURNED = re.compile(
    r"(?:(?:Etc/)?(?:GMT|UTC))?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?", re.IGNORECASE
)
_VERSION = re.compile(r"IANA_VERSION = [\"'](\w+)")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>[0-5]\d)")


def tz_version() -> str:
    """The version of the tz database that decides, such as ``2026a``: that of the installed ``tzdata`` package."""
    return str(import_module("tzdata").IANA_VERSION)


def installed_tz_version() -> str:
    """By which version a process would decide that started now: the package may have been renewed since this one did."""
    try:
        found = _VERSION.search(files("tzdata").joinpath("__init__.py").read_text("ascii"))
    except OSError:
        return tz_version()  # it is being renewed this very moment
    return found[1] if found else tz_version()


def take_installed_tz() -> None:
    """From here on this process decides by the tz database that is installed now."""
    reload(import_module("tzdata"))
    for remembered in (keys, places, zone):
        remembered.cache_clear()


@cache
def keys() -> frozenset[str]:
    """The IANA keys of the tz database in use that name a place."""
    names = files("tzdata").joinpath("zones").read_text("ascii").split()
    return frozenset(name for name in names if "/" in name and not name.startswith("Etc/")) | {"UTC", "Etc/UTC"}


@cache
def places() -> dict[str, str]:
    """The IANA keys by what people call places there: the cities of the keys, and the names in the language files."""
    cities = {key.rpartition("/")[2].replace("_", " ").casefold(): key for key in sorted(keys(), reverse=True)}
    return cities | {name: key for language in every() for name, key in language.places.items()}


@cache
def zone(key: str) -> ZoneInfo:
    """The zone of an exact IANA key; any other name raises :class:`~scheduler.errors.EmbargoRefused`."""
    if key not in keys():
        raise EmbargoRefused(
            problem=f"'{key}' is not a time zone.", remedy=f"Write '{nearest(key) or 'America/New_York'}'."
        )
    with files("tzdata").joinpath("zoneinfo", *key.split("/")).open("rb") as compiled:
        return ZoneInfo.from_file(compiled, key=key)


def offset(words: str) -> timezone | None:
    """A fixed offset such as ``-05:00`` or ``+0100``; ``None`` where the words are none, or lie beyond 14 hours."""
    found = _OFFSET.fullmatch(words)
    if found is None:
        return None
    away = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
    if away > timedelta(hours=14):
        return None
    return timezone(-away if found["sign"] == "-" else away)


def offset_name(away: timedelta) -> str:
    """An offset from UTC as ``-05:00``."""
    minutes = abs(round(away.total_seconds() / 60))
    return f"{'-' if away < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"


def likely(name: str, *, default_zone: str) -> str | None:
    """The zone that an inexact name probably means, for a newsroom that works in ``default_zone``; ``None`` if unknown."""
    meanings = abbreviations().get(name.upper().replace(".", ""), ())
    region = default_zone.partition("/")[0]
    near = [key for key, _ in meanings if key == default_zone] + [key for key, _ in meanings if key.startswith(region)]
    return next(iter([*near, *(key for key, _ in meanings)]), None)


def nearest(name: str, *, default_zone: str = "UTC") -> str | None:
    """The exact zone or offset to write instead of a name that is none; ``None`` where none comes near."""
    turned = _TURNED.fullmatch(name)
    if turned is not None and int(turned["hours"]) <= 14:
        # The tz database counts Etc/GMT+5 westwards, five hours behind UTC; people who write GMT+5 mean ahead.
        sign = turned["sign"] if not name.startswith("Etc/") else {"+": "-", "-": "+"}[turned["sign"]]
        return f"{sign}{int(turned['hours']):02}:{turned['minutes'] or '00'}"
    meant = likely(re.sub(r"\d[A-Z]{3}$", "", name), default_zone=default_zone)
    if meant is not None:
        return meant
    known = {place.replace(" ", "_"): key for place, key in places().items()} | {key.casefold(): key for key in keys()}
    match = get_close_matches("_".join(name.casefold().split()), known, n=1, cutoff=0.75)
    return known[match[0]] if match else None


def instants(wall: datetime, where: tzinfo) -> tuple[datetime, ...]:
    """The UTC instants at which clocks there show ``wall`` (naive): one, none where they skip it, two where it comes twice."""
    both = [wall.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1)]
    if both[0] == both[1]:
        # PEP 495: where the two folds have one offset, the clocks show this time once.
        return (both[0],)
    if not datetime_exists(wall, where):
        return ()
    return tuple(both) if datetime_ambiguous(wall, where) else (both[0],)


def around(wall: datetime, where: tzinfo) -> tuple[datetime, ...]:
    """The two UTC instants a skipped ``wall`` might mean: by the offset after the change, and by the one before it."""
    return tuple(wall.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (1, 0))


def local(at: datetime, key: str) -> datetime:
    """The aware local time of an instant in the zone of an IANA key, or at an offset such as ``-05:00``."""
    return at.astimezone(offset(key) or zone(key))
