"""The port on which a monitor asks how the service is; loopback only, and read only."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from scheduler.clock import Clock
from scheduler.log import failure
from scheduler.monitor.look import Snapshot, troubles
from scheduler.monitor.metrics import expose

_CLIENTS = 16
_FRESH_FOR = 1.0
_SHARE = 20
_PATIENCE = 2.0
HANGS = "Looking at the service takes too long: does a disk hang? `dmesg` may say."


class Watch:
    """The newest look, shared by all who ask: taken at most once a second, and for a twentieth of the time at most.

    `look` takes it at the instant it is given.
    """

    def __init__(self, look: Callable[..., Snapshot], *, clock: Clock, disk: int, tolerance: float = 0.5) -> None:
        self._look = look
        self._clock = clock
        self.disk = disk
        self.tolerance = tolerance
        self._lock = threading.Lock()
        self._fresh_until = 0.0
        self._seen: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """The look. It comes within seconds, and says so where the look itself hangs or fails."""
        if not self._lock.acquire(timeout=_PATIENCE):
            return self.blind(HANGS)
        try:
            if self._seen is None or time.monotonic() >= self._fresh_until:
                worked = time.thread_time()
                try:
                    self._seen = self._look(now=self._clock())
                except Exception:  # noqa: BLE001 - whoever asks gets an answer, and the log has the reason
                    failure("look_failed")
                    self._seen = self.blind("Looking at the service failed; the log has the reason.")
                worked = time.thread_time() - worked
                self._fresh_until = time.monotonic() + max(_FRESH_FOR, _SHARE * worked)
            return self._seen
        finally:
            self._lock.release()

    def blind(self, problem: str) -> Snapshot:
        """A look that shows nothing but this."""
        return Snapshot(at=self._clock(), problem=problem)


def not_healthy(seen: Snapshot) -> list[str]:
    """Why the service does not work, a sentence each: to start it anew may help."""
    found = [seen.problem] if seen.problem is not None else []
    if seen.silent:
        age = (
            "there is none"
            if seen.beat_age is None
            else f"the last is {seen.beat_age / timedelta(seconds=1):.0f} s old"
        )
        found.append(f"The service's heartbeat is not fresh: {age}.")
    if seen.overdue_for is not None and not (seen.doubts or seen.fenced):
        found.append(f"Records are still held though their lift has come: {seen.due}.")
    return found


def not_ready(seen: Snapshot) -> list[str]:
    """Why the next record would not lift on its instant, or not as the settings want it, a sentence each."""
    found = not_healthy(seen)
    if seen.fenced:
        found.append(f"The database is fenced: {' '.join(seen.fenced)}")
    if seen.vitals is None or not seen.alive:
        return found
    if not seen.vitals.ready:
        found.append("The service has not finished starting.")
    if seen.doubts:
        found.append(f"The clock is in doubt: {', '.join(seen.doubts)}.")
    elif not seen.armed and not seen.fenced and seen.problem is None:
        found.append("The alarm is not set for the next lift.")
    if seen.vitals.config_problems:
        found.append("An edit of the settings is refused; the old ones run on.")
    return found


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    server: Server
    timeout = 5
    server_version, sys_version = "embargo", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(message)s\n"
    _probes: ClassVar[dict[str, Callable[[Snapshot], list[str]]]] = {"/healthz": not_healthy, "/readyz": not_ready}

    def do_GET(self) -> None:
        if not self._is_for_us():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Ask by a loopback address.")
            return
        path = urlsplit(self.path).path
        if path == "/metrics":
            seen = self.server.watch.snapshot()
            watch = self.server.watch
            wrong = troubles(seen, disk=watch.disk, tolerance=watch.tolerance)
            self._answer(HTTPStatus.OK, *expose(seen, wrong, accept=self.headers.get("Accept", "")))
        elif path in self._probes:
            why = self._probes[path](self.server.watch.snapshot())
            status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
            self._answer(status, "".join(f"{line}\n" for line in why or ["ok"]).encode(), self.error_content_type)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "There are /metrics, /healthz and /readyz.")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _is_for_us(self) -> bool:
        """A page in a browser on this machine can reach a port by a name that leads here, but not by its number."""
        with suppress(ValueError):
            host = urlsplit(f"//{self.headers.get('Host', 'localhost')}").hostname or ""
            return host == "localhost" or bool(ip_address(host))
        return False

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Who asks is not logged."""


class Server(ThreadingHTTPServer):
    """Answers in a thread for each client. Of too many the one that was here first is cut off: the slow keep nobody out."""

    daemon_threads = True
    request_queue_size = 64
    allow_reuse_port = False  # two servers would answer in turn

    def __init__(self, host: str, port: int, watch: Watch) -> None:
        self.watch = watch
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)
        threading.Thread(target=self.serve_forever, name="monitor", daemon=True).start()

    def server_bind(self) -> None:
        """Without asking for the name of our own address: that may hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # of IP they are these

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._clients.append(request)
            if len(self._clients) > _CLIENTS:
                with suppress(OSError):
                    self._clients.pop(0).shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock, suppress(ValueError):
            self._clients.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - http.server's interface
        """A client that breaks off is no event; anything else is a bug."""
        if not isinstance(sys.exception(), OSError):
            failure("request_failed")

    def stop(self) -> None:
        """Takes no more requests."""
        self.shutdown()
        self.server_close()
