"""The forms of the running service: a reader joins a list and leaves it by one click; the office edits its settings meanwhile."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import eventually

from scheduler.record import Membership
from scheduler.store import open_store, subscribers

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def public(house):
    """A running service whose press list anybody may join, and its store."""
    text = house.config.read_text("utf-8").replace("default: true", "default: true, public: true")
    house.config.write_text(text, "utf-8")
    house.start()
    store = open_store(house.url)
    eventually(lambda: ask(house.port, "/subscribe")[0] == 200, "the web server")
    yield store
    store.close()


def ask(port, path, fields=None):
    """Status and text of an answer; nothing and status 0 where there was none."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
            connection.request("POST" if fields else "GET", path, urlencode(fields or {}), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""


def token_of(store, address):
    """What stands in the link of the invitation."""
    with store.read() as db:
        return db.exec_driver_sql("SELECT token FROM asks WHERE address = ?", (address,)).scalar()


def web(house):
    """The process that serves, as the log has it."""
    return int(re.findall(r"child_started .*child=web .*?pid=(\d+)", house.log)[-1])


def test_a_reader_joins_and_leaves(house, public):
    """From the link on the front page to the one click that ends it, a subscription needs one mail and three clicks."""
    eventually(lambda: b'href="/subscribe"' in house.site("index.html"), "the front page")
    assert b'href="/subscribe"' in house.site("feeds.html")
    assert ask(house.port, "/subscribe", {"email": "reader@example.org", "name": "Zoë", "list": "press"})[0] == 200
    token = token_of(public, "reader@example.org")
    assert ask(house.port, f"/confirm/{token}")[0] == 200
    assert ask(house.port, f"/confirm/{token}", {"join": "yes"})[0] == 200
    (there,) = subscribers.members(public, address="reader@example.org")
    assert (there.state, there.recipient, there.origin) == (Membership.ACTIVE, "Zoë <reader@example.org>", "form")
    assert ask(house.port, f"/unsubscribe/{there.token}")[0] == 200
    assert ask(house.port, f"/unsubscribe/{there.token}", ONE_CLICK)[0] == 200
    assert subscribers.by_token(public, there.token).state is Membership.LEFT
    assert "reader@example.org" not in house.log
    assert house.run("trail", "verify").returncode == 0
    for read in Path(f"/proc/{web(house)}").glob("task/*/children"):
        for pid in [web(house), *map(int, read.read_text().split())]:
            assert b"embargo.db" not in Path(f"/proc/{pid}/cmdline").read_bytes()  # it could hold a password


def test_the_forms_follow_the_settings(house, public):
    """What an edit changes in the forms shows at once; an edit that changes nothing there leaves the web server alone."""
    text = house.config.read_text("utf-8")
    before = web(house)
    house.config.write_text(text.replace("items: 50", "items: 49"), "utf-8")
    eventually(lambda: house.log.count("config_taken") == 1, "the edit")
    house.config.write_text(text.replace("  lists:", "  consent: I want it all.\n  lists:"), "utf-8")
    eventually(lambda: "I want it all." in ask(house.port, "/subscribe")[1], "the new wording")
    assert house.log.count("child_started child=web") == 2
    assert web(house) != before
    one = subscribers.add(
        public, list_id="press", recipient="a@b.example", reason="test", now=datetime.now(UTC), actor="test"
    )
    house.config.write_text(text.replace("public: true", "public: false"), "utf-8")
    eventually(lambda: ask(house.port, "/subscribe")[0] == 404, "the form to be gone")
    eventually(lambda: b'href="/subscribe"' not in house.site("index.html"), "the link to be gone")
    assert ask(house.port, f"/unsubscribe/{one.token}", ONE_CLICK)[0] == 200
    assert subscribers.by_token(public, one.token).state is Membership.LEFT
