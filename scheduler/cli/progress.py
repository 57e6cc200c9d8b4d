"""How far mailings are, for a person who waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from scheduler import clock
from scheduler.cli import say
from scheduler.store import Store, ledger
from scheduler.store.ledger import Progress

_EVERY = 0.5
_ENDED = 5
"""So many that have ended are shown below those under way."""
REPORTS_OF = timedelta(days=30)
"""Reports that name nobody are counted for so long."""
_NO_LIMIT = 10_000


def progress_json(found: Sequence[Progress]) -> list[dict[str, Any]]:
    """Mailings for a machine; times left in seconds."""
    return [
        {
            "record": each.record_id,
            "revision": each.revision,
            "purpose": each.purpose,
            "list": each.list,
            "owed_at": each.owed_at,
            "frozen": each.frozen,
            "audience": each.audience,
            "sent": each.sent,
            "failed": each.failed,
            "suppressed": each.suppressed,
            "uncertain": each.uncertain,
            "pending": each.pending,
            "rate": round(each.rate, 3),
            "left_for": None if each.left_for is None else round(each.left_for.total_seconds()),
            "errors": dict(each.errors),
        }
        for each in found
    ]


def show(found: Sequence[Progress], nobodys: Mapping[str, int]) -> None:
    """What is under way, and what has ended of late; and how many reports of each kind are about `nobodys` mail."""
    say.out.print(_picture(found))
    if nobodys:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in nobodys.items())
        say.put(f"[dim]Reports of the last {REPORTS_OF.days} days that name no mail of ours: {kinds}.[/]")


def grid(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, keys: int) -> RenderableType:
    """A table; in a pipe as wide as it comes. On a terminal that is narrower the first `keys` cells of a row are a line, and the
    others stand below with their names: no word is broken.
    """
    filled = [[Text(say.safe(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    table = say.table(*columns)
    for number, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "right" if number >= keys and column.header else "left"
    for row in filled:
        table.add_row(*row)
    table.width = say.out.measure(table, options=say.out.options.update(max_width=_NO_LIMIT)).maximum
    if not say.out.is_terminal or table.width <= say.out.width:
        return table
    return Group(*(part for row in filled for part in _entry(columns, row, keys)))


def hanging(first: Sequence[say.Part], words: str, style: str = "") -> list[Text]:
    """Words below each other behind `first`, none of them broken; in a pipe in one line."""
    return say.hanging(first, words, style, width=say.out.width if say.out.is_terminal else _NO_LIMIT)


def _entry(columns: Sequence[str], row: Sequence[Text], keys: int) -> Iterable[RenderableType]:
    yield from hanging([], " · ".join(cell.plain for cell in row[:keys]), str(row[0].style))
    named = [Text(f"{name} {cell}".strip()) for name, cell in zip(columns[keys:], row[keys:], strict=True) if cell]
    yield Padding(Columns(named, padding=(0, 2)), (0, 0, 0, 2), expand=False)


def follow(store: Store) -> None:
    """Shows it over and over, until everything has ended or the person has seen enough; a line a change where nobody watches."""
    try:
        if say.out.is_terminal:
            _redraw(store)
        else:
            _lines(store)
    except KeyboardInterrupt:
        return


def _redraw(store: Store) -> None:
    with Live(console=say.out, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            found = ledger.progress(store, now=clock.system())
            live.update(_picture(found), refresh=True)
            if not any(map(_under_way, found)):
                return
            time.sleep(max(_EVERY, time.monotonic() - began))  # it never looks for more than half of the time


def _lines(store: Store) -> None:
    said: dict[int, str] = {}
    while True:
        found = ledger.progress(store, now=clock.system())
        lines = {each.id: _line(each) for each in reversed(_shown(found))}
        for number, line in lines.items():
            if said.get(number) != line:
                print(line, flush=True)  # noqa: T201 - as it is, for whoever reads the pipe
        said |= lines
        if not any(map(_under_way, found)):
            return
        time.sleep(_EVERY)


def _line(each: Progress) -> str:
    return say.safe(
        f"{each.record_id} ({each.revision}) {each.purpose} {each.list}: {each.sent} of {each.audience} sent, "
        f"{each.failed} failed, {each.suppressed} suppressed, {each.uncertain} uncertain, {each.pending} pending"
    )


def _under_way(each: Progress) -> bool:
    return bool(each.pending) or not each.frozen


def _shown(found: Sequence[Progress]) -> list[Progress]:
    ended = [each for each in found if not _under_way(each)]
    return [*filter(_under_way, found), *ended[:_ENDED]]


def _picture(found: Sequence[Progress]) -> RenderableType:
    if not found:
        return Text("No mail has been owed yet.")
    ends = ("sent", "failed", "suppressed", "uncertain", "pending")
    rows: list[Sequence[str | Text]] = []
    errors: list[Text] = []
    for each in _shown(found):
        name = f"{each.record_id} ({each.revision})"
        purpose = "" if each.purpose == "release" else f" {each.purpose}"
        moving = _under_way(each)
        rows.append(
            (
                Text(say.safe(name + purpose), "bold" if moving else "dim"),
                each.list,
                f"{each.audience:,}" if each.frozen else f"{each.audience:,} …",
                *(f"{getattr(each, end):,}" for end in ends),
                f"{each.rate:,.1f}/s" if moving else "",
                _left(each.left_for) if moving else "",
            )
        )
        if each.errors:
            said = ", ".join(f"{domain} {count:,}" for domain, count in each.errors)
            errors += hanging([], f"{name}: refused or put off by {said}", "red")
    return Group(grid(("record", "list", "audience", *ends, "rate", "left"), rows, keys=2), *errors)


def _left(rest: timedelta | None) -> str:
    return "?" if rest is None else say.distance(rest).removeprefix("in ")
