"""The mail worker: a process of its own that sends what the ledger says is owed."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys

from scheduler import clock
from scheduler.config import Config
from scheduler.daemon.log import alarm, failure, say, warn_of
from scheduler.daemon.parts import build
from scheduler.errors import ConfigRefused
from scheduler.permissions import loose
from scheduler.pipeline.deliver import Postroom
from scheduler.pipeline.fence import heed_site
from scheduler.store import fence, open_store

_PAUSE = 0.2
_AFTER_TROUBLE = 5.0


def greeting(settings: Config) -> bytes:
    """What the service says to its worker: the text of the settings it runs on, with its length before it."""
    return len(settings.text).to_bytes(8, "big") + settings.text


def greeted() -> bytes:
    """The text of the settings, read from the service at the other end of standard input."""
    length = int.from_bytes(_exactly(8), "big")
    return _exactly(length)


def _exactly(count: int) -> bytes:
    # Not through sys.stdin's buffer: what comes after is for the event loop to see.
    data = b""
    while len(data) < count:
        part = os.read(sys.stdin.fileno(), count - len(data))
        if not part:
            raise EOFError("the service is gone")
        data += part
    return data


def run(settings: Config, *, leash: bool, once: bool = False) -> None:
    """Sends until SIGTERM or SIGINT, then finishes what it has in hand.

    With `leash` it also ends when its standard input does: the service holds the other end. With `once` it ends when
    nothing is due any more.
    """
    if settings.mail is None:
        raise ConfigRefused([f"{settings.file}: there is no `mail` section, so there is nothing for a worker to send."])
    asyncio.run(_run(settings, leash=leash, once=once))


async def _run(settings: Config, *, leash: bool, once: bool) -> None:
    assert settings.mail is not None
    parts = build(settings)
    store = open_store(settings.database)
    heed_site(store, folder=settings.site.folder)
    if once:
        fence.require(store)
    fenced = False
    postroom = Postroom(
        store=store,
        transport=parts.transport(),
        environment=parts.environment,
        newsroom=parts.newsroom,
        sender=settings.mail.sender,
        lists=parts.lists,
        worker=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        clock=clock.system,
    )
    stop = asyncio.Event()
    _heed(stop, leash=leash)
    if not leash:  # the service has said it in the same log
        warn_of(loose(settings.private))
    say("worker_ready", pid=os.getpid())
    while not stop.is_set():
        pause = _PAUSE
        try:
            was, fenced = fenced, bool(fence.examine(store).why)
            if fenced and not was:
                alarm("mail_fenced")
            taken = 0 if fenced else await postroom.step()
            if taken:
                say("mail_round", mails=taken)
                pause = 0.0
            elif once:
                break
        except Exception:  # noqa: BLE001 - a locked database or a full disk passes; the leases say what was in hand
            failure("mail_failed")
            pause = _AFTER_TROUBLE
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue
    if leash:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    await postroom.close()
    store.close()
    say("worker_stopped")


def _heed(stop: asyncio.Event, *, leash: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if leash:
        loop.add_reader(sys.stdin.fileno(), _pulled, stop)


def _pulled(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()
