"""One statement's tokens turned into instants, with every doubt that stands against them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise

from scheduler.embargo.answer import Kind, Lift
from scheduler.embargo.days import Case, Context, days_of
from scheduler.embargo.languages import abbreviations
from scheduler.embargo.openings import Sort
from scheduler.embargo.statements import Found
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.zones import around, instants, offset_name, zone

_UNCLEAR = frozenset({"IST", "CST", "AST"})
"""Abbreviations that several parts of the world use, so that none can be presumed far from all of them."""

_STALE = timedelta(days=14)
"""A document that ends its embargo so long before its own day is misread, or misdated."""

_CLOCK24_ZONES = frozenset({"CET", "CEST", "MEZ", "MESZ", "EET", "EEST", "WET", "WEST", "MSK"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one statement comes to. ``fixed`` has one lift and no doubts.

    ``dayless``: it says no day at all; ``zoneless``: no zone, so it is read in that of the newsroom.
    """

    kind: Kind
    lifts: tuple[Lift, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dayless: bool = False
    zoneless: bool = False


@dataclass(slots=True, kw_only=True)
class _Part:
    """One clock time of a statement, with the zones and days that belong to it."""

    clock: Clock
    zones: list[Where] = field(default_factory=list)
    days: list[Token] = field(default_factory=list)


def resolve(found: Found, context: Context) -> Outcome:
    """What a statement means; never raises."""
    case = Case(context=context, found=found)
    parts, days = _parts(found.tokens)
    waits = _waits(found.tokens, case)
    if not parts:
        if waits:
            return Outcome(kind=Kind.EVENT)
        case.doubt("a day but no time is stated" if days else "it says embargo, but not until when")
        return Outcome(kind=Kind.AMBIGUOUS, doubts=tuple(case.doubts))
    if not waits:
        _object(case)
    try:
        lifts, dayless = _lifts(case, parts)
    except (OverflowError, ValueError):
        lifts, dayless = [], False
        case.doubt("the day is beyond the calendar")
    if waits:
        return Outcome(kind=Kind.EVENT, lifts=tuple(lifts), notes=tuple(case.notes))
    if len(lifts) != 1 and not case.doubts:
        case.doubt(_why_several(parts, lifts))
    if not case.doubts and context.issued and lifts[0].local.date() + _STALE < context.issued:
        case.doubt("it ends before the day of issue")
    fixed = not case.doubts
    return Outcome(
        kind=Kind.FIXED if fixed else Kind.AMBIGUOUS,
        lifts=tuple(lifts),
        doubts=tuple(case.doubts),
        notes=tuple(case.notes),
        dayless=dayless,
        zoneless=not any(part.zones for part in parts),
    )


def _object(case: Case) -> None:
    """What the words around the time say against taking it as it stands."""
    kinds = {type(token) for token in case.found.tokens}
    if any(isinstance(token, About) and not token.planned for token in case.found.tokens):
        case.doubt("the time is only approximate")
    if Twist in kinds:
        case.doubt("some words beside the time make it mean another, or several")
    if not case.found.led:
        case.doubt("it does not say that the embargo ends at that time")
    if case.found.sort is Sort.IMMEDIATE:
        case.doubt("it says that it is for immediate release, and a time")
    if case.found.lifted and not any(isinstance(token, Day | Weekday | Relative) for token in case.found.tokens):
        case.doubt("it may be lifted already")
    if case.found.murky:
        case.doubt("some figures among the words could not be read")


def _parts(tokens: tuple[Token, ...]) -> tuple[list[_Part], list[Token]]:
    """The clock times with what belongs to each, and the days that stand before the first."""
    parts: list[_Part] = []
    lead: list[Token] = []
    lead_zones: list[Where] = []
    parted: list[Token] | None = None
    for token in tokens:
        if isinstance(token, Clock):
            parts.append(_Part(clock=token, days=parted or []))
            parted = None
        elif isinstance(token, Where):
            (parts[-1].zones if parts else lead_zones).append(token)
        elif isinstance(token, Day | Weekday | Relative):
            (lead if not parts else parts[-1].days if parted is None else parted).append(token)
        elif type(token) is Token:
            # Behind a stroke, a semicolon or the end of a line a day may belong to the time that follows.
            parted = parted or []
    if parts and parted:
        parts[-1].days += parted
    if parts:
        parts[0].zones[:0] = lead_zones
        parts[0].days[:0] = lead
    return parts, lead


def _waits(tokens: tuple[Token, ...], case: Case) -> bool:
    """Whether the statement waits for an event rather than for its clock time."""
    event = next((place for place, token in enumerate(tokens) if isinstance(token, Event)), None)
    if event is None:
        return False
    clock = next((place for place, token in enumerate(tokens) if isinstance(token, Clock)), None)
    if clock is None:
        return True
    if clock < event:
        case.doubt("both a time and an event are stated")
        return False
    between = tokens[event:clock]
    loose = any(isinstance(token, About) for token in between)
    return loose or not any(isinstance(token, Until) and token.end - token.start > 2 for token in between)


def _lifts(case: Case, parts: list[_Part]) -> tuple[list[Lift], bool]:
    """The instants on which all clock times agree (else all of them, and a doubt); whether no day is stated with them."""
    _share_zones(case, parts)
    owners = [part for part in parts if any(_names_day(token) for token in part.days)]
    owner = owners[0] if owners else parts[0]
    # A day before several times, or after the first, is the first one's: elsewhere it may be the day before or after.
    # A day after the last of them is taken for all.
    spread = (-1, 0, 1) if owner is parts[0] else (0,)
    halves = [
        token.half for part in parts for token in part.days if isinstance(token, Relative | Weekday) and token.half
    ]
    owned: list[Lift] = []
    readings: list[dict[datetime, Lift]] = []
    days = days_of(case, owner.days, _times(case, owner, halves if len(parts) == 1 else None))
    for part in parts:
        times = _times(case, part, halves if len(parts) == 1 else None)
        if part is owner:
            own = days
        elif part in owners:
            own = days_of(case, part.days, times)
        else:
            own = [day + timedelta(days=away) for day in days for away in spread]
        readings.append(_instants(case, part, own, times))
        owned += readings[-1].values() if part is owner or part in owners else ()
    agreed = [at for at in readings[0] if all(at in reading for reading in readings[1:])]
    if agreed or not all(readings):
        told = readings[parts.index(owner)]
        return [told[at] for at in agreed], not owners
    case.doubt("the times stated do not come to the same instant")
    return owned if len(owned) > 1 else [lift for reading in readings for lift in reading.values()], not owners


def _share_zones(case: Case, parts: list[_Part]) -> None:
    """A time without a zone has that of the time before it, or of the same time in other words right after it."""
    if not any(part.zones for part in parts):
        case.notes.append(f"read in {case.context.default_zone}")
    for previous, part in pairwise(parts):
        part.zones = part.zones or previous.zones
        if not previous.zones and set(previous.clock.times) & set(part.clock.times):
            previous.zones = part.zones


def _names_day(token: Token) -> bool:
    return not isinstance(token, Relative) or token.shift is not None


def _times(case: Case, part: _Part, halves: list[str] | None) -> tuple[tuple[int, int, int], ...]:
    """The readings of a clock time that its surroundings leave: the part of the day, the custom of a 24-hour clock."""
    times = part.clock.times
    if halves is None:
        halves = [day.half for day in part.days if isinstance(day, Relative | Weekday) and day.half]
    for half in halves:
        if part.clock.half and part.clock.half != half:
            case.doubt("the part of the day and the time disagree")
        elif len(times) == 1 and half == "p" and not part.clock.half and 1 <= times[0][1] < 12 and not times[0][0]:
            # "8 Uhr abends": a 24-hour clock's word for the hour, and still the evening is meant.
            times = ((0, times[0][1] + 12, times[0][2]),)
        elif len(times) == 1 and (times[0][1] >= 13 if half == "a" else times[0][:2] == (0, 0)):
            case.doubt("the part of the day and the time disagree")
        kept = tuple(shown for shown in times if (shown[0] == 1 or shown[1] >= 12) == (half == "p"))
        if kept:
            times = kept
    if len(times) == 1:
        return times
    if part.clock.digits and len(times) == 2 and _counts_to_24(case, part):
        return times[:1]
    began = case.context.began
    if began and len(times) == 2 and case.found.spoken and not part.days:
        # The call began at a known hour: of the two halves of that day only one may be left.
        return tuple(shown for shown in times if shown[0] or time(*shown[1:]) > began) or times
    return times


def _counts_to_24(case: Case, part: _Part) -> bool:
    if case.found.language.clock == 24:
        return True
    if part.clock.digits < 2:
        return False
    return case.context.default_zone.startswith("Europe/") or any(
        place.quarters is not None or place.abbreviation in _CLOCK24_ZONES for place in part.zones
    )


def _instants(
    case: Case, part: _Part, days: list[date], times: tuple[tuple[int, int, int], ...]
) -> dict[datetime, Lift]:
    lifts: dict[datetime, Lift] = {}
    for day in dict.fromkeys(days):
        for ahead, hour, minute in times:
            wall = datetime.combine(day + timedelta(days=ahead), time(hour, minute))
            places = part.zones or [Where(start=0, end=0, local=True)]
            meanings = [_meanings(case, place, wall) for place in places]
            agreed = [at for at in meanings[0] if all(at in others for others in meanings[1:])]
            if not agreed and all(meanings):
                case.doubt("the zones stated do not agree")
            for at in agreed or [at for meaning in meanings for at in meaning]:
                named = next(meaning[at] for meaning in meanings if at in meaning)
                lifts.setdefault(at, named)
    return lifts


def _meanings(case: Case, place: Where, wall: datetime) -> dict[datetime, Lift]:
    """The instants that a wall-clock time may be at a place, the likeliest first."""
    if place.quarters is not None:
        away = timedelta(minutes=15 * place.quarters)
        name = offset_name(away) if away else "UTC"
        return {at: Lift(at=at, local=wall, zone=name) for at in (wall.replace(tzinfo=timezone(away)).astimezone(UTC),)}
    options: list[tuple[str, timedelta | None]]
    if place.abbreviation:
        options = list(_entries(place.abbreviation, case.context.default_zone))
    else:
        key = place.key or case.context.default_zone
        options = [(key, _season(zone(key), wall.year, place.season))]
    lifts: dict[datetime, Lift] = {}
    for key, claimed in options:
        where = zone(key)
        found = instants(wall, where)
        if claimed is None:
            if not found:
                case.doubt("the clocks skip this time")
            lifts |= {at: Lift(at=at, local=wall, zone=key) for at in found or around(wall, where)}
            continue
        literal = wall.replace(tzinfo=timezone(claimed)).astimezone(UTC)
        home = case.context.default_zone
        if literal in found:
            lifts[literal] = Lift(at=literal, local=wall, zone=key)
            continue
        if place.abbreviation and literal in _named_so(place.abbreviation, wall, home):
            lifts[literal] = Lift(at=literal, local=wall, zone=home)
            continue
        # A name that is not in force on that day: what it says, or what people there call their time all year.
        lifts |= {at: Lift(at=at, local=wall, zone=key) for at in found or around(wall, where)}
        lifts[literal] = Lift(at=literal, local=wall, zone=offset_name(claimed))
    return lifts


def _named_so(name: str, wall: datetime, key: str) -> tuple[datetime, ...]:
    """The instants of a wall-clock time at a place, if its own time has that name then: ``EST`` in Brisbane, all year."""
    where = zone(key)
    named = (where.tzname(wall) or "").endswith(name)
    return instants(wall, where) if named else ()


def _entries(name: str, default_zone: str) -> tuple[tuple[str, timedelta | None], ...]:
    meanings = abbreviations()[name]
    region = default_zone.partition("/")[0]
    near = [entry for entry in meanings if entry[0] == default_zone] or [
        entry for entry in meanings if entry[0].startswith(region)
    ]
    if near:
        return tuple(near)
    return meanings if name in _UNCLEAR else meanings[:1]


def _season(where: tzinfo, year: int, season: str) -> timedelta | None:
    """The offset that 'standard' or 'daylight' names there in that year."""
    if not season:
        return None
    both = [datetime(year, month, 1, tzinfo=where).utcoffset() or timedelta(0) for month in (1, 7)]
    return min(both) if season == "standard" else max(both)


def _why_several(parts: list[_Part], lifts: list[Lift]) -> str:
    if not lifts:
        return "no instant could be made out of it"
    if any(len(part.clock.times) > 1 and part.clock.digits == 0 for part in parts):
        return "midnight may be the start or the end of the day"
    if len({lift.local.time() for lift in lifts}) > 1:
        return "it says neither a.m. nor p.m."
    if len({(lift.local, lift.zone) for lift in lifts}) == 1:
        return "the clocks show this time twice"
    if any(place.abbreviation or place.season for part in parts for place in part.zones):
        return "the name of the zone does not fit the day, or names several zones"
    return "the clocks show this time twice"
