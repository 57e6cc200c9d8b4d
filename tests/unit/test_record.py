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


def wondering(*days: int) -> Reading:
    lifts = tuple(fixed(NOW + timedelta(days=count)).lift for count in days)
    return Reading(kind=Kind.AMBIGUOUS, words="9 a.m.", reason="Which day?", candidates=lifts)


NONE = Reading(kind=Kind.IMMEDIATE, words="none")
AT_ONCE = Reading(kind=Kind.IMMEDIATE, words="FOR IMMEDIATE RELEASE")
WAITS = Reading(kind=Kind.EVENT, words="on delivery")
UNTIL_DELIVERY = Reading(kind=Kind.EVENT, words="until delivery")


@pytest.mark.parametrize(
    ("stated", "text", "meant"),
    [
        (LATER, fixed(NOW + timedelta(days=2), "the day after"), ["2026-12-01 12:00 UTC", "2026-12-02 12:00 UTC"]),
        (
            LATER,
            fixed(NOW + timedelta(days=1, seconds=1), "later"),
            ["2026-12-01 12:00 UTC", "2026-12-01 12:00:01 UTC"],
        ),
        (LATER, wondering(2, 3), ["2026-12-01 12:00 UTC", "2026-12-02 12:00 UTC or 2026-12-03 12:00 UTC"]),
        (LATER, UNTIL_DELIVERY, ["2026-12-01 12:00 UTC", "an event"]),
        (LATER, AT_ONCE, ["2026-12-01 12:00 UTC", "no embargo"]),
        (WAITS, LATER, ["an event", "2026-12-01 12:00 UTC"]),
        (WAITS, AT_ONCE, ["an event", "no embargo"]),
        (NONE, LATER, ["no embargo", "2026-12-01 12:00 UTC"]),
        (NONE, UNTIL_DELIVERY, ["no embargo", "an event"]),
        (NONE, wondering(), ["no embargo", "no exact time"]),
    ],
)
def test_a_contradiction_needs_a_person(stated, text, meant):
    """Where metadata and text contradict each other, a person sees the words and instants of both, and nothing is released."""
    verdict = judged(stated, text)
    assert verdict.reason == (
        f"The metadata says “{stated.words}” ({meant[0]}), but the text says “{text.words}” ({meant[1]}). "
        "Confirm what is right, or correct the file."
    )
    lifts = [lift for reading in (stated, text) for lift in (reading.lift, *reading.candidates) if lift]
    assert list(verdict.candidates) == lifts
    assert verdict.words == f"{stated.words} | {text.words}"
    assert (verdict.kind is Kind.EVENT) == (Kind.EVENT in {stated.kind, text.kind})


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        *((LATER, text) for text in (fixed(NOW + timedelta(days=1)), SILENT, wondering(), wondering(2, 1))),
        *((WAITS, text) for text in (UNTIL_DELIVERY, SILENT, wondering(1))),
        *((NONE, text) for text in (AT_ONCE, SILENT)),
    ],
)
def test_the_metadata_stand_where_the_text_does_not_deny_them(stated, text):
    """The metadata decide where the text says the same or nothing, or leaves open what they settle."""
    verdict = judged(stated, text)
    assert (verdict.state, verdict.words, verdict.kind) == (State.HELD, stated.words, stated.kind)


def test_a_time_that_has_passed_may_be_for_immediate_release():
    """A text for immediate release does not contradict a time that has passed."""
    assert judged(fixed(NOW), AT_ONCE, past_on_arrival=PastOnArrival.RELEASE).state is State.HELD


def test_an_instant_named_twice_is_proposed_once():
    """An instant that metadata and text give in two zones is one proposal."""
    lift = Lift(at=NOW + timedelta(days=1), local=datetime(2026, 12, 1, 7), zone="America/New_York")  # noqa: DTZ001 - local
    text = Reading(kind=Kind.EVENT, words="until delivery", candidates=(lift,))
    assert judged(LATER, text).candidates == (LATER.lift,)


def test_a_reason_quotes_a_long_statement_shortly():
    """A statement of many words and lines is quoted in one line, and cut."""
    reason = judged(NONE, fixed(NOW + timedelta(days=1), "EMBARGOED\n UNTIL " + "noon " * 100)).reason
    assert "“EMBARGOED UNTIL noon" in reason
    assert "…”" in reason
    assert len(reason) < 400


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
