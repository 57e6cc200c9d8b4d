"""Sends what is owed: freezes audiences, claims, announces, sends, settles."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from jinja2 import Environment

from scheduler.clock import Clock
from scheduler.errors import DeliveryFailed, EmbargoError, RenderRefused
from scheduler.outlets.mail import Transport
from scheduler.record import Delivery, DeliveryState, Purpose, Release
from scheduler.render import Newsroom
from scheduler.render.mail import Letter, addressed, letter, message_id
from scheduler.store import Store, ledger, records
from scheduler.store.ledger import Outcome

WINDOW = 100
"""So many mails are announced at once; as many are `uncertain` at most when a worker is killed."""

LEASE_FOR = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=10)
SETTLE_EVERY = timedelta(seconds=0.5)

_GAPS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
GIVE_UP_AFTER = timedelta(days=4)
"""RFC 5321 section 4.5.4.1 asks for four to five days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailList:
    """A mail list: its name for people, and its recipients, bare or as ``Name <address>``."""

    name: str
    recipients: tuple[str, ...] = field(repr=False)


class Postroom:
    """One worker's hold on the ledger. `worker` is a name no other process has or had."""

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        environment: Environment,
        newsroom: Newsroom,
        sender: str,
        lists: Mapping[str, MailList],
        worker: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._transport = transport
        self._environment = environment
        self._newsroom = newsroom
        self._sender = sender
        self._lists = lists
        self._worker = worker
        self._clock = clock
        self._release: tuple[tuple[str, int, Purpose], Release | None] | None = None
        self._letters: dict[tuple[str, int, Purpose, str], Letter] = {}

    def freeze(self) -> int:
        """Writes down the audience of every mailing that has none yet. Gives how many mails are owed by that."""
        added = 0
        for mailing in ledger.to_freeze(self._store):
            if mailing.purpose is Purpose.RELEASE:
                known = self._lists.get(mailing.list)
                recipients = known.recipients if known else ()
            else:
                recipients = tuple(ledger.earlier_audience(self._store, mailing))
            added += ledger.freeze(self._store, mailing, recipients, now=self._clock())
        return added

    async def step(self) -> int:
        """One round: takes up to `WINDOW` due mails and brings each to an end or back. Gives how many it took."""
        ledger.recover(self._store, now=self._clock())
        self.freeze()
        claimed = ledger.claim(self._store, worker=self._worker, now=self._clock(), lease_for=LEASE_FOR, limit=WINDOW)
        if not claimed:
            return 0
        ready: dict[int, tuple[Delivery, bytes]] = {}
        unready: list[Outcome] = []
        announced: list[tuple[int, str]] = []
        for delivery in claimed:
            try:
                name, message = self._message(delivery)
            except EmbargoError as error:
                unready.append(Outcome(id=delivery.id, state=DeliveryState.FAILED, problem=str(error)))
                continue
            ready[delivery.id] = (delivery, message)
            announced.append((delivery.id, name))
        if unready:
            ledger.settle(self._store, unready, worker=self._worker, now=self._clock())
        mine = ledger.announce(self._store, announced, worker=self._worker, now=self._clock(), lease_for=LEASE_FOR)
        await self._send([ready[delivery_id] for delivery_id, _ in announced if delivery_id in mine])
        return len(claimed)

    def _message(self, delivery: Delivery) -> tuple[str, bytes]:
        release = self._about(delivery)
        key = (delivery.record_id, delivery.revision, delivery.purpose, delivery.list)
        if key not in self._letters:
            if len(self._letters) > WINDOW:
                self._letters.clear()
            known = self._lists.get(delivery.list)
            self._letters[key] = letter(
                self._environment,
                release=release,
                purpose=delivery.purpose,
                list_id=delivery.list,
                list_name=known.name if known else delivery.list,
                newsroom_name=self._newsroom.name,
                newsroom_url=self._newsroom.url,
                sender=self._sender,
            )
        name = message_id(
            uuid=release.uuid,
            revision=delivery.revision,
            purpose=delivery.purpose,
            recipient=delivery.recipient,
            domain=self._sender.rstrip("> ").rpartition("@")[2],
        )
        return name, addressed(
            self._letters[key], recipient=delivery.recipient, message_id=name, earlier=delivery.earlier
        )

    def _about(self, delivery: Delivery) -> Release:
        key = (delivery.record_id, delivery.revision, delivery.purpose)
        if self._release is None or self._release[0] != key:
            found = records.release_for(
                self._store, record_id=delivery.record_id, revision=delivery.revision, purpose=delivery.purpose
            )
            self._release = (key, found)
        release = self._release[1]
        if release is None:
            raise RenderRefused(
                output="mail", problem="the record has not been released; nothing may be sent about it."
            )
        return release

    async def _send(self, work: list[tuple[Delivery, bytes]]) -> None:
        """Sends side by side and settles in short transactions as answers come in; the lease is kept alive meanwhile."""
        loop = asyncio.get_running_loop()
        renewed = settled = loop.time()
        waiting = {asyncio.ensure_future(self._deliver(delivery, message)) for delivery, message in work}
        outcomes: list[Outcome] = []
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=SETTLE_EVERY.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            outcomes += [task.result() for task in done]
            if outcomes and (not waiting or loop.time() - settled >= SETTLE_EVERY.total_seconds()):
                ledger.settle(self._store, outcomes, worker=self._worker, now=self._clock())
                outcomes, settled = [], loop.time()
            if waiting and loop.time() - renewed >= RENEW_EVERY.total_seconds():
                ledger.renew(self._store, worker=self._worker, now=self._clock(), lease_for=LEASE_FOR)
                renewed = loop.time()

    async def _deliver(self, delivery: Delivery, message: bytes) -> Outcome:
        try:
            await self._transport.send(message=message, sender=self._sender, recipient=delivery.recipient)
        except DeliveryFailed as error:
            return self._failed(delivery, error)
        except Exception as error:  # noqa: BLE001 - a bug met by one mail must not cost the others of its round their outcome
            problem = f"sending it broke off with {type(error).__name__}; it may or may not have gone out"
            return Outcome(id=delivery.id, state=DeliveryState.UNCERTAIN, problem=problem)
        return Outcome(id=delivery.id, state=DeliveryState.SENT)

    def _failed(self, delivery: Delivery, error: DeliveryFailed) -> Outcome:
        if error.unknown:
            return Outcome(id=delivery.id, state=DeliveryState.UNCERTAIN, problem=str(error))
        gap = _GAPS[min(delivery.attempts, len(_GAPS)) - 1]
        before = delivery.attempts - 1
        waited = sum(_GAPS[:before], timedelta()) + _GAPS[-1] * max(0, before - len(_GAPS))
        if error.final or waited >= GIVE_UP_AFTER:
            return Outcome(id=delivery.id, state=DeliveryState.FAILED, problem=str(error))
        return Outcome(id=delivery.id, state=DeliveryState.PENDING, problem=str(error), due_at=self._clock() + gap)

    async def close(self) -> None:
        """Parts from the server in good order."""
        await self._transport.close()
