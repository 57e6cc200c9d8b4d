"""Commands that write a backup and bring one back."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from scheduler import config, permissions
from scheduler.cli import say
from scheduler.cli.app import CONFIG, ConfigFile, app, office
from scheduler.cli.fence import adopt
from scheduler.daemon.lock import InstanceLock
from scheduler.errors import ConfigRefused, StoreRefused
from scheduler.store import backups, heads, open_store


@app.command()
def backup(
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Where to write it; must not be there yet. Default: as `backup` has it."),
    ] = None,
    file: ConfigFile = CONFIG,
) -> None:
    """Copy the database, while the service runs or not, and check the copy."""
    with office(file, needed=True) as (parts, store, now):
        part = parts.config.backup
        if target is not None:
            store.backup(target)
        elif part is None:
            none = f"{file} has no section `backup`, and so no folder for it."
            raise ConfigRefused([f"{none} Name a file, `embargo backup FILE`, or add `backup: {{folder: backups/}}`."])
        else:
            target = backups.make(store, part.folder, part.keep, now)
    say.put(f"[green]Written and checked:[/] {say.plain(str(target))}, {target.stat().st_size:,} bytes.")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    file: ConfigFile = CONFIG,
) -> None:
    """Put a backup in the database's place; it lifts and mails nothing until `embargo adopt`."""
    url = config.read(file).database
    if not url.startswith("sqlite:///"):
        raise StoreRefused("This database is a PostgreSQL server's: restore it with pg_restore or psql.")
    database = Path(os.path.realpath(url.removeprefix("sqlite:///")))
    try:
        permissions.folder(database.parent, permissions.PRIVATE)
        lock = InstanceLock(database)
    except OSError as error:
        raise StoreRefused(f"The folder {database.parent} can't be written: {error.strerror}.") from error
    try:
        rows = backups.restore(source, database)
        say.put(f"[green]Restored and checked:[/] {say.plain(str(database))}, its trail has {rows:,} rows.")
        store = open_store(url)
        try:
            noted, lines = heads.beside(store), heads.noted(store)
            with store.read() as db:
                behind = bool(heads.against(db, lines, file=noted)[1])
        finally:
            store.close()
    finally:
        lock.release()
    if behind:
        aside = shlex.join(["mv", "-n", str(noted), f"{noted}.before-restore"])
        say.put(
            f"Decisions noted since the backup are gone. Keep the proof that they were, under another name:\n{aside}"
        )
    with contextlib.suppress(typer.Exit):  # fenced is what it is to be
        adopt(file)
