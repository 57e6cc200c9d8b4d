"""Pages and feeds: what a reader, a feed reader and a validator find in them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import feedparser
import pytest
from lxml import html as lxml_html

from scheduler.errors import RenderRefused
from scheduler.record import Question, Release
from scheduler.render import Newsroom, Renderer
from scheduler.render.templates import direction, link, moment

AT = datetime(2026, 12, 1, 14, tzinfo=UTC)
ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
NASTY = "A & B <c> \"q\" 'r' ]]> é مرحبا 😀"
ROOM = Newsroom(name="Press & <Office>", url="https://press.example.org/news/", zone="America/New_York", language="en")
PLAIN = Release(
    id="hled-preview",
    uuid="6f1b2c3d-0000-4000-8000-000000000001",
    tag="tag:press.example.org,2026:6f1b2c3d-0000-4000-8000-000000000001",
    revision=1,
    title="Economic Dialogue",
    summary="Four things were announced.",
    html="<p>First paragraph.</p>",
    text="First paragraph.",
    published_at=AT,
    updated_at=AT,
    zone="America/New_York",
    language="en",
)
FULL = replace(
    PLAIN,
    uuid="6f1b2c3d-0000-4000-8000-000000000002",
    tag="tag:press.example.org,2026:6f1b2c3d-0000-4000-8000-000000000002",
    id="größe #1? 日本",
    title=NASTY,
    summary=NASTY,
    html="<p>One ]]> two &lt;c&gt; ]]&gt;</p>",
    topics=("a & b", '"<c>'),
    attribution=NASTY,
    contact="press@example.org",
    source="https://www.example.org/über?a=1&b=2",
    moderator=NASTY,
    speakers=(NASTY, "Second Speaker"),
    questions=(Question(asker="Jane Doe", outlet="Example Wire"), Question()),
)
CORRECTED = replace(PLAIN, revision=2, updated_at=AT + timedelta(days=1), correction="Four, not five.")
RETRACTED = replace(CORRECTED, updated_at=AT + timedelta(days=2), retraction="Sent in error.")


@pytest.fixture(scope="module")
def renderer():
    return Renderer(newsroom=ROOM)


def page(renderer, release):
    return lxml_html.fromstring(renderer.page(release))


@pytest.mark.parametrize("releases", [[], [PLAIN], [FULL, PLAIN], [CORRECTED], [RETRACTED, FULL]], ids=len)
def test_feeds_are_read_without_complaint(renderer, releases):
    """RSS and Atom are parsed by feedparser without `bozo`, empty or full, whatever characters the texts hold."""
    documents = renderer.documents(releases)
    for name in ("rss.xml", "atom.xml"):
        feed = feedparser.parse(documents[name])
        assert not feed.bozo
        assert feed.version == {"rss.xml": "rss20", "atom.xml": "atom10"}[name]
        assert len(feed.entries) == len(releases)
    assert len(json.loads(documents["feed.json"])["items"]) == len(releases)


def test_rss_carries_everything(renderer):
    """An RSS item has title, link, permanent id, lift, last change, author, topics, summary and full text."""
    channel = ET.fromstring(renderer.documents([FULL])["rss.xml"]).find("channel")
    item = channel.find("item")
    assert channel.find(f"{ATOM}link").attrib == {
        "rel": "self",
        "type": "application/rss+xml",
        "href": "https://press.example.org/news/rss.xml",
    }
    assert channel.findtext("lastBuildDate") == item.findtext("pubDate") == "Tue, 01 Dec 2026 14:00:00 GMT"
    assert item.findtext("title") == item.findtext("{http://purl.org/dc/elements/1.1/}creator") == NASTY
    assert (
        item.findtext("link")
        == "https://press.example.org/news/releases/gr%C3%B6%C3%9Fe%20%231%3F%20%E6%97%A5%E6%9C%AC.html"
    )
    assert item.find("guid").attrib == {"isPermaLink": "false"}
    assert item.findtext("guid") == f"tag:press.example.org,2026:{FULL.uuid}"
    assert item.findtext("{http://purl.org/dc/terms/}modified") == "2026-12-01T14:00:00Z"
    assert [topic.text for topic in item.findall("category")] == list(FULL.topics)
    assert lxml_html.fromstring(item.findtext("description")).text_content() == NASTY
    assert FULL.html in item.findtext(CONTENT)


def test_rss_titles_use_numeric_references(renderer):
    """Plain-text elements of RSS write & and < as numeric references, which every reader understands alike."""
    rss = renderer.documents([FULL])["rss.xml"].decode()
    assert "<title>A &#x26; B &#x3C;c&#x3E;" in rss
    assert not re.search(r"<title>[^<]*&(amp|lt|gt);", rss)


def test_atom_carries_everything(renderer):
    """An Atom entry has id, both dates, author, both links, topics, summary and full text."""
    feed = ET.fromstring(renderer.documents([FULL])["atom.xml"])
    entry = feed.find(f"{ATOM}entry")
    assert feed.findtext(f"{ATOM}id") == "tag:press.example.org,2026:releases"
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == ROOM.name
    assert entry.findtext(f"{ATOM}id") == f"tag:press.example.org,2026:{FULL.uuid}"
    assert entry.findtext(f"{ATOM}published") == entry.findtext(f"{ATOM}updated") == "2026-12-01T14:00:00Z"
    assert [entry.findtext(ATOM + name) for name in ("title", "summary")] == [NASTY, NASTY]
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == NASTY
    assert {at.get("rel"): at.get("href").isascii() for at in entry.findall(f"{ATOM}link")} == {
        "alternate": True,
        "via": True,
    }
    assert [topic.get("term") for topic in entry.findall(f"{ATOM}category")] == list(FULL.topics)
    assert FULL.html in entry.findtext(f"{ATOM}content")


def test_json_feed_carries_everything(renderer):
    """The JSON Feed is of version 1.1 and as complete as the other two."""
    feed = json.loads(renderer.documents([FULL, PLAIN])["feed.json"])
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["feed_url"] == "https://press.example.org/news/feed.json"
    first, second = feed["items"]
    assert first["id"] == f"tag:press.example.org,2026:{FULL.uuid}"
    assert (first["title"], first["summary"], first["authors"]) == (NASTY, NASTY, [{"name": NASTY}])
    assert first["tags"] == list(FULL.topics)
    assert first["external_url"] == "https://www.example.org/%C3%BCber?a=1&b=2"
    assert FULL.html in first["content_html"]
    assert second["date_published"] == second["date_modified"] == "2026-12-01T14:00:00Z"
    assert "tags" not in second


def test_an_empty_feed_keeps_its_date(renderer):
    """A feed without releases is valid, and its date does not depend on when it was made."""
    documents = renderer.documents([])
    assert b"lastBuildDate" not in documents["rss.xml"]
    assert ET.fromstring(documents["atom.xml"]).findtext(f"{ATOM}updated") == "2000-01-01T00:00:00Z"
    assert (
        ET.fromstring(renderer.documents([], updated_at=AT)["atom.xml"]).findtext(f"{ATOM}updated")
        == "2026-12-01T14:00:00Z"
    )
    assert b"Nothing has been released yet" in documents["index.html"]


def test_the_feed_is_as_new_as_its_newest_change(renderer):
    """The feed's date is that of its newest change, and never goes back when an item is taken out."""
    assert b"<updated>2026-12-02T14:00:00Z</updated>\n<author>" in renderer.documents([PLAIN, CORRECTED])["atom.xml"]
    assert b"<lastBuildDate>Thu, 03 Dec" in renderer.documents([PLAIN], updated_at=AT + timedelta(days=2))["rss.xml"]


def test_a_correction_is_visible_and_keeps_the_id(renderer):
    """A correction keeps id and date of release, has a new date of change, and says in the text what was wrong."""
    entry = feedparser.parse(renderer.documents([CORRECTED])["atom.xml"]).entries[0]
    before = feedparser.parse(renderer.documents([PLAIN])["atom.xml"]).entries[0]
    assert (entry.id, entry.published) == (before.id, before.published)
    assert entry.updated == "2026-12-02T14:00:00Z"
    assert "Correction, 2 December 2026:</strong> Four, not five." in entry.content[0].value
    assert "Four, not five." in page(renderer, CORRECTED).find_class("notice")[0].text_content()
    assert b"Corrected" in renderer.documents([CORRECTED])["index.html"]


def test_a_retraction_replaces_the_text_everywhere(renderer):
    """A retracted release stays as a notice under the same id and address; its text is gone from every output."""
    release = replace(FULL, retraction="Sent in error.", html="<p>canary</p>", summary="canary", text="canary")
    documents = {**renderer.documents([release]), "release.html": renderer.page(release)}
    for name, data in documents.items():
        assert b"canary" not in data, name
        assert b"Retracted" in data, name
        assert b"Sent in error." in data, name
    tombstone = ET.fromstring(documents["atom.xml"]).find("{http://purl.org/atompub/tombstones/1.0}deleted-entry")
    assert tombstone.get("ref") == f"tag:press.example.org,2026:{FULL.uuid}"


def test_no_tombstone_without_a_retraction(renderer):
    """A feed in which nothing is retracted uses no namespace that validators do not know."""
    assert b"tombstones" not in renderer.documents([FULL, CORRECTED])["atom.xml"]


@pytest.mark.parametrize(
    ("language", "way"),
    [
        ("ar", "rtl"),
        ("he-IL", "rtl"),
        ("fa", "rtl"),
        ("ur", "rtl"),
        ("az-Arab", "rtl"),
        ("ar-Latn", "ltr"),
        ("zh-Hans", "ltr"),
    ],
)
def test_direction_follows_the_language(renderer, language, way):
    """Arabic, Hebrew, Persian and Urdu run from right to left, on pages and in feeds; a script subtag decides."""
    release = replace(PLAIN, uuid=language, language=language)
    assert direction(language) == way
    article = page(renderer, release).find_class("release")[0]
    assert (article.get("lang"), article.get("dir")) == (language, way)
    documents = renderer.documents([release])
    assert f'<entry xml:lang="{language}">'.encode() in documents["atom.xml"]
    assert f"<dc:language>{language}<".encode() in documents["rss.xml"]
    assert json.loads(documents["feed.json"])["items"][0]["language"] == language
    assert (b'<div dir="rtl"' in documents["rss.xml"]) == (way == "rtl")


@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        (AT, "America/New_York", "Tuesday 1 December 2026, 09:00 EST (14:00 UTC)"),
        (AT, "UTC", "Tuesday 1 December 2026, 14:00 UTC"),
        (AT, "America/Sao_Paulo", "Tuesday 1 December 2026, 11:00 UTC-03:00 (14:00 UTC)"),
        (AT, "Asia/Kathmandu", "Tuesday 1 December 2026, 19:45 UTC+05:45 (14:00 UTC)"),
        (AT + timedelta(hours=10), "Asia/Tokyo", "Wednesday 2 December 2026, 09:00 JST (00:00 UTC)"),
        (AT + timedelta(hours=2), "Asia/Tokyo", "Wednesday 2 December 2026, 01:00 JST (1 December, 16:00 UTC)"),
    ],
)
def test_the_instant_is_named_in_two_zones(at, zone, words):
    """A page states the release in the newsroom's zone, by name, and in UTC beside it, with its own date where that differs."""
    assert moment(at, zone) == words


def test_a_release_page_is_complete(renderer):
    """A release page names its instant, attribution, contact, source, speakers and who asked, and can be found by machines."""
    tree = page(renderer, FULL)
    text = tree.text_content()
    for words in (
        "Released Tuesday 1 December 2026, 09:00 EST (14:00 UTC)",
        "Second Speaker",
        "Jane Doe, Example Wire",
        "Name not given",
    ):
        assert words in text
    assert text.count(NASTY) >= 4
    assert tree.xpath("//time/@datetime") == ["2026-12-01T14:00:00Z"]
    assert tree.xpath("//a/@href[starts-with(., 'mailto:')]") == ["mailto:press@example.org"]
    address = "https://press.example.org/news/releases/gr%C3%B6%C3%9Fe%20%231%3F%20%E6%97%A5%E6%9C%AC.html"
    assert (
        tree.xpath("//link[@rel='canonical']/@href") == tree.xpath("//meta[@property='og:url']/@content") == [address]
    )
    data = json.loads(tree.xpath("//script[@type='application/ld+json']")[0].text)
    assert (data["@type"], data["headline"], data["url"]) == ("NewsArticle", NASTY, address)


def test_no_text_can_close_the_data_block(renderer):
    """A title that holds `</script>` stays text, on the page and in its machine-readable block."""
    tree = page(renderer, replace(PLAIN, title="</script><script>alert(1)</script>"))
    assert [script.get("type") for script in tree.iter("script")] == ["application/ld+json"]


def test_every_page_leads_to_the_feeds(renderer):
    """Every page names the three feeds with absolute addresses, and loads nothing from elsewhere."""
    pages = {
        name: data
        for name, data in {**renderer.fixed(), **renderer.documents([FULL])}.items()
        if name.endswith(".html")
    }
    assert sorted(pages) == ["404.html", "feeds.html", "index.html"]
    for data in (*pages.values(), renderer.page(FULL)):
        tree = lxml_html.fromstring(data)
        assert tree.xpath("//link[@rel='alternate']/@href") == [
            f"https://press.example.org/news/{feed}" for feed in ("rss.xml", "atom.xml", "feed.json")
        ]
        assert tree.xpath("//link[@rel='stylesheet']/@href") == ["/news/style.css"]
        assert not tree.xpath("//@src")
        assert len(tree.xpath("//h1")) == 1


def test_the_front_page_lists_releases(renderer):
    """The front page lists the releases in the order given, each with time, summary and topics."""
    tree = lxml_html.fromstring(renderer.documents([FULL, PLAIN])["index.html"])
    assert [heading.text_content() for heading in tree.xpath("//h2")] == [NASTY, PLAIN.title]
    assert tree.xpath("//h2/a/@href")[1] == "/news/releases/hled-preview.html"
    assert tree.xpath("//time/text()") == ["1 December 2026, 09:00 EST"] * 2
    assert [topic.text for topic in tree.find_class("topics")[0]] == list(FULL.topics)


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "ftp://example.org/", "a b@c", "https:///x", "Press desk", None, ""]
)
def test_only_web_and_mail_addresses_become_links(text):
    """A contact or source that is no web or mail address is shown as text, never as a link."""
    assert link(text) == ""


def test_bytes_depend_on_nothing_else(renderer):
    """The same releases give the same bytes, on another machine and after a warm start alike."""
    other = Renderer(newsroom=ROOM)
    for release in (FULL, PLAIN):
        other.warm(release)
    assert other.documents([FULL, PLAIN]) == renderer.documents([FULL, PLAIN])
    assert other.page(FULL) == renderer.page(FULL) == other.page(FULL)
    assert other.fixed() == renderer.fixed()


def test_what_was_warmed_does_not_outlive_a_change():
    """Text made ready before the lift is not used for a record that was amended or retracted since."""
    renderer = Renderer(newsroom=ROOM)
    renderer.warm(replace(PLAIN, title="canary", html="<p>canary</p>"))
    amended = replace(PLAIN, revision=2)
    retracted = replace(PLAIN, retraction="Sent in error.")
    for release in (amended, retracted):
        for data in (renderer.page(release), *renderer.documents([release]).values()):
            assert b"canary" not in data


def test_a_thousand_warmed_releases_are_joined_at_once():
    """A thousand releases that lift together are joined into four documents faster than they could be rendered."""
    renderer = Renderer(newsroom=ROOM)
    releases = [replace(PLAIN, uuid=f"{number:032x}", id=str(number)) for number in range(1000)]
    started = time.process_time()
    for release in releases:
        renderer.warm(release)
    rendered = time.process_time() - started
    started = time.process_time()
    documents = renderer.documents(releases)
    joined = time.process_time() - started
    assert len(json.loads(documents["feed.json"])["items"]) == 1000
    assert joined < rendered


@pytest.mark.parametrize("field", ["title", "summary", "html", "attribution", "contact", "source"])
@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1b", "\ufffe", "\ud800"])
def test_characters_that_xml_forbids_are_found_at_intake(renderer, field, character):
    """A character that no XML document may hold is refused hours before the lift, by its number, without quoting the text."""
    with pytest.raises(RenderRefused) as caught:
        renderer.rehearse(replace(PLAIN, **{field: f"canary{character}canary"}))
    assert f"U+{ord(character):04X}" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        (
            "rss-item.xml",
            "<item>\n{{ release.titel }}</item>",
            "rss-item.xml:2: UndefinedError in `{{ release.titel }}</item>`.",
        ),
        ("card.html", "{{ 1 // 0 }}", "card.html:1: ZeroDivisionError in `{{ 1 // 0 }}`."),
        ("atom.xml", "{% if %}", "atom.xml:1: Expected an expression"),
        ("rss.xml", "<rss>{{ items }}{{ items }}</rss>", "rss.xml: The template must hold {{ items }} exactly once."),
        ("atom-entry.xml", "<entry>", "atom.xml: The document is not well-formed: mismatched tag: line"),
        ("feed-item.json", "{,}", "feed.json: The document is not well-formed: Expecting property name"),
        ("release.html", '{% include "no.html" %}', 'release.html:1: TemplateNotFound in `{% include "no.html" %}`.'),
        ("404.html", b"\xff", "404.html: The template can't be read: UnicodeDecodeError."),
    ],
)
def test_a_broken_template_is_found_at_the_start(tmp_path, name, source, problem):
    """A template of one's own that does not work is refused when the service starts, with its file and line."""
    (tmp_path / name).write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(RenderRefused) as caught:
        Renderer(newsroom=ROOM, overrides=tmp_path)
    assert problem in str(caught.value)


def test_one_template_can_be_replaced(tmp_path):
    """A folder of one's own replaces the templates it holds, file by file; the others stay as shipped."""
    (tmp_path / "headline.txt").write_text("{% if release.retraction %}Zurückgezogen: {% endif %}{{ release.title }}\n")
    entry = feedparser.parse(Renderer(newsroom=ROOM, overrides=tmp_path).documents([RETRACTED])["atom.xml"]).entries[0]
    assert entry.title == "Zurückgezogen: Economic Dialogue"


def test_a_release_keeps_its_id_when_the_newsroom_moves():
    """A release keeps its id when the site moves to another address."""
    for url in ("http://127.0.0.1:8080/", "https://news.example.com/press/"):
        feed = Renderer(newsroom=replace(ROOM, url=url)).documents([PLAIN])["atom.xml"]
        assert f"<id>{PLAIN.tag}</id>".encode() in feed
