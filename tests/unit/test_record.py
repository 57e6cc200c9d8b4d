"""What is decided about a brief from the words of its metadata and its text."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import pytest

from scheduler import embargo
from scheduler.embargo import Kind, Lift, Reading
from scheduler.record import Decided, PastOnArrival, Question, Release, State, Verdict, address_of, check

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SILENT = Reading(kind=Kind.NONE)


def fixed(at: datetime, words: str = "words", **more) -> Reading:
    return Reading(kind=Kind.FIXED, words=words, lift=Lift(at=at, local=at.replace(tzinfo=None), zone="UTC"), **more)


def judged(stated: Reading | None, text: Reading = SILENT, **options) -> Verdict:
    verdict = check(
        stated=stated, text=text, now=NOW, past_on_arrival=options.pop("past_on_arrival", PastOnArrival.HOLD), **options
    )
    if verdict.state is State.ATTENTION:
        assert verdict.reason
        assert re.search(r"[.!?]$", verdict.reason), verdict.reason
        assert verdict.lift is None
    else:
        assert (verdict.state, verdict.reason) == (State.HELD, None)
    return verdict


LATER = fixed(NOW + timedelta(days=1), "tomorrow noon")


def test_a_stated_instant_is_held_until_then():
    """A record whose metadata names an instant is held until that instant."""
    verdict = judged(LATER)
    assert verdict.lift == LATER.lift
    assert (verdict.state, verdict.decided, verdict.words) == (State.HELD, Decided.METADATA, "tomorrow noon")


def test_an_event_is_held_without_an_instant():
    """A record that waits for an event is held until a person lifts it."""
    verdict = judged(Reading(kind=Kind.EVENT, words="on delivery"))
    assert (verdict.state, verdict.lift, verdict.kind) == (State.HELD, None, Kind.EVENT)


def test_no_embargo_is_held_until_now():
    """`embargo: none` lifts at the instant the record comes in."""
    verdict = judged(Reading(kind=Kind.IMMEDIATE, words="none"))
    assert verdict.state is State.HELD
    assert verdict.lift is not None
    assert verdict.lift.at == NOW


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SILENT, "says when"),
        (Reading(kind=Kind.EVENT, words="until delivery"), "on delivery"),
        (Reading(kind=Kind.IMMEDIATE, words="for immediate release"), "embargo: none"),
        (Reading(kind=Kind.AMBIGUOUS, words="9 a.m.", reason="No day is named."), "No day is named."),
    ],
)
def test_text_that_names_no_instant_needs_a_person(text, says):
    """What only the text says, unless it is one exact instant, is shown to a person and holds."""
    verdict = judged(None, text)
    assert verdict.state is State.ATTENTION
    assert verdict.decided is Decided.TEXT
    assert says in verdict.reason


def test_an_exact_instant_in_the_text_is_enough():
    """A text that names one exact instant needs no metadata."""
    verdict = judged(None, LATER)
    assert (verdict.state, verdict.lift, verdict.decided) == (State.HELD, LATER.lift, Decided.TEXT)


def test_ambiguous_text_proposes_its_candidates():
    """What an ambiguous statement might mean is proposed, likeliest first."""
    one, two = (fixed(NOW + timedelta(days=days)).lift for days in (1, 2))
    verdict = judged(None, Reading(kind=Kind.AMBIGUOUS, words="9 a.m.", reason="Which?", candidates=(one, two)))
    assert verdict.candidates == (one, two)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        (LATER, fixed(NOW + timedelta(days=2), "the day after")),
        (Reading(kind=Kind.IMMEDIATE, words="none"), LATER),
        (Reading(kind=Kind.IMMEDIATE, words="none"), Reading(kind=Kind.EVENT, words="until delivery")),
        (Reading(kind=Kind.IMMEDIATE, words="none"), Reading(kind=Kind.AMBIGUOUS, words="9 a.m.", reason="Which day?")),
    ],
)
def test_a_contradiction_needs_a_person(stated, text):
    """Where metadata and text contradict each other, both are quoted to a person and nothing is released."""
    verdict = judged(stated, text)
    assert verdict.state is State.ATTENTION
    assert stated.words in verdict.reason
    assert text.words in verdict.reason
    assert all(reading.lift in verdict.candidates for reading in (stated, text) if reading.lift)


@pytest.mark.parametrize(
    "text", [fixed(NOW + timedelta(days=1)), Reading(kind=Kind.IMMEDIATE, words="FOR IMMEDIATE RELEASE"), SILENT]
)
def test_the_metadata_stand_where_the_text_agrees_or_is_laxer(text):
    """The metadata decide where the text says the same, nothing, or "for immediate release"."""
    assert judged(LATER, text).lift == LATER.lift


def test_an_event_waits_though_the_text_names_a_time():
    """`embargo: on delivery` waits for a person, whatever time the text names."""
    assert judged(Reading(kind=Kind.EVENT, words="on delivery"), LATER).lift is None


@pytest.mark.parametrize("ago", [timedelta(), timedelta(microseconds=1), timedelta(days=400)])
def test_a_lift_that_has_passed_on_arrival(ago):
    """A lift that has passed when the record comes in is shown to a person, or released, as the office has decided."""
    late = fixed(NOW - ago)
    verdict = judged(late)
    assert verdict.state is State.ATTENTION
    assert verdict.candidates == (late.lift,)
    released = judged(late, past_on_arrival=PastOnArrival.RELEASE)
    assert (released.state, released.lift) == (State.HELD, late.lift)


def test_the_very_next_microsecond_is_ahead():
    """A lift one microsecond ahead is held, not late."""
    assert judged(fixed(NOW + timedelta(microseconds=1))).state is State.HELD


@pytest.mark.parametrize("policy", PastOnArrival)
def test_more_than_two_years_ahead_needs_a_person(policy):
    """A lift more than two years ahead is taken for a slip of the pen."""
    verdict = judged(fixed(NOW + timedelta(days=731, microseconds=1)), past_on_arrival=policy)
    assert "two years" in verdict.reason
    assert judged(fixed(NOW + timedelta(days=731)), past_on_arrival=policy).state is State.HELD


@pytest.mark.parametrize("stated", [LATER, None, Reading(kind=Kind.IMMEDIATE, words="none")])
def test_an_unfit_text_waits_whatever_the_time(stated):
    """A text that may not go out is held back whatever its embargo, and the sentence says why."""
    verdict = judged(stated, unfit="It holds a withheld name.")
    assert (verdict.state, verdict.reason) == (State.ATTENTION, "It holds a withheld name.")
    assert verdict.unfit == verdict.reason


def test_values_do_not_show_their_text():
    """No record prints its text, its names or its notes when it is printed."""
    secret = "Canary"
    release = Release(
        id="one",
        uuid="u",
        tag="t",
        revision=1,
        title=secret,
        summary=secret,
        html=secret,
        text=secret,
        published_at=NOW,
        updated_at=NOW,
        zone="UTC",
        language="en",
        topics=(secret,),
        attribution=secret,
        contact=secret,
        source=secret,
        moderator=secret,
        speakers=(secret,),
        questions=(Question(asker=secret, outlet=secret),),
        correction=secret,
        retraction=secret,
    )
    assert secret not in repr(release)
    assert secret not in repr(judged(LATER, unfit=f"{secret}."))
    assert secret in repr(dataclasses.astuple(release))


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        ("desk@example.org", "desk@example.org"),
        ("Zoë <Zoe@Example.NET>", "zoe@example.net"),
        ('"A <b>" < c@example.org > ', "c@example.org"),
    ],
)
def test_an_address_tells_people_apart(recipient, address):
    """A person is known by the bare address, whatever name or case it is written with."""
    assert address_of(recipient) == address


def test_a_lift_reads_as_local_time_and_utc():
    """A lift is shown with its local time, its zone and UTC."""
    lift = embargo.lift_in("America/New_York", datetime(2026, 12, 1, 14, tzinfo=UTC))
    assert str(lift) == "2026-12-01 09:00 America/New_York (2026-12-01 14:00 UTC)"
