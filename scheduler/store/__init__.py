"""The schema and every SQL statement. The same statements serve SQLite and PostgreSQL; only `engine` knows which it is."""

from __future__ import annotations

from scheduler.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
