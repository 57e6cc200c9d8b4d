"""Released records -> pages and feeds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit
from xml.parsers import expat

from scheduler.errors import RenderRefused
from scheduler.record import Question, Release
from scheduler.render.templates import environment, rendered

# document: the template of one item, and what stands between two
_ITEMS = {
    "index.html": ("card.html", b""),
    "rss.xml": ("rss-item.xml", b""),
    "atom.xml": ("atom-entry.xml", b""),
    "feed.json": ("feed-item.json", b","),
}
_FIXED = ("404.html", "favicon.svg", "feeds.html", "robots.txt", "style.css")
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)
_KEPT = 10_000
# Stands for the items while a document is rendered around them: a noncharacter, which no template holds.
_MARK = "\ufdd0"
# XML 1.0 section 2.2
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_Key = tuple[str, int, datetime, datetime, str | None]

_SAMPLE = Release(
    id="sample",
    uuid="00000000-0000-4000-8000-000000000000",
    tag="tag:press.example.org,2026:00000000-0000-4000-8000-000000000000",
    revision=1,
    title="Sample",
    summary="Sample.",
    html="<p>Sample.</p>",
    text="Sample.",
    published_at=_NEVER,
    updated_at=_NEVER,
    zone="UTC",
    language="en",
)
_SAMPLES = (
    _SAMPLE,
    replace(
        _SAMPLE,
        language="ar",
        topics=("one", "two"),
        attribution="Sample",
        contact="press@example.org",
        source="https://www.example.org/",
        moderator="Sample",
        speakers=("Sample",),
        questions=(Question(), Question(asker="Sample", outlet="Sample"), Question(outlet="Sample")),
        correction="Sample.",
    ),
    replace(_SAMPLE, retraction="Sample."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Newsroom:
    """Who speaks: `url` is absolute and ends in ``/``, `zone` an IANA key, `language` a BCP 47 tag."""

    name: str
    url: str
    zone: str
    language: str

    @property
    def domain(self) -> str:
        """The host of `url` as a DNS name in ASCII; ``localhost`` for an IPv6 address, which a ``tag:`` URI can't hold."""
        host = urlsplit(self.url).hostname or "localhost"
        return "localhost" if ":" in host else host.encode("idna").decode()


class Renderer:
    """Renders every document of the site; the same bytes on every machine.

    Templates are tried on samples here, so that a broken one is found at the start and not at a lift: `RenderRefused`.
    Each release's part of a document is made once and joined from then on. What is kept: the parts of the releases that the
    documents last carried, and what `warm` was given since (at most 10,000).
    """

    def __init__(self, *, newsroom: Newsroom, overrides: Path | None = None) -> None:
        self._newsroom = newsroom
        self._environment = environment(overrides)
        self._environment.globals |= {"newsroom": newsroom, "url": self._url, "path": self._path}
        self._carried: dict[_Key, tuple[bytes, ...]] = {}
        self._warmed: dict[_Key, tuple[bytes, ...]] = {}
        self._pages: dict[_Key, bytes] = {}
        self.fixed()
        self._joined([], _NEVER)
        for sample in _SAMPLES:
            self.rehearse(sample)

    def page(self, release: Release) -> bytes:
        """The release's own page, for ``release.address``; of a retracted one, a notice. A warmed page is handed out once."""
        key = _key(release)
        return self._pages.pop(key) if key in self._pages else self._page(release)

    def documents(self, releases: Sequence[Release], *, updated_at: datetime | None = None) -> dict[str, bytes]:
        """Path below the site folder -> bytes, for front page and feeds; `releases` are newest first.

        The feeds state the newest ``updated_at`` of `releases` and `updated_at`. Where there is neither, RSS leaves the date out
        and Atom, which must have one even when empty (RFC 4287 section 4.1.1), says 2000.
        """
        carried: dict[_Key, tuple[bytes, ...]] = {}
        for release in releases:
            key = _key(release)
            carried[key] = self._carried.get(key) or self._warmed.get(key) or self._items(release)
            self._warmed.pop(key, ())
        self._carried = carried
        dates = [release.updated_at for release in releases]
        return self._joined(list(carried.values()), max([*dates, updated_at] if updated_at else dates, default=None))

    def fixed(self) -> dict[str, bytes]:
        """Path below the site folder -> bytes, for what does not depend on releases."""
        return {name: self._encoded(name) for name in _FIXED}

    def warm(self, release: Release) -> None:
        """Renders ahead, in memory alone, what `page` and `documents` will be asked for at the lift."""
        key = _key(release)
        self._warmed[key] = self._items(release)
        self._pages[key] = self._page(release)
        if len(self._warmed) > _KEPT:
            del self._warmed[next(iter(self._warmed))]
        if len(self._pages) > _KEPT:
            del self._pages[next(iter(self._pages))]

    def rehearse(self, release: Release) -> None:
        """Renders every document with this one release and checks it: `RenderRefused` if it fails or is not well-formed.

        XML parses and holds no character that XML 1.0 forbids, JSON parses. The error quotes the template, never the record.
        """
        for name, data in {"release.html": self._page(release), **self._joined([self._items(release)], _NEVER)}.items():
            if found := _FORBIDDEN.search(data.decode()):
                raise RenderRefused(output=name, problem=_forbidden(found[0]))
            try:
                if name.endswith(".xml"):
                    expat.ParserCreate(namespace_separator=" ").Parse(data, True)
                elif name.endswith(".json"):
                    json.loads(data)
            except (expat.ExpatError, json.JSONDecodeError) as error:
                raise RenderRefused(output=name, problem=f"The document is not well-formed: {error}.") from None

    def _page(self, release: Release) -> bytes:
        return self._encoded("release.html", **self._values(release))

    def _items(self, release: Release) -> tuple[bytes, ...]:
        values = self._values(release)
        values["content"] = rendered(self._environment, "content.html", values)
        return tuple(self._encoded(template, **values) for template, _ in _ITEMS.values())

    def _values(self, release: Release) -> dict[str, object]:
        values: dict[str, object] = {
            "release": release,
            "tag": release.tag,
            "abstract": release.retraction or release.summary,
        }
        values["headline"] = rendered(self._environment, "headline.txt", values).strip()
        return values

    def _joined(self, items: Sequence[tuple[bytes, ...]], updated_at: datetime | None) -> dict[str, bytes]:
        documents = {}
        columns = zip(*items, strict=True) if items else [()] * len(_ITEMS)
        for (name, (_, joint)), column in zip(_ITEMS.items(), columns, strict=True):
            around = self._encoded(name, items=_MARK, empty=not items, updated_at=updated_at).split(_MARK.encode())
            if len(around) != 2:
                raise RenderRefused(output=name, problem="The template must hold {{ items }} exactly once.")
            parts = list(column) or [b""]
            parts[0] = around[0] + parts[0]
            parts[-1] += around[1]
            documents[name] = joint.join(parts)
        return documents

    def _encoded(self, name: str, **values: object) -> bytes:
        try:
            return rendered(self._environment, name, values).encode()
        except UnicodeEncodeError as error:
            raise RenderRefused(output=name, problem=_forbidden(error.object[error.start])) from None

    def _url(self, path: str) -> str:
        return self._newsroom.url + quote(path)

    def _path(self, path: str) -> str:
        return urlsplit(self._newsroom.url).path + quote(path)


def _key(release: Release) -> _Key:
    return release.uuid, release.revision, release.published_at, release.updated_at, release.retraction


def _forbidden(character: str) -> str:
    return f"It would hold the character U+{ord(character):04X}, which no XML document may. Remove it from the text."
