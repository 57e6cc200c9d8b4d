"""What the service asks of the store when it starts: its own notes and the newest instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from scheduler.store import schema, upsert


def get(db: Connection, key: str) -> str | None:
    """The text kept under this key."""
    return db.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def put(db: Connection, key: str, value: str) -> None:
    """Keeps a text under this key, in the caller's transaction."""
    kept = upsert.inserted(db, schema.meta).values(key=key, value=value)
    db.execute(kept.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def drop(db: Connection, key: str) -> None:
    """Keeps nothing under this key any more, in the caller's transaction."""
    db.execute(delete(schema.meta).where(schema.meta.c.key == key))


def below(db: Connection, prefix: str, names: Iterable[str] | None = None) -> dict[str, str]:
    """What is kept under the prefix, by the rest of each key: of these `names`, or of all."""
    which = _begins(prefix) if names is None else schema.meta.c.key.in_([prefix + name for name in names])
    rows = db.execute(select(schema.meta.c.key, schema.meta.c.value).where(which))
    return {key.removeprefix(prefix): value for key, value in rows}


def put_below(db: Connection, prefix: str, values: Mapping[str, str]) -> None:
    """Keeps these texts under the prefix and their names, in the caller's transaction, which is the only one that writes."""
    drop_below(db, prefix, values)
    if values:
        db.execute(insert(schema.meta), [{"key": prefix + name, "value": value} for name, value in values.items()])


def drop_below(db: Connection, prefix: str, names: Iterable[str]) -> None:
    """Keeps nothing any more under the prefix and these names, in the caller's transaction."""
    db.execute(delete(schema.meta).where(schema.meta.c.key.in_([prefix + name for name in names])))


def keys(db: Connection, prefix: str) -> list[str]:
    """The keys in use that begin so."""
    return list(db.execute(select(schema.meta.c.key).where(_begins(prefix)).order_by(schema.meta.c.key)).scalars())


def _begins(prefix: str) -> ColumnElement[bool]:
    return schema.meta.c.key.startswith(prefix, autoescape=True)


def newest_at(db: Connection) -> datetime | None:
    """The instant of the newest row of the trail."""
    newest = select(schema.trail_head.c.seq).scalar_subquery()
    return db.execute(select(schema.trail.c.at).where(schema.trail.c.seq == newest)).scalar()
