"""What becomes of a record file: accepted, amended, corrected, refused; on a real database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW
from sqlalchemy.exc import IntegrityError

from scheduler.errors import FileRefused, MoveRefused
from scheduler.pipeline.accept import Outcome
from scheduler.record import PastOnArrival, State
from scheduler.store import moves, records
from scheduler.store.schema import records as table

LIFT = "2026-12-01 09:00 America/New_York"


def path_of(office, name="one.md") -> Path:
    return office.folder / "records" / name


def edit(office, old, new, name="one.md"):
    path = path_of(office, name)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return office.take(path)


def test_a_new_record_is_held(office):
    """A record file that names its instant is accepted and held until then."""
    outcome, standing = office.take(office.put("one.md", f"---\ntitle: A title\nembargo: {LIFT}\n---\nA body.\n"))
    assert outcome is Outcome.ACCEPTED
    assert (standing.state, standing.revision) == (State.HELD, 1)
    assert standing.lift_at.isoformat() == "2026-12-01T14:00:00+00:00"
    assert office.events() == ["accepted"]


def test_a_file_read_again_changes_nothing(office):
    """A file that is read again, unchanged, leaves record and trail as they are."""
    first = office.record()
    assert office.take(path_of(office)) == (Outcome.UNCHANGED, first)
    assert office.events() == ["accepted"]


def test_an_edit_before_the_lift_amends(office):
    """A file edited while its record is held amends it: the new text and the new lift stand."""
    office.record()
    outcome, standing = edit(office, "A body.", "Another body.")
    assert (outcome, standing.revision, standing.state) == (Outcome.AMENDED, 2, State.HELD)
    _, standing = edit(office, "09:00", "10:00")
    assert standing.lift_at.hour == 15
    [release] = records.releases(office.store, ["one"])
    assert release.text == "Another body."
    assert release.tag == records.releases(office.store, ["one"])[0].tag
    assert office.events() == ["accepted", "amended", "amended"]


def test_an_edit_after_the_lift_corrects(office):
    """A file edited after the release is a correction: same id, same lift, a new revision."""
    office.record()
    office.clock.pass_by(days=2)
    office.lift()
    before = office.get()
    outcome, standing = edit(office, "A body.", "A better body.")
    assert outcome is Outcome.CORRECTED
    assert standing.revision == 2
    assert standing.changed_at == office.clock()
    assert (standing.state, standing.lift_at, standing.released_at, standing.uuid) == (
        State.RELEASED,
        before.lift_at,
        before.released_at,
        before.uuid,
    )


@pytest.mark.parametrize(
    "edited", [("---\nA body", "---\n\n\nA body"), ("title: A title", "title:   A title"), (LIFT, "none")]
)
def test_an_edit_that_readers_cannot_see_is_no_correction(office, edited):
    """An edit after the release that changes nothing for readers is no correction: nobody gets a mail about it."""
    office.record()
    office.clock.pass_by(days=2)
    office.lift()
    outcome, standing = edit(office, *edited)
    assert (outcome, standing.revision, standing.changed_at) == (Outcome.UNCHANGED, 1, None)
    assert office.take(path_of(office))[0] is Outcome.UNCHANGED
    assert office.events() == ["accepted", "released", "seen_again"]


@pytest.mark.parametrize(
    "embargo", ["2026-12-08 09:00 America/New_York", "on delivery", "2029-12-08 09:00 America/New_York"]
)
def test_a_released_file_used_again_for_the_next_text(office, embargo):
    """A new text saved over the file of a released record, under a new embargo, is never taken for a correction."""
    office.record("weekly", title="Last week", body="Old.")
    office.clock.pass_by(days=2)
    office.lift()
    with pytest.raises(FileRefused, match="another `id:`"):
        office.record("weekly", embargo=embargo, title="Next week", body="Held words.")
    [release] = records.releases(office.store, ["weekly"])
    assert (release.title, release.text) == ("Last week", "Old.")
    assert [row["problem"] for row in records.refused(office.store)]


def test_a_released_text_with_a_new_statement_in_it(office):
    """A text with an embargo statement that the released one did not have is refused, not published."""
    office.record("weekly", embargo=LIFT, body="Old.")
    office.clock.pass_by(days=2)
    office.lift()
    with pytest.raises(FileRefused, match="not to go out now"):
        office.record("weekly", embargo=None, body="EMBARGOED UNTIL 9 a.m. Friday\n\nHeld words.")
    assert records.releases(office.store, ["weekly"])[0].text == "Old."


def test_a_record_lifted_early_is_corrected_under_its_old_embargo(office):
    """What a person lifted before its time can be corrected though its file still names that time."""
    office.record()
    office.lift_by_hand()
    assert edit(office, "A body.", "A better body.")[0] is Outcome.CORRECTED


def test_an_ambiguous_record_can_be_corrected_a_year_later(office):
    """What an old statement might mean next year does not stand in the way of a correction."""
    office.record(embargo=None, body="EMBARGOED UNTIL 9:00 a.m., December 1\n\nA body.")
    office.confirm(words=LIFT)
    office.clock.pass_by(days=100)
    office.lift()
    assert edit(office, "A body.", "A better body.")[0] is Outcome.CORRECTED


def test_an_id_belongs_to_one_file(office):
    """A second file with the id of a record is refused."""
    office.record()
    other = office.put("two.md", f"---\ntitle: Another\nid: one\nembargo: {LIFT}\n---\nB.\n")
    with pytest.raises(FileRefused, match="Its id belongs to the record of another file"):
        office.take(other)
    assert office.get().title == "A title"


def test_a_renamed_file_without_an_id_is_not_released_twice(office):
    """A file that was renamed and states no id is still the same record: its text is not released a second time."""
    office.record()
    (office.folder / "records/one.md").rename(office.folder / "records/renamed.md")
    for _ in range(2):  # a service that starts again reads it again
        outcome, standing = office.take(office.folder / "records/renamed.md")
        assert outcome is Outcome.UNCHANGED
        assert standing.id == "one"
        assert standing.origin.endswith("renamed.md")
    assert [each.id for each in records.listed(office.store)] == ["one"]


def test_a_renamed_file_keeps_its_record(office):
    """A file that was renamed keeps its record when it states its id."""
    text = f"---\ntitle: A title\nid: stays\nembargo: {LIFT}\n---\nA body.\n"
    first = office.put("one.md", text)
    office.take(first)
    moves.vanish(office.store, origin=str(first), now=NOW, actor="service")
    assert office.get("stays").vanished
    second = first.rename(first.with_name("two.md"))
    outcome, standing = office.take(second)
    assert outcome is Outcome.UNCHANGED
    assert (standing.origin, standing.vanished, standing.revision) == (str(second), False, 1)


def test_a_file_that_changes_its_id_asks_about_the_old_record(office):
    """A file that takes another id leaves its old record to a person, so that no text goes out twice."""
    office.record(keys="id: first\n")
    outcome, standing = edit(office, "id: first", "id: second")
    assert (outcome, standing.id, standing.state) == (Outcome.ACCEPTED, "second", State.HELD)
    old = office.get("first")
    assert old.state is State.ATTENTION
    assert "'second'" in old.reason
    office.confirm("first", LIFT)
    edit(office, "A body.", "Another body.")
    assert office.get("first").state is State.HELD


def test_a_file_that_vanishes_changes_nothing(office):
    """A file that disappears changes nothing but what queue and trail say about it; one that comes back is said so too."""
    office.record()
    path = path_of(office)
    uuids = moves.vanish(office.store, origin=str(path), now=NOW, actor="service")
    standing = office.get()
    assert (uuids, standing.state, standing.vanished) == ([standing.uuid], State.HELD, True)
    assert moves.vanish(office.store, origin=str(path), now=NOW, actor="service") == []
    assert office.take(path)[0] is Outcome.UNCHANGED
    assert not office.get().vanished
    assert office.events() == ["accepted", "vanished", "seen_again"]


@pytest.mark.parametrize(
    "broken",
    [
        ("title: A title", "titel: A title"),
        (LIFT, "2026-12-01 09:00 EST"),
        ("embargo:", "lists: [nobody]\nembargo:"),
        ("A body.", ""),
    ],
)
def test_a_refused_edit_of_a_held_record_asks_a_person(office, broken):
    """An edit that can't be read puts the held record in attention, and mending the file brings it back."""
    office.record()
    path = path_of(office)
    good = path.read_text("utf-8")
    with pytest.raises(FileRefused):
        edit(office, *broken)
    standing = office.get()
    assert standing.state is State.ATTENTION
    assert standing.reason.startswith("Its file was changed and can't be read: ")
    assert not standing.vanished
    office.clock.pass_by(days=2)
    assert office.lift() == []
    office.clock.at = NOW
    path.write_text(good, "utf-8")
    outcome, standing = office.take(path)
    assert (outcome, standing.state, standing.reason) == (Outcome.AMENDED, State.HELD, None)
    assert standing.lift_at.isoformat() == "2026-12-01T14:00:00+00:00"
    assert records.refused(office.store) == []


def test_a_refusal_is_news_once(office):
    """Each content of a refused file is reported once, with its line and its remedy."""
    path = office.put("one.md", "---\ntitle: A\nembargo: tomorrow\n---\nB.\n")
    for _ in range(2):
        with pytest.raises(FileRefused):
            office.take(path)
    assert office.events() == ["refused"]
    [row] = records.refused(office.store)
    assert (row["origin"], row["line"]) == (str(path), 3)
    assert "tomorrow" in row["problem"]
    assert row["remedy"]
    with pytest.raises(FileRefused):
        edit(office, "tomorrow", "next week")
    assert office.events() == ["refused", "refused"]


def test_a_file_that_cannot_be_read_changes_no_record(office):
    """A file that can't be opened at all is reported and leaves the held record as it is."""
    office.record()
    path = path_of(office)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileRefused):
        office.take(path)
    assert office.get().state is State.HELD
    assert len(records.refused(office.store)) == 1


def test_an_unknown_list_is_refused(office):
    """A record for a mail list that is not configured is refused with the names of those that are."""
    with pytest.raises(FileRefused, match=r"no mail list 'pres'. Known lists: press, wire"):
        office.record(keys="lists: [pres]\n")
    assert records.find(office.store, "one") is None


@pytest.mark.parametrize("end", ["withdraw", "retract"])
def test_a_record_that_was_taken_back_stays_back(office, end):
    """A file edited after its record was withdrawn or retracted is refused, once, and the record stays as it is."""
    office.record(embargo="none")
    if end == "retract":
        office.lift()
    getattr(office, end)()
    assert office.take(path_of(office))[0] is Outcome.UNCHANGED
    path = path_of(office)
    path.write_text(path.read_text().replace("A body.", "Another body."))
    for _ in range(2):
        with pytest.raises(FileRefused, match="another `id:`"):
            office.take(path)
    assert office.get().revision == 1
    assert office.events().count("refused") == 1


def test_a_withheld_name_waits_for_the_text(office):
    """A withheld name is attention that no command settles; taking it out of the text is what brings the record back."""
    standing = office.record(body="Jane Roe will speak.", keys="withhold: [Jane Roe]\n")
    assert standing.state is State.ATTENTION
    assert standing.reason == (
        "It holds withheld name 1 of 1 in summary. Take that name out of the text, or out of `withhold`."
    )
    for decide in (office.confirm, office.amend, lambda: office.confirm(words=LIFT)):
        with pytest.raises(MoveRefused, match="withheld name"):
            decide()
    assert office.events() == ["accepted"]
    _, standing = edit(office, "Jane Roe will", "She will")
    assert (standing.state, standing.reason, standing.unfit) == (State.HELD, None, None)


def test_a_withheld_name_keeps_what_a_person_decided(office):
    """A withheld name that an edit brings in holds the record back; the time a person had settled is not lost by it."""
    office.record(body="She will speak.", keys="withhold: [Jane Roe]\n")
    office.amend(words="2026-12-05 09:00 America/New_York")
    _, standing = edit(office, "She will", "Jane Roe will")
    assert standing.state is State.ATTENTION
    _, standing = edit(office, "Jane Roe will", "She will")
    assert (standing.state, standing.lift_at.day) == (State.HELD, 5)


def test_a_correction_with_a_withheld_name_is_refused(office):
    """A correction that brings a withheld name in is refused; readers keep what they have."""
    office.record(embargo="none", body="She will speak.", keys="withhold: [Jane Roe]\n")
    office.lift()
    with pytest.raises(FileRefused) as refused:
        edit(office, "She will", "Jane Roe will")
    assert "Jane" not in str(refused.value)
    assert office.get().revision == 1


def test_what_a_person_decided_stands(office):
    """What a person decided by command stands through edits of the file, until the embargo in it is edited."""
    office.record()
    office.amend(words="2026-12-05 09:00 America/New_York")
    _, standing = edit(office, "A body.", "Another body.")
    assert (standing.lift_at.day, standing.settled_by) == (5, "editor@desk")
    told = json.loads(office.trail()[-1].detail)
    assert (told["lift_at"][:10], told["settled_by"]) == ("2026-12-05", "editor@desk")
    _, standing = edit(office, "2026-12-01", "2026-12-03")
    assert (standing.lift_at.day, standing.settled_by) == (3, None)


def test_an_edit_of_the_zone_alone_is_an_edit_of_the_embargo(office):
    """A zone that is given apart belongs to the embargo: editing it alone sets a person's decision aside."""
    office.record(embargo="{until: 2026-12-01 09:00, zone: America/New_York}")
    office.amend(words="2026-12-05 09:00 America/New_York")
    _, standing = edit(office, "zone: America/New_York", "zone: Europe/Paris")
    assert (standing.lift_at.isoformat(), standing.settled_by) == ("2026-12-01T08:00:00+00:00", None)
    assert standing.words == "2026-12-01 09:00 Europe/Paris"


def test_a_decision_made_while_a_file_is_read_is_not_lost(office):
    """A person who decides about a record at the moment its file is taken in is not overruled by an older look at it."""
    office.record()

    def decides_meanwhile(release):
        office.parts.rehearse(release)
        if office.get().settled_by is None:
            office.amend(words="2026-12-05 09:00 America/New_York")

    path = path_of(office)
    path.write_text(path.read_text().replace("A body.", "Another body."))
    busy = replace(office)
    busy.parts = _Rehearsing(office.parts, decides_meanwhile)
    outcome, standing = busy.take(path)
    assert (outcome, standing.revision) == (Outcome.AMENDED, 2)
    assert (standing.lift_at.day, standing.settled_by) == (5, "editor@desk")
    assert office.events() == ["accepted", "rescheduled", "amended"]


class _Rehearsing:
    """The parts with a rehearsal of the test's own."""

    def __init__(self, parts, rehearse):
        self._parts = parts
        self.rehearse = rehearse

    def policy(self):
        return self._parts.policy()


def test_the_same_file_taken_in_twice_at_once(office):
    """A file that two processes take in at the same moment becomes one record with one revision."""
    path = office.put("one.md", f"---\ntitle: A title\nembargo: {LIFT}\n---\nA body.\n")
    outcomes = []

    def other_is_quicker(release):
        office.parts.rehearse(release)
        if not outcomes:
            outcomes.append(None)
            outcomes[0] = office.take(path)[0]

    busy = replace(office)
    busy.parts = _Rehearsing(office.parts, other_is_quicker)
    assert busy.take(path)[0] is Outcome.UNCHANGED
    outcomes.clear()
    path.write_text(path.read_text().replace("A body.", "Another body."))
    assert busy.take(path)[0] is Outcome.UNCHANGED
    assert office.get().revision == 2
    assert office.events() == ["accepted", "amended"]


def test_a_record_that_others_keep_changing(office):
    """A file that can't be taken in because others keep changing its record is told to a person, and changes nothing."""
    office.record()
    days = iter(range(2, 30))

    def decides_again(release):
        office.parts.rehearse(release)
        office.amend(words=f"2026-12-{next(days):02} 09:00 America/New_York")

    path = path_of(office)
    path.write_text(path.read_text().replace("A body.", "Another body."))
    busy = replace(office)
    busy.parts = _Rehearsing(office.parts, decides_again)
    with pytest.raises(MoveRefused, match="changed by others"):
        busy.take(path)
    assert office.get().revision == 1


def test_no_embargo_is_released_at_once(office):
    """`embargo: none` is released at the next wake, whatever the time."""
    assert office.record(embargo="none").lift_at == NOW
    assert [lifted.id for lifted in office.lift()] == ["one"]


@pytest.mark.parametrize(
    "statement", ["EMBARGOED UNTIL 9 a.m. EST Tuesday, December 1, 2026", "Embargoed until delivery"]
)
def test_no_embargo_against_the_text_waits(office, statement):
    """`embargo: none` in a file whose text states an embargo waits for a person."""
    standing = office.record(embargo="none", body=f"{statement}\n\nA body.")
    assert standing.state is State.ATTENTION
    assert "none" in standing.reason
    office.clock.pass_by(days=400)
    assert office.lift() == []


@pytest.mark.parametrize(
    ("embargo", "body"),
    [
        ("2027-12-01 09:00 America/New_York", "EMBARGOED UNTIL 9 a.m. ET, December 1"),
        ("2026-12-01 09:00 Europe/Paris", "EMBARGOED UNTIL 9 a.m., Tuesday, December 1, 2026"),
        ("2027-12-01 09:00 Europe/Paris", "EMBARGOED UNTIL 9 a.m., December 1"),
        ("2026-12-01T14:00:00Z", "EMBARGOED UNTIL 9 a.m., Tuesday, December 1, 2026"),
    ],
)
def test_metadata_settle_what_the_text_leaves_open(office, embargo, body):
    """A year or a zone that the text does not say is as the metadata have it."""
    assert office.record(embargo=embargo, body=f"{body}\n\nA body.").state is State.HELD


@pytest.mark.parametrize(
    ("embargo", "body"),
    [
        ("2027-12-01 09:00 America/New_York", "EMBARGOED UNTIL 9 a.m. ET, Tuesday, December 1"),
        ("2026-12-01 09:00 Europe/Paris", "EMBARGOED UNTIL 9 a.m. ET, Tuesday, December 1, 2026"),
        ("2026-12-01T09:00:00Z", "EMBARGOED UNTIL 9 a.m., Tuesday, December 1, 2026"),
        ("2026-12-01 10:00", "EMBARGOED UNTIL 9 a.m., December 1"),
    ],
)
def test_metadata_do_not_settle_what_the_text_says(office, embargo, body):
    """A weekday, a zone or an hour that the text does say, or a zone no place has, is a question to a person."""
    standing = office.record(embargo=embargo, body=f"{body}\n\nA body.")
    assert standing.state is State.ATTENTION
    assert standing.reason.startswith("The metadata says")
    assert len(standing.candidates) == 2


def test_a_text_edited_after_a_decision_about_it(office):
    """What a person decided between metadata and text is set aside when the statement in the text is edited."""
    office.record(embargo="none", body="EMBARGOED UNTIL 9 a.m. ET, Tuesday, December 1, 2026\n\nA body.")
    office.confirm()
    _, standing = edit(office, "A body.", "Another body.")
    assert (standing.state, standing.settled_by) == (State.HELD, "editor@desk")
    _, standing = edit(office, "9 a.m.", "11 a.m.")
    assert (standing.state, standing.settled_by) == (State.ATTENTION, None)
    assert "11 a.m." in standing.reason


def test_several_proposals_are_never_chosen_from_in_silence(office):
    """Where several times are proposed, a confirmation without one is refused; a number takes its time, in order."""
    standing = office.record(body="EMBARGOED UNTIL 10 a.m. ET, Tuesday, December 1, 2026\n\nA body.")
    assert [lift.at.hour for lift in standing.candidates] == [14, 15]
    with pytest.raises(MoveRefused, match="Take one by its number: `embargo confirm one 1`"):
        office.confirm()
    for wrong in ("0", "3"):
        with pytest.raises(MoveRefused, match=f"no proposal {wrong}"):
            office.confirm(words=wrong)
    office.confirm(words="2")
    assert office.get().lift_at.hour == 15


@pytest.mark.parametrize("embargo", [None, "on delivery"])
def test_an_event_with_an_expected_time(office, embargo):
    """A record that waits for an event and names a time too can be confirmed as either, and neither is presumed."""
    body = "EMBARGOED UNTIL 10 a.m. ET, Tuesday, December 1, 2026"
    if embargo is None:
        body = "Embargoed until delivery, expected at 10 a.m. ET, Tuesday, December 1, 2026"
    office.record(embargo=embargo, body=f"{body}\n\nA body.")
    with pytest.raises(MoveRefused, match="more than one"):
        office.confirm()
    assert office.confirm(words="2") is None
    standing = office.get()
    assert (standing.state, standing.lift_at) == (State.HELD, None)


def test_an_event_without_a_time_is_confirmed_as_one(office):
    """A text that waits for an event is confirmed in one word, and held until a person lifts it."""
    assert office.record(embargo=None, body="Embargoed until delivery\n\nA body.").state is State.ATTENTION
    assert office.confirm() is None
    assert office.get().state is State.HELD


def test_what_a_person_decided_is_what_is_proposed_again(office):
    """A record whose edited file is refused is confirmed at the time it had, whatever else was proposed before."""
    office.record(body="EMBARGOED UNTIL 10 a.m. ET, Tuesday, December 1, 2026\n\nA body.")
    office.confirm(words="on delivery")
    with pytest.raises(FileRefused):
        edit(office, "title: A title", "titel: A title")
    assert office.confirm() is None
    assert office.get().lift_at is None


def test_an_embargo_in_the_title_counts(office):
    """An embargo statement in the title is heard like one in the text."""
    standing = office.record(embargo="none", title="'EMBARGOED UNTIL 9 a.m. EST Dec 1, 2026: Rates unchanged'")
    assert standing.state is State.ATTENTION


def test_a_late_record_follows_the_policy(office):
    """A record that comes in after its lift waits for a person, or is released where the office says so."""
    late = "2026-11-30 06:00 America/New_York"
    assert office.record("waits", embargo=late).state is State.ATTENTION
    path = office.put("goes.md", f"---\ntitle: A\nembargo: {late}\n---\nB.\n")
    office.take(path, policy=replace(office.policy, past_on_arrival=PastOnArrival.RELEASE))
    assert [lifted.id for lifted in office.lift()] == ["goes"]
    office.confirm("waits")
    assert [lifted.id for lifted in office.lift()] == ["waits"]


def test_a_time_without_a_zone_takes_the_folders(office):
    """A local time without a zone is meant in the zone of the folder it came in by."""
    path = office.put("one.md", "---\ntitle: A\nembargo: 2026-12-01 09:00\n---\nB.\n")
    _, standing = office.take(path, policy=replace(office.policy, zone="Asia/Tokyo"))
    assert (standing.lift_at.isoformat(), standing.zone) == ("2026-12-01T00:00:00+00:00", "Asia/Tokyo")


def test_the_trail_says_what_was_understood(office):
    """The trail keeps the words, the local time, the zone, the instant and the time zone data of every acceptance."""
    office.record()
    [row] = office.trail()
    for part in (LIFT, '"local":"2026-12-01T09:00:00"', '"lift_at":"2026-12-01T14:00:00+00:00"', '"tz_version":'):
        assert part in row.detail


def test_errors_carry_no_held_text(office):
    """A row that the database refuses is reported without the text that was to be in it."""
    office.record()
    with pytest.raises(IntegrityError, match="attention_always_has_a_reason") as caught, office.store.write() as db:
        db.execute(table.update().values(state="attention", retraction="Canary words."))
    assert "Canary" not in str(caught.value)
    assert office.events() == ["accepted"]


def test_a_correction_after_a_retraction_race_is_refused(office):
    """A correction that meets a retraction made at the same moment is refused."""
    office.record(embargo="none")
    office.lift()

    def retracts_meanwhile(release):
        office.parts.rehearse(release)
        if office.get().state is State.RELEASED:
            office.retract()

    path = path_of(office)
    path.write_text(path.read_text().replace("A body.", "Another body."))
    busy = replace(office)
    busy.parts = _Rehearsing(office.parts, retracts_meanwhile)
    with pytest.raises(FileRefused, match="was retracted"):
        busy.take(path)
    assert office.get().revision == 1


def test_two_years_ahead(office):
    """A lift absurdly far ahead waits for a person, who may confirm that it is meant."""
    assert office.record(embargo="2030-12-01 09:00 America/New_York").state is State.ATTENTION
    assert office.confirm().at - NOW > timedelta(days=1400)
    assert office.get().state is State.HELD
