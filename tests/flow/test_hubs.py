"""WebSub: hubs hear of a release once its bytes are live, whatever they answer; a real hub, real services."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from conftest import ahead, eventually, free_port, words

from scheduler.daemon import hubs as threads
from scheduler.daemon.hubs import Hubs
from scheduler.errors import RequestFailed
from scheduler.outlets import hubs
from scheduler.outlets.site import Site
from scheduler.pipeline.release import MAIN as FEEDS
from scheduler.pipeline.release import Projection


class Handler(BaseHTTPRequestHandler):
    """What a hub does with one request."""

    def do_GET(self) -> None:
        site = self.server.hub.site
        data = (site / self.path[1:]).read_bytes() if site else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        hub = self.server.hub
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub.bodies.append(body)
        answer = hub.answers.pop(0) if hub.answers else 202
        if answer in {"hang", "wait"}:
            hub.released.wait(30)
            if answer == "hang":
                return
            answer = 202
        if answer == "drip":
            self.drip()
            return
        if answer == 202:
            assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
            form = parse_qs(body.decode(), strict_parsing=True)
            [url] = form.pop("hub.url")
            assert form == {"hub.mode": ["publish"]}
            with urllib.request.urlopen(url) as response:
                hub.told.append((url.rpartition("/")[2], response.read()))
        self.send_response(answer)
        self.send_header("Content-Length", "0")
        if answer in {429, 503}:
            self.send_header("Retry-After", hub.retry_after)
        if answer == 308:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def drip(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\n")
            while not self.server.hub.released.wait(0.05):
                self.wfile.write(b"X-Drip: 1\r\n")

    def log_message(self, *_: object) -> None:
        pass


class Hub:
    """A hub: fetches what it is told of, then answers as it was told to; 202 where it was told nothing.

    It also serves the folder `site`, where there is one, so that there is something to fetch without a service.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[int | str] = []
        self.retry_after = "1"
        self.told: list[tuple[str, bytes]] = []
        self.bodies: list[bytes] = []
        self.site: Path | None = None
        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.hub = self
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hub?key=1"

    @property
    def base(self) -> str:
        """The address of `site`."""
        return f"http://127.0.0.1:{self.port}/"

    def names(self) -> list[str]:
        """The feeds it was told of, in order."""
        return [name for name, _ in self.told]

    def has(self, text: str) -> bool:
        """Whether it found `text` in each of the three feeds when it fetched them."""
        return {name for name, data in self.told if text.encode() in data} == set(FEEDS)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub():
    made = Hub(free_port())
    yield made
    made.close()


def follow(house, hub, allow_private="true"):
    """The newsroom names this hub."""
    house.config.write_text(
        house.config.read_text() + f'websub: {{hubs: ["{hub.url}"], allow_private: {allow_private}}}\n'
    )


def calm(hub, house):
    """After this the pings of the start are done with."""
    eventually(lambda: house.log.count("hub_pinged") >= len(FEEDS), "the pings of the start")
    hub.told.clear()


def test_a_hub_hears_of_a_release_once_it_is_live_and_of_nothing_held(house, hub):
    """At the lift the hub is told of all three feeds and finds the release in them; a held record causes no ping."""
    follow(house, hub)
    house.start()
    calm(hub, house)
    house.record("held", embargo="on delivery", title="Canary")
    eventually(lambda: house.state("held") == "held", "the record to be held")
    house.record("one", embargo=words(ahead(2)), title="A live title")
    eventually(lambda: hub.has("A live title"), "the hub to find the release")
    assert not any(b"Canary" in data for _, data in hub.told)


def test_subscribers_find_the_hub(house, hub):
    """A subscriber finds the hub and the feed's own address in each feed and in its header fields, also by HEAD."""
    follow(house, hub)
    house.start()
    calm(hub, house)
    for name in FEEDS:
        connection = http.client.HTTPConnection("127.0.0.1", house.port)
        connection.request("HEAD", f"/{name}")
        links = connection.getresponse().headers.get_all("Link")
        connection.close()
        assert f'<{hub.url}>; rel="hub"' in ", ".join(links)
        assert f'<http://127.0.0.1:{house.port}/{name}>; rel="self"' in ", ".join(links)
    assert json.loads(house.site("feed.json"))["hubs"] == [{"type": "WebSub", "url": hub.url}]
    for name in FEEDS[:2]:
        assert f'rel="hub" href="{hub.url}"'.encode() in house.site(name)


def test_a_hub_that_is_gone_holds_nothing_up_and_hears_of_it_later(house):
    """With no hub in reach the feed is on time; when the hub is back, it hears of the release."""
    port = free_port()
    lost = type("Lost", (), {"url": f"http://127.0.0.1:{port}/hub?key=1"})
    follow(house, lost)
    house.start()
    house.record("one", embargo="none", title="A live title")
    eventually(lambda: b"A live title" in house.site("rss.xml"), "the feed")
    eventually(lambda: "hub_failed" in house.log, "the failure to be told")
    back = Hub(port)
    try:
        eventually(lambda: back.has("A live title"), "the hub to be told")
    finally:
        back.close()


def test_a_service_killed_before_its_pings_makes_up_for_them(house, hub):
    """A service that is killed between a release and its pings pings every feed when it starts again."""
    follow(house, hub)
    hub.answers = ["hang"] * 3
    house.record("one", embargo="none", title="A live title")
    house.start()
    eventually(lambda: b"A live title" in house.site("rss.xml"), "the feed")
    house.kill()
    hub.answers = []
    house.start()
    eventually(lambda: hub.has("A live title"), "the hub to be told")


@pytest.mark.parametrize("answer", [500, 503, 429])
def test_a_hub_in_trouble_is_asked_again(house, hub, answer):
    """A hub that answers with its own trouble, or that it is asked too often, is told again later."""
    follow(house, hub)
    hub.answers = [answer]
    house.record("one", embargo="none", title="A live title")
    house.start()
    eventually(lambda: hub.has("A live title"), "the hub to be told again")
    assert "hub_failed" in house.log
    assert f"The hub answered {answer}." in house.log


@pytest.mark.parametrize("answer", [308, 404])
def test_a_hub_that_refuses_is_given_up_aloud(house, hub, answer):
    """A hub that refuses for good is said in the log with what to do, and not asked again until the next change."""
    follow(house, hub)
    hub.answers = [answer] * 3
    house.start()
    eventually(lambda: house.log.count("error hub_given_up") == 3, "the hub to be given up")
    assert f"The hub answered {answer}" in house.log
    assert "websub.hubs" in house.log
    house.record("one", embargo="none", title="A live title")
    eventually(lambda: hub.has("A live title"), "the hub to be told of the next change")


def test_a_hub_at_a_private_address_is_not_asked_unless_allowed(house, hub):
    """A hub's address that leads into the house is refused, with what to write where it is meant."""
    follow(house, hub, allow_private="false")
    house.start()
    eventually(lambda: "hub_given_up" in house.log, "the refusal")
    assert "leads to 127.0.0.1, which is no public address" in house.log
    assert hub.bodies == []


@pytest.mark.parametrize("answer", ["hang", "drip"])
def test_a_hub_that_never_ends_its_answer_is_left(hub, monkeypatch, answer):
    """A hub that does not answer, or drips its answer byte by byte, is left when its time is up."""
    monkeypatch.setattr(hubs, "SECONDS", 0.5)
    hub.answers = [answer]
    with pytest.raises(RequestFailed, match="did not answer within") as caught:
        hubs.ping(hub.url, "http://127.0.0.1:1/rss.xml", allow_private=True)
    assert not caught.value.final


def test_tries_grow_apart_and_end_after_a_day():
    """A ping that fails is tried again at growing distances of at most an hour, and given up after a day."""
    now, gaps = 0.0, []
    owed = hubs.Owed.at(now)
    while (later := owed.again(now, chance=0.5)) is not None:
        gaps.append(later.due - now)
        now, owed = later.due, later
    assert gaps[:4] == [2, 4, 8, 16]
    assert max(gaps) == hubs.LONGEST
    assert 22 * 3600 < now <= 24 * 3600


def test_settings_that_name_another_hub_are_followed(house, hub):
    """A hub named in an edit of the settings is told of the feeds, and named in them, without a restart."""
    house.record("one", embargo="none", title="A live title")
    house.start()
    eventually(lambda: b"A live title" in house.site("rss.xml"), "the feed")
    follow(house, hub)
    eventually(lambda: hub.has("A live title"), "the hub to be told")
    eventually(lambda: hub.url.encode() in house.site("atom.xml"), "the feed to name the hub")


@pytest.fixture
def other():
    made = Hub(free_port())
    yield made
    made.close()


@pytest.fixture
def pinging(monkeypatch, caplog):
    """The threads alone, which ping these hubs for a site that one of them serves."""
    monkeypatch.setattr(threads, "_APART", 0.0)
    caplog.set_level(logging.INFO, "embargo")
    started = []

    def start(*those, served=lambda: True):
        started.append(Hubs([each.url for each in those], base=those[0].base, allow_private=True, is_served=served))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_what_is_held_causes_no_ping(office, hub, pinging):
    """Three pings for the empty feeds, three for a release, which is in them by then; none for what is held or withdrawn."""
    hub.site = office.folder / "public"
    projection = Projection(
        store=office.store,
        site=Site(hub.site),
        renderer=office.parts.renderer,
        items=50,
        announce=pinging(hub).announce,
    )
    projection.rebuild(now=office.clock())
    eventually(lambda: len(hub.told) == 3, "the pings for the empty feeds")
    office.record("held", title="Canary", embargo="2026-11-30 12:00:10 UTC")
    office.record("gone", title="Canary too")
    office.withdraw("gone")
    while projection.warm(until=office.get("held").lift_at, at_most=1):
        pass
    projection.follow(now=office.clock())
    projection.rebuild(now=office.clock())
    office.record("one", embargo="none", title="A live title")
    projection.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    eventually(lambda: hub.has("A live title") and len(hub.told) >= 6, "the pings for the release")
    projection.follow(now=office.clock())
    assert sorted(hub.names()) == sorted(FEEDS * 2)
    assert [b"A live title" in data for _, data in hub.told] == [False] * 3 + [True] * 3


def test_changes_while_a_hub_answers_are_one_ping_more(hub, pinging, caplog):
    """However often a feed changes while a ping for it is under way, the hub is told once more, and no change is missed."""
    hub.answers = ["wait"]
    made = pinging(hub)
    made.announce(["rss.xml"])
    eventually(lambda: hub.bodies, "the first ping to be under way")
    for _ in range(5):
        made.announce(["rss.xml"])
    hub.released.set()
    made.announce(["feed.json"])
    eventually(lambda: "feed.json" in hub.names(), "the last ping")
    assert hub.names() == ["rss.xml", "rss.xml", "feed.json"]
    eventually(lambda: caplog.text.count("hub_pinged") == 3, "the log")
    assert f"hub_pinged hub={hub.url} url={hub.base}rss.xml status=202" in caplog.text


def test_a_change_makes_an_older_retry_superfluous(hub, pinging, caplog, monkeypatch):
    """While a feed waits to be tried again, its next change is pinged at once, and the older ping is not made up for."""
    monkeypatch.setattr(hubs, "_FIRST_GAP", 1000.0)
    hub.answers = [500]
    made = pinging(hub)
    made.announce(["rss.xml"])
    eventually(lambda: "hub_failed" in caplog.text, "the failure")
    made.announce(["rss.xml"])
    made.announce(["feed.json"])
    eventually(lambda: "feed.json" in hub.names(), "the last ping")
    assert hub.names() == ["rss.xml", "feed.json"]
    assert len(hub.bodies) == 3


@pytest.mark.parametrize("asked", [1000, 999_999])
def test_a_hub_that_asks_for_time_is_left_alone(hub, other, pinging, caplog, asked):
    """A hub that asks not to be told for some time is not, by whatever change, for up to an hour."""
    hub.answers, hub.retry_after = [429], str(asked)
    made = pinging(hub, other)
    made.announce(["rss.xml"])
    eventually(lambda: f"again_in_s={min(asked, 3600)}.0" in caplog.text, "the failure")
    made.announce(FEEDS)
    eventually(lambda: set(other.names()) == set(FEEDS), "the other hub to be told")
    assert len(hub.bodies) == 1


def test_a_hub_that_hangs_holds_up_no_other(hub, other, pinging):
    """While one hub hangs, the others are told of everything, and so is whoever announces a change let go at once."""
    hub.answers = ["hang"]
    made = pinging(hub, other)
    made.announce(["rss.xml"])
    eventually(lambda: hub.bodies, "the hub to hang")
    made.announce(FEEDS)
    eventually(lambda: set(other.names()) == set(FEEDS), "the other hub to be told")
    assert hub.told == []


def test_no_hub_is_told_before_the_site_is_served(hub, pinging):
    """A hub that fetches at once must find the feed: it is told when the web server is there."""
    looks, up = [], threading.Event()

    def served():
        looks.append(1)
        return up.is_set()

    pinging(hub, served=served).announce(["rss.xml"])
    eventually(lambda: len(looks) > 1, "a second look")
    assert hub.bodies == []
    up.set()
    eventually(lambda: hub.names() == ["rss.xml"], "the ping")
