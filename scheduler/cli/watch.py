"""A picture that is drawn anew on the whole terminal until somebody has seen enough."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Generic, TypeVar

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from scheduler import clock
from scheduler.cli import say
from scheduler.cli.app import in_force, missing
from scheduler.config import Config
from scheduler.errors import EmbargoError, StoreRefused
from scheduler.store import Store, open_store

Seen = TypeVar("Seen")
See = Callable[[Store, Config, datetime], Seen]
"""Looks at everything once."""
Draw = Callable[[Seen, datetime, int, int], Sequence[Text]]
"""The lines for what was seen, at an instant, in so many columns and lines."""

_EVERY = 0.5
_LOOK_EVERY = 1.0
_FIRST = 1.0
"""So long the first picture waits for something to show."""


def watch(file: Path, see: See[Seen], draw: Draw[Seen]) -> None:
    """Draws what was seen last as it is at present, twice a second, until `q` or Ctrl-C. It is looked once a second.

    A database that can't be used for a while, is not there yet, or is another one suddenly, ends nothing; what is wrong is said
    below the picture. Raises :class:`typer.BadParameter` where there is no terminal to draw on.
    """
    screen = Console(highlight=False)
    if not (sys.stdin.isatty() and sys.stdout.isatty() and screen.is_terminal) or screen.is_dumb_terminal:
        raise typer.BadParameter(
            "it needs a terminal to draw on. Leave it out for one look, or take --json.", param_hint="--watch"
        )
    look = _Look(in_force(file), see)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        with _keys() as quits, Live(console=screen, screen=True, auto_refresh=False) as live:
            look.start()
            look.first.wait(_FIRST)
            while look.fault is None:
                now = clock.system()
                live.update(Group(*_fitted(look, draw, now, *screen.size)), refresh=True)
                if quits(_EVERY - now.microsecond / 1e6 % _EVERY):  # so that a countdown moves when the clock does
                    break
    except KeyboardInterrupt:
        pass
    look.end()


class _Look(Thread, Generic[Seen]):
    """Looks beside the drawing: a lock that it waits for must not stop the countdown, or keep anybody from leaving."""

    def __init__(self, settings: Config, see: See[Seen]) -> None:
        super().__init__(name="look", daemon=True)
        self.seen: Seen | None = None
        self.at: datetime | None = None
        self.problem: str | None = None
        self.fault: Exception | None = None
        self.first = Event()
        self._over = Event()
        self._settings = settings
        self._see = see
        self._store: Store | None = None
        self._file: tuple[int, int] | None = None

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                now = clock.system()
                self.seen, self.at, self.problem = self._see(self._opened(), self._settings, now), now, None
            except EmbargoError as error:
                self.problem = str(error)
            except Exception as fault:  # noqa: BLE001 - raised again where the terminal is itself again
                self.fault = fault
                self._over.set()
            self.first.set()
            self._over.wait(max(_LOOK_EVERY, 4 * (time.monotonic() - began)))  # a million mails take half a second

    def _opened(self) -> Store:
        url = self._settings.database
        if missing(url):
            raise StoreRefused(f"There is no database {missing(url)}: nothing has been taken in, or it was moved away.")
        path = Path(url.removeprefix("sqlite:///"))
        found = (path.stat().st_dev, path.stat().st_ino) if url.startswith("sqlite:///") else None
        if self._store is None or found != self._file:
            if self._store is not None:
                self._store.close()
                self._store = None
            self._store, self._file = open_store(url), found
        return self._store

    def end(self) -> None:
        """Raises what it met with."""
        self._over.set()
        if self.fault is not None:
            raise self.fault


def _fitted(look: _Look[Seen], draw: Draw[Seen], now: datetime, width: int, height: int) -> list[Text]:
    notice, foot = [], say.row(("q ends", "dim"), width=width)
    if (problem := look.problem) is not None:
        seen = f" Seen last {say.distance(look.at - now)}." if look.at else ""
        notice = say.hanging([("! ", "bold yellow")], problem + seen, "yellow", width=width)
    room = max(0, height - len(notice) - 1)
    shown = [] if look.seen is None else list(draw(look.seen, now, width, room))[:room]
    gap = [Text()] * (room - len(shown))
    lines = [*shown, *gap, *notice] if shown else [*notice, *gap]
    return [*lines[: height - 1], foot]


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Keys come one by one and unseen as long as this lasts. Gives what waits so long, and says whether it was told to end."""
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    try:
        tty.setcbreak(stdin)
        mode = termios.tcgetattr(stdin)
        mode[6][termios.VSUSP] = b"\0"  # stopped, it would leave its screen behind
        termios.tcsetattr(stdin, termios.TCSANOW, mode)
        yield lambda patience: _quits(stdin, patience)
    finally:
        termios.tcsetattr(stdin, termios.TCSAFLUSH, before)


def _quits(stdin: int, patience: float) -> bool:
    until = time.monotonic() + patience
    while select.select([stdin], [], [], max(0.0, until - time.monotonic()))[0]:
        try:
            pressed = os.read(stdin, 64)
        except OSError:
            return True  # the terminal is gone
        if not pressed or b"q" in pressed.lower():
            return True
    return False
