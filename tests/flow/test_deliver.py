"""The ledger and the worker: who is owed which mail, once, whatever happens; with a transport at the outer edge."""

from __future__ import annotations

import asyncio
import contextlib
import email
import itertools
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import NOW
from mail_kit import (
    DESK,
    FAILED,
    PENDING,
    SENT,
    UNCERTAIN,
    WIRE,
    ZOE,
    Post,
    announce,
    claim,
    corrected,
    drain,
    freeze,
    listed,
    released,
    settle,
    tally,
    turn,
    worker,
)
from sqlalchemy.exc import IntegrityError

from scheduler.errors import DeliveryFailed, MoveRefused, NotFound
from scheduler.outlets.mail import transport
from scheduler.pipeline import deliver
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import GIVE_UP_AFTER, LEASE_FOR, WINDOW
from scheduler.pipeline.pace import CATCH_UP, Pace
from scheduler.record import Purpose, State
from scheduler.store import ledger, meta, records, subscribers, trail
from scheduler.store.ledger import Outcome


@pytest.fixture
def post():
    return Post()


def test_nothing_is_owed_before_the_lift(office, post):
    """No mail is owed, and none is sent, before a record is released."""
    office.record()
    office.record("asked", embargo=None)
    assert drain(worker(office, post)) == 0
    assert ledger.balance(office.store) == []


def test_each_recipient_gets_one_mail(office, post):
    """Each recipient of a record's lists gets one mail with its text, and the ledger says so."""
    released(office, body="The words.")
    assert drain(worker(office, post)) == 2
    assert sorted(to for to, _ in post.taken) == [ZOE, DESK]
    for mail in post.mails():
        assert "The words." in mail.get_body(("plain",)).get_content()
    assert tally(office) == {"sent": 2}
    assert drain(worker(office, post)) == 0


def test_an_audience_is_written_down_once(office):
    """An audience is written down right after the release; doing it again, or a list that has grown since, adds nobody."""
    released(office)
    assert freeze(office) == 2
    assert freeze(office) == 0
    assert freeze(office, {"press": MailList(name="Press", recipients=(DESK, "late@example.org"))}) == 0
    assert tally(office) == {"pending": 2}
    assert ledger.to_freeze(office.store) == []


def test_a_freeze_cut_short_goes_on_where_it_was(office, monkeypatch):
    """A worker killed while it writes a long audience down leaves the rest to the next one, and nobody twice."""
    monkeypatch.setattr("scheduler.store.ledger.audience.SEGMENT", 2)
    released(office)
    lists = {"press": MailList(name="Press", recipients=tuple(f"p{number}@example.org" for number in range(5)))}
    if office.store.path is not None:
        office.raw(
            "CREATE TRIGGER no_room BEFORE INSERT ON deliveries WHEN new.address = 'p4@example.org' "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    else:
        office.raw(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'the disk is full' USING ERRCODE = 'integrity_constraint_violation'; END $$",
            "CREATE TRIGGER no_room BEFORE INSERT ON deliveries FOR EACH ROW "
            "WHEN (new.address = 'p4@example.org') EXECUTE FUNCTION no_room()",
        )
    with pytest.raises(IntegrityError, match="the disk is full"):
        freeze(office, lists)
    assert tally(office) == {"pending": 4}
    office.raw("DROP TRIGGER no_room" if office.store.path else "DROP TRIGGER no_room ON deliveries")
    assert freeze(office, lists) == 1
    assert tally(office) == {"pending": 5}
    assert office.raw("SELECT segment, count(*) FROM deliveries GROUP BY segment ORDER BY segment") == [
        (0, 2),
        (1, 2),
        (2, 1),
    ]


def test_a_person_on_two_lists_gets_one_mail(office, post):
    """Who is on two lists, or twice on one, in whatever spelling, gets one mail."""
    lists = {
        "press": MailList(name="Press", recipients=(DESK, "Desk <DESK@Example.org>", ZOE)),
        "wire": MailList(name="Wire", recipients=("zoe@example.net", WIRE)),
    }
    released(office, keys="lists: [press, wire]\n")
    drain(worker(office, post, lists))
    assert sorted(to for to, _ in post.taken) == [ZOE, DESK, WIRE]
    assert tally(office) == {"sent": 3}


def test_a_list_that_is_gone_reaches_nobody(office, post):
    """A list that was taken out of the settings since reaches nobody after a day, and the ledger shows it."""
    released(office)
    assert drain(worker(office, post, {})) == 0
    assert "which the settings do not name" in trouble(office, "press")
    office.clock.pass_by(days=1)
    assert drain(worker(office, post, {})) == 0
    [row] = ledger.balance(office.store)
    assert (row["list"], row["audience"], row["frozen_at"]) == ("press", 0, office.clock())
    assert trouble(office, "press") is None


def test_a_worker_with_older_settings_costs_a_new_list_nothing(office, post):
    """A list that one worker does not know of yet waits for a worker that does; nobody is left out."""
    released(office)
    assert drain(worker(office, post, {})) == 0
    assert drain(worker(office, post)) == 2
    assert tally(office) == {"sent": 2}
    assert trouble(office, "press") is None


def test_a_list_that_was_read_and_is_gone_waits_as_well(office, post):
    """A list that was read before, and is taken out of the settings before the release, gets nothing while it is said to wait."""
    lists = {"press": MailList(name="Press", recipients=(DESK,)), "wire": MailList(name="Wire", recipients=(WIRE,))}
    freeze(office, lists)
    released(office, keys="lists: [press, wire]\n")
    drain(worker(office, post, {"press": lists["press"]}))
    assert [to for to, _ in post.taken] == [DESK]
    assert "they wait" in trouble(office, "wire")


def test_a_list_whose_file_was_never_readable_waits(office, post, tmp_path):
    """What is owed to a list whose file can't be read is owed until it can, not settled with nobody."""
    file = tmp_path / "press.csv"
    lists = {"press": MailList(name="Press", file=file)}
    released(office)
    assert drain(worker(office, post, lists)) == 0
    [row] = ledger.balance(office.store)
    assert (row["audience"], row["frozen_at"]) == (0, None)
    assert str(file) in trouble(office, "press")
    file.write_text(f"email\n{DESK}\n")
    assert drain(worker(office, post, lists)) == 1
    assert tally(office) == {"sent": 1}
    assert trouble(office, "press") is None


def trouble(office, name):
    """What those who look at the service are told about a list."""
    with office.store.read() as db:
        return meta.get(db, f"trouble:list:{name}")


def test_two_workers_never_have_the_same_mail(office):
    """What one worker has claimed no other has, and only its holder can announce or settle it."""
    released(office, keys="lists: [press, wire]\n")
    freeze(office)
    one, two = claim(office, "a", limit=2), claim(office, "b")
    assert (len(one), len(two)) == (2, 1)
    assert claim(office, "c") == []
    assert announce(office, "b", one) == set()
    settle(office, "b", SENT, one)
    assert tally(office) == {"claimed": 3}
    assert announce(office, "a", one) == {each.id for each in one}
    assert announce(office, "a", one) == set()
    settle(office, "a", SENT, one)
    settle(office, "a", FAILED, one)
    assert tally(office) == {"sent": 2, "claimed": 1}


def test_a_dead_workers_mails(office, post):
    """When a worker dies, another sends what it had only claimed; what it had announced is uncertain."""
    released(office, keys="lists: [press, wire]\n")
    freeze(office)
    held = claim(office, "dead")
    announce(office, "dead", held[:1])
    office.clock.at += LEASE_FOR
    assert ledger.recover(office.store, now=office.clock()) == (0, 0)
    office.clock.pass_by(microseconds=1)
    assert ledger.recover(office.store, now=office.clock()) == (2, 1)
    assert tally(office) == {"pending": 2, "uncertain": 1}
    settle(office, "dead", SENT, held)
    assert announce(office, "dead", held[1:]) == set()
    assert drain(worker(office, post)) == 2
    assert tally(office) == {"sent": 2, "uncertain": 1}
    [row] = ledger.troubled(office.store)
    assert (row["state"], row["recipient"]) == ("uncertain", held[0].recipient)
    assert "stopped between" in row["problem"]


def test_a_living_worker_keeps_its_mails(office):
    """A worker that says that it lives keeps what it has."""
    released(office)
    freeze(office)
    held = claim(office, "slow")
    office.clock.pass_by(seconds=20)
    ledger.renew(office.store, [held[0].id], worker="slow", now=office.clock(), lease_for=LEASE_FOR)
    office.clock.pass_by(seconds=20)
    assert ledger.recover(office.store, now=office.clock()) == (1, 0)
    assert announce(office, "slow", held) == {held[0].id}


def test_a_slow_server_does_not_cost_the_lease(office, monkeypatch):
    """While a server takes its time, the worker's lease is renewed and what has come back is settled."""
    monkeypatch.setattr(deliver, "RENEW_EVERY", 0.0)
    monkeypatch.setattr(deliver, "_GATHER", 0.001)
    released(office)
    leases = []

    class Slow(Post):
        async def send(self, **mail):
            if mail["recipient"] == ZOE:
                while tally(office)["sent"] == 0:
                    office.clock.pass_by(seconds=1)
                    await asyncio.sleep(0)
                leases.append(office.raw("SELECT lease_until FROM deliveries WHERE state = 'sending'"))
            return await super().send(**mail)

    drain(worker(office, Slow()))
    assert tally(office) == {"sent": 2}
    assert leases


def test_a_temporary_refusal_is_tried_again(office, post):
    """A temporary refusal is tried again after growing gaps, and given up after four days."""
    released(office)
    post.answers[DESK] = DeliveryFailed("450 not now")
    tries, due = [], []
    while tally(office)["failed"] == 0:
        drain(worker(office, post))
        tries.append(office.clock())
        [row] = ledger.troubled(office.store)
        assert row["problem"] == "450 not now"
        if row["state"] == "pending":
            due.append(row["due_at"])
            office.clock.at = row["due_at"] - timedelta(microseconds=1)
            assert drain(worker(office, post)) == 0
            office.clock.at = row["due_at"]
    gaps = [after - before for before, after in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[0] <= timedelta(minutes=1)
    assert GIVE_UP_AFTER <= tries[-1] - tries[0] <= GIVE_UP_AFTER + timedelta(days=1)
    assert tally(office) == {"sent": 1, "failed": 1}


def test_a_mail_that_was_refused_is_the_same_when_it_goes(office, post):
    """A mail that a server would not take at first is the same, to the byte, when it takes it."""
    released(office)
    offered = []

    class Busy(Post):
        async def send(self, **mail):
            offered.append((mail["recipient"], mail["message"]))
            raise DeliveryFailed("450 not now")

    drain(worker(office, Busy()))
    office.clock.pass_by(minutes=1)
    drain(worker(office, post))
    assert sorted(post.taken) == sorted(offered)
    assert tally(office) == {"sent": 2}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (DeliveryFailed("550 nobody of that name", final=True), FAILED),
        (DeliveryFailed("the answer was lost", unknown=True), UNCERTAIN),
    ],
)
def test_a_last_word_is_kept(office, post, answer, state):
    """A final refusal is failed, a lost answer is uncertain; neither is ever repeated by itself."""
    released(office)
    post.answers[DESK] = answer
    drain(worker(office, post))
    office.clock.pass_by(days=10)
    assert drain(worker(office, post)) == 0
    assert tally(office) == {"sent": 1, state.value: 1}
    [row] = ledger.troubled(office.store, record_id="one")
    assert (row["state"], row["problem"]) == (state.value, str(answer))
    assert ledger.troubled(office.store, record_id="two") == []


def test_a_repeat_is_the_same_to_the_byte(office, post):
    """An uncertain mail that a person sends again is byte for byte the same message, on the trail, and goes once."""
    released(office)
    first = []

    class Lost(Post):
        async def send(self, **mail):
            first.append((mail["recipient"], mail["message"]))
            raise DeliveryFailed("the answer was lost", unknown=True)

    drain(worker(office, Lost()))
    office.clock.pass_by(days=1)
    assert resolve(office, resend=True) == 2
    drain(worker(office, post))
    assert sorted(post.taken) == sorted(first)
    assert resolve(office, resend=True) == 0
    [row] = [row for row in office.trail() if row.event == "mail_resolved"]
    assert row.detail == '{"act":"resend","mails":2,"reason":"for a reason"}'


def test_many_uncertain_mails_are_resolved_in_steps(office, monkeypatch):
    """A decision about very many mails holds up no lift: it is made in steps, each on the trail, and each mail is in one."""
    monkeypatch.setattr("scheduler.store.ledger.resolution.STEP", 3)
    people = tuple(f"p{number}@example.org" for number in range(8))
    released(office)
    freeze(office, {"press": MailList(name="Press", recipients=people)})
    held = claim(office, "a")
    announce(office, "a", held)
    settle(office, "a", UNCERTAIN, held)
    assert resolve(office, resend=True) == 8
    assert tally(office) == {"pending": 8}
    counts = [row.detail.partition('"mails":')[2][0] for row in office.trail() if row.event == "mail_resolved"]
    assert counts == ["3", "3", "2"]


def resolve(office, **options) -> int:
    return ledger.resolve(office.store, **office.person(), **options)


def test_a_person_may_take_a_mail_for_sent(office, post):
    """An uncertain mail that a person takes for sent is not sent again."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    assert resolve(office, resend=False) == 1
    assert drain(worker(office, post)) == 0
    assert tally(office) == {"sent": 2}


def test_a_repeat_that_is_refused_for_now_is_still_uncertain_ground(office, post):
    """Who may have had a first mail gets the correction, and the repeat that was refused for now goes no more."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    post.answers[DESK] = DeliveryFailed("450 not now")
    resolve(office, resend=True)
    drain(worker(office, post))
    corrected(office)
    del post.answers[DESK]
    office.clock.pass_by(minutes=10)
    drain(worker(office, post))
    assert [str(mail["Subject"]) for mail in post.mails(DESK)] == ["Correction: A title"]


def test_a_correction_follows_the_first_mail(office, post):
    """A correction goes to those who had the first mail, in its thread, whoever is on the list by now."""
    released(office)
    post.answers[DESK] = DeliveryFailed("550 no", final=True)
    drain(worker(office, post))
    [first] = post.mails(ZOE)
    corrected(office)
    lists = {"press": MailList(name="Press", recipients=("new@example.org",))}
    drain(worker(office, post, lists))
    assert {to for to, _ in post.taken} == {ZOE}
    _, second = post.mails(ZOE)
    assert second["Subject"] == "Correction: A title"
    assert second["References"] == second["In-Reply-To"] == first["Message-ID"]
    assert second["Message-ID"] != first["Message-ID"]
    assert "Corrected words." in second.get_body(("plain",)).get_content()
    office.clock.pass_by(minutes=1)
    office.retract()
    drain(worker(office, post, lists))
    third = post.mails(ZOE)[2]
    assert third["Subject"] == "Retracted: A title"
    assert third["References"].split() == [first["Message-ID"], second["Message-ID"]]
    assert "Corrected words." not in third.as_string()
    assert "for a reason" in third.get_body(("plain",)).get_content()


def test_a_correction_before_the_first_mail(office, post):
    """A correction that comes before the first mail went changes that mail: one mail, with the new text."""
    released(office, body="The old words.")
    corrected(office)
    drain(worker(office, post))
    assert [mail["Subject"] for mail in post.mails(DESK)] == ["A title"]
    assert all(b"The old words." not in message and b"Corrected words." in message for _, message in post.taken)
    assert tally(office) == {"sent": 2}


@pytest.mark.parametrize("when", ["frozen", "claimed", "refused for now"])
def test_a_correction_on_the_way_to_the_first_mail(office, post, when):
    """However far the first mail has come, as long as nobody has it, it carries the corrected text, and alone."""
    released(office, body="The old words.")
    if when == "refused for now":
        post.answers = dict.fromkeys((DESK, ZOE), DeliveryFailed("450 not now"))
        drain(worker(office, post))
        post.answers = {}
    else:
        freeze(office)
        held = claim(office, "slow") if when == "claimed" else []
    corrected(office)
    if when == "claimed":
        assert announce(office, "slow", held) == set()
    office.clock.pass_by(minutes=5)
    assert drain(worker(office, post)) == 2
    assert all(b"The old words." not in message for _, message in post.taken)
    assert [mail["Subject"] for mail in post.mails(DESK)] == ["A title"]
    office.clock.pass_by(days=1)
    assert drain(worker(office, post)) == 0
    assert tally(office) == {"sent": 2}


@pytest.mark.parametrize("end", ["correct", "retract"])
def test_what_is_decided_while_a_server_hesitates(office, post, end):
    """A mail that a server refuses for now while its record is corrected or retracted never carries the old text later."""
    released(office, body="The old words.")
    decided = []

    def decides(_recipient):
        if not decided:
            decided.append(corrected(office) if end == "correct" else office.retract())

    post.before = decides
    post.answers = dict.fromkeys((DESK, ZOE), DeliveryFailed("450 not now"))
    drain(worker(office, post))
    post.answers = {}
    for _ in range(3):
        office.clock.pass_by(hours=5)
        drain(worker(office, post))
    assert all(b"The old words." not in message for _, message in post.taken)
    assert len({mail["Message-ID"] for mail in post.mails()}) == len(post.taken)
    if end == "correct":
        assert {to for to, _ in post.taken} == {DESK, ZOE}


def test_a_first_mail_that_carried_the_correction_is_not_corrected(office, post):
    """Who got the corrected text as his first mail gets no correction on top of it."""
    released(office, body="The old words.")
    freeze(office)
    [first, slow] = claim(office, "a")
    announce(office, "a", [first])
    settle(office, "a", SENT, [first])
    corrected(office)
    assert announce(office, "a", [slow]) == set()
    [late] = claim(office, "b")
    announce(office, "b", [late])
    settle(office, "b", SENT, [late])
    drain(worker(office, post))
    assert [to for to, _ in post.taken] == [first.recipient]
    assert post.mails()[0]["Subject"] == "Correction: A title"


@pytest.mark.parametrize("ahead", [True, False])
def test_a_first_mail_that_comes_back_while_its_correction_is_written_down(office, post, ahead):
    """Whose first mail was with a server that did not take it when the correction came gets one mail, with the corrected text."""
    released(office, body="The old words.")
    freeze(office)
    held = claim(office, "a")
    announce(office, "a", held)
    corrected(office)
    freeze(office)
    ledger.renew(office.store, [each.id for each in held], worker="a", now=office.clock(), lease_for=LEASE_FOR)
    if ahead:  # the correction is first at the server
        drain(worker(office, post))
        assert len(post.taken) == 2
    back = [Outcome(id=each.id, epoch=each.epoch, state=PENDING, problem="450", due_at=office.clock()) for each in held]
    turn(office, "a", outcomes=back)
    drain(worker(office, post))
    assert sorted(to for to, _ in post.taken) == [ZOE, DESK]
    assert all(b"The old words." not in message and b"Corrected words." in message for _, message in post.taken)
    assert tally(office) == {"sent": 2, "suppressed": 2}


def test_a_correction_that_comes_back_too_costs_nobody_the_text(office, post):
    """Where neither the first mail nor its correction is taken at first, the reader gets the corrected text all the same."""
    listed_ = {"press": MailList(name="Press", recipients=(DESK,))}
    released(office, body="The old words.")
    freeze(office, listed_)
    first = claim(office, "a")
    announce(office, "a", first)
    corrected(office)
    freeze(office, listed_)
    [second] = claim(office, "b")
    announce(office, "b", [second])
    refused = [Outcome(id=first[0].id, epoch=first[0].epoch, state=PENDING, problem="450", due_at=office.clock())]
    ledger.renew(office.store, [first[0].id], worker="a", now=office.clock(), lease_for=LEASE_FOR)
    turn(office, "a", outcomes=refused)
    assert claim(office, "a") == []  # the correction may still arrive
    refused = [Outcome(id=second.id, epoch=second.epoch, state=PENDING, problem="450", due_at=office.clock())]
    turn(office, "b", outcomes=refused)
    office.clock.pass_by(minutes=2)
    drain(worker(office, post, listed_))
    assert [to for to, _ in post.taken] == [DESK]
    assert b"Corrected words." in post.taken[0][1]
    assert tally(office) == {"sent": 1, "suppressed": 1}


def test_a_repeat_that_is_refused_for_good_may_have_arrived_before(office, post):
    """Who may have had a mail hears its correction, though the repeat of that mail was refused for good."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    post.answers[DESK] = DeliveryFailed("554 no", final=True)
    resolve(office, resend=True)
    drain(worker(office, post))
    assert tally(office) == {"sent": 1, "uncertain": 1}
    del post.answers[DESK]
    corrected(office)
    drain(worker(office, post))
    assert [str(mail["Subject"]) for mail in post.mails(DESK)] == ["Correction: A title"]


def test_who_was_erased_is_owed_no_correction(office, post):
    """A correction is owed to nobody who was erased since the first mail, nor a repeat."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    for each in (DESK, "zoe@example.net"):
        subscribers.forget(office.store, address=each, reason="asked", now=office.clock(), actor="editor@desk")
    with pytest.raises(MoveRefused, match="readers were erased"):
        resolve(office, resend=True)
    corrected(office)
    drain(worker(office, post))
    assert tally(office) == {"sent": 1, "uncertain": 1}


def test_mails_begin_no_faster_than_is_allowed_and_what_waits_can_be_called_off(office, post):
    """With a rate, mails are announced no faster than that, so that a retraction stops all that wait."""
    people = tuple(f"p{number}@example.org" for number in range(8))
    lists = {"press": MailList(name="Press", recipients=people)}
    released(office)
    parts = replace(office.parts, lists=lists)
    room = parts.postroom(office.store, "paced", office.clock, post)
    room._pace = Pace(2.0)
    post.before = lambda _recipient: office.retract() if not post.taken else None
    drain(room)
    assert [mail["Subject"] for mail in post.mails()] == ["A title"]
    assert tally(office) == {"sent": 1, "failed": 7}


@pytest.mark.parametrize("rate", [0.5, 3, 40])
def test_the_pace_is_kept(rate):
    """Whenever it is asked, no more begin than the rate allows, but for a tenth of a second that is made up for."""
    pace, begun, now = Pace(rate), [], 100.0
    chance = random.Random(rate)
    while len(begun) < 200:
        count = pace.allows(now, chance.randrange(9))
        pace.took(now, count)
        begun += [now] * count
        now += chance.choice([0.001, 0.01, pace.wait(now), 1.0])
    for first, at in enumerate(begun):
        for count in (1, 5, 50):
            if first + count < len(begun):
                assert begun[first + count] - at >= count / rate - CATCH_UP - 1e-6
    assert (now - 100) / 200 < 3 / rate + 1


def test_a_newer_correction_replaces_one_that_has_not_gone(office, post):
    """A second correction before the first one went replaces it: readers get the last word only."""
    released(office)
    drain(worker(office, post))
    corrected(office, "Second words.")
    freeze(office)
    corrected(office, "Third words.")
    drain(worker(office, post))
    assert len(post.mails(DESK)) == 2
    assert "Third words." in post.mails(DESK)[1].get_body(("plain",)).get_content()
    assert tally(office) == {"sent": 4, "failed": 2}


def test_a_long_list_is_called_off_by_a_retraction_in_its_middle(office, post):
    """A retraction in the middle of a long run stops what has not gone, to the last mail, and tells those who had it."""
    people = tuple(f"p{number}@example.org" for number in range(5 * WINDOW))
    lists = {"press": MailList(name="Press", recipients=people)}
    released(office)
    freeze(office, lists)
    held = claim(office, "a", limit=3)
    announce(office, "a", held)
    settle(office, "a", SENT, held)
    office.retract()
    drain(worker(office, post, lists))
    assert sorted(to for to, _ in post.taken) == sorted(each.recipient for each in held)
    assert tally(office) == {"sent": 6, "failed": len(people) - 3}


@pytest.mark.parametrize("when", ["owed", "frozen", "claimed"])
def test_a_retraction_before_the_first_mail(office, post, when):
    """A retraction before the first mail went stops it: nobody gets a mail, not even from a worker that had claimed it."""
    released(office)
    held = []
    if when != "owed":
        freeze(office)
    if when == "claimed":
        held = claim(office, "slow")
    office.retract()
    assert announce(office, "slow", held) == set()
    office.clock.pass_by(days=1)
    drain(worker(office, post))
    assert post.taken == []
    assert tally(office) == ({} if when == "owed" else {"failed": 2})


def test_a_retraction_while_an_audience_is_written_down(office, post):
    """A worker that is about to write an audience down when the record is retracted writes nobody down."""
    released(office)
    listed(office, press=(DESK, ZOE))
    [mailing] = ledger.to_freeze(office.store)
    office.retract()
    assert ledger.freeze(office.store, mailing, now=office.clock()) is None
    drain(worker(office, post))
    assert post.taken == []


def test_a_correction_while_an_audience_is_written_down(office, post):
    """A worker that is about to write an audience down when the record is corrected sends the new text."""
    released(office, body="The old words.")
    listed(office, press=(DESK,))
    [mailing] = ledger.to_freeze(office.store)
    corrected(office)
    assert ledger.freeze(office.store, mailing, now=office.clock()) == 1
    drain(worker(office, post, {}))
    assert [to for to, _ in post.taken] == [DESK]
    assert b"The old words." not in post.taken[0][1]


def test_one_first_mail_though_a_correction_came_between_two_lists(office, post):
    """Who is on two lists gets one first mail even if a correction comes when only one list was written down."""
    released(office, keys="lists: [press, wire]\n")
    listed(office, press=(DESK,), wire=(DESK, WIRE))
    press, wire = ledger.to_freeze(office.store)
    ledger.freeze(office.store, press, now=NOW)
    [first] = claim(office, "a")
    announce(office, "a", [first])
    settle(office, "a", SENT, [first])
    office.clock.pass_by(minutes=1)
    office.record(embargo="none", body="Corrected words.", keys="lists: [press, wire]\n")
    assert ledger.freeze(office.store, wire, now=office.clock()) == 1
    drain(worker(office, post, {}))
    assert sorted((to, email.message_from_bytes(message)["Subject"]) for to, message in post.taken) == [
        (DESK, "Correction: A title"),
        (WIRE, "A title"),
    ]


def test_a_retraction_tells_those_who_may_have_had_it(office, post):
    """A retraction is told to everybody who may have had the mail, the uncertain among them, even one about to be repeated."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    resolve(office, resend=True)
    office.retract()
    del post.answers[DESK]
    drain(worker(office, post))
    assert [mail["Subject"] for mail in post.mails(DESK)] == ["Retracted: A title"]
    assert tally(office) == {"sent": 3, "uncertain": 1}


@pytest.mark.parametrize("since", ["retracted", "corrected"])
def test_what_is_out_of_date_is_not_sent_again(office, post, since):
    """An uncertain mail of a record that was corrected or retracted since can be taken for sent, but never sent again."""
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post))
    if since == "retracted":
        office.retract()
    else:
        corrected(office)
    with pytest.raises(MoveRefused, match=r"retracted, .*so these mails are not sent again.*--sent"):
        resolve(office, resend=True)
    assert resolve(office, resend=False) == 1
    assert resolve(office, resend=True) == 0


def test_a_repeat_refused_for_now_while_its_record_is_retracted(office, post):
    """A repeat that a server refuses for now while the record is retracted is not tried again."""
    released(office, body="The old words.")
    post.answers = {DESK: DeliveryFailed("the answer was lost", unknown=True)}
    drain(worker(office, post))
    resolve(office, resend=True)
    post.answers = {DESK: DeliveryFailed("450 not now")}
    post.before = lambda _recipient: office.get().state is State.RELEASED and office.retract()
    drain(worker(office, post))
    post.answers = {}
    office.clock.pass_by(days=1)
    drain(worker(office, post))
    assert [mail["Subject"] for mail in post.mails(DESK)] == ["Retracted: A title"]
    assert tally(office) == {"sent": 3, "uncertain": 1}


def test_a_letter_that_cannot_be_written_fails_alone(office, post):
    """An address that can't be used fails alone, with its reason; everybody else gets the mail."""
    lists = {"press": MailList(name="Press", recipients=("ümlaut@example.org", DESK))}
    released(office)
    drain(worker(office, post, lists))
    assert [to for to, _ in post.taken] == [DESK]
    [row] = ledger.troubled(office.store)
    assert (row["state"], row["recipient"]) == ("failed", "ümlaut@example.org")


def test_a_failure_of_ours_costs_one_mail(office, post):
    """An unforeseen failure with one mail leaves that one uncertain; the others of its round are settled."""
    released(office)

    def breaks(recipient):
        if recipient == DESK:
            raise ZeroDivisionError

    post.before = breaks
    drain(worker(office, post))
    assert tally(office) == {"sent": 1, "uncertain": 1}
    assert "ZeroDivisionError" in ledger.troubled(office.store)[0]["problem"]


def test_nothing_is_said_about_what_is_not_released(office, post):
    """Whatever the ledger says, no mail about a record that has not been released can be made."""
    office.record(body="Canary words.")
    office.raw(
        "INSERT INTO mailings (record_id, revision, purpose, list, owed_at) VALUES ('one', 1, 'release', 'press', 0)"
    )
    drain(worker(office, post))
    assert post.taken == []
    assert tally(office) == {"failed": 2}
    assert "has not been released" in ledger.troubled(office.store)[0]["problem"]


def test_a_long_list_goes_out_in_a_small_window(office):
    """Of a long list few mails are announced at a time, so that little is uncertain after a kill; and all of it goes."""
    people = tuple(f"p{number}@example.org" for number in range(450))
    released(office)
    seen = []

    class Watched(Post):
        async def send(self, **mail):
            seen.append(tally(office)["sending"])
            await asyncio.sleep(0)
            return await super().send(**mail)

    post = Watched()
    room = worker(office, post, {"press": MailList(name="Press", recipients=people)})
    assert drain(room) == 450
    assert sorted(to for to, _ in post.taken) == sorted(people)
    assert max(seen) <= WINDOW
    asyncio.run(room.close())
    assert post.closed


def test_a_mail_lands_in_a_maildir(office):
    """With a Maildir for a transport, each mail is a file in it, and a repeat replaces its file."""
    folder = office.folder / "mail"
    released(office, body="The words.")
    box = transport(f"maildir:{folder}", base=office.folder)
    drain(worker(office, box))
    files = sorted((folder / "new").iterdir())
    assert len(files) == 2
    before = [file.read_bytes() for file in files]
    assert all(b"The words." in data for data in before)
    office.raw("UPDATE deliveries SET state = 'uncertain'")
    resolve(office, resend=True)
    drain(worker(office, box))
    assert [file.read_bytes() for file in sorted((folder / "new").iterdir())] == before


def test_a_maildir_that_cannot_be_written_is_tried_again(office):
    """A Maildir that can't be written is reported in the ledger, and the mails wait for their next try."""
    (office.folder / "mail").write_text("in the way")
    released(office)
    box = transport("maildir:mail", base=office.folder)
    drain(worker(office, box))
    assert {row["state"] for row in ledger.troubled(office.store)} == {"pending"}
    (office.folder / "mail").unlink()
    office.clock.pass_by(minutes=1)
    drain(worker(office, box))
    assert tally(office) == {"sent": 2}


def test_the_ledger_of_a_record_that_is_not_there(office):
    """Asking about an unknown record is an error, not an empty ledger."""
    with pytest.raises(NotFound):
        records.get(office.store, "one")
    assert records.release_for(office.store, record_id="one", revision=1, purpose=Purpose.RELEASE) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_balance_always_adds_up(office, post, seed):
    """Whatever servers answer, workers die of and editors decide, the ledger adds up and nobody gets a first mail twice."""
    dice = random.Random(seed)
    answers = [
        None,
        DeliveryFailed("450 not now"),
        DeliveryFailed("550 no", final=True),
        DeliveryFailed("the answer was lost", unknown=True),
    ]
    people = tuple(f"p{number}@example.org" for number in range(6))
    lists = {
        "press": MailList(name="Press", recipients=people[:4]),
        "wire": MailList(name="Wire", recipients=people[3:]),
    }
    post.answers = {}
    released(office, body="Words 1.", keys="lists: [press, wire]\n")

    def acts(_recipient):
        if dice.random() < 0.05:
            decide(office, dice)

    post.before = acts
    for number in range(40):
        post.answers = {person: answer for person in people if (answer := dice.choice(answers))}
        match dice.randrange(6):
            case 0:
                decide(office, dice)
            case 1:
                held = claim(office, f"dead{number}", limit=dice.randrange(1, 4))
                announce(office, f"dead{number}", held[: dice.randrange(len(held) + 1)])
            case 2:
                with contextlib.suppress(MoveRefused):
                    resolve(office, resend=True)
            case _:
                drain(worker(office, post, lists))
        tally(office)
        office.clock.pass_by(minutes=dice.choice([0, 1, 10, 60]))
    post.answers, post.before = {}, lambda _recipient: None
    for _ in range(5):
        office.clock.pass_by(hours=5)
        drain(worker(office, post, lists))
    assert tally(office).keys() <= {"sent", "failed", "uncertain"}
    firsts = Counter(
        (to, mail["Message-ID"])
        for to, message in post.taken
        if not (mail := email.message_from_bytes(message))["Subject"].startswith(("Correction", "Retracted"))
    )
    assert len(firsts) == len({to for to, _ in firsts})
    assert_told_the_last_word(office, post)
    with office.store.read() as db:
        assert trail.verify(db)[1] == []


def assert_told_the_last_word(office, post) -> None:
    """Whoever was handed a text that is out of date was handed the last word too, or the ledger says what became of it."""
    newest = office.get()
    last_word = "for a reason" if newest.state is State.RETRACTED else f"Words {newest.revision}."
    for address, states in settled(office).items():
        mails = [mail.get_body(("plain",)).get_content() for mail in post.mails(address)]
        if mails and not any(last_word in text for text in mails):
            assert states & {"failed", "uncertain"}, (address, mails)


def settled(office) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    newest = "SELECT max(revision) FROM mailings"
    for address, state in office.raw(f"SELECT address, state FROM deliveries WHERE revision = ({newest})"):
        found.setdefault(address, set()).add(state)
    for (address,) in office.raw("SELECT DISTINCT address FROM deliveries"):
        found.setdefault(address, set())
    return found


def decide(office, dice) -> None:
    """A correction, or now and then a retraction."""
    if office.get().state is not State.RELEASED:
        return
    office.clock.pass_by(seconds=1)
    if dice.random() < 0.15:
        office.retract()
    else:
        office.record(
            embargo="none", body=f"Words {office.get().revision + 1}.", keys="lists: [press, wire]\ncorrection: So.\n"
        )
