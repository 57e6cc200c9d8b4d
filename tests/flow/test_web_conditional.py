"""Conditional requests, one table for the built-in server and for nginx with the configuration that is shipped.

RFC 9110, sections 8.8.2, 8.8.3, 13.1, 13.2.2 and 15.4.5. Where nginx answers differently, the case says so, and why.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial

import pytest
from web_kit import ask, get, nginx, put, raw, running, until

from scheduler.web.negotiate import seconds

OLD = 1_700_000_000
HOUR = 3600
ITEM = b"<item><title>The minister opens the bridge.</title></item>"
RSS = b"<rss version='2.0'><channel>" + ITEM * 50 + b"</channel></rss>"
PAGE = b"<!doctype html><title>Newsroom</title>" + b"<p>News.</p>" * 100
SHORT = b"<!doctype html><title>Bridge</title>"
PHOTO = b"\xff\xd8" + bytes(1000)
SAME = ("etag", "last-modified", "cache-control", "vary", "link", "access-control-allow-origin")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request: its header fields, with the server's own values filled in, and the status it must get."""

    asked: dict[str, str]
    status: int
    nginx: int = 0
    why: str = ""
    method: str = "GET"
    path: str = "/rss.xml"
    id: str = field(default="")


def _case(
    status: int, *, nginx: int = 0, why: str = "", method: str = "GET", path: str = "/rss.xml", **asked: str
) -> Case:
    fields = {name.replace("_", "-"): value for name, value in asked.items()}
    said = " ".join(f"{name}:{value}" for name, value in fields.items())
    return Case(
        asked=fields,
        status=status,
        nginx=nginx or status,
        why=why,
        method=method,
        path=path,
        id=f"{method} {path} {said}",
    )


BOTH = "nginx wants tag and date to match: who has both as they are is answered alike, anybody else gets the feed once too often"
EXACT = "nginx is told to compare dates for equality: its dates can move back, and a change must not be missed for it"
STRICT = "nginx takes a date that it can't read for one long past"
ALWAYS = "nginx heeds If-Unmodified-Since beside If-Match too"
WEAK = "nginx has one tag for all codings, and calls it weak where it packs (8.8.3.3 allows that)"

CASES = [
    # Nothing known.
    _case(200),
    _case(200, method="HEAD"),
    # If-None-Match alone (13.1.2): weak comparison, lists, *.
    _case(304, If_None_Match="{tag}"),
    _case(304, If_None_Match="W/{tag}"),
    _case(304, If_None_Match="*"),
    _case(304, If_None_Match=" * "),
    _case(304, If_None_Match='"other", {tag}'),
    _case(304, If_None_Match='{tag}, "other"'),
    _case(304, If_None_Match='"other",{tag},"more"'),
    _case(304, If_None_Match='W/"other" ,\tW/{tag}'),
    _case(304, If_None_Match='"with, comma", {tag}'),
    _case(304, If_None_Match='"", {tag}'),
    _case(304, If_None_Match=", ,{tag},"),
    _case(200, If_None_Match='"other"'),
    _case(200, If_None_Match='"other", W/"more"'),
    _case(200, If_None_Match='""'),
    _case(200, If_None_Match=""),
    _case(304, method="HEAD", If_None_Match="{tag}"),
    _case(200, method="HEAD", If_None_Match='"other"'),
    # Malformed: what can't be read names nothing, and what can be read beside it counts.
    _case(200, If_None_Match="{bare}"),
    _case(200, If_None_Match="'{bare}'"),
    _case(200, If_None_Match='"{bare}'),
    _case(200, If_None_Match='{bare}"'),
    _case(200, If_None_Match="w/{tag}"),
    _case(200, If_None_Match="W/ {tag}"),
    _case(200, If_None_Match='"other"{tag}'),
    _case(304, If_None_Match="rubbish, {tag}"),
    _case(304, If_None_Match='"other", *, {tag}'),
    # If-Modified-Since alone (13.1.3), in the three forms of a date (5.6.7).
    _case(304, If_Modified_Since="{modified}"),
    _case(304, If_Modified_Since="{modified850}"),
    _case(304, If_Modified_Since="{modifiedasc}"),
    _case(304, nginx=200, why=EXACT, If_Modified_Since="{after}"),
    _case(200, If_Modified_Since="{before}"),
    _case(200, If_Modified_Since="{before850}"),
    _case(200, If_Modified_Since="{beforeasc}"),
    _case(304, method="HEAD", If_Modified_Since="{modified}"),
    _case(200, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT"),
    # No date (13.1.3: ignored).
    _case(200, If_Modified_Since="yesterday"),
    _case(200, If_Modified_Since=""),
    _case(200, If_Modified_Since="0"),
    _case(200, If_Modified_Since="2023-11-14T22:13:20Z"),
    _case(200, If_Modified_Since="Tue, 31 Feb 2099 22:13:20 GMT"),
    _case(200, If_Modified_Since="{after}, {after}"),
    _case(200, If_Modified_Since="{tag}"),
    # Both: the tag decides, whatever the date (13.2.2).
    _case(304, If_None_Match="{tag}", If_Modified_Since="{modified}"),
    _case(304, nginx=200, why=BOTH, If_None_Match="{tag}", If_Modified_Since="{before}"),
    _case(304, nginx=200, why=BOTH, If_None_Match="{tag}", If_Modified_Since="{after}"),
    _case(304, nginx=200, why=BOTH, If_None_Match="{tag}", If_Modified_Since="yesterday"),
    _case(200, If_None_Match='"other"', If_Modified_Since="{modified}"),
    _case(200, If_None_Match='"other"', If_Modified_Since="{after}"),
    # If-Match (13.1.1): strong comparison.
    _case(200, If_Match="{tag}"),
    _case(200, If_Match="*"),
    _case(200, If_Match='"other", {tag}'),
    _case(412, If_Match="W/{tag}"),
    _case(412, If_Match='"other"'),
    _case(412, If_Match=""),
    _case(412, If_Match="{bare}"),
    _case(412, method="HEAD", If_Match='"other"'),
    # If-Unmodified-Since (13.1.4).
    _case(200, If_Unmodified_Since="{modified}"),
    _case(200, If_Unmodified_Since="{modified850}"),
    _case(200, If_Unmodified_Since="{after}"),
    _case(412, If_Unmodified_Since="{before}"),
    _case(412, If_Unmodified_Since="{beforeasc}"),
    _case(200, nginx=412, why=STRICT, If_Unmodified_Since="never"),
    # All four, in their order (13.2.2).
    _case(200, nginx=412, why=ALWAYS, If_Match="{tag}", If_Unmodified_Since="{before}"),
    _case(412, If_Match='"other"', If_Unmodified_Since="{after}"),
    _case(304, If_Match="{tag}", If_None_Match="{tag}"),
    _case(412, If_Match='"other"', If_None_Match="{tag}"),
    _case(412, If_Unmodified_Since="{before}", If_None_Match="{tag}"),
    _case(304, If_Unmodified_Since="{after}", If_Modified_Since="{modified}"),
    _case(
        304,
        nginx=412,
        why=ALWAYS,
        If_Match="{tag}",
        If_Unmodified_Since="{before}",
        If_None_Match="{tag}",
        If_Modified_Since="{modified}",
    ),
    # Each coding has a tag of its own (8.8.3.3).
    _case(304, Accept_Encoding="gzip", If_None_Match="{gzip}"),
    _case(304, Accept_Encoding="br, gzip", If_None_Match="{br}"),
    _case(200, nginx=304, why=WEAK, Accept_Encoding="gzip", If_None_Match="{tag}"),
    _case(200, nginx=304, why=WEAK, Accept_Encoding="br", If_None_Match="{gzip}"),
    _case(200, nginx=304, why=WEAK, If_None_Match="{gzip}"),
    _case(304, Accept_Encoding="gzip", If_None_Match="{tag}, {gzip}, {br}"),
    _case(304, Accept_Encoding="gzip", If_Modified_Since="{modified}"),
    _case(412, nginx=200, why=WEAK, Accept_Encoding="gzip", If_Match="{tag}"),
    _case(200, Accept_Encoding="br", If_Match="{br}"),
    # Other files as well.
    _case(304, path="/", If_None_Match="{tag}"),
    _case(304, path="/", Accept_Encoding="gzip", If_None_Match="{gzip}"),
    _case(304, path="/photo.jpg", If_None_Match="{tag}"),
    _case(304, path="/photo.jpg", Accept_Encoding="gzip", If_None_Match="{tag}"),
    _case(304, path="/short.html", Accept_Encoding="br, gzip", If_None_Match="{tag}"),
    # What is not there has no validators: preconditions change nothing (13.2.1).
    _case(404, path="/nowhere", If_None_Match="*"),
    _case(404, path="/nowhere", If_Match="*"),
    _case(404, path="/nowhere", If_Modified_Since="{after}"),
    _case(404, path="/nowhere", If_Unmodified_Since="{before}"),
    # Only reading is conditional here.
    _case(405, method="POST", If_None_Match="*"),
]


@pytest.fixture(scope="module", params=["built-in", "nginx"])
def server(request, tmp_path_factory):
    """The name and the port of a server on a site of its own that has been as it is for a while."""
    home = tmp_path_factory.mktemp("conditional")
    site = home / "public"
    pages = {"rss.xml": RSS, "index.html": PAGE, "photo.jpg": PHOTO, "short.html": SHORT, "404.html": PAGE}
    for name, data in pages.items():
        put(site / name, data, at=OLD)
    if request.param == "nginx":
        with nginx(site, home / "nginx", links=True) as port:
            yield "nginx", port
    else:
        with running(site, "https://news.example.org/", "https://hub.example.org/") as (_, port):
            for path in ("/", "/rss.xml", "/photo.jpg", "/short.html"):
                until(
                    lambda path=path: get(port, path, If_Modified_Since=get(port, path)[1]["last-modified"])[0] == 304
                )
            yield "built-in", port


def known(port: int, path: str) -> dict[str, str]:
    """What a reader who knows a file in every coding can say of it."""
    _, fields, _ = get(port, path)
    if "etag" not in fields or "last-modified" not in fields:
        return known(port, "/rss.xml")
    tag, moment = fields["etag"], seconds(fields["last-modified"])
    said = {"tag": tag, "bare": tag.strip('"')}
    for coding in ("gzip", "br"):
        said[coding] = get(port, path, Accept_Encoding=coding)[1]["etag"]
    for name, at in (("before", moment - HOUR), ("modified", moment), ("after", moment + HOUR)):
        when = datetime.fromtimestamp(at, UTC)
        said[name] = formatdate(at, usegmt=True)
        said[f"{name}850"] = when.strftime("%A, %d-%b-%y %H:%M:%S GMT")
        said[f"{name}asc"] = when.strftime("%a %b %e %H:%M:%S %Y")
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_conditional_request_is_judged_in_the_order_of_rfc_9110(server, case):
    """A reader that has the newest feed is told so in a few bytes; all preconditions count, in the order of RFC 9110 13.2.2."""
    name, port = server
    said = known(port, case.path)
    asked = {key: value.format(**said) for key, value in case.asked.items()}
    status, fields, body = ask(port, case.path, case.method, asked)
    assert status == (case.nginx if name == "nginx" else case.status)
    assert {"cache-control", "vary", "date"} <= fields.keys()
    if status == 304:
        unconditional = {key: value for key, value in asked.items() if key == "Accept-Encoding"}
        _, full, _ = ask(port, case.path, case.method, unconditional)
        plainly = {key: value.removeprefix("W/") for key, value in fields.items()}
        assert {key: plainly.get(key) for key in SAME} == {
            key: full.get(key, "").removeprefix("W/") or None for key in SAME
        }
        assert "content-type" not in fields
        assert body == b""
    elif status == 200 and case.method == "GET":
        assert len(body) == int(fields.get("content-length", len(body))) > 0


def test_every_difference_of_nginx_has_its_reason():
    """The table has sixty cases and more, and says of each answer in which nginx differs why it does."""
    assert len(CASES) >= 60
    assert all(bool(case.why) == (case.nginx != case.status) for case in CASES)
    assert len({case.id for case in CASES}) == len(CASES)


def test_etags_in_two_fields_are_one_list(server):
    """Entity tags that come in several fields count like one list; nginx refuses such a request, which harms no feed reader."""
    name, port = server
    tag = get(port)[1]["etag"].encode()
    request = (
        b'GET /rss.xml HTTP/1.1\r\nHost: x\r\nIf-None-Match: "a"\r\nIf-None-Match: %b\r\nConnection: close\r\n\r\n'
    )
    assert raw(port, request % tag).startswith(b"HTTP/1.1 400 " if name == "nginx" else b"HTTP/1.1 304 ")


def test_a_reader_sees_a_change_and_an_item_that_goes(server, tmp_path):
    """Whatever validator a reader keeps, and in whatever coding, it sees the feed change, and an item go."""
    name, _ = server
    site = tmp_path / "public"
    with nginx(site, tmp_path / "nginx") if name == "nginx" else running(site) as started:
        port = started if name == "nginx" else started[1]
        versions = [ITEM * 50, ITEM * 51, ITEM * 50, ITEM * 49]  # lifted, retracted, retracted
        for age, items in zip((400, 300, 200, 100), versions, strict=True):
            kept = [known(port, "/rss.xml")] if (site / "rss.xml").exists() else []
            put(site / "rss.xml", b"<rss>" + items + b"</rss>", at=int(datetime.now(UTC).timestamp()) - age)
            for before in kept:
                for coding, tag in (("identity", "tag"), ("gzip", "gzip"), ("br", "br")):
                    asked = {"Accept-Encoding": coding, "If-None-Match": before[tag]}
                    assert ask(port, "/rss.xml", "GET", asked)[0] == 200
                    assert ask(port, "/rss.xml", "GET", {**asked, "If-Modified-Since": before["modified"]})[0] == 200
                assert get(port, If_Modified_Since=before["modified"])[2] == (site / "rss.xml").read_bytes()


@pytest.mark.parametrize("restarted", [False, True])
def test_last_modified_never_moves_back(tmp_path, restarted):
    """A feed that is replaced by an older file, from a backup say, is a change like any other: its date moves forward."""
    site, dates = tmp_path / "public", []
    ages = (0, 86400, 3 * 86400)
    with contextlib.ExitStack() as running_:
        port = None
        for version, age in enumerate(ages):
            before = get(port)[1]["last-modified"] if port else None
            put(site / "rss.xml", RSS + bytes([version]), at=int(datetime.now(UTC).timestamp()) - age)
            if port is None or restarted:
                running_.close()
                _, port = running_.enter_context(running(site))
            if before is not None:
                assert get(port, If_Modified_Since=before)[0] == 200
            dates.append(seconds(until(partial(settled, port))))
    assert dates == sorted(dates)
    assert dates[-1] >= datetime.now(UTC).timestamp() - 60


def settled(port: int) -> str | None:
    """The date of the feed, once it is more than a second old."""
    modified = get(port)[1]["last-modified"]
    return modified if get(port, If_Modified_Since=modified)[0] == 304 else None


def test_a_feed_that_is_only_touched_is_no_new_version(tmp_path):
    """Copied over itself, or touched by a backup, a feed stays what it was: no reader fetches it again."""
    with running(tmp_path) as (_, port):
        put(tmp_path / "rss.xml", RSS)
        modified = until(partial(settled, port))
        put(tmp_path / "rss.xml", RSS)
        os.utime(tmp_path / "rss.xml")
        assert get(port, If_Modified_Since=modified)[0] == 304
        assert get(port)[1]["last-modified"] == modified
