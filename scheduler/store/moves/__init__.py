"""Every move of a record: one guarded statement each, with its row on the trail in the same transaction."""

from __future__ import annotations

from scheduler.store.moves.files import amend, correct, insert_new, refuse, seen_again, vanish
from scheduler.store.moves.lift import Lifted, hold_overdue, release_due
from scheduler.store.moves.owed import Raced
from scheduler.store.moves.person import lift_by_hand, retract, settle, withdraw

__all__ = [
    "Lifted",
    "Raced",
    "amend",
    "correct",
    "hold_overdue",
    "insert_new",
    "lift_by_hand",
    "refuse",
    "release_due",
    "retract",
    "seen_again",
    "settle",
    "vanish",
    "withdraw",
]
