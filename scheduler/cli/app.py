"""The application object, and what its commands share: settings, store, actor."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scheduler import __version__, clock, config
from scheduler.cli import say
from scheduler.daemon import guard
from scheduler.daemon.lock import works
from scheduler.errors import ConfigRefused, StoreRefused
from scheduler.parts import Parts, build
from scheduler.store import Store, fence, open_store, vitals

_ORDER = (
    *("demo", "init", "check", "explain", "run", "worker", "add", "status", "queue", "show", "preview", "rehearse"),
    *("confirm", "amend", "lift", "withdraw", "correct", "retract", "clock", "config", "trail", "mail", "doctor"),
    *("backup", "restore", "retention", "adopt", "migrate-database"),
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


# Neither is asked for by typer, which would do so before anything is known: see `reasoned`.
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason", "-r", help="Why; it goes on the trail. A terminal is asked for it.", callback=_said_if_any
    ),
]
PublicReason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        "-r",
        help="Why; readers see it in place of the text. A terminal is asked for it.",
        callback=_said_if_any,
    ),
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
    """A reason, asked for only when it is known that there is something to decide; a usage error where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter("say why; without a terminal nobody can be asked", param_hint="--reason")
    return str(typer.prompt("Reason", value_proc=_said))


def reasoned(reason: str | None, file: Path, known: Callable[[Parts, Store], object], *, needed: bool = False) -> str:
    """The reason given; else one that is `asked` for, after `known` has raised nothing about what is to be decided.

    Whoever decides opens the office after that: the person who was asked may have thought about it for a while.
    """
    if reason is None:
        with office(file, needed=needed) as (parts, store, _now):
            known(parts, store)
        reason = asked()
    return reason


def actor(name: str | None) -> str:
    """Who decides: the name given, else the login and the host."""
    if name and name.strip():
        return name
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return f"{login}@{socket.gethostname()}"


def in_force(file: Path) -> config.Config:
    """The settings in the file, or, while these are refused, those on which the service runs. Raises :class:`ConfigRefused`."""
    try:
        return config.read(file)
    except ConfigRefused:
        url = config.database_of(file)
        if url is None or missing(url) is not None:
            raise
        store = open_store(url)
        try:
            beat = None if store.path is None else vitals.read(store, site=Path())  # a server is told no settings
        finally:
            store.close()
        if beat is None or not beat.settings:
            raise
        return config.parse(beat.settings.encode(), path=file)


@contextmanager
def office(
    file: Path, *, needed: bool = False, new: bool = False, running: bool = False
) -> Iterator[tuple[Parts, Store, datetime]]:
    """The parts of the pipeline, the store (see `database`), and the present; if `running`, by the settings `in_force`."""
    parts = build(in_force(file) if running else config.read(file), tried=False)
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


def _is_clock_doubted(store: Store) -> bool:
    """Whether nothing lifts by time: of services that share a database, one that believes its clock is enough."""
    if store.path is None:
        alive = [each.vitals.doubts for each in vitals.every(store) if each.alive]
        return bool(alive) and all(alive)
    with store.read() as db:
        return bool(guard.load(db, "clock").doubts)


def acted_on(store: Store) -> str:
    """One sentence: whether what was just decided takes effect by itself."""
    but = ""
    if _is_clock_doubted(store):
        but = " The clock is suspect, and nothing lifts by time until that is settled: embargo clock."
    if fence.examine(store).why:
        but = " This store is fenced, and nothing of it lifts or is mailed until it is taken over: embargo adopt."
    if works(store):
        return f"The running service acts on it within a second.{but}"
    return f"No service is running: it takes effect when one starts (`embargo run`).{but}"
