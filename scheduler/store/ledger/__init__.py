"""The ledger: one row a mail owed to a person, and the moves of `DeliveryState`.

A worker claims rows under a lease, announces each before its last byte leaves, and settles it afterwards. What it had announced
when it died is `uncertain`; what it had only claimed goes back to `pending`.
"""

from __future__ import annotations

from scheduler.store.ledger.account import balance, troubled
from scheduler.store.ledger.audience import Mailing, call_off, earlier_audience, freeze, overtake, to_freeze
from scheduler.store.ledger.work import Outcome, announce, claim, recover, renew, resolve, settle

__all__ = [
    "Mailing",
    "Outcome",
    "announce",
    "balance",
    "call_off",
    "claim",
    "earlier_audience",
    "freeze",
    "overtake",
    "recover",
    "renew",
    "resolve",
    "settle",
    "to_freeze",
    "troubled",
]
