"""The web server, asked from outside: a process of its own, on a free loopback port."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_kit import ROOT, bindable, command, free_port, get, listening, put, raw, running, target, undated, until

from scheduler.web.app import FEEDS
from scheduler.web.files import inside
from scheduler.web.negotiate import codings, outcome, seconds
from scheduler.web.serve import DRAIN_FOR, HEADER_FOR, _Server

OLD = 1_700_000_000
RSS = b"<rss version='2.0'><channel>" + b"<item>The minister opens the bridge.</item>" * 1000 + b"</channel></rss>"
PAGES = {
    "index.html": b"<!doctype html><title>Newsroom</title>" + b"<p>News.</p>" * 50,
    "404.html": b"<!doctype html><title>Nothing here</title>" + b"<p>Go to the front page.</p>" * 20,
    "rss.xml": RSS,
    "atom.xml": b"<feed xmlns='http://www.w3.org/2005/Atom'/>",
    "feed.json": b"{}",
    "style.css": b"body { margin: 0 }",
    "favicon.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "local-time.js": b"'use strict';",
    "photo.jpg": b"\xff\xd8",
    "releases/bridge/plan.pdf": b"%PDF-1.7",
    "robots.txt": b"User-agent: *\n",
    "releases/bridge.html": b"<!doctype html><title>Bridge</title>",
    "archive/index.html": b"<!doctype html><title>Archive</title>",
    ".secret": b"held",
    "releases/.draft.html": b"held",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("web") / "public"
    for name, data in PAGES.items():
        put(made / name, data, at=OLD)
    (made.parent / "outside.html").write_bytes(b"held")
    (made / "link.html").symlink_to(made.parent / "outside.html")
    (made / "linked").symlink_to(made.parent)
    return made


@pytest.fixture(scope="module")
def port(folder):
    with running(folder) as (_, found):
        yield found


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("/", "text/html; charset=utf-8", "index.html"),
        ("/archive/", "text/html; charset=utf-8", "archive/index.html"),
        ("/releases/bridge.html", "text/html; charset=utf-8", "releases/bridge.html"),
        ("/rss.xml", "application/rss+xml; charset=utf-8", "rss.xml"),
        ("/rss.xml?from=reader", "application/rss+xml; charset=utf-8", "rss.xml"),
        ("/atom.xml", "application/atom+xml; charset=utf-8", "atom.xml"),
        ("/feed.json", "application/feed+json; charset=utf-8", "feed.json"),
        ("/style.css", "text/css; charset=utf-8", "style.css"),
        ("/favicon.svg", "image/svg+xml; charset=utf-8", "favicon.svg"),
        ("/robots.txt", "text/plain; charset=utf-8", "robots.txt"),
        ("/local-time.js", "text/javascript; charset=utf-8", "local-time.js"),
        ("/photo.jpg", "image/jpeg", "photo.jpg"),
        ("/releases/bridge/plan.pdf", "application/pdf", "releases/bridge/plan.pdf"),
    ],
)
def test_every_file_of_the_site_comes_with_its_media_type(port, path, kind, name):
    """Every page and feed is served whole, with the media type readers look for, and guarded against being framed or sniffed."""
    status, fields, body = get(port, path)
    assert (status, fields["content-type"], body) == (200, kind, PAGES[name])
    assert fields["content-length"] == str(len(body))
    policy = fields.get("content-security-policy", "")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") is ("charset" in kind)
    assert ("access-control-allow-origin" in fields) is (name in {"rss.xml", "atom.xml", "feed.json"})
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["referrer-policy"] == "no-referrer"
    assert fields["server"] == "embargo"


def test_head_answers_as_get_without_a_body(port):
    """HEAD answers with the header fields of GET and no body."""
    for path in ("/rss.xml", "/nowhere"):
        _, fields, _ = get(port, path, Accept_Encoding="gzip")
        status, same, body = get(port, path, "HEAD", Accept_Encoding="gzip")
        assert ({**same, "date": ""}, body) == ({**fields, "date": ""}, b"")
        assert status == (200 if path == "/rss.xml" else 404)


def test_held_withdrawn_and_unknown_addresses_cannot_be_told_apart(tmp_path):
    """A held, a withdrawn and a never used address answer with the same bytes and the same header fields."""
    site = tmp_path / "public"
    with running(site) as (_, port):
        for _ in range(2):
            put(site / "releases/withdrawn.html", b"<p>Gone soon.</p>")
            assert get(port, "/releases/withdrawn.html")[0] == 200
            (site / "releases/withdrawn.html").unlink()
            (site / "releases/.held.html.new").write_bytes(b"held")
            paths = [
                b"/releases/withdrawn.html",
                b"/releases/held.html",
                b"/releases/never.html",
                b"/releases",
                b"/releases/",
            ]
            answers = {undated(target(port, path)) for path in paths}
            assert len(answers) == 1
            assert answers.pop().startswith(b"HTTP/1.1 404 ")
            put(site / "404.html", PAGES["404.html"])
        status, fields, body = get(port, "/releases/held.html", If_None_Match="*")
        assert (status, body) == (404, PAGES["404.html"])
        assert not {"etag", "last-modified"} & fields.keys()


@pytest.mark.parametrize(
    "path",
    [
        b"/../outside.html",
        b"/%2e%2e/outside.html",
        b"/releases/../../outside.html",
        b"/releases/..%2f..%2foutside.html",
        b"/..%5coutside.html",
        b"/..\\outside.html",
        b"/./rss.xml",
        b"//rss.xml",
        b"/releases//bridge.html",
        b"//etc/passwd",
        b"/rss.xml/",
        b"/rss.xml%00.html",
        b"/rss.xml%0a",
        b"/%ff%fe",
        b"/%",
        b"/%zz",
        b"/" + b"a" * 300,
        b"/" + b"a/" * 3000,
        b"/link.html",
        b"/linked/outside.html",
        b"/linked/public/rss.xml",
        b"/.secret",
        b"/%2esecret",
        b"/releases/.draft.html",
        b"/releases",
        b"/releases/",
        b"/etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_site(port, path):
    """No trick with dots, slashes, codes, links or lengths reaches a byte outside the site's own pages."""
    answer = target(port, path)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"\r\n\r\n" + PAGES["404.html"])


@given(st.text(alphabet=st.sampled_from("/.\\a\x00\n\ud800é%") | st.characters(), max_size=30))
def test_every_path_stands_for_a_name_inside_or_for_none(path):
    """Whatever the path, the file it stands for lies below the site folder and is not hidden."""
    name = inside(path)
    if name is not None:
        assert os.path.normpath(f"/site/{name}") == f"/site/{name}"
        assert not any(part.startswith(".") for part in name.split("/"))


@given(st.text(), st.text())
def test_no_header_field_confuses_the_server(first, second):
    """Whatever stands in a header field, a reader gets the file, a 304 or a 412."""
    asked = {"if-match": first, "if-none-match": second, "if-modified-since": first, "if-unmodified-since": second}
    assert set(codings(first)) <= {"br", "gzip", "identity"}
    for leave in asked:
        kept = {name: value for name, value in asked.items() if name != leave}
        assert outcome(kept, tag='"a"', modified=OLD) in {
            HTTPStatus.OK,
            HTTPStatus.NOT_MODIFIED,
            HTTPStatus.PRECONDITION_FAILED,
        }


@given(st.integers(0, 4_000_000_000))
def test_dates_are_read_as_they_are_written(moment):
    """A date that the server gave out is understood to the second when it comes back."""
    assert seconds(formatdate(moment, usegmt=True)) == moment


def test_a_folder_without_its_slash_leads_to_its_page(tmp_path):
    """A topic's address without its last slash leads to the topic; a folder without a page is as unknown as any address."""
    site = tmp_path / "public"
    put(site / "topics/arbeit: löhne/index.html", b"<p>Labour.</p>")
    put(site / "releases/bridge/plan.pdf", b"%PDF-1.7")
    with running(site) as (_, port):
        path = b"/topics/arbeit%3A%20l%C3%B6hne"
        status, fields, _ = get(port, path.decode())
        assert (status, fields["location"]) == (301, "arbeit%3A%20l%C3%B6hne/")
        assert get(port, urljoin(path.decode(), fields["location"]))[2] == b"<p>Labour.</p>"
        assert get(port, path.decode(), "HEAD")[0] == 301
        nothing = undated(target(port, b"/nowhere"))
        for path in (
            b"/topics",
            b"/topics/",
            b"/releases",
            b"/releases/bridge",
            b"/releases/bridge/",
            b"/releases/held",
        ):
            assert undated(target(port, path)) == nothing
        (site / "topics/arbeit: löhne/index.html").unlink()
        assert undated(target(port, b"/topics/arbeit%3A%20l%C3%B6hne")) == nothing


def test_no_feed_address_redirects(tmp_path):
    """A feed's address answers with the feed or with nothing, never with another address."""
    for name in ("rss.xml", "topics/labour/rss.xml", "archive/2026-12/rss.xml"):
        put(tmp_path / name, RSS)
    (tmp_path / "feed.json").mkdir()
    with running(tmp_path) as (_, port):
        for path in ("/rss.xml", "/topics/labour/rss.xml", "/archive/2026-12/rss.xml"):
            assert get(port, path)[0] == 200
            assert get(port, f"{path}/")[0] == get(port, f"/{path}")[0] == 404
        assert get(port, "/feed.json")[0] == 404


HUBS = ("https://hub.example.org/", "https://hub.example.net/push?for=us")


def test_feeds_name_themselves_and_their_hubs(tmp_path):
    """Every feed says in a Link field where it is, and the three at the top which hubs hear of a change (WebSub, section 4)."""
    url = "https://news.example.org/press/"
    top = {name: f'<{url}{name}>; rel="self", <{HUBS[0]}>; rel="hub", <{HUBS[1]}>; rel="hub"' for name in FEEDS}
    deep = {
        "topics/lábor & cía/rss.xml": f'<{url}topics/l%C3%A1bor%20%26%20c%C3%ADa/rss.xml>; rel="self"',
        "archive/2026-12/feed.json": f'<{url}archive/2026-12/feed.json>; rel="self"',
    }
    for name in [*top, *deep, "index.html", "sitemap.xml", "releases/rss.xml.html"]:
        put(tmp_path / name, RSS)
    with running(tmp_path, url, *HUBS) as (_, port):
        for name, link in {**top, **deep}.items():
            path = "/" + quote(name)
            status, fields, _ = get(port, f"{path}?from=reader")
            assert (status, fields["link"]) == (200, link)
            assert get(port, path, "HEAD")[1]["link"] == link
            status, fields, _ = get(port, path, If_None_Match=fields["etag"], Accept_Encoding="identity")
            assert (status, fields["link"]) == (304, link)
        for path in ("/", "/sitemap.xml", "/releases/rss.xml.html", "/nowhere/rss.xml"):
            assert "link" not in get(port, path)[1]
    with running(tmp_path) as (_, port):
        assert "link" not in get(port)[1]


def test_trouble_with_the_disk_is_a_503_and_one_line_in_the_log(tmp_path):
    """When files can't be read, readers are asked to come back in a few seconds; the log says so once, not for every request."""
    put(tmp_path / "rss.xml", RSS)
    put(tmp_path / "index.html", b"<p>News.</p>")
    with running(tmp_path, stderr=subprocess.PIPE) as (process, port):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)

        def asked(path: str):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

        assert asked("/rss.xml")[0] == 200
        worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        open_ = {int(entry.name) for entry in Path(f"/proc/{worker}/fd").iterdir()}
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (min(set(range(1000)) - open_), before[1]))
        for path in ("/", "/", "/nowhere/secret", "/"):
            status, fields, body = asked(path)
            if path == "/":
                assert (status, fields["retry-after"], fields["content-length"]) == (503, "5", str(len(body)))
                assert fields["cache-control"] == "max-age=0, must-revalidate"
        assert asked("/rss.xml")[2] == RSS  # what is known is served all the while
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        assert asked("/")[2] == b"<p>News.</p>"
        connection.close()
        process.terminate()
        with process.stderr as log:
            lines = log.read().decode().splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"\S+T\S+\+00:00 error site_unreadable error=\"Too many open files\"", lines[0])


def test_only_reading_is_allowed(port):
    """Nothing can be written over HTTP: any other method is refused with the two that are allowed."""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, fields, _ = get(port, "/rss.xml", method)
        assert (status, fields["allow"]) == (405, "GET, HEAD")


def test_freshness_is_the_same_short_constant_for_everything(port):
    """Every answer carries the same freshness, and nothing may be shown from a cache unasked, so that a lift is seen at once."""
    answers = [get(port), get(port, "/"), get(port, "/nowhere"), get(port, If_None_Match="*"), get(port, method="POST")]
    assert {fields["cache-control"] for _, fields, _ in answers} == {"max-age=0, must-revalidate"}


def test_a_renamed_file_shows_at_once(tmp_path):
    """A feed that was replaced is what the very next request gets, plain and in gzip, under a new entity tag."""
    tags = set()
    with running(tmp_path) as (_, port):
        for version in range(100):
            put(tmp_path / "rss.xml", data := b"<rss>%04d%b</rss>" % (version, b" " * 500))
            _, fields, body = get(port)
            assert body == data
            assert gzip.decompress(get(port, Accept_Encoding="gzip")[2]) == data
            tags.add(fields["etag"])
    assert len(tags) == 100


def test_no_crowd_is_shown_what_was_replaced_before_it_asked(tmp_path):
    """However many ask at once, nobody who asks after a change gets what was there before it."""
    put(tmp_path / "rss.xml", b"0")
    newest, done = [0], threading.Event()

    def poll(port: int) -> int:
        asked = 0
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            while not done.is_set():
                known = newest[0]
                connection.request("GET", "/rss.xml")
                assert int(connection.getresponse().read()) >= known
                asked += 1
        return asked

    with running(tmp_path) as (_, port), ThreadPoolExecutor(16) as readers:
        polls = [readers.submit(poll, port) for _ in range(16)]
        for version in range(1, 500):
            put(tmp_path / "rss.xml", b"%d" % version)
            newest[0] = version
        done.set()
        assert all(one.result() for one in polls)


def test_a_date_alone_never_hides_a_change(tmp_path):
    """A reader that sends only If-Modified-Since sees every change, even where several fall into one second."""
    moved = []
    with running(tmp_path) as (_, port):
        put(tmp_path / "rss.xml", b"0")
        for version in range(1, 300):
            _, fields, _ = get(port)
            put(tmp_path / "rss.xml", b"%d" % version)
            for date in (fields["last-modified"], fields["date"]):
                assert get(port, If_Modified_Since=date)[::2] == (200, b"%d" % version)
            assert seconds(fields["last-modified"]) <= seconds(fields["date"])
            moved.append(seconds(fields["last-modified"]))
    assert moved == sorted(moved)


def test_the_site_may_come_after_its_server(tmp_path):
    """The web server starts before there is a site, and serves it from the moment it is there."""
    with running(tmp_path / "later") as (_, port):
        assert get(port)[0] == 404
        put(tmp_path / "later/rss.xml", RSS)
        assert get(port)[2] == RSS


def test_a_large_feed_keeps_nobody_waiting(tmp_path):
    """While a feed of many megabytes goes to readers who hardly read, others get their pages at once and the feed whole."""
    large = os.urandom(1 << 14) * 1024
    put(tmp_path / "rss.xml", large)
    put(tmp_path / "index.html", b"<p>News.</p>")
    with running(tmp_path) as (_, port), contextlib.ExitStack() as slow:
        for _ in range(100):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET /rss.xml HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = time.monotonic()
        for _ in range(20):
            assert get(port, "/")[2] == b"<p>News.</p>"
        assert time.monotonic() - begun < 2
        assert get(port)[2] == large
        assert gzip.decompress(get(port, Accept_Encoding="gzip")[2]) == large


def test_clients_who_never_finish_asking_are_cut_off_and_block_nobody(port):
    """Clients who send half a request delay nobody, and are cut off after a few seconds."""
    with contextlib.ExitStack() as slow:
        stuck = [slow.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(300)]
        for connection in stuck:
            connection.sendall(b"GET /rss.xml HTTP/1.1\r\nHos")
        begun = time.monotonic()
        for _ in range(20):
            assert get(port)[0] == 200
        assert time.monotonic() - begun < 2
        assert stuck[0].recv(1000) == b""
        assert time.monotonic() - begun < HEADER_FOR + 5


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: a\r\n" % count for count in range(1000)) + b"\r\n", b"431"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n", b"400"),
    ],
)
def test_oversized_and_broken_requests_are_refused(port, request_, status):
    """A request with huge header fields, or none at all, is refused in a line, and the next reader notices nothing."""
    assert raw(port, request_).startswith(b"HTTP/1.1 " + status)
    assert get(port)[0] == 200


def test_a_stop_is_clean_and_frees_the_port(tmp_path):
    """Told to stop, the web server finishes within seconds, whoever is still connected, and its port can be used again."""
    put(tmp_path / "rss.xml", RSS)
    with running(tmp_path) as (process, port), contextlib.ExitStack() as open_:
        for sent in (b"", b"GET /rss", b"GET /rss.xml HTTP/1.1\r\nHost: x\r\n\r\n"):
            connection = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(sent)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - begun < DRAIN_FOR + 3
        assert bindable(port)


def test_a_hail_of_signals_stops_it_all_the_same(tmp_path):
    """However many signals come at once, at whatever moment, the web server stops; it heeds none that asks for anything else."""
    put(tmp_path / "rss.xml", RSS)
    for _ in range(3):
        with running(tmp_path) as (process, port):
            process.send_signal(signal.SIGHUP)
            assert get(port)[0] == HTTPStatus.OK
            with contextlib.suppress(ProcessLookupError):
                for _ in range(200):
                    os.kill(process.pid, signal.SIGTERM)
            assert process.wait(60) == 0


def test_a_stop_that_is_told_twice_is_one_stop():
    """Told to stop while it is stopping, by the daemon and by the end of the daemon at once, the web server still stops."""
    server = _Server("scheduler.web")
    interrupted = server.main_loop_interrupt

    def told_twice() -> None:
        with interrupted._cond:  # as in the midst of being told
            server.signal_handler_interrupt(signal.SIGTERM, None)

    telling = threading.Thread(target=told_twice, daemon=True)
    telling.start()
    telling.join(10)
    assert not telling.is_alive()
    assert interrupted.wait(10)
    assert server.interrupt_signal


def test_the_server_does_not_outlive_a_killed_daemon(tmp_path):
    """When the process that started the web server is killed, the web server ends too and its port is free."""
    port = free_port()
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait()"
    parent = subprocess.Popen([sys.executable, "-c", script, *command(tmp_path, port)], cwd=ROOT)
    until(lambda: listening(port))
    parent.kill()
    parent.wait(10)
    until(lambda: bindable(port))


def test_no_half_of_the_server_outlives_the_other(tmp_path):
    """When the web server itself is killed, nothing of it goes on answering."""
    with running(tmp_path) as (process, port):
        process.kill()
        process.wait(10)
        until(lambda: bindable(port))


def test_a_taken_port_is_said_in_a_sentence(tmp_path, port):
    """A port that something else uses is refused with the port, the reason and the setting to change."""
    late = subprocess.Popen(command(tmp_path, port), cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert late.wait(10) == 1
    assert re.fullmatch(
        rf"The web server can't listen on 127.0.0.1, port {port}: .* http.listen in config.yaml.\n", late.stderr.read()
    )
    late.stdin.close()
    late.stderr.close()
