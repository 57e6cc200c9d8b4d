"""The real service where the wall clock changes over, is set, or goes on without it."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest
from conftest import ahead, eventually, words
from outdoors import WallClock, released_at, rows, state

SECOND = timedelta(seconds=1)
CHANGES = {
    # zone, the instant of the change, offsets before and after
    "London, forward": ("Europe/London", "2027-03-28T01:00Z", "+00:00", "+01:00"),
    "London, back": ("Europe/London", "2027-10-31T01:00Z", "+01:00", "+00:00"),
    "New York, forward": ("America/New_York", "2027-03-14T07:00Z", "-05:00", "-04:00"),
    "New York, back": ("America/New_York", "2027-11-07T06:00Z", "-04:00", "-05:00"),
}


@pytest.fixture
def wall(tmp_path, monkeypatch):
    return WallClock(tmp_path / "step", monkeypatch)


def local(at: datetime, offset: str) -> datetime:
    """What a clock on the wall shows at `at` under this offset."""
    return datetime.fromisoformat(f"{at:%Y-%m-%dT%H:%M:%SZ}").astimezone(
        datetime.fromisoformat(f"2027-01-01T00:00{offset}").tzinfo
    )


@pytest.mark.parametrize("change", CHANGES)
def test_lifts_on_both_sides_of_a_change_of_the_clocks(house, wall, change):
    """A running service lifts on time before and after the clocks change, and refuses a local time that they skip or double."""
    zone, instant, before, after = CHANGES[change]
    at = datetime.fromisoformat(instant)
    text = house.config.read_text().replace("timezone: America/New_York", f"timezone: {zone}")
    # A machine so busy that a record comes in after its lift shall not make this fail.
    house.config.write_text(text + "embargo: {past_on_arrival: release}\n")
    lifts = {"before": at - SECOND, "after": at + SECOND, "much-later": at + timedelta(hours=3)}
    offsets = {"before": before, "after": after, "much-later": after}
    skips = before < after if before[0] == "+" else before > after
    for name, lift_at in lifts.items():
        shown = local(lift_at, offsets[name])
        # Around a change back each local time is one of two: only an offset says which.
        house.record(name, embargo=f"{shown:%Y-%m-%d %H:%M:%S}" if skips or name == "much-later" else shown.isoformat())
    never = local(at, before) + timedelta(minutes=30 if skips else -30)
    house.record("never", embargo=f"{never:%Y-%m-%d %H:%M}")
    wall.set(at - 6 * SECOND - datetime.now(UTC))
    house.start()
    eventually(lambda: state(house, "before") == state(house, "after") == "released", "both lifts")
    for name, lift_at in lifts.items():
        [(stored,)] = rows(house, f"SELECT lift_at FROM records WHERE id = '{name}'")
        assert datetime.fromtimestamp(stored / 1e6, UTC) == lift_at
    assert lifts["before"] <= released_at(house, "before")
    assert lifts["after"] <= released_at(house, "after") <= wall()
    assert state(house, "much-later") == "held"
    [refusal] = house.json("queue")["refused"]
    assert refusal["origin"].endswith("never.md")
    assert ("skip" in refusal["problem"]) or ("twice" in refusal["problem"]), refusal
    for offset in (before, after):
        assert offset in refusal["remedy"], refusal
    assert house.run("trail", "verify").returncode == 0


def test_a_step_over_a_lift_lifts_nothing_until_a_person_says_so(house, wall):
    """A clock stepped over a lift releases nothing; the command shows what waits; trusting it releases, a person may anyway."""
    house.start()
    for name in ("one", "two"):
        house.record(name, embargo=words(ahead(600)), title=f"Title {name}")
    eventually(lambda: state(house, "one") == state(house, "two") == "held", "both to be held")
    assert house.run("clock").returncode == 0
    wall.set(3600 * SECOND)
    eventually(lambda: "clock_suspect why=stepped by_s=3600" in house.log, "the alarm")
    shown = eventually(
        lambda: (found := house.json("clock"))["state"] == "suspect" and found, "the doubt to be written"
    )
    assert [row["id"] for row in shown["waiting"]] == ["one", "two"]
    assert round(shown["offset_s"]) == round(shown["doubts"]["stepped"]) == 3600
    said = house.run("clock")
    assert said.returncode == 1
    assert "Nothing lifts by time" in said.stdout
    assert "The clock is suspect" in house.run("lift", "two", "--reason", "asked for").stdout
    eventually(lambda: b"Title two" in house.site("rss.xml"), "what a person lifted")
    assert state(house, "one") == "held"
    assert house.run("clock", "trust", "--reason", "the other clock was wrong").returncode == 0
    eventually(lambda: b"Title one" in house.site("rss.xml"), "what waited")
    assert "clock_trusted" in house.log
    assert house.run("clock", "trust", "--reason", "again").returncode == 1


def test_a_step_is_remembered_over_a_kill_and_undone_by_the_right_time(house, wall):
    """A stepped clock stays in doubt over kill -9 and a new start; when it is set right, the lift comes when it should."""
    house.start()
    lift_at = ahead(15)
    house.record("one", embargo=words(lift_at), title="Right on time")
    eventually(lambda: state(house, "one") == "held", "it to be held")
    house.kill()
    wall.set(86400 * SECOND)
    house.start()
    assert "clock_suspect why=stepped" in house.log
    assert house.json("clock")["state"] == "suspect"
    house.kill()
    house.start()
    assert state(house, "one") == "held"
    wall.set(0 * SECOND)
    eventually(lambda: b"Right on time" in house.site("rss.xml"), "the release")
    assert datetime.now(UTC) >= lift_at
    assert "clock_came_back" in house.log


def test_what_is_too_late_waits_for_a_person(house, wall):
    """With `release_within`, the start releases what is late by less, holds the rest, and says both with how late."""
    house.config.write_text(house.config.read_text() + "embargo: {overdue: {release_within: 30m}}\n")
    for name, lift_at in (("early", ahead(60)), ("late", ahead(3600))):
        assert house.run("add", str(house.record(name, embargo=words(lift_at), title=name))).returncode == 0
    wall.set(3660 * SECOND)
    house.start()
    eventually(lambda: "overdue_released" in house.log, "the release")
    assert "overdue_held" in house.log
    assert house.log.count("late_s=") == 2
    assert (state(house, "early"), state(house, "late")) == ("attention", "released")


def test_a_backward_step_delays_and_forgets_nothing(house, wall):
    """A wall clock that is set back by an hour makes nothing early, and what it delayed lifts once it is right again."""
    house.start()
    lift_at = wall() + 4 * SECOND
    house.record("one", embargo=words(lift_at))
    eventually(lambda: state(house, "one") == "held", "it to be held")
    wall.set(timedelta(hours=-1))
    eventually(lambda: datetime.now(UTC) > lift_at + SECOND, "the true instant to pass")
    assert state(house, "one") == "held"
    wall.set(timedelta())
    eventually(lambda: state(house, "one") == "released", "the release")
    assert released_at(house, "one") >= lift_at
    assert [row["event"] for row in house.json("trail") if row["record"] == "one"] == ["accepted", "released"]


def test_a_service_suspended_over_a_lift_releases_when_it_wakes_and_says_how_late(house, wall):
    """A service that is stopped over a lift and continued releases at once, once, and says aloud that it was late."""
    house.start()
    lift_at = wall() + 5 * SECOND
    house.record("one", embargo=words(lift_at), title="Quokka")
    eventually(lambda: state(house, "one") == "held", "it to be held")
    assert house.service is not None
    house.service.send_signal(signal.SIGSTOP)
    eventually(lambda: wall() > lift_at + 1.5 * SECOND, "the lift to pass")
    assert state(house, "one") == "held"
    assert b"Quokka" not in house.site("rss.xml")
    house.service.send_signal(signal.SIGCONT)
    eventually(lambda: b"Quokka" in house.site("rss.xml"), "the release")
    eventually(lambda: "overdue_released" in house.log, "the word about it")
    assert released_at(house, "one") >= lift_at
    assert [row["event"] for row in house.json("trail") if row["record"] == "one"] == ["accepted", "released"]
