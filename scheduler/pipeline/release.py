"""The site, as a function of what has been released."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from scheduler.errors import SiteRefused
from scheduler.outlets.site import Site
from scheduler.pipeline.chronicle import Chronicle, Placed
from scheduler.pipeline.documents import Documents
from scheduler.record import Release, Version
from scheduler.render import Renderer
from scheduler.store import Store, attachments, records, trail

MAIN = ("rss.xml", "atom.xml", "feed.json")
"""The subscription documents of the feed of everything."""

_WARMED = 10_000
_AT_THE_LIFT = 8
"""So many topics and chapters are brought up to date with a lift; the others by `follow`, a moment later."""
_OURS = b'<meta name="generator" content="Embargo">'
_AFTER_RELEASE = ("corrected", "retracted")


class _Written(NamedTuple):
    changed: list[str]
    whole: bool


class Projection:
    """The site as a function of the released records: `items` is the least a feed carries, and the most a page shows.

    Threads may share one. What could not be written (`SiteRefused`) stays owed and is written at the next call. `announce` is
    told which of `MAIN` have changed, once their bytes are live, and returns at once.
    """

    def __init__(
        self,
        *,
        store: Store,
        site: Site,
        renderer: Renderer,
        items: int,
        full_text: bool = True,
        announce: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._site = site
        self._renderer = renderer
        self._items = items
        self._full_text = full_text
        self._announce = announce
        self._lock = threading.RLock()
        self._made: Documents | None = None
        # What is not as it should be: pages by record, topics and chapters by folder, front page and feeds, lists, the rest.
        self._owed_pages: dict[str, None] = {}
        self._owed: dict[str, None] = {}
        self._stale = self._stale_lists = self._stale_fixed = False
        self._refusals: list[SiteRefused] = []
        self._lifted: set[str] = set()
        self._warmed: set[Version] = set()
        self._retired = False
        self._seen = (0, trail.GENESIS)

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
            coming = records.coming(self._store, until=until, limit=_WARMED)
            places = {version.id: place for place, version in enumerate(coming, 1)}
            missing = [version for version in coming if version not in self._warmed]
            some = missing[:at_most]
            for release in records.releases(self._store, [version.id for version in some]):
                self._renderer.warm(release, self._documents.form_ahead(release, places[release.id]))
            self._renderer.forget(self._warmed.difference(coming))
            self._warmed = self._warmed.intersection(coming).union(some)
        return len(missing) > at_most

    def refresh(self, changed: Sequence[str], *, now: datetime, new: bool = False) -> None:
        """Brings the pages of these records up to date, then front page and feeds, then topics and archive.

        `new` says that they have just been released: nothing has to be compared with what stands there.
        A file that can't be written keeps no other from it: all are tried before the first refusal is raised.
        """
        with self._lock:
            self._take(changed)
            if new:
                self._lifted.update(changed)
            self._write_pages(list(self._owed_pages), new=new)
            self._write_main(now, new=new)
            if self._stale_lists:
                self._write_lists()
            for folder in list(self._owed)[:_AT_THE_LIFT]:
                self._write_folder(folder, now)
            self._raise()

    def has_news(self) -> bool:
        """Whether anything has been decided, by whichever process, since the last call of `follow`, or is still owed."""
        with self._store.read() as db:
            return trail.end(db) != self._seen or self._is_behind()

    def was_set_back(self) -> bool:
        """Whether the trail has lost what was last seen of it: a standby took over that had not got it yet. Said once.

        The caller rebuilds: what the store knows no more may stand on the site.
        """
        with self._store.read() as db:
            whole, end = trail.has(db, *self._seen), trail.end(db)
        if not whole:
            with self._lock:
                self._lifted.clear()
            self._seen = end
        return not whole

    def _is_behind(self) -> bool:
        return bool(self._owed_pages or self._owed) or self._stale or self._stale_lists or self._stale_fixed

    def follow(self, *, now: datetime) -> None:
        """Shows what has been decided since the last call; what a lift of our own has shown already is not rendered again."""
        with self._store.read() as db:
            end = trail.end(db)
            changed = trail.touched(db, after=self._seen[0], events=_AFTER_RELEASE)
            released = trail.touched(db, after=self._seen[0], events=("released",))
        with self._lock:
            changed += [record_id for record_id in released if record_id not in self._lifted]
            self._lifted.difference_update(released)
            if changed or self._owed_pages or self._stale or self._stale_lists or self._stale_fixed:
                self._collect(lambda: self.refresh(changed, now=now))
        self._seen = end
        self._write_folders(now)
        self._raise()

    def rebuild(self, *, now: datetime) -> None:
        """Writes the whole site anew where it differs from the table, newest first, and takes away what is not of it.

        All is tried, as in `refresh`.
        """
        with self._store.read() as db:
            self._seen = trail.end(db)
        with self._lock:
            if self._retired:
                return
            self._site.sweep()
            self._made = None
            self._stale = self._stale_lists = self._stale_fixed = True
            self._collect(lambda: self.refresh([], now=now))
        for record_id in records.released_ids(self._store):
            # One at a time, so that a lift never waits for more than one page.
            with self._lock:
                if self._retired:
                    return
                self._owed_pages[record_id] = None
                self._write_pages([record_id])
        with self._lock:
            self._owe_all_folders()
        self._write_folders(now)
        with self._lock:
            if not self._retired:
                self._clear()
        self._raise()

    def _collect(self, act: Callable[[], None]) -> None:
        try:
            act()
        except SiteRefused as refusal:
            self._refusals.append(refusal)

    def _raise(self) -> None:
        refusals, self._refusals = self._refusals, []
        if refusals:
            raise refusals[0]

    # --- what has been released

    @property
    def _documents(self) -> Documents:
        if self._made is None:
            self._made = Documents(
                store=self._store, renderer=self._renderer, items=self._items, full_text=self._full_text
            )
        return self._made

    @property
    def _chronicle(self) -> Chronicle:
        return self._documents.chronicle

    def _take(self, changed: Sequence[str]) -> None:
        """Notes what these records, which were released or have changed, make out of date."""
        if not changed:
            return
        self._owed_pages |= dict.fromkeys(changed)
        self._stale_lists |= self._made is None
        chronicle = self._chronicle
        topics, count = chronicle.topics(), len(chronicle.chapters)
        folders: set[str] = set()
        for placed in [Placed(*place) for place in records.placed(self._store, changed)]:
            if chronicle.knows(placed.id):
                folders |= chronicle.file_again(placed)
            elif chronicle.add(placed):
                folders.update(chronicle.folders_of(placed.id))
            else:
                # Another machine's release that came to our notice late: the chapters are cut anew.
                self._made = None
                self._owe_all_folders()
                self._stale_lists = True
                return
            folders.add(chronicle.chapter_of(placed).folder)
        # Where a chapter begins, the one before is whole, and knows what follows it.
        if len(chronicle.chapters) > count:
            folders.update(chapter.folder for chapter in chronicle.chapters[max(count - 2, 0) :])
        self._stale_lists |= len(chronicle.chapters) > count or chronicle.topics() != topics
        self._owed |= dict.fromkeys(sorted(folders))

    def _owe_all_folders(self) -> None:
        self._owed |= dict.fromkeys(topic.folder for topic in self._chronicle.topics())
        self._owed |= dict.fromkeys(chapter.folder for chapter in reversed(self._chronicle.chapters))

    # --- writing

    def _put(self, documents: Mapping[str, bytes], *, new: bool = False) -> _Written:
        changed, count = [], len(self._refusals)
        for path, data in documents.items():
            try:
                if self._site.put(path, data, new=new):
                    changed.append(path)
            except SiteRefused as refusal:
                self._refusals.append(refusal)
        return _Written(changed, whole=len(self._refusals) == count)

    def _write_pages(self, record_ids: Sequence[str], *, new: bool = False) -> None:
        for start in range(0, len(record_ids), 500):
            for release in records.releases(self._store, record_ids[start : start + 500]):
                if self._write_page(release, new=new):
                    self._owed_pages.pop(release.id, None)

    def _write_page(self, release: Release, *, new: bool) -> bool:
        # Attachments first: a page leads to what is there.
        shown = () if release.retraction is not None else release.attachments
        wanted = {release.address_of_attachment(each): each for each in shown}
        whole = True
        for path, attachment in wanted.items():
            whole &= self._put({path: attachments.read(self._store, attachment.digest)}, new=new).whole
        if not new:
            whole &= self._removed(set(self._site.listed(release.folder)).difference(wanted))
        return self._put({release.address: self._renderer.page(release)}, new=new).whole and whole

    def _write_main(self, now: datetime, *, new: bool) -> None:
        fixed = self._renderer.fixed() if self._stale_fixed else {}
        written = self._put(fixed | self._documents.main(now), new=new and not self._stale)
        self._stale = not written.whole
        self._stale_fixed &= self._stale
        if changed := [path for path in written.changed if path in MAIN]:
            self._announce(changed)

    def _write_lists(self) -> None:
        self._stale_lists = not self._put(self._documents.lists()).whole

    def _write_folders(self, now: datetime) -> None:
        """Writes the topics and chapters that are owed, one at a time, so that no lift waits for more than one."""
        for folder in list(self._owed):
            with self._lock:
                if self._retired:
                    return
                if folder in self._owed:
                    self._write_folder(folder, now)

    def _write_folder(self, folder: str, now: datetime) -> None:
        documents = self._documents.folder(folder, now)
        done = self._put({folder + name: data for name, data in documents.items()}).whole
        if done if documents else self._remove_folder(folder):
            self._owed.pop(folder, None)

    # --- taking away

    def _clear(self) -> None:
        """Takes away what belongs to no released record, topic or chapter."""
        # Listed before the table is asked: what lifts in between is then in the table's answer, and stays.
        written = self._site.listed("releases")
        folders = [*self._site.folders("topics"), *self._site.folders("archive")]
        known = set(records.released_ids(self._store))
        pages = {Release.address_of(record_id) for record_id in known}
        for path in written:
            # Only what we wrote: a folder of the site may hold files of the operator's own.
            if path in pages or not self._site.mentions(path, _OURS):
                continue
            # The page last: by it the folder is known for ours, should something be in the way this time.
            if self._removed(self._site.listed(path.removesuffix(".html"))):
                self._removed([path])
        current = {topic.folder for topic in self._chronicle.topics()}
        current |= {chapter.folder for chapter in self._chronicle.chapters}
        for folder in folders:
            if folder not in current and not self._remove_folder(folder):
                self._owed[folder] = None

    def _remove_folder(self, folder: str) -> bool:
        """Takes a topic's or a chapter's documents away, its page last. Gives whether nothing of them is left."""
        if not self._site.mentions(f"{folder}index.html", _OURS):
            return True
        feeds = [folder + name for name in (*MAIN, "sitemap.xml")]
        return self._removed(feeds) and self._removed([f"{folder}index.html"])

    def _removed(self, paths: Iterable[str]) -> bool:
        """Takes files away, trying all. Gives whether none is left."""
        count = len(self._refusals)
        for path in paths:
            self._collect(partial(self._site.remove, path))
        return len(self._refusals) == count
