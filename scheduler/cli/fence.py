"""The command that takes over a store which another instance wrote last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import typer

from scheduler.cli import say
from scheduler.cli.app import CONFIG, Actor, AsJson, ConfigFile, MayReason, acted_on, actor, app, office
from scheduler.cli.clock import look_at_clock
from scheduler.config import Config
from scheduler.pipeline.fence import Repeats, heed_site, repeats
from scheduler.store import Store, fence

_NAMED = 10


def standstill(store: Store, settings: Config) -> Iterator[str]:
    """Why nothing of this store lifts, whatever falls due, a sentence each."""
    if why := fence.examine(store).why:
        yield f"The store is fenced, and lifts and mails nothing: `embargo adopt`. {' '.join(why)}"
    if look_at_clock(store, settings).doubts:
        yield "The clock is suspect, and nothing lifts by time until that is settled: `embargo clock`."


@app.command()
def adopt(file: ConfigFile = CONFIG, reason: MayReason = None, who: Actor = None, as_json: AsJson = False) -> None:
    """Show what a copied or restored store would send again; with a reason, take it over."""
    with office(file, needed=reason is not None) as (parts, store, now):
        folder = parts.config.site.folder
        heed_site(store, folder=folder)
        why = fence.examine(store).why
        found = repeats(store, folder=folder, now=now)
        if reason is not None:
            fence.adopt(store, reason=reason, now=now, actor=actor(who))
        if as_json:
            again = {"due": found.due, "shown": found.shown, "mails": found.mails}
            say.put_json({"fenced": reason is None and bool(why), "why": why, "adopted": reason is not None, **again})
        elif reason is not None:
            say.put(f"[green]Adopted.[/] This store lifts and mails again. {acted_on(store)}")
        elif why:
            _show(why, found)
        else:
            say.put("[green]good[/]  This store is this instance's own: it lifts and mails.")
    if why and reason is None:
        raise typer.Exit(1)


def _show(why: Iterable[str], found: Repeats) -> None:
    say.put("[bold red]fenced[/]  This store lifts nothing and mails nothing.")
    say.facts([("why", sentence, "") for sentence in why])
    say.put("Taken over, it would send again what the other instance has sent since:")
    say.facts(
        [
            ("due", f"{_named(found.due)} held here whose lift has passed", ""),
            (
                "shown",
                f"{_named(found.shown)} held here, with a page on the site already",
                "red" if found.shown else "",
            ),
            *(
                (state, f"{_count(sum(of.values()), 'list' if state == 'owed' else 'mail')} about {_named(of)}", "")
                for state, of in found.mails.items()
                if of
            ),
        ]
    )
    say.put("Withdraw what went out already, stop the other instance for good, then: embargo adopt --reason '…'")


def _named(ids: Iterable[str]) -> str:
    every = list(ids)
    names = ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" if len(every) > _NAMED else "")
    return _count(len(every), "record") + (f" ({names})" if names else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
