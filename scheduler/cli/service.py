"""Commands that run things: the service, the worker, and a first configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from scheduler import config, leash, log, permissions, shipped
from scheduler.cli import say
from scheduler.cli.app import CONFIG, ConfigFile, app
from scheduler.errors import ConfigRefused


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put it.")] = Path(),
) -> None:
    """Write a documented config.yaml, its schema for editors, and a records folder, ready to run."""
    target = folder / "config.yaml"
    if target.exists():
        raise ConfigRefused([f"{target} is there already; it is left as it is."])
    try:
        permissions.folder(folder, permissions.PUBLIC)  # the site will lie in it
        permissions.folder(folder / "records", permissions.PRIVATE)
        schema = folder / "config.schema.json"
        if not schema.exists():  # the first line of config.yaml names it to editors
            schema.write_bytes(shipped("config.schema.json").read_bytes())
            schema.chmod(0o644)
        with os.fdopen(permissions.private_file(target), "wb") as made:
            made.write(shipped("config.yaml").read_bytes())
    except OSError as error:
        raise ConfigRefused(
            [f"{target} can't be written: {error.strerror}. Name a folder you can write to."]
        ) from error
    say.put(f"[green]Wrote[/] {say.plain(str(target))}. Next: edit it, `embargo check`, `embargo run`.")


@app.command()
def run(
    file: ConfigFile = CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level.")] = False,
) -> None:
    """Run the service: hold, lift, write the site, serve it, send mail."""
    from scheduler.daemon.service import Service  # noqa: PLC0415 - what runs for long takes long to load; other commands are short

    settings = config.read(file)
    log.start(verbose=verbose, form=settings.log.format)
    Service(settings).run()


@app.command("worker")
def run_worker(
    file: ConfigFile = CONFIG,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is due any more.")] = False,
    leashed: Annotated[bool, typer.Option("--leash", hidden=True, help="End when standard input ends.")] = False,
) -> None:
    """Send mail that is owed. `embargo run` starts one of these itself."""
    from scheduler.daemon import worker  # noqa: PLC0415 - as above

    settings = config.load_dumped(leash.greeted(), path=file) if leashed else config.read(file)
    log.start(form=settings.log.format)
    worker.run(settings, leash=leashed, once=once)
