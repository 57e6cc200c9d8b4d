"""What the site's documents hold at an instant: front page and feeds, topics, the archive. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from scheduler.pipeline.chronicle import Chapter, Chronicle, Placed
from scheduler.record import Release, Version
from scheduler.render import Feed, Form, Renderer, Shown
from scheduler.store import Store, meta, records

WINDOW = timedelta(hours=48)
"""The feed carries everything released or changed within this time: no release is cut off because many lifted together."""


class Documents:
    """Made from all that has been released, and kept up to date by whoever tells its `chronicle` of more."""

    def __init__(self, *, store: Store, renderer: Renderer, items: int, full_text: bool) -> None:
        self._store = store
        self._renderer = renderer
        self._items = items
        self._full_text = full_text
        with store.read() as db:
            store_id = meta.get(db, "store_id")
        assert store_id is not None
        self._feed_id = uuid5(UUID(store_id), "feed")  # for ever, wherever the site moves
        released = (Placed(*place) for place in records.placed(store))
        self.chronicle = Chronicle(released, zone=renderer.newsroom.zone)

    def main(self, now: datetime) -> dict[str, bytes]:
        """Path -> bytes: the front page, and the subscription documents of everything."""
        since = now - WINDOW
        chapters = self.chronicle.chapters
        start = records.bound(self._store, since=since, at_least=self._items)
        versions: list[Version] = []
        previous = None
        if start is not None and chapters:
            # From the start of a chapter, so that this document and the archive leave nothing out between them.
            opening = self.chronicle.opening(start)
            opening = opening if self.chronicle.is_archived(opening - 1) else 0
            versions = records.shown(self._store, start=chapters[opening].first.released_at, changed=since)
            previous = chapters[opening - 1].folder if opening else None
        page = self._cards("index.html", versions)
        feed = Feed(id=self._feed_id.urn, previous=previous)
        return {"index.html": page, **self._renderer.feed(feed, self._shown(versions), load=self._load)}

    def lists(self) -> dict[str, bytes]:
        """Path -> bytes: what names all topics and all chapters."""
        topics, chapters = self.chronicle.topics(), self.chronicle.chapters
        months: dict[str, list[dict[str, object]]] = {}
        for chapter in chapters:
            months.setdefault(chapter.title, []).append(_facts(chapter))
        listed = [{"title": title, "chapters": parts} for title, parts in reversed(months.items())]
        folders = [chapter.folder for chapter in chapters]
        return {
            "archive/index.html": self._renderer.document("archive.html", months=listed),
            "topics/index.html": self._renderer.document("topics.html", topics=topics),
            "feeds.html": self._renderer.document("feeds.html", topics=topics),
            "sitemap.xml": self._renderer.document("sitemap.xml", folders=folders),
        }

    def folder(self, folder: str, now: datetime) -> dict[str, bytes]:
        """Name -> bytes, of a topic's or a chapter's folder; nothing where there is no such topic or chapter any more."""
        return self._topic(folder, now) if folder.startswith("topics/") else self._chapter(folder)

    def form_ahead(self, release: Release, place: int) -> Form:
        """How much of a release the feeds will carry that lifts as the `place`-th of those to come."""
        return self._capped(self.chronicle.form_ahead(release.published_at, place))

    def _topic(self, folder: str, now: datetime) -> dict[str, bytes]:
        topic = self.chronicle.topic(folder)
        if topic is None:
            return {}
        since = now - WINDOW
        changed = {version.id for version in records.shown(self._store, start=now, changed=since)}
        newest = self.chronicle.newest(folder, at_least=self._items, since=since, also=changed)
        versions = records.versions(self._store, newest)
        feed = Feed(id=uuid5(self._feed_id, folder).urn, folder=folder, title=topic.name)
        page = self._cards("topic.html", versions, topic=topic)
        return {"index.html": page, **self._renderer.feed(feed, self._shown(versions), load=self._load)}

    def _chapter(self, folder: str) -> dict[str, bytes]:
        chapters = self.chronicle.chapters
        number = next((number for number, each in enumerate(chapters) if each.folder == folder), None)
        if number is None:
            return {}
        chapter = chapters[number]
        previous, following = [
            chapters[other] if 0 <= other < len(chapters) else None for other in (number - 1, number + 1)
        ]
        first = chapter.first
        versions = records.chapter(self._store, released_at=first.released_at, record_id=first.id, count=chapter.count)
        page = self._renderer.cards(
            "chapter.html",
            versions,
            part="line.html",
            load=self._load,
            chapter=_facts(chapter),
            previous=previous and _facts(previous),
            next=following and _facts(following),
        )
        places = [(Release.address_of(version.id), version.updated_at) for version in versions]
        sitemap = self._renderer.document("sitemap-part.xml", places=places)
        documents = {"index.html": page, "sitemap.xml": sitemap}
        if not self.chronicle.is_archived(number):
            return documents
        feed = Feed(
            id=self._feed_id.urn,
            folder=folder,
            title=chapter.title,
            archived=True,
            previous=previous.folder if previous else None,
            following=following.folder if following and not previous else None,
        )
        shown = [(version, self._capped(Form.FULL)) for version in records.newest_first(versions)]
        return documents | self._renderer.feed(feed, shown, load=self._load)

    def _cards(self, template: str, versions: Sequence[Version], **values: object) -> bytes:
        newest = versions[: self._items]
        return self._renderer.cards(template, newest, part="card.html", load=self._load, **values)

    def _load(self, record_ids: Sequence[str]) -> Iterable[Release]:
        return records.releases(self._store, record_ids)

    def _capped(self, form: Form) -> Form:
        return Form.SUMMARY if form is Form.FULL and not self._full_text else form

    def _shown(self, versions: Iterable[Version]) -> list[Shown]:
        """With the form of each: what has changed is carried in full, so that readers see what."""
        form = self.chronicle.form
        return [(each, self._capped(Form.FULL if each.changed else form(each.id))) for each in versions]


def _facts(chapter: Chapter) -> dict[str, object]:
    """What templates are told about a chapter."""
    return {"folder": chapter.folder, "title": chapter.title, "number": chapter.number, "count": chapter.count}
