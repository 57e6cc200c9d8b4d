"""Hostile clients against the built-in web server: nothing falls over, nothing outside the folder is read."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import socket
import time
from pathlib import Path

import pytest
from web_kit import get, put, raw, running, target, undated

from scheduler.web.serve import HEADER_FOR

RSS = b"<rss version='2.0'><channel>" + b"<item>The minister opens the bridge.</item>" * 1000 + b"</channel></rss>"
NONE = b"<!doctype html><title>Nothing here</title>"
SECRET = b"held until tomorrow"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    put(home / "public/rss.xml", RSS)
    put(home / "public/404.html", NONE)
    put(home / "public/topics/l\u00e1bor/index.html", b"<p>Labour.</p>")
    put(home / "secret.html", SECRET)
    put(home / "public/.held.html", SECRET)
    (home / "public/out.html").symlink_to(home / "secret.html")
    (home / "public/up").symlink_to(home)
    os.mkfifo(home / "public/pipe.html")
    return home / "public"


@pytest.fixture(scope="module")
def port(site):
    with running(site) as (_, found):
        yield found


def worker(pid: int) -> int:
    """The process that answers."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def resident(pid: int) -> int:
    """Megabytes of memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


@pytest.mark.parametrize(
    "path",
    [
        # Up, in every spelling.
        b"/../secret.html",
        b"/%2e%2e/secret.html",
        b"/.%2e/secret.html",
        b"/%2E%2E%2Fsecret.html",
        b"/%252e%252e/secret.html",
        b"/topics/../../secret.html",
        b"/topics/..;/secret.html",
        b"/....//secret.html",
        b"/..%5csecret.html",
        b"/..%255csecret.html",
        b"/up/secret.html",
        b"/up/public/rss.xml",
        b"/out.html",
        # Overlong and broken UTF-8 for dot, slash and backslash.
        b"/%c0%ae%c0%ae/secret.html",
        b"/%c0%ae%c0%ae%c0%afsecret.html",
        b"/%e0%80%ae%e0%80%ae/secret.html",
        b"/..%c0%afsecret.html",
        b"/..%c1%9csecret.html",
        b"/%ef%bc%8e%ef%bc%8e/secret.html",
        b"/%ed%a0%80",
        b"/%f4%90%80%80",
        # NUL and other control characters.
        b"/rss.xml%00",
        b"/rss.xml%00.html",
        b"/%00/rss.xml",
        b"/rss.xml%0d%0aX:%20y",
        b"/topics%0d%0aSet-Cookie:a=b",
        b"/%7f",
        # Hidden, special, not a file.
        b"/.held.html",
        b"/%2eheld.html",
        b"/topics/.%2e/.held.html",
        b"/pipe.html",
        b"/proc/self/environ",
        b"//proc/self/environ",
        b"/file:///proc/self/environ",
        # More than one way to say an address: each file has one.
        b"//rss.xml",
        b"/./rss.xml",
        b"/rss.xml/.",
        b"/rss.xml/",
        b"/topics//l%C3%A1bor/",
        b"/RSS.XML",
        b"/rss.xml%20",
        b"/rss.xml;a=b",
        b"/rss.xml%3Fa",
        # Absolute form (RFC 9112 3.2.2), with a path that is none.
        b"http://x/../secret.html",
        b"http://x//rss.xml",
        b"http://secret.html/",
        b"file:///etc/passwd",
    ],
)
def test_no_address_reads_anything_but_a_page(port, path):
    """Whatever the spelling, an address that is no page's gets the one answer for all of them, or is refused as no request."""
    answer = target(port, path)
    assert SECRET not in answer
    if not answer.startswith(b"HTTP/1.1 400 "):
        assert undated(answer) == undated(target(port, b"/nowhere"))


def test_a_page_is_found_in_every_lawful_spelling(port):
    """Absolute form, any host, percent codes in either case, a query: all lead to the same bytes."""
    wanted = undated(target(port, b"/rss.xml"))
    for path in (
        b"http://x/rss.xml",
        b"HTTP://other.example:81/rss.xml?",
        b"/%72ss.xml",
        b"/rss%2exml",
        b"/rss.xml?../../x",
    ):
        assert undated(target(port, path)) == wanted
    assert target(port, b"/topics/l%C3%A1bor/").endswith(b"<p>Labour.</p>")
    assert target(port, b"/topics/l%c3%a1bor/").endswith(b"<p>Labour.</p>")


@pytest.mark.parametrize(
    "method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND", b"get", b"X-ODD!"]
)
def test_unknown_methods_are_refused(port, method):
    """Any method but GET and HEAD is refused with the two that are allowed; nothing of the request comes back."""
    answer = target(port, b"/rss.xml", method)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: GET, HEAD\r\n" in answer
    assert method not in answer.split(b"\r\n\r\n", 1)[1]


def test_nobody_is_connected_through(port):
    """The server is no proxy: CONNECT, and an asterisk for a path, lead nowhere."""
    assert not target(port, b"x:80", b"CONNECT").startswith(b"HTTP/1.1 2")
    assert not target(port, b"*", b"OPTIONS").startswith(b"HTTP/1.1 2")


def test_pipelined_requests_are_answered_in_their_order(port):
    """Requests sent at one go, with bodies and without, are each answered, in order, and none is taken for another."""
    asked = [
        b"GET /rss.xml HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
        b"HEAD /rss.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        b"POST /rss.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /topics/ HTTP/1.1\r\nHost: x\r\n",
        b"GET /topics/l%C3%A1bor/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ]
    asked[2] = asked[2].replace(b"30", b"%d" % len(asked[2].split(b"\r\n\r\n", 1)[1]))
    answer = raw(port, b"".join(asked))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"304", b"200", b"405", b"200", b"404"]
    assert answer.endswith(NONE)
    assert b"The minister" not in answer


def test_a_hundred_pipelined_feeds_come_whole(port):
    """A client that asks a hundred times before it reads gets a hundred feeds."""
    one = b"GET /rss.xml HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(port, one * 99 + one.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert answer.count(RSS) == 100


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /rss.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /rss.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"GET /rss.xml HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /rss.xml HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET  /rss.xml HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /rss.xml\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /rss.xml HTTP/1.1\r\nHost: x\r\nX\x00: y\r\n\r\n",
        bytes(range(256)) * 10,
    ],
)
def test_a_request_that_is_none_harms_nobody(port, request_):
    """What can be read in two ways, or in none, is refused or cut off, and the next reader notices nothing."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=HEADER_FOR + 10)
    with contextlib.closing(connection), contextlib.suppress(ConnectionError):
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.count(b"HTTP/1.1 200") <= 1
    assert get(port)[0] == 200


def test_a_body_nobody_asked_for_is_not_taken_in(site):
    """Gigabytes sent along with a request are never held: the memory stays where it was."""
    with running(site) as (process, port):
        get(port)
        before = resident(worker(process.pid))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"POST /rss.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000000\r\n\r\n")
            with contextlib.suppress(OSError):  # it may well be cut off
                connection.settimeout(1)
                for _ in range(100):
                    connection.sendall(bytes(1 << 20))
            assert resident(worker(process.pid)) < before + 50
        assert get(port)[0] == 200


def test_thousands_of_idle_connections_leave_room_for_readers(site):
    """Three thousand clients that say nothing, or little, keep no reader waiting, and are all let go after a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    count = min(3000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    with running(site) as (_, port), contextlib.ExitStack() as idle:
        said = [b"", b"GET /rss", b"GET /rss.xml HTTP/1.1\r\nHost: x\r\n"]
        crowd = []
        for number in range(count):
            connection = idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(said[number % 3])
            crowd.append(connection)
            if number % 300 == 0:
                assert get(port)[0] == 200
        begun = time.monotonic()
        for _ in range(20):
            assert get(port)[2] == RSS
        assert time.monotonic() - begun < 10
        for connection in crowd:
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1000)[:12] in {b"", b"HTTP/1.1 408", b"HTTP/1.1 400"}
        assert get(port)[0] == 200


def test_readers_who_do_not_read_hold_little(tmp_path):
    """A hundred clients that ask for a large attachment and read nothing of it hold a fraction of it each."""
    size = 20 << 20
    put(tmp_path / "film.mp4", os.urandom(1 << 20) * 20)
    with running(tmp_path) as (process, port), contextlib.ExitStack() as slow:
        assert len(get(port, "/film.mp4")[2]) == size
        before = resident(worker(process.pid))
        for _ in range(100):
            connection = slow.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /film.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert select.select([connection], [], [], 10)[0]
        assert len(get(port, "/film.mp4")[2]) == size
        assert resident(worker(process.pid)) < before + 100 * 2  # MB
