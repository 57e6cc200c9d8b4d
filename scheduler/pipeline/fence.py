"""The site as a witness: what stands there that the store does not know of, and what a fenced store would send again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scheduler.record import State
from scheduler.store import Store, fence, records

_WAITING = (State.HELD, State.ATTENTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """``due`` would be released at once; ``shown`` are held here though their pages stand on the site already.

    ``mails`` has, for each state of a mail, how many there are of which record; see :func:`scheduler.store.fence.mails`.
    """

    due: tuple[str, ...]
    shown: tuple[str, ...]
    mails: Mapping[str, Mapping[str, int]]


def heed_site(store: Store, *, folder: Path) -> None:
    """Fences a store in which a record waits whose page was written after the store was last at home here: it was set back.

    An older page is no sign: a new store may have been begun beside an old site, or one that was taken over.
    """
    last_at = fence.last_at(store)
    if last_at is None:
        return
    pages = _pages(folder)
    if any(pages.get(each.id, last_at) > last_at for each in records.listed(store, states=_WAITING)):
        fence.close(store)


def repeats(store: Store, *, folder: Path, now: datetime) -> Repeats:
    """Looks at the store and at the site's folder beside it."""
    pages = _pages(folder)
    waiting = records.listed(store, states=_WAITING)
    return Repeats(
        due=tuple(each.id for each in waiting if each.state is State.HELD and each.lift_at and each.lift_at <= now),
        shown=tuple(each.id for each in waiting if each.id in pages),
        mails=fence.mails(store),
    )


def _pages(folder: Path) -> dict[str, datetime]:
    """The ids of the records that have a page, and when it was written."""
    found = {}
    for page in (folder / "releases").glob("*.html"):
        with contextlib.suppress(FileNotFoundError):  # a running service takes pages away
            found[page.stem] = datetime.fromtimestamp(page.stat().st_mtime, UTC)
    return found
