"""Released records -> pages and feeds."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.parsers import expat

from scheduler.errors import RenderRefused
from scheduler.record import Release, Version
from scheduler.render import samples
from scheduler.render.feed import Feed, Form
from scheduler.render.templates import Newsroom, Own, at_home, environment, rendered, rfc3339
from scheduler.render.topics import Topic, topic

_FIXED = ("404.html", "favicon.svg", "local-time.js", "robots.txt", "style.css")
# a feed's document: the template of one item, and what stands between two
_FEEDS = {
    "rss.xml": ("rss-item.xml", b""),
    "atom.xml": ("atom-entry.xml", b""),
    "feed.json": ("feed-item.json", b","),
}
_MOST = 128 * 1024 * 1024
_ITEMS = tuple(template for template, _ in _FEEDS.values())
# Noncharacters, which no template holds: the place of the items, and that of a date which is known at the lift alone.
_MARK = "\ufdd0"
_UPDATED = "\ufdd1"
# XML 1.0 section 2.2
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_Key = tuple[str, int, datetime, datetime, bool]
_Templates = tuple[str, ...]
_Row = tuple[bytes, ...]
"""What each of some templates makes of one release."""
Shown = tuple[Version, Form]
Load = Callable[[Sequence[str]], Iterable[Release]]
"""Fetches the releases of these ids, in any order."""


@dataclass(slots=True, kw_only=True)
class _Ready:
    """What was made ready for a lift: parts without the exact date of release, and the page until it is handed out."""

    page: bytes | None
    rows: dict[tuple[Form, _Templates], _Row]

    @property
    def size(self) -> int:
        return len(self.page or b"") + sum(len(part) for row in self.rows.values() for part in row)


class Renderer:
    """Renders every document of the site; the same bytes on every machine.

    Templates are tried on samples here, so that a broken one is found at the start and not at a lift: `RenderRefused`.
    Each release's part of a document is made once and joined from then on; what was joined last is kept, up to 128 MB.
    """

    def __init__(self, *, newsroom: Newsroom, overrides: Own | None = None, hubs: Sequence[str] = ()) -> None:
        self.newsroom = newsroom
        self._environment = at_home(environment(overrides), newsroom, hubs=hubs)
        self._kept: OrderedDict[tuple[Version, Form, _Templates], _Row] = OrderedDict()
        self._size = 0
        self._ready: dict[_Key, _Ready] = {}
        self._ready_size = 0
        self.fixed()
        for form, values in samples.FORMS:
            self.document(form, **values)
        self._frames = self._sample_frames()
        for sample in samples.RELEASES:
            self.rehearse(sample)

    def page(self, release: Release) -> bytes:
        """The release's own page, for ``release.address``; of a retracted one, a notice. A warmed page is handed out once."""
        ready = self._ready.get(_key(_version(release)))
        if ready is None or ready.page is None:
            return self._page(release)
        page, ready.page = ready.page, None
        self._ready_size -= len(page)
        return page

    def feed(self, feed: Feed, shown: Sequence[Shown], *, load: Load) -> dict[str, bytes]:
        """Name in the feed's folder -> bytes, for the three formats of `feed` with these releases in this order.

        The feed states the newest ``updated_at``. Where it is empty, RSS leaves the date out and Atom, which must have one
        (RFC 4287 section 4.1.1), says 2000.
        """
        rows = self._rows(_ITEMS, shown, load)
        updated_at = max((version.updated_at for version, _ in shown), default=None)
        documents = {}
        for number, (name, (_, joint)) in enumerate(_FEEDS.items()):
            frame = self._frame(name, feed=self._facts(feed), updated_at=updated_at)
            documents[name] = _joined(frame, [row[number] for row in rows], joint)
        return documents

    def cards(self, template: str, shown: Sequence[Version], *, part: str, load: Load, **values: object) -> bytes:
        """A page that lists these releases in this order, each by the template `part`."""
        rows = self._rows((part,), [(version, Form.FULL) for version in shown], load)
        return _joined(self._frame(template, empty=not shown, **values), [row[0] for row in rows], b"")

    def document(self, template: str, **values: object) -> bytes:
        """A document that lists no releases."""
        return self._encoded(template, values)

    def fixed(self) -> dict[str, bytes]:
        """Path below the site folder -> bytes, for what does not depend on releases."""
        return {name: self._encoded(name, {}) for name in _FIXED}

    def warm(self, release: Release, form: Form) -> None:
        """Renders ahead, in memory alone, what will be asked for at the lift; what is made ready first is wanted first."""
        if self._ready_size > _MOST:
            return
        self.forget([_version(release)])
        wanted: list[tuple[Form, _Templates]] = [
            (form, _ITEMS),
            (Form.FULL, ("card.html",)),
            (Form.FULL, ("line.html",)),
        ]
        rows = {(each, templates): self._row(templates, release, each) for each, templates in wanted}
        ready = self._ready[_key(_version(release))] = _Ready(page=self._page(release), rows=rows)
        self._ready_size += ready.size

    def forget(self, versions: Iterable[Version]) -> None:
        """Drops what was made ready for lifts that are over, or will not be."""
        for version in versions:
            if ready := self._ready.pop(_key(version), None):
                self._ready_size -= ready.size

    def alone(self, release: Release) -> dict[str, bytes]:
        """The three formats of a feed of this one release."""
        return self.feed(samples.FEEDS[0], [(_version(release), Form.FULL)], load=lambda _: [release])

    def sample(self, release: Release) -> dict[str, bytes]:
        """Every kind of document with this one release, by the name of its template."""
        rows = {
            templates: _finished(self._row(templates, release, Form.FULL), release.updated_at)
            for templates in (_ITEMS, ("card.html",), ("line.html",))
        }
        parts = {part: data for templates, row in rows.items() for part, data in zip(templates, row, strict=True)}
        return {"release.html": self._page(release)} | {
            name: _joined(frame, [parts[part]], b"") for name, (part, frame) in self._frames.items()
        }

    def rehearse(self, release: Release) -> None:
        """Renders every document with this one release and checks it: `RenderRefused` if it fails or is not well-formed.

        XML parses and holds no character that XML 1.0 forbids, JSON parses. The error quotes the template, never the record.
        """
        for name, data in self.sample(release).items():
            _check(name, data)

    def _rows(self, templates: _Templates, shown: Sequence[Shown], load: Load) -> list[_Row]:
        """Each release's parts, in order. A release that has changed since it was listed is shown as it is now."""
        made: dict[str, _Row] = {}
        missing: dict[str, Shown] = {}
        for version, form in shown:
            # Taken out now: making the others may drop what is kept.
            row = self._kept.get((version, form, templates))
            if row is not None:
                self._kept.move_to_end((version, form, templates))
                made[version.id] = row
            elif (ready := self._ready.get(_key(version))) and (row := ready.rows.get((form, templates))):
                made[version.id] = self._keep((version, form, templates), _finished(row, version.updated_at))
            else:
                missing[version.id] = (version, form)
        ids = list(missing)
        for start in range(0, len(ids), 500):
            for release in load(ids[start : start + 500]):
                version, form = missing[release.id]
                row = _finished(self._row(templates, release, form), release.updated_at)
                current = _version(release)._replace(changed=version.changed)
                made[release.id] = self._keep((current, form, templates), row)
        # What is in neither is gone from the table.
        return [made[version.id] for version, _ in shown if version.id in made]

    def _keep(self, key: tuple[Version, Form, _Templates], row: _Row) -> _Row:
        self._size += sum(map(len, row)) - sum(map(len, self._kept.pop(key, ())))
        self._kept[key] = row
        while self._size > _MOST:
            self._size -= sum(map(len, self._kept.popitem(last=False)[1]))
        return row

    def _row(self, templates: _Templates, release: Release, form: Form) -> _Row:
        values = self._values(release)
        if templates == _ITEMS:
            values |= {"updated": _UPDATED, "form": form.value, "content": None}
            if form is Form.FULL:
                values["content"] = rendered(self._environment, "content.html", values)
        return tuple(self._encoded(template, values) for template in templates)

    def _page(self, release: Release) -> bytes:
        return self._encoded("release.html", self._values(release))

    def _values(self, release: Release) -> dict[str, object]:
        values: dict[str, object] = {
            "release": release,
            "tag": release.tag,
            "abstract": release.retraction or release.summary,
            "topics": [topic(name) for name in release.topics],
            "attachments": () if release.retraction else release.attachments,
        }
        values["headline"] = rendered(self._environment, "headline.txt", values).strip()
        return values

    def _facts(self, feed: Feed) -> dict[str, object]:
        """What a feed's templates are told about it."""
        name = self.newsroom.name
        return {
            "id": feed.id,
            "title": f"{name}: {feed.title}" if feed.title else name,
            "about": feed.title,
            "folder": feed.folder,
            "page": self.newsroom.link(feed.folder),
            "archived": feed.archived,
            "previous": feed.previous,
            "following": feed.following,
            "declares_hubs": not feed.folder,
        }

    def _frame(self, template: str, **values: object) -> tuple[bytes, bytes]:
        """What stands before and behind the items of a document."""
        around = self._encoded(template, {"items": _MARK, "empty": False, **values}).split(_MARK.encode())
        if len(around) != 2:
            raise RenderRefused(output=template, problem="The template must hold {{ items }} exactly once.")
        return around[0], around[1]

    def _sample_frames(self) -> dict[str, tuple[str, tuple[bytes, bytes]]]:
        """Template -> the template of its parts and its frame, after every document was tried empty, short and long."""
        here, there = Topic(name="Sample", folder="topics/sample/"), Topic(name="Other", folder="topics/other/")
        chapter = {"folder": "archive/2000-01/", "title": "January 2000", "number": 1, "count": 100}
        second = chapter | {"folder": "archive/2000-01-2/", "number": 2, "count": 1}
        months = [{"title": "January 2000", "chapters": [chapter, second]}]
        frames = {}
        for feed in samples.FEEDS:
            for name, (part, _) in _FEEDS.items():
                for updated_at in (None, samples.NEVER):
                    frame = self._frame(name, feed=self._facts(feed), updated_at=updated_at)
                    _check(name, b"".join(frame))
                    if not feed.folder:
                        frames[name] = (part, frame)
        for empty in (True, False):
            frames["index.html"] = ("card.html", self._frame("index.html", empty=empty))
            frames["topic.html"] = ("card.html", self._frame("topic.html", empty=empty, topic=here))
            for other in (None, chapter):
                values = {"chapter": chapter, "previous": other, "next": other, "empty": empty}
                frames["chapter.html"] = ("line.html", self._frame("chapter.html", **values))
        for topics in ([], [here, there]):
            self.document("topics.html", topics=topics)
            self.document("feeds.html", topics=topics)
        for some in ([], months):
            self.document("archive.html", months=some)
        for folders in ([], ["archive/2000-01/"]):
            _check("sitemap.xml", self.document("sitemap.xml", folders=folders))
        _check("sitemap-part.xml", self.document("sitemap-part.xml", places=[(samples.RELEASE.address, samples.NEVER)]))
        return frames

    def _encoded(self, name: str, values: Mapping[str, object]) -> bytes:
        try:
            return rendered(self._environment, name, values).encode()
        except UnicodeEncodeError as error:
            raise RenderRefused(output=name, problem=_forbidden(error.object[error.start])) from None


def _version(release: Release) -> Version:
    retracted = release.retraction is not None
    return Version(
        release.id, release.uuid, release.revision, release.published_at, release.updated_at, retracted=retracted
    )


def _key(version: Version) -> _Key:
    # Everything but the exact date, which is put in last, shows seconds: so what was made ready for a lift serves, though
    # nobody knows to the microsecond when it will be.
    second = version.updated_at.replace(microsecond=0)
    return version.uuid, version.revision, version.published_at, second, version.retracted


def _exact(at: datetime) -> str:
    """RFC 3339 with as many digits of the second as there are: no two entries of one lift have the same date."""
    seconds = rfc3339(at)
    return f"{seconds[:-1]}.{at.microsecond:06}".rstrip("0").rstrip(".") + "Z" if at.microsecond else seconds


def _finished(row: _Row, updated_at: datetime) -> _Row:
    exact = _exact(updated_at).encode()
    return tuple(part.replace(_UPDATED.encode(), exact) for part in row)


def _joined(frame: tuple[bytes, bytes], parts: Sequence[bytes], joint: bytes) -> bytes:
    return b"".join((frame[0], joint.join(parts), frame[1]))


def _check(name: str, data: bytes) -> None:
    if found := _FORBIDDEN.search(data.decode()):
        raise RenderRefused(output=name, problem=_forbidden(found[0]))
    try:
        if name.endswith(".xml"):
            expat.ParserCreate(namespace_separator=" ").Parse(data, True)
        elif name.endswith(".json"):
            json.loads(data)
    except (expat.ExpatError, json.JSONDecodeError) as error:
        raise RenderRefused(output=name, problem=f"The document is not well-formed: {error}.") from None


def _forbidden(character: str) -> str:
    return f"It would hold the character U+{ord(character):04X}, which no XML document may. Remove it from the text."
