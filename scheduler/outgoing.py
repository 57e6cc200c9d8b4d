"""HTTP requests to addresses that others name: to public ones alone, and never for longer than was said.

An address in the settings or in a feed must not lead into the house (SSRF): the name is looked up once, every address it gives
is judged, and the connection goes to the very address that was found good. No redirect is followed, and no proxy of the
environment is used.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from scheduler import __version__
from scheduler.errors import RequestFailed

_PORTS = {"http": 80, "https": 443}
_AGENT = f"Embargo/{__version__}"
# RFC 3986 section 2: what an address is written in.
_WRITTEN = re.compile(r"https?://[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.IGNORECASE)
_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that has been given out for the public net; mapped, site-local, unique local and the like lie outside."""
_NAT64 = IPv6Network("64:ff9b::/96")
# Python's own lists miss these, or do in some of its versions. The last three are tunnels: Teredo (2001::/32 within) and 6to4
# carry an IPv4 address inside, the relays of 6to4 have the third, and no public server lives behind one (RFC 7526).
_NOT_PUBLIC = [ip_network(each) for each in ("192.0.0.0/24", "3fff::/20", "2001::/23", "2002::/16", "192.88.99.0/24")]

_Found = tuple[Any, Any, int, str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` is what was read of it, `whole` whether that is all: not cut by size, time or a broken line."""

    status: int
    headers: Message
    body: bytes
    whole: bool

    @property
    def retry_after(self) -> timedelta | None:
        """How long we are asked to wait (RFC 9110 section 10.2.3). A date is taken by the sender's own clock."""
        text = self.headers.get("Retry-After", "").strip()
        try:
            if re.fullmatch("[0-9]{1,9}", text):
                return timedelta(seconds=int(text))
            wait = parsedate_to_datetime(text) - parsedate_to_datetime(self.headers.get("Date", ""))
        except (ValueError, TypeError):  # no date, or one with a zone and one without
            return None
        return max(wait, timedelta())


def parse(url: str) -> SplitResult:
    """The parts of a complete http or https address without user, password and fragment. Raises `RequestFailed`."""
    try:
        parts = urlsplit(url)
        good = bool(_WRITTEN.fullmatch(url) and parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise RequestFailed(
            "This is no complete web address. Write it as https://www.example.org/, without user, password and `#`.",
            final=True,
        )
    return parts


def is_public(address: str) -> bool:
    """Whether an IP address leads to the public net, also where it is an IPv4 address inside an IPv6 one."""
    ip: IPv4Address | IPv6Address | None = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            ip = IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip not in _UNICAST:
            ip = ip.ipv4_mapped
    return ip is not None and ip.is_global and not ip.is_multicast and not any(ip in net for net in _NOT_PUBLIC)


def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10.0,
    limit: int = 64 * 1024,
    allow_private: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Sends one request and reads the answer, which may be a redirect. Raises `RequestFailed`.

    All of it, the look-up included, ends after `seconds`; of the answer's body at most `limit` bytes are read. With
    `allow_private` any address is good. `tls` is for a test's own certificates.
    """
    deadline = time.monotonic() + seconds
    parts = parse(url)
    # Named alone: path and query may hold a secret.
    place = f"{parts.scheme}://{parts.netloc}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with _connect(parts, deadline, allow_private=allow_private, tls=tls) as sock:
            connection = HTTPConnection(parts.netloc)
            connection.sock = sock
            sock.settimeout(_left(deadline))
            connection.request(
                method,
                target,
                body,
                {"Host": parts.netloc, "Connection": "close", "User-Agent": _AGENT, **(headers or {})},
            )
            response = HTTPResponse(_Timed(sock, deadline), method=method)  # type: ignore[arg-type]  # all it needs of a socket
            response.begin()
            found, whole = _read(response, limit)
            return Answer(status=response.status, headers=response.headers, body=found, whole=whole)
    except TimeoutError:
        raise RequestFailed(f"{place} did not answer within {seconds:g} s.") from None
    except ssl.SSLCertVerificationError as error:
        raise RequestFailed(f"{place} shows no good certificate: {error.verify_message}.") from None
    except socket.gaierror as error:
        raise RequestFailed(f"{place}: the name can't be found: {error.strerror}.") from None
    except UnicodeError:
        raise RequestFailed(f"{place}: this can't be a name. Correct the address.", final=True) from None
    except OSError as error:
        raise RequestFailed(f"{place} can't be reached: {error.strerror or error}.") from None
    except HTTPException as error:
        raise RequestFailed(f"{place} gave an answer that is not HTTP ({type(error).__name__}).") from None


def _read(response: HTTPResponse, limit: int) -> tuple[bytes, bool]:
    try:
        found = response.read(limit + 1)
    except (OSError, HTTPException):
        return b"", False  # the status is known, which may be all that was wanted
    return found[:limit], len(found) <= limit and not response.length


def _connect(parts: SplitResult, deadline: float, *, allow_private: bool, tls: ssl.SSLContext | None) -> socket.socket:
    assert parts.hostname is not None
    found = _look_up(parts.hostname, parts.port or _PORTS[parts.scheme], deadline)
    good = [each for each in found if allow_private or is_public(each[4][0])]
    if not good:
        raise RequestFailed(
            f"{parts.scheme}://{parts.netloc} leads to {found[0][4][0]}, which is no public address. Write another address, "
            "or `allow_private: true` where it is meant.",
            final=True,
        )
    sock = _first_that_answers(good, deadline)
    if parts.scheme == "http":
        return sock
    sock.settimeout(_left(deadline))
    return (tls or _tls()).wrap_socket(sock, server_hostname=parts.hostname)


def _look_up(host: str, port: int, deadline: float) -> list[_Found]:
    # In a thread that is left behind when it takes too long: the system's resolver can't be told how long it may.
    answer: Future[list[_Found]] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            answer.set_exception(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return answer.result(_left(deadline))


def _first_that_answers(found: list[_Found], deadline: float) -> socket.socket:
    problem: OSError = TimeoutError()
    for number, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(deadline) / (len(found) - number))  # so that a silent one leaves time for the next
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # once: reading all authorities takes its time


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed(RawIOBase):
    """The reading half of a socket, all of whose waits together end at one deadline: who drips bytes gains no time."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)
