"""The ledger with subscribers: who has left gets nothing more, what is urgent overtakes, what is uncertain goes as told."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import NOW
from mail_kit import (
    DESK,
    FAILED,
    PENDING,
    SENDING,
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

from scheduler.errors import DeliveryFailed, StoreRefused
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import LEASE_FOR
from scheduler.record import Membership, Uncertain
from scheduler.store import ledger, subscribers
from scheduler.store.ledger import Outcome


@pytest.fixture
def post():
    return Post()


def token(office, address, list_id="press"):
    return next(each.token for each in subscribers.members(office.store, list_id=list_id, address=address))


def leave(office, address, list_id="press") -> None:
    assert subscribers.leave(office.store, token=token(office, address, list_id), how="one-click", now=office.clock())


def test_who_left_before_the_release_is_not_mailed(office, post):
    """Who has left is not mailed, though the office still lists him, and the ledger counts him as suppressed."""
    listed(office, press=(DESK, ZOE))
    leave(office, DESK)
    released(office)
    drain(worker(office, post))
    assert [to for to, _ in post.taken] == [ZOE]
    assert tally(office) == {"sent": 1, "suppressed": 1}


@pytest.mark.parametrize("when", ["frozen", "claimed", "refused for now"])
def test_leaving_in_the_middle_of_a_run(office, post, when):
    """Who leaves while a run is under way gets nothing more of it, however far his mail had come, as long as nobody has it."""
    released(office)
    freeze(office)
    held = claim(office, "slow") if when == "claimed" else []
    if when == "refused for now":
        post.answers = {DESK: DeliveryFailed("450 not now"), ZOE: DeliveryFailed("450 not now")}
        drain(worker(office, post))
        post.answers = {}
    leave(office, DESK)
    if when == "claimed":
        mine = announce(office, "slow", held)
        assert [each.recipient for each in held if each.id in mine] == [ZOE]
        settle(office, "slow", SENT, held)
    else:
        office.clock.pass_by(minutes=1)
        drain(worker(office, post))
        assert [to for to, _ in post.taken] == [ZOE]
    assert tally(office) == {"sent": 1, "suppressed": 1}


def test_who_left_one_list_is_served_by_the_other(office, post):
    """Who is on two lists of a release and leaves one gets it through the other: before the run, or in the middle of it."""
    lists = {name: MailList(name=name, recipients=(DESK,)) for name in ("press", "wire")}
    listed(office, press=(DESK,), wire=(DESK,))
    leave(office, DESK)
    released(office, keys="lists: [press, wire]\n")
    drain(worker(office, post, lists))
    assert [to for to, _ in post.taken] == [DESK]
    subscribers.add(
        office.store, list_id="press", recipient=DESK, reason="asked", now=office.clock(), actor="editor@desk"
    )
    released(office, "two", keys="lists: [press, wire]\n")
    freeze(office, lists)
    leave(office, DESK)
    drain(worker(office, post, lists))
    assert [to for to, _ in post.taken] == [DESK, DESK]
    assert [(row["list"], row["sent"]) for row in ledger.balance(office.store)] == [("press", 0), ("wire", 1)] * 2


def test_a_correction_is_for_those_who_had_the_mail_and_have_not_left(office, post):
    """A correction goes to who had the first mail though the office has dropped him since, and not to who has left himself."""
    released(office)
    drain(worker(office, post))
    leave(office, ZOE.partition("<")[2].rstrip(">"))
    corrected(office)
    drain(worker(office, post, {"press": MailList(name="Press", recipients=())}))
    assert [to for to, _ in post.taken][2:] == [DESK]
    assert tally(office) == {"sent": 3, "suppressed": 1}


def test_a_correction_and_a_short_list_overtake_a_long_run(office, post, monkeypatch):
    """Corrections go before everything else, and short lists before long ones, also when these are under way."""
    monkeypatch.setattr("scheduler.store.ledger.audience.SEGMENT", 3)
    lists = {
        "press": MailList(name="Press", recipients=tuple(f"p{number}@example.org" for number in range(9))),
        "wire": MailList(name="Wire", recipients=(WIRE,)),
    }
    released(office, "short", keys="lists: [wire]\n")
    drain(worker(office, post, lists))
    released(office, "long", keys="lists: [press]\n")
    freeze(office, lists)
    settle(office, "a", SENT, claim(office, "a", limit=2))
    released(office, "next", keys="lists: [wire]\n")
    office.clock.pass_by(minutes=1)
    office.record("short", embargo="none", body="Corrected.", keys="lists: [wire]\ncorrection: A figure was wrong.\n")
    freeze(office, lists)
    order = [each.record_id for each in turn(office, "b", limit=100).claimed]
    assert order == ["short", "next", *["long"] * 7]


def test_an_earlier_holder_says_nothing_any_more(office):
    """A worker that takes a mail again after it had lost it can't settle it by what its first try says."""
    released(office)
    freeze(office)
    first = claim(office, "a")
    office.clock.pass_by(seconds=LEASE_FOR.total_seconds() + 1)
    assert ledger.recover(office.store, now=office.clock()) == (2, 0)
    second = claim(office, "a")
    assert {each.epoch for each in first} == {1}
    assert {each.epoch for each in second} == {2}
    assert announce(office, "a", first) == set()
    settle(office, "a", SENT, first)
    assert tally(office) == {"claimed": 2}
    assert announce(office, "a", second) == {each.id for each in second}


def test_a_worker_that_stops_gives_back_what_it_has_not_announced(office):
    """A worker that is told to stop finishes what it has announced and gives the rest back at once, not when its lease ends."""
    released(office)
    people = tuple(f"p{number}@example.org" for number in range(300))
    stop = asyncio.Event()

    class Stops(Post):
        async def send(self, **mail):
            stop.set()
            await asyncio.sleep(0)
            return await super().send(**mail)

    stops = Stops()
    room = worker(office, stops, {"press": MailList(name="Press", recipients=people)})
    room.audiences.read()
    room.audiences.freeze()
    asyncio.run(room.send(stop, may=lambda: True))
    counts = tally(office)
    assert counts == {"sent": len(stops.taken), "pending": 300 - len(stops.taken)}
    assert 0 < counts["sent"] < 300
    assert set(office.raw("SELECT attempts FROM deliveries WHERE state = 'pending'")) == {(0,)}


def test_a_list_may_want_what_is_uncertain_sent_again(office):
    """On a list with `uncertain: resend` the same bytes go again by themselves, twice at most; on others a person decides."""
    offered = []

    class Lost(Post):
        async def send(self, **mail):
            offered.append((mail["recipient"], mail["message"]))
            raise DeliveryFailed("the answer was lost", unknown=True)

    lists = {
        "press": MailList(name="Press", recipients=(DESK,), uncertain=Uncertain.RESEND),
        "wire": MailList(name="Wire", recipients=(WIRE,)),
    }
    released(office, keys="lists: [press, wire]\n")
    for _ in range(5):
        drain(worker(office, Lost(), lists))
        office.clock.pass_by(hours=1)
    assert [to for to, _ in offered].count(WIRE) == 1
    assert [to for to, _ in offered].count(DESK) == 3
    assert len({message for to, message in offered if to == DESK}) == 1
    assert tally(office) == {"uncertain": 2}


def test_nothing_is_repeated_that_was_retracted(office, post):
    """What is uncertain when its record is retracted is not sent again, whatever its list says."""
    lists = {"press": MailList(name="Press", recipients=(DESK,), uncertain=Uncertain.RESEND)}
    released(office)
    post.answers[DESK] = DeliveryFailed("the answer was lost", unknown=True)
    drain(worker(office, post, lists))
    office.retract()
    post.answers = {}
    for _ in range(3):
        office.clock.pass_by(hours=1)
        drain(worker(office, post, lists))
    assert [mail["Subject"] for mail in post.mails(DESK)] == ["Retracted: A title"]
    assert tally(office) == {"sent": 1, "uncertain": 1}


def test_who_does_not_exist_is_mailed_no_more(office, post):
    """An address that a server says does not exist gets nothing more, on no list; another final refusal costs that mail alone."""
    lists = {name: MailList(name=name, recipients=(DESK, ZOE)) for name in ("press", "wire")}
    post.answers = {
        DESK: DeliveryFailed("mx refused the recipient: 550 5.1.1 no such user", final=True, status="5.1.1"),
        ZOE: DeliveryFailed("mx refused the mail: 552 5.3.4 too big", final=True, status="5.3.4"),
    }
    released(office, keys="lists: [press]\n")
    drain(worker(office, post, lists))
    post.answers = {}
    released(office, "two", keys="lists: [wire]\n")
    drain(worker(office, post, lists))
    assert [to for to, _ in post.taken] == [ZOE]
    assert tally(office) == {"failed": 2, "sent": 1, "suppressed": 1}
    stands = {each.state for each in subscribers.members(office.store, address=DESK)}
    assert stands == {Membership.BOUNCED}


def test_a_database_that_is_locked_for_a_while_costs_no_outcome(office, post, monkeypatch):
    """What came of mails is kept while the database can't be written, and written down when it can: none is sent twice."""
    released(office)
    real, failing = ledger.turn, iter([True, True])

    def sometimes(*arguments, **more):
        if more["outcomes"] and next(failing, False):
            raise OSError("locked")
        return real(*arguments, **more)

    monkeypatch.setattr(ledger, "turn", sometimes)
    room = worker(office, post)

    async def stubborn():
        for _ in range(3):
            try:
                return await room.drain()
            except OSError:
                continue
        return None

    asyncio.run(stubborn())
    assert sorted(to for to, _ in post.taken) == [ZOE, DESK]
    assert tally(office) == {"sent": 2}


def test_a_stop_while_the_database_is_locked_costs_no_outcome(office, post, monkeypatch):
    """A worker that is stopped while the database can't be written writes down what came of its mails before it ends."""
    monkeypatch.setattr("scheduler.pipeline.deliver._LAST_PAUSE", 0)
    released(office)
    real, failing = ledger.turn, iter([True, True, True])

    def sometimes(*arguments, **more):
        if more["outcomes"] and next(failing, False):
            raise StoreRefused("locked")
        return real(*arguments, **more)

    monkeypatch.setattr(ledger, "turn", sometimes)
    room = worker(office, post)

    async def stopped():
        with pytest.raises(StoreRefused):
            await room.drain()
        await room.close()

    asyncio.run(stopped())
    assert post.closed
    assert tally(office) == {"sent": 2}


def test_a_database_that_fails_between_taking_and_writing_a_mail_costs_nothing(office, post, monkeypatch):
    """Mails taken when the database fails have not failed: they are anybody's again at once, with their tries."""
    released(office)
    room = worker(office, post)
    with monkeypatch.context() as broken:
        broken.setattr("scheduler.pipeline.deliver.records.release_for", fails)
        with pytest.raises(StoreRefused):
            drain(room)
    assert tally(office) == {"claimed": 2}
    drain(room)
    assert tally(office) == {"sent": 2}
    assert set(office.raw("SELECT attempts FROM deliveries")) == {(1,)}


def fails(*_arguments, **_more):
    raise StoreRefused("locked")


def test_a_refusal_that_could_not_be_written_down_is_not_forgotten(office, post, monkeypatch):
    """What a server said of a reader for good is heard, though the database failed when it was to be written down."""
    listed(office, press=(DESK,))
    released(office)
    post.answers[DESK] = DeliveryFailed("550 5.1.1 no such user", final=True, status="5.1.1")
    room = worker(office, post)
    with monkeypatch.context() as broken:
        broken.setattr("scheduler.pipeline.deliver.reports.refused", fails)
        with pytest.raises(StoreRefused):
            drain(room)
    drain(room)
    (member,) = subscribers.members(office.store, address=DESK)
    assert member.state is Membership.BOUNCED


@pytest.mark.parametrize(
    ("again", "end", "state"), [(False, PENDING, "suppressed"), (True, PENDING, "uncertain"), (False, FAILED, "failed")]
)
def test_who_is_erased_while_a_server_has_his_mail_is_not_named_again(office, again, end, state):
    """A server's words about a reader who was erased meanwhile are not kept, and his mail is not tried again."""
    released(office)
    freeze(office)
    held = claim(office, "a")
    announce(office, "a", held)
    if again:
        settle(office, "a", UNCERTAIN, held)
        ledger.resolve(office.store, **office.person(), resend=True)
        held = claim(office, "a")
        announce(office, "a", held)
    subscribers.forget(office.store, address=DESK, reason="asked", now=office.clock(), actor="editor@desk")
    said = f"450 <{DESK}> not now"
    back = [Outcome(id=each.id, epoch=each.epoch, state=end, problem=said, due_at=office.clock()) for each in held]
    turn(office, "a", outcomes=back)
    assert tally(office) == Counter([state, end.value])
    assert DESK not in str(office.raw("SELECT * FROM deliveries WHERE subscriber_id = 0"))


def test_two_machines_with_a_copy_each_of_one_file_come_to_rest(office, tmp_path):
    """Workers on two machines, each with its own copy of a list's file, do not read it against each other for ever."""
    rooms = []
    for name in "ab":
        file = tmp_path / f"{name}.csv"
        file.write_text(f"email\n{DESK}\n{ZOE}\n")
        rooms.append(worker(office, Post(), {"press": MailList(name="Press", file=file)}).audiences)
    said = []
    for _ in range(5):
        for each in rooms:
            each.read(lambda name, what: said.append((name, what.total)))
    assert said == [("press", 2)] * 2


def test_outcomes_of_nobody_are_no_harm(office):
    """An outcome of a mail that is not this worker's changes nothing."""
    released(office)
    freeze(office)
    [one, two] = claim(office, "a")
    announce(office, "a", [one])
    turn(office, "b", outcomes=[Outcome(id=one.id, epoch=one.epoch, state=SENT)])
    turn(office, "a", outcomes=[Outcome(id=two.id, epoch=7, state=UNCERTAIN, problem="late")])
    assert tally(office) == {SENDING.value: 1, "claimed": 1}
    assert PENDING.value not in tally(office)
    assert ledger.give_back(office.store, worker="b") == 0
    assert ledger.give_back(office.store, worker="a") == 1
    assert office.clock() - NOW == timedelta()
    assert replace(one, epoch=2).epoch == 2


def ask(office, recipient="Ada <ada@example.org>"):
    return subscribers.ask(
        office.store,
        recipient=recipient,
        lists=["press"],
        wording="I would like to.",
        asked_from="192.0.2.0/24",
        now=office.clock(),
    )


def test_who_asks_to_join_is_asked_to_confirm_once(office, post):
    """Who asks to be put on a list gets one mail with a link, and is on the list when he has followed it, not before."""
    assert ask(office)
    room = worker(office, post)
    assert asyncio.run(room.invite()) == 1
    assert asyncio.run(room.invite()) == 0
    [(to, message)] = post.taken
    assert to == "Ada <ada@example.org>"
    released(office)
    drain(worker(office, post))
    assert "Ada <ada@example.org>" not in [to for to, _ in post.taken][1:]
    link = re.search(rb"confirm/(?:=\r\n)?([a-z2-7]{24})", message.replace(b"=\r\n", b""))[1].decode()
    assert f"<{link}@".encode() not in message  # its Message-ID is in everybody's logs
    subscribers.confirm(office.store, token=link, confirmed_from="192.0.2.0/24", now=office.clock())
    released(office, "two")
    drain(worker(office, post))
    assert [to for to, _ in post.taken].count("Ada <ada@example.org>") == 2


def test_an_invitation_that_a_server_puts_off_goes_later(office, post):
    """An invitation that a server puts off, as many do with strangers, is tried again; one whose answer was lost is not."""
    ask(office)
    ask(office, "zoe@example.net")
    post.answers = {
        "Ada <ada@example.org>": DeliveryFailed("450 not now"),
        "zoe@example.net": DeliveryFailed("the answer was lost", unknown=True),
    }
    room = worker(office, post)
    assert asyncio.run(room.invite()) == 0
    post.answers = {}
    assert asyncio.run(room.invite()) == 0
    office.clock.pass_by(minutes=5)
    assert asyncio.run(room.invite()) == 1
    assert [to for to, _ in post.taken] == ["Ada <ada@example.org>"]


def test_while_no_server_can_be_reached_no_mail_has_its_try(office):
    """A relay that is down costs no mail a try or a growing gap: nearly all are left in peace, and all go when it is back."""
    tried = []

    class Down(Post):
        async def send(self, **mail):
            tried.append(mail["recipient"])
            raise DeliveryFailed("relay can't be reached", reached=False)

    people = tuple(f"p{number}@example.org" for number in range(300))
    lists = {"press": MailList(name="Press", recipients=people)}
    released(office)
    room = worker(office, Down(), lists)
    for _ in range(20):
        drain(room)
        office.clock.pass_by(seconds=30)
    assert 20 < len(tried) < 300
    assert tally(office) == {"pending": 300}
    assert office.raw("SELECT max(attempts) FROM deliveries") == [(0,)]
    back = Post()
    office.clock.pass_by(minutes=1)
    assert drain(worker(office, back, lists)) == 300
    assert tally(office) == {"sent": 300}


def test_a_relay_that_stays_away_costs_nothing_but_time(office, post):
    """A mail that no server could be reached for is owed for as long as that takes: it has not had its first try."""

    class Down(Post):
        async def send(self, **_mail):
            raise DeliveryFailed("relay can't be reached", reached=False)

    released(office)
    drain(worker(office, Down()))
    office.clock.pass_by(days=9)
    drain(worker(office, Down()))
    assert tally(office) == {"pending": 2}
    office.clock.pass_by(minutes=2)
    drain(worker(office, post))
    assert tally(office) == {"sent": 2}


def test_a_mail_at_which_the_server_breaks_off_costs_the_others_nothing(office):
    """A mail at which a server breaks the connection off each time is given up in time, and no other waits for it."""
    taken = []

    class Poisoned(Post):
        async def send(self, **mail):
            if mail["recipient"] == DESK:
                raise DeliveryFailed("it failed before it had the mail", reached=False, met=True)
            taken.append(mail["recipient"])

    released(office)
    for _ in range(60):
        drain(worker(office, Poisoned()))
        office.clock.pass_by(hours=4)
    assert taken == [ZOE]
    assert tally(office) == {"sent": 1, "failed": 1}


def test_a_stop_in_the_middle_of_a_long_freeze(office, monkeypatch):
    """A worker that is told to stop while it writes a long audience down stops after the step it is in; the next one goes on."""
    monkeypatch.setattr("scheduler.store.ledger.audience.SEGMENT", 2)
    released(office)
    lists = {"press": MailList(name="Press", recipients=tuple(f"p{number}@example.org" for number in range(5)))}
    audiences = worker(office, Post(), lists).audiences
    audiences.read()
    asked = iter([False, True])
    audiences.stopping = lambda: next(asked)
    assert audiences.freeze() == 2
    assert freeze(office, lists) == 3
    assert tally(office) == {"pending": 5}


def test_a_list_that_is_half_read_when_the_worker_stops(office):
    """A stop while a list is read takes nobody off it; the next worker reads it to its end."""
    listed(office, press=(DESK, ZOE))
    audiences = worker(office, Post(), {"press": MailList(name="Press", recipients=(WIRE, DESK))}).audiences
    asked = iter([False, True])
    audiences.stopping = lambda: next(asked)
    audiences.read()
    assert {each.address for each in subscribers.members(office.store) if each.listed} >= {DESK, "zoe@example.net"}
    audiences.stopping = lambda: False
    audiences.read()
    assert {each.address for each in subscribers.members(office.store) if each.listed} == {DESK, WIRE}


def errors(office) -> dict[str, dict[str, int]]:
    return {each.record_id: dict(each.errors) for each in ledger.progress(office.store, now=office.clock())}


def test_trouble_at_a_domain_is_what_a_server_said(office, post):
    """A domain makes trouble where a server refused or put off mails to it; who was erased since is of no domain."""
    post.answers = {
        DESK: DeliveryFailed("450 not now"),
        ZOE: DeliveryFailed("550 5.7.1 no", final=True, status="5.7.1"),
    }
    released(office)
    drain(worker(office, post))
    assert errors(office) == {"one": {"example.org": 1, "example.net": 1}}
    told = {row["recipient"]: row["problem"] for row in ledger.troubled(office.store)}
    assert told == {DESK: "450 not now", ZOE: "550 5.7.1 no"}
    subscribers.forget(office.store, address="zoe@example.net", reason="asked", now=office.clock(), actor="editor@desk")
    assert errors(office) == {"one": {"example.org": 1}}


def test_a_relay_that_is_down_is_no_trouble_of_a_domain(office):
    """While no server can be reached no reader's domain is blamed; the ledger says what those mails wait for that were tried."""

    class Down(Post):
        async def send(self, **_mail):
            raise DeliveryFailed("relay can't be reached", reached=False)

    released(office)
    drain(worker(office, Down()))
    assert errors(office) == {"one": {}}
    told = {(row["state"], row["attempts"], row["problem"]) for row in ledger.troubled(office.store)}
    assert told == {("pending", 0, "relay can't be reached")}


def test_a_mail_that_we_ended_is_no_trouble_of_a_domain(office, post):
    """Mails that a retraction stopped before they went have failed, and are no domain's doing."""
    released(office)
    freeze(office)
    office.retract()
    drain(worker(office, post))
    assert (tally(office)["failed"], post.taken) == (2, [])
    assert {record_id: found for record_id, found in errors(office).items() if found} == {}
