"""The mail worker: a process of its own that sends what the ledger says is owed."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from scheduler import clock
from scheduler.config import Config
from scheduler.errors import ConfigRefused
from scheduler.leash import heed, slip
from scheduler.log import alarm, failure, say, warn_of
from scheduler.parts import build
from scheduler.permissions import loose
from scheduler.pipeline import reports
from scheduler.pipeline.deliver import LOOK_EVERY, Postroom
from scheduler.pipeline.fence import heed_site
from scheduler.store import Store, fence, open_store, subscribers
from scheduler.store.duties import Duty, Work

_AFTER_TROUBLE = 5.0
_LOOK_BESIDE_JOBS = 1.0


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
    fence.refuse_moved(store)
    heed_site(store, folder=settings.site.folder)
    if once:
        fence.require(store)
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    postroom = parts.postroom(store, name, clock.system, parts.transport())
    stop = asyncio.Event()
    heed(stop, leash=leash)
    if not leash:  # the service has said it in the same log
        warn_of(loose(settings.private))
    say("worker_ready", pid=os.getpid())
    try:
        if once:
            say("mail_sent", mails=await postroom.drain())
        else:
            watch = _Watch(store)
            postroom.audiences.stopping = stop.is_set
            freeze = _Freezing(store, postroom, watch)
            duties = [
                _over_and_over(stop, partial(postroom.send, stop, may=watch.may)),
                _over_and_over(stop, freeze, every=LOOK_EVERY if store.path is not None else _LOOK_BESIDE_JOBS),
                _over_and_over(stop, partial(_invitations, postroom, watch), every=1.0),
            ]
            if store.path is None:
                from scheduler import fanout  # noqa: PLC0415 - its library is there on PostgreSQL alone

                duties.append(_over_and_over(stop, partial(fanout.work, store, postroom, freeze, stop), every=1.0))
            if (bounces := settings.mail.bounces) is not None and bounces.maildir is not None:
                duties.append(
                    _over_and_over(
                        stop, partial(asyncio.to_thread, _reports, store, bounces.maildir, set(), watch), every=5.0
                    )
                )
            await asyncio.gather(*duties)
    finally:
        await postroom.close()
    if leash:
        slip()
    store.close()
    say("worker_stopped")


class _Watch:
    """Asks, not too often, whether this store may send: a copy of another's may not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = -LOOK_EVERY
        self._fenced = False

    def may(self) -> bool:
        """Whether mail may go out; says it aloud when it may not any more."""
        if time.monotonic() - self._asked >= LOOK_EVERY:
            self._asked = time.monotonic()
            was, self._fenced = self._fenced, bool(fence.examine(self._store).why)
            if self._fenced and not was:
                alarm("mail_fenced")
        return not self._fenced


async def _over_and_over(stop: asyncio.Event, duty: Callable[[], Awaitable[object]], *, every: float = 0.0) -> None:
    """Does it until the stop, with a pause between. Trouble is said, and it is tried again: a locked database or a full disk
    passes, and the leases say what was in hand.
    """
    while not stop.is_set():
        pause = every
        try:
            await duty()
        except Exception:  # noqa: BLE001 - as said
            failure("mail_failed")
            pause = _AFTER_TROUBLE
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


class _Freezing:
    """Reads the lists, and writes down what audiences are owed unless another worker is at it: one fills the database's time."""

    def __init__(self, store: Store, postroom: Postroom, watch: _Watch) -> None:
        self._duty = Duty(store, Work.AUDIENCES)
        self._audiences = postroom.audiences
        self._may = watch.may
        self._busy = asyncio.Lock()

    async def __call__(self) -> None:
        async with self._busy:
            await asyncio.to_thread(self._freeze)

    def _freeze(self) -> None:
        if not self._may():
            return
        self._audiences.read(_said)
        try:
            if self._duty.mine() and (added := self._audiences.freeze(_said)):
                say("audience_frozen", mails=added)
        finally:
            self._duty.drop()


def _said(_name: str, what: object) -> None:
    if isinstance(what, Exception):
        alarm("list_refused", problem=str(what))
    else:
        assert isinstance(what, subscribers.Reading)
        say("list_read", added=what.added, gone=what.gone, total=what.total)


async def _invitations(postroom: Postroom, watch: _Watch) -> None:
    if watch.may() and (sent := await postroom.invite()):
        say("invitations_sent", mails=sent)


def _reports(store: Store, maildir: Path, seen: set[str], watch: _Watch) -> None:
    # What came back for the original is not a copy's to take.
    if watch.may() and (taken := reports.collect(store, maildir, now=clock.system(), seen=seen)):
        say("reports_taken", mails=taken)
