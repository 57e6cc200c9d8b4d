"""What one new release costs the site.

1. A refresh with one new release among 1,000 and among 100,000 released records, of which the feed carries the same 1,000: it
   should cost what changed, not what exists (target: less than twice).
2. The three formats of a feed of 1,000 items, one of them new, against joining 1,000 ready fragments (what it can't be faster
   than) and against feedgen, which renders all of them (`pip install '.[benchmarks]'`).

    python benchmarks/feed.py [--rounds 7] [--released 1000,100000]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from scheduler.outlets.site import Site
from scheduler.pipeline.release import Projection
from scheduler.record import Release, Version
from scheduler.render import Feed, Form, Newsroom, Renderer
from scheduler.store import moves, open_store, schema

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
ROOM = Newsroom(name="Office", url="https://press.example.org/", zone="Europe/Berlin", language="en")
HTML = "<p>" + "The unemployment rate fell to 4.6 per cent in November, the lowest since 2008. " * 40 + "</p>"
FIELDS = (
    '{"topics":["labour"],"attribution":null,"contact":null,"source":null,"language":"en","moderator":null,"speakers":[],'
    '"questions":[],"correction":null,"attachments":[]}'
)


def rows(number: int, at: datetime, *, held: bool = False) -> tuple[dict[str, object], dict[str, object]]:
    """A record as intake and lift leave it."""
    record = {
        "id": f"r{number}",
        "uuid": f"u{number}",
        "tag": f"tag:example.org,2026:u{number}",
        "origin": f"/r{number}.md",
        "digest": "d",
        "state": "held" if held else "released",
        "revision": 1,
        "lift_at": at,
        "released_at": None if held else at,
        "accepted_at": at - timedelta(days=1),
        "vanished": 0,
    }
    text = {
        "record_id": f"r{number}",
        "number": 1,
        "digest": "d",
        "accepted_at": at - timedelta(days=1),
        "embargo_kind": "fixed",
        "embargo_words": "",
        "embargo_source": "metadata",
        "lift_zone": "UTC",
        "tz_version": "2026a",
        "candidates": "[]",
        "fields": FIELDS,
        "title": f"Unemployment falls, table {number}",
        "summary": "The unemployment rate fell to 4.6 per cent.",
        "text": HTML,
        "html": HTML,
    }
    return record, text


def refreshed(folder: Path, released: int, rounds: int) -> float:
    """Seconds that the site takes to show one more release; 1,000 of those that are there are of the last 48 hours."""
    store = open_store(f"sqlite:///{folder / 'site.db'}")
    recent = [NOW - timedelta(minutes=2 * number) for number in range(1000, 0, -1)]
    older = [NOW - timedelta(days=3, minutes=20 * number) for number in range(released - 1000, 0, -1)]
    at = older + recent
    for start in range(0, len(at), 2000):
        some = [rows(start + number, each) for number, each in enumerate(at[start : start + 2000])]
        with store.write() as db:
            db.execute(insert(schema.records), [record for record, _ in some])
            db.execute(insert(schema.revisions), [text for _, text in some])
    renderer = Renderer(newsroom=ROOM)
    projection = Projection(store=store, site=Site(folder / "public"), renderer=renderer, items=50)
    projection.refresh([], now=NOW)
    took = []
    for number in range(rounds):
        now = NOW + timedelta(seconds=number + 1)
        record, text = rows(len(at) + number, now, held=True)
        with store.write() as db:
            db.execute(insert(schema.records), [record])
            db.execute(insert(schema.revisions), [text])
        store.checkpoint()
        projection.warm(until=now, at_most=10)
        [lifted] = moves.release_due(store, now=now, actor="bench", default_lists=())
        began = time.perf_counter()
        projection.refresh([lifted.id], now=now, new=True)
        took.append(time.perf_counter() - began)
    store.close()
    return statistics.median(took)


def releases(count: int) -> list[Release]:
    """So many releases, one a minute."""
    return [
        Release(
            id=f"r{number}",
            uuid=f"u{number}",
            tag=f"tag:example.org,2026:u{number}",
            revision=1,
            title=f"Unemployment falls, table {number}",
            summary="The unemployment rate fell to 4.6 per cent.",
            html=HTML,
            text=HTML,
            published_at=NOW - timedelta(minutes=number),
            updated_at=NOW - timedelta(minutes=number),
            zone="UTC",
            language="en",
        )
        for number in range(count)
    ]


def timed(act: Callable[[], object], rounds: int) -> float:
    """The median time of an act, in seconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def ours(rounds: int) -> tuple[float, float]:
    """Seconds for the three formats with one new item among 1,000; and for joining the same bytes, ready made."""
    renderer = Renderer(newsroom=ROOM)
    known = {release.id: release for release in releases(1000)}
    shown = [(Version(each.id, each.uuid, 1, each.published_at, each.updated_at), Form.FULL) for each in known.values()]
    feed = Feed(id="urn:uuid:00000000-0000-4000-8000-000000000000")

    def load(ids: object) -> list[Release]:
        return [known[record_id] for record_id in ids]  # type: ignore[attr-defined]

    documents = renderer.feed(feed, shown, load=load)
    took = []
    for number in range(rounds):
        new = replace(known["r0"], id="new", uuid=f"new{number}")
        known["new"] = new
        version = Version(new.id, new.uuid, 1, new.published_at, new.updated_at)
        began = time.perf_counter()
        renderer.feed(feed, [(version, Form.FULL), *shown[:-1]], load=load)
        took.append(time.perf_counter() - began)
    fragments = [
        [data[start : start + len(data) // 1000] for start in range(0, len(data), len(data) // 1000)]
        for data in documents.values()
    ]
    joining = timed(lambda: [b"".join(each) for each in fragments], rounds)
    return statistics.median(took), joining


def feedgens(rounds: int) -> float | None:
    """Seconds that feedgen takes for RSS and Atom of 1,000 items; it has no JSON Feed. ``None`` where it isn't installed."""
    try:
        from feedgen.feed import FeedGenerator  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    generator = FeedGenerator()
    generator.id("urn:uuid:1")
    generator.title("Office")
    generator.description("Press releases")
    generator.link(href="https://press.example.org/rss.xml", rel="self")
    for release in releases(1000):
        entry = generator.add_entry()
        entry.id(release.tag)
        entry.title(release.title)
        entry.link(href=f"https://press.example.org/{release.address}")
        entry.published(release.published_at)
        entry.updated(release.updated_at)
        entry.summary(release.summary)
        entry.content(release.html, type="CDATA")
    return timed(lambda: (generator.rss_str(), generator.atom_str()), min(rounds, 3))


def main() -> None:
    """Prints the figures and their ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--released", default="1000,100000")
    chosen = options.parse_args()
    first = None
    for released in map(int, chosen.released.split(",")):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            took = refreshed(Path(folder), released, chosen.rounds)
        first = first or took
        print(
            f"one new among {released:>7} released: refresh {took * 1000:7.1f} ms, {took / first:.2f} times the first"
        )
    mine, joining = ours(chosen.rounds)
    print(
        f"three formats of 1,000 items, one new: {mine * 1000:.1f} ms, {mine / joining:.1f} times joining ready fragments"
    )
    theirs = feedgens(chosen.rounds)
    if theirs is None:
        print("feedgen is not installed: pip install '.[benchmarks]'")
    else:
        print(f"feedgen, two formats: {theirs * 1000:.1f} ms, {theirs / mine:.0f} times ours")


if __name__ == "__main__":
    main()
