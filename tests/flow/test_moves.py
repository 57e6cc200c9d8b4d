"""The moves of a record: each guarded, each on the trail, each once; on a real database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from conftest import DatabaseErrors, Office, words

from scheduler.embargo import Kind
from scheduler.errors import MoveRefused, NotFound
from scheduler.record import Purpose, State
from scheduler.store import ledger, moves, open_store, records, trail

S = State
COMMANDS = {
    "confirm": lambda office: office.confirm(words="2026-12-01 09:00 America/New_York"),
    "amend": Office.amend,
    "lift": Office.lift_by_hand,
    "withdraw": Office.withdraw,
    "retract": Office.retract,
}
# From each state, what each command leads to; what is not named is refused.
ALLOWED = {
    (S.ATTENTION, "confirm"): S.HELD,
    (S.ATTENTION, "amend"): S.HELD,
    (S.ATTENTION, "withdraw"): S.WITHDRAWN,
    (S.HELD, "amend"): S.HELD,
    (S.HELD, "lift"): S.RELEASED,
    (S.HELD, "withdraw"): S.WITHDRAWN,
    (S.RELEASED, "retract"): S.RETRACTED,
}
REMEDIES = {
    (S.ATTENTION, "lift"): "embargo confirm",
    (S.ATTENTION, "retract"): "embargo withdraw",
    (S.HELD, "confirm"): "embargo amend",
    (S.HELD, "retract"): "embargo withdraw",
    (S.RELEASED, "withdraw"): "embargo retract",
}


def bring_to(office, state):
    office.record(embargo=None if state is S.ATTENTION else "2026-12-01 09:00 America/New_York")
    if state in {S.RELEASED, S.RETRACTED}:
        office.lift_by_hand()
    if state is S.RETRACTED:
        office.retract()
    if state is S.WITHDRAWN:
        office.withdraw()
    assert office.get().state is state


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", State)
def test_every_command_from_every_state(office, state, command):
    """From each state a command is done and on the trail, or refused with a sentence, changing nothing."""
    bring_to(office, state)
    before, rows = office.get(), office.trail()
    office.clock.pass_by(minutes=1)
    if (state, command) in ALLOWED:
        COMMANDS[command](office)
        assert office.get().state is ALLOWED[state, command]
        [row] = office.trail()[len(rows) :]
        assert (row.actor, row.record_id, row.at) == ("editor@desk", "one", office.clock())
        assert '"reason":"for a reason"' in row.detail
        return
    with pytest.raises(MoveRefused) as refused:
        COMMANDS[command](office)
    assert str(refused.value).startswith("Record 'one': it ")
    assert REMEDIES.get((state, command), "can't be") in str(refused.value)
    assert (office.get(), office.trail()) == (before, rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_about_a_record_that_is_not_there(office, command):
    """A command about an unknown id says that there is no such record, and where the ids are listed."""
    with pytest.raises(NotFound, match=r"no record 'one'.*embargo queue --all"):
        COMMANDS[command](office)
    assert office.trail() == []


def test_a_confirmation_takes_the_proposed_time(office):
    """`embargo confirm` without a time takes the one that was proposed."""
    standing = office.record(embargo=None, body="EMBARGOED UNTIL 9:00 a.m., December 1\n\nA body.")
    assert standing.candidates
    assert office.confirm() == standing.candidates[0]
    after = office.get()
    assert (after.state, after.lift_at, after.settled_by) == (S.HELD, standing.candidates[0].at, "editor@desk")


def test_a_confirmation_without_a_proposal_says_what_to_write(office):
    """Where nothing proposes a time, `embargo confirm` says how to write one."""
    office.record(embargo=None)
    with pytest.raises(MoveRefused, match=r"Say when: `embargo confirm one '2026"):
        office.confirm()


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("2026-12-01 09:00 EST", "EST"),
        ("none", "embargo lift one"),
        ("soon", "instant"),
        ("2026-03-08 02:30", "skipped"),
    ],
)
def test_a_time_that_is_none_is_refused(office, said, means):
    """A command that names no single instant is refused as a file would be, and the record stays."""
    office.record()
    with pytest.raises(MoveRefused, match=means):
        office.amend(words=said)
    assert office.events() == ["accepted"]


def test_a_record_can_be_put_off_until_a_person_lifts_it(office):
    """`embargo amend ID "on delivery"` holds a record until a person lifts it."""
    office.record()
    assert office.amend(words="on delivery") is None
    office.clock.pass_by(days=900)
    assert office.lift() == []
    office.lift_by_hand()
    assert office.get().released_at == office.clock()


def test_a_decision_about_an_older_text_is_refused(office):
    """A person who looked at a text that was edited this moment is asked to look again."""
    standing = office.record(embargo=None)
    office.record(embargo=None, body="Another body.")
    with pytest.raises(MoveRefused, match="edited this moment"):
        moves.settle(
            office.store,
            **office.person(),
            revision=standing.revision,
            lift=None,
            kind=Kind.EVENT,
            words="on delivery",
            from_states=[S.ATTENTION],
            event="confirmed",
        )
    assert office.get().state is S.ATTENTION


@pytest.mark.parametrize("attempt", range(5))
@pytest.mark.parametrize("rival", ["withdraw", "lift_by_hand", "release_due", "amend"])
def test_two_processes_at_the_same_record(office, attempt, rival):
    """Where two processes move the same record at once, one wins and the other is told; the trail tells both."""
    office.record()
    office.clock.pass_by(days=1, hours=attempt)
    other = Office(office.folder, office.parts, open_store(office.url), office.clock)
    ready = threading.Barrier(2)
    won: list[str] = []

    def act(desk: Office, name: str) -> None:
        ready.wait()
        try:
            if desk.lift() if name == "release_due" else (getattr(desk, name)(), True):
                won.append(name)
        except MoveRefused:
            pass

    threads = [
        threading.Thread(target=act, args=(office, "withdraw")),
        threading.Thread(target=act, args=(other, rival)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.store.close()
    expected = {"withdraw": {"withdrawn"}, "amend": {"withdrawn"}}.get(rival, {"withdrawn", "released"})
    assert office.get().state in expected
    assert len(won) == (2 if won == ["amend", "withdraw"] else 1)
    assert len(office.events()) == 1 + len(won)
    with office.store.read() as db:
        assert trail.verify(db)[1] == []


def test_a_lift_is_exact_to_the_microsecond(office):
    """What is due is released at its microsecond, nothing a microsecond before it, and what lifts together in its order."""
    at = datetime(2026, 12, 1, 14, 0, 0, 123456, tzinfo=UTC)
    office.record("before", embargo=words(at - timedelta(microseconds=1)))
    office.record("due", embargo=words(at))
    office.record("after", embargo=words(at + timedelta(microseconds=1)))
    office.record("open", embargo="on delivery")
    office.record("asked", embargo=None)
    office.clock.at = at - timedelta(microseconds=2)
    assert office.lift() == []
    assert records.next_lift(office.store) == at - timedelta(microseconds=1)
    office.clock.at = at
    assert sorted(lifted.id for lifted in office.lift()) == ["before", "due"]
    assert office.lift() == []
    assert records.next_lift(office.store) == at + timedelta(microseconds=1)
    assert {record_id: office.get(record_id).state for record_id in ("after", "open", "asked")} == {
        "after": S.HELD,
        "open": S.HELD,
        "asked": S.ATTENTION,
    }
    assert [office.get(each).released_at - at for each in ("before", "due")] == [timedelta(), timedelta(microseconds=1)]


def test_a_thousand_due_at_once(office):
    """A thousand records due at one instant are released in one transaction, each with what it owes and its row."""
    office.record()
    columns = "tag,origin,digest,state,revision,lift_at,reason,lists,accepted_at,vanished"
    texts = (
        "digest,accepted_at,embargo_kind,embargo_words,embargo_source,lift_local,lift_zone,tz_version,candidates,"
        "fields,title,summary,text,html"
    )
    office.raw(
        "CREATE TEMP TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 999) SELECT i FROM c",
        f"INSERT INTO records (id, uuid, {columns}) SELECT 'r' || i, uuid || i, tag || i, {columns[4:]} FROM records, n",
        f"INSERT INTO revisions (record_id, number, {texts}) SELECT 'r' || i, 1, {texts} FROM revisions, n",
    )
    office.clock.pass_by(days=2)
    lifted = office.lift()
    assert len({each.id for each in lifted}) == 1000
    assert {each.released_at for each in lifted} == {office.clock()}
    assert len(ledger.to_freeze(office.store)) == 1000
    assert office.events().count("released") == 1000
    assert records.counts(office.store)[S.RELEASED] == 1000
    with office.store.read() as db:
        assert trail.verify(db) == (1001, [])


def test_a_lift_that_fails_leaves_nothing_behind(office):
    """A move that fails, whatever it had written by then, leaves neither state nor mail nor trail."""
    office.record()
    office.raw("ALTER TABLE mailings RENAME TO away")
    office.clock.pass_by(days=2)
    for move in (office.lift, office.lift_by_hand):
        with pytest.raises(Exception, match="mailings"):
            move()
    assert office.get().state is S.HELD
    assert office.events() == ["accepted"]


def test_a_release_owes_mail_to_its_lists(office):
    """A release owes a mail to each of its lists: those it names, or the default ones, or none."""
    office.record("default", embargo="none")
    office.record("named", embargo="none", keys="lists: [wire, press]\n")
    office.record("nobody", embargo="none", keys="lists: []\n")
    office.lift()
    owed = [(mailing.record_id, mailing.list) for mailing in ledger.to_freeze(office.store)]
    assert sorted(owed) == [("default", "press"), ("named", "press"), ("named", "wire")]


def test_what_follows_goes_to_the_lists_of_the_first_mail(office):
    """A correction is owed to the lists of the first mail though other lists have become the default since."""
    office.record(embargo="none")
    office.lift()
    moves.retract(office.store, **office.person(), default_lists=("wire",))
    owed = [(mailing.purpose, mailing.list) for mailing in ledger.to_freeze(office.store)]
    assert sorted(owed) == [(Purpose.RETRACTION, "press"), (Purpose.RETRACTION, "wire")]


def test_overdue_records_wait_for_a_person_where_the_office_says_so(office):
    """With `overdue: hold`, what fell due while the service was down needs a person, who can release it at once."""
    office.record("due")
    office.record("later", embargo="2026-12-09 09:00 America/New_York")
    office.clock.pass_by(days=2)
    now = office.clock()
    held = moves.hold_overdue(office.store, now=now, before=now, actor="service")
    assert [uuid for uuid, _ in held] == [office.get("due").uuid]
    assert office.lift() == []
    assert "fell due while the service was down" in office.get("due").reason
    assert office.get("later").state is S.HELD
    office.confirm("due")
    assert [lifted.id for lifted in office.lift()] == ["due"]
    assert office.events("due") == ["accepted", "attention", "confirmed", "released"]


def test_what_was_late_when_it_came_in_is_not_overdue(office):
    """With `overdue: hold`, `embargo: none` taken in while the service is down is released when it starts."""
    office.record(embargo="none")
    office.record("amended")
    office.clock.pass_by(days=2)
    office.record("amended", embargo="none")
    office.clock.pass_by(hours=1)
    now = office.clock()
    assert moves.hold_overdue(office.store, now=now, before=now, actor="service") == []
    assert {lifted.id for lifted in office.lift()} == {"one", "amended"}


def test_two_lifts_at_one_instant(office):
    """Records lifted one after the other at the very same instant are all released, each owing its mail once."""
    office.record("by_hand")
    office.record("due", embargo="none")
    office.lift_by_hand("by_hand")
    office.lift()
    office.record("late", embargo="none")
    assert [lifted.id for lifted in office.lift()] == ["late"]
    owed = [mailing.record_id for mailing in ledger.to_freeze(office.store)]
    assert sorted(owed) == ["by_hand", "due", "late"]


def test_a_list_named_twice_holds_nothing_up(office):
    """A record that names a list twice owes it one mail, and holds up no other record's lift."""
    office.record("twice", embargo="none", keys="lists: [press, press]\n")
    office.record("other", embargo="none")
    assert {lifted.id for lifted in office.lift()} == {"twice", "other"}
    assert sorted(mailing.record_id for mailing in ledger.to_freeze(office.store)) == ["other", "twice"]


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE records SET state = 'released', released_at = lift_at - 1", "nothing_is_released_before_its_lift"),
        (
            "UPDATE records SET state = 'released', released_at = 1, lift_at = NULL",
            "nothing_is_released_before_its_lift",
        ),
        ("UPDATE records SET state = 'released'", "released_means_it_has_an_instant"),
        ("UPDATE records SET released_at = lift_at", "released_means_it_has_an_instant"),
        ("UPDATE records SET state = 'attention'", "attention_always_has_a_reason"),
        ("UPDATE records SET reason = 'why'", "attention_always_has_a_reason"),
        ("UPDATE records SET state = 'published'", "record_state_is_known"),
        ("UPDATE trail SET actor = 'nobody'", "the trail is append-only"),
        ("DELETE FROM trail", "the trail is append-only"),
        ("INSERT INTO trail_head VALUES (2, 0, '')", "there_is_one_trail"),
        ("INSERT INTO revisions SELECT * FROM revisions", "UNIQUE|unique"),
    ],
)
def test_what_must_never_happen_is_refused_by_the_database(office, statement, constraint):
    """The database itself refuses an early release, attention without a reason, and any change to the trail."""
    office.record()
    with pytest.raises(DatabaseErrors.refused, match=constraint):
        office.raw(statement)


def test_the_queue_is_in_order(office):
    """The queue shows what needs a person first, then what lifts, soonest first, and what waits for a person last."""
    office.record("open", embargo="on delivery")
    office.record("late", embargo="2026-12-09 09:00 America/New_York")
    office.record("soon", embargo="2026-12-02 09:00 America/New_York")
    office.record("asked", embargo=None)
    assert [standing.id for standing in records.listed(office.store)] == ["asked", "soon", "late", "open"]
    assert [standing.id for standing in records.listed(office.store, states=[S.ATTENTION])] == ["asked"]
