"""Several machines on one PostgreSQL: the lift beside the bare UPDATE, the next lift among many, and the ledger by more workers.

    python benchmarks/cluster.py [--rounds 3] [--due 10000] [--held 1000000] [--mails 100000]

Needs the extra `test`, which brings a PostgreSQL server (its own here, with fsync on), and postfix's smtp-sink for the mails.

The lift: so many records are due at one instant, among 10,000 that are held, for one and for three `embargo run`. Measured is
from the instant until another session sees all of them released, which is when they are durable; beside it the bare UPDATE …
RETURNING and commit of as many rows of the same table by one session. The next lift: what the alarm asks for, among 10,000 and
among `--held` records. The ledger: a released record is owed to so many readers; their audience is written down, then one, two
and four `embargo worker --once` empty the ledger into a sink that counts. All processes share this machine: more daemons and
workers than it has cores show what sharing costs, not what more machines bring. Medians; read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import insert

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from lift import records as rows_of  # noqa: E402 - it lies beside this file
from mail import OURS, embargo, freeze, sink  # noqa: E402
from postgres_kit import Server  # noqa: E402 - it lies beside the tests

from scheduler import clock  # noqa: E402
from scheduler.store import Store, moves, open_store, records, schema  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = 10_000
ASKS = 200
SETTINGS = """\
newsroom: {{name: Example Press Office, url: "http://127.0.0.1:8080/", timezone: UTC, language: en}}
records: [{{folder: records/}}]
database: {database}
site: {{folder: public/}}
mail:
  from: Example Press Office <press@example.org>
  transport: {transport}
  lists: {{press: {{name: Press list, file: press.csv, default: true}}}}
"""
BARE = "UPDATE records SET state = 'released', released_at = %s WHERE state = 'held' AND lift_at <= %s RETURNING id, revision"
HELD = """
INSERT INTO records (id, uuid, tag, origin, digest, state, revision, lift_at, accepted_at, vanished)
SELECT 'h' || n, 'h' || n, 'h' || n, '/h' || n, 'd', 'held', 1, 4102444800000000 + n, 1, 0
FROM generate_series(%s::int, %s::int) n
"""


@contextmanager
def server() -> Iterator[Server]:
    """A server that has on the disk what it says that it has."""
    made = Server(fsync="on", shared_buffers="512MB").make()
    try:
        yield made
    finally:
        made.remove()


def fill(url: str, first: int, last: int) -> None:
    """Records that are held for long."""
    with psycopg.connect(url) as db:
        db.execute(HELD, (first, last))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
        db.execute("CHECKPOINT")


def due(store: Store, count: int, at: datetime) -> None:
    """Records that lift at one instant, as intake would have stored them."""
    for start in range(0, count, 1000):
        rows, texts = rows_of(start, min(1000, count - start), at)
        with store.write() as db:
            db.execute(insert(schema.records), rows)
            db.execute(insert(schema.revisions), texts)


def bare(server: Server, count: int) -> float:
    """Seconds for the bare statement and its commit."""
    url = server.new()
    store = open_store(url)
    due(store, count, datetime.now(UTC))
    store.close()
    fill(url, 1, FEW)
    now = schema.micros(datetime.now(UTC))
    with psycopg.connect(url) as db:
        start = time.perf_counter()
        rows = db.execute(BARE, (now, now)).fetchall()
        db.commit()
        taken = time.perf_counter() - start
    assert len(rows) == count
    return taken


def newsroom(folder: Path, url: str, transport: str, readers: int = 1) -> Path:
    """A newsroom on the server; its settings."""
    folder.mkdir()
    (folder / "records").mkdir(mode=0o700)
    with (folder / "press.csv").open("w") as file:
        file.write("email\n")
        file.writelines(f"reader{n}@list{n % 50}.example.org\n" for n in range(readers))
    settings = folder / "config.yaml"
    settings.write_text(SETTINGS.format(database=url, transport=transport))
    return settings


def lifted(server: Server, count: int, daemons: int) -> float:
    """Seconds from the instant until all are durable, by so many daemons."""
    url = server.new()
    with tempfile.TemporaryDirectory(dir=".") as name, ExitStack() as running:
        store = open_store(url)
        at = datetime.now(UTC) + timedelta(seconds=30 + count * 0.003 * daemons)
        due(store, count, at)
        store.close()
        fill(url, 1, FEW)
        for number in range(daemons):
            folder = newsroom(Path(name) / str(number), url, "maildir:mail").parent
            words = [sys.executable, "-m", "scheduler", "run"]
            process = running.enter_context(
                subprocess.Popen(words, cwd=folder, env=OURS, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            )
            running.callback(process.terminate)
        with psycopg.connect(url, autocommit=True) as db:
            time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
            while db.execute(
                "SELECT 1 FROM records WHERE state = 'held' AND lift_at <= %s LIMIT 1", (schema.micros(at),)
            ).fetchone():
                time.sleep(0.002)
            taken = (datetime.now(UTC) - at).total_seconds()
            [(early, most)] = db.execute(
                "SELECT count(*) FILTER (WHERE released_at < lift_at), count(*) FROM records WHERE state = 'released'"
            ).fetchall()
        assert (early, most) == (0, count)
    return taken


def asked(server: Server, held: int) -> tuple[float, float]:
    """Seconds for the next lift, among few and among many."""
    url = server.new()
    store = open_store(url)
    found = []
    for first, last in ((1, FEW), (FEW + 1, held)):
        fill(url, first, last)
        times = []
        for _ in range(ASKS):
            start = time.perf_counter()
            records.next_lift(store)
            times.append(time.perf_counter() - start)
        found.append(statistics.median(times))
    store.close()
    return found[0], found[1]


def drained(server: Server, mails: int, workers: int) -> float:
    """Mails a second by so many workers on one ledger, from the first that was written down to the last."""
    url = server.new()
    with tempfile.TemporaryDirectory(dir=".") as name, sink() as port:
        settings = newsroom(Path(name) / "office", url, f"smtp://127.0.0.1:{port}", mails)
        (settings.parent / "records" / "jobs.md").write_text("---\ntitle: Jobs\nembargo: none\nid: jobs\n---\nFewer.\n")
        embargo("add", "records/jobs.md", folder=settings.parent)
        store = open_store(url)
        moves.release_due(store, now=clock.system(), actor="benchmark", default_lists=("press",))
        store.close()
        freeze(settings)
        words = [sys.executable, "-m", "scheduler", "worker", "--once"]
        running = [
            subprocess.Popen(words, cwd=settings.parent, env=OURS, stderr=subprocess.DEVNULL) for _ in range(workers)
        ]
        assert [each.wait() for each in running] == [0] * workers
        with psycopg.connect(url) as db:
            [(sent, first, last)] = db.execute(
                "SELECT count(*), min(settled_at), max(settled_at) FROM deliveries WHERE state = 'sent'"
            ).fetchall()
    assert sent == mails, f"{sent} of {mails} are sent"
    return mails / ((last - first) / 1e6)


def main() -> None:
    """Prints a line a figure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--due", type=int, default=10_000, help="records; 0: none")
    options.add_argument("--held", type=int, default=1_000_000, help="records; 0: none")
    options.add_argument("--mails", type=int, default=100_000, help="readers; 0: none")
    given = options.parse_args()
    with server() as one:
        if given.due:
            ways = {"the bare UPDATE": lambda: bare(one, given.due)}
            ways |= {f"{count} of embargo run": lambda count=count: lifted(one, given.due, count) for count in (1, 3)}
            taken = {way: [run() for _ in range(given.rounds)] for way, run in ways.items()}
            base = statistics.median(taken["the bare UPDATE"])
            print(
                f"{given.due:,} records due at once, until all are durable (target: 1.5 times the bare UPDATE at most)"
            )
            for way, found in taken.items():
                middle = statistics.median(found)
                print(f"  {way:<20} {middle * 1000:>9.1f} ms   {middle / base:>5.2f}", flush=True)
        if given.held:
            few, many = asked(one, given.held)
            print(f"the next lift among {FEW:,} and {given.held:,} held (target: twice at most)")
            print(f"  {few * 1000:.2f} ms, {many * 1000:.2f} ms   {many / few:.2f}", flush=True)
        if given.mails:
            print(f"{given.mails:,} mails into a sink, a second")
            base = 0.0
            for count in (1, 2, 4):
                rate = drained(one, given.mails, count)
                base = base or rate
                print(f"  {count} of embargo worker   {rate:>8,.0f}   {rate / base:.2f}", flush=True)


if __name__ == "__main__":
    main()
