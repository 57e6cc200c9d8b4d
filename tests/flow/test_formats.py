"""What becomes of a story that its source changes, in a format of others; on a real database."""

from __future__ import annotations

import json

import pytest

from scheduler.errors import FileRefused
from scheduler.intake.folder import Folder
from scheduler.pipeline.accept import Outcome
from scheduler.record import State
from scheduler.store import records

ID = "urn-newsml-wire.example-1"


def story(office, **keys):
    tree = {
        "uri": "urn:newsml:wire.example:1",
        "pubstatus": "usable",
        "versioncreated": "2026-11-30T10:00:00Z",
        "embargoed": "2026-12-01T14:00:00Z",
        "headline": "A title",
        "body_text": "A body.",
        **keys,
    }
    return office.put("story.json", json.dumps(tree))


def test_a_story_is_held_amended_released_and_corrected(office):
    """A story of a wire format goes the way of every record: held, amended by its next version, released, corrected."""
    assert office.take(story(office))[0] is Outcome.ACCEPTED
    assert office.take(story(office, embargoed="2026-12-01T15:00:00Z"))[0] is Outcome.AMENDED
    office.clock.pass_by(hours=26, minutes=59)
    assert not office.lift()
    office.clock.pass_by(minutes=1)
    assert len(office.lift()) == 1
    assert office.take(story(office, embargoed="2026-12-01T15:00:00Z", body_text="Better."))[0] is Outcome.CORRECTED
    [release] = records.releases(office.store, [ID])
    assert (release.text, release.revision) == ("Better.", 3)


@pytest.mark.parametrize(
    "keys", [{"pubstatus": "withheld"}, {"embargoed": None}, {"embargoed": "tomorrow"}, {"pubstatus": "on ice"}]
)
def test_what_the_source_keeps_back_undoes_what_a_person_decided(office, keys):
    """A story held back by its source, or with an embargo no longer understood, waits for a person, whatever was confirmed."""
    office.take(story(office, embargoed=None))
    assert office.get(ID).state is State.ATTENTION
    office.confirm(ID, "2026-12-01 09:00 America/New_York")
    assert office.get(ID).state is State.HELD
    if keys != {"embargoed": None}:
        office.take(story(office, **keys))
        assert office.get(ID).state is State.ATTENTION
    office.take(story(office, embargoed=None, body_text="Another body."))
    assert office.get(ID).state is (State.HELD if keys == {"embargoed": None} else State.ATTENTION)
    office.clock.pass_by(days=3)
    assert len(office.lift()) == (keys == {"embargoed": None})


def test_a_person_may_confirm_what_is_in_doubt(office):
    """What the source keeps back can be confirmed at the time it named; from then on it is held like any other."""
    office.take(story(office, pubstatus="withheld"))
    lift = office.confirm(ID)
    assert lift is not None
    assert lift.at.isoformat() == "2026-12-01T14:00:00+00:00"
    assert office.get(ID).state is State.HELD


@pytest.mark.parametrize("keys", [{"pubstatus": "withheld"}, {"embargoed": "x"}, {"pubstatus": "canceled"}])
def test_a_released_story_is_not_corrected_by_one_that_is_not_to_go_out(office, keys):
    """After its release a version that its source keeps back or takes back corrects nothing: it is refused, and a person told."""
    office.take(story(office))
    office.clock.pass_by(days=2)
    office.lift()
    with pytest.raises(FileRefused):
        office.take(story(office, body_text="Not yet.", **keys))
    assert records.releases(office.store, [ID])[0].text == "A body."


def test_a_story_that_is_killed_before_its_lift_does_not_lift(office):
    """A kill of a held story is refused with the command to type, and the record waits in attention: it does not lift."""
    office.take(story(office))
    with pytest.raises(FileRefused, match=f"embargo withdraw {ID}"):
        office.take(story(office, pubstatus="canceled"))
    assert office.get(ID).state is State.ATTENTION
    office.clock.pass_by(days=2)
    assert not office.lift()


def test_the_watcher_takes_every_format(office):
    """The folder's watcher hands on files of all formats, and gives one that breaks off time to become whole."""
    path = story(office)
    whole = path.read_text("utf-8")
    path.write_text(whole[:-9], "utf-8")
    office.put("page.html", "<title>T</title><p>Text</p>")
    office.put("mail.eml", "Subject: T\n\nText\n")
    office.put("broken.xml", "<rss/>")
    folder = Folder(path.parent)
    assert folder.look(0) == []
    seen = {each.path.name: each.found for each in folder.look(1)}
    assert set(seen) == {"page.html", "mail.eml", "broken.xml"}
    assert isinstance(seen["broken.xml"], FileRefused)
    path.write_text(whole, "utf-8")
    folder.look(2)
    assert [each.path.name for each in folder.look(3)] == ["story.json"]
