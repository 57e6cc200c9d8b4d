"""What surrounds the real service under fire: a wall clock that can be set, a bad mail server, a look into the store."""

from __future__ import annotations

import asyncio
import contextlib
import email
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import libfaketime
import pytest
from conftest import SQLITE, DatabaseErrors, House, eventually

_FAKETIME = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


class WallClock:
    """The wall clock of all processes started after it was made: the true one, and a step. By libfaketime; on Linux alone."""

    def __init__(self, file: Path, patch: pytest.MonkeyPatch) -> None:
        self._file = file
        self.step = timedelta()
        self.set(self.step)
        patch.setenv("LD_PRELOAD", str(_FAKETIME))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        # A step of the wall clock moves neither the steady clock nor the times of files.
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        patch.setenv("NO_FAKE_STAT", "1")
        # Its mending of waits on the steady clock, on by itself with newer glibc, makes threads wait for seconds.
        patch.setenv("FAKETIME_FORCE_MONOTONIC_FIX", "0")
        self._check()

    def _check(self) -> None:
        """The package brings one machine's library: elsewhere the system's own would have to be named."""
        self.set(timedelta(days=9))
        shown = subprocess.run(["date", "+%s"], check=True, capture_output=True).stdout
        if not timedelta(days=8) < datetime.fromtimestamp(int(shown), UTC) - datetime.now(UTC) < timedelta(days=10):
            # Its wheel has the library for one kind of machine; on others no clock but the host's own could be set.
            pytest.skip("libfaketime's library is not for this machine")
        self.set(timedelta())

    def set(self, step: timedelta) -> None:
        """Makes the wall clock show the true time and `step`, at once and in every process."""
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(f"{step.total_seconds():+.6f}\n")
        unfinished.replace(self._file)
        self.step = step

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.step


def start(house: House, *launcher: str) -> subprocess.Popen[bytes]:
    """Starts the service as `House.start` does, with its log through a pipe: no limit on its files keeps it from speaking."""
    seen = house.log.count("service_ready")
    service = subprocess.Popen(
        [sys.executable, *launcher, "-m", "scheduler", "run", "--verbose"],
        cwd=house.folder,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=_copy, args=(service, house.folder / "service.log"), daemon=True).start()
    house.service = service
    eventually(lambda: house.log.count("service_ready") > seen, "the service to be ready")
    return service


def _copy(service: subprocess.Popen[bytes], target: Path) -> None:
    assert service.stderr is not None
    with service.stderr, target.open("ab", buffering=0) as log:
        for line in service.stderr:
            log.write(line)


@contextlib.contextmanager
def no_room(*pids: int, beyond: int = 0) -> Iterator[None]:
    """A full disk, for these processes (0: this one): no file of theirs may grow beyond so many bytes, or be written there."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def child(house: House, name: str) -> int:
    """The process id of the newest child of this name."""
    return int(eventually(lambda: re.findall(rf"child_started child={name} pid=(\d+)", house.log), f"the {name}")[-1])


def rows(house: House, query: str) -> list[tuple[Any, ...]]:
    """The rows that the running service's database gives; none while it is being made."""
    if not (house.folder / "var" / "embargo.db").exists() and house.database == SQLITE:
        return []
    try:
        return house.raw(query)
    except DatabaseErrors.not_there as error:
        if "no such table" not in str(error) and "does not exist" not in str(error):
            raise
        return []


def state(house: House, record_id: str) -> str | None:
    found = rows(house, f"SELECT state FROM records WHERE id = '{record_id}'")
    return found[0][0] if found else None


def released_at(house: House, record_id: str) -> datetime:
    [(micros,)] = rows(house, f"SELECT released_at FROM records WHERE id = '{record_id}'")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


class Server:
    """An SMTP server that behaves, save that `faults` says, for a stage, what it does there the next times.

    A stage is ``greeting``, ``EHLO``, ``MAIL``, ``RCPT``, ``DATA`` or ``dot``; a fault is ``hang``, ``reset``, ``close``, or a
    reply. After ``take`` (``take, close``) the mail has been taken all the same. `taken` counts what was, by Message-ID; `heard`
    has each subject, and when it came, by the true clock. `slow` is the seconds it takes over a mail before it answers.
    """

    def __init__(self, *, slow: float = 0.0, **faults: list[str]) -> None:
        self._slow = slow
        self.faults = faults
        self.taken: Counter[str] = Counter()
        self.bytes: dict[str, set[bytes]] = {}
        self.heard: list[tuple[str, datetime]] = []
        self._over = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serves on loopback; gives the port."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24) as server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                self._over.set()

    @contextlib.contextmanager
    def apart(self) -> Iterator[int]:
        """Serves from a thread of its own; gives the port."""
        ports: list[int] = []
        ready, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

        async def serve() -> None:
            async with self.running() as port:
                ports.append(port)
                ready.set()
                await over.wait()

        thread = threading.Thread(target=_run, args=(loop, serve()))
        thread.start()
        ready.wait()
        try:
            yield ports[0]
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            going = await self._answer(writer, "greeting", b"220 ready")
            while going and (line := await reader.readline()):
                match stage := line[:4].decode().upper().strip():
                    case "EHLO":
                        going = await self._answer(writer, stage, b"250 here")
                    case "DATA":
                        going = await self._answer(writer, stage, b"354 go on")
                        if going == b"354 go on":
                            going = await self._mail(writer, await reader.readuntil(b"\r\n.\r\n"))
                    case "QUIT":
                        going = await self._answer(writer, stage, b"221 bye") and b""
                    case _:
                        going = await self._answer(writer, stage, b"250 well")
        writer.close()

    async def _mail(self, writer: asyncio.StreamWriter, data: bytes) -> bytes:
        fault = self.faults.get("dot") or [""]
        if fault[0] in {"", "250 taken"} or fault[0].startswith("take"):
            mail = email.message_from_bytes(data)
            name = mail["Message-ID"]
            self.heard.append((mail["Subject"], datetime.now(UTC)))
            self.taken[name] += 1
            self.bytes.setdefault(name, set()).add(data)
        await asyncio.sleep(self._slow)
        return await self._answer(writer, "dot", b"250 taken")

    async def _answer(self, writer: asyncio.StreamWriter, stage: str, well: bytes) -> bytes:
        """Does what this stage is to do; gives the reply, empty where the connection is at its end."""
        waiting = self.faults.get(stage)
        match fault := (waiting.pop(0) if waiting else "").removeprefix("take, "):
            case "hang":
                await self._over.wait()
                return b""
            case "close":
                return b""
            case "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return b""
        reply = fault.encode() or well
        writer.write(reply + b"\r\n")
        await writer.drain()
        return reply


def _run(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def until(instant: float) -> bool:
    """Whether this much of the monotonic clock has passed; for `eventually`, where time itself is the event."""
    return time.monotonic() >= instant
