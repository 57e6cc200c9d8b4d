"""Two mail servers, one to fall back on; the pace of mails; connections that rest and grow old."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from test_mail_transport import MAIL, hostile

from scheduler.errors import DeliveryFailed
from scheduler.outlets.mail import relays, smtp, transport

GREETED = ["220 hello\r\n"]


@asynccontextmanager
async def two(tmp_path, *, first, second=None, password=None, user=""):
    """A transport over two hostile servers, and what each saw."""
    async with AsyncExitStack() as stack:
        port, seen = await stack.enter_async_context(hostile(**first))
        other, saw = await stack.enter_async_context(hostile(**second or {}))
        limits = {each: timedelta(seconds=1) for each in ("connect_for", "command_for", "reply_for")}
        fallback = transport(f"smtp://127.0.0.1:{other}", base=tmp_path, **limits)
        out = transport(
            f"smtp://{user}127.0.0.1:{port}",
            base=tmp_path,
            password=password,
            fallback=fallback,
            connections=2,
            **limits,
        )
        yield out, seen, saw
        await out.close()


@pytest.mark.parametrize(
    "first",
    [
        {"greeting": "421 too busy\r\n"},
        {"greeting": "554 not you\r\n"},
        {"greeting": ""},
        {"greeting": None},
        {"ehlo": "421 closing\r\n"},
        {"mail": "421 closing\r\n"},
        {"mail": "452 4.3.1 disk full\r\n"},
        {"mail": "530 5.7.0 log in first\r\n"},
        {"mail": ""},
        {"rcpt": ""},
        {"data": "421 closing\r\n"},
        {"data": "nonsense\r\n"},
    ],
)
def test_a_server_that_can_not_be_used_is_stood_in_for(tmp_path, first):
    """Where the first server can't be reached or used, the mail goes by the fallback, and the reply says so and why."""

    async def scene():
        async with two(tmp_path, first=first) as (out, seen, saw):
            reply = await out.send(**MAIL)
            assert reply.startswith("250 taken (by the fallback: 127.0.0.1:")
            assert (len(seen.bodies), len(saw.bodies)) == (0, 1)

    asyncio.run(scene())


def test_a_server_that_refuses_the_login_is_stood_in_for(tmp_path):
    """Where the first server refuses user and password, the mail goes by the fallback."""
    first = {"ehlo": "250-localhost\r\n250 AUTH PLAIN\r\n", "auth": "535 5.7.8 no\r\n"}

    async def scene():
        async with two(tmp_path, first=first, user="press@", password="sesame") as (out, seen, saw):
            assert "refused the user or password: 535 5.7.8." in await out.send(**MAIL)
            assert (len(seen.bodies), len(saw.bodies)) == (0, 1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"mail": "550 5.7.1 not from you\r\n"}, "not"),
        ({"rcpt": "550 5.1.1 no such user\r\n"}, "final"),
        ({"rcpt": "450 4.2.0 greylisted\r\n"}, "not"),
        ({"dot": "451 4.3.0 later\r\n"}, "not"),
        ({"dot": "421 4.3.2 closing\r\n"}, "not"),
        ({"dot": "554 5.7.1 spam\r\n"}, "final"),
        ({"dot": ""}, "unknown"),
        ({"dot": None}, "unknown"),
        ({"dot": "nonsense\r\n"}, "unknown"),
    ],
)
def test_a_mail_that_was_judged_or_handed_over_does_not_go_by_another_way(tmp_path, first, said):
    """What the first server said about a mail stands, and a mail whose reply was lost there is not sent by the fallback."""

    async def scene():
        async with two(tmp_path, first=first) as (out, _, saw):
            with pytest.raises(DeliveryFailed) as failed:
                await out.send(**MAIL)
            assert (failed.value.final, failed.value.unknown) == (said == "final", said == "unknown")
            assert not saw.bodies

    asyncio.run(scene())


def test_a_server_that_failed_is_left_alone_and_then_tried_with_one_mail(tmp_path, monkeypatch):
    """After a failure the first server is left alone; then one mail tries it, others do not wait for that, and all go back."""

    async def scene():
        first = {"greeting": ["421 busy\r\n", "421 busy\r\n", *GREETED]}
        async with two(tmp_path, first=first) as (out, seen, saw):
            for _ in range(3):
                assert "by the fallback" in await out.send(**MAIL)
            assert seen.connections == 1
            monkeypatch.setattr(out, "_again_at", 0.0)
            replies = await asyncio.gather(*(out.send(**MAIL) for _ in range(5)))
            assert all("by the fallback" in each for each in replies)
            assert seen.connections == 2
            monkeypatch.setattr(out, "_again_at", 0.0)
            replies = await asyncio.gather(*(out.send(**MAIL) for _ in range(5)))
            assert sum("by the fallback" in each for each in replies) == 4
            assert await out.send(**MAIL) == "250 taken"
            assert (len(seen.bodies), len(saw.bodies)) == (2, 12)

    asyncio.run(scene())


def test_a_server_that_fails_again_and_again_is_left_alone_for_longer(tmp_path, monkeypatch):
    """The first server is left alone for half a minute, then a minute, and never for more than five."""
    rests = []

    async def scene():
        async with two(tmp_path, first={"greeting": "421 busy\r\n"}) as (out, seen, _):
            for _ in range(6):
                await asyncio.gather(out.send(**MAIL), out.send(**MAIL))
                rests.append(out._rest_for)
                monkeypatch.setattr(out, "_again_at", 0.0)
            assert seen.connections == 2 + 5

    asyncio.run(scene())
    assert rests == [30, 60, 120, 240, 300, 300]
    assert relays._LONGEST_REST == 300


@pytest.mark.parametrize(
    ("second", "final", "status", "reached"),
    [({"greeting": ""}, False, None, False), ({"rcpt": "550 5.1.1 no\r\n"}, True, "5.1.1", True)],
)
def test_where_the_fallback_fails_too_both_are_named(tmp_path, second, final, status, reached):
    """Where both servers fail, the problem tells of both, and the fallback's verdict counts."""

    async def scene():
        async with two(tmp_path, first={"greeting": "421 busy\r\n"}, second=second) as (out, _, _):
            with pytest.raises(DeliveryFailed, match="421 busy") as failed:
                await out.send(**MAIL)
            assert str(failed.value).count("127.0.0.1:") == 2
            assert (failed.value.final, failed.value.status, failed.value.reached) == (final, status, reached)

    asyncio.run(scene())


def test_a_connection_that_lies_idle_is_closed_and_another_opened_for_the_next_mail(tmp_path, monkeypatch):
    """A connection without mails is closed after a while with a goodbye, before the server loses patience."""
    monkeypatch.setattr(smtp, "_IDLE_FOR", 0.01)

    async def scene():
        async with hostile(quit="221 bye\r\n") as (port, seen):
            out = transport(f"smtp://127.0.0.1:{port}", base=tmp_path)
            await out.send(**MAIL)
            (wire,) = out._idle
            await wire.over
            assert "quit" in seen.verbs
            await out.send(**MAIL)
            assert seen.connections == 2
            await out.close()

    asyncio.run(scene())


@pytest.mark.parametrize(("limit", "value"), [("_MAILS", 2), ("_OLD_AFTER", -1)])
def test_a_connection_is_not_used_for_ever(tmp_path, monkeypatch, limit, value):
    """A connection that has carried many mails, or is old, is closed and the next mail opens another."""
    monkeypatch.setattr(smtp, limit, value)

    async def scene():
        async with hostile() as (port, seen):
            out = transport(f"smtp://127.0.0.1:{port}", base=tmp_path)
            for _ in range(4):
                await out.send(**MAIL)
            assert seen.connections == (2 if limit == "_MAILS" else 4)
            assert seen.verbs.count("quit") >= 1
            await out.close()
            assert len(seen.bodies) == 4

    asyncio.run(scene())


@pytest.mark.parametrize("quit_", [None, "", "nonsense\r\n"])
def test_a_server_that_does_not_answer_the_goodbye_is_left_all_the_same(tmp_path, monkeypatch, quit_):
    """The end of the worker waits for no server's goodbye."""
    monkeypatch.setattr("scheduler.outlets.mail.wire._PART_FOR", 0.05)

    async def scene():
        async with hostile(quit=quit_) as (port, _):
            out = transport(f"smtp://127.0.0.1:{port}", base=tmp_path)
            await out.send(**MAIL)
            await out.close()
            assert out._idle == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("rcpt", "status"),
    [
        ("550 5.1.1 no such user\r\n", "5.1.1"),
        ("550-5.7.26 first\r\n550 5.7.26 second\r\n", "5.7.26"),
        ("450 4.2.2 full\r\n", "4.2.2"),
        ("550 4.2.2 full\r\n", None),
        ("550 2.1.5 what\r\n", None),
        ("550 5.1.1x no\r\n", None),
        ("550 no such user, see 5.1.1\r\n", None),
        ("550 5.1\r\n", None),
        ("550\r\n", None),
    ],
)
def test_a_refusal_tells_its_enhanced_code(tmp_path, rcpt, status):
    """The enhanced code of a refusal (RFC 3463) is known where it stands first and is of the reply's own class."""

    async def scene():
        async with hostile(rcpt=rcpt) as (port, _):
            out = transport(f"smtp://127.0.0.1:{port}", base=tmp_path)
            with pytest.raises(DeliveryFailed) as failed:
                await out.send(**MAIL)
            assert failed.value.status == status
            assert failed.value.reached
            await out.close()

    asyncio.run(scene())
