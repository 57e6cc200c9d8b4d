"""An INSERT that can say what happens ON CONFLICT: both databases have it, SQLAlchemy writes it apart."""

from __future__ import annotations

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_for(dialect: Dialect, table: Table) -> sqlite.Insert:
    """The INSERT into `table` as this database writes it."""
    if dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)  # type: ignore[return-value]  # the same methods


def inserted(db: Connection, table: Table) -> sqlite.Insert:
    """What `insert_for` gives, for this connection."""
    return insert_for(db.dialect, table)
