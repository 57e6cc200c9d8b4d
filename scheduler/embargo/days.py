"""The day a statement means: by the dates and weekdays in it, the words that count from the day of issue, and their lack."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from dateutil.relativedelta import relativedelta

from scheduler.embargo.statements import Found
from scheduler.embargo.tokens import DateParts, Day, Relative, Token, Weekday

NO_YEAR = "no year is stated"

_MONTH_FIRST = frozenset(
    f"America/{city}"
    for city in ("New_York", "Chicago", "Denver", "Los_Angeles", "Phoenix", "Anchorage", "Detroit", "Boise")
) | {"Pacific/Honolulu"}
_EITHER_FIRST = frozenset(
    f"America/{city}" for city in ("Toronto", "Vancouver", "Edmonton", "Winnipeg", "Halifax", "Regina", "St_Johns")
) | {"UTC"}
_FAR = timedelta(days=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known besides the words: see :func:`scheduler.embargo.text.read`. ``began`` is when a recorded call started."""

    default_zone: str
    issued: date | None = None
    seen: date | None = None
    now: datetime | None = None
    began: time | None = None


@dataclass(slots=True, kw_only=True)
class Case:
    """One statement, what is known besides it, and what is said against reading it: ``doubts`` forbid an answer."""

    context: Context
    found: Found
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def doubt(self, sentence: str) -> None:
        if sentence not in self.doubts:
            self.doubts.append(sentence)


def days_of(case: Case, tokens: list[Token], times: tuple[tuple[int, int, int], ...]) -> list[date]:
    """The days a clock time may fall on, by the days stated with it, those before the statement, and the day of issue."""
    explicit = [token for token in tokens if isinstance(token, Day)]
    weekdays = [token for token in tokens if isinstance(token, Weekday)]
    shifts = {token.shift for token in tokens if isinstance(token, Relative) and token.shift is not None}
    issued = case.context.issued
    heading = [token for token in case.found.before if isinstance(token, Day)]
    if explicit:
        days = _calendar(case, explicit, weekdays)
        if issued and shifts and any(issued + timedelta(days=shift) not in days for shift in shifts):
            case.doubt("the day stated and the words that count from the day of issue disagree")
            days += [issued + timedelta(days=shift) for shift in shifts]
        return days
    if shifts:
        return _counted(case, sorted(shifts), weekdays, heading)
    if heading:
        return _from_heading(case, heading, weekdays)
    if weekdays:
        return _next_weekday(case, weekdays)
    return _undated(case, times)


def _counted(case: Case, shifts: list[int], weekdays: list[Weekday], heading: list[Day]) -> list[date]:
    """The days that "today" and "tomorrow" mean, from the day of issue, else from a date right before the statement."""
    base = case.context.issued or next(iter(_calendar(case, heading, []) if heading else []), None)
    if base is None:
        case.doubt("it counts from a day of issue that is not known")
        return []
    if len(shifts) > 1:
        case.doubt("two different days are stated")
    return _with_weekday(case, [base + timedelta(days=shift) for shift in shifts], weekdays)


def _from_heading(case: Case, heading: list[Day], weekdays: list[Weekday]) -> list[date]:
    """The day by a date that stands right before the statement, such as a dateline."""
    issued = case.context.issued
    named = [token for token in case.found.before if isinstance(token, Weekday)]
    days = _calendar(case, heading, named)
    if issued and days and days[0] < issued:
        case.doubt("the date before the statement is not the day of issue")
        return [*days, issued]
    return [day + timedelta(days=(weekdays[0].number - day.weekday()) % 7) if weekdays else day for day in days]


def _undated(case: Case, times: tuple[tuple[int, int, int], ...]) -> list[date]:
    """The day of a time without any day: the next such time from the day of issue on."""
    issued = case.context.issued
    if issued is None:
        case.doubt("no day is stated")
        return []
    hour, minute = times[0][1:]
    began = case.context.began
    case.notes.append("no day is stated, so the next such time from the day of issue on is meant")
    if not case.found.spoken or len(times) > 1 or (began and time(hour, minute) > began):
        return [issued]
    if began or hour < 8:
        # No one is called together for a briefing before that hour and told to wait for it.
        return [issued + timedelta(days=1)]
    if hour < 12:
        case.doubt("no day is stated, and the time may be of the day of issue or the next")
        return [issued, issued + timedelta(days=1)]
    return [issued]


def _next_weekday(case: Case, weekdays: list[Weekday]) -> list[date]:
    issued = case.context.issued
    if issued is None:
        case.doubt("a weekday but no date is stated")
        return []
    if len({token.number for token in weekdays}) > 1:
        case.doubt("two different weekdays are stated")
    first = issued + timedelta(days=(weekdays[0].number - issued.weekday()) % 7)
    lead = weekdays[0].lead
    if lead == "next":
        case.doubt("the weekday may be of this week or the next")
        return [first, first + timedelta(days=7)]
    return [first]


def _calendar(case: Case, tokens: list[Day], weekdays: list[Weekday]) -> list[date]:
    """The days that dates and weekdays stated together allow."""
    merged = list(tokens[0].dates)
    if tokens[0].dates[0][1] is not None and len(tokens[0].dates) == 2:
        merged = _by_custom(tokens[0], case.context.default_zone)
    for token in tokens[1:]:
        unified = [both for one in merged for other in token.dates if (both := _unify(one, other))]
        if not unified:
            case.doubt("two different days are stated")
            merged += token.dates
        else:
            merged = unified
    days: list[date] = []
    for year, month, day in dict.fromkeys(merged):
        days += _dates(case, year, month, day, weekdays)
    if not days and not case.doubts:
        case.doubt("no calendar shows the day stated")
    if len(set(days)) > 1:
        case.doubt("the date can be read in two ways")
    return _with_weekday(case, list(dict.fromkeys(days)), weekdays)


def _unify(one: DateParts, other: DateParts) -> DateParts | None:
    if any(left is not None and right is not None and left != right for left, right in zip(one, other, strict=True)):
        return None
    return (one[0] or other[0], one[1] or other[1], one[2])


def _by_custom(token: Day, default_zone: str) -> list[DateParts]:
    """The readings of a date in figures that the newsroom's country allows: day first, but month first in the United States."""
    day_first, month_first = token.dates
    if default_zone in _EITHER_FIRST:
        chosen = [day_first, month_first]
    else:
        chosen = [month_first if default_zone in _MONTH_FIRST else day_first]
    possible = [reading for reading in chosen if reading[1] is not None and reading[1] <= 12]
    return possible or [reading for reading in token.dates if reading[1] is not None and reading[1] <= 12]


def _dates(case: Case, year: int | None, month: int | None, day: int, weekdays: list[Weekday]) -> list[date]:
    """The days a date may mean, by the rule of :func:`scheduler.embargo.text.read` where it says no year."""
    issued = case.context.issued
    if year is not None and year < 100:
        year = _century(case.context, year)
    if year is not None and month is not None:
        return [whole] if (whole := _date(year, month, day)) else []
    if issued is None:
        case.doubt(NO_YEAR)
        return _presumed(case, month, day, weekdays)
    if month is None:
        months = [issued + relativedelta(day=1, months=ahead) for ahead in range(3)]
        return [whole for first in months if (whole := _date(first.year, first.month, day)) and whole >= issued][:1]
    years = range(issued.year - 1, issued.year + 9)
    whole_years = [whole for candidate in years if (whole := _date(candidate, month, day))]
    first = next((whole for whole in whole_years if whole >= issued), None)
    before = next((whole for whole in reversed(whole_years) if whole < issued), None)
    if first and before and first - issued > _FAR:
        fitting = [day for day in (before, first) if all(day.weekday() == token.number for token in weekdays)]
        if weekdays and len(fitting) == 1:
            return fitting
        case.doubt("no year is stated, and the day passed shortly before the day of issue")
        return [before, first]
    return [first] if first else []


def _century(context: Context, short: int) -> int:
    """The year that two digits name: the one nearer to the day of issue, or to now."""
    bound = context.issued or context.seen or (context.now.date() if context.now else None)
    if bound is None:
        return short + (1900 if short > 69 else 2000)
    return min((century + short for century in (1900, 2000, 2100)), key=lambda year: abs(year - bound.year))


def _presumed(case: Case, month: int | None, day: int, weekdays: list[Weekday]) -> list[date]:
    """The likeliest year for a day without one and without a day of issue."""
    bound = case.context.seen or (case.context.now.date() if case.context.now else None)
    if bound is None or month is None:
        return []
    numbers = {token.number for token in weekdays}
    fitting = [
        whole
        for year in range(bound.year - 40, bound.year + (1 if case.context.seen else 41))
        if (whole := _date(year, month, day)) and (not numbers or numbers == {whole.weekday()})
    ]
    fits = "of the years whose weekday fits, " if numbers else ""
    if case.context.seen:
        past = [whole for whole in fitting if whole <= bound]
        if past:
            case.notes.append(f"{fits}{past[-1].year} is the latest not after {bound}, when the page was seen")
        return past[-1:]
    if fitting:
        nearest = min(fitting, key=lambda whole: abs(whole - bound))
        case.notes.append(f"{fits}{nearest.year} is the nearest to now")
        return [nearest]
    return []


def _date(year: int, month: int, day: int) -> date | None:
    if not (1900 <= year <= 2199 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        return None
    return date(year, month, day)


def _with_weekday(case: Case, days: list[date], weekdays: list[Weekday]) -> list[date]:
    wrong = [day for day in days for token in weekdays if day.weekday() != token.number]
    if not wrong:
        return days
    case.doubt("the weekday and the date disagree")
    return days + [day + timedelta(days=(weekdays[0].number - day.weekday() + 3) % 7 - 3) for day in wrong]
