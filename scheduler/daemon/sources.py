"""Watches the folders of record files and hands on what comes in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from watchfiles import watch

from scheduler import permissions
from scheduler.clock import Clock
from scheduler.errors import FileRefused
from scheduler.intake.folder import Folder, Seen, load
from scheduler.log import alarm, say
from scheduler.parts import Parts
from scheduler.pipeline import accept, zones
from scheduler.record import Brief, State
from scheduler.store import Store, moves, records

ACTOR = "service"
_LOOK_ANYWAY = 5.0
"""Seconds after which a folder is looked at though nothing was heard: network file systems tell nothing."""


_SOON = timedelta(minutes=10)
_AT_FIRST = 1000


class Sources:
    """A thread that accepts, amends and refuses.

    `changed` is called after each file, so that the alarm is set anew; `trouble` inside the handler of an exception. What is in
    `known` folders has been handed on.
    """

    def __init__(
        self,
        *,
        parts: Parts,
        store: Store,
        clock: Clock,
        changed: Callable[[], None],
        trouble: Callable[[str], None],
        known: Sequence[Folder] = (),
    ) -> None:
        self._parts = parts
        self._store = store
        self._clock = clock
        self._changed = changed
        self._trouble = trouble
        self._stop = threading.Event()
        there = {folder.folder: folder for folder in known}
        self._folders = [there.get(part.folder) or Folder(part.folder) for part in parts.config.records]
        for folder in self._folders:
            permissions.folder(folder.folder, permissions.PRIVATE)
        self._thread = threading.Thread(target=self._run, name="sources", daemon=True)

    def renewed(self, parts: Parts) -> Sources:
        """One for other settings, to take this one's place once it has stopped. It reads anew what they make otherwise."""
        same = (self._parts.config.own, self._parts.lists, self._parts.newsroom) == (
            parts.config.own,
            parts.lists,
            parts.newsroom,
        )
        known = [
            each for each in self._folders if same and self._parts.policy(each.folder) == parts.policy(each.folder)
        ]
        return Sources(
            parts=parts, store=self._store, clock=self._clock, changed=self._changed, trouble=self._trouble, known=known
        )

    def start(self) -> None:
        """Looks at what is there and goes on watching."""
        self._thread.start()

    def look_first(self) -> None:
        """Takes in anew the files of what lifts soon or should have, before it does: they, or the zone of their folder, may have
        been edited while nobody looked.
        """
        folders = [folder.folder for folder in self._folders]
        for each in records.coming(self._store, until=self._clock() + _SOON, limit=_AT_FIRST):
            path = Path(records.get(self._store, each.id).origin)
            folder = next((folder for folder in self._folders if path.is_relative_to(folder.folder)), None)
            if folder is not None and path.is_file():
                self._tried(partial(self._handle, folder, load(path, folders=folders)), "intake_failed")

    def stop(self) -> None:
        """Finishes the file in hand and ends."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._tried(self._watch, "watch_failed"):
                # A folder that is away, a name that can't be watched, or no watches left: then looking has to do.
                self._tried(lambda: self._look(time.monotonic()), "intake_failed")
                self._stop.wait(1.0)

    def _tried(self, act: Callable[[], object], event: str) -> bool:
        try:
            act()
        except Exception:  # noqa: BLE001 - no file, whatever it is, ends the taking in of all others
            self._trouble(event)
            return False
        return True

    def _watch(self) -> None:
        looked = 0.0
        watched = [folder.folder.stat().st_ino for folder in self._folders]
        for changes in watch(
            *(folder.folder for folder in self._folders),
            stop_event=self._stop,
            debounce=30,
            step=5,
            rust_timeout=50,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            now = time.monotonic()
            due = min((at for folder in self._folders if (at := folder.next_look) is not None), default=None)
            if changes or now - looked >= _LOOK_ANYWAY or (due is not None and now >= due):
                looked = now
                self._look(now)
                if [folder.folder.stat().st_ino for folder in self._folders] != watched:
                    return  # a folder was deleted and made anew: the watch was on the old one

    def _look(self, now: float) -> None:
        for folder in self._folders:
            for seen in folder.look(now):
                if self._stop.is_set() and seen.found is not None:
                    folder.forget(seen.path)  # it is for whoever takes our place
                    continue
                try:
                    self._handle(folder, seen)
                except Exception:  # noqa: BLE001 - a locked database or a full disk passes; the file is taken up again
                    self._trouble("intake_failed")
                    folder.forget(seen.path)
                self._changed()

    def _handle(self, folder: Folder, seen: Seen) -> None:
        now = self._clock()
        if seen.found is None:
            for uuid in moves.vanish(self._store, origin=seen.origin, now=now, actor=ACTOR):
                say("file_vanished", record=uuid)
            return
        try:
            if isinstance(seen.found, FileRefused):
                raise seen.found
            policy, rehearse = self._parts.policy(folder.folder), self._parts.rehearse
            self._follow_zone(seen.found, policy, rehearse)
            outcome, standing = accept.accept(
                self._store, seen.found, policy=policy, rehearse=rehearse, now=now, actor=ACTOR
            )
        except FileRefused as refusal:
            if accept.refuse(self._store, refusal, origin=seen.origin, digest=seen.digest, now=now, actor=ACTOR):
                alarm("file_refused", line=refusal.line, see="embargo queue")
            return
        if outcome is not accept.Outcome.UNCHANGED:
            tell = alarm if standing.state is State.ATTENTION else say
            tell(outcome, record=standing.uuid, state=standing.state, revision=standing.revision)

    def _follow_zone(self, brief: Brief, policy: accept.Policy, rehearse: accept.Rehearsal) -> None:
        moved = zones.follow_edit(self._store, brief, policy=policy, rehearse=rehearse, now=self._clock(), actor=ACTOR)
        if moved is not None:
            was, now = moved
            about: dict[str, Any] = {
                "record": now.uuid,
                "state": now.state,
                "before": was.lift_at,
                "after": now.lift_at,
            }
            if now.state is State.ATTENTION:
                alarm("lift_moved_by_settings", **about)
            else:
                say("lift_moved_by_settings", **about)
