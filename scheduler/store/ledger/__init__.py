"""The ledger: one row a mail owed to a person, and the moves of `DeliveryState`.

A worker claims rows under a lease, announces each before its last byte leaves, and settles it afterwards. What it had announced
when it died is `uncertain`; what it had only claimed goes back to `pending`. Each taking has a number, the row's epoch, so that
what a worker says of a mail it has lost meanwhile counts no more.
"""

from __future__ import annotations

from scheduler.store.ledger.account import Progress, balance, progress, troubled
from scheduler.store.ledger.audience import SEGMENT, Mailing, call_off, close, freeze, overtake, to_freeze
from scheduler.store.ledger.resolution import resolve
from scheduler.store.ledger.taking import Segment
from scheduler.store.ledger.work import Outcome, Turn, give_back, is_due, recover, renew, repeat, turn

__all__ = [
    "SEGMENT",
    "Mailing",
    "Outcome",
    "Progress",
    "Segment",
    "Turn",
    "balance",
    "call_off",
    "close",
    "freeze",
    "give_back",
    "is_due",
    "overtake",
    "progress",
    "recover",
    "renew",
    "repeat",
    "resolve",
    "to_freeze",
    "troubled",
    "turn",
]
