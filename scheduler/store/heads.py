"""The trail's end, noted from time to time in a file beside the database, so that an end cut off or written anew shows."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, select

from scheduler.errors import StoreRefused
from scheduler.store import schema, trail
from scheduler.store.engine import Store

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest row of the trail at the instant `at`."""

    seq: int
    hash: str
    at: datetime


def beside(store: Store) -> Path | None:
    """The file of the noted heads; ``None`` for a database on a server, whose heads only the log has."""
    return None if store.path is None else store.path.with_name(store.path.name + ".heads")


def note(store: Store, *, now: datetime, after: Head | None = None) -> Head | None:
    """Notes the trail's end and gives it, for the log; ``None`` where it is still `after` or the last one of the file.

    It is on the disk when this returns. Raises :class:`StoreRefused` where the file can't be written.
    """
    with store.read() as db:
        seq, digest = trail.end(db)
    if seq == 0 or (after is not None and (after.seq, after.hash) == (seq, digest)):
        return None
    file = beside(store)
    if file is not None:
        line = trail.canonical({"at": now.isoformat(), "hash": digest, "seq": seq}).encode() + b"\n"
        try:
            if not _append(file, line, known=line[line.index(b'"hash"') :]):
                return None
        except OSError as error:
            raise StoreRefused(f"The trail's end can't be noted in {file}: {error.strerror}.") from error
    return Head(seq=seq, hash=digest, at=now)


def _append(file: Path, line: bytes, *, known: bytes) -> bool:
    """Adds `line`, whole or not at all, unless the last one ends with `known`."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        last = os.pread(descriptor, len(known), max(size - len(known), 0))
        if last == known:
            return False
        # A line that a power cut left half written must not swallow this one.
        whole = line if last[-1:] in {b"", b"\n"} else b"\n" + line
        if os.write(descriptor, whole) < len(whole):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def noted(store: Store) -> list[bytes]:
    """The lines of the noted heads. To be read before the trail: a running service notes what is newer than a view of it.

    Raises :class:`StoreRefused` where the file can't be read.
    """
    file = beside(store)
    try:
        return [] if file is None else file.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreRefused(f"The noted heads in {file} can't be read: {error.strerror}.") from error


def against(db: Connection, lines: Sequence[bytes], *, file: Path | None) -> tuple[int, list[str]]:
    """Holds every noted head against the trail. Gives how many agree, and sentences for a person where one does not.

    Only the first that differs is told of: the trail after the last one that agrees is not what it was.
    """
    agreed, broken = 0, []
    before = "the beginning"
    for number, head, found in _compared(db, iter(lines)):
        if head is None:
            broken.append(f"line {number} of {file} is no noted head: it was changed, or half written.")
        elif head.hash != found:
            became = "is another one now" if found else "is gone"
            broken.append(
                f"row {head.seq}, noted as the newest at {head.at.isoformat()}, {became}: from {before} on the trail "
                f"was cut off or written anew (line {number} of {file}; a restored backup looks so too)."
            )
            break
        else:
            agreed += 1
            before = f"the head noted at {head.at.isoformat()} (row {head.seq})"
    return agreed, broken


def _compared(db: Connection, lines: Iterator[bytes]) -> Iterator[tuple[int, Head | None, str | None]]:
    """Each line's number, what it notes (``None``: nothing), and the hash which the trail has there now."""
    numbered = enumerate(lines, 1)
    while chunk := [(number, _read(line)) for number, line in islice(numbered, _CHUNK)]:
        wanted = {noted.seq for _, noted in chunk if noted is not None}
        query = select(schema.trail.c.seq, schema.trail.c.hash).where(schema.trail.c.seq.in_(wanted))
        found = {row.seq: row.hash for row in db.execute(query)}
        for number, noted in chunk:
            yield number, noted, None if noted is None else found.get(noted.seq)


def _read(line: bytes) -> Head | None:
    try:
        value = json.loads(line)
        seq, digest, at = value["seq"], value["hash"], datetime.fromisoformat(value["at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    fits = trail.is_hash(digest) and trail.is_instant(value["at"]) and type(seq) is int and abs(seq) < 2**63
    return Head(seq=seq, hash=digest, at=at) if fits else None
