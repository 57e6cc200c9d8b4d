"""What a new tz database moves: the instants that local times mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, tuple_, update

from scheduler.embargo import Kind, Lift
from scheduler.record import Standing, State
from scheduler.store import meta
from scheduler.store.engine import Store
from scheduler.store.moves.owed import entry
from scheduler.store.records import CURRENT, lift_json
from scheduler.store.schema import records, revisions
from scheduler.store.trail import append

_KEY = "tz_version"
_CHUNK = 200
_WAITING = records.c.state.in_([State.HELD, State.ATTENTION])


class Computed(NamedTuple):
    """What the current revision's lift was computed from (naive; ``None``: not known), and by which tz database."""

    local: datetime | None
    tz_version: str


def rules_noted(store: Store) -> str | None:
    """The version of the tz database by which all lifts in the store were last computed."""
    with store.read() as db:
        return meta.get(db, _KEY)


def computed_otherwise(store: Store, version: str) -> dict[tuple[str, int], Computed]:
    """The current revisions, by id and number, of records that wait and were computed by another version than this."""
    query = (
        select(records.c.id, records.c.revision, revisions.c.lift_local, revisions.c.tz_version)
        .join(revisions, CURRENT)
        .where(_WAITING, revisions.c.tz_version != version)
    )
    with store.read() as db:
        return {
            (row.id, row.revision): Computed(row.lift_local and datetime.fromisoformat(row.lift_local), row.tz_version)
            for row in db.execute(query)
        }


def ask_again(
    store: Store,
    standing: Standing,
    *,
    reason: str,
    candidates: Sequence[Lift],
    version: str,
    now: datetime,
    actor: str,
) -> bool:
    """What the rules moved goes to attention with all that may be meant. Gives whether it still stood as it was looked at.

    Who settled it stays on the record: until a person confirms, an edit of its text must not bring the file's time back.
    """
    with store.write() as db:
        moved = db.execute(
            update(records)
            .where(
                records.c.id == standing.id,
                records.c.revision == standing.revision,
                records.c.lift_at.is_not_distinct_from(standing.lift_at),
                _WAITING,
            )
            .values(state=State.ATTENTION, lift_at=None, reason=reason)
        )
        if not moved.rowcount:
            return False
        db.execute(
            update(revisions)
            .where(revisions.c.record_id == standing.id, revisions.c.number == standing.revision)
            .values(
                candidates=json.dumps([lift_json(lift) for lift in candidates]),
                embargo_kind=standing.kind if standing.lift_at is None else Kind.AMBIGUOUS,
                tz_version=version,
            )
        )
        decision = entry(
            "attention",
            standing.id,
            standing.revision,
            candidates=" ".join(lift.at.isoformat() for lift in candidates),
            lift_at=standing.lift_at,
            reason=reason,
            tz_version=version,
            zone=standing.zone,
        )
        append(db, at=now, actor=actor, entries=[decision])
    return True


def note_rules(store: Store, version: str, unmoved: Sequence[tuple[str, int]]) -> None:
    """Notes, in short steps, that these revisions stand as `version` has them, and at last that the whole store does."""
    revision = tuple_(revisions.c.record_id, revisions.c.number)
    for start in range(0, len(unmoved), _CHUNK):
        with store.write() as db:
            chunk = revision.in_(unmoved[start : start + _CHUNK])
            db.execute(update(revisions).where(chunk).values(tz_version=version))
    with store.write() as db:
        meta.put(db, _KEY, version)
