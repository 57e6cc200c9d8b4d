"""The command that erases what the office keeps no longer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scheduler.cli import say
from scheduler.cli.app import CONFIG, Actor, AsJson, ConfigFile, MayReason, actor, app, asked, office
from scheduler.pipeline import retention as rules

_WORDS = {
    "text": "texts that a newer revision superseded, or that were withdrawn",
    "ledger": "mails in the ledger, of which only the count stays",
    "asks": "wishes to join a list",
}


@app.command()
def retention(
    file: ConfigFile = CONFIG,
    apply: Annotated[bool, typer.Option("--apply", help="Erase it; else it is only counted.")] = False,
    reason: MayReason = None,
    who: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Count what is older than `retention` in the settings keeps it; with --apply, erase it."""
    with office(file, needed=apply) as (parts, store, now):
        kept = parts.config.retention.kept
        found = rules.examine(store, kept, now=now)
        if apply and any(each.count for each in found):
            found = rules.apply(store, kept, now=now, actor=actor(who), reason=reason or asked())
    if as_json:
        say.put_json({"applied": apply, "kinds": [asdict(each) for each in found]})
        return
    for each in found:
        say.put(
            f"{each.count:>9,}  {_WORDS[each.kind]}, from before {say.utc(each.before.replace(second=0, microsecond=0))}"
        )
    for kind in sorted(kept.keys() - {each.kind for each in found}):
        say.put(f"     kept  {_WORDS[kind]}: for ever, since `retention: {kind}` is not set")
    if apply:
        say.put("[green]Erased.[/] Backups made before still hold it.")
    elif any(each.count for each in found):
        say.put("Nothing was erased. To erase it: embargo retention --apply")
