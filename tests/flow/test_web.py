"""The web server, asked from outside: a process of its own, on a free loopback port."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.web.files import inside
from scheduler.web.negotiate import outcome, seconds, wants_gzip
from scheduler.web.serve import DRAIN_FOR, HEADER_FOR

ROOT = Path(__file__).parents[2]
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
    "photo.jpg": b"\xff\xd8",
    "robots.txt": b"User-agent: *\n",
    "releases/bridge.html": b"<!doctype html><title>Bridge</title>",
    "archive/index.html": b"<!doctype html><title>Archive</title>",
    ".secret": b"held",
    "releases/.draft.html": b"held",
}


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
        return found.getsockname()[1]


def until(holds) -> None:
    """Ask again, ten seconds at most, until it holds."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


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


def command(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "scheduler.web", str(folder), "127.0.0.1", str(port)]


@contextlib.contextmanager
def running(folder: Path):
    """A server on a free port: its process and the port."""
    port = free_port()
    process = subprocess.Popen(command(folder, port), stdin=subprocess.PIPE, cwd=ROOT)
    try:
        until(lambda: listening(port))
        yield process, port
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(10)


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


def get(port: int, path: str = "/rss.xml", method: str = "GET", **asked: str):
    """Status, header fields (a list, in lower case) and body of one request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in asked.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def raw(port: int, request: bytes) -> bytes:
    """All bytes of the answer to a request written by hand."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def target(port: int, path: bytes) -> bytes:
    return raw(port, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)


def undated(answer: bytes) -> bytes:
    return re.sub(rb"(?i)date: [^\r]*\r\n", b"", answer, count=1)


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
        ("/photo.jpg", "image/jpeg", "photo.jpg"),
    ],
)
def test_every_file_of_the_site_comes_with_its_media_type(port, path, kind, name):
    """Every page and feed is served whole, with the media type readers look for, and guarded against being framed or sniffed."""
    status, fields, body = get(port, path)
    assert (status, fields["content-type"], body) == (200, kind, PAGES[name])
    assert fields["content-length"] == str(len(body))
    assert fields["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
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


BEFORE, AFTER = formatdate(OLD - 60, usegmt=True), formatdate(OLD + 60, usegmt=True)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"If-None-Match": "TAG"}, 304),
        ({"If-None-Match": "W/TAG"}, 304),
        ({"If-None-Match": '"other", W/"more",TAG'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "other"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": AFTER}, 200),
        ({"If-None-Match": "TAG", "If-Modified-Since": BEFORE}, 304),
        ({"If-Modified-Since": "MODIFIED"}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": BEFORE}, 200),
        ({"If-Modified-Since": "Tuesday, 14-Nov-23 22:20:00 GMT"}, 304),
        ({"If-Modified-Since": "Tue Nov 14 22:20:00 2023"}, 304),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": "TAG"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"other", TAG'}, 200),
        ({"If-Match": "W/TAG"}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": "TAG", "If-Unmodified-Since": BEFORE}, 200),
        ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
        ({"If-Match": '"other"', "If-None-Match": "TAG"}, 412),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": AFTER}, 200),
        ({"If-Unmodified-Since": "MODIFIED"}, 200),
        ({"If-Unmodified-Since": "never"}, 200),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": "TAG"}, 412),
    ],
)
def test_a_conditional_request_is_judged_in_the_order_of_rfc_9110(port, asked, status):
    """A reader that has the newest feed is told so in a few bytes; all preconditions count, in the order of RFC 9110 13.2.2."""
    _, fields, _ = get(port)
    known = {"TAG": fields["etag"], "MODIFIED": fields["last-modified"]}
    filled = {name: re.sub("TAG|MODIFIED", lambda found: known[found[0]], value) for name, value in asked.items()}
    got, answered, body = get(port, **filled)
    assert got == status
    assert body == (RSS if status == 200 else b"")
    assert {name: answered[name] for name in ("etag", "last-modified", "cache-control", "vary")} == {
        name: fields[name] for name in ("etag", "last-modified", "cache-control", "vary")
    }


def test_etags_in_two_fields_are_one_list(port):
    """Entity tags that come in several fields count like one list."""
    tag = get(port)[1]["etag"].encode()
    asked = (
        b'GET /rss.xml HTTP/1.1\r\nHost: x\r\nIf-None-Match: "a"\r\nIf-None-Match: %b\r\nConnection: close\r\n\r\n'
        % tag
    )
    assert raw(port, asked).startswith(b"HTTP/1.1 304 ")


def test_a_feed_travels_in_gzip_under_a_tag_of_its_own(port):
    """A reader that takes gzip gets the same feed in a tenth of the bytes, under an entity tag of its own."""
    _, plain, _ = get(port)
    status, packed, body = get(port, Accept_Encoding="gzip, deflate, br")
    assert (status, packed["content-encoding"], gzip.decompress(body)) == (200, "gzip", RSS)
    assert packed["content-length"] == str(len(body))
    assert len(body) < len(RSS) / 10
    assert plain["vary"] == packed["vary"] == "Accept-Encoding"
    assert plain["etag"] != packed["etag"]
    assert get(port, Accept_Encoding="gzip", If_None_Match=packed["etag"])[0] == 304
    assert get(port, Accept_Encoding="gzip", If_None_Match=plain["etag"])[0] == 200
    assert "content-encoding" not in get(port, "/photo.jpg", Accept_Encoding="gzip")[1]


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.5", True),
        ("*, gzip;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("gzip;q=2", False),
        ("gzip;q=many", False),
        ("deflate, br", False),
    ],
)
def test_the_weights_of_codings_are_honoured(port, accepted, wanted):
    """Whoever asks for the plain bytes by weight gets the plain bytes."""
    assert ("content-encoding" in get(port, Accept_Encoding=accepted)[1]) is wanted


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
    assert wants_gzip(first) in {True, False}
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
