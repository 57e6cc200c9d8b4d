"""The commands about the settings themselves: what is in force, and what may be written."""

from __future__ import annotations

import sys

import typer
import yaml

from scheduler import config
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app
from scheduler.config import reference

config_app = typer.Typer(no_args_is_help=True, help="The settings: what is in force, and what may be written.")
app.add_typer(config_app, name="config")


@config_app.command()
def show(file: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """The settings in force: defaults filled in, paths complete, secrets left out."""
    found = reference.shown(config.read(file))
    if as_json:
        say.put_json(found)
    else:
        sys.stdout.write(say.safe(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120)))


@config_app.command()
def schema() -> None:
    """The JSON Schema by which an editor completes and checks config.yaml."""
    sys.stdout.write(reference.schema_text())


@config_app.command("reference")
def describe() -> None:
    """Every setting with its values, default, meaning and an example, in Markdown."""
    sys.stdout.write(reference.page())
