"""Every row of every table: counted, copied, and compared, as the databases have it and not as this program reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, collate, func, insert, select, type_coerce
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import NullType

from scheduler.errors import StoreRefused
from scheduler.store import schema

Told = Callable[[str, int, int], None]
"""Called with what is being done (``copied``, ``compared``), how many rows of it are done, and of how many."""

_BATCH = 1000
_HEAVY = {schema.attachment_chunks.name: 16, schema.revisions.name: 100}
"""So many rows at a time, of tables whose rows are long."""


def _columns(table: Table) -> Sequence[Any]:
    return [type_coerce(column, NullType()).label(column.name) for column in table.columns]


def counted(db: Connection) -> dict[str, int]:
    """How many rows each table has."""
    tables = schema.metadata.sorted_tables
    return {table.name: db.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def _batches(db: Connection, table: Table, *order: Any) -> Iterator[Sequence[Any]]:
    size = _HEAVY.get(table.name, _BATCH)
    query = select(*_columns(table)).order_by(*order).execution_options(yield_per=size)
    try:
        with db.execute(query) as rows:
            yield from rows.partitions()
    except OperationalError as error:
        if "decode" not in str(error.orig):
            raise
        # The driver's sentence quotes the text.
        raise StoreRefused(f"Table {table.name}: a row has bytes in it that are no text. Nothing was moved.") from None


def copy(before: Connection, after: Connection, total: int, told: Told) -> None:
    """Writes every row of `before`, as it is, into the empty tables of `after`. Raises :class:`StoreRefused`."""
    done = 0
    write = _written_by_copy if after.dialect.name == "postgresql" else _inserted
    errors = after.dialect.loaded_dbapi.Error
    for table in schema.metadata.sorted_tables:
        for batch in _batches(before, table):
            try:
                write(after, table, batch)
            except (errors, DBAPIError) as error:
                first, last = (_named(table, batch[place]) for place in (0, -1))
                # The database's own sentence may quote the row.
                raise StoreRefused(
                    f"Table {table.name}, one of the rows from {first} to {last}: the new database does not take it "
                    f"({type(getattr(error, 'orig', error)).__name__}). Nothing was moved."
                ) from None
            told("copied", done := done + len(batch), total)


def _inserted(db: Connection, table: Table, batch: Sequence[Any]) -> None:
    statement = insert(table).inline().compile(dialect=db.dialect, column_keys=table.columns.keys())
    db.exec_driver_sql(str(statement), list(map(tuple, batch)))


def _written_by_copy(db: Connection, table: Table, batch: Sequence[Any]) -> None:
    """As PostgreSQL's own restores do: several times as fast as INSERT."""
    columns = ", ".join(map(db.dialect.identifier_preparer.quote, table.columns.keys()))
    cursor = db.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as rows:  # type: ignore[attr-defined]  # psycopg's
        for row in batch:
            rows.write_row(row)


def compare(before: Connection, after: Connection, total: int, told: Told) -> None:
    """Reads both sides once more, in the order of their keys, and compares all of each row. Raises :class:`StoreRefused`."""
    done = 0
    for table in schema.metadata.sorted_tables:
        sides = (_batches(db, table, *_in_order(db, table)) for db in (before, after))
        for ours, theirs in zip_longest(*sides, fillvalue=()):
            for one, other in zip_longest(ours, theirs):
                if one is None or other is None or tuple(one) != tuple(other):
                    key = _named(table, other if one is None else one)
                    raise StoreRefused(
                        f"Table {table.name}, row {key}: it did not arrive as it left, or is not alone. Nothing was moved."
                    )
            told("compared", done := done + len(ours), total)


def _in_order(db: Connection, table: Table) -> list[Any]:
    """The key, in an order that both databases have: texts by their bytes, as SQLite does unasked."""
    wants = db.dialect.name == "postgresql"
    return [collate(key, "C") if wants and isinstance(key.type, Text) else key for key in table.primary_key]


def _named(table: Table, row: Any) -> str:
    return ", ".join(str(getattr(row, key.name)) for key in table.primary_key)


def go_on(before: Connection, after: Connection) -> None:
    """New rows get numbers that no row has had: PostgreSQL counts by itself, whatever was written with a number of its own."""
    if after.dialect.name != "postgresql":
        return
    for table in schema.metadata.sorted_tables:
        key: Column[Any] | None = table.autoincrement_column
        if key is None:
            continue
        sequence = func.pg_get_serial_sequence(table.name, key.name)
        highest = [after.execute(select(func.max(key))).scalar(), 0]
        if before.dialect.name == "postgresql":
            highest.append(before.execute(select(func.pg_sequence_last_value(sequence))).scalar())
        if last := max(number or 0 for number in highest):
            after.execute(select(func.setval(sequence, last)))
