"""Which ASGI server carries the site: granian or uvicorn, with nginx as the limit.

    python benchmarks/web_servers.py [--seconds 5] [--rounds 3]

Every server serves the same folder; granian and uvicorn run the same application, with one worker. wrk asks with 64
connections for a feed of about 58 kB: once so that the answer is 304, once so that it is 200 in gzip. Prints the median
requests/s, its ratio to nginx (or to the best, without nginx), the processes and their resident memory. Needs wrk; uvicorn
is tried with httptools and h11, where they are installed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

from scheduler.web.app import Site

CONNECTIONS = 64
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
WORDS = [
    "the",
    "of",
    "and",
    "release",
    "economy",
    "bank",
    "rate",
    "growth",
    "minister",
    "press",
    "office",
    "agreement",
    "trade",
    "border",
    "region",
    "energy",
]


def create() -> Site:
    """The application under test, as the servers load it."""
    return Site(Path(os.environ["SITE"]), now=lambda: int(time.time()))


def feed() -> bytes:
    """A feed of 50 items, about 58 kB, about 9 kB in gzip; always the same."""
    chance = random.Random(1)
    items = (
        f"<item><guid isPermaLink='false'>tag:example.org,2026:{chance.getrandbits(64):x}</guid>"
        f"<title>{' '.join(chance.choices(WORDS, k=8))}</title>"
        f"<description>{' '.join(chance.choices(WORDS, k=150))}</description></item>"
        for _ in range(50)
    )
    return f"<rss version='2.0'><channel>{''.join(items)}</channel></rss>".encode()


def commands(folder: Path, port: int, nginx: str | None) -> dict[str, list[str]]:
    """The servers that can be had here, each with its command line."""
    uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "web_servers:create", "--port", str(port)]
    uvicorn += [
        "--log-level",
        "error",
        "--no-access-log",
        "--lifespan",
        "off",
        "--loop",
        "asyncio",
        "--backlog",
        "1024",
    ]
    found = {}
    if nginx:
        (folder.parent / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; pid {folder.parent}/nginx.pid; error_log stderr crit;\n"
            "events { worker_connections 512; }\n"
            "http { access_log off; gzip_static on; open_file_cache off; types { application/rss+xml xml; }\n"
            f"{''.join(f'  {kind}_temp_path {folder.parent}/{kind};' for kind in TEMPORARY)}\n"
            f"  server {{ listen 127.0.0.1:{port}; root {folder}; keepalive_requests 100000000; }} }}\n"
        )
        found["nginx static"] = [
            nginx,
            "-e",
            "stderr",
            "-p",
            str(folder.parent),
            "-c",
            str(folder.parent / "nginx.conf"),
        ]
    if importlib.util.find_spec("granian"):
        found["granian"] = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "web_servers:create"]
        found["granian"] += ["--port", str(port), "--no-ws", "--log-level", "error", "--loop", "asyncio", "--http", "1"]
    for parser in ("httptools", "h11"):
        if importlib.util.find_spec("uvicorn") and importlib.util.find_spec(parser):
            found[f"uvicorn {parser}"] = [*uvicorn, "--http", parser]
    return found


def ask(port: int, **headers: str) -> tuple[int, dict[str, str]]:
    """One GET of the feed: status and header fields."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/rss.xml", headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def ready(port: int) -> None:
    """Wait, ten seconds at most, until the port answers."""
    end = time.monotonic() + 10
    while True:
        try:
            ask(port)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def wrk(port: int, seconds: int, **headers: str) -> float:
    """Requests a second."""
    fields = [part for name, value in headers.items() for part in ("-H", f"{name.replace('_', '-')}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *fields, f"http://127.0.0.1:{port}/rss.xml"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        print(said)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def family(pid: int) -> list[int]:
    """A process and all below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in below for each in family(int(child)))]


def resident(pid: int) -> int:
    """Resident memory in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


def round_of(command: list[str], folder: Path, port: int, seconds: int) -> dict[str, float]:
    """Start one server, measure it, stop it."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "SITE": str(folder), "PYTHONPATH": paths}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ready(port)
        _, plain = ask(port)
        status, _ = ask(port, **{"If-None-Match": plain.get("etag") or plain["ETag"]})
        packed_status, packed = ask(port, **{"Accept-Encoding": "gzip"})
        coding = packed.get("content-encoding") or packed.get("Content-Encoding")
        assert (status, packed_status, coding) == (304, 200, "gzip"), (status, packed_status, packed)
        figures = {
            "304": wrk(port, seconds, If_None_Match=plain.get("etag") or plain["ETag"]),
            "gzip 200": wrk(port, seconds, Accept_Encoding="gzip"),
        }
        pids = family(server.pid)
        figures["processes"] = len(pids)
        figures["MB"] = sum(map(resident, pids))
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        figures["stop s"] = time.monotonic() - begun
    finally:
        server.kill()
        server.wait()
    return figures


def main() -> None:
    """Measure every server in turn, several rounds, and print medians."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--nginx", default=shutil.which("nginx"), help="path of nginx, if it is not on PATH")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "site")
        folder.mkdir()
        folder.chmod(0o755)
        Path(scratch).chmod(0o755)
        folder.joinpath("rss.xml").write_bytes(feed())
        folder.joinpath("rss.xml.gz").write_bytes(gzip.compress(feed(), 6))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        found = commands(folder, port, chosen.nginx)
        rounds = {name: [] for name in found}
        for _ in range(chosen.rounds):
            for name, command in found.items():
                rounds[name].append(round_of(command, folder, port, chosen.seconds))
    medians = {
        name: {key: statistics.median(one[key] for one in ran) for key in ran[0]} for name, ran in rounds.items()
    }
    limit = medians.get("nginx static") or {
        key: max(one[key] for one in medians.values()) for key in ("304", "gzip 200")
    }
    print(
        f"feed {len(feed())} bytes, {len(gzip.compress(feed(), 6))} in gzip; {CONNECTIONS} connections, {chosen.rounds} rounds"
    )
    print(f"{'server':20}{'304/s':>9}{'ratio':>7}{'gzip 200/s':>12}{'ratio':>7}{'processes':>11}{'MB':>6}{'stop s':>8}")
    for name, got in medians.items():
        ratios = [got[key] / limit[key] for key in ("304", "gzip 200")]
        print(
            f"{name:20}{got['304']:9.0f}{ratios[0]:7.2f}{got['gzip 200']:12.0f}{ratios[1]:7.2f}"
            f"{got['processes']:11.0f}{got['MB']:6.0f}{got['stop s']:8.2f}"
        )


if __name__ == "__main__":
    main()
