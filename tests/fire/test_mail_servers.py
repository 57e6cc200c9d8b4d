"""Mail servers that misbehave, met by the real worker: what the ledger says, what is tried again, what arrives."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from kit import postroom
from outdoors import Server

from scheduler.outlets.mail import transport
from scheduler.store import ledger

SHORT = timedelta(seconds=1)
DUE = ["desk@example.org", "Zoë <zoe@example.net>"]


def states(office) -> Counter[str]:
    return Counter(state for (state,) in office.raw("SELECT state FROM deliveries"))


def rounds(office, server, count, *, resend=False):
    """A worker's rounds against a server, an hour apart; gives what the ledger says after each."""
    office.record(embargo="none")
    office.lift()
    said = []

    async def work():
        async with server.running() as port:
            post = transport(
                f"smtp://127.0.0.1:{port}",
                base=office.folder,
                connections=1,
                connect_for=SHORT,
                command_for=SHORT,
                reply_for=SHORT,
            )
            room = postroom(office, post)
            for _ in range(count):
                await room.drain()
                said.append(states(office))
                if resend:
                    ledger.resolve(office.store, resend=True, **office.person())
                office.clock.pass_by(hours=1)
            await room.close()

    asyncio.run(work())
    return said


BEFORE = [
    {"greeting": ["hang"]},
    {"greeting": ["close"]},
    {"greeting": ["reset"]},
    {"greeting": ["421 too busy"]},
    {"EHLO": ["hang"]},
    {"EHLO": ["reset"]},
    {"MAIL": ["451 later"]},
    {"MAIL": ["close"]},
    {"RCPT": ["450 greylisted"]},
    {"RCPT": ["hang"]},
    {"RCPT": ["reset"]},
    {"DATA": ["452 full"]},
    {"DATA": ["hang"]},
    {"DATA": ["reset"]},
    {"DATA": ["close"]},
    {"dot": ["451 later"]},
    {"dot": ["421 closing"]},
]


@pytest.mark.parametrize("faults", BEFORE, ids=lambda faults: " ".join(f"{k} {v[0]}" for k, v in faults.items()))
def test_a_server_that_fails_before_it_has_the_mail_gets_it_later_once(office, faults):
    """A server that hangs, closes, resets or says 4xx before it has taken a mail is asked again later, and has it once."""
    server = Server(**{at: list(each) for at, each in faults.items()})  # it uses them up
    first, last = rounds(office, server, 2)
    assert first == {"pending": 1, "sent": 1}
    assert last == {"sent": 2}
    assert sorted(server.taken.values()) == [1, 1]


AFTER = ["hang", "reset", "close", "take, hang", "take, reset", "take, close"]


@pytest.mark.parametrize("fault", AFTER)
def test_a_reply_lost_after_the_final_dot_is_uncertain_and_never_repeated_unasked(office, fault):
    """A mail whose reply is lost after the final dot is `uncertain`, whether it was taken or not, and is not sent again."""
    server = Server(dot=[fault])
    for said in rounds(office, server, 3):
        assert said == {"uncertain": 1, "sent": 1}
    assert sorted(server.taken.values()) == ([1, 1] if fault.startswith("take") else [1])


def test_an_uncertain_mail_sent_again_is_the_same_byte_for_byte(office):
    """A person who has an uncertain mail sent again has it repeated under the same Message-ID, byte for byte."""
    server = Server(dot=["take, close"])
    first, last = rounds(office, server, 2, resend=True)
    assert first == {"uncertain": 1, "sent": 1}
    assert last == {"sent": 2}
    assert sorted(server.taken.values()) == [1, 2]
    assert all(len(seen) == 1 for seen in server.bytes.values())


def test_a_server_that_says_5xx_is_not_asked_again(office):
    """A recipient whom the server refuses for good is `failed`, and the other has the mail."""
    server = Server(RCPT=["550 no such person"])
    for said in rounds(office, server, 3):
        assert said == {"failed": 1, "sent": 1}
    assert sorted(server.taken.values()) == [1]


def test_a_server_that_is_never_well_is_given_up_after_four_days(office):
    """A server that says 4xx for ever is given up after four days, and the ledger says why."""
    server = Server(RCPT=["450 not now"] * 400)
    said = rounds(office, server, 110)
    assert said[90] == {"pending": 2}
    assert said[-1] == {"failed": 2}
    assert not server.taken
    assert all("450 not now" in row["problem"] for row in ledger.troubled(office.store))
