"""How things are said on a terminal: times, countdowns, tables."""

from __future__ import annotations

import codecs
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scheduler import embargo
from scheduler.embargo import Lift, lift_in
from scheduler.errors import EmbargoRefused
from scheduler.pipeline.decide import choices
from scheduler.record import Standing, State

out = Console(highlight=False, soft_wrap=True)
_aside = Console(highlight=False, soft_wrap=True, stderr=True)

COPIED = "cyan"
"""The style of what a person copies; it is never broken into lines."""

_OBEYED = dict.fromkeys(
    {*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {9, 10}, 0xFFFD
)
"""Control characters, and those that turn the direction of writing."""

_COLOUR = {
    State.ATTENTION: "bold red",
    State.HELD: "yellow",
    State.RELEASED: "green",
    State.WITHDRAWN: "dim",
    State.RETRACTED: "magenta",
}


def put(text: str) -> None:
    """A line, which may carry rich's markup; what comes from a record goes through `plain` first."""
    out.print(text)


def aside(text: str) -> None:
    """A line as `put` writes it, on standard error: what a machine reads on standard output stays one document."""
    _aside.print(text)


def plain(text: str) -> str:
    """Text of a record or an error, with nothing in it that is taken for markup, or that a terminal would obey."""
    return escape(safe(text))


def safe(text: str) -> str:
    """Text of a source with nothing in it that a terminal would obey; as long as it was."""
    return text.translate(_OBEYED)


def put_json(value: Any) -> None:
    """One JSON document on standard output; instants as RFC 3339."""
    told = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    json.dump(value, sys.stdout, ensure_ascii=not told, indent=2, default=_jsonable)
    sys.stdout.write("\n")


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))


def distance(ahead: timedelta, *, ticking: bool = False) -> str:
    """How far off, to the unit a person reads: ``in 3 days 4 h``, ``in 12 s``, ``2 min ago``; `ticking`: hours with seconds."""
    seconds = abs(ahead) // timedelta(seconds=1)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        words = f"{days} day{'s' if days != 1 else ''}" + (f" {hours} h" if hours and days < 30 else "")
    elif hours:
        words = f"{hours} h {minutes} min" + (f" {seconds} s" if ticking else "")
    elif minutes:
        words = f"{minutes} min {seconds} s"
    else:
        words = f"{seconds} s"
    return f"in {words}" if ahead >= timedelta() else f"{words} ago"


def local(lift: Lift) -> str:
    """The local time of a lift, with its weekday and zone."""
    return f"{lift.local:%a} {lift.local.isoformat(' ', _precision(lift.local))} {lift.zone}"


def utc(at: datetime) -> str:
    """An instant in UTC."""
    return f"{at.replace(tzinfo=None).isoformat(' ', _precision(at))} UTC"


def _precision(at: datetime) -> str:
    return "microseconds" if at.microsecond else "seconds" if at.second else "minutes"


def spoken(at: datetime, zones: Sequence[str], now: datetime) -> str:
    """How far off an instant is, and what clocks then show in each of these zones: ``in 3 days, Friday 09:00 in New York``."""
    clocks, day = [], None
    for key in dict.fromkeys(zones):
        there = embargo.local(at, key)
        if there.date() != day:
            day = there.date()
            clocks.append(f"{_day(day, embargo.local(now, key).date())} {_clock(there)} {_where(key)}")
        else:
            clocks.append(f"{_clock(there)} {_where(key)}")
    return ", ".join([distance(at - now), *clocks])


def _day(day: date, today: date) -> str:
    ahead = (day - today).days
    if -1 <= ahead <= 1:
        return ("yesterday", "today", "tomorrow")[ahead + 1]
    return f"{day:%A}" if 0 < ahead < 7 else f"{day:%A} {day.day} {day:%B}"


def _clock(there: datetime) -> str:
    return there.time().isoformat(_precision(there))


def _where(key: str) -> str:
    place = key.rpartition("/")[2].replace("_", " ")
    return f"in {place}" if "/" in key and place != "UTC" else f"at {place}" if place[0] in "+-" else place


def line(lift: Lift) -> str:
    """What to write for exactly this instant, in a record's ``embargo:`` and in commands."""
    words = f"{lift.local.isoformat(' ', _precision(lift.local))} {lift.zone}"
    try:
        if embargo.stated(words, zone=None, default_zone="UTC").lift == lift:
            return words
    except EmbargoRefused:
        pass  # clocks show this time twice
    return embargo.local(lift.at, lift.zone).isoformat(" ", _precision(lift.local))


def moment(at: datetime, zone: str, now: datetime) -> str:
    """What clocks show at an instant in `zone` and in UTC: ``Tue 1 Dec 2026 20:00, Wed 01:00 UTC``."""
    there, utc = (embargo.local(at, key).replace(tzinfo=None) for key in (zone, "UTC"))
    today = embargo.local(now, zone).date()
    near = -1 <= (there.date() - today).days < 7
    day = _day(there.date(), today) if near else f"{there:%a} {there.day} {there:%b %Y}"
    if there == utc:
        return f"{day} {_clock(utc)} UTC"
    return f"{day} {_clock(there)}, {'' if there.date() == utc.date() else f'{utc:%a} '}{_clock(utc)} UTC"


_SUBSTITUTES = {
    **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\u00b7\u2500", "-"),
    "━": "=",
    "…": "~",
}


def lettered(text: str, encoding: str | None = None) -> str:
    """`safe` text in letters that standard output can write, or `encoding`; it takes as much room as before."""
    told = encoding or out.encoding
    return "".join(each if _written(each, told) else _substitute(each, told) for each in safe(text))


def _written(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _substitute(letter: str, encoding: str) -> str:
    bare = _SUBSTITUTES.get(letter) or unicodedata.normalize("NFKD", letter)[0]
    room = cell_len(letter)
    return bare if room == cell_len(bare) and _written(bare, encoding) else "?" * room


Part = str | tuple[str, str]
"""Words, or words and their style."""


def row(*parts: Part, width: int | None = None) -> Text:
    """One line of a picture. What is wider than `width` is cut, and says so."""
    made = Text(no_wrap=True, overflow="ignore")
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        words = lettered(words).translate({9: " ", 10: " "})
        left = max(0, width - made.cell_len) if width is not None else cell_len(words)
        if cell_len(words) > left:
            made.append(set_cell_size(words, max(left - 1, 0)).rstrip() + lettered("…")[:left], style)
            break
        made.append(words, style)
    return made


def hanging(first: Sequence[Part], words: str, style: str, *, width: int) -> list[Text]:
    """Words broken between each other, the first after `first` and the rest below it; one that is too long is left whole."""
    head = row(*first)
    lines = [""]
    for word in lettered(words).split():
        if lines[-1] and head.cell_len + cell_len(lines[-1]) + 1 + cell_len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    indent = " " * head.cell_len
    return [row(*(first if number == 0 else [indent]), (line, style)) for number, line in enumerate(lines)]


def table(*columns: str) -> Table:
    """A table without a frame that reads well at 80 columns."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold dim")
    for column in made.columns:
        column.overflow = "fold"
    return made


def facts(rows: Iterable[tuple[str, str, str]], *, indent: int = 10) -> None:
    """Lines of (name, value, style) below a heading."""
    for row in rows:
        out.print(fact(*row, indent=indent), end="")


def fact(name: str, value: str, style: str, *, indent: int = 10, name_style: str = "dim") -> Text:
    """A name and its value, which is broken into lines that fit."""
    made = Text.assemble((f"{'':<{indent}}{name:<11}", name_style))
    whole = max(map(len, value.split()), default=0) if value.isascii() else 0  # an id, an address, a path
    width = max(out.width - indent - 14, 40, whole) if style != COPIED else len(value) + 1
    for number, part in enumerate(Text(safe(value)).wrap(out, width, overflow="fold") or [Text()]):
        part.rstrip()
        made.append(f"{'':<{indent + 11}}" if number else "").append(part.plain, style).append("\n")
    return made


def numbered(lifts: Sequence[Lift | None], zone: str, now: datetime, write: str = "") -> Iterator[tuple[str, str, str]]:
    """Facts about the instants that may be meant (``None``: none, a person lifts it), with numbers where there are several.

    `zone` is the newsroom's or the reader's; `write` says how to take one, with ``{}`` for its time in words.
    """
    for number, lift in enumerate(lifts, 1):
        name = str(number) if len(lifts) > 1 else "proposed"
        if lift is None:
            yield name, "no time: held until a person lifts it", "bold"
        else:
            yield name, local(lift), "bold"
            if lift.zone != "UTC":
                yield "", utc(lift.at), ""
            yield "", spoken(lift.at, [lift.zone, zone], now), ""
        if write:
            yield "", write.format("on delivery" if lift is None else line(lift)), COPIED


def records_text(standings: Sequence[Standing], now: datetime) -> Text:
    """Records one below the other."""
    return Text("\n").join(_record(standing, now) for standing in standings)


def _record(standing: Standing, now: datetime) -> Text:
    """State and id, title, when it lifts and how far off, what is wrong and what to do about it."""
    made = Text.assemble((f"{standing.state:<10}", _COLOUR[standing.state]), (standing.id, "bold"), "\n")
    for row in [("", standing.title, "dim"), *_facts(standing, now)]:
        made.append_text(fact(*row))
    return made


def _facts(standing: Standing, now: datetime) -> Iterator[tuple[str, str, str]]:
    if standing.lift_at is not None and standing.state is not State.ATTENTION:
        lift = lift_in(standing.zone, standing.lift_at)
        held = standing.state is State.HELD
        yield "lifts" if held else "lift", f"{distance(lift.at - now)}: {local(lift)}", "bold" if held else ""
        yield "", utc(lift.at), ""
    elif standing.state is State.HELD:
        yield "lifts", f"when a person lifts it: embargo lift {standing.id}", ""
    if standing.reason:
        yield "reason", standing.reason, "red"
    if standing.state is State.ATTENTION and standing.unfit is None:
        proposed = choices(standing)
        yield from numbered(proposed, standing.zone, now)
        if proposed:
            number = " NUMBER" if len(proposed) > 1 else ""
            yield f"take {'one' if number else 'it'}", f"embargo confirm {standing.id}{number}", COPIED
    if standing.vanished:
        yield "file", f"it is gone: {standing.origin}", "yellow"


def standing_json(standing: Standing) -> dict[str, Any]:
    """A record for a machine."""
    lift = None if standing.lift_at is None else lift_in(standing.zone, standing.lift_at)
    return {
        "id": standing.id,
        "state": standing.state,
        "title": standing.title,
        "lift_at": None if lift is None else lift.at,
        "local": None if lift is None else lift.local.isoformat(),
        "zone": standing.zone,
        "kind": standing.kind,
        "words": standing.words,
        "reason": standing.reason,
        "candidates": [lift_json(candidate) for candidate in standing.candidates],
        "settled_by": standing.settled_by,
        "revision": standing.revision,
        "lists": standing.lists,
        "accepted_at": standing.accepted_at,
        "released_at": standing.released_at,
        "changed_at": standing.changed_at,
        "origin": standing.origin,
        "file_is_gone": standing.vanished,
        "uuid": standing.uuid,
    }


def lift_json(lift: Lift) -> dict[str, Any]:
    """An instant with its local time for a machine."""
    return {"at": lift.at, "local": lift.local.isoformat(), "zone": lift.zone}


def rows_json(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the store for a machine."""
    return [dict(row) for row in rows]
