"""The queue: what is held and what needs a person, once or as long as somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app, office
from scheduler.cli.fence import standstill
from scheduler.cli.status import View, Watch, headline, lift, more, remedy, see, titled, to_do
from scheduler.cli.watch import watch
from scheduler.config import Config
from scheduler.record import Standing, State
from scheduler.store import Store, records, trail

_OPEN = (State.ATTENTION, State.HELD)
_FLASH = timedelta(seconds=6)
Item = TypeVar("Item")


@app.command()
def queue(
    file: ConfigFile = CONFIG,
    every: Annotated[bool, typer.Option("--all", help="Released, withdrawn and retracted records too.")] = False,
    watching: Watch = False,
    as_json: AsJson = False,
) -> None:
    """What is held and what needs a person, soonest first, and the files that stand refused."""
    if watching and (as_json or every):
        raise typer.BadParameter(
            "it shows the open ones as they come; leave out what else is asked", param_hint="--watch"
        )
    if watching:
        watch(file, Watched(), board)
        return
    with office(file, running=True) as (parts, store, now):
        standings = records.listed(store, states=None if every else _OPEN)
        refused = records.refused(store)
        counts = records.counts(store)
        standing_still = list(standstill(store, parts.config))
    if as_json:
        say.put_json(
            {
                "now": now,
                "standstill": standing_still,
                "records": [say.standing_json(standing) for standing in standings],
                "refused": refused,
                "counts": counts,
            }
        )
        return
    for sentence in standing_still:
        say.put(f"[bold red]{say.plain(sentence)}[/]")
    if standings:
        say.out.print(say.records_text(standings, now))
    else:
        folders = ", ".join(str(part.folder) for part in parts.config.records)
        say.put(f"Nothing is held. Drop a record file into {say.plain(folders)}, or `embargo add FILE`.")
    for row in refused:
        place = f"{row['origin']}:{row['line']}" if row["line"] else row["origin"]
        say.put(
            f"[bold red]refused[/]  {say.plain(place)}\n         {say.plain(row['problem'])} {say.plain(row['remedy'])}"
        )
    say.put(f"[dim]{', '.join(f'{count} {state}' for state, count in counts.items() if count) or 'No records yet.'}[/]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The queue as it is watched: what is open, attention first, and what was released meanwhile, with when that was seen."""

    view: View
    open: tuple[Standing, ...] = field(default=(), repr=False)
    released: tuple[tuple[Standing, datetime], ...] = field(default=(), repr=False)


class Watched:
    """Sees the queue, and what has left it since the last look. It is read anew only when something was decided."""

    def __init__(self) -> None:
        self._end: tuple[int, str] | None = None
        self._seen: Board | None = None

    def __call__(self, store: Store, settings: Config, now: datetime) -> Board:
        """The queue as it is now."""
        view, before = see(store, settings, now), self._seen
        with store.read() as db:
            end = trail.end(db)
        if before is not None and end == self._end:
            self._seen = replace(before, view=view)
            return self._seen
        listed = tuple(records.listed(store, states=_OPEN))
        released: list[tuple[Standing, datetime]] = []
        if before is not None:
            here = {each.id for each in listed}
            gone = {each.id: each for each in before.open if each.id not in here}
            released = [each for each in before.released if now - each[1] < _FLASH]
            released += [(gone[each.id], now) for each in records.versions(store, list(gone))]
        self._end = end
        self._seen = Board(view=view, open=listed, released=tuple(released))
        return self._seen


def board(seen: Board, now: datetime, width: int, height: int) -> list[Text]:
    """The queue in so many lines: what needs a person, what was just released, what lifts next."""
    lines = [headline(seen.view, now, width)]
    others = [each for each in seen.view.troubles if each.kind != "attention"]
    for trouble in others[:3]:
        style = "red" if trouble.urgent else "yellow"
        lines.append(say.row((f"! {trouble.problem}", style), width=width))
    if others:
        lines.append(say.row(("  embargo status", say.COPIED), (" says what to do", "dim"), width=width))
    lines.append(Text())
    waiting = [each for each in seen.open if each.state is State.ATTENTION]
    held = seen.open[len(waiting) :]
    fresh = [(each, at) for each, at in seen.released if now - at < _FLASH]
    if not seen.open and not fresh:
        lines.append(say.row("Nothing is held."))
    room = height - len(lines)
    lines += _filled(waiting, partial(_waiting, width=width), room * 2 // 3 if held else room, width)
    lines += [Text()] if waiting else []
    lines += _filled(fresh, partial(_flash, now=now, width=width), (height - len(lines)) // 2, width)
    coming = partial(lift, zone=seen.view.zone, now=now, width=width, ticking=True)
    return [*lines, *_filled(held, coming, height - len(lines), width)]


def _filled(items: Sequence[Item], draw: Callable[[Item], list[Text]], room: int, width: int) -> list[Text]:
    """As many of them, the first in any case, as there is room for, and how many more there are."""
    lines: list[Text] = []
    for number, item in enumerate(items):
        block = draw(item)
        if number and len(lines) + len(block) + (number < len(items) - 1) > room:
            return [*lines, more(len(items) - number, "embargo queue", width)]
        lines += block
    return lines


def _waiting(standing: Standing, *, width: int) -> list[Text]:
    lines, indent = titled("NEEDS YOU", "bold red", standing.title, width)
    lines += say.hanging([indent], standing.reason or "", "red", width=width)
    return [*lines, *to_do(indent, remedy(standing), width)]


def _flash(released: tuple[Standing, datetime], *, now: datetime, width: int) -> list[Text]:
    standing, at = released
    lit = (now - at) // timedelta(seconds=0.5) % 2 == 0
    return titled("RELEASED", "bold reverse green" if lit else "bold green", standing.title, width)[0]
