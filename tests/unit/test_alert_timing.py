"""When trouble is told of: what rings, what waits, what is said again, and what is said no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.monitor import alerts
from scheduler.monitor.alerts import APART, FLAPS_FOR, LIMIT, WAIT, State, decide, unseen
from scheduler.monitor.look import KINDS, Snapshot, Trouble, Waiting
from scheduler.record import State as RecordState

START = datetime(2026, 12, 1, 6, tzinfo=UTC)
REPEAT = timedelta(hours=4)


def trouble(kind="mail_failing", subject="", *, urgent=False):
    return Trouble(kind=kind, subject=subject, problem=f"{kind} {subject} fails.", remedy="Mend it.", urgent=urgent)


MAIL, DISK = trouble(), trouble("disk", "/srv")
CLOCK, OVERDUE = trouble("clock", urgent=True), trouble("overdue", urgent=True)


class Told:
    """One listener through time: what he hears, as (seconds since the start, what is said)."""

    def __init__(self):
        self.state = State()
        self.at = START
        self.heard = []
        self.messages = []

    def see(self, *troubles, seconds=0.0, every=1.0, unseen=()):
        """The same look again and again for so long; at least once."""
        end = self.at + timedelta(seconds=seconds)
        while True:
            self.state, message = decide(self.state, troubles, self.at, REPEAT, unseen=unseen)
            if message:
                self.messages.append(message)
                lines = [f"{line.status} {line.kind} {line.subject}".strip() for line in message.lines]
                self.heard.append(((self.at - START).total_seconds(), lines))
            if self.at >= end:
                return self
            self.at = min(self.at + timedelta(seconds=every), end)

    def restart(self):
        """The process ends and starts anew, with what the store has kept."""
        kept = alerts._STATES.dump_json({"way": self.state})
        self.state = alerts._STATES.validate_json(kept)["way"]
        return self


@pytest.fixture
def told():
    return Told()


def test_trouble_waits_half_a_minute_for_company(told):
    """What is new is told of after thirty seconds, in one message with all that came meanwhile."""
    told.see(MAIL, seconds=20).see(MAIL, DISK, seconds=40)
    assert told.heard == [(30, ["new mail_failing", "new disk /srv"])]


def test_what_wakes_a_person_waits_two_seconds(told):
    """What is urgent is told of after two seconds, and takes along what waits."""
    told.see(MAIL, seconds=5).see(CLOCK, MAIL, seconds=60)
    assert told.heard == [(7, ["new clock", "new mail_failing"])]


def test_what_comes_later_waits_for_the_minute(told):
    """A minute lies between two messages; what is urgent does not wait for it."""
    told.see(MAIL, seconds=31).see(MAIL, DISK, seconds=40)
    assert told.heard == [(30, ["new mail_failing"])]
    told.see(MAIL, DISK, seconds=60)
    assert told.heard[1:] == [(90, ["new disk /srv"])]
    told.see(CLOCK, MAIL, DISK, seconds=10)
    assert told.heard[2:] == [(told.heard[-1][0], ["new clock"])]
    assert told.heard[-1][0] == 133


def test_a_moment_of_trouble_is_not_told(told):
    """What passes within the half minute is never heard of, and its end neither."""
    told.see(MAIL, seconds=20).see(seconds=3600)
    assert told.heard == []
    assert told.state.known == ()


def test_what_stands_is_told_again_ever_more_seldom(told):
    """A standing problem is said again after four hours, then eight, sixteen, and from then on once a day."""
    told.see(MAIL, seconds=5 * 86400, every=60)
    hours = [round(at / 3600) for at, _ in told.heard]
    assert hours == [0, 4, 12, 28, 52, 76, 100]
    assert [lines for _, lines in told.heard[1:]] == [["standing mail_failing"]] * 6


def test_a_repeat_longer_than_a_day_stands():
    """Who wants to hear of it every week hears of it every week."""
    state, week = State(), timedelta(days=7)
    heard = []
    for hour in range(24 * 30):
        state, message = decide(state, [MAIL], START + timedelta(hours=hour), week)
        heard += [hour // 24] if message else []
    assert heard == [0, 7, 14, 21, 28]


def test_what_is_over_is_said_once(told):
    """Ten minutes after it was last seen a trouble is over, which is said once."""
    told.see(MAIL, seconds=60).see(seconds=7200)
    assert told.heard[1:] == [(660, ["over mail_failing"])]
    assert told.state.known == ()


def test_what_flaps_rings_once(told):
    """What comes and goes is one trouble: it is told of once, and is over when it stays away for ten minutes."""
    for _ in range(20):
        told.see(MAIL, seconds=50).see(seconds=500)
    assert [lines for _, lines in told.heard] == [["new mail_failing"]]
    told.see(seconds=700)
    assert [lines for _, lines in told.heard[1:]] == [["over mail_failing"]]


def test_what_flaps_too_fast_to_be_told_of_is_told_of(told):
    """A trouble that never stays for half a minute, and comes back again and again, is told of all the same."""
    for _ in range(10):
        told.see(MAIL, seconds=20).see(seconds=60)
    assert [lines for _, lines in told.heard] == [["new mail_failing"]]


def test_what_comes_back_late_is_new(told):
    """What comes back after it was over rings again."""
    told.see(MAIL, seconds=60).see(seconds=3600).see(MAIL, seconds=60)
    assert [lines for _, lines in told.heard] == [["new mail_failing"], ["over mail_failing"], ["new mail_failing"]]


def test_what_grows_urgent_rings(told):
    """A record that waits for a person rings again when its instant is near, and then as urgent."""
    near = trouble("attention", "one", urgent=True)
    told.see(trouble("attention", "one"), seconds=120).see(near, seconds=120)
    assert told.heard == [(30, ["new attention one"]), (122, ["new attention one"])]
    told.see(trouble("attention", "one"), seconds=120).see(near, seconds=120)
    assert len(told.heard) == 2


def test_a_restart_does_not_repeat(told):
    """What was said an hour ago is not said again because the process started anew; its turn comes as it would have."""
    told.see(MAIL, DISK, seconds=3600, every=10).restart().see(MAIL, DISK, seconds=60)
    assert len(told.heard) == 1
    told.see(MAIL, seconds=600).restart().see(MAIL, seconds=60)
    assert [lines for _, lines in told.heard[1:]] == [["over disk /srv"]]


def test_what_is_kept_has_no_words_in_it(told):
    """What the store keeps of all this are kinds, subjects and instants."""
    told.see(MAIL, DISK, seconds=60)
    kept = alerts._STATES.dump_json({"way": told.state})
    assert b"/srv" in kept
    assert b"fails" not in kept
    assert b"Mend" not in kept


def test_what_is_kept_is_bounded(told):
    """However many troubles come and go, so many are kept in mind."""
    for batch in range(4):
        told.see(*(trouble("attention", f"{batch}-{n}") for n in range(2 * LIMIT)), seconds=40, every=10)
    assert len(told.state.known) <= 2 * LIMIT


def test_what_can_not_be_looked_at_is_not_over(told):
    """While the database can't be asked nothing of what it knows is said to be over."""
    told.see(MAIL, seconds=60)
    down = trouble("service", "database", urgent=True)
    told.see(down, seconds=3600, every=10, unseen={"mail_failing"})
    told.see(MAIL, seconds=60)
    assert [lines for _, lines in told.heard] == [["new mail_failing"], ["new service database"]]


@pytest.mark.parametrize(
    ("snapshot", "kinds"),
    [
        (Snapshot(at=START, alive=True), set()),
        (Snapshot(at=START), {"clock", "config", "site", "child", "skew"}),
        (Snapshot(at=START, alive=True, problem="It is locked."), set(KINDS) - {"disk", "service"}),
        (Snapshot(at=START, alive=True, counts={RecordState.ATTENTION: 2}), {"attention"}),
        (
            Snapshot(
                at=START,
                alive=True,
                counts={RecordState.ATTENTION: 1},
                attention=(Waiting(uuid="1", record_id="one", lift_at=None),),
            ),
            set(),
        ),
        (Snapshot(at=START, alive=True, uncertain={str(n): 1 for n in range(20)}), {"mail_uncertain"}),
    ],
)
def test_what_a_look_does_not_show(snapshot, kinds):
    """A look says of which kinds it can't show everything: what it does not show is not gone."""
    assert unseen(snapshot) == kinds


def test_a_clock_that_is_set_back_silences_nothing(told):
    """After the clock was set back by a day, what is new is told of half a minute later, not a day."""
    told.see(MAIL, seconds=60)
    told.at -= timedelta(days=1)
    told.see(MAIL, DISK, seconds=120)
    assert [lines for _, lines in told.heard[1:]] == [["new disk /srv"]]
    told.see(MAIL, DISK, seconds=4 * 3600, every=60)
    assert [lines for _, lines in told.heard[2:]] == [["standing mail_failing"], ["standing disk /srv"]]


def test_the_headline_says_what_and_how_many(told):
    """The headline, which is a mail's subject, has the kinds, and how many records they are about."""
    told.see(OVERDUE, trouble("attention", "one"), trouble("attention", "two"), MAIL, seconds=3)
    [message] = told.messages
    assert message.headline(due=2) == "overdue: 2 records; attention: 2 records; mail failing"
    assert message.headline(due=1).startswith("overdue: 1 record;")
    told.see(OVERDUE, seconds=15 * 3600, every=60)
    assert told.messages[1].headline(due=3) == "over: attention: 2 records; over: mail failing"
    assert told.messages[2].headline(due=3) == "still overdue: 3 records"


looks = st.lists(
    st.tuples(
        st.sets(st.tuples(st.sampled_from(KINDS[:4]), st.sampled_from(["", "one", "two"]), st.booleans()), max_size=5),
        st.integers(1, 120),
    ),
    max_size=60,
)


@given(looks)
def test_nobody_hears_more_than_a_message_a_minute(looks):
    """Whatever comes and goes: without something new and urgent, a minute lies between a message and the one before."""
    told = Told()
    for found, seconds in looks:
        urgent = {
            (kind, subject): any(u for k, s, u in found if (k, s) == (kind, subject)) for kind, subject, _ in found
        }
        told.see(*(trouble(*key, urgent=is_urgent) for key, is_urgent in urgent.items()))
        told.at += timedelta(seconds=seconds)
    for before, message in zip(told.messages, told.messages[1:], strict=False):
        loud = any(line.status == "new" and line.urgent for line in message.lines)
        assert loud or message.at - before.at >= APART
        assert message.lines


@given(looks)
def test_whatever_stands_is_told_of(looks):
    """Whatever comes and goes: a trouble that stands for half a minute and the minute between messages is told of."""
    told = Told()
    stands = trouble("fenced")
    for found, seconds in looks:
        others = {(kind, subject): trouble(kind, subject) for kind, subject, _ in found}
        told.see(*others.values(), stands)
        told.at += timedelta(seconds=seconds)
        if told.at - START > WAIT + APART + timedelta(seconds=seconds):
            assert any("new fenced" in lines for _, lines in told.heard)
    keys = [line for _, lines in told.heard for line in lines if line.startswith("new")]
    assert keys.count("new fenced") <= 1


@given(looks)
def test_nothing_is_over_that_was_not_told_of(looks):
    """Whatever comes and goes: each end that is told of is the end of something that was."""
    told = Told()
    for found, seconds in looks:
        told.see(*(trouble(kind, subject) for kind, subject in {(k, s) for k, s, _ in found}))
        told.at += timedelta(seconds=seconds)
    told.see(seconds=2 * FLAPS_FOR.total_seconds(), every=30)
    standing = set()
    for _, lines in told.heard:
        for line in lines:
            status, _, key = line.partition(" ")
            assert status != "over" or key in standing
            standing = standing - {key} if status == "over" else standing | {key}
    assert standing == set()


def test_every_kind_is_explained():
    """The document about alerts says of each kind what it means and what to do, and of no other."""
    text = (Path(__file__).parents[2] / "docs/alerts.md").read_text("utf-8").partition("## What each kind means")[2]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert sorted(rows) == sorted(KINDS)
