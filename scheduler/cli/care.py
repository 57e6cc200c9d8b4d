"""Commands about the trail: its rows, their proof, and their export."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app, office
from scheduler.errors import EmbargoError
from scheduler.permissions import private_file
from scheduler.store import Store, heads, records, trail

trail_app = typer.Typer(help="The trail: every decision, in order, and the proof that none was changed.")
app.add_typer(trail_app, name="trail")


@trail_app.callback(invoke_without_command=True)
def show_trail(
    context: typer.Context,
    file: ConfigFile = CONFIG,
    record: Annotated[str | None, typer.Option("--record", help="Of one record only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the trail, oldest first."""
    if context.invoked_subcommand:
        return
    with office(file) as (_, store, _now), store.read() as db:
        if record is not None:
            records.get(store, record)  # a slip of the pen must not look like a record of which nothing was decided
        rows = trail.rows(db, record_id=record)
        if as_json:
            say.put_json(
                [
                    {
                        "seq": row.seq,
                        "at": row.at,
                        "actor": row.actor,
                        "event": row.event,
                        "record": row.record_id,
                        "revision": row.revision,
                        "detail": row.detail,
                        "previous": row.previous,
                        "hash": row.hash,
                    }
                    for row in rows
                ]
            )
            return
        empty = True
        for row in rows:
            empty = False
            subject = f"{row.record_id} ({row.revision})" if row.record_id else ""
            say.put(
                f"[dim]{row.seq:>5}  {say.utc(row.at)}[/]  [bold]{say.plain(row.event)}[/]  {say.plain(subject)}  "
                f"[dim]{say.plain(row.actor)}  {row.hash[:12]}[/]"
            )
        if empty:
            say.put("The trail is empty: nothing has been decided yet.")


@trail_app.command()
def verify(
    file: ConfigFile = CONFIG,
    exported: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Check what `trail export` wrote; no database needed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no row of the trail was changed, removed, inserted or moved, and that its end stands as it was noted."""
    heads_agree = 0
    if exported is not None:
        with _opened(exported) as lines:
            count, broken = trail.verify_export(lines)
    else:
        with office(file) as (_, store, _now):
            count, broken, heads_agree = proved(store)
    if as_json:
        say.put_json({"rows": count, "broken": broken, "heads": heads_agree})
    elif broken:
        say.put(f"[bold red]broken[/]  {len(broken)} place{'s' if len(broken) != 1 else ''} in {count} rows:")
        for sentence in broken:
            say.put(f"  {say.plain(sentence)}")
    else:
        noted = f" {heads_agree} noted head{'s agree' if heads_agree != 1 else ' agrees'}."
        if exported is not None or not count:
            noted = ""
        elif not heads_agree:
            noted = " No head has been noted beside the database to hold its end against."
        say.put(f"[green]sound[/]  {count} rows, each follows on the one before it.{noted}")
    if broken:
        raise typer.Exit(1)


def proved(store: Store) -> tuple[int, list[str], int]:
    """How many rows there are, where the trail does not hold, and how many noted heads agree with it."""
    lines = heads.noted(store)
    with store.read() as db:
        count, broken = trail.verify(db)
        agree, differing = heads.against(db, lines, file=heads.beside(store))
    return count, broken + differing, agree


@contextmanager
def _opened(exported: Path) -> Iterator[Iterable[bytes]]:
    if str(exported) == "-":
        yield sys.stdin.buffer
        return
    try:
        with exported.open("rb") as lines:
            yield lines
    except OSError as error:
        raise EmbargoError(f"The export {exported} can't be read: {error.strerror}.") from error


@trail_app.command("export")
def export_trail(
    target: Annotated[Path, typer.Argument(metavar="FILE|-", help="Where to write it, - for standard output.")],
    file: ConfigFile = CONFIG,
) -> None:
    """Write the trail for an auditor: one row a line, as it is hashed. It holds embargo statements; docs/trail.md explains it."""
    with office(file, needed=True) as (_, store, now), store.read() as db:
        lines = trail.export(db, now=now)
        if written(target, lines, what="export"):
            return
    say.put(f"[green]Written:[/] {say.plain(str(target))}, {target.stat().st_size:,} bytes.")


def written(target: Path, lines: Iterable[bytes], *, what: str) -> bool:
    """Writes to standard output where `target` is ``-``, and says so; else to a new file that is its owner's alone."""
    if str(target) == "-":
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
        return True
    try:
        descriptor = private_file(target)
    except FileExistsError:
        raise EmbargoError(f"{target} is there already; it is left as it is. Name a new file.") from None
    except OSError as error:
        raise EmbargoError(f"The {what} {target} can't be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.writelines(lines)
    except BaseException as error:
        target.unlink()
        if isinstance(error, OSError):
            raise EmbargoError(f"The {what} {target} can't be written: {error.strerror}.") from error
        raise
    return False


def unwritable(folder: Path) -> bool:
    """Whether this user can't write to the folder, or make it; it is not made by asking."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return not (there.is_dir() and os.access(there, os.W_OK | os.X_OK))
