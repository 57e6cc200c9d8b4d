"""A real nginx on the site folder, with `deploy/nginx.conf.example` as it is shipped, beside the built-in server."""

from __future__ import annotations

import contextlib
import gzip
import re
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import quote, urljoin

import pytest
from web_kit import ROOT, get, nginx, put, running, target, undated

from scheduler import config
from scheduler.daemon.children import forms
from scheduler.media import KINDS
from scheduler.store import fence, open_store, subscribers

LISTS = b"""\
newsroom: {name: Test Press Office, url: "https://news.example.org/", timezone: UTC}
records: [{folder: records/}]
database: sqlite:///var/embargo.db
http: {listen: "127.0.0.1:8080"}
mail:
  from: press@example.org
  transport: maildir:var/mail
  lists: {press: {name: Press, public: true}}
"""

RSS = b"<rss version='2.0'><channel>" + b"<item>The minister opens the bridge.</item>" * 100 + b"</channel></rss>"
PAGE = b"<!doctype html><title>Newsroom</title>" + b"<p>News.</p>" * 100
NONE = b"<!doctype html><title>Nothing here</title>" + b"<p>Go to the front page.</p>" * 40
TEXT, DATA = b"a line\n" * 200, bytes(range(128)) * 8
TOPIC = "topics/\u0627\u0644\u0639\u0645\u0644/"
SITE = {
    "index.html": PAGE,
    "404.html": NONE,
    "feeds.html": PAGE,
    "rss.xml": RSS,
    "atom.xml": RSS,
    "feed.json": RSS,
    "sitemap.xml": RSS,
    "robots.txt": TEXT,
    "style.css": TEXT,
    "local-time.js": TEXT,
    "favicon.svg": RSS,
    "releases/bridge.html": PAGE,
    "topics/index.html": PAGE,
    "archive/index.html": PAGE,
    "archive/2026-12/index.html": PAGE,
    "archive/2026-12/rss.xml": RSS,
    "archive/2026-12/atom.xml": RSS,
    "archive/2026-12/feed.json": RSS,
    "archive/2026-12/sitemap.xml": RSS,
    f"{TOPIC}index.html": PAGE,
    f"{TOPIC}rss.xml": RSS,
    f"{TOPIC}atom.xml": RSS,
    f"{TOPIC}feed.json": RSS,
    **{f"releases/bridge/file.{suffix}": DATA for suffix in [*KINDS, "unheard-of"]},
}
PATHS = [
    "/",
    *(f"/{quote(name)}" for name in SITE),
    *(f"/{quote(name)[:-10]}" for name in SITE if name.endswith("/index.html")),
]
ALIKE = (
    "content-type",
    "cache-control",
    "vary",
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "access-control-allow-origin",
    "link",
)
HIDDEN = ("/.embargo-1-0.tmp", "/releases/.held.html", "/.git/config", "/releases/.%68eld.html")
OUTSIDE = (
    "/out.html",
    "/up/secret.html",
    "/up/public/rss.xml",
    "/../secret.html",
    "/%2e%2e/secret.html",
    "/releases/..%2f..%2fsecret.html",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A site folder with something to hide beside it and in it."""
    made = tmp_path_factory.mktemp("nginx")
    for name, data in SITE.items():
        put(made / "public" / name, data)
    put(made / "secret.html", b"held")
    for name in (".embargo-1-0.tmp", "releases/.held.html", ".git/config"):
        put(made / "public" / name, b"held")
    (made / "public/out.html").symlink_to(made / "secret.html")
    (made / "public/up").symlink_to(made)
    return made


@pytest.fixture(scope="module")
def port(home):
    with nginx(home / "public", home / "nginx", links=True) as found:
        yield found


@pytest.fixture(scope="module")
def ours(home):
    with running(home / "public", "https://news.example.org/", "https://hub.example.org/") as (_, found):
        yield found


@pytest.mark.parametrize("path", PATHS)
def test_nginx_serves_each_file_as_the_built_in_server_does(port, ours, path):
    """Served by nginx alone, every page, feed and attachment has the bytes, the media type and the guards it has from us."""
    for coding in ("identity", "gzip"):
        status, fields, body = get(port, path, Accept_Encoding=coding)
        wanted_status, wanted, plain = get(ours, path, Accept_Encoding=coding)
        assert (status, fields.get("content-encoding")) == (wanted_status, wanted.get("content-encoding"))
        assert {name: fields.get(name) for name in ALIKE} == {name: wanted.get(name) for name in ALIKE}
        assert (gzip.decompress(body) if "content-encoding" in fields else body) == (
            gzip.decompress(plain) if "content-encoding" in wanted else plain
        )
        known = get(port, path, If_None_Match=fields["etag"], Accept_Encoding=coding)
        assert known[0] == 304
        assert known[1].get("link") == fields.get("link")
        assert get(port, path, "HEAD", Accept_Encoding=coding)[::2] == (200, b"")


def test_nginx_tells_no_address_from_another(home, port):
    """A held, a withdrawn, a hidden and a never used address, and a folder without a page, get the same bytes from nginx."""
    put(home / "public/releases/withdrawn.html", PAGE)
    assert get(port, "/releases/withdrawn.html")[0] == 200
    (home / "public/releases/withdrawn.html").unlink()
    paths = ["/nowhere", "/nowhere.html", "/releases/withdrawn.html", "/releases/held.html", "/releases/held/plan.pdf"]
    paths += ["/releases", "/releases/", "/releases/bridge", "/releases/bridge/", "/topics/unknown", "/topics/unknown/"]
    paths += ["/topics/unknown/rss.xml", "/archive/2027-01/feed.json", "/rss.xml/", "//rss.xml", *HIDDEN, *OUTSIDE[:3]]
    answers = {path: undated(target(port, path.encode())) for path in paths}
    assert set(answers.values()) == {answers["/nowhere"]}
    assert answers["/nowhere"].startswith(b"HTTP/1.1 404 ")
    assert answers["/nowhere"].endswith(NONE)
    assert get(port, "/releases/held.html", If_None_Match="*")[0] == 404


@pytest.mark.parametrize(
    "path", [*HIDDEN, *OUTSIDE, "/releases/bridge/", "/archive/2026-12%2f..%2f..%2f..%2fsecret.html"]
)
def test_nginx_reads_nothing_hidden_and_nothing_outside(port, path):
    """Dot files, links, parents and listings are out of reach through nginx, too."""
    answer = target(port, path.encode())
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"held" not in answer.split(b"\r\n\r\n", 1)[1]


@pytest.mark.parametrize("path", ["/topics", f"/{quote(TOPIC)[:-1]}", "/archive", "/archive/2026-12"])
def test_nginx_leads_to_a_folders_page_as_we_do(port, ours, path):
    """A folder's address without its slash leads to the page there, by a relative address: no host is guessed."""
    for one in (port, ours):
        status, fields, _ = get(one, path)
        assert (status, fields["cache-control"]) == (301, "max-age=0, must-revalidate")
        assert urljoin(path, fields["location"]) == f"{path}/"


def test_nginx_lets_nobody_write(port):
    """Any method but GET and HEAD is refused with the two that are allowed, at every address alike."""
    for path in ("/", "/rss.xml", "/nowhere", "/releases/.held.html"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"):
            status, fields, _ = get(port, path, method)
            assert (status, fields["allow"]) == (405, "GET, HEAD")


@pytest.fixture
def forms_port(home, tmp_path):
    """A real nginx before the built-in server and its forms: the port, the store, and the port of the built-in server."""
    store = open_store(f"sqlite:///{tmp_path}/var/embargo.db")
    fence.hold(store, now=datetime.now(UTC))
    settings = config.parse(LISTS, path=tmp_path / "config.yaml")
    with (
        running(home / "public", "https://news.example.org/", forms=forms(settings)) as (_, service),
        nginx(home / "public", tmp_path / "nginx", service=service) as port,
    ):
        yield port, store, service
    store.close()


def test_nginx_hands_on_the_forms_alone(forms_port):
    """Through nginx people join and leave as they do at the built-in server; all else can only be read."""
    port, store, service = forms_port
    for path in ("/subscribe", f"/confirm/{'a' * 24}"):
        mine, ours = get(port, path), get(service, path)
        assert (mine[0], mine[2]) == (ours[0], ours[2])
        kept = {"cache-control", "content-security-policy", "referrer-policy", "x-robots-tag", "x-content-type-options"}
        assert {name: mine[1][name] for name in kept} == {name: ours[1][name] for name in kept}
    assert send(port, "/subscribe", b"email=a%40b.example&list=press")[0] == 200
    (ask,) = subscribers.asks_to_send(store, now=datetime.now(UTC), limit=2)
    assert (ask.recipient, ask.asked_from) == ("a@b.example", "127.0.0.0/24")
    (there,) = subscribers.confirm(store, token=ask.token, confirmed_from="", now=datetime.now(UTC))
    assert get(port, f"/unsubscribe/{there.token}")[0] == 200
    assert send(port, f"/unsubscribe/{there.token}", b"List-Unsubscribe=One-Click")[0] == 200
    assert subscribers.by_token(store, there.token).state == "left"
    assert send(port, f"/unsubscribe/{there.token}", bytes(17 * 1024))[0] == 413
    for path in ("/", "/subscribe/", "/subscribe.html", "/nowhere", f"/unsubscribe/{'a' * 23}", "/unsubscribe"):
        assert send(port, path, b"")[0] == 405
    nowhere = undated(target(port, b"/nowhere"))
    assert undated(target(port, b"/unsubscribe/" + b"a" * 24)) == nowhere
    assert undated(target(port, b"/unsubscribe/" + b"a" * 23)) == nowhere


def test_nginx_slows_floods_down_and_lets_one_click_through(forms_port):
    """Who asks again and again is refused after a while; hundreds who leave at once, from one address, are all let through."""
    port, store, _ = forms_port
    answers = [send(port, f"/confirm/{'a' * 24}", b"join=yes")[0] for _ in range(20)]
    assert set(answers) == {404, 429}
    now = datetime.now(UTC)
    for number in range(100):
        subscribers.add(store, list_id="press", recipient=f"{number}@b.example", reason="test", now=now, actor="test")
    for each in subscribers.members(store):
        assert send(port, f"/unsubscribe/{each.token}", b"List-Unsubscribe=One-Click")[0] == 200
    assert subscribers.counts(store)["press"]["left"] == 100


def send(port, path, body):
    """A form, sent."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_a_replaced_feed_shows_at_once_through_nginx(home, port):
    """What was renamed into place is what the very next request gets from nginx, plain and in gzip."""
    for version in range(20):
        put(home / "public/sitemap.xml", data := RSS + b"%d" % version)
        assert get(port, "/sitemap.xml")[2] == data
        assert gzip.decompress(get(port, "/sitemap.xml", Accept_Encoding="gzip")[2]) == data
    put(home / "public/sitemap.xml", RSS)


def test_hubs_are_named_only_where_they_are_asked_for(home, tmp_path):
    """As it is shipped, the configuration names no hub: a reader that trusts a hub nobody tells would wait for ever."""
    with nginx(home / "public", tmp_path / "nginx") as port:
        assert "link" not in get(port)[1]
    text = (ROOT / "deploy/nginx.conf.example").read_text("utf-8")
    assert re.search(r"(?m)^ *# add_header Strict-Transport-Security", text)
