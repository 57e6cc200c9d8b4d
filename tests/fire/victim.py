"""The process that is killed: the real functions on a real folder, ended with SIGKILL at a point that the parent chose."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from conftest import Clock, Office
from kit import Wire, opened, parts, projection, send
from sqlalchemy import event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine

from scheduler.outlets.mail import transport
from scheduler.store import fence

parts()  # before the fork, so that no child has to


class Points:
    """Counts the boundaries that are passed, and ends the process at number `n`, from 0, writing its name to `note`."""

    def __init__(self, n: int, note: Path) -> None:
        self._left = n
        self._note = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._lock = threading.Lock()
        self._write = os.write

    def __call__(self, name: str, last: Callable[[], object] = lambda: None) -> None:
        with self._lock:
            if self._left == 0:
                last()
                self._write(self._note, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1


def arm(points: Points) -> None:
    """Makes a boundary of every commit, every statement that writes, and every file that is made, half written, synced, moved."""

    @event.listens_for(Engine, "before_cursor_execute")
    def _statement(*call: object) -> None:
        words = str(call[2]).split()[:3]
        if words[0] not in {"PRAGMA", "SELECT"}:  # at a look, the disk is as it was at the boundary before
            points(f"before {' '.join(words)}")

    commit = SQLiteDialect_pysqlite.do_commit

    def do_commit(dialect: SQLiteDialect_pysqlite, connection: object) -> None:
        points("before COMMIT")
        commit(dialect, connection)  # type: ignore[arg-type]  # a raw connection, as SQLAlchemy hands it on
        points("after COMMIT")

    SQLiteDialect_pysqlite.do_commit = do_commit  # type: ignore[method-assign]  # every commit passes here
    write, opening = os.write, os.open

    def halves(descriptor: int, data: bytes) -> int:
        points("half a file", lambda: write(descriptor, bytes(data[: len(data) // 2])))
        return write(descriptor, data)

    def made(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_CREAT:
            points("before open")
        return opening(path, flags, *rest, **more)

    os.write, os.open = halves, made  # type: ignore[assignment]  # of os.open, what is used of it
    for name in ("replace", "fsync", "unlink"):
        setattr(os, name, _before(points, name, getattr(os, name)))


def _before(points: Points, name: str, act: Callable[..., object]) -> Callable[..., object]:
    def wrapped(*arguments: object, **more: object) -> object:
        points(f"before {name}")
        return act(*arguments, **more)

    return wrapped


def _release(office: Office) -> None:
    shown = projection(office)
    lifted = office.lift()
    shown.refresh([each.id for each in lifted], now=office.clock(), new=True)


ACTS: dict[str, Callable[[Office], object]] = {
    "accept": lambda office: office.take(office.folder / "records" / "new.md"),
    "amend": lambda office: office.take(office.folder / "records" / "later.md"),
    "correct": lambda office: office.take(office.folder / "records" / "out.md"),
    "release": _release,
    "rebuild": lambda office: projection(office).rebuild(now=office.clock()),
    "mark": lambda office: fence.hold(office.store, now=office.clock()),
    "send": lambda office: send(office, Wire(office.folder / "wire")),
    "store mail": lambda office: send(office, transport("maildir:mail", base=office.folder)),
}


def act(folder: Path, name: str, clock: Clock, n: int) -> None:
    """Does `name` in the newsroom at `folder` until boundary `n`; returns if there are fewer."""
    points = Points(n, folder / "point")
    if name == "create":
        arm(points)
        opened(folder, clock).store.close()
        return
    office = opened(folder, clock)
    arm(points)
    ACTS[name](office)
