"""A mail server that keeps to no rule, for the way out for mail alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable

OFFERS = b"250-here\r\n250-SIZE 50000000\r\n250 PIPELINING\r\n"
_WELL = {
    "greeting": b"220 ready\r\n",
    "STARTTLS": b"220 go\r\n",
    "DATA": b"354 go on\r\n",
    "QUIT": b"221 bye\r\n",
    "dot": b"250 taken\r\n",
}


class Rogue:
    """Offers PIPELINING and behaves, save that `faults` says, for a stage, what it does there the next times.

    A stage is ``greeting``, ``EHLO``, ``STARTTLS``, ``MAIL``, ``RCPT``, ``DATA``, ``body`` (once some of a mail has come),
    ``dot``, ``RSET``; what it does, in turn: write these bytes, ``hang``, ``close``, ``reset``, ``take`` the mail, ``drip`` the
    usual answer byte by byte, ``trickle`` lines for ever, ``break`` TLS, ``well``: behave. `taken` counts mails by recipient,
    `together` says whether commands came in one go, `lone` counts dots without a mail before them. A `deaf` server reads one
    line of what has come and forgets the rest; a `strict` one ends a connection with 421 after so many mails.
    """

    def __init__(
        self,
        faults: dict[str, list[object]] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        deaf: bool = False,
        strict: int = 0,
    ) -> None:
        self.faults = faults or {}
        self.tls = tls
        self.taken: Counter[str] = Counter()
        self.connections = 0
        self.together = False
        self.lone = 0
        self._deaf = deaf
        self._strict = strict
        self._talks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serves on loopback; gives the port."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._talks.add(task)
            with contextlib.suppress(ConnectionError, EOFError, asyncio.CancelledError, ssl.SSLError):
                await self._talk(reader, writer)
            writer.transport.abort()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**24)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for each in self._talks:
                each.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        recipient, mails = "", 0
        await self._answer(writer, "greeting")
        while line := await self._line(reader):
            stage = line.split()[0].decode().upper() if line.strip() else ""
            self.together |= stage == "MAIL" and bool(reader._buffer)
            if stage == "MAIL" and self._strict and mails == self._strict:
                writer.write(b"421 enough for one connection\r\n")
                return
            if stage == "RCPT":
                recipient = line.decode().partition("<")[2].partition(">")[0]
            answer = await self._answer(writer, stage)
            if stage == "QUIT":
                return
            if stage == "STARTTLS" and self.tls and answer.startswith(b"220"):
                await writer.start_tls(self.tls)
            if stage == "DATA" and answer.startswith(b"354"):
                if self.faults.get("body"):
                    await reader.read(10)
                    writer.transport.pause_reading()
                    await self._answer(writer, "body")
                # A mail that is empty has but its dot.
                if await reader.readexactly(3) == b".\r\n":
                    self.lone += 1
                    recipient = ""
                else:
                    await reader.readuntil(b"\r\n.\r\n")
                await self._answer(writer, "dot", recipient)
                mails += 1

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        if not self._deaf:
            return await reader.readline()
        return (await reader.read(65536)).partition(b"\r\n")[0] + b"\r\n"

    async def _answer(self, writer: asyncio.StreamWriter, stage: str, recipient: str = "") -> bytes:
        waiting = self.faults.get(stage)
        acts = waiting.pop(0) if waiting else "well"
        if acts == "well" and stage == "dot" and recipient:
            self.taken[recipient] += 1
        answer = b""
        for act in acts if isinstance(acts, tuple) else (acts,):
            if act == "take":
                self.taken[recipient] += 1
            elif act in {"hang", "close", "reset"}:
                await self._end(writer, act)
            elif act == "break":
                os.write(writer.get_extra_info("socket").fileno(), b"this is no TLS")
            elif act == "trickle":
                await self._drip(writer, itertools.cycle(b"250-and\r\n"), 0.1)
            else:
                answer = act if isinstance(act, bytes) else self._well(writer, stage)
                await self._drip(writer, answer, 0) if act == "drip" else writer.write(answer)
        await writer.drain()
        return answer

    async def _end(self, writer: asyncio.StreamWriter, act: object) -> None:
        if act == "hang":
            await asyncio.Event().wait()
        if act == "close":
            writer.close()
        else:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        raise EOFError

    async def _drip(self, writer: asyncio.StreamWriter, answer: Iterable[int], pause: float) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)

    def _well(self, writer: asyncio.StreamWriter, stage: str) -> bytes:
        if stage == "EHLO":
            secret = writer.get_extra_info("sslcontext") is not None
            return OFFERS if secret or not self.tls else OFFERS.replace(b"250 ", b"250-STARTTLS\r\n250 ")
        return _WELL.get(stage, b"250 well\r\n")
