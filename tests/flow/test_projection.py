"""The site as a function of the released records, on a real folder."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import pytest
from conftest import Clock, Office, files_below, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.errors import SiteRefused
from scheduler.outlets.site import Site
from scheduler.pipeline.release import Projection
from scheduler.store import open_store, records

FEEDS = ("index.html", "rss.xml", "atom.xml", "feed.json")


OUR_PAGE = b'<!doctype html><meta name="generator" content="Embargo"><title>A page of ours</title>'


def shown_by(office, folder="public", items=50) -> Projection:
    return Projection(
        store=office.store, site=Site(office.folder / folder), renderer=office.parts.renderer, items=items
    )


def files(office, folder="public") -> dict[str, bytes]:
    return files_below(office.folder / folder)


def titles(office, folder="public") -> list[str]:
    return [item["title"] for item in json.loads((office.folder / folder / "feed.json").read_bytes())["items"]]


def release(office, projection, *record_ids, **fields):
    for record_id in record_ids:
        office.record(record_id, embargo="none", title=f"Title of {record_id}", **fields)
    lifted = office.lift()
    projection.refresh([each.id for each in lifted], now=office.clock())


def test_only_what_is_released_is_shown(office):
    """Pages and feeds show what has been released and nothing of what is held, in attention or withdrawn."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    release(office, projection, "out", body="Shown words.")
    office.record("held", title="Canary held", body="Canary words.")
    office.record("asked", embargo=None, title="Canary asked", body="Canary words.")
    office.record("gone", title="Canary gone", body="Canary words.")
    office.withdraw("gone")
    projection.follow(now=office.clock())
    projection.rebuild(now=office.clock())
    site = files(office)
    assert {"releases/out.html", *FEEDS} <= site.keys()
    assert all(b"Shown words" in site[name] for name in ("releases/out.html", "rss.xml", "atom.xml", "feed.json"))
    for name, data in site.items():
        assert b"Canary" not in data, name
        assert not re.search(r"held|asked|gone", name)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.lists(
        st.tuples(
            st.sampled_from(["2026-12-01 09:00 America/New_York", "on delivery", None, "2030-01-01 00:00 UTC"]),
            st.sampled_from(["A body.", "Longer words. " * 50, "EMBARGOED UNTIL noon\n\nWords."]),
            st.sampled_from([None, "withdraw", "amend"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_held_records_change_no_byte(tmp_path_factory, parts, held):
    """The site is the same to the byte, names and all, whether or not records are held."""
    sites = []
    for holds in (False, True):
        folder = tmp_path_factory.mktemp("site")
        office = Office(folder, parts, open_store(f"sqlite:///{folder}/embargo.db"), Clock())
        projection = shown_by(office)
        projection.rebuild(now=office.clock())
        release(office, projection, "one")
        for number, (embargo, body, then) in enumerate(held if holds else []):
            office.record(f"held{number}", embargo=embargo, body=body)
            if then in {"withdraw", "amend"}:
                getattr(office, then)(f"held{number}")
            projection.follow(now=office.clock())
            projection.warm(until=office.clock() + timedelta(days=4000), at_most=10)
        office.clock.pass_by(minutes=1)
        release(office, projection, "two")
        projection.rebuild(now=office.clock())
        # Ids are random: they are made alike before the bytes are compared.
        uuids = {records.get(office.store, name).uuid: name for name in ("one", "two")}
        uuids[re.search(rb"<id>urn:uuid:([^<]+)", files(office)["atom.xml"])[1].decode()] = "feed"
        site = files(office)
        for uuid, name in uuids.items():
            site = {path: data.replace(uuid.encode(), name.encode()) for path, data in site.items()}
        sites.append(site)
        office.store.close()
    assert sites[0] == sites[1]


def test_two_folders_have_the_same_bytes(office):
    """Every machine that shows the same records writes the same bytes, whichever way it came to them."""
    one, two = shown_by(office, "one"), shown_by(office, "two")
    one.rebuild(now=office.clock())
    release(office, one, "a", "b")
    office.clock.pass_by(minutes=1)
    office.record("a", embargo="none", title="Title of a", body="Corrected.", keys="correction: A word.\n")
    one.follow(now=office.clock())
    office.retract("b")
    one.follow(now=office.clock())
    two.rebuild(now=office.clock())
    assert files(office, "one") == files(office, "two")


def test_the_feed_carries_48_hours(office):
    """The feed carries everything of the last 48 hours, never fewer than `items`, newest first, and no part of a chapter."""
    projection = shown_by(office, items=3)
    for number in range(5):
        release(office, projection, f"old{number}")
        office.clock.pass_by(minutes=1)
    office.clock.pass_by(hours=60)
    release(office, projection, "new0")
    assert titles(office) == [f"Title of {name}" for name in ("new0", "old4", "old3", "old2", "old1", "old0")]
    office.clock.pass_by(days=40)
    for number in range(1, 6):
        office.clock.pass_by(minutes=1)
        release(office, projection, f"new{number}")
    assert titles(office) == [f"Title of new{number}" for number in (5, 4, 3, 2, 1)]


def test_many_that_lift_together_are_all_in_the_feed(office):
    """No release is cut off the feed because many lift together; what lifts together is ordered by id."""
    projection = shown_by(office, items=2)
    release(office, projection, *[f"r{number:02}" for number in range(30)])
    assert titles(office) == [f"Title of r{number:02}" for number in range(30)]
    assert all(f"releases/r{number:02}.html" in files(office) for number in range(30))


def test_what_others_decide_is_shown(office):
    """What a command decided in another process shows at the next look, and only then is there news."""
    projection = shown_by(office)
    projection.follow(now=office.clock())
    assert not projection.has_news()
    office.record(body="A body.")
    assert projection.has_news()
    projection.follow(now=office.clock())
    assert not projection.has_news()
    office.lift_by_hand()
    projection.follow(now=office.clock())
    assert titles(office) == ["A title"]
    office.record(title="A better title")
    projection.follow(now=office.clock())
    assert titles(office) == ["A better title"]
    office.clock.pass_by(seconds=1)
    office.retract()
    projection.follow(now=office.clock())
    page = files(office)["releases/one.html"]
    assert b"for a reason" in page
    assert b"A body." not in page
    assert all(b"A body." not in files(office)[name] for name in FEEDS)
    assert not projection.has_news()


def test_a_retraction_at_the_instant_of_the_release_is_shown(office):
    """A record retracted at the very instant at which it was released is shown as retracted."""
    projection = shown_by(office)
    release(office, projection, "one")
    office.retract()
    projection.follow(now=office.clock())
    assert titles(office) == ["Retracted: Title of one"]


def test_a_page_in_the_way_holds_nothing_else_up(office):
    """A page that can't be written keeps no other page and no feed from it, and is written once the way is free."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    blocked = office.folder / "public/releases/a.html"
    (blocked / "folder").mkdir(parents=True)
    with pytest.raises(SiteRefused, match=r"a\.html: This can't be written"):
        release(office, projection, "a", "b", "c")
    assert titles(office) == ["Title of a", "Title of b", "Title of c"]
    assert {"releases/b.html", "releases/c.html"} <= files(office).keys()
    assert projection.has_news()
    with pytest.raises(SiteRefused):
        projection.follow(now=office.clock())
    shutil.rmtree(blocked)
    projection.follow(now=office.clock())
    assert b"Title of a" in blocked.read_bytes()
    assert not projection.has_news()


def test_a_feed_in_the_way_stays_owed(office):
    """A feed that can't be written holds up neither pages nor other feeds, and is written once the way is free."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    feed = office.folder / "public/rss.xml"
    feed.unlink()
    feed.mkdir()
    with pytest.raises(SiteRefused, match=r"rss\.xml"):
        release(office, projection, "a")
    assert titles(office) == ["Title of a"]
    assert "releases/a.html" in files(office)
    with pytest.raises(SiteRefused):
        projection.follow(now=office.clock())
    feed.rmdir()
    projection.follow(now=office.clock())
    assert b"Title of a" in feed.read_bytes()
    assert not projection.has_news()


def test_a_rebuild_that_meets_obstacles_does_the_rest(office):
    """A rebuild that can't write or remove some files does the rest, and what is owed is written later."""
    first = shown_by(office)
    release(office, first, "a", "b")
    shutil.rmtree(office.folder / "public")
    projection = shown_by(office)
    obstacles = [office.folder / "public" / name for name in ("style.css", "atom.xml", "releases/b.html")]
    for obstacle in obstacles:
        (obstacle / "folder").mkdir(parents=True)
    leftover = office.folder / "public/releases/unknown.html"
    leftover.write_bytes(OUR_PAGE)
    (office.folder / "public/releases/a-folder").mkdir()
    with pytest.raises(SiteRefused):
        projection.rebuild(now=office.clock())
    assert not leftover.exists()
    assert titles(office) == ["Title of a", "Title of b"]
    assert "releases/a.html" in files(office)
    assert projection.has_news()
    for obstacle in obstacles:
        shutil.rmtree(obstacle)
    projection.follow(now=office.clock())
    assert {"style.css", "atom.xml", "releases/b.html"} <= files(office).keys()
    assert not projection.has_news()


def test_the_site_can_be_lost(office):
    """Losing the site folder, or a part of it, loses nothing: it is made again, the same to the byte."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    release(office, projection, "a", "b")
    before = files(office)
    for name in ("releases/a.html", "rss.xml", "style.css"):
        (office.folder / "public" / name).unlink()
    (office.folder / "public/releases/b.html").write_text("edited by hand")
    shown_by(office).rebuild(now=office.clock())
    assert files(office) == before
    shutil.rmtree(office.folder / "public")
    shown_by(office).rebuild(now=office.clock())
    assert files(office) == before


def test_a_page_of_no_record_is_removed(office):
    """A page that belongs to no released record is taken away at the start, and nothing outside the pages is touched."""
    projection = shown_by(office)
    release(office, projection, "a")
    (office.folder / "public/releases/leak.html").write_bytes(OUR_PAGE)
    (office.folder / "public/releases/report.pdf").write_text("theirs")
    (office.folder / "public/theirs.html").write_text("theirs")
    projection.rebuild(now=office.clock())
    assert "releases/leak.html" not in files(office)
    assert {"releases/a.html", "releases/report.pdf", "theirs.html"} <= files(office).keys()


def test_what_a_lift_has_shown_is_not_written_again(office):
    """The heartbeat after a lift renders nothing again that the lift has shown, and shows a correction of it all the same."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    office.record("a", embargo="none", title="Title of a")
    projection.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    (office.folder / "public/releases/a.html").unlink()
    projection.follow(now=office.clock())
    assert "releases/a.html" not in files(office)
    assert not projection.has_news()
    office.record("a", embargo="none", title="Corrected title of a")
    projection.follow(now=office.clock())
    assert b"Corrected title of a" in files(office)["releases/a.html"]


def test_a_retired_projection_writes_no_page_any_more(office):
    """When settings change, the site as it was is written no further by what still runs on the old ones."""
    projection = shown_by(office)
    release(office, projection, "a")
    (office.folder / "public/releases/a.html").unlink()
    projection.retire()
    projection.rebuild(now=office.clock())
    assert "releases/a.html" not in files(office)


def at(office, **ahead) -> str:
    return words(office.clock() + timedelta(**ahead))


def test_what_is_made_ready_writes_nothing(office):
    """What is made ready for a lift is made in memory alone; the site stays as it is."""
    projection = shown_by(office)
    projection.rebuild(now=office.clock())
    before = files(office)
    for number in range(5):
        office.record(f"r{number}", embargo=at(office, seconds=5))
    assert projection.warm(until=office.clock() + timedelta(seconds=5), at_most=3)
    assert not projection.warm(until=office.clock() + timedelta(seconds=5), at_most=3)
    assert not projection.warm(until=office.clock() + timedelta(seconds=5), at_most=3)
    projection.refresh([], now=office.clock())
    assert files(office) == before
    office.clock.pass_by(seconds=5)
    projection.refresh([lifted.id for lifted in office.lift()], now=office.clock())
    assert len(titles(office)) == 5


def test_what_was_made_ready_and_withdrawn_is_not_shown(office):
    """A record withdrawn after it was made ready for its lift shows nowhere."""
    projection = shown_by(office)
    office.record("gone", embargo=at(office, seconds=5), title="Canary")
    office.record("stays", embargo=at(office, seconds=5))
    projection.warm(until=office.clock() + timedelta(seconds=5), at_most=10)
    office.withdraw("gone")
    office.clock.pass_by(seconds=5)
    projection.refresh([lifted.id for lifted in office.lift()], now=office.clock())
    projection.rebuild(now=office.clock())
    assert titles(office) == ["A title"]
    assert all(b"Canary" not in data for data in files(office).values())
    assert "releases/gone.html" not in files(office)


def test_what_was_made_ready_and_amended_shows_the_new_text(office):
    """A record amended after it was made ready for its lift is shown as it was amended."""
    projection = shown_by(office)
    embargo = at(office, seconds=5)
    office.record(embargo=embargo, body="The old words.")
    projection.warm(until=office.clock() + timedelta(seconds=5), at_most=10)
    office.record(embargo=embargo, body="The new words.")
    office.clock.pass_by(seconds=5)
    projection.refresh([lifted.id for lifted in office.lift()], now=office.clock())
    for name in ("releases/one.html", "rss.xml", "atom.xml", "feed.json"):
        assert b"The new words." in files(office)[name]
        assert b"The old words." not in files(office)[name]


def test_what_was_made_ready_and_put_off_waits(office):
    """A record put off after it was made ready waits for its new lift."""
    projection = shown_by(office)
    office.record(embargo=at(office, seconds=5), title="Canary")
    projection.warm(until=office.clock() + timedelta(seconds=5), at_most=10)
    office.amend(words=at(office, seconds=50))
    office.clock.pass_by(seconds=5)
    assert office.lift() == []
    projection.refresh([], now=office.clock())
    assert all(b"Canary" not in data for data in files(office).values())


def test_addresses_in_the_feed_lead_to_pages(office):
    """Every address in the feed leads to a page that has been written."""
    projection = shown_by(office)
    release(office, projection, "ünïcode", "plain")
    items = json.loads(files(office)["feed.json"])["items"]
    paths = {unquote(urlsplit(item["url"]).path).lstrip("/") for item in items}
    assert paths == {"releases/ünïcode.html", "releases/plain.html"}
    assert paths <= files(office).keys()
