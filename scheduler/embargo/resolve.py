"""One statement's tokens turned into instants, with every doubt that stands against them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from scheduler.embargo.answer import Kind, Lift
from scheduler.embargo.days import Case, Context, days_of
from scheduler.embargo.statements import Found
from scheduler.embargo.tokens import About, Clock, Day, Event, Relative, Token, Twist, Until, Weekday, Where
from scheduler.embargo.zones import ABBREVIATIONS, around, instants, offset_name, zone

_UNCLEAR = frozenset({"IST", "CST", "AST"})
"""Abbreviations that several parts of the world use, so that none can be presumed far from all of them."""

NO_ZONE = "no zone is stated"

_CLOCK24_ZONES = frozenset({"CET", "CEST", "MEZ", "MESZ", "EET", "EEST", "WET", "WEST", "MSK"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one statement comes to. ``fixed`` has one lift and no doubts; ``clock`` is set where it says no day at all."""

    kind: Kind
    lifts: tuple[Lift, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dayless: bool = False


@dataclass(slots=True, kw_only=True)
class _Part:
    """One clock time of a statement, with the zones and days that belong to it."""

    clock: Clock
    zones: list[Where] = field(default_factory=list)
    days: list[Token] = field(default_factory=list)
    trailing: bool = False


def resolve(found: Found, context: Context) -> Outcome:
    """What a statement means; never raises."""
    case = Case(context=context, found=found)
    parts, loose = _parts(found.tokens)
    waits = _waits(found.tokens, case)
    if not parts:
        if waits:
            return Outcome(kind=Kind.EVENT)
        case.doubt("a day but no time is stated" if loose else "it says embargo, but not until when")
        return Outcome(kind=Kind.AMBIGUOUS, doubts=tuple(case.doubts))
    if not waits and any(isinstance(token, About) for token in found.tokens):
        case.doubt("the time is only approximate")
    if not waits and any(isinstance(token, Twist) for token in found.tokens):
        case.doubt("some words beside the time make it mean another, or several")
    if not found.led:
        case.doubt("it does not say that the embargo ends at that time")
    if found.murky:
        case.doubt("some figures among the words could not be read")
    try:
        lifts, dayless = _lifts(case, parts, loose)
    except OverflowError:
        lifts, dayless = [], False
        case.doubt("the year is out of range")
    if waits:
        return Outcome(kind=Kind.EVENT, lifts=tuple(lifts), notes=tuple(case.notes))
    if len(lifts) == 1 and not case.doubts:
        return Outcome(kind=Kind.FIXED, lifts=tuple(lifts), notes=tuple(case.notes), dayless=dayless)
    if not case.doubts:
        case.doubt(_why_several(parts, lifts))
    return Outcome(
        kind=Kind.AMBIGUOUS, lifts=tuple(lifts), doubts=tuple(case.doubts), notes=tuple(case.notes), dayless=dayless
    )


def _parts(tokens: tuple[Token, ...]) -> tuple[list[_Part], list[Token]]:
    """The clock times with what belongs to each, and the days that stand before the first."""
    parts: list[_Part] = []
    lead: list[Token] = []
    lead_zones: list[Where] = []
    for token in tokens:
        if isinstance(token, Clock):
            parts.append(_Part(clock=token))
        elif isinstance(token, Where):
            (parts[-1].zones if parts else lead_zones).append(token)
        elif isinstance(token, Day | Weekday | Relative):
            if parts:
                parts[-1].days.append(token)
                parts[-1].trailing = True
            else:
                lead.append(token)
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
    return not any(isinstance(token, Until) for token in tokens[event:clock])


def _lifts(case: Case, parts: list[_Part], lead: list[Token]) -> tuple[list[Lift], bool]:
    """The instants on which all clock times agree; where they don't, all of them, and a doubt."""
    owners = [part for part in parts if any(_names_day(token) for token in part.days)]
    dayless = not owners
    zoneless = all(not part.zones for part in parts)
    if zoneless:
        if case.context.issued is None:
            case.doubt(NO_ZONE)
        case.notes.append(f"read in {case.context.default_zone}")
    for previous, part in zip(parts, parts[1:], strict=False):
        if not part.zones:
            part.zones = previous.zones
    if (
        len(parts) > 1
        and not parts[0].zones
        and {shown[1:] for shown in parts[0].clock.times} & {shown[1:] for shown in parts[1].clock.times}
    ):
        parts[0].zones = parts[1].zones
    halves = [token.half for part in parts for token in part.days if isinstance(token, Relative) and token.half]
    shown = {id(part): _times(case, part, halves if len(parts) == 1 else None) for part in parts}
    dates = {id(part): days_of(case, part.days, shown[id(part)]) for part in (owners or parts[:1])}
    readings: list[dict[datetime, Lift]] = []
    owner = owners[0] if owners else parts[0]
    shared = bool(owners) and owner is not parts[0] or (owner is parts[-1] and len(parts) > 1)
    for part in parts:
        own = dates.get(id(part))
        if own is None:
            spread = (0,) if shared else (-1, 0, 1)
            own = [day + timedelta(days=away) for day in dates[id(owner)] for away in spread]
        readings.append(_instants(case, part, own, shown[id(part)]))
    agreed = [at for at in readings[0] if all(at in reading for reading in readings[1:])]
    if agreed or not all(readings):
        return [_told(readings, owner is parts[0], at) for at in agreed], dayless
    case.doubt("the times stated do not come to the same instant")
    several = {
        at: lift
        for reading, part in zip(readings, parts, strict=True)
        if id(part) in dates
        for at, lift in reading.items()
    }
    return list(several.values()) if len(several) > 1 else [
        lift for reading in readings for lift in reading.values()
    ], dayless


def _told(readings: list[dict[datetime, Lift]], first: bool, at: datetime) -> Lift:
    return (readings[0] if first else readings[-1])[at]


def _names_day(token: Token) -> bool:
    return not isinstance(token, Relative) or token.shift is not None


def _times(case: Case, part: _Part, halves: list[str] | None) -> tuple[tuple[int, int, int], ...]:
    """The readings of a clock time that its surroundings leave: the part of the day, the custom of a 24-hour clock."""
    times = part.clock.times
    if len(times) == 1:
        return times
    for half in (
        halves if halves is not None else [day.half for day in part.days if isinstance(day, Relative) and day.half]
    ):
        kept = tuple(shown for shown in times if (shown[0] == 1 or shown[1] >= 12) == (half == "p"))
        if kept:
            times = kept
    if part.clock.digits and len(times) == 2 and _counts_to_24(case, part):
        return times[:1]
    began = case.context.began
    if began and len(times) == 2 and case.found.spoken and not part.days:
        # The call began at a known hour: of the two halves of that day only one may be left.
        return tuple(shown for shown in times if shown[0] or time(*shown[1:]) > began) or times
    return times


def _counts_to_24(case: Case, part: _Part) -> bool:
    if case.found.foreign:
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
        options = [
            (key, None if quarters is None else timedelta(minutes=15 * quarters))
            for key, quarters in _entries(place.abbreviation, case.context.default_zone)
        ]
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
        home = zone(case.context.default_zone)
        in_force = {key: found}
        if case.context.default_zone.partition("/")[0] == key.partition("/")[0]:
            in_force[case.context.default_zone] = instants(wall, home)
        exact = next((name for name, ats in in_force.items() if literal in ats), None)
        if exact:
            lifts[literal] = Lift(at=literal, local=wall, zone=exact)
            continue
        # A name that is not in force on that day: what it says, or what people there call their time all year.
        lifts |= {at: Lift(at=at, local=wall, zone=key) for at in found or around(wall, where)}
        lifts[literal] = Lift(at=literal, local=wall, zone=offset_name(claimed))
    return lifts


def _entries(name: str, default_zone: str) -> tuple[tuple[str, int | None], ...]:
    meanings = ABBREVIATIONS[name]
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
    both = [away for month in (1, 7) if (away := where.utcoffset(datetime(year, month, 1))) is not None]  # noqa: DTZ001 - asked of the zone itself
    return min(both) if season == "standard" else max(both)


def _why_several(parts: list[_Part], lifts: list[Lift]) -> str:
    if not lifts:
        return "no instant could be made out of it"
    if any(len(part.clock.times) > 1 and part.clock.digits == 0 for part in parts):
        return "midnight may be the start or the end of the day"
    if len({lift.local.time() for lift in lifts}) > 1:
        return "it says neither a.m. nor p.m."
    if any(place.abbreviation or place.season for part in parts for place in part.zones):
        return "the name of the zone does not fit the day, or names several zones"
    return "the clocks show this time twice"
