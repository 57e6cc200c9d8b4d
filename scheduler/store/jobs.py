"""The jobs by which procrastinate tells workers on several machines what there is to do; its tables stand beside ours.

A job is a hint, and carries ids alone. The ledger knows what is owed: a job that is lost loses nothing, one that is run twice
doubles nothing. On SQLite there are none.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from scheduler.errors import StoreRefused
from scheduler.log import alarm

FREEZE, DELIVER = "embargo.freeze", "embargo.deliver"
"""Names of the tasks, and of their queues: to write audiences down, and to send a segment (`mailing`, `segment`, `priority`)."""

# Procrastinate's own function. What is to be `once` waits once, and is done by one at a time.
_DEFER = text(
    "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(CAST(:task AS varchar), CAST(:task AS varchar), CAST(:urgency AS integer), "
    "CAST(:once AS text), CAST(:once AS text), CAST(:args AS jsonb), NULL)::procrastinate_job_to_defer_v1]) "
    "WHERE NOT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE queueing_lock = CAST(:once AS text) AND status = 'todo')"
)
# The version stands on the tables themselves: what moves our rows to another database does not meet it.
_VERSION = text("SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')")
_IS_THERE = text("SELECT to_regclass('procrastinate_jobs') IS NOT NULL")
_OURS = "kept by Embargo: "


def install(db: Connection) -> None:
    """Makes procrastinate's tables, or brings them to the version that is installed, in the caller's transaction.

    Raises :class:`StoreRefused` where they are newer, or another program's.
    """
    scripts = _scripts()
    newest = max(scripts)
    found = db.execute(_VERSION).scalar() or ""
    if found == _OURS + newest:
        return
    if found.startswith(_OURS):
        version = found.removeprefix(_OURS)
        if version > newest:
            raise StoreRefused(
                f"The database's job tables have version {version}, this machine's procrastinate knows {newest}. "
                "Bring it up to date as on the other machines: pip install --upgrade 'embargo-scheduler[cluster]'"
            )
        wanted = [scripts[name] for name in sorted(scripts) if name > version]
    elif db.execute(_IS_THERE).scalar():
        raise StoreRefused(
            "The database holds tables of procrastinate that Embargo did not make. Point `database:` at one of its own; "
            "nothing was changed."
        )
    else:
        wanted = [_folder() / "schema.sql"]
    cursor = db.connection.cursor()  # the driver's own takes a script of many statements
    for script in wanted:
        cursor.execute(script.read_text("utf-8"))
    cursor.execute(f"COMMENT ON TABLE procrastinate_jobs IS '{_OURS}{newest}'")


def _folder() -> Path:
    """Where procrastinate's SQL is. It is not imported for that: a command has no use for it."""
    found = find_spec("procrastinate")
    assert found is not None  # else there was no way into the database either
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "sql"


def _scripts() -> dict[str, Path]:
    """Its migrations by version, such as ``03.04.00_50``; they sort by it (procrastinate's CONTRIBUTING)."""
    return {path.name[:11]: path for path in (_folder() / "migrations").glob("*.sql")}


def ask_to_freeze(db: Connection) -> None:
    """Has the audiences that are owed written down, once the caller's transaction is committed."""
    _defer(db, FREEZE, urgency=0, once=FREEZE)


def ask_to_deliver(db: Connection, *, mailing_id: int, segment: int, priority: int) -> None:
    """Has a segment sent, once the caller's transaction is committed; `priority` is the ledger's, where less goes first."""
    _defer(db, DELIVER, urgency=-priority, mailing=mailing_id, segment=segment, priority=priority)


def _defer(db: Connection, task: str, *, urgency: int, once: str | None = None, **ids: int) -> None:
    if db.dialect.name != "postgresql":
        return
    try:
        with db.begin_nested():
            db.execute(_DEFER, {"task": task, "urgency": urgency, "once": once, "args": json.dumps(ids)})
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        # No hint is worth a release. What no job tells of is found by those who look.
        alarm("job_refused", task=task, problem=str(error.orig).partition("\n")[0])
