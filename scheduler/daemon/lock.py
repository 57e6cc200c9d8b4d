"""One service per database, and only on a store that is its own."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from scheduler import permissions
from scheduler.clock import Clock
from scheduler.errors import AlreadyRunning, StoreRefused
from scheduler.log import say
from scheduler.pipeline.fence import heed_site
from scheduler.store import Store, fence, nodes, trail, vitals

_LOOK_EVERY = 30.0


class SiteLock:
    """Keeps a second service off a site's folder, where services share a database. Held as `InstanceLock` is."""

    def __init__(self, site: Path) -> None:
        permissions.folder(site, permissions.PUBLIC)
        # The folder itself: a file in it would be shown, and beside it the service need not be able to write.
        self._folder = os.open(site, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._folder)
            raise AlreadyRunning(
                f"Another service writes the site in {site}. "
                "Services that share a database have a site each: give this one a `site: folder` of its own."
            ) from None
        except OSError:
            pass  # a network file system locks no folders, and docs/operations.md asks for one of the machine's own

    def release(self) -> None:
        """Lets another service start."""
        os.close(self._folder)


class InstanceLock:
    """Held as long as the service runs; the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise AlreadyRunning(
                f"Another service (process {holder or 'unknown'}) works on {database}. "
                "One database has one service: stop that one first, or give this one a `database:` of its own."
            ) from None
        os.truncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Lets another service start."""
        os.close(self._file)


class Fence:
    """Whether the store is fenced, as the service last saw it; `closed` means that nothing may be lifted or mailed.

    `alarm` is called with an event and its fields at each look that finds it fenced. `site` is the folder of the site.
    """

    def __init__(self, store: Store, *, clock: Clock, site: Path, alarm: Callable[..., None]) -> None:
        fence.refuse_moved(store)
        self._store = store
        self._clock = clock
        self._alarm = alarm
        self._looked = 0.0
        self._head = -1
        self.closed = True
        heed_site(store, folder=site)

    def tend(self, *, calm: bool) -> bool:
        """`look`, at each heartbeat while `closed`; else if it is `calm` and something was decided, or some time has passed."""
        if not self.closed:
            with self._store.read() as db:
                news = trail.head(db) != self._head
            if not calm or not (news or time.monotonic() - self._looked > _LOOK_EVERY):
                return False
        return self.look()

    def look(self) -> bool:
        """Looks, and gives the store a new mark if it is ours. Gives whether it has become ours by this look.

        After a new mark no copy that was made before it can be taken for the store itself.
        """
        was, self._looked = self.closed, time.monotonic()
        try:
            with self._store.read() as db:
                self._head = trail.head(db)
            # Before anything is written: a full disk must not keep what is ours from lifting.
            self.closed = bool(fence.examine(self._store).why)
            found = fence.hold(self._store, now=self._clock())
        except StoreRefused as error:
            self._alarm("fence_failed", problem=error)
            return was and not self.closed
        self.closed = bool(found.why)
        if self.closed:
            self._alarm("store_fenced", why=" ".join(found.why), remedy="embargo adopt")
        elif found.note:
            say("store_moved", note=found.note)
        return was and not self.closed


def works(store: Store, *, site: Path | None = None) -> bool:
    """Whether a service works on this store now: on a server this host's with this `site`, or, if none is named, any."""
    if store.path is not None:
        return is_running(store.path)
    wanted = None if site is None else nodes.name(site)
    return any(each.alive for each in vitals.every(store) if wanted in {None, each.vitals.node})


def is_running(database: Path) -> bool:
    """Whether a service holds the lock of this database now; nothing is written."""
    try:
        file = os.open(database.with_name(database.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
