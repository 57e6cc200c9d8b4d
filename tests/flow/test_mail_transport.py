from __future__ import annotations

import asyncio
import email
import mailbox
import ssl
import stat
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from email import policy
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from scheduler.errors import ConfigRefused, DeliveryFailed
from scheduler.outlets.mail import transport

MAIL = {
    "message": b"From: press@example.org\r\nMessage-ID: <one@example.org>\r\nSubject: Dialogue\r\n\r\n.Held words\r\n..\r\n",
    "sender": "Press Office <press@example.org>",
    "recipient": "Desk <desk@example.org>",
}
# A key and a certificate for localhost and 127.0.0.1, valid until 2120, made for these tests and good for nothing else.
PEM = (Path(__file__).parents[1] / "loopback.pem").read_text()


class Inbox:
    """What an aiosmtpd server took: envelopes, and how many connections brought them."""

    def __init__(self) -> None:
        self.envelopes = []
        self.sessions = set()

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        self.sessions.add(session.peer)
        return "250 taken"


@asynccontextmanager
async def real(*, tls=None, from_the_start=False, **options):
    """A real mail server on loopback: its port and its inbox."""
    inbox = Inbox()
    context = None if from_the_start else tls
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(inbox, hostname="localhost", tls_context=context, **options),
        "127.0.0.1",
        0,
        ssl=tls if from_the_start else None,
    )
    try:
        yield server.sockets[0].getsockname()[1], inbox
    finally:
        server.close()


class Hostile:
    """A server that answers as it is told: a reply, several in turn, ``""`` to hang up, ``None`` to say nothing more."""

    def __init__(self, answers) -> None:
        self.answers = {verb: list(each) if isinstance(each, list) else [each] for verb, each in answers.items()}
        self.bodies = []
        self.verbs = []
        self.connections = 0

    async def say(self, writer, verb, otherwise) -> bool:
        told = self.answers.get(verb, [otherwise])
        answer = told.pop(0) if len(told) > 1 else told[0]
        if answer is None:
            await asyncio.Event().wait()
        writer.write(answer.encode())
        return bool(answer)

    async def talk(self, reader, writer) -> None:
        self.connections += 1
        try:
            going = await self.say(writer, "greeting", "220 hello\r\n")
            while going and (line := await reader.readline()):
                verb = line.split()[0].decode().lower()
                self.verbs.append(verb)
                if not (going := await self.say(writer, verb, "354 go on\r\n" if verb == "data" else "250 ok\r\n")):
                    break
                if verb == "data" and self.answers.get("data", ["354"])[0].startswith("354"):
                    if "body" in self.answers:
                        await reader.read(10)
                        break
                    self.bodies.append(await reader.readuntil(b"\r\n.\r\n"))
                    going = await self.say(writer, "dot", "250 taken\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def hostile(**answers):
    """A hostile server on loopback: its port and what it saw."""
    told = Hostile(answers)
    talks = set()

    async def talk(reader, writer):
        talks.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):  # the end of the scene
            await told.talk(reader, writer)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], told
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


@asynccontextmanager
async def sending(url, tmp_path, **more):
    """A transport that is closed in the end."""
    out = transport(url, base=tmp_path, **more)
    try:
        yield out
    finally:
        await out.close()


@pytest.fixture
def certificate(tmp_path):
    (tmp_path / "ca.pem").write_text(PEM)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.pem")
    return context


def failure(tmp_path, *, sent=MAIL, options="", limits=None, **answers) -> DeliveryFailed:
    """How one send to a hostile server fails."""

    async def scene():
        async with (
            hostile(**answers) as (port, _),
            sending(f"smtp://127.0.0.1:{port}{options}", tmp_path, **limits or {}) as out,
        ):
            with pytest.raises(DeliveryFailed) as failed:
                await out.send(**sent)
            return failed.value

    return asyncio.run(scene())


def test_a_server_gets_the_mail_byte_for_byte(tmp_path):
    """A mail server receives exactly the bytes that were made, lines that begin with a dot among them."""

    async def scene():
        async with real() as (port, inbox), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            assert await out.send(**MAIL) == "250 taken"
        (envelope,) = inbox.envelopes
        assert envelope.content == MAIL["message"]
        assert (envelope.mail_from, envelope.rcpt_tos) == ("press@example.org", ["desk@example.org"])

    asyncio.run(scene())


def test_many_mails_share_a_few_connections(tmp_path):
    """Fifty mails go over no more connections than are allowed, which stay open between them."""

    async def scene():
        async with real() as (port, inbox), sending(f"smtp://127.0.0.1:{port}", tmp_path, connections=3) as out:
            await asyncio.gather(*(out.send(**MAIL) for _ in range(49)))
            await out.send(**MAIL)
        assert len(inbox.envelopes) == 50
        assert len(inbox.sessions) <= 3

    asyncio.run(scene())


@pytest.mark.parametrize(
    "mail", [["250 ok\r\n", "", "250 ok\r\n"], ["250 ok\r\n", "421 too many mails on this line\r\n", "250 ok\r\n"]]
)
def test_a_connection_that_the_server_ended_is_opened_again(tmp_path, mail):
    """Where a server has ended an idle connection, the next mail opens another and nobody notices."""

    async def scene():
        async with hostile(mail=mail) as (port, seen), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            for _ in range(3):
                await out.send(**MAIL)
            assert len(seen.bodies) == 3
            assert seen.connections == 2

    asyncio.run(scene())


def test_a_mail_that_was_put_off_goes_out_when_it_is_tried_again(tmp_path):
    """A server that says "later" is asked again later, over the same connection."""

    async def scene():
        dot = ["451 4.7.1 greylisted\r\n", "250 2.0.0 queued as 1\r\n"]
        async with hostile(dot=dot) as (port, seen), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            with pytest.raises(DeliveryFailed, match=r"refused the mail: 451 4\.7\.1 greylisted") as failed:
                await out.send(**MAIL)
            assert not failed.value.final
            assert not failed.value.unknown
            assert await out.send(**MAIL) == "250 2.0.0 queued as 1"
            assert seen.connections == 1

    asyncio.run(scene())


def test_an_address_that_is_refused_does_not_hold_up_the_next(tmp_path):
    """A recipient that a server does not know is given up at once, and the next mail uses the same connection."""

    async def scene():
        rcpt = ["550-5.1.1 no such\r\n550 5.1.1 user\r\n", "250 ok\r\n"]
        async with hostile(rcpt=rcpt) as (port, seen), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            with pytest.raises(
                DeliveryFailed, match=r"refused the recipient: 550 5\.1\.1 no such 5\.1\.1 user"
            ) as failed:
                await out.send(**MAIL)
            assert failed.value.final
            await out.send(**MAIL)
            assert seen.connections == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answers", "final"),
    [
        ({"greeting": "554 not today\r\n"}, False),
        ({"greeting": ""}, False),
        ({"greeting": "hello there\r\n"}, False),
        ({"ehlo": "502 what\r\n"}, False),
        ({"mail": "550 5.7.1 sender not allowed\r\n"}, False),
        ({"mail": "530 5.7.0 log in first\r\n"}, False),
        ({"mail": "552 5.3.4 too big\r\n"}, True),
        ({"mail": ""}, False),
        ({"rcpt": "452 too many\r\n"}, False),
        ({"rcpt": "421 closing down\r\n"}, False),
        ({"rcpt": "550 no such user\r\n"}, True),
        ({"rcpt": "5"}, False),
        ({"rcpt": "nonsense\r\n"}, False),
        ({"data": "554 no valid recipients\r\n"}, True),
        ({"data": "250 what\r\n"}, False),
        ({"data": ""}, False),
        ({"dot": "552 5.3.4 too big\r\n"}, True),
        ({"dot": "421 4.3.2 closing down\r\n"}, False),
    ],
)
def test_a_failure_before_the_end_of_a_mail_is_known_to_be_one(tmp_path, answers, final):
    """A mail that a server refuses, or does not get whole, has not gone out; only a 5xx about it or its recipient is final."""
    failed = failure(tmp_path, limits={"command_for": timedelta(seconds=1)}, **answers)
    assert (failed.final, failed.unknown) == (final, False)
    assert "Held words" not in str(failed)
    assert "\n" not in str(failed)


def test_a_connection_that_breaks_in_the_middle_of_a_mail_has_not_delivered_it(tmp_path):
    """A connection that breaks before the whole mail was handed to it leaves no doubt: the mail is tried again."""
    failed = failure(tmp_path, sent=MAIL | {"message": MAIL["message"] + b"0123456789abcd\r\n" * 1_000_000}, body="")
    assert (failed.final, failed.unknown) == (False, False)


@pytest.mark.parametrize("dot", ["", None, "25", "nonsense\r\n", "350 go on\r\n"])
def test_an_answer_that_is_lost_leaves_the_mail_uncertain(tmp_path, dot):
    """Where a server takes the whole mail and then breaks off, says nothing or talks nonsense, the mail may have gone out."""
    limits = {"reply_for": timedelta(seconds=0.2)}
    failed = failure(tmp_path, limits=limits, dot=dot)
    assert (failed.final, failed.unknown) == (False, True)


def test_a_server_that_is_not_there_is_tried_again_later(tmp_path):
    """A server that can't be reached is nobody's final failure."""

    async def scene():
        async with hostile() as (port, _):
            pass
        async with sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            with pytest.raises(DeliveryFailed, match="can't be reached") as failed:
                await out.send(**MAIL)
            assert (failed.value.final, failed.value.unknown) == (False, False)

    asyncio.run(scene())


def test_a_server_that_says_nothing_is_left_after_a_while(tmp_path):
    """A server that accepts a connection and then keeps silent is left after the time that is set for it."""
    failed = failure(tmp_path, limits={"connect_for": timedelta(seconds=0.2)}, greeting=None)
    assert (failed.final, failed.unknown) == (False, False)


@pytest.mark.parametrize("silent", ["greeting", "ehlo", "mail", "dot"])
def test_a_worker_that_is_stopped_leaves_no_connection_open(tmp_path, silent):
    """A mail that is broken off, whatever the server was doing, leaves no connection behind."""

    async def scene():
        async with hostile(**{silent: None}) as (port, seen), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(out.send(**MAIL), 0.2)
            assert seen.connections == 1
            assert out._idle == []

    asyncio.run(scene())


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_crosses_the_network_encrypted_and_to_the_right_server(tmp_path, certificate, scheme):
    """With STARTTLS or TLS from the start, a mail goes only to a server whose certificate is trusted."""

    async def scene():
        tls = "?tls=starttls" if scheme == "smtp" else "?"
        async with real(tls=certificate, from_the_start=scheme == "smtps") as (port, inbox):
            async with sending(f"{scheme}://127.0.0.1:{port}{tls}&ca=ca.pem".replace("?&", "?"), tmp_path) as out:
                assert await out.send(**MAIL) == "250 taken"
            async with sending(f"{scheme}://127.0.0.1:{port}{tls}".rstrip("?"), tmp_path) as out:
                with pytest.raises(DeliveryFailed, match="can't be trusted: self-signed") as failed:
                    await out.send(**MAIL)
                assert not failed.value.final
            assert len(inbox.envelopes) == 1

    asyncio.run(scene())


def test_a_server_without_starttls_gets_no_mail(tmp_path):
    """A server that does not offer the encryption it must offer is sent nothing."""
    assert "STARTTLS" in str(failure(tmp_path, options="?tls=starttls", ehlo="250 localhost\r\n"))


@pytest.mark.parametrize("right", [True, False])
def test_the_worker_logs_in_and_keeps_the_password_to_itself(tmp_path, certificate, right):
    """The mail worker logs in with user and password; a refusal is nobody's final failure and does not show the password."""

    def check(*seen):
        login = seen[-1]
        return AuthResult(success=(login.login, login.password) == (b"press@example.org", b"sesame"), handled=False)

    async def scene():
        async with real(tls=certificate, authenticator=check, auth_required=True) as (port, inbox):
            url = f"smtp://press%40example.org@127.0.0.1:{port}?tls=starttls&ca=ca.pem"
            async with sending(url, tmp_path, password="sesame" if right else "wrong-word") as out:
                if right:
                    await out.send(**MAIL)
                else:
                    with pytest.raises(DeliveryFailed, match="refused the user or password: 535") as failed:
                        await out.send(**MAIL)
                    assert not failed.value.final
                    assert "wrong-word" not in str(failed.value)
            assert len(inbox.envelopes) == right

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("method", "answer", "problem"),
    [
        ("PLAIN", "535 5.7.8 AUTH PLAIN AHByZXNzAHNlc2FtZQ==\r\n", "refused the user or password: 535 5.7.8."),
        ("CRAM-MD5", "334 a\r\n", "refused the user or password: 334."),
        ("NTLM", "", "can't be used: No suitable authentication method found."),
    ],
)
def test_a_server_that_logs_nobody_in_does_not_get_the_password_into_the_records(tmp_path, method, answer, problem):
    """Where a server quotes the login command or talks nonsense, the report holds no password and the mail is tried again."""

    async def scene():
        answers = {"ehlo": f"250-localhost\r\n250 AUTH {method}\r\n", "auth": answer}
        async with (
            hostile(**answers) as (port, _),
            sending(f"smtp://press@127.0.0.1:{port}", tmp_path, password="sesame") as out,
        ):
            with pytest.raises(DeliveryFailed) as failed:
                await out.send(**MAIL)
            assert str(failed.value) == f"127.0.0.1:{port} {problem}"
            assert not failed.value.final

    asyncio.run(scene())


@pytest.mark.parametrize(
    "message",
    [b"", b"no end", b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\nb\r\n", "é\r\n".encode(), b"a\0\r\n"],
)
def test_a_message_that_could_smuggle_another_is_refused(tmp_path, message):
    """A message with a bare CR or LF, by which a second mail could be smuggled past a server, is not sent."""
    assert failure(tmp_path, sent=MAIL | {"message": message}).final


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b>\r\nRCPT TO:<c@d", "a b@c.org", "jürgen@example.org", "a@.", "<>"]
)
def test_an_address_that_could_become_a_command_is_refused(tmp_path, address):
    """An address that is none, or could be read as an SMTP command, is not used."""
    assert failure(tmp_path, sent=MAIL | {"recipient": address}).final


def test_an_international_domain_is_reached_by_its_ascii_form(tmp_path):
    """Mail to an international domain leaves under the domain's ASCII form."""

    async def scene():
        async with real() as (port, inbox), sending(f"smtp://127.0.0.1:{port}", tmp_path) as out:
            await out.send(**MAIL | {"recipient": "Zoë <zoe@bücher.example>"})
        assert inbox.envelopes[0].rcpt_tos == ["zoe@xn--bcher-kva.example"]

    asyncio.run(scene())


def test_a_maildir_is_read_by_any_mail_program(tmp_path):
    """Mail into a Maildir, which is private to its owner, is read back by any mail program."""

    async def scene():
        async with sending("maildir:var/mail", tmp_path) as out:
            await out.send(**MAIL)
            await out.send(**MAIL | {"message": MAIL["message"].replace(b"<one@", b"\r\n <two@")})

    asyncio.run(scene())
    folder = tmp_path / "var" / "mail"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    box = mailbox.Maildir(
        folder, factory=lambda file: email.message_from_binary_file(file, policy=policy.default), create=False
    )
    assert sorted(each["Message-ID"].strip() for each in box) == ["<one@example.org>", "<two@example.org>"]
    first = next(iter(box))
    assert first["Delivered-To"] == "desk@example.org"
    assert first["Return-Path"] == "<press@example.org>"
    assert first.get_content() == ".Held words\n..\n"
    assert not list((folder / "tmp").iterdir())


def test_a_mail_that_is_repeated_is_not_doubled_in_a_maildir(tmp_path):
    """A mail that is sent again replaces the copy in a Maildir, even where it has been read in between."""

    async def scene():
        async with sending(f"maildir://{tmp_path / 'mail'}", tmp_path / "elsewhere") as out:
            await out.send(**MAIL)
            await out.send(**MAIL)
            (unread,) = (tmp_path / "mail" / "new").iterdir()
            unread.rename(tmp_path / "mail" / "cur" / f"{unread.name}:2,S")
            await out.send(**MAIL)

    asyncio.run(scene())
    assert len(mailbox.Maildir(tmp_path / "mail", create=False)) == 1
    assert not list((tmp_path / "mail" / "new").iterdir())


def test_a_maildir_that_can_not_be_written_is_reported_and_tried_again(tmp_path):
    """A Maildir that can't be written is named with the reason, and the mail is tried again later."""
    (tmp_path / "file").write_text("in the way")

    async def scene():
        async with sending("maildir:file/mail", tmp_path) as out:
            with pytest.raises(DeliveryFailed, match="can't be written: Not a directory") as failed:
                await out.send(**MAIL)
            assert not failed.value.final

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("url", "password", "sentence"),
    [
        ("", None, "must begin with maildir:, smtp:// or smtps://"),
        ("maildir:", None, "must begin with"),
        ("http://example.org", None, "must begin with"),
        ("smtp:///", None, "names no server"),
        ("smtp://example.org:99999", None, "no valid URL"),
        ("smtp://example..org", None, "no valid URL"),
        ("smtp://example.org/inbox", None, "has a path"),
        ("smtp://press:sesame@example.org", "sesame", "password_file"),
        ("smtp://press@example.org", None, "there is no password"),
        ("smtp://example.org", "sesame", "but no user"),
        ("smtp://example.org?starttls=yes", None, "options are tls, ca and timeout"),
        ("smtp://example.org?tls=perhaps", None, "'tls' is starttls or none"),
        ("smtps://localhost?tls=none", None, "only for smtp://"),
        ("smtp://example.org?tls=none", None, "for this machine alone"),
        ("smtp://example.org?timeout=0", None, "whole number of seconds"),
        ("smtp://example.org?ca=nowhere.pem", None, "not a readable PEM file"),
    ],
)
def test_a_transport_that_can_not_be_used_is_refused_with_the_remedy(tmp_path, url, password, sentence):
    """A mail transport that can't be used is refused when the settings are read, with what to write instead."""
    with pytest.raises(ConfigRefused) as refusal:
        transport(url, base=tmp_path, password=password)
    assert any(sentence in problem for problem in refusal.value.problems)
    assert "sesame" not in str(refusal.value)


def test_a_server_has_as_long_as_it_is_given_for_its_answer(tmp_path):
    """The time that a server has to answer after a mail is set in the transport's URL."""
    out = transport("smtps://[::1]?timeout=90", base=tmp_path)
    assert (out._server.reply_for, out._server.port, str(out._server)) == (90, 465, "::1:465")
