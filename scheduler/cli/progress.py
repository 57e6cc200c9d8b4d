"""How far mailings are, for a person who waits for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from scheduler import clock
from scheduler.cli import say
from scheduler.store import Store, ledger
from scheduler.store.ledger import Progress

_EVERY = 0.5
_ENDED = 5
"""So many that have ended are shown below those under way."""


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


def show(found: Sequence[Progress]) -> None:
    """What is under way, and what has ended of late."""
    say.out.print(_picture(found))


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
    table = say.table("record", "list", "audience", *ends, "rate", "left")
    for column in table.columns[2:]:
        column.justify = "right"
    errors: list[Text] = []
    for each in _shown(found):
        name = f"{each.record_id} ({each.revision})"
        purpose = "" if each.purpose == "release" else f" {each.purpose}"
        moving = _under_way(each)
        table.add_row(
            Text(say.safe(name + purpose), "bold" if moving else "dim"),
            each.list,
            f"{each.audience:,}" if each.frozen else f"{each.audience:,} …",
            *(f"{getattr(each, end):,}" for end in ends),
            f"{each.rate:,.1f}/s" if moving else "",
            _left(each.left_for) if moving else "",
        )
        if each.errors:
            said = ", ".join(f"{domain} {count:,}" for domain, count in each.errors)
            errors.append(Text(say.safe(f"{name}: refused or put off by {said}"), "red"))
    return Group(table, *errors)


def _left(rest: timedelta | None) -> str:
    return "?" if rest is None else say.distance(rest).removeprefix("in ")
