"""The site, as a function of what has been released."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduler.outlets.site import Site
from scheduler.record import Release
from scheduler.render import Renderer
from scheduler.store import Store, records, trail

WINDOW = timedelta(hours=48)
"""The feed carries everything released within this time: no release is cut off because many lifted together."""

_WARMED = 10_000
_SHOWN = ("released", "corrected", "retracted")


class Projection:
    """The site as a function of the released records.

    Threads may share one. What could not be written (`SiteRefused`) stays owed and is written at the next call.
    """

    def __init__(self, *, store: Store, site: Site, renderer: Renderer, items: int) -> None:
        self._store = store
        self._site = site
        self._renderer = renderer
        self._items = items
        self._lock = threading.RLock()
        self._known: dict[records.Version, Release] = {}
        self._owed: dict[str, None] = {}
        self._seen = 0

    def warm(self, *, until: datetime, at_most: int) -> bool:
        """Renders, in memory alone, some of what lifts until then, so that the lift only asks which of it may be shown.

        At most `at_most` at a time, for the lift may be near. Gives whether there is more.
        """
        with self._lock:
            missing = [
                version[0]
                for version in records.coming(self._store, until=until, limit=_WARMED)
                if version not in self._known
            ]
            for release in records.releases(self._store, missing[:at_most]):
                self._renderer.warm(release)
                self._known[_version(release)] = release
        return len(missing) > at_most

    def refresh(self, changed: Sequence[str], *, now: datetime) -> None:
        """Brings the pages of these records up to date, then front page and feeds."""
        with self._lock:
            self._owed |= dict.fromkeys(changed)
            versions = records.shown(self._store, since=now - WINDOW, at_least=self._items)
            missing = [version[0] for version in versions if version not in self._known]
            loaded = {_version(release): release for release in records.releases(self._store, missing)}
            # What was made ready for a lift to come stays known; what left the window does not.
            self._known = {key: release for key, release in self._known.items() if key[2] > now} | {
                version: found for version in versions if (found := loaded.get(version) or self._known.get(version))
            }
            carried = [self._known[version] for version in versions if version in self._known]
            self._pages({release.id: release for release in carried})
            for path, data in self._renderer.documents(carried).items():
                self._site.put(path, data, new=bool(changed))

    def _pages(self, carried: dict[str, Release]) -> None:
        absent = [record_id for record_id in self._owed if record_id not in carried]
        for release in [
            *(carried[record_id] for record_id in self._owed if record_id in carried),
            *records.releases(self._store, absent),
        ]:
            self._site.put(release.address, self._renderer.page(release))
        self._owed.clear()

    def has_news(self) -> bool:
        """Whether anything has been decided, by whichever process, since the last call of `follow`, or is still owed."""
        with self._store.read() as db:
            return trail.head(db) != self._seen or bool(self._owed)

    def follow(self, *, now: datetime) -> None:
        """Shows what has been decided since the last call."""
        with self._store.read() as db:
            head = trail.head(db)
            changed = trail.touched(db, after=self._seen, events=_SHOWN)
        if changed or self._owed:
            self.refresh(changed, now=now)
        self._seen = head

    def rebuild(self, *, now: datetime) -> None:
        """Writes the whole site anew where it differs from the table, newest first, and takes away what is not of it."""
        with self._store.read() as db:
            self._seen = trail.head(db)
        with self._lock:
            for path, data in self._renderer.fixed().items():
                self._site.put(path, data)
            self.refresh([], now=now)
        ids = records.released_ids(self._store)
        for record_id in ids:
            # One at a time, so that a lift never waits for more than one page.
            with self._lock:
                for release in records.releases(self._store, [record_id]):
                    self._site.put(release.address, self._renderer.page(release))
        # Listed before the table is asked: what lifts in between is then in the table's answer, and stays.
        written = self._site.listed("releases")
        pages = {Release.address_of(record_id) for record_id in records.released_ids(self._store)}
        for path in written:
            if path not in pages:
                self._site.remove(path)


def _version(release: Release) -> records.Version:
    return release.id, release.revision, release.published_at, release.updated_at
