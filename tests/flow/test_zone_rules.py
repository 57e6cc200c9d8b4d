"""A new tz database: what a lift's local time means is computed again before anything lifts, with real tzdata packages."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tzdata
from conftest import eventually

from scheduler.embargo import tz_version
from scheduler.pipeline import zones

NEW = "2099z"
SUMMER = f"{datetime.now(UTC).year + 1}-07-01"


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """Gives a function after whose call processes find an altered tz database, in which zones have the rules of others."""

    def change(version=NEW, **others):
        folder = tmp_path / "rules"
        shutil.copytree(Path(tzdata.__file__).parent, folder / "tzdata", dirs_exist_ok=True)
        for there, other in others.items():
            zone = folder / "tzdata" / "zoneinfo" / there.replace("__", "/")
            shutil.copyfile(folder / "tzdata" / "zoneinfo" / other, zone)
        init = folder / "tzdata" / "__init__.py"
        init.write_text(re.sub(r'IANA_VERSION = ".*"', f'IANA_VERSION = "{version}"', init.read_text("ascii")), "ascii")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))

    return change


def attention(house, record_id):
    row = next(row for row in house.json("queue", "--all")["records"] if row["id"] == record_id)
    return row["state"], row["reason"], [candidate["at"] for candidate in row["candidates"]]


def hold(house, **embargoes):
    for record_id, embargo in embargoes.items():
        house.record(record_id, embargo=embargo)
    house.run("add", *(f"records/{record_id}.md" for record_id in embargoes))
    assert {row["state"] for row in house.json("queue")["records"]} == {"held"}


def decisions(house):
    """What the trail says of records; a worker may take in the lists meanwhile."""
    return [row for row in house.json("trail") if row["record"]]


def versions(house):
    return dict(house.raw("SELECT record_id, tz_version FROM revisions"))


def test_a_lift_that_new_rules_move_goes_to_attention_with_both_instants(house, rules):
    """A lift moved by a new tz database goes to attention with both instants; what an offset or UTC states stays as it is."""
    hold(
        house,
        moved=f"{SUMMER} 09:00 America/New_York",
        offset=f"{SUMMER} 09:00 -04:00",
        utc=f"{SUMMER} 13:00 UTC",
        elsewhere=f"{SUMMER} 09:00 Europe/London",
        event="on delivery",
        settled=f"{SUMMER} 23:00 Europe/London",
    )
    house.run("amend", "settled", f"{SUMMER} 10:00 America/New_York")
    house.start()
    house.stop()
    rules(America__New_York="America/Chicago")
    house.start()
    state, reason, candidates = attention(house, "moved")
    assert state == "attention"
    assert candidates == [f"{SUMMER}T13:00:00+00:00", f"{SUMMER}T14:00:00+00:00"]
    for part in (f"{SUMMER} 13:00 UTC", f"{SUMMER} 14:00 UTC", tz_version(), NEW, "America/New_York"):
        assert part in reason
    assert attention(house, "settled")[::2] == (
        "attention",
        [f"{SUMMER}T14:00:00+00:00", f"{SUMMER}T15:00:00+00:00"],
    )
    states = {row["id"]: row["state"] for row in house.json("queue")["records"]}
    assert {states[record_id] for record_id in ("offset", "utc", "elsewhere", "event")} == {"held"}
    assert set(versions(house).values()) == {NEW}
    assert house.log.count("error lift_moved_by_zone_rules") == 2
    assert f"version={NEW} moved=2 unmoved=4" in house.log
    [row] = [json.loads(row["detail"]) for row in house.json("trail", "--record", "moved") if NEW in row["detail"]]
    assert row["lift_at"] == candidates[0]
    assert row["candidates"] == " ".join(candidates)
    house.run("confirm", "moved", "2")
    house.run("confirm", "settled", "1")
    house.stop()
    house.start()
    assert house.log.count("zone_rules_changed") == 2
    states = {row["id"]: row["lift_at"] for row in house.json("queue")["records"] if row["state"] == "held"}
    assert (states["moved"], states["settled"]) == (f"{SUMMER}T14:00:00+00:00", f"{SUMMER}T14:00:00+00:00")


def test_new_rules_are_heeded_before_anything_lifts(house, rules):
    """A lift that fell due while the service was down is not released by a start whose tz database moves it."""
    hold(house, due="on delivery")
    house.run("amend", "due", "2026-07-01 09:00 America/New_York")
    rules(America__New_York="America/Chicago")
    house.start()
    assert attention(house, "due")[::2] == ("attention", ["2026-07-01T13:00:00+00:00", "2026-07-01T14:00:00+00:00"])


def test_a_local_time_that_new_rules_skip_or_double_goes_to_attention(house, rules):
    """A local time that clocks skip or show twice by the new rules goes to attention with all instants it may mean."""
    hold(house, skipped="on delivery", doubled="on delivery")
    house.run("amend", "skipped", "2027-03-14 02:30 America/Phoenix")
    house.run("amend", "doubled", "2027-11-07 01:30 America/Phoenix")
    rules(America__Phoenix="America/New_York")
    house.start()
    state, reason, candidates = attention(house, "skipped")
    assert (state, "skip" in reason) == ("attention", True)
    assert candidates == ["2027-03-14T09:30:00+00:00", "2027-03-14T06:30:00+00:00", "2027-03-14T07:30:00+00:00"]
    state, reason, candidates = attention(house, "doubled")
    assert (state, "twice" in reason) == ("attention", True)
    assert candidates == ["2027-11-07T08:30:00+00:00", "2027-11-07T05:30:00+00:00", "2027-11-07T06:30:00+00:00"]


def test_what_was_released_stays_as_it_was_under_new_rules(house, rules):
    """A released record keeps its instant, and its page its bytes, whatever a new tz database says."""
    hold(house, out="on delivery")
    house.run("lift", "out", "--reason", "now")
    house.start()
    house.stop()
    page, trail = house.site("releases/out.html"), decisions(house)
    assert page
    rules(Europe__London="Asia/Tokyo")
    house.start()
    assert (house.site("releases/out.html"), decisions(house)) == (page, trail)
    assert versions(house) == {"out": tz_version()}


def test_rules_renewed_under_a_running_service_are_followed(house, rules):
    """A tz database that is installed while the service runs moves what it moves, without a restart."""
    rules()
    hold(house, moved=f"{SUMMER} 09:00 America/New_York", elsewhere=f"{SUMMER} 09:00 Europe/London")
    house.start()
    rules("2099y", America__New_York="America/Chicago")
    eventually(lambda: attention(house, "moved")[0] == "attention", "a record that waits for a person")
    assert attention(house, "moved")[2] == [f"{SUMMER}T13:00:00+00:00", f"{SUMMER}T14:00:00+00:00"]
    assert attention(house, "elsewhere")[0] == "held"


def noted_before(office, *, local=None, candidates=None, version="1999a"):
    """As if another tz database had computed what stands in the store."""
    office.raw("UPDATE revisions SET tz_version = ?", parameters=(version,))
    if local is not None:
        office.raw("UPDATE revisions SET lift_local = ?", parameters=(local,))
    if candidates is not None:
        office.raw("UPDATE revisions SET candidates = ?", parameters=(json.dumps(candidates),))
    office.raw("DELETE FROM meta WHERE key = 'tz_version'")


def recomputed(office):
    return zones.recompute(office.store, now=office.clock(), actor="service")


def test_a_second_look_at_the_same_rules_finds_nothing_to_do(office):
    """Where the store was computed by this tz database, starting costs one question and changes nothing."""
    office.record()
    assert recomputed(office).moved == ()
    assert recomputed(office) is None
    assert office.get().lift_at == datetime(2026, 12, 1, 14, tzinfo=UTC)


def test_proposals_of_a_record_in_attention_follow_the_new_rules(office):
    """A proposal that new rules moved is offered at both instants, beside those that did not move; nothing else is lost."""
    office.record(embargo=None, body="Embargoed until 9 a.m.")
    zone = "America/New_York"
    was = [
        {"at": "2026-12-01T13:00:00+00:00", "local": "2026-12-01T09:00:00", "zone": zone},
        {"at": "2026-12-02T14:00:00+00:00", "local": "2026-12-02T09:00:00", "zone": zone},
    ]
    noted_before(office, candidates=was)
    reason = office.get().reason
    found = recomputed(office)
    standing = office.get()
    assert found.moved == (standing.uuid,)
    assert standing.reason.startswith(reason)
    assert [lift.at.isoformat() for lift in standing.candidates] == [
        "2026-12-01T13:00:00+00:00",
        "2026-12-02T14:00:00+00:00",
        "2026-12-01T14:00:00+00:00",
    ]
    noted_before(office)
    assert recomputed(office).moved == ()


def test_an_instant_chosen_from_a_doubled_hour_is_not_asked_about_again(office):
    """Who chose one of the two instants of a doubled hour is not asked again by a tz database that still doubles it."""
    office.record(embargo=None)
    twice = [
        {"at": at, "local": "2027-11-07T01:30:00", "zone": "America/New_York"}
        for at in ("2027-11-07T05:30:00+00:00", "2027-11-07T06:30:00+00:00")
    ]
    noted_before(office, candidates=twice)
    office.confirm(words="2")
    chosen = office.get()
    noted_before(office)
    assert recomputed(office).unmoved == 1
    assert office.get() == chosen


def test_a_zone_that_is_no_more_is_for_a_person(office):
    """A lift whose zone the new tz database does not know goes to attention with its old instant."""
    office.record()
    office.raw("UPDATE revisions SET lift_zone = 'America/Atlantis'")
    noted_before(office)
    assert recomputed(office).unmoved == 0
    standing = office.get()
    assert "no such zone" in standing.reason
    assert [lift.at for lift in standing.candidates] == [datetime(2026, 12, 1, 14, tzinfo=UTC)]


def test_a_lift_without_its_local_time_keeps_its_instant(office):
    """A lift of which only the instant is known keeps it."""
    office.record()
    office.raw("UPDATE revisions SET lift_local = NULL")
    noted_before(office)
    assert recomputed(office).unmoved == 1
    assert office.get().lift_at == datetime(2026, 12, 1, 14, tzinfo=UTC)


def test_an_edit_of_the_text_does_not_bring_the_time_of_the_file_back(office):
    """Where new rules moved what a person had settled, an edit of the text releases nothing at the file's own time."""
    office.record()
    office.amend(words="2026-12-24 09:00 America/New_York")
    noted_before(office, local="2026-12-24T08:00:00")
    recomputed(office)
    assert office.get().state == "attention"
    office.record(body="Edited.")
    office.clock.pass_by(days=365)
    assert office.lift() == []


def test_a_command_that_was_quicker_wins(office):
    """A record that a command moved while its lift was being computed again stays as the command left it."""
    office.record()
    noted_before(office, local="2026-12-01T08:00:00")
    seen = office.get()
    office.withdraw()
    assert not zones.moves.ask_again(
        office.store, seen, reason="moved", candidates=(), version="2099z", now=office.clock(), actor="service"
    )
    assert office.get().state == "withdrawn"
