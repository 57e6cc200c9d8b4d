"""Topics, and the archive that feeds are read back from (RFC 5005): on a real folder, with real databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from conftest import files_below
from hypothesis import given
from hypothesis import strategies as st

from scheduler.outlets.site import Site
from scheduler.pipeline import chronicle
from scheduler.pipeline.chronicle import Chronicle, Placed
from scheduler.pipeline.release import MAIN, Projection
from scheduler.render import Form
from scheduler.render.topics import folder_of

ATOM = "{http://www.w3.org/2005/Atom}"
AT = datetime(2026, 12, 1, 14, tzinfo=UTC)


@pytest.fixture
def small(monkeypatch):
    """Chapters of five releases, days with six full texts and four summaries."""
    monkeypatch.setattr(chronicle, "SIZE", 5)
    monkeypatch.setattr(chronicle, "FULL", 6)
    monkeypatch.setattr(chronicle, "SUMMARISED", 10)


def shown_by(office, folder="public", **options):
    return Projection(
        store=office.store,
        site=Site(office.folder / folder),
        renderer=office.parts.renderer,
        **{"items": 3, **options},
    )


def files(office, folder="public"):
    return files_below(office.folder / folder)


def release(office, projection, *record_ids, **fields):
    for record_id in record_ids:
        office.record(record_id, embargo="none", title=f"Title of {record_id}", **fields)
    projection.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    projection.follow(now=office.clock())


def parsed(office, name, folder="public"):
    """Of a feed document: ids of entries, its links by relation, its root."""
    root = ET.fromstring((office.folder / folder / name).read_bytes())
    links = {each.get("rel"): each.get("href") for each in root.findall(f"{ATOM}link")}
    return [entry.findtext(f"{ATOM}id") for entry in root.findall(f"{ATOM}entry")], links, root


def local(url):
    return unquote(urlsplit(url).path).removeprefix("/")


def crawled(office, name="atom.xml"):
    """The documents from the subscription document back to the first of the archive, with the ids in each."""
    documents = []
    while name:
        ids, links, _ = parsed(office, name)
        documents.append((name, ids))
        name = links.get("prev-archive") and local(links["prev-archive"])
    return documents


def tag_of(office, record_id):
    return office.raw("SELECT tag FROM records WHERE id = ?", parameters=(record_id,))[0][0]


@pytest.mark.usefixtures("small")
def test_a_crawl_finds_every_release(office):
    """A reader that follows the archive back from the feed finds every release there ever was, over months and years."""
    projection = shown_by(office)
    names = [f"r{number:02}" for number in range(40)]
    for number, name in enumerate(names):
        release(office, projection, name)
        office.clock.pass_by(hours=400 if number == 20 else 17)
    documents = crawled(office)
    assert len(documents) > 6
    assert {each for _, ids in documents for each in ids} == {tag_of(office, name) for name in names}
    archived = [each for name, ids in documents[1:] for each in ids]
    assert len(archived) == len(set(archived))
    months = {name.split("/")[1][:7] for name, _ in documents[1:]}
    first = parsed(office, documents[-1][0])[1]
    assert local(first["next-archive"]) == documents[-2][0]
    assert months == {"2026-11", "2026-12"} | ({"2027-01"} & months)
    for name, _ in documents[1:]:
        _, links, root = parsed(office, name)
        assert local(links["self"]) == name
        assert local(links["current"]) == "atom.xml"
        assert root.find("{http://purl.org/syndication/history/1.0}archive") is not None
        assert root.findtext(f"{ATOM}id") == parsed(office, "atom.xml")[2].findtext(f"{ATOM}id")


@pytest.mark.usefixtures("small")
def test_the_three_formats_chain_alike(office):
    """RSS, Atom and JSON Feed lead back through the same archive, with the same items."""
    projection = shown_by(office)
    for number in range(14):
        release(office, projection, f"r{number:02}")
        office.clock.pass_by(hours=30)
    for name, ids in crawled(office):
        folder = name.removesuffix("atom.xml")
        rss = ET.fromstring(files(office)[f"{folder}rss.xml"]).find("channel")
        assert [item.findtext("guid") for item in rss.findall("item")] == ids
        before = parsed(office, name)[1].get("prev-archive")
        feed = json.loads(files(office)[f"{folder}feed.json"])
        assert [item["id"] for item in feed["items"]] == ids
        if before:
            assert feed["next_url"] == before.replace("atom.xml", "feed.json")
            assert before.replace("atom.xml", "rss.xml") in {each.get("href") for each in rss.findall(f"{ATOM}link")}


@pytest.mark.usefixtures("small")
def test_documents_of_the_archive_never_change(office):
    """What stands in the archive stays the same to the byte, whatever is released later."""
    projection = shown_by(office)
    known = {}
    for number in range(25):
        release(office, projection, f"r{number:02}")
        office.clock.pass_by(hours=20)
        now = {
            name: data for name, data in files(office).items() if name.startswith("archive/2") and name.endswith(MAIN)
        }
        assert known.items() <= now.items()
        known = now
    assert len(known) >= 4 * len(MAIN)


@pytest.mark.usefixtures("small")
def test_a_correction_of_an_old_release_comes_to_the_feed_again(office):
    """A correction or a retraction of a release that left the feed long ago stands in the feed again, and in the archive."""
    projection = shown_by(office)
    for number in range(12):
        release(office, projection, f"r{number:02}", body="The wrong figure.")
        office.clock.pass_by(hours=30)
    old = tag_of(office, "r00")
    assert old not in parsed(office, "atom.xml")[0]
    office.record(
        "r00", embargo="none", title="Title of r00", body="The right figure.", keys="correction: It was wrong.\n"
    )
    projection.follow(now=office.clock())
    for name in ("atom.xml", "rss.xml", "feed.json", "archive/2026-11/atom.xml", "archive/2026-11/feed.json"):
        assert b"The right figure." in files(office)[name], name
    assert old in parsed(office, "atom.xml")[0]
    assert b"It was wrong." in files(office)["atom.xml"]
    office.clock.pass_by(hours=49)
    projection.refresh([], now=office.clock())
    assert old not in parsed(office, "atom.xml")[0]
    office.retract("r00")
    projection.follow(now=office.clock())
    assert old in parsed(office, "atom.xml")[0]
    assert b"deleted-entry" in files(office)["atom.xml"]
    for name, data in files(office).items():
        assert b"The right figure." not in data, name
    assert b"Retracted: Title of r00" in files(office)["archive/2026-11/atom.xml"]


@pytest.mark.usefixtures("small")
def test_a_flood_stays_in_the_feed_at_a_size_that_readers_accept(office):
    """Of many releases in one day all are in the feed: the first with full text, the next with summaries, the rest by title."""
    projection = shown_by(office)
    for number in range(14):
        release(
            office, projection, f"r{number:02}", body=f"Words of r{number:02}, and more of them.\n\nSecond paragraph."
        )
    items = {item["title"][-3:]: item for item in json.loads(files(office)["feed.json"])["items"]}
    assert len(items) == 14
    assert [name for name in sorted(items) if "content_html" in items[name]] == [f"r{number:02}" for number in range(6)]
    assert [name for name in sorted(items) if "summary" in items[name]] == [f"r{number:02}" for number in range(10)]
    archived = [
        json.loads(files(office)[f"{folder}feed.json"])["items"]
        for folder in ("archive/2026-11/", "archive/2026-11-2/")
    ]
    assert sum("content_html" in item for items_ in archived for item in items_) == 10
    before = files(office)["feed.json"]
    office.clock.pass_by(hours=24)
    release(office, projection, "next day")
    after = json.loads(files(office)["feed.json"])["items"]
    assert "content_html" in after[0]
    assert after[1:] == json.loads(before)["items"]


def test_an_office_may_keep_full_texts_out_of_its_feeds(office):
    """With summaries alone asked for, no feed carries a full text, and the page does."""
    projection = shown_by(office, full_text=False)
    release(office, projection, "one", body="Second paragraph.", keys="summary: First paragraph.\n")
    for name in MAIN:
        assert b"Second paragraph." not in files(office)[name]
        assert b"First paragraph" in files(office)[name]
    assert b"Second paragraph." in files(office)["releases/one.html"]


def test_each_topic_has_its_feeds_and_its_page(office):
    """A topic's three feeds and page carry its releases alone, however the topic is spelled."""
    projection = shown_by(office)
    release(office, projection, "a", keys="topics: [Labour market, trade]\n")
    office.clock.pass_by(minutes=1)
    release(office, projection, "b", keys="topics: [labour-market]\n")
    release(office, projection, "c")
    ids, links, root = parsed(office, "topics/labour-market/atom.xml")
    assert ids == [tag_of(office, "b"), tag_of(office, "a")]
    assert links["self"].endswith("/topics/labour-market/atom.xml")
    assert links["alternate"].endswith("/topics/labour-market/")
    assert root.findtext(f"{ATOM}title") == "Test Press Office: labour-market"
    assert parsed(office, "topics/trade/atom.xml")[0] == [tag_of(office, "a")]
    assert root.findtext(f"{ATOM}id") != parsed(office, "atom.xml")[2].findtext(f"{ATOM}id")
    page = files(office)["topics/labour-market/index.html"]
    assert b"Title of a" in page
    assert b"Title of c" not in page
    for name in ("topics/index.html", "feeds.html"):
        assert b"/topics/labour-market/" in files(office)[name]


def test_a_correction_moves_a_release_to_other_topics(office):
    """A correction of topics takes the release out of one topic's feed and into another's; an empty topic is gone."""
    projection = shown_by(office)
    release(office, projection, "a", keys="topics: [one, two]\n")
    office.record("a", embargo="none", title="Title of a", keys="topics: [two, three]\n")
    projection.follow(now=office.clock())
    names = {name.split("/")[1] for name in files(office) if name.startswith("topics/") and name.count("/") == 2}
    assert names == {"two", "three"}
    assert not (office.folder / "public/topics/one").exists()
    assert b"topics/one/" not in files(office)["topics/index.html"]


def test_topics_of_held_records_do_not_exist(office):
    """Nothing of the site betrays the topic of a record that is held."""
    projection = shown_by(office)
    release(office, projection, "a", keys="topics: [known]\n")
    office.record("held", title="Canary", keys="topics: [canary]\n")
    projection.follow(now=office.clock())
    projection.rebuild(now=office.clock())
    assert not any("canary" in name or b"anary" in data for name, data in files(office).items())


@pytest.mark.usefixtures("small")
def test_a_rebuild_writes_the_same(office):
    """The whole site, archive and topics included, is the same to the byte whether it grew or was made anew."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    for number in range(23):
        release(office, projection, f"r{number:02}", keys=f"topics: [t{number % 3}, all]\n")
        office.clock.pass_by(hours=45)
        if number % 7 == 3:
            office.record(
                f"r{number - 2:02}", embargo="none", title="Another", keys="topics: [all, late]\ncorrection: Yes.\n"
            )
            projection.follow(now=office.clock())
        if number % 7 == 5:
            office.retract(f"r{number - 3:02}")
            projection.follow(now=office.clock())
    projection.refresh([], now=office.clock())
    shown_by(office, "again").rebuild(now=office.clock())
    grown, made = files(office), files(office, "again")
    assert grown.keys() == made.keys()
    # A topic's feed is written when one of its releases changes: what has aged since may still stand in it.
    assert [name for name in made if grown[name] != made[name] and not name.startswith("topics/t")] == []


@pytest.mark.usefixtures("small")
def test_what_belongs_to_nothing_is_taken_away(office):
    """Folders of topics and chapters that are no more are taken away at the start, and files of the operator's own are not."""
    projection = shown_by(office)
    release(office, projection, "a", keys="topics: [known]\n")
    for folder, source in (("topics/gone", "topics/known"), ("archive/2020-01", "archive/2026-11")):
        for path in (office.folder / "public" / source).iterdir():
            target = office.folder / "public" / folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    theirs = office.folder / "public/archive/2019/scan.pdf"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    shown_by(office).rebuild(now=office.clock())
    assert not (office.folder / "public/topics/gone").exists()
    assert not (office.folder / "public/archive/2020-01").exists()
    assert theirs.exists()


@pytest.mark.usefixtures("small")
def test_the_sitemap_names_every_page(office):
    """The sitemap leads to the page of every release, with the date of its last change."""
    projection = shown_by(office)
    names = [f"r{number:02}" for number in range(12)]
    for name in names:
        release(office, projection, name)
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    parts = [local(loc.text) for loc in ET.fromstring(files(office)["sitemap.xml"]).iter(f"{space}loc")]
    assert len(parts) == 3
    found = [local(loc.text) for part in parts for loc in ET.fromstring(files(office)[part]).iter(f"{space}loc")]
    assert found == [f"releases/{name}.html" for name in names]
    assert set(found) <= files(office).keys()


@pytest.mark.usefixtures("small")
def test_what_other_machines_release_late_is_put_in_its_place(office):
    """A release of another machine that comes to notice after a later one takes its place in the order all the same."""
    one = shown_by(office)
    one.rebuild(now=office.clock())
    office.record("early", embargo="none")
    office.lift()
    office.clock.pass_by(seconds=1)
    office.record("late", embargo="none")
    lifted = [each.id for each in office.lift()]
    one.refresh(lifted, now=office.clock(), new=True)
    one.follow(now=office.clock())
    other = shown_by(office, "other")
    other.rebuild(now=office.clock())
    assert files(office) == files(office, "other")


def test_hubs_hear_of_what_has_changed(office):
    """Whoever pings the hubs is told after the bytes are live, and only where bytes have changed."""
    told = []

    def announce(paths):
        told.append({path: b"Title of a" in files(office)[path] for path in paths})

    projection = shown_by(office, announce=announce)
    projection.rebuild(now=office.clock())
    told.clear()
    office.record("held")
    projection.follow(now=office.clock())
    projection.refresh([], now=office.clock())
    assert told == []
    release(office, projection, "a")
    assert told == [dict.fromkeys(MAIN, True)]


instants = st.integers(0, 4 * 31 * 86_400_000_000).map(lambda micros: AT + timedelta(microseconds=micros))


@given(released=st.lists(st.tuples(instants, st.uuids().map(str)), unique=True, max_size=60), more=st.integers(0, 60))
def test_the_order_is_the_same_however_it_came_about(released, more):
    """Chapters, forms and topics are the same whether releases came one by one or were all there at the start."""
    places = [Placed(at, name, (f"t{name[0]}",)) for at, name in sorted(released)]
    grown = Chronicle(places[:more], zone="Asia/Tokyo")
    for placed in places[more:]:
        assert grown.add(placed)
    made = Chronicle(places, zone="Asia/Tokyo")
    assert grown.chapters == made.chapters
    assert grown.topics() == made.topics()
    assert [grown.form(each.id) for each in places] == [made.form(each.id) for each in places]
    assert sum(chapter.count for chapter in made.chapters) == len(places)
    assert len({chapter.folder for chapter in made.chapters}) == len(made.chapters)
    for placed in places:
        chapter = made.chapter_of(placed)
        assert chapter.first[:2] <= placed[:2]
        assert chapter.stem == f"{placed.released_at + timedelta(hours=9):%Y-%m}"


def test_a_day_has_so_many_full_texts():
    """Forms count by days of UTC, and what is made ready for a lift to come knows its own."""
    place = [Placed(AT + timedelta(microseconds=number), f"{number:05}") for number in range(1200)]
    made = Chronicle(place, zone="UTC")
    forms = [made.form(each.id) for each in place]
    assert [forms.count(form) for form in Form] == [100, 900, 200]
    assert made.form_ahead(AT + timedelta(hours=1), 1) is Form.BARE
    assert made.form_ahead(AT + timedelta(days=1), 100) is Form.FULL
    assert made.form_ahead(AT + timedelta(days=1), 101) is Form.SUMMARY


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Labour market", "labour-market", True),
        ("LABOUR  MARKET", "labour_market", True),
        ("ﬁnance", "finance", True),
        ("Straße", "STRASSE", True),
        ("C++", "C#", False),
        ("C", "C#", False),
        ("a & b", "a b", False),
        ("!", "?", False),
        ("x" * 200, "x" * 201, False),
        ("تجارة", "صحة", False),
        ("हिन्दी", "हिन्द", False),
        ("../up", "up", False),
    ],
)
def test_a_topic_has_one_folder(one, other, same):
    """Topics that people mean alike share a folder, all others have one of their own, and every folder is a safe name."""
    assert (folder_of(one) == folder_of(other)) == same
    for name in (one, other):
        assert folder_of(name).startswith("topics/")
        assert folder_of(name).count("/") == 2
        assert len(folder_of(name).encode()) < 120
        assert "." not in folder_of(name)
