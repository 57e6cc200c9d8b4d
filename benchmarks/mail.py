"""How many mails a second leave, beside bare aiosmtplib and smtp-source; and how long an audience takes to be written down.

    python benchmarks/mail.py [--rounds 3] [--mails 10000] [--freeze 1000000]

All go into postfix's smtp-sink on loopback over eight connections, and are the same mail of some 20 kB: (a) bare aiosmtplib with
prepared bytes, (b) postfix's smtp-source, (c) our way out for mail alone, (d) `embargo worker --once` with its durable ledger on
SQLite, (e) two such workers on one ledger. A round is each of them once, in turn; medians, read the ratios. (a) and (c) are
timed in their process, (d) and (e) by the ledger, from the first mails it wrote down as sent to the last; the audience is
frozen before.

Then an audience is read from a CSV file and frozen, while another process writes to the same database again and again, as a
lift would: how long both take, how long that writer waited for the database, and how much memory the freezing process took.

smtp-sink and smtp-source come with postfix (Debian: `apt-get install postfix`); nothing has to be configured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiosmtplib

from scheduler import clock, config
from scheduler.outlets.mail import transport
from scheduler.parts import build
from scheduler.pipeline.audience import Audiences
from scheduler.store import Store, meta, moves, open_store

CONNECTIONS = 8
SENDER, RECIPIENT = "press@example.org", "reader@example.org"
SETTINGS = """\
newsroom: {{name: Example Press Office, url: "http://127.0.0.1:8080/", timezone: UTC, language: en}}
records:
  - folder: records/
database: sqlite:///embargo.db
site: {{folder: public/}}
mail:
  from: Example Press Office <press@example.org>
  transport: {transport}
  connections: {connections}
  lists: {{press: {{name: Press list, file: press.csv, default: true}}}}
"""
PARAGRAPH = "The unemployment rate fell to 4.6 per cent in November, the lowest since the survey began. " * 6
RECORD = "---\ntitle: Unemployment falls\nembargo: none\nid: jobs\n---\n" + f"{PARAGRAPH}\n\n" * 14


def tool(name: str) -> str:
    """The full path of one of postfix's programs."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name} is not there. It comes with postfix: apt-get install postfix")
    return found


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """A server that takes mails and throws them away; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    with subprocess.Popen([tool("smtp-sink"), *user, f"127.0.0.1:{port}", "128"]) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield port
        finally:
            server.terminate()


def newsroom(folder: Path, *, way: str, readers: int) -> Path:
    """A newsroom with one released record and a list of so many readers; gives its settings."""
    (folder / "records").mkdir(mode=0o700)
    (folder / "records" / "jobs.md").write_text(RECORD)
    with (folder / "press.csv").open("w") as file:
        file.write("email,name\n")
        file.writelines(f"reader{n}@list{n % 50}.example.org,Reader {n}\n" for n in range(readers))
    settings = folder / "config.yaml"
    settings.write_text(SETTINGS.format(transport=way, connections=CONNECTIONS))
    embargo("add", "records/jobs.md", folder=folder)
    with opened(settings) as store:
        assert moves.release_due(store, now=clock.system(), actor="benchmark", default_lists=("press",))
    return settings


def embargo(*words: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", *words], check=False, cwd=folder, capture_output=True, env=OURS
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())


@contextlib.contextmanager
def opened(settings: Path) -> Iterator[Store]:
    store = open_store(config.read(settings).database)
    try:
        yield store
    finally:
        store.close()


def freeze(settings: Path) -> tuple[float, float, float]:
    """Reads the list and writes the audience down; when that began, was in the middle and ended, by the steady clock."""
    lists = build(config.read(settings)).lists
    with opened(settings) as store:
        audiences = Audiences(store=store, lists=lists, clock=clock.system)
        start = time.perf_counter()
        audiences.read()
        read = time.perf_counter()
        audiences.freeze()
        return start, read, time.perf_counter()


def sample() -> bytes:
    """The mail, as a worker makes it for one reader."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        settings = newsroom(Path(name), way="maildir:mail", readers=1)
        embargo("worker", "--once", folder=settings.parent)
        [mail] = (settings.parent / "mail" / "new").iterdir()
        return mail.read_bytes().split(b"\n", 2)[2].replace(b"\n", b"\r\n")


async def bare(message: bytes, port: int, mails: int) -> None:
    """Way (a)."""

    async def one() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="localhost")
        await client.connect()
        for _ in range(mails // CONNECTIONS):
            await client.sendmail(SENDER, [RECIPIENT], message)
        await client.quit()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def ours(message: bytes, port: int, mails: int) -> None:
    """Way (c)."""
    out = transport(f"smtp://127.0.0.1:{port}", base=Path(), connections=CONNECTIONS)

    async def one() -> None:
        for _ in range(mails // CONNECTIONS):
            await out.send(message=message, sender=SENDER, recipient=RECIPIENT)

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    await out.close()


PARTS = {"bare": bare, "ours": ours}


def alone(part: str, message: Path, mails: int) -> float:
    """Mails a second, in a process of its own."""
    with sink() as port:
        words = [sys.executable, __file__, "--part", part, "--port", str(port), "--mails", str(mails), "--message"]
        told = subprocess.run([*words, message], check=True, capture_output=True, env=OURS)
    return float(told.stdout)


def source(size: int, mails: int) -> float:
    """Mails a second by smtp-source."""
    with sink() as port:
        start = time.perf_counter()
        words = ["-d", "-s", str(CONNECTIONS), "-m", str(mails), "-l", str(size), "-f", SENDER, "-t", RECIPIENT]
        subprocess.run([tool("smtp-source"), *words, f"127.0.0.1:{port}"], check=True)
        return mails / (time.perf_counter() - start)


def workers(count: int, mails: int) -> float:
    """Mails a second by so many workers on one ledger."""
    with tempfile.TemporaryDirectory(dir=".") as name, sink() as port:
        settings = newsroom(Path(name), way=f"smtp://127.0.0.1:{port}", readers=mails)
        freeze(settings)
        words = [sys.executable, "-m", "scheduler", "worker", "--once"]
        running = [subprocess.Popen(words, cwd=name, env=OURS, stderr=subprocess.DEVNULL) for _ in range(count)]
        for each in running:
            assert each.wait() == 0
        with contextlib.closing(sqlite3.connect(f"{name}/embargo.db")) as db:
            sent, first, last = db.execute(
                "SELECT count(*), min(settled_at), max(settled_at) FROM deliveries WHERE state = 'sent'"
            ).fetchone()
            assert sent == mails
            [after] = db.execute("SELECT count(*) FROM deliveries WHERE settled_at > ?", (first,)).fetchone()
        return after / ((last - first) / 1e6)


def frozen(readers: int) -> None:
    """Prints what freezing an audience takes, and what it costs whoever else writes."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        settings = newsroom(Path(name), way="maildir:mail", readers=readers)
        words = [sys.executable, __file__, "--part", "freeze", "--message", settings]
        with opened(settings) as store, subprocess.Popen(words, stdout=subprocess.PIPE, env=OURS) as other:
            waits = []
            while other.poll() is None:
                start = time.perf_counter()
                with store.write() as db:
                    waits.append((start, time.perf_counter() - start))
                    meta.put(db, "benchmark", "written")
                time.sleep(0.02)
            assert other.stdout is not None
            began, listed, ended, memory = map(float, other.stdout.read().split())
    print(
        f"an audience of {readers:,}, {memory:.0f} MB of memory at the most; how long another writer waited meanwhile:"
    )
    for what, first, last in (("read from its file", began, listed), ("frozen", listed, ended)):
        each = sorted(wait * 1000 for at, wait in waits if first <= at <= last) or [0.0]
        print(
            f"{what:<20} {last - first:>6.1f} s   median {statistics.median(each):.1f} ms, 99 of 100 below "
            f"{each[int(len(each) * 0.99)]:.1f} ms, all {len(each)} below {each[-1]:.1f} ms"
        )
    print("(target: frozen in less than 20 s)")


def part(given: argparse.Namespace) -> None:
    """What runs in a process of its own; prints its figures."""
    if given.part == "freeze":
        print(*freeze(given.message), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    message = given.message.read_bytes()
    start = time.perf_counter()
    asyncio.run(PARTS[given.part](message, given.port, given.mails))
    print(given.mails / (time.perf_counter() - start))


OURS = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def main() -> None:
    """Prints a line for each way of sending, and one for the audience."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--mails", type=int, default=10_000, help="a round; 0: none")
    options.add_argument("--freeze", type=int, default=1_000_000, help="readers; 0: none")
    for hidden, kind in (("--part", str), ("--port", int), ("--message", Path)):
        options.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.part:
        part(given)
        return
    if given.mails:
        compare(given.rounds, given.mails // CONNECTIONS * CONNECTIONS)
    if given.freeze:
        frozen(given.freeze)


def compare(rounds: int, mails: int) -> None:
    """Prints mails a second for each way of sending."""
    with tempfile.NamedTemporaryFile(dir=".", suffix=".eml") as file:
        message = sample()
        file.write(message)
        file.flush()
        ways = {
            "(a) bare aiosmtplib": partial(alone, "bare", Path(file.name), mails),
            "(b) smtp-source": partial(source, len(message), mails),
            "(c) our way out alone": partial(alone, "ours", Path(file.name), mails),
            "(d) a worker, its ledger": partial(workers, 1, mails),
            "(e) two workers": partial(workers, 2, mails),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                rates[way].append(run())
    print(f"{mails:,} mails of {len(message):,} bytes over {CONNECTIONS} connections, medians of {rounds}")
    middle = {way: statistics.median(found) for way, found in rates.items()}
    base = middle["(a) bare aiosmtplib"]
    targets = {"(c)": "at least 2", "(d)": "at least 0.85", "(e)": "more than (d)"}
    for way, rate in middle.items():
        target = f"   (target: {targets[way[:3]]})" if way[:3] in targets else ""
        print(f"{way:<26} {rate:>8,.0f} /s   {rate / base:>5.2f} of (a){target}")


if __name__ == "__main__":
    main()
