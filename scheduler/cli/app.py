"""The application object, and what its commands share: settings, store, actor."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scheduler import __version__, clock, config
from scheduler.cli import say
from scheduler.daemon import guard
from scheduler.daemon.lock import is_running
from scheduler.daemon.parts import Parts, build
from scheduler.store import Store, fence, open_store

_ORDER = (
    *("demo", "init", "check", "explain", "run", "worker", "add", "queue", "show", "preview", "rehearse", "confirm"),
    *("amend", "lift", "withdraw", "correct", "retract", "clock", "trail", "mail", "doctor", "backup", "adopt"),
)


class _InOrder(TyperGroup):
    """Lists commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Holds press releases and releases them to RSS and e-mail when their embargo lifts.",
)

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="EMBARGO_CONFIG", help="The settings.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="For a machine: one JSON document.")]
RecordId = Annotated[str, typer.Argument(metavar="ID", help="The record's id.")]


def _said(reason: str) -> str:
    if not reason.strip():
        raise typer.BadParameter("say why")
    return reason.strip()


Reason = Annotated[
    str, typer.Option("--reason", "-r", help="Why; it goes on the trail.", prompt="Reason", callback=_said)
]
PublicReason = Annotated[
    str,
    typer.Option("--reason", "-r", help="Why; readers see it in place of the text.", prompt="Reason", callback=_said),
]
MayReason = Annotated[str | None, typer.Option("--reason", "-r", help="Why; it goes on the trail.")]
Actor = Annotated[
    str | None,
    typer.Option("--actor", envvar="EMBARGO_ACTOR", help="Who decides, for the trail. Default: your login."),
]
CONFIG = Path("config.yaml")


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        say.put(f"embargo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def actor(name: str | None) -> str:
    """Who decides: the name given, else the login and the host."""
    if name:
        return name
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return f"{login}@{socket.gethostname()}"


@contextmanager
def office(file: Path) -> Iterator[tuple[Parts, Store, datetime]]:
    """The parts of the pipeline, the store, and the present."""
    parts = build(config.read(file))
    store = open_store(parts.config.database)
    try:
        yield parts, store, clock.system()
    finally:
        store.close()


def acted_on(store: Store) -> str:
    """One sentence: whether what was just decided takes effect by itself."""
    but = ""
    with store.read() as db:
        if guard.load(db).doubts:
            but = " The clock is suspect, and nothing lifts by time until that is settled: embargo clock."
    if fence.examine(store).why:
        but = " This store is fenced, and nothing of it lifts or is mailed until it is taken over: embargo adopt."
    if store.path is None or is_running(store.path):
        return f"The running service acts on it within a second.{but}"
    return f"No service is running: it takes effect when one starts (`embargo run`).{but}"
