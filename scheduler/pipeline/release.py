"""The site, as a function of what has been released."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from scheduler.errors import SiteRefused
from scheduler.outlets.site import Site
from scheduler.record import Release
from scheduler.render import Renderer
from scheduler.store import Store, records, trail

WINDOW = timedelta(hours=48)
"""The feed carries everything released within this time: no release is cut off because many lifted together."""

_WARMED = 10_000
_OURS = b'<meta name="generator" content="Embargo">'
_AFTER_RELEASE = ("corrected", "retracted")


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
        self._lifted: set[str] = set()
        self._stale = False
        self._retired = False
        self._seen = 0

    def retire(self) -> None:
        """Ends this projection's writing, a rebuild under way included: another one takes the site over."""
        with self._lock:
            self._retired = True

    def is_whole(self) -> bool:
        """Whether the site folder still holds what is always there; somebody may have deleted it."""
        return self._site.has("index.html") and self._site.has("style.css")

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

    def refresh(self, changed: Sequence[str], *, now: datetime, new: bool = False) -> None:
        """Brings the pages of these records up to date, then front page and feeds.

        `new` says that they have just been released: nothing has to be compared with what stands there.
        A file that can't be written keeps no other from it: all are tried before the first refusal is raised.
        """
        with self._lock:
            self._owed |= dict.fromkeys(changed)
            if new:
                self._lifted.update(changed)
            versions = records.shown(self._store, since=now - WINDOW, at_least=self._items)
            missing = [version[0] for version in versions if version not in self._known]
            loaded = {_version(release): release for release in records.releases(self._store, missing)}
            # What was made ready for a lift to come stays known; what left the window does not.
            self._known = {key: release for key, release in self._known.items() if key[2] > now} | {
                version: found for version in versions if (found := loaded.get(version) or self._known.get(version))
            }
            carried = [self._known[version] for version in versions if version in self._known]
            refusals = self._pages({release.id: release for release in carried}, new=new)
            documents = self._renderer.documents(carried)
            if self._stale:
                documents = self._renderer.fixed() | documents
            unwritten = self._put(documents, new=new and not self._stale)
            self._stale = bool(unwritten)
        if refusals := refusals + unwritten:
            raise refusals[0]

    def _pages(self, carried: dict[str, Release], *, new: bool) -> list[SiteRefused]:
        owed, self._owed = self._owed, {}
        absent = [record_id for record_id in owed if record_id not in carried]
        refusals = []
        for release in [
            *(carried[record_id] for record_id in owed if record_id in carried),
            *records.releases(self._store, absent),
        ]:
            if unwritten := self._put({release.address: self._renderer.page(release)}, new=new):
                refusals += unwritten
                self._owed[release.id] = None
        return refusals

    def _put(self, documents: Mapping[str, bytes], *, new: bool = False) -> list[SiteRefused]:
        refusals = []
        for path, data in documents.items():
            try:
                self._site.put(path, data, new=new)
            except SiteRefused as refusal:
                refusals.append(refusal)
        return refusals

    def has_news(self) -> bool:
        """Whether anything has been decided, by whichever process, since the last call of `follow`, or is still owed."""
        with self._store.read() as db:
            return trail.head(db) != self._seen or bool(self._owed) or self._stale

    def follow(self, *, now: datetime) -> None:
        """Shows what has been decided since the last call; what a lift of our own has shown already is not rendered again."""
        with self._store.read() as db:
            head = trail.head(db)
            changed = trail.touched(db, after=self._seen, events=_AFTER_RELEASE)
            released = trail.touched(db, after=self._seen, events=("released",))
        with self._lock:
            changed += [record_id for record_id in released if record_id not in self._lifted]
            self._lifted.difference_update(released)
            if changed or self._owed or self._stale:
                self.refresh(changed, now=now)
        self._seen = head

    def rebuild(self, *, now: datetime) -> None:
        """Writes the whole site anew where it differs from the table, newest first, and takes away what is not of it.

        All is tried, as in `refresh`.
        """
        with self._store.read() as db:
            self._seen = trail.head(db)
        refusals: list[SiteRefused] = []
        with self._lock:
            if self._retired:
                return
            self._site.sweep()
            self._stale = True
            try:
                self.refresh([], now=now)
            except SiteRefused as refusal:
                refusals.append(refusal)
        for record_id in records.released_ids(self._store):
            # One at a time, so that a lift never waits for more than one page.
            with self._lock:
                if self._retired:
                    return
                for release in records.releases(self._store, [record_id]):
                    if unwritten := self._put({release.address: self._renderer.page(release)}):
                        refusals += unwritten
                        self._owed[record_id] = None
        refusals += self._clear()
        if refusals:
            raise refusals[0]

    def _clear(self) -> list[SiteRefused]:
        """Takes pages away that belong to no released record."""
        # Listed before the table is asked: what lifts in between is then in the table's answer, and stays.
        written = self._site.listed("releases")
        pages = {Release.address_of(record_id) for record_id in records.released_ids(self._store)}
        refusals = []
        for path in written:
            # Only what we wrote: a folder of the site may hold files of the operator's own.
            if path not in pages and self._site.mentions(path, _OURS):
                try:
                    self._site.remove(path)
                except SiteRefused as refusal:
                    refusals.append(refusal)
        return refusals


def _version(release: Release) -> records.Version:
    # A retraction at the very instant of the release changes neither time.
    retracted = release.retraction is not None
    return release.id, release.revision, release.published_at, release.updated_at, retracted
