"""Content codings: which one a reader gets, that each is made once, and what is kept of them."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import brotli
import pytest
from web_kit import get, put, running

from scheduler.web import files
from scheduler.web.files import Folder
from scheduler.web.negotiate import codings

RSS = b"<rss version='2.0'><channel>" + b"<item>The minister opens the bridge.</item>" * 1000 + b"</channel></rss>"
UNPACK = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


def words(size: int) -> bytes:
    """Text that takes a packer its time."""
    chance = random.Random(size)
    return b" ".join(b"%x" % chance.getrandbits(24) for _ in range(size // 7))


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    site = tmp_path_factory.mktemp("codings")
    put(site / "rss.xml", RSS)
    put(site / "photo.jpg", b"\xff\xd8" + bytes(5000))
    put(site / "releases/a/table.csv", b"year,rate\n" * 500)
    put(site / "releases/a/plan.pdf", b"%PDF-" + bytes(5000))
    put(site / "short.html", b"<p>Short.</p>")
    with running(site) as (_, found):
        yield found


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("br", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("deflate, zstd", None),
        ("gzip;q=1.0, br;q=0.9", "gzip"),
        ("gzip; q=0.5 , br; q=0.5", "br"),
        ("gzip ; Q=0.8, br;q=0.7", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000, gzip;q=0.001", "gzip"),
        ("gzip;q=0, br;q=0", None),
        ("*", "br"),
        ("*;q=0.1", "br"),
        ("br;q=0, *", "gzip"),
        ("gzip, *;q=0", "gzip"),
        ("*, gzip;q=0, br;q=0", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("identity;q=0.5, *;q=0.5", "br"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("gzip;q=2", None),
        ("gzip;q=many", None),
        ("gzip;q=", None),
        ("gzip;q=0.1234", None),
        ("gzip;level=9", None),
        (",, gzip ,", "gzip"),
        ("gzip gzip", None),
    ],
)
def test_the_weights_of_codings_are_honoured(port, accepted, coding):
    """A reader gets the coding it likes best, the smallest of equals, the plain bytes where it takes none (RFC 9110 12.5.3)."""
    status, fields, body = get(port, Accept_Encoding=accepted)
    assert (status, fields.get("content-encoding"), fields["vary"]) == (200, coding, "Accept-Encoding")
    assert UNPACK[coding](body) == RSS


def test_every_coding_has_a_tag_of_its_own(port):
    """The same feed travels in a tenth of the bytes, and no cache can take one coding for another."""
    tags = {}
    for coding in ("identity", "gzip", "br"):
        status, fields, body = get(port, Accept_Encoding=coding)
        assert (status, fields["content-length"]) == (200, str(len(body)))
        assert coding == "identity" or len(body) < len(RSS) / 10
        tags[coding] = fields["etag"].strip('"')
        _, head, nothing = get(port, "/rss.xml", "HEAD", Accept_Encoding=coding)
        assert ({**head, "date": ""}, nothing) == ({**fields, "date": ""}, b"")
    assert tags["gzip"] == f"{tags['identity']}-gzip"
    assert tags["br"] == f"{tags['identity']}-br"


@pytest.mark.parametrize(
    ("path", "packed"),
    [("/releases/a/table.csv", True), ("/releases/a/plan.pdf", False), ("/photo.jpg", False), ("/short.html", False)],
)
def test_only_texts_that_gain_are_packed(port, path, packed):
    """Pictures and documents travel as they are, and so does a text so short that the header field would outweigh the gain."""
    assert ("content-encoding" in get(port, path, Accept_Encoding="gzip, br, identity;q=0")[1]) is packed


def test_refusing_everything_leaves_the_best_of_nothing():
    """What a reader refuses is left out, best first; one that names nothing takes the plain bytes."""
    assert codings("br;q=0.2, gzip;q=0.8") == ("gzip", "br", "identity")
    assert codings("") == ("identity",)
    assert codings("identity;q=0, br") == ("br",)
    assert codings("*;q=0") == ()


@pytest.fixture
def counted(monkeypatch):
    """How often each packer worked."""
    made: list[str] = []

    def count(coding, pack):
        def packer(data: bytes) -> bytes:
            made.append(coding)
            return pack(data)

        return packer

    monkeypatch.setattr(files, "_PACKERS", {name: count(name, pack) for name, pack in files._PACKERS.items()})
    return made


def test_a_rush_makes_each_form_once(tmp_path, counted):
    """When hundreds ask for a new feed at the lift, it is read once and packed once per coding, whoever gives up."""
    put(tmp_path / "rss.xml", data := words(1_000_000))

    async def one(folder: Folder, coding: str) -> bytes:
        file = await folder.get("/rss.xml")
        assert file is not None
        return await folder.packed(file, coding)

    async def rush() -> None:
        folder = Folder(tmp_path)
        impatient = asyncio.create_task(one(folder, "br"))
        asks = [asyncio.create_task(one(folder, coding)) for coding in ("br", "gzip") * 200]
        await asyncio.sleep(0)
        impatient.cancel()
        got = await asyncio.gather(*asks)
        assert {UNPACK["br"](form) for form in got[::2]} == {UNPACK["gzip"](form) for form in got[1::2]} == {data}
        assert len({id(form) for form in got}) == 2
        assert len({id(await folder.get("/rss.xml")) for _ in range(3)}) == 1

    asyncio.run(rush())
    assert sorted(counted) == ["br", "gzip"]


def test_a_known_feed_is_not_packed_to_say_so(tmp_path, counted):
    """A reader that has the newest feed is told so before any coding is made, also right after a start."""
    from scheduler.web.app import Site

    put(tmp_path / "rss.xml", RSS)

    async def known() -> list[int]:
        async def send(message):
            answers.append(message)

        answers: list = []
        site = Site(tmp_path, now=lambda: int(time.time()))
        file = await Folder(tmp_path).get("/rss.xml")
        headers = [(b"accept-encoding", b"br"), (b"if-none-match", f'"{file.tag}-br"'.encode())]
        await site({"method": "GET", "path": "/rss.xml", "headers": headers}, None, send)
        return [answer["status"] for answer in answers if "status" in answer]

    assert asyncio.run(known()) == [304]
    assert counted == []


def test_packing_a_large_feed_keeps_nobody_waiting(tmp_path):
    """While a very large feed is packed for the first who ask, everybody else is answered."""
    put(tmp_path / "rss.xml", words(4_000_000))
    put(tmp_path / "index.html", b"<p>News.</p>")
    with running(tmp_path) as (_, port), ThreadPoolExecutor(2) as readers:
        large = [readers.submit(get, port, Accept_Encoding=coding) for coding in ("br", "gzip")]
        answered = 0
        while not all(one.done() for one in large):
            assert get(port, "/")[0] == 200
            answered += 1
        assert answered > 5
        assert [one.result()[1]["content-encoding"] for one in large] == ["br", "gzip"]


def test_what_is_kept_stays_within_bounds(tmp_path, monkeypatch):
    """Memory for files is bounded, packed forms included; what was dropped is read and packed again when it is asked for."""
    monkeypatch.setattr(files, "KEPT", 500_000)
    for number in range(40):
        put(tmp_path / f"{number}.html", words(20_000 + number))

    async def crawl() -> None:
        folder = Folder(tmp_path)
        for round_ in range(2):
            for number in range(40):
                file = await folder.get(f"/{number}.html")
                packed = [await folder.packed(file, coding) for coding in ("br", "gzip")]
                assert (
                    UNPACK["br"](packed[0]) == UNPACK["gzip"](packed[1]) == (tmp_path / f"{number}.html").read_bytes()
                )
                held = sum(len(form) for kept in folder._files.values() for form in kept.forms.values())
                assert held == folder._size <= 500_000
            if round_ == 0:
                os.utime(tmp_path / "39.html")  # the same bytes under another date: what was made of them is kept
                assert await folder.packed(await folder.get("/39.html"), "br") is packed[0]
        for number in range(40):
            (tmp_path / f"{number}.html").unlink()
            assert await folder.get(f"/{number}.html") is None
        assert folder._size == 0

    asyncio.run(crawl())


def test_changes_within_one_tick_of_the_kernel_show(tmp_path, monkeypatch):
    """A feed that is replaced twice within one tick of the kernel's clock shows, even where its new file looks like the first."""
    monkeypatch.setattr(files, "_state", lambda _: (1,))
    put(tmp_path / "rss.xml", RSS)
    made = (tmp_path / "rss.xml").stat().st_ctime
    monkeypatch.setattr(files.clock, "system", lambda: datetime.fromtimestamp(made + 0.001, UTC))

    async def ask() -> None:
        folder = Folder(tmp_path)
        first = await folder.get("/rss.xml")
        packed = await folder.packed(first, "br")
        again = await folder.get("/rss.xml")
        assert (again.tag, await folder.packed(again, "br")) == (first.tag, packed)
        assert await folder.packed(again, "br") is packed
        put(tmp_path / "rss.xml", RSS.swapcase())
        assert (await folder.get("/rss.xml")).forms["identity"] == RSS.swapcase()

    asyncio.run(ask())


def test_a_change_during_the_reading_is_not_lost(tmp_path, monkeypatch):
    """A large feed that is replaced while its older version is being read shows in its newer one ever after."""
    put(tmp_path / "rss.xml", b"old" * 100_000)
    read, waits, goes_on = Folder._read, threading.Event(), threading.Event()

    def slow(self, name):
        file = read(self, name)
        if file.forms["identity"].startswith(b"old"):
            waits.set()
            assert goes_on.wait(10)
        return file

    monkeypatch.setattr(Folder, "_read", slow)

    async def race() -> None:
        folder = Folder(tmp_path)
        older = asyncio.create_task(folder.get("/rss.xml"))
        await asyncio.to_thread(waits.wait, 10)
        put(tmp_path / "rss.xml", b"new" * 100_000)
        newer = await folder.get("/rss.xml")
        goes_on.set()
        assert (await older).forms["identity"].startswith(b"old")
        assert newer.forms["identity"].startswith(b"new")
        assert (await folder.get("/rss.xml")).forms is newer.forms

    asyncio.run(race())
