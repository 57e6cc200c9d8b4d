"""Who gets mail: what the office lists is read into the database, and what is owed is written down for each of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from pathlib import Path

from scheduler.clock import Clock
from scheduler.errors import EmbargoError, FileRefused
from scheduler.intake import lists as files
from scheduler.record import Purpose, Uncertain
from scheduler.store import Store, ledger, meta, subscribers

_SIGNED = "list:"
_TROUBLE = "trouble:list:"

UNKNOWN_FOR = timedelta(days=1)
"""So long does a mailing wait for the settings to name its list: an office's machines are not edited at one instant."""

BREATH = 0.003
"""Seconds between two steps, in which a lift that waits for the database gets it."""


_LOOK_ANEW = 0.2
"""Seconds after which what is more urgent is looked for, such as a correction."""


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


Said = Callable[[str, object], None]


def _nothing(_name: str, _what: object) -> None:
    pass


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
        self._unknown: set[str] | None = None

    def read(self, said: Said = _nothing) -> None:
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
                    self._note_trouble(name, str(error))
                    said(name, error)
                    continue
                said(name, found)
                if known.signature() != signature:  # edited meanwhile: read again
                    continue
                with self._store.write() as db:
                    meta.put(db, _SIGNED + name, signature)
            self._seen[name] = stamp
            self._note_trouble(name, None)

    def _until_stopped(self, recipients: Iterator[str]) -> Iterator[str]:
        for each in recipients:
            if self.stopping():
                raise _Stopped
            yield each

    def _is_read(self, name: str) -> bool:
        return name in self._lists and self._signed(name) is not None

    def _signed(self, name: str) -> str | None:
        with self._store.read() as db:
            return meta.get(db, _SIGNED + name)

    def freeze(self, said: Said = _nothing) -> int:
        """Writes down who is owed what, to the end, short lists and corrections first. Gives how many mails are owed by that.

        What is owed to a list that has never been read, or that the settings do not name, waits: nobody is not an audience.
        """
        added, known, looked = 0, list[ledger.Mailing](), 0.0
        while True:
            if not known or time.monotonic() - looked > _LOOK_ANEW:
                waiting = ledger.to_freeze(self._store)
                self._look_for_unknown(waiting, said)
                read = {name for name in {each.list for each in waiting} if self._is_read(name)}
                known = [each for each in waiting if each.purpose is not Purpose.RELEASE or each.list in read]
                looked = time.monotonic()
            if not known or self.stopping():
                return added
            if (more := ledger.freeze(self._store, known[0], now=self._clock())) is None:
                del known[0]
            else:
                added += more
            time.sleep(BREATH)

    def _look_for_unknown(self, waiting: Sequence[ledger.Mailing], said: Said) -> None:
        """Says which lists are owed mail and named nowhere, and ends what has waited for one of them too long."""
        unknown = {each for each in waiting if each.purpose is Purpose.RELEASE and each.list not in self._lists}
        for mailing in {each for each in unknown if self._clock() - each.owed_at >= UNKNOWN_FOR}:
            ledger.close(self._store, mailing, now=self._clock())
            said(
                mailing.list, EmbargoError(f"{mailing.record_id} was for the list {mailing.list}, and reached nobody.")
            )
            unknown.remove(mailing)
        names = {each.list for each in unknown}
        if names == self._unknown:
            return
        with self._store.read() as db:
            over = {key.removeprefix(_TROUBLE) for key in meta.keys(db, _TROUBLE)} - names - set(self._lists)
        for name in over:
            self._note_trouble(name, None)
        for name in names:
            problem = f"Mails are owed to the list {name}, which the settings do not name; they wait. Name it under mail.lists."
            self._note_trouble(name, problem)
            said(name, EmbargoError(problem))
        self._unknown = names

    def _note_trouble(self, name: str, problem: str | None) -> None:
        """Keeps what is wrong with a list for those who look at the service."""
        with self._store.read() as db:
            if meta.get(db, _TROUBLE + name) == problem:
                return
        with self._store.write() as db:
            if problem is None:
                meta.drop(db, _TROUBLE + name)
            else:
                meta.put(db, _TROUBLE + name, problem)

    @property
    def to_repeat(self) -> frozenset[str]:
        """The lists whose uncertain mails are sent again unasked."""
        return frozenset(name for name, known in self._lists.items() if known.uncertain is Uncertain.RESEND)
