"""WebSub: hubs hear of a release once its bytes are live, whatever they answer; a real hub, real services."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from conftest import ahead, eventually, free_port, words

from scheduler.errors import RequestFailed
from scheduler.outlets import hubs

FEEDS = ("rss.xml", "atom.xml", "feed.json")


class Hub:
    """A hub: fetches what it is told of, then answers as it was told to; 202 where it was told nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[int | str] = []
        self.told: list[tuple[str, bytes]] = []
        self.bodies: list[bytes] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hub.bodies.append(body)
                form = parse_qs(body.decode())
                answer = hub.answers.pop(0) if hub.answers else 202
                if answer == "hang":
                    hub.released.wait(30)
                    return
                if answer == "drip":
                    with contextlib.suppress(OSError):
                        self.wfile.write(b"HTTP/1.1 202 Accepted\r\n")
                        while not hub.released.wait(0.05):
                            self.wfile.write(b"X-Drip: 1\r\n")
                    return
                if answer == 202 and self.headers["Content-Type"] == "application/x-www-form-urlencoded":
                    assert form["hub.mode"] == ["publish"]
                    [url] = form["hub.url"]
                    with urllib.request.urlopen(url) as response:
                        hub.told.append((url.rpartition("/")[2], response.read()))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                if answer in {429, 503}:
                    self.send_header("Retry-After", "1")
                if answer == 308:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hub?key=1"

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
    assert len(hub.told) == len(FEEDS)


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


def test_changes_while_a_hub_answers_are_told_it_too(house, hub):
    """What is released while the hub is still being told of an earlier release is told it as well."""
    follow(house, hub)
    house.start()
    calm(hub, house)
    for number in range(5):
        house.record(f"r{number}", embargo="none", title=f"Title {number}.")
        time.sleep(0.05)  # so that changes fall into the midst of pings; nothing is asserted of when
    eventually(lambda: hub.has("Title 4."), "the hub to be told of the last")
    newest = dict(hub.told)
    assert all(f"Title {number}.".encode() in data for number in range(5) for data in newest.values())
