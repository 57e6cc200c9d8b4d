"""A mail server at the outer edge, workers on the office's ledger, and short words for what they do."""

from __future__ import annotations

import asyncio
import email
import itertools
from collections import Counter
from dataclasses import replace
from email import policy

from scheduler.errors import DeliveryFailed
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import LEASE_FOR, Postroom
from scheduler.record import Delivery, DeliveryState
from scheduler.store import ledger
from scheduler.store.ledger import Outcome

D = DeliveryState
PENDING, CLAIMED, SENDING, SENT, FAILED, UNCERTAIN, SUPPRESSED = D
DESK, ZOE, WIRE = "desk@example.org", "Zoë <zoe@example.net>", "wire@example.com"


class Post:
    """A mail server: it takes what comes, or answers as it was told for an address."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.answers: dict[str, DeliveryFailed] = {}
        self.before = lambda _recipient: None
        self.closed = False

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        assert sender == "Test Press Office <press@example.org>"
        self.before(recipient)
        if failure := self.answers.get(recipient):
            raise failure
        self.taken.append((recipient, message))
        return "250 taken"

    async def close(self) -> None:
        self.closed = True

    def mails(self, recipient=None):
        return [
            email.message_from_bytes(message, policy=policy.default)
            for to, message in self.taken
            if recipient in (None, to)
        ]


numbers = itertools.count()


def worker(office, post, lists=None) -> Postroom:
    parts = office.parts if lists is None else replace(office.parts, lists=lists)
    return parts.postroom(office.store, f"worker{next(numbers)}", office.clock, post)


def drain(postroom) -> int:
    """Sends until nothing is due."""
    return asyncio.run(postroom.drain())


def freeze(office, lists=None) -> int:
    """Reads the lists and writes the audiences down."""
    audiences = worker(office, Post(), lists).audiences
    audiences.read()
    return audiences.freeze()


def listed(office, **lists) -> None:
    """The office's lists, as a worker reads them before anything is owed."""
    worker(
        office, Post(), {name: MailList(name=name, recipients=people) for name, people in lists.items()}
    ).audiences.read()


def released(office, record_id="one", keys="", **fields):
    office.record(record_id, embargo="none", keys=keys, **fields)
    office.lift()


def corrected(office, body="Corrected words."):
    office.clock.pass_by(minutes=1)
    return office.record(embargo="none", body=body, keys="correction: A figure was wrong.\n")


def tally(office) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in ledger.balance(office.store):
        states = {state.value: row[state.value] for state in D}
        assert row["audience"] == sum(states.values())
        counts.update(states)
    return +counts


def turn(office, name, **work) -> ledger.Turn:
    return ledger.turn(office.store, worker=name, now=office.clock(), lease_for=LEASE_FOR, **work)


def claim(office, name, limit=100) -> list[Delivery]:
    return sorted(turn(office, name, limit=limit).claimed, key=lambda each: each.id)


def announce(office, name, deliveries) -> set[int]:
    return set(turn(office, name, wanted=[(each, f"<{each.id}@x>") for each in deliveries]).mine)


def settle(office, name, state, deliveries) -> None:
    turn(office, name, outcomes=[Outcome(id=each.id, epoch=each.epoch, state=state) for each in deliveries])
