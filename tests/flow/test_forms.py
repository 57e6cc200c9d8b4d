"""The forms on which people join lists and leave them, asked from outside: a web server of its own, beside a real database."""

# ruff: noqa: RUF001  # people write their names with typographic signs
from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_kit import get, put, raw, running, target, undated

from scheduler import config
from scheduler.daemon.children import forms
from scheduler.errors import StoreRefused
from scheduler.record import Membership
from scheduler.render import samples
from scheduler.store import Store, fence, open_store, subscribers, trail
from scheduler.store.door import OPEN, open_door
from scheduler.store.schema import metadata
from scheduler.web import bodies
from scheduler.web import forms as forms_module
from scheduler.web.asking import problems_of, recipient_of, shown
from scheduler.web.budget import NETWORKS, TIMES, WITHIN, Budget, network

NONE = b"<!doctype html><title>Nothing here</title>"
PLAIN = "application/x-www-form-urlencoded"
ONE_CLICK = "List-Unsubscribe=One-Click"
PART = '--b0\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b0--\r\n'
WORDING = "I want <all> of it, “daily”."
SETTINGS = """\
newsroom: {{name: Test Press Office, url: "https://press.example.org/news/", timezone: UTC, language: en}}
records: [{{folder: records/}}]
database: sqlite:///var/embargo.db
http: {{listen: "127.0.0.1:8080"}}
mail:
  from: press@example.org
  transport: maildir:var/mail
  consent: I want <all> of it, “daily”.
  lists:
    press: {{name: Press & more, public: {public}}}
    wire: {{name: Wire, public: {both}}}
    desk: {{name: Inner desk}}
"""

_numbers = count(1)


@dataclass
class Desk:
    """A server with forms, and the database behind it."""

    port: int
    store: Store
    networks: Iterator[int] = field(default_factory=count)

    def post(self, path, fields, *, kind=PLAIN, **asked):
        """Status, header fields and body of an answer. Each request comes from a network of its own."""
        body = fields if isinstance(fields, str | bytes) else urlencode(fields, doseq=True)
        who = {"X-Forwarded-For": f"198.51.{next(self.networks) % 256}.7"} | asked
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            headers = {"Content-Type": kind, **who} if kind else who
            connection.request("POST", path, body.encode() if isinstance(body, str) else body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def somebody(self, list_id="press", address=None):
        """A new subscriber."""
        address = address or f"reader{next(_numbers)}@example.org"
        return subscribers.add(
            self.store, list_id=list_id, recipient=address, reason="test", now=datetime.now(UTC), actor="test"
        )

    def stands(self, one):
        return subscribers.by_token(self.store, one.token).state

    def asks(self, address):
        with self.store.read() as db:
            return db.exec_driver_sql("SELECT * FROM asks WHERE address = ? ORDER BY id", (address,)).mappings().all()

    def leavings(self, one):
        """How somebody left, as the trail has it."""
        who = subscribers.hash_of(subscribers.secret(self.store), one.address)[:12]
        with self.store.read() as db:
            rows = [row for row in trail.rows(db) if row.event == "subscriber_left"]
        details = [json.loads(row.detail) if isinstance(row.detail, str) else row.detail for row in rows]
        return sorted((each["list"], each["how"]) for each in details if each["who"] == who)


def told(home: Path, *, public: str = "true", both: str = "true") -> bytes:
    """What the service tells its web server, from settings in this folder."""
    text = SETTINGS.format(public=public, both=both).encode()
    return forms(config.parse(text, path=home / "config.yaml"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("forms")
    put(made / "public/404.html", NONE)
    put(made / "public/rss.xml", b"<rss/>")
    return made


@pytest.fixture(scope="module")
def desk(home):
    store = open_store(f"sqlite:///{home}/var/embargo.db")
    fence.hold(store, now=datetime.now(UTC))
    with running(home / "public", forms=told(home)) as (_, port):
        yield Desk(port, store)
    store.close()


# --- one-click


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ONE_CLICK, PLAIN),
        (ONE_CLICK, f"{PLAIN}; charset=UTF-8"),
        (f"{ONE_CLICK}\r\n", PLAIN),
        (ONE_CLICK, None),
        ("List%2DUnsubscribe=One%2DClick", PLAIN),
        (PART, "multipart/form-data; boundary=b0"),
        (PART, 'Multipart/Form-Data; charset=utf-8; Boundary="b0"'),
        (PART.replace('"List-Unsubscribe"', "List-Unsubscribe"), "multipart/form-data; boundary=b0"),
        (f"preamble\r\n{PART}epilogue", "multipart/form-data; boundary=b0"),
        (
            PART.replace("\r\n\r\n", "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"),
            "multipart/form-data; boundary=b0",
        ),
        (
            PART.replace("b0", "----WebKitFormBoundaryq7=x"),
            'multipart/form-data; boundary="----WebKitFormBoundaryq7=x"',
        ),
    ],
)
def test_one_click_unsubscribes_in_either_encoding(desk, body, kind):
    """A provider's one-click request unsubscribes at once, in both encodings: no redirect, no cookie, no question (RFC 8058)."""
    one = desk.somebody()
    other = desk.somebody("wire", one.address)
    for _ in range(2):  # doing it again changes nothing
        status, fields, page = desk.post(f"/unsubscribe/{one.token}", body, kind=kind)
        assert (status, fields.keys() & {"location", "set-cookie", "www-authenticate"}) == (200, set())
        assert b"You are unsubscribed" in page
        assert b"Press &amp; more" in page
    assert (desk.stands(one), desk.stands(other)) == (Membership.LEFT, Membership.ACTIVE)
    assert desk.leavings(one) == [("press", "one-click")]


def test_a_body_in_pieces_is_understood(desk):
    """A chunked body of a length nobody stated unsubscribes, too."""
    one = desk.somebody()
    head = b"POST /unsubscribe/%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"List-Unsub", b"scribe=One-Cl", b"ick"))
    sent = head % one.token.encode() + f"Content-Type: {PLAIN}\r\n\r\n".encode() + body + b"0\r\n\r\n"
    assert raw(desk.port, sent).startswith(b"HTTP/1.1 200 ")
    assert desk.stands(one) is Membership.LEFT


def test_looking_never_unsubscribes(desk):
    """Whoever follows the link to look, as scanners do, changes nothing; there is a button."""
    one = desk.somebody()
    path = f"/unsubscribe/{one.token}"
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        looked = method in {"GET", "HEAD"}
        status, fields, _ = get(desk.port, f"{path}?List-Unsubscribe=One-Click", method)
        assert (status, fields.get("allow")) == ((200, None) if looked else (405, "GET, HEAD, POST"))
    assert desk.stands(one) is Membership.ACTIVE
    page = get(desk.port, path)[2].decode()
    assert re.findall(r'<form method="post" class="form">|name="leave" value="(\w+)"', page) == ["", "list", "all"]
    assert one.address not in page


@pytest.mark.parametrize(
    "body",
    [
        "",
        "List-Unsubscribe=One-Click&x=1",
        "List-Unsubscribe=One-Click&List-Unsubscribe=One-Click",
        "List-Unsubscribe=No",
        "list-unsubscribe=one-click",
        "leave=both",
        "leave=list&leave=all",
        "List-Unsubscribe",
        "%ff=%ff",
        "a=b;c=d",
        b"\xff\x00",
        "&" * 1000,
        "x=1&" * 300 + "x=1",
    ],
)
def test_no_other_body_unsubscribes(desk, body):
    """Anything but the words of RFC 8058 or the page's own buttons is refused, and changes nothing."""
    one = desk.somebody()
    status, fields, page = desk.post(f"/unsubscribe/{one.token}", body)
    assert (status, fields["cache-control"]) == (400, "no-store")
    assert b"could not be understood" in page
    assert desk.stands(one) is Membership.ACTIVE


def test_a_forged_token_gets_the_answer_of_any_unknown_address(desk):
    """A forged, mistyped or malformed token is an address like any other at which there is nothing, down to the byte."""
    good = desk.somebody().token
    nowhere = undated(target(desk.port, b"/nowhere"))
    assert nowhere.endswith(NONE)
    changed = ("a" if good[0] != "a" else "b") + good[1:]
    for token in (
        changed,
        good.upper(),
        good[:-1],
        good + "a",
        "a" * 24,
        "1" * 24,
        f"{good}/",
        f"%00{good}",
        "",
        "../x",
    ):
        path = f"/unsubscribe/{token}".encode()
        assert undated(target(desk.port, path)) == nowhere, token
    head = b"POST /unsubscribe/%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    for token in (changed, "a" * 24):
        sent = head % (token.encode(), len(ONE_CLICK), ONE_CLICK.encode())
        assert undated(raw(desk.port, sent)) == nowhere


def test_bodies_have_limits(desk):
    """A body that is too large, too slow, shorter than it says, or of another kind is refused in seconds, and changes nothing."""
    one = desk.somebody()
    path = f"/unsubscribe/{one.token}"
    assert desk.post(path, ONE_CLICK + "&" * bodies.MOST)[0] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    for kind in ("text/plain", "application/json", "multipart/mixed; boundary=b0", "x"):
        assert desk.post(path, ONE_CLICK, kind=kind)[0] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert desk.post(path, ONE_CLICK, Content_Encoding="gzip")[0] == 200  # no such field
    assert desk.post(path, b"\x1f\x8b", **{"Content-Encoding": "gzip"})[0] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    two = desk.somebody()
    head = b"POST /unsubscribe/%b HTTP/1.1\r\nHost: x\r\n" % two.token.encode()
    endless = b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%b\r\n" % bytes(0x1000) * 8
    with contextlib.suppress(ConnectionError):
        assert raw(desk.port, head + endless).startswith(b"HTTP/1.1 413 ")
    assert raw(desk.port, head + b"Content-Length: 27\r\n\r\nList-Unsubscribe=One-Click").startswith(b"HTTP/1.1 408 ")
    assert desk.stands(two) is Membership.ACTIVE
    with socket.create_connection(("127.0.0.1", desk.port), timeout=10) as gone:
        gone.sendall(head + b"Content-Length: 27\r\n\r\nList-Unsubscribe=One-Click")
    assert get(desk.port)[0] == 200
    assert desk.stands(two) is Membership.ACTIVE


def test_one_leaves_all_lists_at_once(desk):
    """The page's second button takes somebody off every list; the page then says so."""
    one = desk.somebody()
    two, other = desk.somebody("wire", one.address), desk.somebody()
    assert b"from everything" in desk.post(f"/unsubscribe/{one.token}", "leave=all")[2]
    assert {desk.stands(one), desk.stands(two)} == {Membership.LEFT}
    assert desk.stands(other) is Membership.ACTIVE
    assert desk.leavings(one) == [("press", "page"), ("wire", "page")]
    assert b"You are unsubscribed" in get(desk.port, f"/unsubscribe/{two.token}")[2]


# --- subscribing


def test_the_form_lists_what_is_public(desk, home):
    """The form names the public lists with what one agrees to; a single one is chosen already. Nobody keeps or finds the page."""
    status, fields, page = get(desk.port, "/subscribe")
    text = page.decode()
    assert (status, fields["cache-control"], fields["x-robots-tag"]) == (200, "no-store", "noindex")
    assert (fields["referrer-policy"], "set-cookie" in fields) == ("no-referrer", False)
    assert "form-action 'self'" in fields["content-security-policy"]
    assert re.findall(r'name="list" value="(\w+)"( checked)?', text) == [("press", ""), ("wire", "")]
    assert "Press &amp; more" in text
    assert "Inner desk" not in text
    assert "I want &lt;all&gt; of it" in text
    assert 'href="/news/style.css"' in text  # the site may stand below a path
    assert "action=" not in text  # so the form goes to wherever it was found
    assert get(desk.port, "/subscribe", "HEAD")[::2] == (200, b"")
    with running(home / "public", forms=told(home, both="false")) as (_, port):
        assert re.findall(r'name="list" value="(\w+)"( checked)?', get(port, "/subscribe")[2].decode()) == [
            ("press", " checked")
        ]


def test_without_a_public_list_there_is_no_form(home):
    """Where nobody may join by himself, the form's address is one at which there is nothing; those who leave still can."""
    with running(home / "public", forms=told(home, public="false", both="false")) as (_, port):
        assert undated(target(port, b"/subscribe")) == undated(target(port, b"/nowhere"))
        assert undated(target(port, b"/subscribe", b"POST")) == undated(target(port, b"/nowhere", b"POST"))
        assert get(port, f"/confirm/{'a' * 24}")[0] == 200
    with running(home / "public") as (_, port):
        for path in (b"/subscribe", b"/confirm/" + b"a" * 24):
            assert undated(target(port, path)) == undated(target(port, b"/nowhere"))


def test_an_asking_is_noted_with_what_was_agreed_to(desk):
    """What is noted is who asked for which lists, in which words he agreed, and from which network, not from which address."""
    fields = {"email": " Zoe@Example.net ", "name": "Zoë  O’Neil, Jr.", "list": ["wire", "press"], "website": ""}
    assert desk.post("/subscribe", fields, **{"X-Forwarded-For": "10.0.0.1, 203.0.113.77"})[0] == 200
    (row,) = desk.asks("zoe@example.net")
    assert row["recipient"] == "Zoë O’Neil, Jr. <Zoe@Example.net>"
    assert (json.loads(row["lists"]), row["wording"]) == (["press", "wire"], WORDING)
    assert row["asked_from"] == "203.0.113.0/24"


def test_the_answer_tells_nobody_who_is_subscribed(desk):
    """New, known, gone, erased, asked a moment ago, a bot, or one too many from a network: all get the same bytes."""
    there, left, erased = desk.somebody(), desk.somebody(), desk.somebody()
    subscribers.leave(desk.store, token=left.token, how="test", now=datetime.now(UTC))
    subscribers.forget(desk.store, address=erased.address, reason="test", now=datetime.now(UTC), actor="test")
    new = "somebody.new@example.org"
    addresses = [new, new, there.address, left.address, erased.address, "nobody@unheard-of.example"]
    answers = [desk.post("/subscribe", {"email": each, "list": "press"}) for each in addresses]
    answers.append(desk.post("/subscribe", {"email": "bot@example.org", "list": "press", "website": "http://x"}))
    many = {"X-Forwarded-For": "203.0.114.9"}
    asking = [{"email": f"many{number}@example.org", "list": "press"} for number in range(TIMES + 1)]
    answers += [desk.post("/subscribe", each, **many) for each in asking]
    for _, fields, _ in answers:
        del fields["date"]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 200
    assert [len(desk.asks(each)) for each in addresses] == [1] * len(addresses)
    assert not desk.asks("bot@example.org")
    assert [bool(desk.asks(each["email"])) for each in asking] == [True] * TIMES + [False]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"list": "press"}, ["email"]),
        ({"email": "desk", "list": "press"}, ["email"]),
        ({"email": '"><script>alert(1)</script>', "list": "press"}, ["email"]),
        ({"email": "a@b.example\r\nBcc: c@d.example", "list": "press"}, ["email"]),
        ({"email": "a@b.example,c@d.example", "list": "press"}, ["email"]),
        ({"email": f"{'a' * 300}@example.org", "list": "press"}, ["email"]),
        ({"email": "a@b.example"}, ["list"]),
        ({"email": "a@b.example", "name": "Win money at casino.example", "list": "press"}, ["name"]),
        ({"email": "a@b.example", "name": 'x" <evil@example.com>', "list": "press"}, ["name"]),
        ({"name": "<b>", "agreed": "0"}, ["email", "name", "list", "agreed"]),
    ],
)
def test_what_cannot_be_is_said_at_its_place(desk, fields, wrong):
    """A form that can't be taken comes back with what was typed, and says at each field, and in sum, what to write."""
    status, _, page = desk.post("/subscribe", fields)
    text = page.decode()
    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert re.findall(r'<li><a href="#(\w+)">', text) == wrong
    assert re.findall(r'id="(\w+)-problem"', text) == wrong
    assert "<script>alert" not in text
    assert "Bcc" not in text or "\nBcc" not in text
    for name in ("email", "name"):
        assert f'name="{name}" value="{_escaped(fields.get(name, ""))}"' in text
    assert ' value="press" checked' in text if "list" in fields else " checked" not in text
    assert not [row for row in desk.asks("a@b.example") if row["recipient"] == fields.get("name")]


def _escaped(text):
    kept = shown(text)
    for sign, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        kept = kept.replace(sign, code)
    return kept


@pytest.mark.parametrize(
    "fields", ["email=a%40b.example&list=desk", "email=a%40b.example&email=c%40d.example&list=press"]
)
def test_no_form_of_ours_asks_so(desk, fields):
    """A list that is not public, or two addresses at once, is no asking."""
    assert desk.post("/subscribe", fields)[0] == 400


# --- confirming


def test_only_the_button_confirms(desk):
    """Looking at the link of the invitation changes nothing; its button subscribes, once, with the record of the consent."""
    address = "confirming@example.org"
    desk.post("/subscribe", {"email": address, "list": "press"})
    (asked,) = desk.asks(address)
    path = f"/confirm/{asked['token']}"
    for method in ("GET", "HEAD"):
        assert get(desk.port, path, method)[0] == 200
    assert not list(subscribers.members(desk.store, address=address))
    for _ in range(2):
        status, _, page = desk.post(path, "join=yes", **{"X-Forwarded-For": "2001:db8:7:12ff::1"})
        assert (status, b"You are subscribed" in page, b"Press &amp; more" in page) == (200, True, True)
        (there,) = subscribers.members(desk.store, address=address)
        assert (there.state, there.origin, there.list) == (Membership.ACTIVE, "form", "press")
        assert there.consent["wording"] == WORDING
        assert there.consent["confirmed_from"] == "2001:db8:7:1200::/56"
    subscribers.leave(desk.store, token=there.token, how="test", now=datetime.now(UTC))
    assert desk.post(path, "join=yes")[0] == 404  # the old link brings nobody back
    assert desk.stands(there) is Membership.LEFT


def test_an_old_link_says_so(desk):
    """A link that is older than seven days, or was never given out, says that it is over and where to ask anew."""
    address = "late@example.org"
    desk.post("/subscribe", {"email": address, "list": "press"})
    before = int((datetime.now(UTC) - timedelta(days=7)).timestamp() * 1_000_000)
    with desk.store.write() as db:
        db.exec_driver_sql("UPDATE asks SET asked_at = ? WHERE address = ?", (before, address))
    (asked,) = desk.asks(address)
    for token in (asked["token"], "a" * 24):
        status, fields, page = desk.post(f"/confirm/{token}", "join=yes")
        assert (status, fields["cache-control"]) == (404, "no-store")
        assert b'href="../subscribe"' in page
    assert not list(subscribers.members(desk.store, address=address))


# --- the database


def test_the_web_server_cannot_read_a_record(desk):
    """The database itself denies the web server every table but those of subscribers and the trail, and every other command."""
    door = open_door(desk.store.engine.url.render_as_string())
    denied = [
        *(f"SELECT * FROM {name}" for name in metadata.tables if name not in OPEN),
        *(f"SELECT count(*) FROM {name}" for name in metadata.tables if name not in OPEN),
        *(f"SELECT (SELECT max(rowid) FROM {name})" for name in ("records", "revisions", "attachment_chunks")),
        "SELECT 1 FROM subscribers WHERE EXISTS (SELECT 1 FROM records)",
        "INSERT INTO meta SELECT title, text FROM revisions",
        "UPDATE deliveries SET state = 'sent'",
        "DELETE FROM records",
        "SELECT sql FROM sqlite_master",
        "CREATE VIEW x AS SELECT * FROM records",
        "CREATE TEMP TABLE x (y)",
        "DROP TABLE asks",
        "ATTACH 'other.db' AS other",
        "PRAGMA table_info(records)",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "SELECT load_extension('x')",
    ]
    for statement in denied:
        with pytest.raises(StoreRefused, match=r"not authorized|prohibited"), door.write() as db:
            db.exec_driver_sql(statement)
    assert {"records", "revisions", "attachments", "deliveries", "mailings"} <= metadata.tables.keys() - OPEN
    door.close()


def test_the_web_server_makes_no_database(home, tmp_path):
    """Where the database is away the forms are closed and the site is served; nothing is made in its place. Back, it is used."""
    said = told(tmp_path)
    with running(home / "public", forms=said) as (_, port):
        desk = Desk(port, None)
        fields = {"email": "a@b.example", "list": "press"}
        status, answer, page = desk.post("/subscribe", fields)
        assert (status, answer["retry-after"], answer["cache-control"]) == (503, "60", "no-store")
        assert b"try again" in page
        assert desk.post(f"/unsubscribe/{'a' * 24}", ONE_CLICK)[0] == 503
        assert get(port, f"/unsubscribe/{'a' * 24}")[0] == 503
        assert (get(port)[0], get(port, "/subscribe")[0]) == (200, 200)
        assert not (tmp_path / "var").exists()
        desk.store = open_store(f"sqlite:///{tmp_path}/var/embargo.db")
        fence.hold(desk.store, now=datetime.now(UTC))
        assert desk.post("/subscribe", fields)[0] == 200
        assert desk.asks("a@b.example")
        desk.store.close()
        (tmp_path / "var/embargo.db").rename(tmp_path / "var/away.db")
        assert desk.post(f"/unsubscribe/{'a' * 24}", ONE_CLICK)[0] == 503
        assert not (tmp_path / "var/embargo.db").exists()


def test_a_busy_database_closes_the_forms_alone(desk):
    """While another program holds the database, a form says so in seconds, and every page is served at once. Then all is well."""
    one = desk.somebody()
    path = f"/unsubscribe/{one.token}"
    db = sqlite3.connect(desk.store.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with contextlib.closing(socket.create_connection(("127.0.0.1", desk.port), timeout=20)) as waiting:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(ONE_CLICK)}\r\n\r\n"
        waiting.sendall((head + ONE_CLICK).encode())
        for _ in range(50):
            assert get(desk.port)[0] == 200
        assert get(desk.port, path)[0] == 200  # reading waits for nobody
        answer = b"".join(iter(lambda: waiting.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    db.execute("ROLLBACK")
    db.close()
    assert desk.post(path, ONE_CLICK)[0] == 200
    assert desk.stands(one) is Membership.LEFT


def test_a_copy_lets_people_leave_and_nobody_join(home, tmp_path):
    """On a database that is a copy, nobody joins, for no invitation would be sent; whoever wants to leave is heard."""
    store = open_store(f"sqlite:///{tmp_path}/var/embargo.db")
    fence.hold(store, now=datetime.now(UTC))
    fence.close(store)
    with running(home / "public", forms=told(tmp_path)) as (_, port):
        desk = Desk(port, store)
        one = desk.somebody()
        assert desk.post("/subscribe", {"email": "a@b.example", "list": "press"})[0] == 503
        assert desk.post(f"/confirm/{'a' * 24}", "join=yes")[0] == 503
        assert desk.post(f"/unsubscribe/{one.token}", ONE_CLICK)[0] == 200
        assert desk.stands(one) is Membership.LEFT
        assert not desk.asks("a@b.example")
    store.close()


# --- the parts


def test_the_forms_give_what_their_templates_were_tried_with(home, monkeypatch):
    """Each page of the forms is given what the service tried it with at its start: an office's own template can't fail later."""
    tried = {(name, *sorted(values)) for name, values in samples.FORMS}
    given = set()
    plain = forms_module.rendered

    def spy(environment, name, values):
        given.add((name, *sorted(values)))
        return plain(environment, name, values)

    monkeypatch.setattr(forms_module, "rendered", spy)
    made = forms_module.Forms(None, forms_module.terms(told(home)[8:]), clock=lambda: datetime.now(UTC))
    stands = subscribers.Subscriber(
        id=1,
        list="press",
        address="a@b.example",
        recipient="a@b.example",
        token="a" * 24,
        state=Membership.ACTIVE,
        origin="form",
        listed=True,
        since_at=datetime.now(UTC),
    )
    pages = [
        made._form(),
        made._page("asked.html"),
        made._page("join.html", stage="ask", names=[]),
        made._left(stands, "ask"),
    ]
    assert all(page.status == HTTPStatus.OK for page in pages)
    assert given == tried


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.77", [], "192.0.2.0/24"),
        ("192.0.2.77", [b"198.51.100.1"], "192.0.2.0/24"),  # only a proxy on this machine is believed
        ("127.0.0.1", [], "127.0.0.0/24"),
        ("127.0.0.1", [b"198.51.100.1"], "198.51.100.0/24"),
        ("127.0.0.1", [b"10.0.0.1", b"1.2.3.4 , 198.51.100.1"], "198.51.100.0/24"),
        ("::1", [b"2001:db8:1:2345::9"], "2001:db8:1:2300::/56"),
        ("::ffff:127.0.0.1", [b"::ffff:198.51.100.1"], "198.51.100.0/24"),
        ("fe80::1%eth0", [], "fe80::/56"),
        ("127.0.0.1", [b"198.51.100.1, nonsense"], "127.0.0.0/24"),
        ("127.0.0.1", [b"\xff"], "127.0.0.0/24"),
        (None, [], "unknown"),
    ],
)
def test_a_network_stands_for_its_people(peer, forwarded, found):
    """A request counts for its network, of which a proxy on this machine may tell; what the client made up is not believed."""
    assert network(peer, forwarded) == found


def test_a_network_has_a_budget():
    """A network may ask ten times an hour; so many networks ask that the first are forgotten, but memory does not grow."""
    budget = Budget()
    assert [budget.allows("a", at=float(second)) for second in range(TIMES + 2)] == [True] * TIMES + [False] * 2
    assert budget.allows("b", at=1.0)
    assert [budget.allows("a", at=WITHIN + second) for second in (0.0, 0.5, 1.0)] == [True, False, True]
    for number in range(NETWORKS):
        assert budget.allows(str(number), at=WITHIN)
    assert len(budget._spent) == NETWORKS


@pytest.mark.parametrize(
    "email",
    [
        "a@b.example",
        "a.b+c@sub.example.org",
        "o'neil@example.org",
        "x@bücher.example",
        "x@xn--bcher-kva.example",
        "x@例え.jp",
    ],
)
def test_addresses_that_mail_can_go_to_are_taken(email):
    """An address is taken as people have them, in any script behind the sign @."""
    assert problems_of({"email": email}, lists=["press"], agreed="") == {}


@pytest.mark.parametrize(
    "email",
    [
        *(
            "a",
            "@",
            "a@",
            "@b.example",
            "a@b",
            "a b@c.example",
            "a@b..example",
            ".a@b.example",
            "a.@b.example",
            "a..b@c.d",
        ),
        *(
            "a@-b.example",
            "a@b_c.example",
            "a@[192.0.2.1]",
            "a@192.0.2.1",
            '"a"@b.example',
            "a@b.example.",
            "é@b.example",
        ),
        *("<a@b.example>", "a@b.example>", "a@b@c.example", "a@b.example\n", "a\x00@b.example", "a@faß.example"),
        f"{'a' * 65}@b.example",
        f"a@{'b' * 64}.example",
        f"a@{'b.' * 200}example",
    ],
)
def test_addresses_that_can_not_be_are_not_taken(email):
    """What can be no address, or means two, is refused before anything is stored."""
    taken = email.strip() == "a@b.example"  # the blanks around an address are none of it
    assert ("email" not in problems_of({"email": email}, lists=["press"], agreed="")) is taken


@pytest.mark.parametrize(
    "name", ["Zoë", "Ana de la Cruz", "J. O’Brien-Smith, Jr.", "王小明", "मोहित", "محمد علی", "Núria Gal·la"]
)
def test_names_are_taken_in_every_script(name):
    """A name may be written in any script, with what belongs to names."""
    assert problems_of({"email": "a@b.example", "name": name}, lists=["press"], agreed="") == {}
    assert recipient_of({"email": "a@b.example", "name": name}) == f"{name} <a@b.example>"


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode), st.text('-abc=;" bou', max_size=40))
def test_no_body_breaks_the_reader(body, more):
    """Whatever is sent, a body is a list of fields or refused."""
    for form in (PLAIN, f"multipart/form-data; boundary={more}", "multipart/form-data; boundary=a"):
        for sent in (body, b"--a\r\nContent-Disposition: form-data; name=x\r\n" + body + b"\r\n--a--", b"--a" + body):
            with contextlib.suppress(bodies.Refused):
                assert all(isinstance(each, str) for pair in bodies.fields(form, sent) for each in pair)


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8"))), max_size=5
    )
)
def test_fields_are_read_as_they_were_sent(pairs):
    """Names and values in any script come through both encodings as they were."""
    assert bodies.fields(PLAIN, urlencode(pairs).encode()) == pairs
    pairs = [(re.sub(r'["\r\n]', "", name), value) for name, value in pairs]
    body = b"".join(
        b'--m~\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value.encode())
        for name, value in pairs
    )
    if b"\r\n--m~" not in b"".join(value.encode() for _, value in pairs):
        assert bodies.fields("multipart/form-data; boundary=m~", body + b"--m~--\r\n") == pairs


def test_a_client_that_leaves_is_let_go():
    """A client that goes away in the middle of its body is forgotten without an answer."""

    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(bodies.Gone):
        asyncio.run(bodies.read(receive, []))
