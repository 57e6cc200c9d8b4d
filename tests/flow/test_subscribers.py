"""Who is on the lists: what the office names, who joins and leaves by himself, and what is left of whom who is erased."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.errors import EmbargoError
from scheduler.record import DeliveryState, Membership
from scheduler.record.mailbox import TOKEN
from scheduler.store import ledger, open_store, schema, subscribers, trail
from scheduler.store.subscribers import by_token, members, office, put_off

ACTIVE, LEFT, BOUNCED, COMPLAINED = Membership
ANN, BOB, CY = "Ann <ann@example.org>", "bob@example.net", "Zoë Łukasz <cy@example.com>"
PERSON = {"reason": "asked by telephone", "now": NOW, "actor": "editor@desk"}


@pytest.fixture
def store(office):
    return office.store


def read(store, *people, list_id="press"):
    found = subscribers.read_office(store, list_id=list_id, recipients=iter(people), now=NOW)
    return found.added, found.gone, found.total


def add(store, who=ANN, list_id="press", **more):
    return subscribers.add(store, list_id=list_id, recipient=who, **PERSON | more)


def one(store, who, list_id="press"):
    [found] = members(store, list_id=list_id, address=who)
    return found


def stand(store, who, list_id="press"):
    found = one(store, who, list_id)
    return found.state, found.origin, found.listed


def rows(store):
    with store.read() as db:
        return list(trail.rows(db))


def test_the_office_lists(store):
    """The office's lists are as she writes them: who is new is added, who is gone is in no audience, spelling follows."""
    assert read(store, ANN, BOB, "BOB@example.net") == (2, 0, 2)
    assert read(store, BOB, ANN) == (0, 0, 2)
    assert read(store, "Ann Lee <ann@example.org>", CY) == (1, 1, 2)
    assert [each.recipient for each in members(store) if each.listed] == ["Ann Lee <ann@example.org>", CY]
    assert stand(store, BOB) == (ACTIVE, "office", False)
    assert read(store, BOB) == (1, 2, 1)
    assert read(store) == (0, 1, 0)
    assert [row.event for row in rows(store)] == ["list_read"] * 4
    assert rows(store)[1].detail == '{"added":1,"gone":1,"list":"press","total":2}'


def test_no_file_brings_anybody_back(store):
    """Who left, bounced or complained stays so, whatever the office writes, and counts as listed as long as she does."""
    read(store, ANN, BOB, CY)
    subscribers.leave(store, token=one(store, ANN).token, how="one-click", now=NOW)
    put_off(store, subscriber_id=one(store, BOB).id, state=BOUNCED, reason="5.1.1", now=NOW)
    put_off(store, subscriber_id=one(store, CY).id, state=COMPLAINED, reason="spam", now=NOW)
    assert read(store, ANN, BOB, CY) == (0, 0, 3)
    assert [each.state for each in members(store)] == [LEFT, BOUNCED, COMPLAINED]
    assert subscribers.add_many(store, list_id="press", recipients=[ANN, BOB, CY], **PERSON) == (0, 3)
    assert [(each.state, each.listed) for each in members(store)] == [(LEFT, True), (BOUNCED, True), (COMPLAINED, True)]
    assert read(store) == (0, 3, 0)
    assert not any(each.listed for each in members(store))


def test_who_asked_for_himself_stays(store):
    """Who joined by himself or was added by command stays what he was though the office names him too, and drops him."""
    add(store, ANN)
    add(store, BOB)
    subscribers.leave(store, token=one(store, BOB).token, how="page", now=NOW)
    assert stand(store, BOB) == (LEFT, "command", False)
    assert read(store, "Other <ann@example.org>", BOB) == (1, 0, 2)
    assert one(store, ANN).recipient == ANN
    assert stand(store, BOB) == (LEFT, "command", True)
    read(store)
    assert stand(store, ANN) == (ACTIVE, "command", True)
    assert stand(store, BOB) == (LEFT, "command", False)
    read(store, CY)
    add(store, CY)
    assert read(store) == (0, 0, 0)
    assert stand(store, CY) == (ACTIVE, "command", True)


def test_a_reading_that_is_cut_off(store, monkeypatch):
    """A reading that breaks off takes nobody off the list; the next one ends it."""
    monkeypatch.setattr(office, "STEP", 1)
    monkeypatch.setattr(office, "_SORTED", 1)
    read(store, ANN, BOB)

    def broken():
        yield CY
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        subscribers.read_office(store, list_id="press", recipients=broken(), now=NOW)
    assert {each.address for each in members(store) if each.listed} == {
        "ann@example.org",
        "bob@example.net",
        "cy@example.com",
    }
    assert read(store, CY, BOB, CY) == (0, 1, 2)


@pytest.mark.takes_long
def test_a_hundred_thousand(store):
    """A list of a hundred thousand is read in steps between which others write, and read again without a change."""
    people = [f"Name {number} <reader{number}@example{number % 99}.org>" for number in range(100_000)]
    waited = []

    def also_written():
        for number, each in enumerate(people):
            if number == 90_000:  # in the midst of it
                add(store, ANN)
                waited.append(True)
            yield each

    assert subscribers.read_office(store, list_id="press", recipients=also_written(), now=NOW).added == 100_000
    assert waited
    assert read(store, *people) == (0, 0, 100_000)
    assert subscribers.counts(store)["press"]["active"] == 100_001
    assert len({each.token for each in members(store)}) == 100_001


def test_tokens(store):
    """A token stands for one address on one list, always the same; a forged one stands for nobody."""
    read(store, ANN, BOB)
    read(store, ANN, list_id="wire")
    tokens = [each.token for each in members(store)]
    assert len(set(tokens)) == 3
    assert all(TOKEN.fullmatch(each) for each in tokens)
    found = by_token(store, tokens[0])
    assert (found.list, found.address, found.recipient) == ("press", "ann@example.org", ANN)
    key = subscribers.secret(store)
    assert (len(key), subscribers.secret(store)) == (32, key)
    assert subscribers.token_of(key, list_id="press", address="ann@example.org") == tokens[0]
    assert by_token(store, "a" * 24) is None
    assert subscribers.leave(store, token="a" * 24, how="page", now=NOW) is None


def test_leaving(store):
    """Leaving is for one list or for all, counts once, and outlasts a bounce and a complaint that come later."""
    for list_id in ("press", "wire"):
        read(store, ANN, BOB, list_id=list_id)
    token = one(store, ANN).token
    first = subscribers.leave(store, token=token, how="one-click", now=NOW)
    assert (first.state, first.reason, first.since_at) == (LEFT, "one-click", NOW)
    assert subscribers.leave(store, token=token, how="page", now=NOW + timedelta(days=1)) == first
    assert one(store, ANN, "wire").state is ACTIVE
    assert subscribers.leave(store, token=token, how="page", now=NOW, everywhere=True) == first
    assert one(store, ANN, "wire").state is LEFT
    put_off(store, subscriber_id=first.id, state=BOUNCED, reason="5.1.1", now=NOW)
    put_off(store, subscriber_id=first.id, state=COMPLAINED, reason="spam", now=NOW)
    assert one(store, ANN).state is LEFT
    events = [row.event for row in rows(store)]
    assert events == ["list_read", "list_read", "subscriber_left", "subscriber_left"]


def test_putting_off(store):
    """An address that can't be reached gets nothing on any list; a complaint weighs more than a bounce; his word ends both."""
    for list_id in ("press", "wire"):
        read(store, ANN, list_id=list_id)
    put_off(store, subscriber_id=one(store, ANN).id, state=BOUNCED, reason="550 <ann@example.org>?", now=NOW)
    assert one(store, ANN, "wire").state is BOUNCED
    put_off(store, subscriber_id=one(store, ANN).id, state=COMPLAINED, reason="spam", now=NOW)
    put_off(store, subscriber_id=one(store, ANN).id, state=BOUNCED, reason="5.1.1", now=NOW)
    assert one(store, ANN).state is COMPLAINED
    put_off(store, subscriber_id=4711, state=BOUNCED, reason="5.1.1", now=NOW)
    assert add(store).state is ACTIVE
    assert stand(store, ANN, "wire") == (COMPLAINED, "office", True)
    assert not any("ann" in row.detail for row in rows(store))


def test_adding_and_removing(store):
    """What a person decides is on the trail with his reason and without an address; what changes nothing is not."""
    made = add(store, " Ann <Ann@Example.org> ")
    assert (made.address, made.recipient, made.reason) == ("ann@example.org", "Ann <Ann@Example.org>", PERSON["reason"])
    assert add(store, "Ann <Ann@Example.org>") == made
    gone = {"list_id": "press", "address": ANN, **PERSON}
    assert subscribers.remove(store, **gone)
    assert not subscribers.remove(store, **gone)
    assert not subscribers.remove(store, **gone | {"address": BOB})
    assert subscribers.add_many(store, list_id="press", recipients=[BOB, "bob@EXAMPLE.net", CY], **PERSON) == (2, 0)
    told = rows(store)
    assert [row.event for row in told] == ["subscriber_added", "subscriber_removed", "subscribers_added"]
    assert {row.actor for row in told} == {"editor@desk"}
    assert all("asked by telephone" in row.detail and "@" not in row.detail for row in told)
    assert [len(re.findall('"who":"[0-9a-f]{12}"', row.detail)) for row in told] == [1, 1, 0]


# --- asking on the page


def ask(store, who=ANN, *, lists=("press",), now=NOW):
    return subscribers.ask(store, recipient=who, lists=lists, wording="I agree.", asked_from="192.0.2.0/24", now=now)


def to_send(store, *, now=NOW):
    return subscribers.asks_to_send(store, now=now, limit=10)


def confirm(store, token, *, now=NOW):
    return subscribers.confirm(store, token=token, confirmed_from="198.51.100.0/24", now=now)


def test_joining(store):
    """Who asks on the page is on no list until he follows the link of the one mail sent to him; what he agreed to is kept."""
    assert ask(store, CY, lists=["wire", "press"])
    [waiting] = subscribers.asks_to_send(store, now=NOW, limit=10)
    assert (waiting.recipient, waiting.lists, bool(TOKEN.fullmatch(waiting.token))) == (CY, ("press", "wire"), True)
    assert not list(members(store))
    assert subscribers.counts(store)["press"] == {"active": 0, "left": 0, "bounced": 0, "complained": 0, "asked": 1}
    assert subscribers.announce_ask(store, ask_id=waiting.id, now=NOW)
    assert not subscribers.announce_ask(store, ask_id=waiting.id, now=NOW)
    assert subscribers.asks_to_send(store, now=NOW, limit=10) == []
    subscribers.settle_ask(store, ask_id=waiting.id, problem=None, now=NOW)

    later = NOW + timedelta(hours=1)
    press, wire = confirm(store, waiting.token, now=later)
    assert [(each.list, each.state, each.origin, each.recipient) for each in (press, wire)] == [
        ("press", ACTIVE, "form", CY),
        ("wire", ACTIVE, "form", CY),
    ]
    assert press.consent == {
        "asked_at": NOW.isoformat(),
        "asked_from": "192.0.2.0/24",
        "wording": "I agree.",
        "sent_at": NOW.isoformat(),
        "confirmed_at": later.isoformat(),
        "confirmed_from": "198.51.100.0/24",
    }
    assert [row.event for row in rows(store)] == ["subscriber_confirmed"] * 2
    subscribers.leave(store, token=press.token, how="page", now=later)
    again = confirm(store, waiting.token, now=later)
    assert [each.state for each in again] == [LEFT, ACTIVE]
    assert subscribers.counts(store)["press"]["asked"] == 0


def test_a_link_that_is_too_old(store):
    """A link that was never sent, or is older than a week, confirms nothing."""
    ask(store)
    [waiting] = subscribers.asks_to_send(store, now=NOW, limit=10)
    assert confirm(store, "a" * 24) is None
    assert confirm(store, waiting.token, now=NOW + timedelta(days=7)) is None
    assert not list(members(store))


def test_floods(store):
    """One address is asked at most once in ten minutes and three times in a day, and all together a hundred times a minute."""
    at = [NOW + timedelta(minutes=minutes) for minutes in (0, 9, 11, 22, 33, 60 * 24 + 1)]
    assert [ask(store, "ANN@example.org", now=now) for now in at] == [True, False, True, True, False, True]
    late = NOW + timedelta(days=3)
    taken = sum(ask(store, f"reader{number}@example.org", now=late) for number in range(120))
    assert taken == 100
    assert not ask(store, now=late + timedelta(seconds=59))
    assert ask(store, now=late + timedelta(seconds=61))


def test_an_invitation_that_no_server_took(store):
    """An invitation that no server took is due again at its time, once more to one worker alone."""
    ask(store)
    [waiting] = to_send(store)
    later = NOW + timedelta(minutes=5)
    assert subscribers.announce_ask(store, ask_id=waiting.id, now=NOW)
    subscribers.settle_ask(store, ask_id=waiting.id, problem="451 later", now=NOW, due_at=later)
    assert to_send(store) == []
    assert to_send(store, now=later) == [waiting]
    assert subscribers.announce_ask(store, ask_id=waiting.id, now=later)
    subscribers.settle_ask(store, ask_id=waiting.id, problem=None, now=later)
    assert to_send(store, now=later + timedelta(days=1)) == []


# --- erasure


def mailed(office_, *people):
    """A record released to a list of these people, and frozen."""
    subscribers.read_office(office_.store, list_id="press", recipients=people, now=office_.clock())
    office_.record("one", embargo="none")
    office_.lift()
    for mailing in ledger.to_freeze(office_.store):
        while ledger.freeze(office_.store, mailing, now=office_.clock()) is not None:
            pass


def test_a_person_is_erased(office):
    """Who is erased is in no table and no byte of the database's files; the ledger still adds up, and no list brings him back."""
    people = [ANN, *(f"Reader {number} <reader{number}@example.org>" for number in range(500))]
    mailed(office, *people, BOB)
    office.raw("UPDATE deliveries SET state = 'sent', settled_at = 1, message_id = '<1@x>' WHERE id % 2 = 0")
    office.raw(
        "UPDATE deliveries SET state = 'failed', problem = '550 <bob@example.net>: unknown' WHERE address LIKE 'bob%'"
    )
    ask(office.store, BOB, now=office.clock())
    office.store.checkpoint()

    assert subscribers.forget(office.store, address=BOB, **PERSON) == 3
    assert list(members(office.store, address=BOB)) == []
    about = subscribers.about(office.store, BOB)
    assert about.pop("forgotten")
    assert about == {"address": "bob@example.net", "subscriptions": [], "asked": [], "mails": [], "reports": []}
    [mailing] = ledger.balance(office.store)
    assert mailing["audience"] == 502 == sum(mailing[state.value] for state in DeliveryState)
    for name in schema.metadata.tables:
        assert not any("bob@example" in f"{row}" for row in office.raw(f"SELECT * FROM {name}")), name
    if office.store.path is not None:
        for path in (office.store.path, office.store.path.with_name("embargo.db-wal")):
            assert b"bob@example" not in path.read_bytes(), path
    assert not any("bob" in row.detail for row in office.trail())

    assert read(office.store, ANN, BOB) == (0, 500, 1)
    assert subscribers.add_many(office.store, list_id="wire", recipients=[BOB], **PERSON) == (0, 0)
    with pytest.raises(EmbargoError, match="was erased with `embargo mail forget`"):
        add(office.store, BOB)
    assert subscribers.forget(office.store, address=BOB, **PERSON) == 0
    assert add(office.store, BOB, lift_tombstone=True).state is ACTIVE
    assert add(office.store, BOB, "wire").state is ACTIVE


def test_what_has_not_gone_does_not_go(office):
    """A mail to somebody erased that has not gone is suppressed; one that may have arrived is uncertain, one in hand ends."""
    people = [f"{name}@example.org" for name in ("pending", "claimed", "maybe", "sending", "sent")]
    mailed(office, *people)
    hand = "worker = 'w', lease_until = 1"
    office.raw(f"UPDATE deliveries SET state = 'claimed', {hand} WHERE address LIKE 'claimed%'")
    office.raw("UPDATE deliveries SET message_id = '<1@x>' WHERE address LIKE 'maybe%'")
    office.raw(f"UPDATE deliveries SET state = 'sending', message_id = '<2@x>', {hand} WHERE address LIKE 'sending%'")
    office.raw("UPDATE deliveries SET state = 'sent', message_id = '<3@x>', settled_at = 1 WHERE address LIKE 'sent%'")
    before = office.raw("SELECT id FROM deliveries ORDER BY id")
    for each in people:
        assert subscribers.forget(office.store, address=each, **PERSON) == 2
    found = office.raw(
        "SELECT state, worker, subscriber_id, recipient = address, address LIKE 'forgotten:%' FROM deliveries ORDER BY id"
    )
    assert [row[0] for row in found] == ["suppressed", "uncertain", "suppressed", "sending", "sent"]
    assert {row[2:] for row in found} == {(0, 1, 1)}
    assert office.raw("SELECT id FROM deliveries ORDER BY id") == before
    ended = office.raw("SELECT settled_at FROM deliveries WHERE state IN ('suppressed', 'uncertain')")
    assert ended == [(schema.micros(NOW),)] * 3


def test_who_asks_again_was_not_erased_for_ever(store):
    """Who was erased may subscribe again: following the link is his own word."""
    add(store)
    subscribers.forget(store, address=ANN, **PERSON)
    ask(store)
    [waiting] = subscribers.asks_to_send(store, now=NOW, limit=1)
    [made] = confirm(store, waiting.token)
    assert made.state is ACTIVE
    assert read(store, ANN, list_id="wire") == (1, 0, 1)


def test_what_is_stored_about_a_person(office):
    """A person can be given all that is stored about him: his places, what he agreed to, his mails and what was said of them."""
    mailed(office, ANN)
    ask(office.store, now=office.clock())
    found = subscribers.about(office.store, "ANN@example.org")
    [place], [asked], [mail] = found["subscriptions"], found["asked"], found["mails"]
    assert (place["list"], place["origin"], place["state"]) == ("press", "office", "active")
    assert (asked["lists"], asked["wording"], asked["asked_from"]) == (["press"], "I agree.", "192.0.2.0/24")
    assert (mail["record_id"], mail["list"], mail["state"], mail["recipient"]) == ("one", "press", "pending", ANN)
    assert (found["reports"], found["forgotten"]) == ([], False)


# --- at once

ADDING = """
import sys
from datetime import UTC, datetime
from scheduler.store import open_store, subscribers
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
people = [f"reader{number}@example.org" for number in range(2000)]
now = datetime.now(UTC)
if sys.argv[2] == "office":
    subscribers.read_office(store, list_id="press", recipients=people, now=now)
else:
    subscribers.add_many(store, list_id="press", recipients=people, reason="r", now=now, actor="a")
    for each in people[:50]:
        subscribers.add(store, list_id="press", recipient=each, reason="r", now=now, actor="a")
"""


def test_two_processes_add_the_same(office, store):
    """Two processes that put the same people on the same list at once leave each there once, and the trail whole."""
    command = [sys.executable, "-c", ADDING, office.url]
    both = [
        subprocess.Popen([*command, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for how in ("office", "command")
    ]
    for each in both:
        assert each.stdout.readline() == "ready\n"
    for each in both:
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in both:
        each.communicate()
        assert each.returncode == 0
    found = Counter(each.address for each in members(store))
    assert (len(found), set(found.values())) == (2000, {1})
    assert all(each.state is ACTIVE and each.listed for each in members(store))
    with store.read() as db:
        assert trail.verify(db)[1] == []


# --- any order


NAMES = ("ann@example.org", "bob@example.net")
LISTS = ("press", "wire")
MOVES = st.lists(
    st.tuples(
        st.sampled_from(
            ["read", "drop", "add", "many", "remove", "leave", "everywhere", "bounce", "complain", "forget", "confirm"]
        ),
        st.sampled_from(NAMES),
        st.sampled_from(LISTS),
    ),
    max_size=25,
)
_DATABASES = iter(range(10**9))


class Model:
    """What a reader of the documentation expects: (state, is he there for himself, does the office name him) by place."""

    def __init__(self):
        self.places = {}
        self.erased = set()

    def move(self, act, who, where):
        state, own, named = self.places.get((who, where), (None, False, False))
        if act in {"add", "many", "confirm"}:
            if act == "confirm":
                self.erased.discard(who)
            if who in self.erased or (act == "many" and state not in {None, ACTIVE}):
                return
            self.places[who, where] = ACTIVE, True, named
        elif act == "read" and who not in self.erased:
            self.places[who, where] = state or ACTIVE, own, True
        elif act == "drop" and state:
            self.places[who, where] = state, own, False
        elif act == "forget":
            self.erased.add(who)
            self.places = {key: value for key, value in self.places.items() if key[0] != who}
        elif act in {"remove", "leave"}:
            self.over(LEFT, {ACTIVE, BOUNCED}, [(who, where)])
        elif state:
            ends = {
                "everywhere": (LEFT, {ACTIVE, BOUNCED}),
                "bounce": (BOUNCED, {ACTIVE}),
                "complain": (COMPLAINED, {ACTIVE, BOUNCED}),
            }
            if act in ends:
                self.over(*ends[act], [(who, each) for each in LISTS])

    def over(self, to, of, places):
        for place in places:
            state, own, named = self.places.get(place, (None, False, False))
            if state in of:
                self.places[place] = to, own, named


def act_on(store, act, who, where):
    here = next(iter(members(store, list_id=where, address=who)), None)
    if act in {"read", "drop"}:
        others = [
            each.recipient for each in members(store, list_id=where) if named(store, each) and each.address != who
        ]
        read(store, *others, *([who] if act == "read" else []), list_id=where)
    elif act == "add":
        try:
            add(store, who, where)
        except EmbargoError:
            assert subscribers.about(store, who)["forgotten"]
    elif act == "many":
        subscribers.add_many(store, list_id=where, recipients=[who], **PERSON)
    elif act == "remove":
        subscribers.remove(store, list_id=where, address=who, **PERSON)
    elif act == "forget":
        subscribers.forget(store, address=who, **PERSON)
    elif act == "confirm":
        with store.write() as db:
            db.exec_driver_sql("DELETE FROM asks")  # no flood here
        assert ask(store, who, lists=[where])
        confirm(store, subscribers.asks_to_send(store, now=NOW, limit=1)[0].token)
    elif here and act in {"leave", "everywhere"}:
        subscribers.leave(store, token=here.token, how="page", now=NOW, everywhere=act == "everywhere")
    elif here:
        state = BOUNCED if act == "bounce" else COMPLAINED
        put_off(store, subscriber_id=here.id, state=state, reason="5.1.1", now=NOW)


def named(store, subscriber):
    """Whether the last reading of his list named him."""
    with store.read() as db:
        newest = "SELECT max(reading) FROM subscribers WHERE list = ?"
        sql = f"SELECT reading = ({newest}) AND reading > 0 FROM subscribers WHERE id = ?"
        return db.exec_driver_sql(sql, (subscriber.list, subscriber.id)).scalar()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES)
def test_any_order_of_moves(tmp_path, moves):
    """In whatever order people join, leave, bounce and are erased: nobody is mailed who has left, nobody lost who stays."""
    store = open_store(f"sqlite:///{tmp_path}/{next(_DATABASES)}.db")
    model = Model()
    for move in moves:
        model.move(*move)
        act_on(store, *move)
    found = {(each.address, each.list): each for each in members(store)}
    reached = {place for place, each in found.items() if each.state is ACTIVE and each.listed}
    assert {place: each.state for place, each in found.items()} == {
        place: each[0] for place, each in model.places.items()
    }
    assert reached == {place for place, (state, own, by) in model.places.items() if state is ACTIVE and (own or by)}
    assert not any("@e" in row.detail for row in rows(store))
    with store.read() as db:
        assert trail.verify(db)[1] == []
    store.close()
    with sqlite3.connect(f"{store.path}") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
