"""What the service asks of the store when it starts: its own notes and the newest instant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from scheduler.store import schema


def get(db: Connection, key: str) -> str | None:
    """The text kept under this key."""
    return db.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def put(db: Connection, key: str, value: str) -> None:
    """Keeps a text under this key, in the caller's transaction."""
    if not db.execute(update(schema.meta).where(schema.meta.c.key == key).values(value=value)).rowcount:
        db.execute(schema.meta.insert().values(key=key, value=value))


def drop(db: Connection, key: str) -> None:
    """Keeps nothing under this key any more, in the caller's transaction."""
    db.execute(delete(schema.meta).where(schema.meta.c.key == key))


def keys(db: Connection, prefix: str) -> list[str]:
    """The keys in use that begin so."""
    named = schema.meta.c.key.startswith(prefix, autoescape=True)
    return list(db.execute(select(schema.meta.c.key).where(named).order_by(schema.meta.c.key)).scalars())


def newest_at(db: Connection) -> datetime | None:
    """The instant of the newest row of the trail."""
    newest = select(schema.trail_head.c.seq).scalar_subquery()
    return db.execute(select(schema.trail.c.at).where(schema.trail.c.seq == newest)).scalar()
