"""How a process of ours is told what the service runs on, and learns that the service is gone: by its standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


def greeting(text: bytes) -> bytes:
    """What the service says to a process, such as the text of the settings it runs on, with its length before it."""
    return len(text).to_bytes(8, "big") + text


def greeted() -> bytes:
    """What the service says, read from the other end of standard input. Raises :class:`EOFError` where it is gone."""
    return _exactly(int.from_bytes(_exactly(8), "big"))


def _exactly(count: int) -> bytes:
    # Not through sys.stdin's buffer: what comes after is for the event loop to see.
    data = b""
    while len(data) < count:
        part = os.read(sys.stdin.fileno(), count - len(data))
        if not part:
            raise EOFError("the service is gone")
        data += part
    return data


def heed(stop: asyncio.Event, *, leash: bool) -> None:
    """Sets `stop` at SIGTERM and SIGINT, and with `leash` when standard input ends."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if leash:
        loop.add_reader(sys.stdin.fileno(), _pulled, stop)


def slip() -> None:
    """Heeds standard input no more: the process is about to end."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def _pulled(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        slip()
        stop.set()
