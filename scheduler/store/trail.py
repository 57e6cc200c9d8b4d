"""The trail: an append-only, hash-chained record of every decision.

A row's hash is the SHA-256 of the canonical JSON (RFC 8785) of its own columns and the hash before it, so that an edited,
removed, inserted or moved row breaks the chain at its place. `docs/trail.md` says it for an auditor.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Dialect, select, type_coerce, update

from scheduler.errors import EmbargoError, StoreRefused
from scheduler.store import postgres, schema, upsert
from scheduler.store.schema import trail, trail_head

GENESIS = "0" * 64
FORMAT = "embargo-trail-1"

_EXACT = 2**53
"""From here on a double, which is what JSON's numbers are elsewhere, skips integers (RFC 8785 section 3.2.2.3)."""

_TOLD = 50
"""So many broken places are told one by one; where there are more, they are counted."""

_STRAY = 200
"""So far from its place a moved row is looked for."""

_AS_IT_IS = [type_coerce(column, BigInteger) if column is trail.c.at else column for column in trail.c]
"""The columns as the database has them: what somebody wrote there may be no instant."""

_quoted = json.JSONEncoder(ensure_ascii=False).encode  # of a string; its escapes are those of RFC 8785 section 3.2.2.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision to be written: who, what, about which revision, and with which words and instants."""

    event: str
    record_id: str | None = None
    revision: int | None = None
    detail: Mapping[str, str | int | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it stands in the trail."""

    seq: int
    at: datetime
    actor: str
    event: str
    record_id: str | None
    revision: int | None
    detail: str = field(repr=False)
    previous: str
    hash: str


def canonical(value: Mapping[str, str | int | None]) -> str:
    """RFC 8785 for an object of strings, integers, truth values and null: what the trail is made of.

    Anything else, and an integer that a double can't hold exactly, is a bug: `TypeError`, `ValueError`.
    """
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join([f"{_quoted(key)}:{_value(item)}" for key, item in members]) + "}"


def _value(value: str | int | None) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if not isinstance(value, int):
        raise TypeError(f"a {type(value).__name__} has no place on the trail")
    if not -_EXACT < value < _EXACT:
        raise ValueError("an integer beyond 2**53 goes on the trail as a string")
    return str(value)


def _is_whole(value: object) -> bool:
    return type(value) is int  # JSON's true is Python's 1


def _is_time(value: Any) -> bool:
    try:
        return _is_whole(value) and bool(schema.instant(value))
    except OverflowError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_detail(value: Any) -> bool:
    try:
        return _is_text(value) and canonical(dict(json.loads(value))) == value
    except (TypeError, ValueError, RecursionError):
        return False


def is_hash(value: object) -> bool:
    """Whether it has the form of a row's hash."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_instant(value: object) -> bool:
    """Whether it is an instant in UTC as RFC 3339 (section 5.6) writes it."""
    try:
        return isinstance(value, str) and bool(_STAMP.fullmatch(value)) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


_Forms = Mapping[str, tuple[Callable[[Any], bool], str]]
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)", re.ASCII)
_TEXT = (_is_text, "a text")
_HASH = (is_hash, "64 lower-case hexadecimal digits")
_FIRST: _Forms = {"exported_at": (is_instant, "an instant in UTC (RFC 3339)"), "store": _TEXT}
_ROW: _Forms = {  # in the order of `_Line`
    "seq": (_is_whole, "a whole number"),
    "at": (_is_time, "microseconds since 1970, a whole number"),
    "actor": _TEXT,
    "event": _TEXT,
    "record": (lambda value: value is None or _is_text(value), "a text or null"),
    "revision": (lambda value: value is None or _is_whole(value), "a whole number or null"),
    "detail": (_is_detail, "canonical JSON of texts, whole numbers, truth values and null by name"),
    "previous": _HASH,
}
_LAST: _Forms = {"count": (_is_whole, "a whole number"), "head": _HASH}


def _unfit(values: Iterable[object], forms: _Forms) -> str:
    """Which values, in the order of the forms, have not theirs, and what that is; empty if all have."""
    wrong = [(key, form) for value, (key, (fits, form)) in zip(values, forms.items(), strict=False) if not fits(value)]
    return ", ".join(f"its `{key}` is not {form}" for key, form in wrong)


class _Line(NamedTuple):
    """A row's columns as the database has them: `at` in microseconds since 1970."""

    seq: int
    at: int
    actor: str
    event: str
    record_id: str | None
    revision: int | None
    detail: str
    previous: str
    hash: str = ""

    def text(self) -> str:
        """`canonical` of all but the hash, spelt out: the keys are known, and a thousand rows may be due at once."""
        return (
            f'{{"actor":{_quoted(self.actor)},"at":{_value(self.at)},"detail":{_quoted(self.detail)},'
            f'"event":{_quoted(self.event)},"previous":{_quoted(self.previous)},"record":{_value(self.record_id)},'
            f'"revision":{_value(self.revision)},"seq":{_value(self.seq)}}}'
        )

    def digest(self) -> str:
        """The hash this row ought to have; empty where no row can be as this one is."""
        try:
            return hashlib.sha256(self.text().encode()).hexdigest()
        except (TypeError, ValueError):
            return ""

    def name(self) -> str:
        """The row for a person."""
        about = "" if self.record_id is None else f", record {self.record_id}"
        return f"row {self.seq} ({self.event}{about})"


@cache
def _insertion(dialect: Dialect) -> str:
    """The INSERT of a `_Line`, for the driver itself: what SQLAlchemy does a row takes three times as long as the database."""
    return upsert.of_many(dialect, trail, _Line._fields)


def append(db: Connection, *, at: datetime, actor: str, entries: Sequence[Entry]) -> None:
    """Writes `entries` at the trail's end, inside the caller's transaction. Raises `EmbargoError` for what is no text."""
    if not entries:
        return
    seq, previous = db.execute(select(trail_head.c.seq, trail_head.c.hash).with_for_update()).one()
    stamp = schema.micros(at)
    rows = []
    try:
        for entry in entries:
            seq += 1
            detail = canonical(entry.detail)
            line = _Line(seq, stamp, actor, entry.event, entry.record_id, entry.revision, detail, previous)
            previous = hashlib.sha256(line.text().encode()).hexdigest()
            rows.append(line._replace(hash=previous))
    except UnicodeEncodeError:
        raise EmbargoError(
            "What was to go on the trail holds bytes that are no text, and nothing was changed. Write it in UTF-8."
        ) from None
    wanted: Any = rows if db.dialect.name == "sqlite" else tuple(map(list, zip(*rows, strict=True)))
    db.exec_driver_sql(_insertion(db.dialect), wanted)
    db.execute(update(trail_head).values(seq=seq, hash=previous))
    postgres.tell(db)


def head(db: Connection) -> int:
    """The number of the newest row; it grows with every decision, whoever made it."""
    return int(db.execute(select(trail_head.c.seq)).scalar_one())


def end(db: Connection) -> tuple[int, str]:
    """The number and the hash of the row that the store says is the newest; (0, `GENESIS`) before the first."""
    found = db.execute(select(trail_head.c.seq, trail_head.c.hash)).one_or_none()
    return (0, GENESIS) if found is None else (found.seq, found.hash)


def has(db: Connection, seq: int, digest: str) -> bool:
    """Whether the row `seq` is the one with this hash: else the trail was cut off before it, and may have grown again since."""
    if seq == 0:
        return True
    return db.execute(select(trail.c.hash).where(trail.c.seq == seq)).scalar() == digest


def rows(db: Connection, *, record_id: str | None = None) -> Iterator[Row]:
    """The rows, oldest first, of one record or of all. Raises :class:`StoreRefused` at one that somebody made unreadable."""
    query = select(trail).order_by(trail.c.seq)
    if record_id is not None:
        query = query.where(trail.c.record_id == record_id)
    for row in db.execute(query.with_only_columns(*_AS_IT_IS).execution_options(yield_per=1000)):
        line = _Line(*row)
        try:
            line.text()
            at = schema.instant(line.at)
        except (TypeError, ValueError, OverflowError):
            raise StoreRefused(
                f"Row {line.seq} of the trail can't be read: it was changed. `embargo trail verify` names all such places."
            ) from None
        yield Row(**{**line._asdict(), "at": at})


def touched(db: Connection, *, after: int, events: Sequence[str]) -> list[str]:
    """The records about which one of `events` was written after row `after`, each once."""
    query = select(trail.c.record_id).where(trail.c.seq > after, trail.c.event.in_(events)).order_by(trail.c.seq)
    return list(dict.fromkeys(record_id for record_id in db.execute(query).scalars() if record_id))


def _lines(db: Connection) -> Iterator[_Line]:
    query = select(*_AS_IT_IS).order_by(trail.c.seq)
    for row in db.execute(query.execution_options(yield_per=1000)):
        yield _Line(*row)


class _Walk:
    """A walk along the chain: `broken` holds a sentence for each place where it does not hold."""

    def __init__(self) -> None:
        self.count = 0
        self.broken: list[str] = []
        self._untold = 0
        self._last: _Line | None = None
        self._newest = 0
        self._shift = 0
        self._blamed = False

    def step(self, line: _Line) -> None:
        """The next row."""
        self.count += 1
        if wrong := _unfit(line, _ROW):  # however well it was chained, nobody of us wrote it so
            name = line.name() if _is_whole(line.seq) else f"row {self.count}"
            says: str | None = f"{name}: it was changed after it was written: {wrong}."
            self._shift = 0
        else:
            says = self._says(line)
        self._blamed = bool(says)
        if says:
            self.tell(says)
        self._last = line
        self._newest = max(self._newest, line.seq if _is_whole(line.seq) else 0)

    def tell(self, sentence: str) -> None:
        """One more broken place."""
        if len(self.broken) < _TOLD:
            self.broken.append(sentence)
        else:
            self._untold += 1

    def newest(self) -> tuple[int, str]:
        """Number and hash of the row that was come to last."""
        return (0, GENESIS) if self._last is None else (self._last.seq, self._last.hash)

    def close(self, seq: int, digest: str, *, who: str) -> tuple[int, list[str]]:
        """Ends the walk where `who` says that row `seq` with this hash is the newest."""
        last, last_hash = self.newest()
        if seq != last:
            self.tell(f"the end: {who} says row {seq} is the newest, the trail ends with row {last}.")
        elif digest != last_hash and not self._blamed:
            self.tell(self._replaced())
        if self._untold:
            self.broken.append(f"and {self._untold} more.")
        return self.count, self.broken

    def _says(self, line: _Line) -> str | None:
        written, shift = self._written(line), self._shift
        self._shift = 0 if written is None else written - line.seq
        missing = line.seq - self._newest - 1
        if written is None:
            return f"{line.name()}: it was changed after it was written."
        if self._shift not in {0, shift}:
            act = "removed" if self._shift > shift else "inserted"
            return f"{line.name()}: it was written as row {written}; it was moved, or a row before it was {act}."
        if missing < 0:
            return f"{line.name()}: it stands after row {self._newest}; it was moved or inserted."
        if missing:
            return f"before {line.name()}: {missing} row{'s are' if missing != 1 else ' is'} missing."
        if line.previous != self.newest()[1] and not self._blamed:
            return self._replaced()
        return None

    def _replaced(self) -> str:
        """The last row fits itself, but what was written after it followed on another."""
        if self._last is None:
            return "the beginning: what stood before the first row is gone."
        return f"{self._last.name()}: it was changed after it was written, or put in another's place."

    def _written(self, line: _Line) -> int | None:
        """The number under which a row has its hash: its own, unless it was moved; ``None`` if there is none."""
        near: Iterable[int] = (line.seq, line.seq + self._shift)
        if line.digest() != line.hash and len(self.broken) < _TOLD:
            near = (*near, *sorted(range(line.seq - _STRAY, line.seq + _STRAY), key=lambda seq: abs(seq - line.seq)))
        return next((seq for seq in near if line._replace(seq=seq).digest() == line.hash), None)


def verify(db: Connection) -> tuple[int, list[str]]:
    """Walks the chain. Gives the number of rows and a sentence for each place where it is broken."""
    walk = _Walk()
    for line in _lines(db):
        walk.step(line)
    return walk.close(*end(db), who="the store")


def export(db: Connection, *, now: datetime) -> Iterator[bytes]:
    """The trail for an auditor, line by line: what this is, each row exactly as it is hashed, head and count.

    Raises :class:`StoreRefused` at a row that somebody made unreadable.
    """
    store = db.execute(select(schema.meta.c.value).where(schema.meta.c.key == "store_id")).scalar_one()
    yield f"{canonical({'exported_at': now.isoformat(), 'format': FORMAT, 'store': store})}\n".encode()
    for line in _lines(db):
        try:
            yield f"{line.text()}\n".encode()
        except (TypeError, ValueError):
            raise StoreRefused(f"Row {line.seq} of the trail can't be exported: it was changed.") from None
    seq, digest = end(db)
    yield f"{canonical({'count': seq, 'head': digest})}\n".encode()


def verify_export(lines: Iterable[bytes]) -> tuple[int, list[str]]:
    """What `verify` does, for what `export` wrote and nothing else."""
    walk = _Walk()
    after: tuple[int, str] | None = None
    for number, raw in enumerate(lines, 1):
        found = _members(raw)
        if number == 1:
            if found.get("format") != FORMAT:
                return 0, [f"line 1: this is no export of a trail; one begins with its format, {FORMAT}."]
            if wrong := _unfit(map(found.get, _FIRST), _FIRST):
                walk.tell(f"line 1: it was changed: {wrong}.")
        elif after is not None:
            walk.tell(f"line {number}: it stands after the end.")
        elif found.keys() == {"count", "head"}:
            after = (found["count"], found["head"])
            if wrong := _unfit(after, _LAST):
                walk.tell(f"line {number}: it was changed: {wrong}.")
                after = walk.newest()
        else:
            digest = hashlib.sha256(raw.removesuffix(b"\n")).hexdigest()
            try:
                walk.step(_Line(record_id=found.pop("record"), hash=digest, **found))
            except (KeyError, TypeError):
                walk.tell(f"line {number}: it is no row of a trail.")
    if after is None:
        walk.tell("the end: the last line, with head and count, is missing; the file was cut off.")
        return walk.close(*walk.newest(), who="")
    return walk.close(*after, who="the last line")


def _members(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
