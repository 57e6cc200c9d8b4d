"""Attachments in the site folder: there with the release and not before, gone with it."""

from __future__ import annotations

import errno
import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import PNG, files_below, words

from scheduler.errors import SiteRefused
from scheduler.outlets.site import Site
from scheduler.pipeline.release import MAIN, Projection

PDF = b"%PDF-1.7\nCanary of the annex.\n%%EOF\n"
KEYS = "attachments: [annex.pdf, {file: chart.png, alt: A falling line}]\n"


@pytest.fixture
def attached(office):
    """A newsroom's site, and two files beside its records."""
    for name, data in (("annex.pdf", PDF), ("chart.png", PNG)):
        office.put(name, "").write_bytes(data)
    made = Projection(store=office.store, site=Site(office.folder / "public"), renderer=office.parts.renderer, items=5)
    made.rebuild(now=office.clock())
    return made


def files(office):
    return files_below(office.folder / "public")


def of_one(office):
    return {name: data for name, data in files(office).items() if name.startswith("releases/one/")}


def test_attachments_come_with_the_release_and_not_before(office, attached):
    """An attachment lies in the site, to the byte, from the lift on, and before it neither it nor its name is anywhere."""
    office.record(embargo=words(office.clock() + timedelta(seconds=5)), keys=KEYS)
    attached.warm(until=office.clock() + timedelta(seconds=5), at_most=5)
    attached.follow(now=office.clock())
    for name, data in files(office).items():
        assert b"annex" not in data, name
        assert "annex" not in name
    office.clock.pass_by(seconds=5)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    assert of_one(office) == {"releases/one/annex.pdf": PDF, "releases/one/chart.png": PNG}
    for name in (*MAIN, "releases/one.html"):
        assert b"/releases/one/annex.pdf" in files(office)[name]
        assert b"A falling line" in files(office)[name]


def test_what_was_taken_in_goes_out(office, attached):
    """What was attached when the record came in goes out, though the file has been deleted or overwritten since."""
    office.record(embargo=words(office.clock() + timedelta(seconds=5)), keys=KEYS)
    (office.folder / "records/annex.pdf").unlink()
    (office.folder / "records/chart.png").write_bytes(b"something else")
    office.clock.pass_by(seconds=5)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    assert of_one(office) == {"releases/one/annex.pdf": PDF, "releases/one/chart.png": PNG}


def test_a_correction_replaces_attachments(office, attached):
    """A correction brings new attachments, changes old ones in place, and takes those away that it no longer names."""
    office.record(embargo="none", keys=KEYS)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    office.put("annex.pdf", "").write_bytes(PDF + b"corrected")
    office.record(embargo="none", keys="attachments: [annex.pdf]\ncorrection: The annex was wrong.\n")
    attached.follow(now=office.clock())
    assert of_one(office) == {"releases/one/annex.pdf": PDF + b"corrected"}
    [item] = json.loads(files(office)["feed.json"])["items"]
    assert [each["size_in_bytes"] for each in item["attachments"]] == [len(PDF) + len(b"corrected")]


def test_a_retraction_takes_attachments_away(office, attached):
    """The attachments of a retracted release are gone from the site and from every feed, folder included."""
    office.record(embargo="none", keys=KEYS)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    office.retract()
    attached.follow(now=office.clock())
    assert not (office.folder / "public/releases/one").exists()
    assert not any(b"annex" in data for data in files(office).values())


def test_a_retracted_attachment_in_the_way_stays_owed(office, attached):
    """An attachment that can't be taken away at a retraction is said, tried again, and gone once the way is free."""
    office.record(embargo="none", keys=KEYS)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    office.retract()
    folder = office.folder / "public/releases/one"
    unlink = Path.unlink

    def refused(path, *, missing_ok=False):
        if path.parent == folder:
            raise PermissionError(errno.EACCES, "no")
        unlink(path, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:  # whoever runs the tests may be root, whom no permission stops
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(SiteRefused):
            attached.follow(now=office.clock())
    assert attached.has_news()
    attached.follow(now=office.clock())
    assert not folder.exists()
    assert not attached.has_news()


def test_lost_attachments_are_made_again(office, attached):
    """Attachments that are lost or altered in the site folder are written anew from the store at the start."""
    office.record(embargo="none", keys=KEYS)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    before = files(office)
    shutil.rmtree(office.folder / "public/releases/one")
    attached.rebuild(now=office.clock())
    assert files(office) == before
    (office.folder / "public/releases/one/annex.pdf").write_bytes(b"altered")
    (office.folder / "public/releases/one/extra.pdf").write_bytes(b"not ours")
    attached.rebuild(now=office.clock())
    assert files(office) == before


def test_attachments_of_a_page_that_is_no_more_go_with_it(office, attached):
    """A page of no record is taken away with its attachments, as after a restored backup was adopted."""
    office.record(embargo="none", keys=KEYS)
    attached.refresh([each.id for each in office.lift()], now=office.clock(), new=True)
    gone = office.folder / "public/releases/gone"
    shutil.copytree(office.folder / "public/releases/one", gone)
    shutil.copy(office.folder / "public/releases/one.html", gone.with_suffix(".html"))
    attached.rebuild(now=office.clock())
    assert not gone.exists()
    assert not gone.with_suffix(".html").exists()
    assert of_one(office).keys() == {"releases/one/annex.pdf", "releases/one/chart.png"}
