"""The application object, and what its commands share: settings, store, actor."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
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
from scheduler.errors import StoreRefused
from scheduler.store import Store, fence, open_store

_ORDER = (
    *("demo", "init", "check", "explain", "run", "worker", "add", "queue", "show", "preview", "rehearse", "confirm"),
    *("amend", "lift", "withdraw", "correct", "retract", "clock", "trail", "mail", "doctor", "backup", "adopt"),
)


class _InOrder(TyperGroup):
    """Lists commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self.commands, key=_ORDER.index)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses bytes that are no text, here for every command: neither database nor trail could hold them."""
        for each in (*args, os.environ.get("EMBARGO_ACTOR", ""), os.environ.get("EMBARGO_CONFIG", "")):
            _text(each)
        return super().parse_args(ctx, args)


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


def _text(given: str) -> str:
    try:
        given.encode()
    except UnicodeEncodeError:
        shown = given.encode("utf-8", "backslashreplace").decode()
        raise typer.BadParameter(
            f"'{shown}' holds bytes that are no text. Write it in UTF-8; a file of such a name has to be renamed."
        ) from None
    return given


def _said(reason: str) -> str:
    if not _text(reason).strip():
        raise typer.BadParameter("say why")
    return reason.strip()


def _said_if_any(reason: str | None) -> str | None:
    return None if reason is None else _said(reason)


Reason = Annotated[
    str, typer.Option("--reason", "-r", help="Why; it goes on the trail.", prompt="Reason", callback=_said)
]
PublicReason = Annotated[
    str,
    typer.Option("--reason", "-r", help="Why; readers see it in place of the text.", prompt="Reason", callback=_said),
]
MayReason = Annotated[
    str | None, typer.Option("--reason", "-r", help="Why; it goes on the trail.", callback=_said_if_any)
]
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
) -> None: ...  # they act by themselves


def asked() -> str:
    """A reason, asked for only when it is known that there is something to decide."""
    return _said(typer.prompt("Reason"))


def actor(name: str | None) -> str:
    """Who decides: the name given, else the login and the host."""
    if name and name.strip():
        return name
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return f"{login}@{socket.gethostname()}"


@contextmanager
def office(file: Path, *, needed: bool = False, new: bool = False) -> Iterator[tuple[Parts, Store, datetime]]:
    """The parts of the pipeline, the store (see `database`), and the present."""
    parts = build(config.read(file), tried=False)
    with database(parts.config.database, needed=needed, new=new) as url:
        store = open_store(url)
        try:
            yield parts, store, clock.system()
        finally:
            store.close()


@contextmanager
def database(url: str, *, needed: bool = False, new: bool = False) -> Iterator[str]:
    """The address of the database. Where there is none yet that is said, and it is that of an empty one, gone afterwards.

    A look makes none: one made by another user's look would be in the service's way. What takes something in may make a `new`
    one. Raises :class:`StoreRefused` where one is `needed`.
    """
    path = missing(url)
    if path is None or new:
        yield url
        return
    none = f"There is no database {path} yet: nothing has been taken in."
    if needed:
        raise StoreRefused(none)
    say.aside(say.plain(none))
    with tempfile.TemporaryDirectory(prefix="embargo-") as folder:
        empty = f"sqlite:///{folder}/empty.db"
        open_store(empty).close()
        yield empty


def missing(url: str) -> Path | None:
    """Where the database is to be, if there is none yet. Of a link that leads nowhere the store tells.

    Raises :class:`StoreRefused` where that can't be seen: "nothing is held" would then be a lie.
    """
    path = Path(url.removeprefix("sqlite:///"))
    try:
        if url.startswith("sqlite:///"):
            path.lstat()
    except FileNotFoundError:
        return path
    except OSError as error:
        raise StoreRefused(
            f"The database {path} can't be reached: {error.strerror}. Are you the service's user?"
        ) from error
    return None


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
