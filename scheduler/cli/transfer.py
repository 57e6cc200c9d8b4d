"""The command that moves everything to another database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.engine import URL

from scheduler import clock, permissions
from scheduler.cli import say
from scheduler.cli.app import Actor, AsJson, MayReason, actor, app
from scheduler.daemon.lock import InstanceLock
from scheduler.errors import AlreadyRunning, StoreRefused
from scheduler.store import transfer
from scheduler.store.transfer.rows import Told


@app.command("migrate-database")
def migrate_database(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The database that is in use, as `database:` has it.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty one, or a file that is not there yet.")],
    reason: MayReason = None,
    who: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Move everything to another database, SQLite or PostgreSQL, and compare each row; the service must be stopped."""
    here, there = transfer.address(source), transfer.address(target)
    with _locked(here, made=False), _locked(there, made=True), _watched() as told:
        moved = transfer.move(here, there, now=clock.system(), actor=actor(who), reason=reason, told=told)
    old, new = transfer.shown(here), transfer.shown(there)
    if as_json:
        say.put_json(
            {"from": old, "to": new, "rows": moved.rows, "trail": moved.trail, "ended_an_earlier_one": moved.resumed}
        )
        return
    if moved.resumed:
        say.put(f"[green]Moved.[/] An earlier move, whose rows were compared then, is at its end: {say.plain(new)}.")
    else:
        total = sum(moved.rows.values())
        say.put(f"[green]Moved and compared:[/] {total:,} rows, each as it was; the trail is sound.")
    say.put(f"Write this into the settings, with the password if there is one:\n  database: {say.plain(new)}")
    say.put(
        f"{say.plain(old)} is noted as moved, and nothing else in it was changed: no service starts on it, and nothing of "
        "it lifts or is mailed any more. Keep it until you trust the new one."
    )


@contextmanager
def _locked(url: URL, *, made: bool) -> Iterator[None]:
    """Holds the service's lock of a database that is a file; its folder is `made` where there is none."""
    path = transfer.file_of(url)
    if path is None or not (made or path.parent.is_dir()):
        yield
        return
    try:
        if made:
            permissions.folder(path.parent, permissions.PRIVATE)
        lock = InstanceLock(path)
    except OSError as error:
        raise StoreRefused(f"The folder {path.parent} can't be written: {error.strerror}.") from error
    except AlreadyRunning:
        raise AlreadyRunning(
            f"A service runs on {path}, or it is being moved or restored: stop the service first. Nothing was moved."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _watched() -> Iterator[Told]:
    """Shows how far it is, on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        known = {act: bars.add_task(act, total=None) for act in ("copied", "compared")}
        yield lambda act, done, of: bars.update(known[act], completed=done, total=of)
