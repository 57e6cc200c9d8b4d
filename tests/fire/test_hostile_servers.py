"""Mail servers that hang, lie, lose their place or break off, met by the way out for mail itself.

Each case says what is known of a mail after one try; then the next mail goes to the same server, which has come to its senses.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from rogue import OFFERS, Rogue

from scheduler.errors import DeliveryFailed
from scheduler.outlets.mail import transport

MESSAGE = b"From: press@example.org\r\nMessage-ID: <one@example.org>\r\n\r\nHeld words\r\n"
LONG = MESSAGE + b"0123456789abcd\r\n" * 1_300_000
SHORT = timedelta(seconds=1)
ENDLESS = b"250-and so on\r\n" * 5000
NOISE = b"\x16\x03\x01\x00garbage\xff\r\n"
PEM = Path(__file__).parents[1] / "loopback.pem"


@asynccontextmanager
async def facing(rogue, tmp_path, *, limits=SHORT, **more):
    """The way out to a server, and a function that sends one mail and says what is known of it."""
    async with rogue.running() as port:
        out = transport(
            f"smtp://127.0.0.1:{port}{f'?tls=starttls&ca={PEM}' if rogue.tls else ''}",
            base=tmp_path,
            connect_for=limits,
            command_for=limits,
            reply_for=limits,
            **more,
        )

        told = []

        async def send(recipient, message=MESSAGE):
            try:
                await out.send(message=message, sender="press@example.org", recipient=recipient)
            except DeliveryFailed as failed:
                told.append(str(failed))
                return "unknown" if failed.unknown else "final" if failed.final else "not"
            return "sent"

        try:
            yield send
        finally:
            await out.close()
        assert not any("\n" in each or "Held words" in each for each in told)


def name(case):
    stage, acts, *_ = case
    return f"{stage} {acts!r:.50}"


ANYWHERE = [
    "hang",
    "close",
    "reset",
    (b"421 4.3.2 closing down\r\n", "close"),
    b"450 4.7.1 later\r\n",
    NOISE,
    (b"25", "hang"),
    (b"25", "close"),
    (b"250-one\r\n", "close"),
    b"250-one\r\n251 two\r\n",
    b"x" * 100_000,
    ENDLESS,
    "trickle",
]
BEFORE = [
    *[("greeting", each, "not") for each in ANYWHERE],
    *[("EHLO", each, "not") for each in [*ANYWHERE, b"502 what\r\n", OFFERS + b"250 well\r\n", OFFERS + b"2"]],
    *[("MAIL", each, "not") for each in [*ANYWHERE, b"550 5.7.1 not you\r\n", b"250 well\r\n250 well\r\n"]],
    *[("RCPT", each, "not") for each in [*ANYWHERE, b"500 what\r\n", b"250 well\r\n250 well\r\n", b"354 go on\r\n"]],
    ("MAIL", b"250 well\r\n550 5.1.1 whose is this?\r\n", "not"),
    *[
        ("DATA", each, "not")
        for each in [*ANYWHERE, b"250 well\r\n", b"354 go on\r\n250 taken\r\n", (b"354-go\r\n", "close")]
    ],
    ("RCPT", b"550 5.1.1 no such person\r\n", "final"),
    ("RCPT", (b"550 5.1.1 no such person\r\n", "close"), "final"),
    ("DATA", b"554 5.7.1 no\r\n", "final"),
    ("dot", b"451 4.3.0 later\r\n", "not"),
    ("dot", b"421 4.3.2 closing down\r\n", "not"),
    ("dot", (b"421 4.3.2 closing down\r\n", "close"), "not"),
    ("dot", b"552 5.3.4 too long\r\n", "final"),
    ("dot", (b"554 5.7.1 no\r\n", "close"), "final"),
    ("dot", (b"552 5.3.4 too long\r\n421 bye\r\n", "close"), "final"),
    ("RCPT", (b"550 5.1.1 no such person\r\n421 bye\r\n", "close"), "final"),
]


@pytest.mark.parametrize("case", BEFORE, ids=name)
def test_a_server_that_fails_before_it_has_a_mail_never_has_it_twice(tmp_path, case):
    """Whatever a server does before it has said that it took a mail: it is known not to be delivered, and can be sent again."""
    stage, acts, known = case
    rogue = Rogue({stage: [acts]})

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org") == known
            assert not rogue.taken
            assert await send("second@example.org") == "sent"
            assert await send("first@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"first@example.org": 1, "second@example.org": 1}


@pytest.mark.parametrize("stage", ["RCPT", "MAIL"])
@pytest.mark.parametrize("dot", [b"554 5.5.1 nobody to send it to\r\n", b"250 whatever\r\n"])
def test_a_server_that_wants_a_mail_for_nobody_gets_an_empty_one(tmp_path, stage, dot):
    """A server that refuses the recipient and asks for the mail all the same gets a lone dot, and the next mail goes as ever."""
    rogue = Rogue({stage: [b"550 5.1.1 no\r\n"], "dot": [dot]})

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org") == ("final" if stage == "RCPT" else "not")
            assert await send("second@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"second@example.org": 1}
    assert (rogue.lone, rogue.connections) == (1, 1)


@pytest.mark.parametrize(
    "acts", ["close", "reset", (b"421 closing\r\n", "close"), (b"552 too long\r\n", "hang"), "hang"]
)
def test_a_server_that_fails_in_the_middle_of_a_mail_has_not_got_it(tmp_path, acts):
    """A server that breaks off, or stops reading, in the middle of a mail is known not to have it."""
    rogue = Rogue({"body": [acts]})

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org", LONG) == "not"
            assert await send("first@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"first@example.org": 1}


AFTER = [
    "hang",
    "close",
    "reset",
    (b"25", "close"),
    (b"250-taken\r\n", "close"),
    (b"2", "hang"),
    NOISE,
    ENDLESS,
    "trickle",
]


@pytest.mark.parametrize(
    "acts", [*AFTER, b"354 go on\r\n", b"250-taken\r\n550 not\r\n", b"451 no\r\n250 yes\r\n"], ids="{!r:.40}".format
)
@pytest.mark.parametrize("taken", [True, False])
def test_a_server_that_fails_after_the_final_dot_leaves_it_unknown(tmp_path, acts, taken):
    """After the final dot nothing but a whole and clear answer is taken for one, whether the server has the mail or not."""
    more = acts if isinstance(acts, tuple) else (acts,)
    rogue = Rogue({"dot": [("take", *more) if taken else more]})

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org") == "unknown"
            assert await send("second@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == ({"first@example.org": 1} if taken else {}) | {"second@example.org": 1}
    assert rogue.connections == 2


@pytest.mark.parametrize("offered", [True, False])
def test_commands_go_in_one_write_only_where_the_server_offers_it(tmp_path, offered):
    """The commands before a mail go in one write to a server that offers PIPELINING, and one by one to any other."""
    rogue = Rogue({} if offered else {"EHLO": [b"250-here\r\n250 HELP\r\n"]})

    async def scene():
        async with facing(rogue, tmp_path, limits=timedelta(seconds=30)) as send:
            assert await send("first@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.together == offered


STRAYS = [
    b"250 huh\r\n",
    b"550 5.1.1 huh\r\n",
    b"421 idle\r\n",
    b"354 go on\r\n",
    b"2",
    NOISE,
    b"250 a\r\n250 b\r\n354 c\r\n",
]


@pytest.mark.parametrize("stray", STRAYS, ids=repr)
def test_a_server_that_says_more_than_it_was_asked_is_left(tmp_path, stray):
    """An answer too many can't be taken for the answer to the next mail: the connection is given up, the mails are not."""
    rogue = Rogue({"dot": [("take", b"250 taken\r\n" + stray)]})

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org") == "sent"
            assert await send("second@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"first@example.org": 1, "second@example.org": 1}
    assert rogue.connections == 2


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
def test_an_answer_that_comes_byte_by_byte_is_an_answer(tmp_path, stage):
    """A server whose answers come in pieces is understood."""
    rogue = Rogue({stage: [("take", "drip") if stage == "dot" else "drip"]})

    async def scene():
        async with facing(rogue, tmp_path, limits=timedelta(seconds=30)) as send:
            assert await send("first@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.connections == 1


def test_a_server_that_takes_one_command_at_a_time_is_spoken_to_so(tmp_path):
    """A server that offers PIPELINING and then reads but one command is noticed, and has one at a time from then on."""
    rogue = Rogue(deaf=True)

    async def scene():
        async with facing(rogue, tmp_path) as send:
            assert await send("first@example.org") == "not"
            assert not rogue.taken
            assert await send("first@example.org") == "sent"
            assert await send("second@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"first@example.org": 1, "second@example.org": 1}


def test_a_server_that_ends_each_connection_after_some_mails_gets_them_all(tmp_path):
    """A server that takes two mails a connection gets all of thirty, each once, and none fails."""
    rogue = Rogue(strict=2)

    async def scene():
        async with facing(rogue, tmp_path, limits=timedelta(seconds=30), connections=4) as send:
            known = await asyncio.gather(*(send(f"reader{n}@example.org") for n in range(30)))
            assert set(known) == {"sent"}

    asyncio.run(scene())
    assert set(rogue.taken.values()) == {1}
    assert len(rogue.taken) == 30


def context():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(PEM)
    return tls


def test_what_was_said_before_tls_counts_for_nothing(tmp_path):
    """What somebody slipped in before TLS began, as an answer or an offer, is forgotten (RFC 3207 section 6)."""
    slipped_in = b"220 go\r\n250-here\r\n250 PIPELINING\r\n250 well\r\n250 well\r\n354 go on\r\n250 taken\r\n"
    before = b"250-here\r\n250-PIPELINING\r\n250-SIZE 10\r\n250 STARTTLS\r\n"
    rogue = Rogue({"EHLO": [before, b"250-here\r\n250 HELP\r\n"], "STARTTLS": [slipped_in]}, tls=context())

    async def scene():
        async with facing(rogue, tmp_path, limits=timedelta(seconds=30)) as send:
            assert await send("first@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"first@example.org": 1}
    assert not rogue.together


@pytest.mark.parametrize(
    ("stage", "acts", "known"),
    [
        ("STARTTLS", (b"220 go\r\n", "close"), "not"),
        ("STARTTLS", (b"220 go\r\n", "reset"), "not"),
        ("STARTTLS", b"454 not now\r\n", "not"),
        *[(stage, act, "not") for stage in ("MAIL", "DATA") for act in ("break", "close", "reset")],
        *[("dot", act, "unknown") for act in ("break", "close", "reset")],
    ],
)
def test_tls_that_fails_in_the_middle_is_a_connection_that_fails(tmp_path, stage, acts, known):
    """Where TLS breaks, a mail is known not to be delivered, or unknown once its final dot is written; the next goes as ever."""
    rogue = Rogue({stage: [acts]}, tls=context())

    async def scene():
        async with facing(rogue, tmp_path, limits=timedelta(seconds=5)) as send:
            assert await send("first@example.org") == known
            assert await send("second@example.org") == "sent"

    asyncio.run(scene())
    assert rogue.taken == {"second@example.org": 1}
