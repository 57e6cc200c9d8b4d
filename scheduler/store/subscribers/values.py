"""What a subscriber is, and what stands for him where his address must not: tokens and hashes."""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import b32encode
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from scheduler.record import Membership
from scheduler.store import meta
from scheduler.store.engine import Store
from scheduler.store.schema import forgotten, subscribers
from scheduler.store.schema import meta as notes
from scheduler.store.upsert import inserted

_SECRET = "mail_secret"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One address on one list.

    ``recipient`` is what a mail is addressed to (bare or as ``Name <address>``), ``address`` tells people apart. ``origin`` is
    ``office`` (settings or file), ``form`` or ``command``. One that is not ``listed`` is kept to remember how it stands. Its
    ``consent`` says when it was asked for and confirmed, from where, and which wording was agreed to.
    """

    id: int
    list: str
    address: str = field(repr=False)
    recipient: str = field(repr=False)
    token: str = field(repr=False)
    state: Membership
    origin: str
    listed: bool
    since_at: datetime
    reason: str | None = field(default=None, repr=False)
    consent: dict[str, Any] | None = field(default=None, repr=False)


def secret(store: Store) -> bytes:
    """The key of this store's tokens and hashes, 32 bytes; made at first use."""
    with store.read() as db:
        found = meta.get(db, _SECRET)
    if found is not None:
        return bytes.fromhex(found)
    with store.write() as db:
        return secret_in(db)


def secret_in(db: Connection) -> bytes:
    """What `secret` gives, in the caller's transaction, which must be one that writes."""
    found = meta.get(db, _SECRET)
    if found is None:
        made = inserted(db, notes).values(key=_SECRET, value=secrets.token_hex(32))
        db.execute(made.on_conflict_do_nothing())
        found = meta.get(db, _SECRET)
    assert found is not None
    return bytes.fromhex(found)


def token_of(key: bytes, *, list_id: str, address: str) -> str:
    """What stands for an address, as `address_of` gives it, on a list: always the same, and nobody else's."""
    return b32encode(hmac.digest(key, f"{list_id}\n{address}".encode(), "sha256")[:15]).decode().lower()


def hash_of(key: bytes, address: str) -> str:
    """What stands for an address where it must not be kept: 64 digits of hex."""
    return hmac.digest(key, address.encode(), "sha256").hex()


def who(key: bytes, address: str) -> str:
    """What stands for an address on the trail."""
    return hash_of(key, address)[:12]


def forgotten_among(db: Connection, hashes: Collection[str]) -> set[str]:
    """Which of these addresses were erased."""
    if db.execute(select(forgotten.c.hash).limit(1)).scalar() is None:
        return set()
    return set(db.execute(select(forgotten.c.hash).where(forgotten.c.hash.in_(hashes))).scalars())


SELECT: Select[Any] = select(*(column for column in subscribers.c if column.name != "reading"))
"""The columns that `subscriber` reads."""


def subscriber(row: Row[Any]) -> Subscriber:
    """A row of `SELECT`."""
    return Subscriber(
        id=row.id,
        list=row.list,
        address=row.address,
        recipient=row.recipient,
        token=row.token,
        state=Membership(row.state),
        origin=row.origin,
        listed=bool(row.listed),
        since_at=row.since_at,
        reason=row.reason,
        consent=None if row.consent is None else json.loads(row.consent),
    )
