"""What a record's metadata says about when."""

# A local time has no zone of its own here: that is what is tested.
# ruff: noqa: DTZ001

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.embargo import Kind, stated, tz_version
from scheduler.embargo.zones import instants, keys, local, offset_name, zone
from scheduler.errors import EmbargoRefused

NEW_YORK = "America/New_York"


def at(words, *, apart=None, default=NEW_YORK):
    return stated(words, zone=apart, default_zone=default).lift


def refused(words, *, apart=None, default=NEW_YORK):
    with pytest.raises(EmbargoRefused) as refusal:
        stated(words, zone=apart, default_zone=default)
    return refusal.value


@pytest.mark.parametrize(
    ("words", "instant", "name"),
    [
        ("2027-02-03 09:00 America/New_York", "2027-02-03T14:00:00", NEW_YORK),
        ("2027-02-03 09:00", "2027-02-03T14:00:00", NEW_YORK),
        ("2027-02-03  9:00", "2027-02-03T14:00:00", NEW_YORK),
        ("2027-02-03 09:00:30", "2027-02-03T14:00:30", NEW_YORK),
        ("2027-02-03 09:00:30.25 Asia/Tokyo", "2027-02-03T00:00:30.250000", "Asia/Tokyo"),
        ("2027-02-03T09:00:00-05:00", "2027-02-03T14:00:00", "-05:00"),
        ("2027-02-03t09:00:00z", "2027-02-03T09:00:00", "UTC"),
        ("2027-02-03 09:00 UTC", "2027-02-03T09:00:00", "UTC"),
        ("2027-02-03 09:00 GMT", "2027-02-03T09:00:00", "UTC"),
        ("2027-02-03 09:00 +01:00", "2027-02-03T08:00:00", "+01:00"),
        ("2027-02-03 09:00 +0530", "2027-02-03T03:30:00", "+05:30"),
        ("2027-02-03T09:00-05:00[America/New_York]", "2027-02-03T14:00:00", NEW_YORK),
        ("2027-02-03 9:00 am Europe/Paris", "2027-02-03T08:00:00", "Europe/Paris"),
        ("2027-02-03 12:00 a.m. Europe/Paris", "2027-02-02T23:00:00", "Europe/Paris"),
        ("2027-02-03 9pm Europe/Paris", "2027-02-03T20:00:00", "Europe/Paris"),
        ("Wednesday 2027-02-03 09:00", "2027-02-03T14:00:00", NEW_YORK),
        ("2027-02-03 09:00 Europe/Paris (Wed)", "2027-02-03T08:00:00", "Europe/Paris"),
    ],
)
def test_exact_forms(words, instant, name):
    """A date and a time with a zone, an offset or the newsroom's own zone are one instant."""
    reading = stated(words, zone=None, default_zone=NEW_YORK)
    assert reading.kind is Kind.FIXED
    assert (reading.lift.at, reading.lift.zone) == (datetime.fromisoformat(instant).replace(tzinfo=UTC), name)
    assert reading.words == words


def test_zone_given_apart():
    """A zone given beside the time counts before the newsroom's own."""
    assert at("2027-02-03 09:00", apart="Europe/Paris").at == datetime(2027, 2, 3, 8, tzinfo=UTC)
    assert at("2027-02-03 09:00", apart="-03:00").at == datetime(2027, 2, 3, 12, tzinfo=UTC)


def test_two_zones_must_agree():
    """An offset and a zone stated together are taken when they mean the same instant and refused when they don't."""
    assert at("2027-02-03 09:00 -05:00", apart=NEW_YORK).at == datetime(2027, 2, 3, 14, tzinfo=UTC)
    refusal = refused("2027-02-03 09:00 -05:00", apart="Europe/London")
    assert refusal.candidates == ("2027-02-03T09:00:00-05:00", "2027-02-03T09:00:00+00:00")
    assert "'2027-02-03 09:00 Europe/London'" in refusal.remedy


@pytest.mark.parametrize("words", ["on delivery", "Until delivery", "until further notice", "at the end of the call"])
def test_events(words):
    """A record may wait for an event instead of an instant."""
    assert stated(words, zone=None, default_zone=NEW_YORK).kind is Kind.EVENT


@pytest.mark.parametrize("words", ["none", "None", "immediate", "For immediate release"])
def test_none(words):
    """The words "embargo: none" release at once."""
    assert stated(words, zone=None, default_zone=NEW_YORK).kind is Kind.IMMEDIATE


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("2027-02-03", "Say the time"),
        ("2027-02-03 Europe/Paris", "'2027-02-03 09:00 Europe/Paris'"),
        ("09:00", "Say the day"),
        ("9 am Europe/Paris", "Say the day"),
        ("2027-02-03 9", "'2027-02-03 09:00'"),
        ("2027-04-31 09:00", "existing day"),
        ("2027-13-01 09:00", "existing day"),
        ("2027-02-03 24:00", "00:00 of the day after"),
        ("2027-02-03 25:00", "00:00:00 to 23:59:59"),
        ("2027-02-03 23:59:60", "00:00:00 to 23:59:59"),
        ("2027-02-03 13:00 pm", "00:00 to 23:59"),
        ("2027-02-03 09:00:00.1234567", "Write '2027-02-03 09:00"),
        ("1203-02-03 09:00", "year"),
        ("Tuesday 2027-02-03 09:00", "weekday or the date"),
        ("Wensday 2027-02-03 09:00", "'Wednesday'"),
        ("Soon 2027-02-03 09:00", "weekday"),
        ("3 February 2027 at 9 am", "'2027-02-03 09:00 America/New_York'"),
        ("03/02/2027 09:00", "'2027-03-02 09:00 America/New_York'"),
        ("tomorrow at nine", "Write a date, a time and a zone"),
        ("when the Minister sits down", "Write a date, a time and a zone"),
        ("", "Write a date, a time and a zone"),
        ("2027-02-03 09:00 (or so) Paris", "Write a date, a time and a zone"),
    ],
)
def test_inexact_words_are_refused(words, remedy):
    """A time that is missing, impossible, contradicted or in free words is refused with what to write instead."""
    refusal = refused(words)
    assert remedy in refusal.remedy
    assert words in refusal.problem


@pytest.mark.parametrize(
    ("name", "default", "meant"),
    [
        ("EST", NEW_YORK, NEW_YORK),
        ("EST", "Australia/Brisbane", "Australia/Sydney"),
        ("EDT", "Europe/Paris", NEW_YORK),
        ("CST", "Asia/Shanghai", "Asia/Shanghai"),
        ("IST", "Europe/Dublin", "Europe/Dublin"),
        ("IST", "Asia/Kolkata", "Asia/Kolkata"),
        ("BST", "Europe/London", "Europe/London"),
        ("ET", NEW_YORK, NEW_YORK),
        ("CET", "Europe/Paris", "Europe/Paris"),
        ("AEST", NEW_YORK, "Australia/Sydney"),
        ("JST", NEW_YORK, "Asia/Tokyo"),
        ("EST5EDT", NEW_YORK, NEW_YORK),
        ("Etc/GMT+5", NEW_YORK, "-05:00"),
        ("GMT+1", NEW_YORK, "+01:00"),
        ("UTC-3", NEW_YORK, "-03:00"),
        ("+01", NEW_YORK, "+01:00"),
        ("america/new_york", NEW_YORK, NEW_YORK),
        ("America/New-York", NEW_YORK, NEW_YORK),
        ("London", NEW_YORK, "Europe/London"),
        ("New York", "Europe/Paris", NEW_YORK),
        ("Japan", NEW_YORK, "Asia/Tokyo"),
    ],
)
def test_inexact_zones_are_refused(name, default, meant):
    """An abbreviation or an unknown zone is refused with the whole line that was probably meant."""
    assert f"'2027-02-03 09:00 {meant}'" in refused(f"2027-02-03 09:00 {name}", default=default).remedy


def test_zone_without_likeness_is_refused():
    """A zone that resembles none is refused with the form of one."""
    assert "an IANA zone or an offset" in refused("2027-02-03 09:00 Xyzzy").remedy
    assert "an IANA zone or an offset" in refused("2027-02-03 09:00 +99:00").remedy


def test_skipped_time():
    """A time that the clocks skip is refused with both instants and how to write each."""
    refusal = refused("2027-03-14 02:30")
    assert refusal.candidates == ("2027-03-14T01:30:00-05:00", "2027-03-14T03:30:00-04:00")
    assert "'2027-03-14 01:30 -05:00' or '2027-03-14 03:30 -04:00'" in refusal.remedy
    assert "2027-03-14 06:30:00 UTC or 2027-03-14 07:30:00 UTC" in refusal.problem


def test_doubled_time():
    """A time that comes twice is refused with both instants, and an offset beside the zone settles it."""
    refusal = refused("2027-11-07 01:30")
    assert refusal.candidates == ("2027-11-07T01:30:00-04:00", "2027-11-07T01:30:00-05:00")
    for candidate in refusal.candidates:
        assert at(candidate).at == datetime.fromisoformat(candidate).astimezone(UTC)
    assert at("2027-11-07T01:30-05:00[America/New_York]").at == datetime(2027, 11, 7, 6, 30, tzinfo=UTC)
    refused("2027-11-07T01:30-08:00[America/New_York]")


def test_every_remedy_for_a_clock_change_is_accepted():
    """What a refusal tells a person to write is accepted when it is written."""
    for words in ("2027-03-14 02:30", "2027-11-07 01:30", "2027-03-28 02:15 Europe/Paris"):
        refusal = refused(words)
        for line, candidate in zip(refusal.remedy.split("'")[1::2], refusal.candidates, strict=True):
            assert at(line).at == datetime.fromisoformat(candidate)


@given(
    wall=st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2090, 1, 1)),
    key=st.sampled_from(sorted(keys())),
)
def test_any_local_time_in_any_zone(wall, key):
    """Any local time in any IANA zone means the instant at which clocks there show it, or is refused when that isn't one."""
    words = f"{wall:%Y-%m-%d} {wall.time().isoformat()} {key}"
    found = instants(wall, zone(key))
    if len(found) == 1:
        lift = at(words).at
        assert lift == found[0]
        assert local(lift, key).replace(tzinfo=None) == wall
    else:
        refusal = refused(words)
        assert len(refusal.candidates) == 2


@given(
    wall=st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2090, 1, 1)),
    minutes=st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_any_local_time_at_any_offset(wall, minutes):
    """Any local time with an offset means exactly that instant."""
    away = timedelta(minutes=minutes)
    assert at(f"{wall.isoformat()}{offset_name(away)}").at == (wall - away).replace(tzinfo=UTC)


@given(words=st.text(max_size=60))
def test_any_words_are_read_or_refused(words):
    """Whatever stands in the metadata is read or refused, never an accident."""
    try:
        told = stated(words, zone=None, default_zone=NEW_YORK).reason
    except EmbargoRefused as refusal:
        told = refusal.remedy
    assert told.endswith(".")


def test_tz_version_is_the_one_in_use():
    """The version of the tz database that decides is known, so that a lift can be computed again when it changes."""
    version = tz_version()
    assert version[:4].isdigit()
    assert version[4:].isalpha()
    with pytest.raises(EmbargoRefused):
        zone("EST")
