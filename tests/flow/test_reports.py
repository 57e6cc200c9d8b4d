"""Bounces, complaints and requests to leave: from the message that came back to the reader's place and the ledger."""

from __future__ import annotations

import mailbox
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import eventually
from mail_kit import DESK, FAILED, SENT, UNCERTAIN, ZOE, announce, claim, freeze, listed, released, settle, tally

from scheduler.errors import StoreRefused
from scheduler.pipeline import reports
from scheduler.record import Membership
from scheduler.record.reach import Report
from scheduler.store import ledger, subscribers
from scheduler.store import reports as kept

CORPUS = Path(__file__).parents[1] / "reports"
TOKEN = "abcdefghijklmnopqrstuvwx"
MESSAGE_ID = "<0f8e3a5d7c9b1e2f4a6d8c0b2e4f6a81@press.example>"


@pytest.fixture
def sent(office):
    """An office whose first mails have gone to the press list and the wire."""
    listed(office, press=(DESK, ZOE), wire=(DESK,))
    send(office, "one")
    return office


def send(office, record_id, state=SENT):
    released(office, record_id)
    freeze(office)
    work = claim(office, "w")
    announce(office, "w", work)
    settle(office, "w", state, work)
    return {each.recipient: each for each in work}


def member(office, address=DESK, list_id="press"):
    return next(each for each in subscribers.members(office.store, address=address) if each.list == list_id)


def message(name, office, *, address=DESK, message_id="<none@x>", list_id="press", number=0):
    """A message of the corpus as it would come back for this place."""
    data = (CORPUS / f"{name}.eml").read_text("utf-8")
    data = data.replace(TOKEN, member(office, address, list_id).token).replace(MESSAGE_ID, message_id)
    return (f"X-Number: {number}\n" + data.replace("reader@example.com", address)).encode()


def take(office, name, **where):
    return reports.take(office.store, message(name, office, **where), now=office.clock())


def states(office, address=DESK):
    return {each.list: each.state for each in subscribers.members(office.store, address=address)}


def rows(office, columns="kind, status"):
    return office.raw(f"SELECT {columns} FROM reports ORDER BY id")


def delivery(office, address=DESK):
    return office.raw("SELECT state, problem, message_id FROM deliveries WHERE address = ?", parameters=(address,))[0]


def test_a_hard_bounce_puts_the_address_off_everywhere(sent):
    """A mailbox that does not exist gets nothing more, on any list; the mail that came back counts as failed."""
    taken = take(sent, "postfix-user-unknown", message_id=delivery(sent)[2])
    assert (taken.kind, taken.status, taken.list, taken.address) == (Report.HARD, "5.1.1", "press", DESK)
    assert (taken.put_off, taken.repeated) == (True, False)
    assert states(sent) == {"press": Membership.BOUNCED, "wire": Membership.BOUNCED}
    state, problem, _ = delivery(sent)
    assert (state, problem.startswith("bounced: 5.1.1")) == (FAILED, True)
    assert tally(sent) == {"failed": 1, "sent": 1}
    assert states(sent, "zoe@example.net") == {"press": Membership.ACTIVE}


def test_nothing_about_a_report_on_the_trail_has_an_address(sent):
    """The trail tells that a reader was put off, with a keyed hash in place of his address."""
    take(sent, "gmail-no-such-user")
    row = sent.trail()[-1]
    assert row.event == "subscriber_put_off"
    assert DESK not in row.detail
    assert "desk" not in rows(sent, "detail")[0][0]


def test_the_same_report_counts_once(sent):
    """A report that is brought twice is known by its bytes, though its reader was put on the list again meanwhile."""
    take(sent, "postfix-user-unknown")
    subscribers.add(sent.store, list_id="press", recipient=DESK, reason="he wrote", now=sent.clock(), actor="editor")
    taken = take(sent, "postfix-user-unknown")
    assert (taken.repeated, taken.put_off) == (True, False)
    assert states(sent)["press"] is Membership.ACTIVE
    assert len(rows(sent)) == 1


def test_a_message_id_alone_tells_whose_report_it_is(sent):
    """A report that lost the token is known by the Message-ID of the mail it is about."""
    data = message("postfix-only-message-id", sent, message_id=delivery(sent, "zoe@example.net")[2])
    taken = reports.take(sent.store, data, now=sent.clock())
    assert (taken.list, taken.address, taken.put_off) == ("press", "zoe@example.net", True)


def test_an_address_alone_proves_nothing(sent):
    """Whoever knows no more than a reader's address can't have him put off: it is written down that nobody is meant."""
    taken = take(sent, "forged-address-only")
    assert (taken.kind, taken.list, taken.put_off) == (Report.HARD, None, False)
    assert states(sent)["press"] is Membership.ACTIVE
    assert kept.unattributed(sent.store, since=sent.clock()) == {"hard": 1}


def test_a_token_hurts_its_own_place_alone(sent):
    """Who forges a report with his own token and another's Message-ID has put off himself."""
    other = delivery(sent, "zoe@example.net")[2]
    take(sent, "postfix-user-unknown", message_id=other)
    assert states(sent, "zoe@example.net") == {"press": Membership.ACTIVE}
    assert delivery(sent, "zoe@example.net")[0] == SENT


def test_full_mailboxes_are_put_off_on_the_third_day(sent):
    """A mailbox that is full on three different days gets nothing more; twice on a day is one."""
    for day in (0, 0, 1):
        sent.clock.pass_by(days=day)
        assert not take(sent, "postfix-mailbox-full", number=len(rows(sent))).put_off
    assert states(sent)["press"] is Membership.ACTIVE
    sent.clock.pass_by(days=1)
    assert take(sent, "postfix-failed-4-2-2", number=9).put_off
    assert states(sent)["press"] is Membership.BOUNCED


def test_a_mail_that_got_through_makes_up_for_failures_before(sent):
    """A mail that is reported as delivered, or of which no failure was heard for five days, lets the count begin anew."""
    take(sent, "postfix-mailbox-full", number=1)
    sent.clock.pass_by(days=1)
    take(sent, "postfix-mailbox-full", number=2)
    take(sent, "postfix-delivered")
    sent.clock.pass_by(days=1)
    assert not take(sent, "postfix-mailbox-full", number=3).put_off
    sent.clock.pass_by(days=1)
    send(sent, "two")
    sent.clock.pass_by(days=6)
    assert not take(sent, "postfix-mailbox-full", number=4).put_off
    sent.clock.pass_by(days=1)
    assert not take(sent, "postfix-mailbox-full", number=5).put_off
    sent.clock.pass_by(days=1)
    assert take(sent, "postfix-mailbox-full", number=6).put_off


@pytest.mark.parametrize(
    "name", ["postfix-spam-rejected", "postfix-relay-denied", "postfix-too-big", "postfix-delayed"]
)
def test_what_is_no_fault_of_the_address_leaves_it_alone(sent, name):
    """A mail refused for its content, its size or our reputation, or one that is late, is never held against its reader."""
    for day in range(5):
        take(sent, name, number=day)
        sent.clock.pass_by(days=1)
    assert states(sent)["press"] is Membership.ACTIVE


def test_a_complaint_ends_all_lists_at_once(sent):
    """A reader who calls a mail spam gets none any more, from any list."""
    assert take(sent, "arf-redacted").put_off
    assert states(sent) == {"press": Membership.COMPLAINED, "wire": Membership.COMPLAINED}
    assert delivery(sent)[0] == SENT


def test_a_mail_can_unsubscribe(sent):
    """A mail to the address that List-Unsubscribe names takes its reader off that list."""
    taken = take(sent, "unsubscribe-token-in-subject")
    assert (taken.kind, taken.list) == (Report.UNSUBSCRIBED, "press")
    assert states(sent) == {"press": Membership.LEFT, "wire": Membership.ACTIVE}


@pytest.mark.parametrize(
    "name", ["ooo-exchange", "ooo-unsubscribe-subject", "mdn-deleted", "reader-writes", "arf-not-spam"]
)
def test_automatic_answers_and_letters_change_nothing(sent, name):
    """Absence notes, receipts and letters from people leave no row and change nothing."""
    before = sent.trail()
    assert take(sent, name).list is None
    assert (rows(sent), sent.trail(), states(sent)["press"]) == ([], before, Membership.ACTIVE)


def test_a_success_report_settles_what_was_uncertain(sent):
    """A mail whose fate was unknown is sent when its arrival is reported, and failed when it comes back."""
    work = send(sent, "two", UNCERTAIN)
    ids = {to: f"<{each.id}@x>" for to, each in work.items()}
    take(sent, "postfix-delivered", message_id=ids[DESK])
    take(sent, "postfix-spam-rejected", address="zoe@example.net", message_id=ids[ZOE])
    assert tally(sent) == {"sent": 3, "failed": 1}


def test_a_success_report_spares_a_repeat(sent):
    """A mail that is reported as arrived, or as refused, while it waits to be sent again, is not sent again."""
    work = send(sent, "two", UNCERTAIN)
    ids = {to: f"<{each.id}@x>" for to, each in work.items()}
    assert ledger.resolve(sent.store, **sent.person("two"), resend=True) == 2
    take(sent, "postfix-delivered", message_id=ids[DESK])
    take(sent, "postfix-spam-rejected", address="zoe@example.net", message_id=ids[ZOE])
    assert tally(sent) == {"sent": 3, "failed": 1}


def test_an_alias_that_still_reaches_somebody_is_reached(sent):
    """Where an address leads on to several, one dead mailbox among them is not the reader's."""
    data = message("postfix-two-recipients-one-delivered", sent).replace(DESK.encode(), b"x@example.com")
    assert reports.take(sent.store, data, now=sent.clock()).kind is Report.DELIVERED


def test_an_invitation_that_comes_back_is_known(sent):
    """The mail to somebody who asked to join comes back: his ask says so."""
    subscribers.ask(
        sent.store,
        recipient="new@example.com",
        lists=["press"],
        wording="yes",
        asked_from="192.0.2.1",
        now=sent.clock(),
    )
    token = sent.raw("SELECT token FROM asks")[0][0]
    data = (CORPUS / "postfix-user-unknown.eml").read_text().replace(TOKEN, token).encode()
    reports.take(sent.store, data, now=sent.clock())
    assert sent.raw("SELECT problem FROM asks")[0][0].startswith("bounced: 5.1.1")


def test_a_refusal_at_once_is_counted_by_the_same_rule(sent):
    """What a server says when a mail is sent counts like a report, once a try."""

    def refused(epoch, problem):
        token = member(sent).token
        return reports.refused(
            sent.store, token=token, delivery_id=1, epoch=epoch, status=None, problem=problem, now=sent.clock()
        )

    full = "mx.example.org refused the recipient: 552 5.2.2 <desk@example.org> over quota"
    assert not refused(1, full)
    assert not refused(1, full)
    for epoch in (2, 3):
        sent.clock.pass_by(days=1)
        assert refused(epoch, full) is (epoch == 3)
    assert rows(sent) == [("soft", "5.2.2")] * 3
    assert states(sent)["press"] is Membership.BOUNCED


def drop(maildir, *messages):
    box = mailbox.Maildir(maildir, create=True)
    return [box.add(each) for each in messages]


def listing(maildir):
    return sorted(path.relative_to(maildir).as_posix() for path in maildir.rglob("*") if path.is_file())


def test_a_maildir_is_taken_in_and_nothing_in_it_lost(sent, tmp_path):
    """Reports move to cur/, marked; absence notes, letters and strangers' bounces stay as they are, and none is read twice."""
    box = tmp_path / "bounces"
    hard, out, letter, forged = (
        message(name, sent) for name in ("postfix-user-unknown", "ooo-exchange", "reader-writes", "forged-address-only")
    )
    drop(box, hard, out, letter, forged)
    (box / "tmp" / "half").write_bytes(hard[:400])
    os.mkfifo(box / "new" / "pipe")
    seen: set[str] = set()
    assert reports.collect(sent.store, box, now=sent.clock(), seen=seen) == 1
    assert len(seen) == 3
    after = mailbox.Maildir(box, create=False)
    (box / "new" / "pipe").unlink()
    flags = {after.get_bytes(key): (mail.get_subdir(), mail.get_flags()) for key, mail in after.items()}
    assert flags == {hard: ("cur", "PS"), out: ("new", ""), letter: ("new", ""), forged: ("new", "")}
    assert (box / "tmp" / "half").exists()
    names = listing(box)
    assert reports.collect(sent.store, box, now=sent.clock(), seen=seen) == 0
    assert reports.collect(sent.store, box, now=sent.clock()) == 0  # as after a restart
    assert listing(box) == names
    assert rows(sent) == [("hard", "5.1.1"), ("hard", "5.1.1")]


def test_what_a_person_has_opened_is_taken_in_all_the_same(sent, tmp_path):
    """A report that somebody looked at with a mail program before the worker did still counts."""
    box = mailbox.Maildir(tmp_path / "bounces", create=True)
    opened = mailbox.MaildirMessage(message("postfix-user-unknown", sent))
    opened.set_subdir("cur")
    opened.set_flags("FS")
    key = box.add(opened)
    assert reports.collect(sent.store, tmp_path / "bounces", now=sent.clock()) == 1
    assert box.get_message(key).get_flags() == "FPS"


def test_a_mail_server_may_write_meanwhile(sent, tmp_path):
    """While a mail server drops messages in, each is taken in once and none is lost."""
    box = tmp_path / "bounces"
    mailbox.Maildir(box, create=True)
    writer = threading.Thread(
        target=lambda: [drop(box, message("postfix-delayed", sent, number=number)) for number in range(60)]
    )
    writer.start()
    taken = 0
    seen: set[str] = set()

    def all_taken():
        nonlocal taken
        taken += reports.collect(sent.store, box, now=sent.clock(), seen=seen)
        return taken >= 60

    eventually(all_taken, "all messages to be taken in")
    writer.join()
    assert taken == len(rows(sent)) == len(list((box / "cur").iterdir())) == 60
    assert not list((box / "new").iterdir())


KILLED = """
import os, sys
from pathlib import Path
from scheduler.clock import system
from scheduler.pipeline import reports
from scheduler.store import open_store
reports._mark = lambda *_: os.kill(os.getpid(), 9)
reports.collect(open_store(sys.argv[1]), Path(sys.argv[2]), now=system())
"""


def test_a_kill_before_the_move_counts_once(sent, tmp_path):
    """Killed after a report was kept and before its message was moved, the worker takes it in again and counts it once."""
    box = tmp_path / "bounces"
    drop(box, message("postfix-mailbox-full", sent))
    ended = subprocess.run([sys.executable, "-c", KILLED, sent.url, str(box)], check=False, timeout=60)
    assert ended.returncode == -9
    assert (len(rows(sent)), len(list((box / "new").iterdir()))) == (1, 1)
    assert reports.collect(sent.store, box, now=sent.clock() + timedelta(days=1)) == 1
    assert (len(rows(sent)), len(list((box / "cur").iterdir()))) == (1, 1)


def test_a_message_that_can_not_be_kept_stays(sent, tmp_path):
    """When the database refuses, the message stays where it is, and whoever brings one by a pipe is told to keep it."""
    box = tmp_path / "bounces"
    drop(box, message("postfix-delayed", sent))
    sent.raw("ALTER TABLE reports RENAME TO away")
    with pytest.raises(StoreRefused):
        reports.collect(sent.store, box, now=sent.clock())
    with pytest.raises(StoreRefused):
        take(sent, "postfix-delayed")
    sent.raw("ALTER TABLE away RENAME TO reports")
    assert len(list((box / "new").iterdir())) == 1
    assert reports.collect(sent.store, box, now=sent.clock()) == 1


def test_a_message_that_meets_a_bug_keeps_out_no_other(sent, tmp_path, monkeypatch):
    """A message on which reading breaks off stays where it is, and those behind it are taken in."""
    box = tmp_path / "bounces"
    drop(box, message("postfix-delayed", sent), b"a second one")
    real = reports.take

    def breaks(store, data, *, now):
        if b"a second one" not in data:
            raise ZeroDivisionError
        return real(store, data, now=now)

    monkeypatch.setattr(reports, "take", breaks)
    seen = set()
    with pytest.raises(ZeroDivisionError):
        reports.collect(sent.store, box, now=sent.clock(), seen=seen)
    assert reports.collect(sent.store, box, now=sent.clock(), seen=seen) == 0
    assert len(seen) == 2


def test_no_maildir_is_no_error(sent, tmp_path):
    """A Maildir that is not there yet is empty."""
    assert reports.collect(sent.store, tmp_path / "nowhere", now=sent.clock()) == 0
