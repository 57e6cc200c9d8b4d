"""What the service does for its store when nothing is about to lift: backups, and erasing what is kept no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from scheduler.clock import Clock
from scheduler.config import Config
from scheduler.daemon.sources import ACTOR
from scheduler.errors import EmbargoError
from scheduler.log import say
from scheduler.pipeline import retention
from scheduler.store import Store, backups, heads
from scheduler.store.duties import Duty, Work

_ERASE_EVERY = 86400.0
_GLANCE = 0.5


class Heads:
    """The trail's end, which goes to its file and to the log where it has changed; `alarm` is told what keeps it from that."""

    def __init__(self, store: Store, *, clock: Clock, alarm: Callable[..., None]) -> None:
        self._store = store
        self._clock = clock
        self._alarm = alarm
        self._noted: heads.Head | None = None

    def note(self) -> None:
        """Notes it."""
        try:
            head = heads.note(self._store, now=self._clock(), after=self._noted)
        except EmbargoError as error:
            self._alarm("trail_head_refused", problem=str(error))
            return
        if head is not None:
            self._noted = head
            say("trail_head", seq=head.seq, hash=head.hash)


class Upkeep:
    """`is_calm` is asked between two steps; `refused` is told what a person can mend, `fail` inside the handler of a bug."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        is_calm: Callable[[], bool],
        refused: Callable[[str], None],
        fail: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._is_calm = is_calm
        self._refused = refused
        self._fail = fail
        self._busy = threading.Lock()
        self._duty = Duty(store, Work.UPKEEP)
        self._erased = time.monotonic() - _ERASE_EVERY

    def tend(self, settings: Config) -> None:
        """Does what is due, unless it is being done, or is another machine's to do for as long as that runs.

        One that fails keeps no other from its turn, and is tried again.
        """
        if not self._busy.acquire(blocking=False):
            return
        try:
            for duty in (self._back_up, self._erase) if self._duty.mine() else ():
                try:
                    duty(settings)
                except EmbargoError as error:
                    self._refused(str(error))
                except Exception:  # noqa: BLE001 - a thread's end must not go unheard
                    self._fail()
        finally:
            self._busy.release()

    def _back_up(self, settings: Config) -> None:
        part, now = settings.backup, self._clock()
        if part is not None and backups.due(part.folder, part.every, now):
            made = backups.make(self._store, part.folder, part.keep, now)
            say("backup_made", file=made, bytes=made.stat().st_size)

    def _erase(self, settings: Config) -> None:
        if time.monotonic() - self._erased < _ERASE_EVERY:
            return
        done = retention.apply(self._store, settings.retention.kept, now=self._clock(), actor=ACTOR, pause=self._wait)
        erased = {each.kind: each.count for each in done}
        if any(erased.values()):
            say("retention_applied", **erased)
        self._erased = time.monotonic()

    def _wait(self) -> None:
        while not self._is_calm():
            time.sleep(_GLANCE)
