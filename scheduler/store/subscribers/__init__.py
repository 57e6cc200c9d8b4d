"""Who is on which list, how he came there, and how he stands.

A row is one address on one list. It outlives its membership: whoever left, or can't be reached, is remembered so that no file of
the office brings him back. Whoever is forgotten leaves a keyed hash alone. The trail is for good, and has no address: a row about
a person carries twelve digits of that hash.
"""

from __future__ import annotations

from scheduler.store.subscribers.asks import (
    Ask,
    announce_ask,
    ask,
    asks_to_send,
    confirm,
    settle_ask,
)
from scheduler.store.subscribers.erasure import NOBODY, WAS_ERASED, forget
from scheduler.store.subscribers.look import about, by_token, counts, members
from scheduler.store.subscribers.moves import add, add_many, leave, put_off, remove
from scheduler.store.subscribers.office import Reading, read_office
from scheduler.store.subscribers.values import Subscriber, hash_of, secret, secret_in, token_of

__all__ = [
    "NOBODY",
    "WAS_ERASED",
    "Ask",
    "Reading",
    "Subscriber",
    "about",
    "add",
    "add_many",
    "announce_ask",
    "ask",
    "asks_to_send",
    "by_token",
    "confirm",
    "counts",
    "forget",
    "hash_of",
    "leave",
    "members",
    "put_off",
    "read_office",
    "remove",
    "secret",
    "secret_in",
    "settle_ask",
    "token_of",
]
