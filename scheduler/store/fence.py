"""Whose store this is: tells an instance's own store from a copy, a restored backup, and a disk in another machine.

Beside the database lies ``<database>.instance``: where the store was last at home, and the mark that stands in the database too.
The mark changes at each start and while the service runs, so that an older database does not fit the newer file. File first,
with the old mark and the new, then the database, then the file with the new one alone: a kill in between leaves a pair that fits.

A move to another database is noted in both: where it went, and, until the old one is known to have ended, whence it came. Either
note fences. That one holds on PostgreSQL too, which several machines share, and where nothing else does.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from scheduler.errors import StoreRefused
from scheduler.record import DeliveryState
from scheduler.store import trail
from scheduler.store.engine import Store
from scheduler.store.schema import deliveries, instant, mailings, meta, micros

_KEY = "instance"
_MOVED = "moved"
_ARRIVING = "arriving"
_TRIES = 5
_MACHINE_ID = Path("/etc/machine-id")
_CONTAINER = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
_NUMBERS_ANEW = ("fuse", "9p", "virtiofs", "cifs", "smb3", "vboxsf")
"""File systems that number their files anew at each mount, so that a number that changed says nothing."""


class Finding(NamedTuple):
    """`why` the store is fenced, a sentence each; none: it is this instance's own. `note` is only to be said aloud."""

    why: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Home:
    """The file beside the database. `store` is the database's own id, `marks` are those that fit it."""

    store: str
    instance: str
    marks: tuple[str, ...]
    machine: str  # hashed; empty: not known, or a container's, which says nothing
    path: str
    inode: int | None
    device: int
    at: int  # when it was written, in microseconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The other end of a move: its address without a password, when it was, and the name that both ends have for it."""

    place: str
    at: datetime
    name: str


class Moves(NamedTuple):
    """What a database says of moves: where it went; whence it is coming, as long as that has not ended."""

    to: Move | None
    coming: Move | None

    def why(self) -> tuple[str, ...]:
        """Why it is not in use, a sentence each."""
        found = []
        if self.to is not None:
            found.append(f"It was moved to {self.to.place} at {self.to.at:%Y-%m-%d %H:%M} UTC, and goes on there.")
        if self.coming is not None:
            found.append(f"The move from {self.coming.place} to here did not come to its end.")
        return tuple(found)


class _Seen(NamedTuple):
    """The pair as it stands: the file (a sentence: what is wrong with it; ``None``: not there), and what the database says."""

    home: _Home | str | None
    store: str
    mark: str
    decided: int
    moves: Moves

    def own(self) -> _Home | None:
        """The file, where it is this store's."""
        return self.home if isinstance(self.home, _Home) and self.home.store == self.store else None


def examine(store: Store) -> Finding:
    """Whether this is the store's own place; changes nothing. PostgreSQL is fenced by a move alone."""
    if store.path is not None:
        return _found(_look(store, store.path), store.path)
    with store.read() as db:
        return Finding(moves(db).why())


def hold(store: Store, *, now: datetime) -> Finding:
    """`examine`, and where nothing speaks against it, a new mark. For the one service that has the lock."""
    if store.path is None:
        return examine(store)
    seen = _look(store, store.path)
    found = _found(seen, store.path)
    if found.why:
        return found
    own = seen.own()
    instance = own.instance if own else secrets.token_hex(8)
    mark = _mark(instance)
    _write(store.path, _home(store.path, seen.store, instance, (seen.mark, mark), now))
    with store.write() as db:
        taken = _put(db, mark, before=seen.mark)
    if not taken:
        return examine(store)  # another database has been put in its place meanwhile
    _write(store.path, _home(store.path, seen.store, instance, (mark,), now))
    return found


def require(store: Store) -> None:
    """Raises :class:`StoreRefused` where the store is fenced."""
    if found := examine(store).why:
        raise StoreRefused(
            f"The database{f' {store.path}' if store.path else ''} is fenced, so nothing is lifted or mailed: {' '.join(found)} "
            "See what it would send again with `embargo adopt`; take it over with `embargo adopt --reason …`."
        )


def last_at(store: Store) -> datetime | None:
    """When this store was last given a mark in this place; ``None`` where that is not known, or where it is fenced."""
    if store.path is None:
        return None
    seen = _look(store, store.path)
    own = seen.own()
    return None if own is None or tuple(_against(seen, store.path)) else instant(own.at)


def close(store: Store) -> None:
    """Fences the store: something beside it is ahead of it."""
    if store.path is not None and (own := _look(store, store.path).own()) is not None:
        _write(store.path, replace(own, marks=()))


def adopt(store: Store, *, reason: str, now: datetime, actor: str) -> None:
    """A person takes a fenced store over. Raises :class:`StoreRefused` where it is not fenced."""
    with store.write() as db:
        found = examine(store)
        if not found.why:
            raise StoreRefused("There is nothing to adopt: this store is this instance's own. Nothing was changed.")
        detail = {"reason": reason, "why": " ".join(found.why)}
        if store.path is not None:
            instance, was = _take_place(store, store.path, db, now)
            detail |= {"instance": instance, "was": was}
        _drop(db, _MOVED, _ARRIVING)
        trail.append(db, at=now, actor=actor, entries=[trail.Entry(event="adopted", detail=detail)])


def _take_place(store: Store, path: Path, db: Connection, now: datetime) -> tuple[str, str]:
    """Makes this the store's own place, as `db` commits. Gives the instance that it becomes, and the one that it was."""
    seen = _look(store, path)
    instance = secrets.token_hex(8)
    mark = _mark(instance)
    # The database's old mark does not fit this file: until the commit the store stays fenced.
    _write(path, _home(path, seen.store, instance, (mark,), now))
    _put(db, mark, before=seen.mark)
    return instance, seen.mark.partition(" ")[0]


def moves(db: Connection) -> Moves:
    """What this database says of moves."""
    found = {row.key: row.value for row in db.execute(select(meta).where(meta.c.key.in_([_MOVED, _ARRIVING])))}
    return _moves(found)


def refuse_moved(store: Store) -> None:
    """Raises :class:`StoreRefused` where the store was moved elsewhere, or did not wholly arrive: no service belongs on it."""
    with store.read() as db:
        found = moves(db)
    if found.to is not None:
        raise StoreRefused(
            f"This database is not in use any more. {found.why()[0]} Write that address into `database:`. "
            "To use this one again in its place: `embargo adopt`, which says what it would send again."
        )
    if found.coming is not None:
        raise StoreRefused(
            f"This database is not in use yet. {found.why()[0]} "
            "Give `embargo migrate-database` the same two addresses once more: it ends the move, or says what to do."
        )


def leave(db: Connection, move: Move) -> None:
    """Notes in the old database, in the caller's transaction, that it was moved: it is fenced from then on."""
    _note(db, _MOVED, move)


def expect(db: Connection, move: Move) -> None:
    """Notes in the new database, in the caller's transaction, that the old one may be in use: it is fenced until `arrive`."""
    _drop(db, _KEY)  # the mark of the old place
    _note(db, _ARRIVING, move)


def arrive(store: Store, *, now: datetime) -> None:
    """Ends a move: the old database is fenced, and this is the store's own place from now on."""
    with store.write() as db:
        if store.path is not None:
            _take_place(store, store.path, db, now)
        _drop(db, _ARRIVING)


def _note(db: Connection, key: str, move: Move) -> None:
    note = {"place": move.place, "at": micros(move.at), "name": move.name}
    db.execute(insert(meta).values(key=key, value=json.dumps(note)))


def _moves(found: Mapping[str, str]) -> Moves:
    to, coming = (json.loads(found[key]) if key in found else None for key in (_MOVED, _ARRIVING))
    return Moves(*(Move(**{**each, "at": instant(each["at"])}) if each else None for each in (to, coming)))


def _drop(db: Connection, *keys: str) -> None:
    db.execute(delete(meta).where(meta.c.key.in_(keys)))


def mails(store: Store) -> dict[str, dict[str, int]]:
    """What a worker would take up: for each state of a mail, how many there are of which record.

    ``owed`` counts lists whose readers have not been written down yet.
    """
    states = (DeliveryState.PENDING, DeliveryState.CLAIMED, DeliveryState.SENDING, DeliveryState.UNCERTAIN)
    found: dict[str, dict[str, int]] = {"owed": {}, **{state.value: {} for state in states}}
    by_record = (
        select(deliveries.c.state, deliveries.c.record_id, func.count())
        .where(deliveries.c.state.in_(states))
        .group_by(deliveries.c.state, deliveries.c.record_id)
        .order_by(deliveries.c.record_id)
    )
    lists = select(mailings.c.record_id, func.count()).where(mailings.c.frozen_at.is_(None))
    with store.read() as db:
        for state, record_id, count in db.execute(by_record):
            found[state][record_id] = count
        for record_id, count in db.execute(lists.group_by(mailings.c.record_id).order_by(mailings.c.record_id)):
            found["owed"][record_id] = count
    return found


def _mark(instance: str) -> str:
    return f"{instance} {secrets.token_hex(16)}"


def _put(db: Connection, mark: str, *, before: str) -> bool:
    if not before:
        db.execute(insert(meta).values(key=_KEY, value=mark))
        return True
    return bool(db.execute(update(meta).where(meta.c.key == _KEY, meta.c.value == before).values(value=mark)).rowcount)


def _look(store: Store, path: Path) -> _Seen:
    """Both halves. Where a mark is being changed this very moment, once more: the halves must be of one time."""
    seen = _Seen(None, "", "", 0, Moves(None, None))
    keys = [_KEY, "store_id", _MOVED, _ARRIVING]
    for _ in range(_TRIES):
        home = _read(path)
        with store.read() as db:
            known = {row.key: row.value for row in db.execute(select(meta).where(meta.c.key.in_(keys)))}
            seen = _Seen(home, known.get("store_id", ""), known.get(_KEY, ""), trail.head(db), _moves(known))
        if home == _read(path):
            break
    return seen


def _found(seen: _Seen, path: Path) -> Finding:
    why, own = tuple(_against(seen, path)), seen.own()
    moved = own is not None and not why and own.path != str(path.resolve())
    return Finding(why, f"It moved here from {own.path}." if own and moved else None)


def _against(seen: _Seen, path: Path) -> Iterator[str]:
    """What speaks against this being the store's own place."""
    home, name = seen.own(), _file(path).name
    yield from seen.moves.why()
    if isinstance(seen.home, str):
        yield seen.home
    elif seen.home is None:
        if seen.mark:  # without one it is a new store, or one that an older version wrote
            yield f"{name} is not beside it: it came here alone, as a copy or a restored backup does."
    elif home is None:
        if seen.mark or seen.decided:  # else it is a new one, made in the place of another
            yield f"{name} belongs to another store: this one was put in its place."
    else:
        if seen.mark not in home.marks:
            yield f"{name} is of another time: one of the two was restored from a backup, or copied from elsewhere."
        yield from _elsewhere(home, _home(path, home.store, home.instance, home.marks, instant(home.at)))


def _elsewhere(home: _Home, here: _Home) -> Iterator[str]:
    if home.machine and here.machine and home.machine != here.machine:
        yield "It was last written on another machine."
    if home.inode is not None and here.inode is not None and home.inode != here.inode:
        yield f"The file is a copy of the one at {home.path}, and not that file itself."
    elif home.path != here.path and (home.inode is None or here.inode is None or home.device != here.device):
        yield f"It was last at {home.path}, and whether it was moved or copied from there can't be told."


def _file(database: Path) -> Path:
    return database.with_name(database.name + ".instance")


def _home(database: Path, store: str, instance: str, marks: tuple[str, ...], now: datetime) -> _Home:
    """The file's content, with the facts as they are."""
    status = database.stat()
    return _Home(
        store=store,
        instance=instance,
        marks=marks,
        machine=_machine(instance),
        path=str(database.resolve()),
        inode=None if _numbers_anew(status.st_dev) else status.st_ino,
        device=status.st_dev,
        at=micros(now),
    )


def _machine(instance: str) -> str:
    # A container has the machine id of its image, or a new one each time: it would fence those who only renewed it.
    if any(Path(sign).exists() for sign in _CONTAINER):
        return ""
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    # Its manual asks that it be kept to oneself: with the instance's id it says nothing elsewhere.
    return hashlib.sha256(f"{instance} {machine}".encode()).hexdigest() if machine else ""


def _numbers_anew(device: int) -> bool:
    name = f" {os.major(device)}:{os.minor(device)} "
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(name in mount and mount.partition(" - ")[2].startswith(_NUMBERS_ANEW) for mount in mounts)


def _read(database: Path) -> _Home | str | None:
    file = _file(database)
    try:
        fields = json.loads(file.read_text("utf-8"))
        return _Home(**{**fields, "marks": tuple(fields["marks"])})
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{file} can't be read: {error.strerror}."
    except (ValueError, TypeError, KeyError):
        return f"{file} holds something else than what was written there."


def _write(database: Path, home: _Home) -> None:
    file = _file(database)
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:  # as SQLite does: what root adopts, the service's user must be able to read
            owner = database.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(home), stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # a power cut must not bring the older file back beside the newer database
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreRefused(f"{file} can't be written: {error.strerror}. Is its disk full, or not writable?") from error
