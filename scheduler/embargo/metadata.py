"""The ``embargo`` of a record's metadata: strict, exact, and refused with what to write instead."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from scheduler.embargo.answer import Kind, Lift, Reading
from scheduler.embargo.text import read
from scheduler.embargo.zones import around, instants, nearest, offset, offset_name, zone
from scheduler.errors import EmbargoRefused

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_FORM = "Write a date, a time and a zone, such as '2026-12-01 09:00 America/New_York'."
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_IMMEDIATE = re.compile(r"none|no embargo|immediate(ly)?|immediate release|for immediate release")
_EVENT = re.compile(
    r"(on|until|upon|at|after|till) delivery|(until|till) further notice|"
    r"(at|until|till|on) (the )?(end|conclusion|start|close|beginning) of (the |this )?"
    r"(call|briefing|speech|remarks|conference|press conference|event|meeting|session)|on (landing|publication)"
)
_INSTANT = re.compile(
    r"(?:(?P<weekday>[a-z]+)[.,]?\s+)?(?P<date>(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d))"
    r"(?:(?:\s*,?\s+|T)(?:at\s+)?(?P<time>(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?)?)"
    r"(?![\d.:])(?:\s*(?P<half>[ap])\.?m\b\.?)?)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_REST = re.compile(
    r"\s*(?P<offset>[+-]\d\d?(?::?\d\d)?)?\s*(?:\[(?P<boxed>[^\]]+)\]|(?P<name>[A-Za-z][^\s(]*(?: [A-Za-z.]+)?))?"
    r"(?:\s*\((?P<weekday>[A-Za-z]+)\))?\s*"
)


def stated(words: str, *, zone: str | None, default_zone: str) -> Reading:
    """What an embargo stated in metadata means: fixed, event or immediate.

    ``zone`` is the zone given apart (an IANA key or an offset), ``default_zone`` the IANA key that holds where nothing else
    is said. RFC 3339 and RFC 9557 forms are taken besides ``YYYY-MM-DD HH:MM[:SS[.ffffff]] [ZONE]``. Whatever does not name
    exactly one instant raises :class:`~scheduler.errors.EmbargoRefused`.
    """
    plain = " ".join(words.split())
    folded = plain.casefold().rstrip(".")
    if _IMMEDIATE.fullmatch(folded):
        return Reading(kind=Kind.IMMEDIATE, words=words, reason="The record states that there is no embargo.")
    if _EVENT.fullmatch(folded):
        return Reading(
            kind=Kind.EVENT, words=words, reason="The record waits for an event, which a person must confirm."
        )
    found = _INSTANT.fullmatch(plain)
    if found is None:
        _refuse_form(plain, default_zone)
    if found["time"] is None:
        tail = zone or default_zone
        if _exact(found["rest"].strip()):
            tail = found["rest"].strip()
        elif any(map(str.isdigit, found["rest"])):
            _refuse_form(plain, default_zone)
        _refuse(
            plain,
            "names a day but no time",
            f"Say the time: write '{found['date']} 09:00 {tail}', with the hour you mean.",
        )
    rest = _REST.fullmatch(found["rest"])
    if rest is None:
        _refuse(plain, "has something after the time that is no zone", _FORM)
    if found["minute"] is None and not found["half"]:
        _refuse(
            plain,
            "has an hour without minutes",
            f"Write '{found['date']} {int(found['hour']):02}:00', if that is meant.",
        )
    wall = _wall(plain, found)
    _check_weekday(plain, wall, (found["weekday"], rest["weekday"]))
    given = [part for part in (rest["offset"], rest["boxed"] or rest["name"], zone) if part]
    lifts = [_lift(plain, wall, part, default_zone) for part in _settle_doubled(given or [default_zone], wall)]
    if len({lift.at for lift in lifts}) > 1:
        named = " and ".join(f"'{part}'" for part in given)
        raise EmbargoRefused(
            problem=f"The embargo '{plain}' is given two zones, {named}, which differ at that time.",
            remedy=f"Keep one: write {' or '.join(_line(lift) for lift in lifts)}.",
            candidates=tuple(_stamp(lift.at, lift.zone) for lift in lifts),
        )
    return Reading(kind=Kind.FIXED, words=words, reason=f"The record states {lifts[-1]}.", lift=lifts[-1])


def _refuse(words: str, fault: str, remedy: str) -> NoReturn:
    raise EmbargoRefused(problem=f"The embargo '{words}' {fault}.", remedy=remedy)


def _refuse_form(words: str, default_zone: str) -> NoReturn:
    if not words:
        raise EmbargoRefused(problem="The embargo is empty.", remedy=f"{_FORM[:-1]}, 'on delivery', or 'none'.")
    if re.fullmatch(r"T?\d{1,2}([:.]\d\d)*(\s*[ap]\.?m\.?)?(\s+\S+)?", words, re.IGNORECASE):
        _refuse(words, "names a time but no day", f"Say the day: {_FORM[0].lower()}{_FORM[1:]}")
    remedy = f"{_FORM[:-1]}, 'on delivery', or 'none'."
    meant = read(f"EMBARGO: {words}", default_zone=default_zone)
    lifts = (meant.lift,) if meant.lift else meant.candidates
    if lifts:
        remedy = f"Write {' or '.join(_line(lift) for lift in lifts)}, if that is meant."
    raise EmbargoRefused(
        problem=f"The embargo '{words}' is not in a form that names one instant.",
        remedy=remedy,
        candidates=tuple(_stamp(lift.at, lift.zone) for lift in lifts),
    )


def _wall(words: str, found: re.Match[str]) -> datetime:
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            _refuse(words, f"has the hour {hour} on a 12-hour clock", "Write the time from 00:00 to 23:59.")
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    if (hour, minute, int(found["second"] or 0)) == (24, 0, 0):
        _refuse(words, "has the hour 24", "Write 00:00 of the day after.")
    if hour > 23 or minute > 59 or int(found["second"] or 0) > 59:
        _refuse(words, "has a time that no clock shows", "Write the time from 00:00:00 to 23:59:59.")
    try:
        wall = datetime(  # noqa: DTZ001 - a wall-clock time, which gets its zone next
            int(found["year"]),
            int(found["month"]),
            int(found["day"]),
            hour,
            minute,
            int(found["second"] or 0),
            int((found["fraction"] or "").ljust(6, "0")),
        )
    except ValueError:
        _refuse(words, f"has a date that no calendar shows, {found['date']}", "Write an existing day as YYYY-MM-DD.")
    if not 1900 <= wall.year <= 9000:
        _refuse(words, f"has the year {wall.year}", "Write the year you mean in four digits.")
    return wall


def _check_weekday(words: str, wall: datetime, names: tuple[str | None, ...]) -> None:
    actual = _WEEKDAYS[wall.weekday()]
    for name in filter(None, names):
        if len(name) < 3 or not any(day.startswith(name.casefold().rstrip("s")[:9]) for day in _WEEKDAYS):
            meant = get_close_matches(name.casefold(), _WEEKDAYS, n=1)
            hint = f"'{meant[0].title()}'" if meant else "the name of a weekday, or nothing,"
            _refuse(words, f"has '{name}' where a weekday may stand", f"Write {hint} there.")
        if not actual.startswith(name.casefold()[:3]):
            _refuse(
                words, f"says {name}, but {wall:%Y-%m-%d} is a {actual.title()}", "Correct the weekday or the date."
            )


def _settle_doubled(given: list[str], wall: datetime) -> list[str]:
    """Where an offset stands beside a zone that shows this time twice, and is in force at one of the two, the offset decides."""
    offsets = [away for part in given if (away := offset(part)) is not None]
    for part in given:
        if offsets and offset(part) is None and part in _exact(part):
            twice = instants(wall, zone(part))
            if len(twice) == 2 and wall.replace(tzinfo=offsets[0]).astimezone(UTC) in twice:
                return [other for other in given if other != part]
    return given


def _exact(name: str) -> tuple[str, ...]:
    try:
        zone(name)
    except EmbargoRefused:
        return ()
    return (name,)


def _lift(words: str, wall: datetime, name: str, default_zone: str) -> Lift:
    away = offset(name)
    if away is not None:
        return Lift(at=wall.replace(tzinfo=away).astimezone(UTC), local=wall, zone=name[:3] + ":" + name[-2:])
    if name.upper() in {"UTC", "Z", "GMT"}:
        return Lift(at=wall.replace(tzinfo=UTC), local=wall, zone="UTC")
    try:
        where = zone(name)
    except EmbargoRefused:
        meant = nearest(name, default_zone=default_zone)
        line = _line(Lift(at=wall.replace(tzinfo=UTC), local=wall, zone=meant or "America/New_York"))
        exact = "an IANA zone or an offset"
        if meant is None:
            _refuse(words, f"has the zone '{name}', which is not {exact}", f"Write {exact}, such as {line}.")
        _refuse(words, f"has the zone '{name}', which is not exact", f"Write {line}, if that is the zone meant.")
    found = instants(wall, where)
    if len(found) == 1:
        return Lift(at=found[0], local=wall, zone=name)
    return _refuse_clock_change(words, wall, where, found)


def _refuse_clock_change(words: str, wall: datetime, where: ZoneInfo, found: tuple[datetime, ...]) -> NoReturn:
    choices = found or around(wall, where)
    written = [at.astimezone(where) for at in choices]
    lines = [f"'{at:%Y-%m-%d} {_clock(at)} {offset_name(at.utcoffset() or timedelta(0))}'" for at in written]
    fault = "comes twice" if found else "is skipped"
    moments = " or ".join(f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in choices)
    raise EmbargoRefused(
        problem=f"The embargo '{words}' names a time that {fault} in {where.key} when the clocks change: it could be {moments}.",
        remedy=f"Write {lines[0]} or {lines[1]}.",
        candidates=tuple(at.isoformat() for at in written),
    )


def _clock(wall: datetime) -> str:
    return wall.time().replace(tzinfo=None).isoformat("minutes" if not (wall.second or wall.microsecond) else "auto")


def _line(lift: Lift) -> str:
    return f"'{lift.local:%Y-%m-%d} {_clock(lift.local)} {lift.zone}'"


def _stamp(at: datetime, name: str) -> str:
    where = offset(name) or (UTC if name == "UTC" else zone(name))
    return at.astimezone(where).isoformat()
