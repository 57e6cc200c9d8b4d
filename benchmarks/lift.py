"""How long from the lift to a feed that carries it, beside the bare UPDATE … RETURNING and commit of as many rows.

    python benchmarks/lift.py [--rounds 5] [--sizes 1,1000,10000] [--held 20000]

Each round, in one process and on one disk: a bare SQLite table of as many held rows is lifted by one statement and committed
(WAL, synchronous=FULL); then the same number of real records, with a body of 4 kB and made ready in memory as the service
does in the seconds before a lift, is released by the service's own lifter, store and site. All times are from the instant:
to the wake, to the commit (mail owed and trail included), and until every page, RSS, Atom, JSON Feed and the front page stand
in the site folder. Medians; read the ratios.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from scheduler import clock, shipped
from scheduler.daemon.lifter import Lifter
from scheduler.outlets.site import Site
from scheduler.pipeline.release import Projection
from scheduler.render import Newsroom, Renderer
from scheduler.store import moves, open_store, schema
from scheduler.store import records as questions

BODY = "The unemployment rate fell to 4.6 per cent in November, the lowest since the survey began. " * 44
HTML = f"<p>{BODY}</p>"


def bare(folder: Path, due: int, held: int) -> float:
    """Seconds for the bare UPDATE … RETURNING and commit of `due` rows among `held`."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -32000")
    db.execute(
        "CREATE TABLE r (id TEXT PRIMARY KEY, state TEXT, lift_at INTEGER, released_at INTEGER, revision INTEGER)"
    )
    db.execute("CREATE INDEX h ON r (lift_at) WHERE state = 'held'")
    db.execute("BEGIN")
    rows = [(f"r{number}", "held", 1 if number < due else 2, None, 1) for number in range(due + held)]
    db.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?)", rows)
    db.execute("COMMIT")
    start = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "UPDATE r SET state = 'released', released_at = 9 WHERE state = 'held' AND lift_at <= 1 RETURNING id, revision"
    ).fetchall()
    db.execute("COMMIT")
    taken = time.perf_counter() - start
    db.close()
    return taken


def records(first: int, count: int, lift_at: datetime) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows as intake would have stored them."""
    rows, texts = [], []
    for number in range(first, first + count):
        rows.append(
            {
                "id": f"r{number}",
                "uuid": f"u{number}",
                "tag": f"tag:example.org,2026:u{number}",
                "origin": f"/r{number}.md",
                "digest": "d",
                "state": "held",
                "revision": 1,
                "lift_at": lift_at,
                "accepted_at": lift_at - timedelta(days=1),
                "vanished": 0,
            }
        )
        texts.append(
            {
                "record_id": f"r{number}",
                "number": 1,
                "digest": "d",
                "accepted_at": lift_at - timedelta(days=1),
                "embargo_kind": "fixed",
                "embargo_words": "",
                "embargo_source": "metadata",
                "lift_zone": "UTC",
                "tz_version": "2026a",
                "candidates": "[]",
                "fields": '{"topics":[],"attribution":null,"contact":null,"source":null,"language":"en","moderator":null,'
                '"speakers":[],"questions":[],"correction":null}',
                "title": f"Unemployment falls, table {number}",
                "summary": BODY[:400],
                "text": BODY,
                "html": HTML,
            }
        )
    return rows, texts


def lifted(folder: Path, due: int, held: int) -> tuple[float, float, float]:
    """Seconds from the instant: to the lifter's wake, to the commit, to a site that shows all."""
    store = open_store(f"sqlite:///{folder / 'real.db'}")
    renderer = Renderer(newsroom=Newsroom(name="Office", url="https://press.example.org/", zone="UTC", language="en"))
    projection = Projection(store=store, site=Site(folder / "public"), renderer=renderer, items=50)
    projection.rebuild(now=clock.system())
    lift_at = datetime.now(UTC) + timedelta(seconds=2 + due * 0.003)
    for first, count, at in ((0, due, lift_at), (due, held, lift_at + timedelta(days=1))):
        for start in range(first, first + count, 1000):
            rows, texts = records(start, min(1000, first + count - start), at)
            with store.write() as db:
                db.execute(insert(schema.records), rows)
                db.execute(insert(schema.revisions), texts)
    store.checkpoint()
    marks: list[float] = []
    done = threading.Event()

    def wake() -> None:
        marks.append(time.time())
        ids = [
            each.id for each in moves.release_due(store, now=clock.system(), actor="bench", default_lists=("press",))
        ]
        marks.append(time.time())
        projection.refresh(ids, now=clock.system(), new=True)
        marks.append(time.time())
        assert len(ids) == due
        done.set()

    lifter = Lifter(
        clock=clock.system,
        next_lift=lambda: questions.next_lift(store),
        warm=lambda until, at_most: projection.warm(until=until, at_most=at_most),
        wake=wake,
        fail=done.set,
    )
    lifter.start()
    done.wait()
    lifter.stop()
    feed = (folder / "public" / "rss.xml").read_bytes()
    assert feed.count(b"<item>") == due
    store.close()
    wakened, committed, shown = (mark - lift_at.timestamp() for mark in marks)
    return wakened, committed, shown


def main() -> None:
    """Prints a line a size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--sizes", default="1,1000,10000")
    options.add_argument("--held", type=int, default=20_000)
    chosen = options.parse_args()
    assert shipped("templates").is_dir()
    print(f"{'due':>6} {'bare update':>12} {'wake':>8} {'committed':>10} {'visible':>9}   visible / bare")
    for due in map(int, chosen.sizes.split(",")):
        figures = []
        for _ in range(chosen.rounds):
            with tempfile.TemporaryDirectory(dir=".") as name:
                folder = Path(name)
                figures.append((bare(folder, due, chosen.held), *lifted(folder, due, chosen.held)))
        base, wakened, committed, shown = (statistics.median(column) * 1000 for column in zip(*figures, strict=True))
        ratio = shown / base
        print(f"{due:>6} {base:>9.2f} ms {wakened:>5.2f} ms {committed:>7.1f} ms {shown:>6.1f} ms   {ratio:.1f}")


if __name__ == "__main__":
    main()
