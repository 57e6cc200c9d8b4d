"""The trail: an append-only, hash-chained record of every decision.

A row's hash is the SHA-256 of the canonical JSON (RFC 8785) of its own columns and the hash before it, so that an edited,
removed, inserted or moved row breaks the chain at its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from scheduler.store import schema
from scheduler.store.schema import trail, trail_head

GENESIS = "0" * 64
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision to be written: who, what, about which revision, and with which words and instants."""

    event: str
    record_id: str | None = None
    revision: int | None = None
    detail: Mapping[str, str | int | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it stands in the trail."""

    seq: int
    at: datetime
    actor: str
    event: str
    record_id: str | None
    revision: int | None
    detail: str = field(repr=False)
    previous: str
    hash: str


def canonical(value: Mapping[str, object]) -> str:
    """RFC 8785 for what we write: ASCII keys, and values that are strings, integers, null or objects of such."""
    return _ENCODER.encode(value)


def _digest(
    *,
    seq: int,
    at: int,
    actor: str,
    event: str,
    record_id: str | None,
    revision: int | None,
    detail: str,
    previous: str,
) -> str:
    row = {
        "actor": actor,
        "at": at,
        "detail": detail,
        "event": event,
        "previous": previous,
        "record": record_id,
        "revision": revision,
        "seq": seq,
    }
    return hashlib.sha256(canonical(row).encode()).hexdigest()


def append(db: Connection, *, at: datetime, actor: str, entries: Sequence[Entry]) -> None:
    """Writes `entries` at the trail's end, inside the caller's transaction."""
    if not entries:
        return
    seq, previous = db.execute(select(trail_head.c.seq, trail_head.c.hash).with_for_update()).one()
    stamp = schema.micros(at)
    rows = []
    for entry in entries:
        seq += 1
        detail = canonical(entry.detail)
        digest = _digest(
            seq=seq,
            at=stamp,
            actor=actor,
            event=entry.event,
            record_id=entry.record_id,
            revision=entry.revision,
            detail=detail,
            previous=previous,
        )
        rows.append(
            {
                "seq": seq,
                "at": at,
                "actor": actor,
                "event": entry.event,
                "record_id": entry.record_id,
                "revision": entry.revision,
                "detail": detail,
                "previous": previous,
                "hash": digest,
            }
        )
        previous = digest
    db.execute(insert(trail), rows)
    db.execute(update(trail_head).values(seq=seq, hash=previous))


def head(db: Connection) -> int:
    """The number of the newest row; it grows with every decision, whoever made it."""
    return int(db.execute(select(trail_head.c.seq)).scalar_one())


def rows(db: Connection, *, record_id: str | None = None) -> Iterator[Row]:
    """The rows, oldest first, of one record or of all."""
    query = select(trail).order_by(trail.c.seq)
    if record_id is not None:
        query = query.where(trail.c.record_id == record_id)
    for row in db.execute(query.execution_options(yield_per=1000)).mappings():
        yield Row(**row)


def touched(db: Connection, *, after: int, events: Sequence[str]) -> list[str]:
    """The records about which one of `events` was written after row `after`, each once."""
    query = select(trail.c.record_id).where(trail.c.seq > after, trail.c.event.in_(events)).order_by(trail.c.seq)
    return list(dict.fromkeys(record_id for record_id in db.execute(query).scalars() if record_id))


def verify(db: Connection) -> tuple[int, list[str]]:
    """Walks the chain. Gives the number of rows and a sentence for each place where it is broken."""
    broken: list[str] = []
    count, expected, previous = 0, 0, GENESIS
    for row in rows(db):
        count += 1
        expected += 1
        if row.seq > expected:
            missing = row.seq - expected
            broken.append(f"before row {row.seq}: {missing} row{'s are' if missing != 1 else ' is'} missing.")
        expected = row.seq
        if row.previous != previous:
            broken.append(
                f"row {row.seq}: it does not follow on the row before it; one was removed, inserted or moved."
            )
        digest = _digest(
            seq=row.seq,
            at=schema.micros(row.at),
            actor=row.actor,
            event=row.event,
            record_id=row.record_id,
            revision=row.revision,
            detail=row.detail,
            previous=row.previous,
        )
        if digest != row.hash:
            broken.append(f"row {row.seq} ({row.event}): it was changed after it was written.")
        previous = row.hash
    seq, digest = db.execute(select(trail_head.c.seq, trail_head.c.hash)).one_or_none() or (0, GENESIS)
    newest = db.execute(select(func.max(trail.c.seq))).scalar() or 0
    if seq != newest or (count and digest != previous):
        broken.append(f"the end: the store says row {seq} is the newest, the trail ends with row {newest}.")
    return count, broken
