"""What moves share: their row on the trail, and the mail a move owes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, insert, literal, select

from scheduler.record import Purpose, State
from scheduler.store import jobs
from scheduler.store.schema import Instant, mailings, records
from scheduler.store.trail import Entry
from scheduler.store.upsert import inserted


class Raced(Exception):
    """Another process moved the record between our look and our move."""


def entry(event: str, record_id: str, revision: int, **detail: str | int | datetime | None) -> Entry:
    plain = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in detail.items()}
    return Entry(event=event, record_id=record_id, revision=revision, detail=plain)


def decoded(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(json.loads(value))


def owe(
    db: Connection,
    moved: Iterable[tuple[str, int, tuple[str, ...] | None]],
    purpose: Purpose,
    now: datetime,
    default_lists: Sequence[str],
) -> None:
    owed = [
        {"record_id": record_id, "revision": revision, "purpose": purpose, "list": name, "owed_at": now}
        for record_id, revision, lists in moved
        for name in dict.fromkeys((*(default_lists if lists is None else lists), *_told(db, record_id, purpose)))
    ]
    if owed:
        db.execute(insert(mailings), owed)
        jobs.ask_to_freeze(db)


def owe_default(
    db: Connection, *, released_at: datetime, until: datetime, owed_at: datetime, default_lists: Sequence[str]
) -> None:
    """The mail owed by all that lifted from `released_at` `until` and names no list of its own: one statement a list, not a
    row a call.

    What was lifted by another in the very same instants owes its mail already.
    """
    lifted = select(
        records.c.id,
        records.c.revision,
        literal(Purpose.RELEASE),
        bindparam("list", type_=Text),
        literal(owed_at, Instant),
    ).where(
        records.c.released_at.between(released_at, until),
        records.c.lists.is_(None),
        records.c.state == State.RELEASED,
    )
    columns = [mailings.c.record_id, mailings.c.revision, mailings.c.purpose, mailings.c.list, mailings.c.owed_at]
    for name in default_lists:
        owed = inserted(db, mailings).from_select(columns, lifted)
        db.execute(owed.on_conflict_do_nothing(), {"list": name})
    if default_lists:
        jobs.ask_to_freeze(db)


def _told(db: Connection, record_id: str, purpose: Purpose) -> Sequence[str]:
    """The lists of the first mail. What follows it goes there too, though the settings have changed since."""
    if purpose is Purpose.RELEASE:
        return ()
    return db.execute(select(mailings.c.list).where(mailings.c.record_id == record_id)).scalars().all()
