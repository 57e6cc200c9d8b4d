"""INSERTs that the two databases write apart: one that says what happens ON CONFLICT, and one of many rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Dialect, Integer, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from scheduler.store.schema import Instant


def insert_for(dialect: Dialect, table: Table) -> sqlite.Insert:
    """The INSERT into `table` as this database writes it."""
    if dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)  # type: ignore[return-value]  # the same methods


def inserted(db: Connection, table: Table) -> sqlite.Insert:
    """What `insert_for` gives, for this connection."""
    return insert_for(db.dialect, table)


def of_many(dialect: Dialect, table: Table, names: Sequence[str]) -> str:
    """The INSERT of many rows of these columns, for the driver itself: whole numbers and texts.

    SQLite takes row after row in the order of `names`, PostgreSQL, in one statement, an array a column.
    """
    if dialect.name == "sqlite":
        return str(insert(table).compile(dialect=dialect, column_keys=names))
    kinds = ["bigint" if isinstance(table.c[name].type, (Integer, Instant)) else "text" for name in names]
    arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our own names
