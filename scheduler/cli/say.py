"""How things are said on a terminal: times, countdowns, tables."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scheduler.embargo import Lift, lift_in
from scheduler.record import Standing, State

out = Console(highlight=False, soft_wrap=True)

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


def plain(text: str) -> str:
    """Text of a record or an error, with nothing in it taken for markup."""
    return escape(text)


def put_json(value: Any) -> None:
    """One JSON document on standard output; instants as RFC 3339."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=_jsonable)
    sys.stdout.write("\n")


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))


def distance(ahead: timedelta) -> str:
    """How far off, to the unit a person reads: ``in 3 days 4 h``, ``in 12 s``, ``2 min ago``."""
    seconds = abs(ahead) // timedelta(seconds=1)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        words = f"{days} day{'s' if days != 1 else ''}" + (f" {hours} h" if hours and days < 30 else "")
    elif hours:
        words = f"{hours} h {minutes} min"
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


def table(*columns: str) -> Table:
    """A table without a frame that reads well at 80 columns."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold dim")
    for column in made.columns:
        column.overflow = "fold"
    return made


def facts(rows: Sequence[tuple[str, str, str]]) -> None:
    """Lines of (name, value, style) below a heading."""
    for row in rows:
        out.print(_fact(*row), end="")


def _fact(name: str, value: str, style: str) -> Text:
    lines = textwrap.wrap(value, max(out.width - 24, 40)) or [""]
    return Text.assemble((f"{'':<10}{name:<11}", "dim"), (f"\n{'':<21}".join(lines) + "\n", style))


def records_text(standings: Sequence[Standing], now: datetime) -> Text:
    """Records one below the other."""
    return Text("\n").join(_record(standing, now) for standing in standings)


def _record(standing: Standing, now: datetime) -> Text:
    """State and id, title, when it lifts and how far off, what is wrong and what to do about it."""
    made = Text.assemble((f"{standing.state:<10}", _COLOUR[standing.state]), (standing.id, "bold"), "\n")
    for fact in [("", standing.title, "dim"), *_facts(standing, now)]:
        made.append_text(_fact(*fact))
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
    if standing.state is State.ATTENTION and standing.candidates and standing.unfit is None:
        candidate = standing.candidates[0]
        yield "proposed", f"{local(candidate)}, {utc(candidate.at)}", ""
        yield "to take it", f"embargo confirm {standing.id}", ""
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
