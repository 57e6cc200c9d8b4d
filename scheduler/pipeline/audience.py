"""Who gets mail: what the office lists is read into the database, and what is owed is written down for each of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from scheduler.clock import Clock
from scheduler.errors import FileRefused
from scheduler.intake import lists as files
from scheduler.record import Purpose, Uncertain
from scheduler.store import Store, ledger, meta, subscribers

_SIGNED = "list:"

BREATH = 0.003
"""Seconds between two steps, in which a lift that waits for the database gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailList:
    """A mail list: its name for people, whom the office lists (bare or as ``Name <address>``, here and in a CSV `file`), and what
    becomes of mails that may or may not have arrived.
    """

    name: str
    recipients: tuple[str, ...] = field(default=(), repr=False)
    file: Path | None = None
    uncertain: Uncertain = Uncertain.HOLD

    def signature(self) -> str:
        """Changes when what the office lists does."""
        seen = "" if self.file is None else repr(files.signature(self.file))
        return hashlib.sha256("\n".join((*self.recipients, seen)).encode()).hexdigest()

    def listed(self) -> Iterator[str]:
        """Everybody the office lists, one after the other. Raises :class:`FileRefused` at a line that names nobody."""
        return chain(self.recipients, () if self.file is None else files.read(self.file))


class _Stopped(Exception):
    """The worker is told to stop."""


class Audiences:
    """Keeps the database's lists as the office wants them, and freezes what is owed."""

    def __init__(self, *, store: Store, lists: Mapping[str, MailList], clock: Clock) -> None:
        self.stopping: Callable[[], bool] = lambda: False
        """Asked between two steps; what is left is for the next worker."""
        self._store = store
        self._lists = lists
        self._clock = clock
        self._seen: dict[str, object] = {}

    def read(self, said: Callable[[str, object], None] = lambda _name, _what: None) -> None:
        """Takes in what the office has changed about its lists. `said` hears of each list that was read, or of why not.

        A file that can't be used leaves its list as it was, and is reported once.
        """
        for name, known in self._lists.items():
            stamp = None if known.file is None else files.signature(known.file)  # of what can change while we run
            if name in self._seen and self._seen[name] == stamp:
                continue
            signature = known.signature()
            if signature != self._signed(name):
                try:
                    if known.file is not None:  # all or nothing: a bad line is found before anybody is taken off
                        for _ in self._until_stopped(known.listed()):
                            pass
                    named = self._until_stopped(known.listed())
                    found = subscribers.read_office(self._store, list_id=name, recipients=named, now=self._clock())
                except _Stopped:
                    return
                except (FileRefused, OSError) as error:
                    self._seen[name] = stamp
                    said(name, error)
                    continue
                said(name, found)
                if known.signature() != signature:  # edited meanwhile: read again
                    continue
                with self._store.write() as db:
                    meta.put(db, _SIGNED + name, signature)
            self._seen[name] = stamp

    def _until_stopped(self, recipients: Iterator[str]) -> Iterator[str]:
        for each in recipients:
            if self.stopping():
                raise _Stopped
            yield each

    def _signed(self, name: str) -> str | None:
        with self._store.read() as db:
            return meta.get(db, _SIGNED + name)

    def freeze(self) -> int:
        """Writes down who is owed what, to the end, short lists and corrections first. Gives how many mails are owed by that."""
        added = 0
        while True:
            waiting = ledger.to_freeze(self._store)
            if not waiting or self.stopping():
                return added
            mailing = waiting[0]
            if mailing.purpose is Purpose.RELEASE and mailing.list not in self._lists:
                ledger.close(self._store, mailing, now=self._clock())
                continue
            added += ledger.freeze(self._store, mailing, now=self._clock()) or 0
            time.sleep(BREATH)

    @property
    def to_repeat(self) -> frozenset[str]:
        """The lists whose uncertain mails are sent again unasked."""
        return frozenset(name for name, known in self._lists.items() if known.uncertain is Uncertain.RESEND)
