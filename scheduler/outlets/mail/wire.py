"""One SMTP connection past its greeting, TLS and login."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import NamedTuple

from scheduler.outlets.mail.envelope import printable

_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_LONGEST = 16 * 1024
"""Bytes of one reply; RFC 5321 section 4.5.3.1.5 allows 512 a line."""
_PART_FOR = 5.0


class Reply(NamedTuple):
    """What a server answered to one command: its code, and its text, of all lines."""

    code: int
    text: str

    @property
    def status(self) -> str | None:
        """The enhanced code (RFC 3463) that it begins with, where it is one and of the class of the reply."""
        found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)", self.text)
        return found[0] if found and found[0][0] == str(self.code)[0] else None

    def __str__(self) -> str:
        return printable(f"{self.code} {self.text}")


class Lost(Exception):
    """The connection can't be used any more; the text says why, as the end of a sentence."""


class Wire(asyncio.Protocol):
    """Commands out, replies in, in their order; a server that says more than it was asked is left at once.

    The connection is `transport`, which is taken over from whoever opened it. `pipelining` (RFC 2920) and `sizes` (RFC 1870)
    are what the server offers, `mails` how many it has taken on it, `opened` the loop's time at which it began. `astray` is set
    where it said what nobody asked, or nothing that is a reply: what it said before may have answered something else; `late`
    where it owed a reply for too long.
    """

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool, sizes: bool) -> None:
        self.pipelining = pipelining
        self.sizes = sizes
        self.mails = 0
        self.astray = False
        self.late = False
        self._loop = asyncio.get_running_loop()
        self.opened = self._loop.time()
        self.over = self._loop.create_future()
        self._transport = transport
        self._received = bytearray()
        self._reply: list[str] = []
        self._code = b""
        self._size = 0
        self._replies: deque[Reply] = deque()
        self._owed = 0
        self._full = False
        self._lost: str | None = None
        self._news: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Writing waits until the kernel has everything: so we know that no final dot was sent.
        transport.set_write_buffer_limits(high=0)
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether, for all that is known, the server still listens."""
        return self._lost is None and not self._transport.is_closing()

    def ask(self, *commands: str) -> None:
        """Writes commands in one go. The server owes a reply to each."""
        self._owed += len(commands)
        self._transport.write("".join(f"{command}\r\n" for command in commands).encode("ascii"))

    async def reply(self, seconds: float) -> Reply:
        """The next reply; raises :class:`Lost` where none comes any more, or none for so many seconds."""
        while not self._replies:
            await self._wait(seconds)
        return self._replies.popleft()

    async def body(self, data: bytes, seconds: float) -> None:
        """Writes a mail without its final dot. :class:`Lost`: the server did not get all of it, or did not want it."""
        self._transport.write(data)
        while self._full:
            await self._wait(seconds)
        if not self.usable:
            raise Lost(self._lost or "the connection was lost")

    def dot(self) -> None:
        """Writes the final dot, to which a reply is owed."""
        self._owed += 1
        self._transport.write(b".\r\n")

    def rest(self, seconds: float) -> None:
        """Lets it lie idle, for so long at most; see `wake`."""
        self._timer = self._loop.call_later(seconds, self.part)

    def wake(self) -> None:
        """Ends its rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def part(self) -> None:
        """Says goodbye and closes when that is answered, or after a moment all the same."""
        self.wake()
        self.ask("QUIT")
        self._lost = "the connection was closed"
        self._timer = self._loop.call_later(_PART_FOR, self._transport.abort)

    def abort(self, why: str = "the connection was given up") -> None:
        """Closes at once, whatever the server does."""
        self._lost = self._lost or why
        self._transport.abort()
        self._tell()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._received += data
        while (end := self._received.find(b"\n")) >= 0:
            line = bytes(self._received[:end]).removesuffix(b"\r")
            del self._received[: end + 1]
            found = _LINE.fullmatch(line)
            if found is None or (self._code and self._code != found[1]):
                return self._stray(f"it answered '{printable(line.decode('utf-8', 'replace'))}'")
            self._code, self._size = found[1], self._size + len(line)
            self._reply.append((found[3] or b"").decode("utf-8", "replace").strip())
            if found[2] != b"-" and not self._complete():
                return None
        if self._size + len(self._received) > _LONGEST:
            self._stray("its answer had no end")
        elif self._received and not self._owed:
            self._stray("it said more than it was asked")
        elif self._replies:  # only whole ones are news: a server that drips must not have for ever
            self._tell()
        return None

    def eof_received(self) -> None:
        """Part of asyncio's protocol: the connection closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._lost = self._lost or f"the connection was {'lost' if exc else 'closed'}"
        self.wake()
        if not self.over.done():
            self.over.set_result(None)
        self._tell()

    def pause_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._full = True

    def resume_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._full = False
        self._tell()

    def _complete(self) -> bool:
        """Takes a reply down; whether one was owed."""
        reply = Reply(int(self._code), " ".join(self._reply))
        self._reply, self._code, self._size = [], b"", 0
        if not self._owed:
            # A server may end a connection at any moment by saying 421 (RFC 5321 section 3.8).
            end = self.abort if reply.code == 421 else self._stray
            end(f"it said '{reply}' before it was asked")
            return False
        self._owed -= 1
        self._replies.append(reply)
        if self._lost is not None and not self._owed:  # the answer to the goodbye
            self._transport.close()
        return True

    def _tire(self, seconds: float) -> None:
        self.late = True
        self.abort(f"it said nothing for {seconds:g} s")

    def _stray(self, why: str) -> None:
        self.astray = True
        self.abort(why)

    async def _wait(self, seconds: float) -> None:
        """Waits for news: a reply, room to write, the end."""
        if self._lost is not None:
            raise Lost(self._lost)
        self._news = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._tire, seconds)
        try:
            await self._news
        finally:
            timer.cancel()
            self._news = None

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
