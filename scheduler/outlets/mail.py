"""Where mail leaves: an SMTP server, or a Maildir."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import aiosmtplib

from scheduler import permissions
from scheduler.errors import ConfigRefused, DeliveryFailed

_ATOMS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_ADDRESS = re.compile(rf"{_ATOMS}@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,251}}[A-Za-z0-9])?")
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)
# Replies that blame us or the moment, never the recipient: closing down, authentication wanted, commands out of order.
_NOT_THEIRS = frozenset({421, 503, 530, 534, 535, 538})


class Transport(Protocol):
    """A way out for mail. Many sends may run at once."""

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        """Hands one complete `message` (ASCII, CRLF) over and returns the server's reply, one short line.

        `sender` is where bounces go, `recipient` who gets it; both bare or as ``Name <address>``.

        :raises DeliveryFailed: it was not accepted, or (``unknown``) it may have been
        """

    async def close(self) -> None:
        """Parts from the server in good order. Sends that still run finish first."""


def transport(
    url: str,
    *,
    base: Path,
    password: str | None = None,
    connections: int = 8,
    connect_for: timedelta = timedelta(seconds=30),
    command_for: timedelta = timedelta(minutes=5),
    reply_for: timedelta = timedelta(minutes=10),
) -> Transport:
    """The transport that `url` names; nothing is opened yet.

    - ``maildir:PATH``: a Maildir, made where there is none; PATH is relative to `base`.
    - ``smtp://user@host:587``: STARTTLS is required and the certificate checked. On loopback TLS is not used unless asked for.
    - ``smtps://user@host:465``: TLS from the start.

    ``?tls=starttls`` and, on loopback alone, ``?tls=none`` choose for ``smtp``; ``?ca=FILE`` names the only authorities to
    trust, relative to `base`; ``?timeout=SECONDS`` replaces `reply_for`, the time the server has to take a mail after its
    final dot (that and `command_for`: RFC 5321 section 4.5.3.2). At most `connections` are open at once.

    :raises ConfigRefused: the URL can't be used
    """
    scheme, _, rest = url.partition(":")
    scheme = scheme.lower()
    if scheme == "maildir" and rest.removeprefix("//"):
        return _Maildir(base / rest.removeprefix("//"))
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        port = parts.port or (465 if scheme == "smtps" else 587)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ConfigRefused(["The mail transport is no valid URL; write, for example, smtp://user@host:587."]) from None
    if problems := list(_problems(parts, options, password)):
        raise ConfigRefused(problems)
    security = "tls" if scheme == "smtps" else options.get("tls", "none" if _is_loopback(host) else "starttls")
    try:
        trusted = ssl.create_default_context(cafile=str(base / options["ca"]) if "ca" in options else None)
    except OSError:  # which an ssl.SSLError is too
        raise ConfigRefused([f"The mail transport's 'ca' ({options.get('ca')}) is not a readable PEM file."]) from None
    return _Smtp(
        server=_Server(
            host=host,
            port=port,
            user=unquote(parts.username) if parts.username else None,
            password=password,
            security=security,
            trusted=trusted,
            connect_for=connect_for.total_seconds(),
            command_for=command_for.total_seconds(),
            reply_for=float(options.get("timeout", reply_for.total_seconds())),
        ),
        connections=connections,
    )


def _problems(parts: SplitResult, options: dict[str, str], password: str | None) -> list[str]:
    """One sentence for each thing that is wrong with an SMTP URL."""
    tls = options.get("tls")
    timeout = options.get("timeout", "1")
    checks = {
        "The mail transport must begin with maildir:, smtp:// or smtps://.": parts.scheme not in {"smtp", "smtps"},
        "The mail transport names no server; write, for example, smtp://user@host:587.": not parts.hostname,
        "The mail transport has a path, which a mail server has not.": parts.path not in {"", "/"},
        "The mail transport holds a password; put it into a file and name that as password_file.": parts.password
        is not None,
        "The mail transport names a user but there is no password; name a file with it as password_file.": (
            parts.username and password is None
        ),
        "There is a mail password but no user; write smtp://user@host:587.": password is not None
        and not parts.username,
        "The mail transport's options are tls, ca and timeout.": options.keys() - {"tls", "ca", "timeout"},
        "The mail transport's 'tls' is starttls or none, and only for smtp://.": (
            tls is not None and (tls not in {"starttls", "none"} or parts.scheme == "smtps")
        ),
        "The mail transport's 'tls=none' is for this machine alone: the mail would cross the network in clear.": (
            tls == "none" and not _is_loopback(parts.hostname or "")
        ),
        "The mail transport's 'timeout' is a whole number of seconds above 0.": (
            not (timeout.isascii() and timeout.isdecimal() and int(timeout))
        ),
    }
    return [sentence for sentence, wrong in checks.items() if wrong]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _envelope(mailbox: str) -> str:
    """The bare address, its domain in ASCII. Nothing gets by that could end a command or a header line."""
    address = mailbox.strip()
    if address.endswith(">"):
        address = address[address.rfind("<") + 1 : -1].strip()
    if not _ADDRESS.fullmatch(address):
        local, _, domain = address.rpartition("@")
        with contextlib.suppress(UnicodeError):
            address = f"{local}@{domain.encode('idna').decode()}"
        if not _ADDRESS.fullmatch(address):
            raise DeliveryFailed(
                "The address can't be used: mail goes to ASCII addresses like name@example.org.", final=True
            )
    return address


class _Maildir:
    """A Maildir, written as a delivery agent does: with LF, ``Return-Path`` and ``Delivered-To``.

    A file's name comes from the Message-ID, so that a repeat replaces the first copy, wherever a reader has moved it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        trace = f"Return-Path: <{_envelope(sender)}>\nDelivered-To: {_envelope(recipient)}\n".encode()
        found = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0])
        name = sha256(found[1] if found else message).hexdigest()[:32]
        try:
            await asyncio.to_thread(self._write, name, trace + message.replace(b"\r\n", b"\n"))
        except OSError as error:
            raise DeliveryFailed(f"The Maildir {self._folder} can't be written: {error.strerror}.") from None
        return f"stored as {name}"

    async def close(self) -> None:
        """Nothing is kept open."""

    def _write(self, name: str, data: bytes) -> None:
        for part in ("", "tmp", "cur", "new"):
            permissions.folder(self._folder / part, permissions.PRIVATE)
        unfinished = self._folder / "tmp" / name
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        read = [each for each in os.listdir(self._folder / "cur") if each.startswith(name)]  # noqa: PTH208 - a name is enough
        target = self._folder / "cur" / read[0] if read else self._folder / "new" / name
        unfinished.replace(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """One SMTP server and how to speak to it; times in seconds, ``security`` is none, starttls or tls."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    security: str
    trusted: ssl.SSLContext
    connect_for: float
    command_for: float
    reply_for: float

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Closed(Exception):
    """The server had ended a connection that lay idle; nothing was said on it."""


class _Smtp:
    """Keeps connections open between sends, the last used first, and opens another where the server has closed one."""

    def __init__(self, *, server: _Server, connections: int) -> None:
        self._server = server
        self._connections = connections
        self._free = asyncio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        body = _on_the_wire(message)
        origin, target = _envelope(sender), _envelope(recipient)
        async with self._free:
            if self._idle:
                with contextlib.suppress(_Closed):
                    return await self._transact(self._idle.pop(), body, origin, target, reused=True)
            return await self._transact(await self._connected(), body, origin, target, reused=False)

    async def close(self) -> None:
        for _ in range(self._connections):
            await self._free.acquire()
        for client in self._idle:
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit(timeout=5)
            client.close()
        self._idle.clear()
        for _ in range(self._connections):
            self._free.release()

    async def _connected(self) -> aiosmtplib.SMTP:
        """A new connection, greeted, secured and logged in. No failure of this is the recipient's fault."""
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=server.trusted,
            timeout=server.connect_for,
            local_hostname="localhost" if _is_loopback(server.host) else None,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except aiosmtplib.SMTPAuthenticationError as error:
            # Some servers repeat the command, and the password with it: the codes have to do.
            status = re.match(r"\d\.\d{1,3}\.\d{1,3}\b", error.message)
            problem = f"{server} refused the user or password: {error.code}{f' {status[0]}' if status else ''}."
        except aiosmtplib.SMTPResponseException as error:
            problem = f"{server} refused the connection: {_line(error.code, error.message)}"
        except (aiosmtplib.SMTPException, OSError) as error:
            cause = error if isinstance(error, ssl.SSLError) else error.__cause__
            if isinstance(cause, ssl.SSLError):
                problem = f"{server} can't be trusted: {getattr(cause, 'verify_message', cause.reason)}."
            else:
                verb = "reached" if isinstance(cause, OSError) else "used"
                problem = f"{server} can't be {verb}: {_printable(str(cause or '') or str(error))}"
        except asyncio.CancelledError:
            client.close()
            raise
        else:
            # Writing waits until the kernel has everything: so we know that no final dot was sent.
            cast(asyncio.WriteTransport, client.transport).set_write_buffer_limits(high=0)
            return client
        client.close()
        raise DeliveryFailed(problem) from None

    async def _transact(
        self, client: aiosmtplib.SMTP, body: bytes, sender: str, recipient: str, *, reused: bool
    ) -> str:
        """One mail over one connection, which is kept only while both sides agree on where they are."""
        sound = False
        size = f" SIZE={len(body)}" if client.supports_extension("size") else ""
        steps = (
            (f"MAIL FROM:<{sender}>{size}", "the sender"),
            (f"RCPT TO:<{recipient}>", "the recipient"),
            ("DATA", "the mail"),
        )
        try:
            for command, what in steps:
                first = what == "the sender"
                reply = await self._command(client, command, idle=reused and first)
                if reply.code // 100 != (3 if command == "DATA" else 2):
                    with contextlib.suppress(DeliveryFailed):
                        sound = (await self._command(client, "RSET")).code == 250
                    raise self._refused(reply, what, theirs=not first)
            reply = await self._data(client, body)
            sound = True
            if reply.code // 100 != 2:
                raise self._refused(reply, "the mail", theirs=True)
            return _line(reply.code, reply.message)
        finally:
            if sound and client.is_connected:
                self._idle.append(client)
            else:
                if client.transport is not None:  # close() alone would wait for a server that no longer reads
                    cast(asyncio.WriteTransport, client.transport).abort()
                client.close()

    async def _command(self, client: aiosmtplib.SMTP, command: str, *, idle: bool = False) -> aiosmtplib.SMTPResponse:
        """`idle` says that the connection has lain idle, so that its end means nothing: :class:`_Closed`."""
        try:
            reply = await client.execute_command(command.encode("ascii"), timeout=self._server.command_for)
        except aiosmtplib.SMTPException as error:
            if idle and isinstance(error, aiosmtplib.SMTPServerDisconnected):
                raise _Closed from None
            raise DeliveryFailed(f"{self._server} failed before it had the mail: {_printable(error.message)}") from None
        if idle and reply.code == 421:
            raise _Closed
        return reply

    async def _data(self, client: aiosmtplib.SMTP, body: bytes) -> aiosmtplib.SMTPResponse:
        """The mail itself. What goes wrong before the final dot is written is known not to be delivered; after it, nothing is."""
        protocol = client.protocol
        try:
            if protocol is None:
                raise ConnectionResetError  # with the reply to DATA
            async with asyncio.timeout(self._server.command_for):
                protocol.write(body)
                await protocol._drain_helper()  # noqa: SLF001 - the name by which asyncio's own streams call it
            protocol.write(b".\r\n")
        except OSError:
            raise DeliveryFailed(f"{self._server} failed before it had the whole mail.") from None
        try:
            reply = await protocol.read_response(timeout=self._server.reply_for)
        except aiosmtplib.SMTPException as error:
            problem = f"{self._server} had the whole mail, but its answer was lost: {_printable(error.message)}"
            raise DeliveryFailed(problem, unknown=True) from None
        if reply.code // 100 not in {2, 4, 5}:
            raise DeliveryFailed(f"{self._server} gave no clear answer to the mail: {_line(*reply)}", unknown=True)
        return reply

    def _refused(self, reply: aiosmtplib.SMTPResponse, what: str, *, theirs: bool) -> DeliveryFailed:
        final = theirs and reply.code // 100 == 5 and reply.code not in _NOT_THEIRS
        return DeliveryFailed(f"{self._server} refused {what}: {_line(*reply)}", final=final)


def _on_the_wire(message: bytes) -> bytes:
    """`message` dot-stuffed (RFC 5321 section 4.5.2). A bare CR or LF, by which mails are smuggled, is refused."""
    ends = message.count(b"\r\n")
    whole = message.endswith(b"\r\n") and message.count(b"\r") == ends == message.count(b"\n")
    if not whole or not message.isascii() or b"\0" in message:
        raise DeliveryFailed("The message is not ASCII in lines that end with CRLF; nothing was sent.", final=True)
    return (b"." if message[:1] == b"." else b"") + message.replace(b"\r\n.", b"\r\n..")


def _line(code: int, text: str) -> str:
    return _printable(f"{code} {text}")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()[:200]
