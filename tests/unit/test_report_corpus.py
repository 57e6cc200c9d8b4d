"""What comes back is read for what it says: reports of every dialect, complaints, requests to leave, and the rest."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.intake import reports
from scheduler.intake.reports import look
from scheduler.pipeline.reports import _about
from scheduler.record.reach import Report, is_unreachable, judged

CORPUS = Path(__file__).parents[1] / "reports"
LABELS = tomllib.loads((CORPUS / "labels.toml").read_text("utf-8"))
TOKEN = "abcdefghijklmnopqrstuvwx"
MESSAGE_ID = "<0f8e3a5d7c9b1e2f4a6d8c0b2e4f6a81@press.example>"
NOW = datetime(2026, 12, 1, 14, tzinfo=UTC)


def proof(reading):
    """What shows whose report it is."""
    if reading.tokens[:1] == (TOKEN,):
        return "token"
    if MESSAGE_ID in reading.message_ids:
        return "message-id"
    return "foreign-id" if reading.message_ids else "nothing"


@pytest.mark.parametrize("name", LABELS)
def test_a_report_is_read_whoever_wrote_it(name):
    """Reports of every mail system, complaints, requests to leave and automatic answers are told apart, and whose they are."""
    data = (CORPUS / f"{name}.eml").read_bytes()
    reading = reports.read(data)
    said = _about(reading, "reader@example.com")
    assert {"kind": said.kind, "status": said.status, "by": proof(reading)} == {"status": None, **LABELS[name]}
    assert look._read(look._parsed(data)) == reading  # and not by breaking on it


def test_the_corpus_is_whole():
    """Each message of the corpus has its label, and many of them must not count."""
    assert sorted(LABELS) == sorted(path.stem for path in CORPUS.glob("*.eml"))
    assert sum(label["kind"] in {"automatic", "foreign"} for label in LABELS.values()) >= 15


def test_no_address_is_kept_of_what_a_server_said():
    """What is kept of a mail system's words has no address, nor the name before its @, and is one short line."""
    for name in LABELS:
        for said in reports.read((CORPUS / f"{name}.eml").read_bytes()).said:
            assert "@" not in said.detail.replace("<@", "")
            assert "reader" not in said.detail.casefold()
            assert len(said.detail) <= 200
            assert said.detail.isprintable()


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_make_no_difference(ending):
    """A report says the same with any line ends, as pipes and mail stores change them."""
    for name in ("postfix-user-unknown", "qmail-no-mailbox", "arf-abuse", "exim-plain-unknown", "unsubscribe"):
        data = (CORPUS / f"{name}.eml").read_bytes().replace(b"\n", ending.encode())
        reading = reports.read(data)
        assert (reading.said[0].kind, reading.tokens[:1]) == (LABELS[name]["kind"], (TOKEN,))


MESSAGES = [path.read_bytes() for path in sorted(CORPUS.glob("*.eml"))]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(MESSAGES), st.sampled_from(MESSAGES), st.data())
def test_nothing_breaks_the_reader(one, other, data):
    """Reports cut short, spliced, with bytes changed: reading never fails, and no kind comes out that there is not."""
    cut = data.draw(st.integers(0, len(one)))
    patch = data.draw(st.binary(max_size=40))
    at = data.draw(st.integers(0, len(other)))
    mangled = one[:cut] + patch + other[at:]
    assert look._read(look._parsed(mangled)).said
    assert reports.read(mangled).said[0].kind in Report


@given(st.binary(max_size=2000))
def test_garbage_is_foreign(garbage):
    """Bytes that are no message change nothing."""
    assert reports.read(garbage).said[0].kind in {Report.FOREIGN, Report.AUTOMATIC}


def test_hostile_sizes_and_depths_are_refused():
    """What is too large or nested too deep is left alone before it costs time."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5000))
    assert reports.read(deep).said[0].kind is Report.FOREIGN
    assert reports.read(b"Subject: unsubscribe\nTo: x\n\n" + b"x" * reports.LIMIT).said[0].kind is Report.FOREIGN
    slow = (
        b"From: MAILER-DAEMON\nSubject: failure notice\n\n" + b"-" * 500_000 + b"\n" + b"user " * 90_000 + b" \t" * 9000
    )
    assert reports.read(slow).said[0].kind is Report.SOFT


@pytest.mark.parametrize(
    ("status", "code", "words", "says"),
    [
        ("5.1.1", 550, "", "hard"),
        ("5.1.2", None, "", "hard"),
        ("5.1.3", None, "", "hard"),
        ("5.1.6", None, "", "hard"),
        ("5.1.10", 550, "", "hard"),
        ("5.2.1", 550, "mailbox disabled, not accepting messages", "hard"),
        ("5.4.4", None, "Host not found", "hard"),
        ("5.4.4", None, "Malformed or unexpected name server reply", "soft"),
        ("5.2.1", 550, "The user is receiving mail at a rate that prevents additional messages", "soft"),
        ("5.2.2", 552, "", "soft"),
        ("5.1.1", 550, "mailbox is full", "soft"),
        ("4.1.1", 450, "user unknown", "soft"),
        (None, 451, "", "soft"),
        ("5.1.4", None, "", "soft"),
        ("5.4.7", None, "", "soft"),
        ("5.3.4", 552, "", "refused"),
        ("5.4.6", 554, "", "refused"),
        ("5.5.2", 500, "", "refused"),
        ("5.6.1", 554, "", "refused"),
        ("5.7.1", 550, "relaying denied", "refused"),
        ("5.7.1", 550, "Recipient address rejected: User unknown", "hard"),
        ("5.1.8", 550, "sender domain does not exist", "refused"),
        ("5.1.1", 550, "blocked using a list", "refused"),
        (None, 550, "No such user here", "hard"),
        (None, 550, "", "soft"),
        (None, 554, "Transaction failed", "refused"),
        (None, 550, "Sender address rejected: domain not found", "refused"),
        (None, None, "", "soft"),
        ("5.0.0", 550, "Requested action not taken: mailbox unavailable", "hard"),
    ],
)
def test_the_written_rule(status, code, words, says):
    """What a refusal says of the address follows from its status, and from its words where that is vague."""
    assert judged(status, code, words) == says


def test_a_refusal_when_a_mail_is_sent_falls_under_the_same_rule():
    """A server that refuses an unknown reader at once says the same as a report of it."""
    said = reports.refusal("mx.example.com refused the recipient: 550 5.1.1 <reader@example.com>: user unknown")
    assert (said.kind, said.status) == (Report.HARD, "5.1.1")
    assert "reader" not in said.detail
    assert reports.refusal("mx.example.com refused the mail: 550 5.7.1 spam", status="5.7.1").kind is Report.REFUSED


def days(*numbers):
    return [NOW - timedelta(days=number) for number in numbers]


def test_three_soft_failures_on_different_days_put_an_address_off():
    """Failures that may pass put an address off when they came on three of the last thirty days, none reaching it since."""
    assert is_unreachable(days(0, 5, 29), reached_at=[], now=NOW)
    assert not is_unreachable(days(0, 5), reached_at=[], now=NOW)
    assert not is_unreachable([NOW] * 9 + days(1), reached_at=[], now=NOW)
    assert not is_unreachable(days(0, 5, 31), reached_at=[], now=NOW)
    assert not is_unreachable(days(0, 5, 9), reached_at=days(7), now=NOW)
    assert is_unreachable(days(0, 5, 6, 9), reached_at=days(7), now=NOW)
