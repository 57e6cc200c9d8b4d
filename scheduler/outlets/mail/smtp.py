"""One SMTP server: its connections, its pace, and one mail over one of them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

import aiosmtplib

from scheduler.errors import DeliveryFailed
from scheduler.outlets.mail.envelope import bare, printable, stuffed
from scheduler.outlets.mail.wire import Lost, Reply, Wire

# Replies that blame us or the moment, never the recipient: closing down, a command not known or out of order,
# authentication wanted.
_NOT_THEIRS = frozenset({421, 500, 502, 503, 530, 534, 535, 538})
_LOGIN = frozenset({530, 534, 535, 538})

_IDLE_FOR = 30.0
_OLD_AFTER = 300.0
"""Seconds after which a connection is not used again: behind a name there may be other machines by then."""
_MAILS = 500
"""On one connection; some servers end it after a thousand, some after a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
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


def is_loopback(host: str) -> bool:
    """Whether that is this machine, by name or number."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class _Closed(Exception):
    """A connection that lay idle was over, or out of step; the server has nothing of the mail."""


class Smtp:
    """Keeps connections open between sends, the last used first, and opens another where the server has closed one.

    At most `connections` are open.
    """

    def __init__(self, *, server: Server, connections: int) -> None:
        self._server = server
        self._connections = connections
        self._free = asyncio.Semaphore(connections)
        self._idle: list[Wire] = []
        self._parting: set[asyncio.Future[None]] = set()
        self._one_by_one = False

    def __str__(self) -> str:
        return str(self._server)

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        body = stuffed(message)
        origin, target = bare(sender), bare(recipient)
        async with self._free:
            if wire := self._rested():
                with contextlib.suppress(_Closed):
                    return await self._transact(wire, body, origin, target, reused=True)
            return await self._transact(await self._connected(), body, origin, target, reused=False)

    async def close(self) -> None:
        for _ in range(self._connections):
            await self._free.acquire()
        for wire in self._idle:
            self._part(wire)
        self._idle.clear()
        if self._parting:
            await asyncio.wait(self._parting)
        for _ in range(self._connections):
            self._free.release()

    async def knock(self) -> None:
        """All that comes before a mail, and no mail: connects, secures, logs in, and parts. Raises :class:`DeliveryFailed`."""
        wire = await self._connected()
        wire.part()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await wire.over
        wire.abort()

    def _rested(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            wire.wake()
            if wire.usable:
                return wire
        return None

    def _part(self, wire: Wire) -> None:
        if wire.usable:
            self._parting.add(wire.over)
            wire.over.add_done_callback(self._parting.discard)
            wire.part()

    async def _connected(self) -> Wire:
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
            local_hostname="localhost" if is_loopback(server.host) else None,
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
            problem = f"{server} refused the connection: {Reply(error.code, error.message)}"
        except (aiosmtplib.SMTPException, OSError) as error:
            cause = error if isinstance(error, ssl.SSLError) else error.__cause__
            if isinstance(cause, ssl.SSLError):
                problem = f"{server} can't be trusted: {getattr(cause, 'verify_message', cause.reason)}."
            else:
                verb = "reached" if isinstance(cause, OSError) else "used"
                problem = f"{server} can't be {verb}: {printable(str(cause or '') or str(error))}"
        except asyncio.CancelledError:
            client.close()
            raise
        else:
            if (protocol := client.protocol) and client.is_connected and not protocol._buffer:  # noqa: SLF001 - it shows nowhere else
                return Wire(
                    cast(asyncio.Transport, client.transport),
                    pipelining=client.supports_extension("pipelining"),
                    sizes=client.supports_extension("size"),
                )
            problem = f"{server} can't be used: it said more than it was asked, or closed."
        client.close()
        raise DeliveryFailed(problem, reached=False) from None

    async def _transact(self, wire: Wire, body: bytes, sender: str, recipient: str, *, reused: bool) -> str:
        """One mail over one connection, which is kept only while both sides agree on where they are."""
        size = f" SIZE={len(body)}" if wire.sizes else ""
        sound = False
        try:
            replies, lost = await self._offer(wire, (f"MAIL FROM:<{sender}>{size}", f"RCPT TO:<{recipient}>", "DATA"))
            refused = next((n for n, reply in enumerate(replies) if reply.code // 100 != (3 if n == 2 else 2)), None)
            code = replies[refused].code if refused is not None else 0
            if reused and (wire.astray or code == 421 or 0 < code < 400 or not replies):
                raise _Closed
            if refused is not None:
                if lost is None and code >= 400:
                    sound = await self._reset(wire, begun=replies[-1].code // 100 == 3)
                raise self._refused(wire, replies[refused], refused)
            if lost is not None:
                self._one_by_one |= wire.pipelining and (wire.astray or (wire.late and bool(replies)))
                raise DeliveryFailed(f"{self._server} failed before it had the mail: {lost}.", reached=False, met=True)
            reply = await self._data(wire, body)
            sound = reply.code != 421
            wire.mails += 1
            if reply.code // 100 != 2:
                raise self._refused(wire, reply, 3)
            return str(reply)
        finally:
            if sound and wire.usable:
                self._keep(wire)
            else:
                wire.abort()

    def _keep(self, wire: Wire) -> None:
        if wire.mails >= _MAILS or asyncio.get_running_loop().time() - wire.opened > _OLD_AFTER:
            self._part(wire)
        else:
            self._idle.append(wire)
            wire.rest(_IDLE_FOR)

    async def _offer(self, wire: Wire, commands: Sequence[str]) -> tuple[list[Reply], Lost | None]:
        """The replies to MAIL, RCPT and DATA, in one go where the server takes that (RFC 2920), else up to the first refusal.

        With them, why there were no more.
        """
        replies: list[Reply] = []
        pipelined = wire.pipelining and not self._one_by_one
        try:
            if pipelined:
                wire.ask(*commands)
            for command in commands:
                if not pipelined:
                    if replies and replies[-1].code >= 400:
                        break
                    wire.ask(command)
                replies.append(await wire.reply(self._server.command_for))
        except Lost as lost:
            return replies, lost
        return replies, None

    async def _reset(self, wire: Wire, *, begun: bool) -> bool:
        """Whether both sides are ready for the next mail after a refusal. `begun`: the server waits for a mail all the same."""
        try:
            if begun:  # RFC 2920 section 3.1: a lone dot, whatever is answered to it
                wire.dot()
                await wire.reply(self._server.command_for)
            wire.ask("RSET")
            reply = await wire.reply(self._server.command_for)
        except Lost:
            return False
        wire.astray |= reply.code not in {250, 421}
        return reply.code == 250

    async def _data(self, wire: Wire, body: bytes) -> Reply:
        """The mail itself. What goes wrong before the final dot is written is known not to be delivered; after it, nothing is."""
        try:
            await wire.body(body, self._server.command_for)
        except Lost as lost:
            raise DeliveryFailed(f"{self._server} failed before it had the whole mail: {lost}.") from None
        wire.dot()
        try:
            reply = await wire.reply(self._server.reply_for)
        except Lost as lost:
            problem = f"{self._server} had the whole mail, but its answer was lost: {lost}."
            raise DeliveryFailed(problem, unknown=True) from None
        if reply.code // 100 == 3 or (wire.astray and reply.code >= 400):
            raise DeliveryFailed(f"{self._server} gave no clear answer to the mail: {reply}", unknown=True)
        return reply

    def _refused(self, wire: Wire, reply: Reply, step: int) -> DeliveryFailed:
        """What to make of a reply that is no success, to MAIL, RCPT, DATA or the final dot.

        Nobody is given up for a reply that may belong to something else.
        """
        code = reply.code
        if step == 0 and code == 552:  # RFC 1870 section 6.1: the size that came with it is too much
            step = 2
        what = ("the sender", "the recipient", "the mail", "the mail")[step]
        self._one_by_one |= (
            wire.pipelining and step in {1, 2} and (code < 400 or wire.astray or code in {500, 502, 503})
        )
        final = step > 0 and code >= 500 and code not in _NOT_THEIRS and not wire.astray
        unfit = code < 400 or code in _LOGIN or code == 421 or (step == 0 and code < 500)
        return DeliveryFailed(
            f"{self._server} refused {what}: {reply}",
            final=final,
            status=reply.status,
            reached=step == 3 or not unfit,
            met=step > 0,
        )
