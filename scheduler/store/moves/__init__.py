"""Every move of a record: one guarded statement each, with its row on the trail in the same transaction."""

from __future__ import annotations

from scheduler.store.moves.files import amend, correct, insert_new, refuse, seen_again, vanish
from scheduler.store.moves.lift import Lifted, hold_overdue, release_due
from scheduler.store.moves.owed import Raced
from scheduler.store.moves.person import lift_by_hand, retract, settle, withdraw
from scheduler.store.moves.zones import Computed, ask_again, computed_otherwise, note_rules, rules_noted

__all__ = [
    "Computed",
    "Lifted",
    "Raced",
    "amend",
    "ask_again",
    "computed_otherwise",
    "correct",
    "hold_overdue",
    "insert_new",
    "lift_by_hand",
    "note_rules",
    "refuse",
    "release_due",
    "retract",
    "rules_noted",
    "seen_again",
    "settle",
    "vanish",
    "withdraw",
]
