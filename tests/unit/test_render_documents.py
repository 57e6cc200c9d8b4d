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
from scheduler.record import Attachment, Question, Release, Version
from scheduler.render import Feed, Form, Newsroom, Renderer
from scheduler.render.templates import direction, link, moment, taken

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


def documents_of(renderer, releases, *, form=Form.FULL, **feed):
    """The three formats of a feed, and the front page, of these releases."""
    versions = [
        Version(each.id, each.uuid, each.revision, each.published_at, each.updated_at, each.retraction is not None)
        for each in releases
    ]
    known = {each.id: each for each in releases}

    def load(ids):
        return [known[record_id] for record_id in ids]

    return {
        **renderer.feed(Feed(id="urn:uuid:feed", **feed), [(version, form) for version in versions], load=load),
        "index.html": renderer.cards("index.html", versions, part="card.html", load=load),
    }


def page(renderer, release):
    return lxml_html.fromstring(renderer.page(release))


@pytest.mark.parametrize("releases", [[], [PLAIN], [FULL, PLAIN], [CORRECTED], [RETRACTED, FULL]], ids=len)
def test_feeds_are_read_without_complaint(renderer, releases):
    """RSS and Atom are parsed by feedparser without `bozo`, empty or full, whatever characters the texts hold."""
    documents = documents_of(renderer, releases)
    for name in ("rss.xml", "atom.xml"):
        feed = feedparser.parse(documents[name])
        assert not feed.bozo
        assert feed.version == {"rss.xml": "rss20", "atom.xml": "atom10"}[name]
        assert len(feed.entries) == len(releases)
    assert len(json.loads(documents["feed.json"])["items"]) == len(releases)


def test_rss_carries_everything(renderer):
    """An RSS item has title, link, permanent id, lift, last change, author, topics, summary and full text."""
    channel = ET.fromstring(documents_of(renderer, [FULL])["rss.xml"]).find("channel")
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
    rss = documents_of(renderer, [FULL])["rss.xml"].decode()
    assert "<title>A &#x26; B &#x3C;c&#x3E;" in rss
    assert not re.search(r"<title>[^<]*&(amp|lt|gt);", rss)


def test_atom_carries_everything(renderer):
    """An Atom entry has id, both dates, author, both links, topics, summary and full text."""
    feed = ET.fromstring(documents_of(renderer, [FULL])["atom.xml"])
    entry = feed.find(f"{ATOM}entry")
    assert feed.findtext(f"{ATOM}id") == "urn:uuid:feed"
    assert feed.findtext(f"{ATOM}author/{ATOM}name") == ROOM.name
    assert entry.findtext(f"{ATOM}id") == f"tag:press.example.org,2026:{FULL.uuid}"
    assert entry.findtext(f"{ATOM}published") == entry.findtext(f"{ATOM}updated") == "2026-12-01T14:00:00Z"
    assert (
        entry.findtext(f"{ATOM}title") == lxml_html.fromstring(entry.findtext(f"{ATOM}summary")).text_content() == NASTY
    )
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == NASTY
    assert {at.get("rel"): at.get("href").isascii() for at in entry.findall(f"{ATOM}link")} == {
        "alternate": True,
        "via": True,
    }
    assert [topic.get("term") for topic in entry.findall(f"{ATOM}category")] == list(FULL.topics)
    assert FULL.html in entry.findtext(f"{ATOM}content")


def test_json_feed_carries_everything(renderer):
    """The JSON Feed is of version 1.1 and as complete as the other two."""
    feed = json.loads(documents_of(renderer, [FULL, PLAIN])["feed.json"])
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


PDF = Attachment(
    name="bilan détaillé.pdf", media_type="application/pdf", size=1234, digest="0" * 64, title="Annex & <1>"
)
CHART = Attachment(
    name="chart.png", media_type="image/png", size=99, digest="1" * 64, alt='A line that "falls" & <rises>'
)
MEDIA = "{http://search.yahoo.com/mrss/}"


def test_attachments_are_enclosures(renderer):
    """A release's attachments stand in every feed with address, type and length, and images with what they show."""
    documents = documents_of(renderer, [replace(PLAIN, uuid="attached", attachments=(PDF, CHART))])
    pdf = "https://press.example.org/news/releases/hled-preview/bilan%20d%C3%A9taill%C3%A9.pdf"
    chart = "https://press.example.org/news/releases/hled-preview/chart.png"
    item = ET.fromstring(documents["rss.xml"]).find("channel/item")
    assert [each.attrib for each in item.findall("enclosure")] == [
        {"url": pdf, "length": "1234", "type": "application/pdf"}
    ]
    [image] = item.findall(f"{MEDIA}content")
    assert image.attrib == {"url": chart, "fileSize": "99", "type": "image/png", "medium": "image"}
    assert image.findtext(f"{MEDIA}description") == CHART.alt
    links = ET.fromstring(documents["atom.xml"]).findall(f"{ATOM}entry/{ATOM}link[@rel='enclosure']")
    assert [(each.get("href"), each.get("type"), each.get("length"), each.get("title")) for each in links] == [
        (pdf, "application/pdf", "1234", PDF.title),
        (chart, "image/png", "99", CHART.alt),
    ]
    [item] = json.loads(documents["feed.json"])["items"]
    assert item["attachments"] == [
        {"url": pdf, "mime_type": "application/pdf", "size_in_bytes": 1234, "title": PDF.title},
        {"url": chart, "mime_type": "image/png", "size_in_bytes": 99, "title": CHART.alt},
    ]
    assert item["image"] == chart
    shown = lxml_html.fromstring(item["content_html"])
    assert [(each.get("src"), each.get("alt")) for each in shown.iter("img")] == [(chart, CHART.alt)]
    assert shown.xpath("//a/@href") == [pdf]


def test_a_retraction_takes_attachments_away(renderer):
    """Nothing leads to the attachments of a release that was retracted."""
    release = replace(RETRACTED, uuid="taken back", attachments=(PDF, CHART))
    for name, data in {**documents_of(renderer, [release]), "page": renderer.page(release)}.items():
        assert b"chart" not in data, name
        assert b"pdf" not in data, name


@pytest.mark.parametrize("form", [Form.SUMMARY, Form.BARE])
def test_a_short_item_is_still_an_item(renderer, form):
    """An item without its text keeps id, title, address and both dates, and says nothing of what it leaves out."""
    documents = documents_of(renderer, [FULL], form=form)
    for name in ("rss.xml", "atom.xml"):
        [entry] = feedparser.parse(documents[name]).entries
        assert (entry.id, entry.title) == (
            FULL.tag,
            feedparser.parse(documents_of(renderer, [FULL])[name]).entries[0].title,
        )
        assert entry.link.endswith(".html")
        assert entry.published_parsed[:4] == (2026, 12, 1, 14)
        assert "content" not in entry
        assert ("summary" in entry) == (form is Form.SUMMARY or name == "atom.xml")  # Atom wants words in every entry
    [item] = json.loads(documents["feed.json"])["items"]
    assert "content_html" not in item
    assert item["content_text"] == NASTY


def test_entries_of_one_lift_have_dates_of_their_own(renderer):
    """What lifts together is told apart by dates that are exact to the microsecond, and shows the same second to people."""
    releases = [
        replace(PLAIN, id=f"r{number}", uuid=f"{number}", updated_at=AT + timedelta(microseconds=number))
        for number in (0, 1, 500_000)
    ]
    atom = ET.fromstring(documents_of(renderer, releases)["atom.xml"])
    assert [entry.findtext(f"{ATOM}updated") for entry in atom.findall(f"{ATOM}entry")] == [
        "2026-12-01T14:00:00Z",
        "2026-12-01T14:00:00.000001Z",
        "2026-12-01T14:00:00.5Z",
    ]


def test_a_document_of_the_archive_says_so(renderer):
    """An archive document names itself, the feed it belongs to, the archive before it, and that it is one (RFC 5005)."""
    documents = documents_of(
        renderer,
        [PLAIN],
        folder="archive/2026-12/",
        title="December 2026",
        archived=True,
        previous="archive/2026-11-3/",
    )
    news = "https://press.example.org/news/"
    for name, kind in (("rss.xml", "application/rss+xml"), ("atom.xml", "application/atom+xml")):
        tree = ET.fromstring(documents[name])
        links = {each.get("rel"): each.get("href") for each in tree.iter(f"{ATOM}link") if each.get("type") == kind}
        assert links == {
            "self": f"{news}archive/2026-12/{name}",
            "current": f"{news}{name}",
            "prev-archive": f"{news}archive/2026-11-3/{name}",
        }
        assert len(list(tree.iter("{http://purl.org/syndication/history/1.0}archive"))) == 1
    assert json.loads(documents["feed.json"])["next_url"] == f"{news}archive/2026-11-3/feed.json"


def test_hubs_are_declared_in_the_main_feed_alone():
    """Every hub that is pinged is declared in the three formats of the feed of everything, and nowhere else."""
    hubs = ("https://hub.example.org/?a=1&b=2", "https://other.example/")
    renderer = Renderer(newsroom=ROOM, hubs=hubs)
    documents = documents_of(renderer, [PLAIN])
    for name in ("rss.xml", "atom.xml"):
        links = ET.fromstring(documents[name]).iter(f"{ATOM}link")
        assert tuple(each.get("href") for each in links if each.get("rel") == "hub") == hubs
    assert json.loads(documents["feed.json"])["hubs"] == [{"type": "WebSub", "url": hub} for hub in hubs]
    for feed in ({"folder": "topics/a/", "title": "a"}, {"folder": "archive/2026-12/", "archived": True}):
        for data in documents_of(renderer, [PLAIN], **feed).values():
            assert b"hub.example.org" not in data


def test_an_empty_feed_keeps_its_date(renderer):
    """A feed without releases is valid, and its date does not depend on when it was made."""
    documents = documents_of(renderer, [])
    assert b"lastBuildDate" not in documents["rss.xml"]
    assert ET.fromstring(documents["atom.xml"]).findtext(f"{ATOM}updated") == "2000-01-01T00:00:00Z"
    assert b"Nothing has been released yet" in documents["index.html"]


def test_the_feed_is_as_new_as_its_newest_change(renderer):
    """The feed's date is that of its newest change."""
    assert (
        b"<updated>2026-12-02T14:00:00Z</updated>\n<author>" in documents_of(renderer, [PLAIN, CORRECTED])["atom.xml"]
    )
    assert b"<lastBuildDate>Wed, 02 Dec" in documents_of(renderer, [PLAIN, CORRECTED])["rss.xml"]


def test_a_correction_is_visible_and_keeps_the_id(renderer):
    """A correction keeps id and date of release, has a new date of change, and says in the text what was wrong."""
    entry = feedparser.parse(documents_of(renderer, [CORRECTED])["atom.xml"]).entries[0]
    before = feedparser.parse(documents_of(renderer, [PLAIN])["atom.xml"]).entries[0]
    assert (entry.id, entry.published) == (before.id, before.published)
    assert entry.updated == "2026-12-02T14:00:00Z"
    assert "Correction, 2 December 2026:</strong> Four, not five." in entry.content[0].value
    assert "Four, not five." in page(renderer, CORRECTED).find_class("notice")[0].text_content()
    assert b"Corrected" in documents_of(renderer, [CORRECTED])["index.html"]


def test_a_retraction_replaces_the_text_everywhere(renderer):
    """A retracted release stays as a notice under the same id and address; its text is gone from every output."""
    release = replace(FULL, retraction="Sent in error.", html="<p>canary</p>", summary="canary", text="canary")
    documents = {**documents_of(renderer, [release]), "release.html": renderer.page(release)}
    for name, data in documents.items():
        assert b"canary" not in data, name
        assert b"Retracted" in data, name
        assert b"Sent in error." in data, name
    tombstone = ET.fromstring(documents["atom.xml"]).find("{http://purl.org/atompub/tombstones/1.0}deleted-entry")
    assert tombstone.get("ref") == f"tag:press.example.org,2026:{FULL.uuid}"


def test_no_tombstone_without_a_retraction(renderer):
    """A feed in which nothing is retracted uses no namespace that validators do not know."""
    assert b"tombstones" not in documents_of(renderer, [FULL, CORRECTED])["atom.xml"]


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
    documents = documents_of(renderer, [release])
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
    assert [(each.get("src"), each.get("type")) for each in tree.iter("script")] == [
        ("/news/local-time.js", None),
        (None, "application/ld+json"),
    ]


def test_every_page_leads_to_the_feeds(renderer):
    """Every page names the three feeds with absolute addresses, and loads nothing from elsewhere."""
    pages = {
        name: data
        for name, data in {**renderer.fixed(), **documents_of(renderer, [FULL])}.items()
        if name.endswith(".html")
    }
    pages["feeds.html"] = renderer.document("feeds.html", topics=[])
    for data in (*pages.values(), renderer.page(FULL)):
        tree = lxml_html.fromstring(data)
        assert tree.xpath("//link[@rel='alternate']/@href") == [
            f"https://press.example.org/news/{feed}" for feed in ("rss.xml", "atom.xml", "feed.json")
        ]
        assert tree.xpath("//link[@rel='stylesheet']/@href") == ["/news/style.css"]
        assert tree.xpath("//@src") == ["/news/local-time.js"]
        assert len(tree.xpath("//h1")) == 1


def test_the_front_page_lists_releases(renderer):
    """The front page lists the releases in the order given, each with time, summary and topics."""
    tree = lxml_html.fromstring(documents_of(renderer, [FULL, PLAIN])["index.html"])
    assert [heading.text_content() for heading in tree.xpath("//h2")] == [NASTY, PLAIN.title]
    assert tree.xpath("//h2/a/@href")[1] == "/news/releases/hled-preview.html"
    assert tree.xpath("//time/text()") == ["1 December 2026, 09:00 EST"] * 2
    assert [topic.text_content() for topic in tree.find_class("topics")[0]] == list(FULL.topics)


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
        other.warm(release, Form.FULL)
    assert documents_of(other, [FULL, PLAIN]) == documents_of(renderer, [FULL, PLAIN])
    assert other.page(FULL) == renderer.page(FULL) == other.page(FULL)
    assert other.fixed() == renderer.fixed()


def test_what_was_warmed_does_not_outlive_a_change():
    """Text made ready before the lift is not used for a record that was amended or retracted since."""
    renderer = Renderer(newsroom=ROOM)
    renderer.warm(replace(PLAIN, title="canary", html="<p>canary</p>"), Form.FULL)
    amended = replace(PLAIN, revision=2)
    retracted = replace(PLAIN, retraction="Sent in error.")
    for release in (amended, retracted):
        for data in (renderer.page(release), *documents_of(renderer, [release]).values()):
            assert b"canary" not in data


def test_a_thousand_warmed_releases_are_joined_at_once():
    """A thousand releases that lift together are joined into four documents faster than they could be rendered."""
    renderer = Renderer(newsroom=ROOM)
    releases = [replace(PLAIN, uuid=f"{number:032x}", id=str(number)) for number in range(1000)]
    started = time.process_time()
    for release in releases:
        renderer.warm(release, Form.FULL)
    rendered = time.process_time() - started
    started = time.process_time()
    documents = documents_of(renderer, releases)
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
        Renderer(newsroom=ROOM, overrides=taken(tmp_path))
    assert problem in str(caught.value)


def test_one_template_can_be_replaced(tmp_path):
    """A folder of one's own replaces the templates it holds, file by file; the others stay as shipped."""
    (tmp_path / "headline.txt").write_text("{% if release.retraction %}Zurückgezogen: {% endif %}{{ release.title }}\n")
    entry = feedparser.parse(
        documents_of(Renderer(newsroom=ROOM, overrides=taken(tmp_path)), [RETRACTED])["atom.xml"]
    ).entries[0]
    assert entry.title == "Zurückgezogen: Economic Dialogue"


def test_a_release_keeps_its_id_when_the_newsroom_moves():
    """A release keeps its id when the site moves to another address."""
    for url in ("http://127.0.0.1:8080/", "https://news.example.com/press/"):
        feed = documents_of(Renderer(newsroom=replace(ROOM, url=url)), [PLAIN])["atom.xml"]
        assert f"<id>{PLAIN.tag}</id>".encode() in feed
