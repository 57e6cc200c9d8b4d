"""Reads a mail list from a CSV file, as spreadsheets and subscriber programs write them, or from one address a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

from scheduler.errors import FileRefused
from scheduler.record.mailbox import mailbox

_ADDRESSES = ("email", "e-mail", "mail", "address")  # where there are several, the last may be a street
_STAND = ("", "active")
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
# By this line spreadsheets know what parts the fields, whatever the country.
_SEPARATOR = re.compile(r'"?sep=([^\w\s"@.]|\t)"?\s*', re.IGNORECASE)
# What our export puts before a field that a spreadsheet would take for a formula.
_GUARD = re.compile(r"^'(?=[=+\-@])")
_LINE_LIMIT = 10_000


def read(path: Path) -> Iterator[str]:
    """The recipients in a file, bare or as ``Name <address>``, as it is read: memory is constant.

    A CSV (UTF-8; comma, semicolon, tab, or what a line ``sep=…`` above says) begins with the names of its columns: `email` is
    needed, `name` used, others are passed over; where our own export has a `state` that is not `active`, so is the line. A file
    without columns has one recipient a line. Empty lines count for nothing. Raises :class:`FileRefused` at the first line that
    names nobody a mail can reach: whoever must not take in half a file reads it twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = _Lines(stream, path)
            first, delimiters = lines.begin(), ",;\t"
            if said := _SEPARATOR.fullmatch(first):
                first, delimiters = lines.begin(), said[1]
            columns = _columns(first, delimiters, lines)
            yield from _alone(first, lines) if columns is None else _rows(columns, lines)
    except UnicodeDecodeError:
        raise FileRefused(
            file=str(path), problem="This is not UTF-8 text.", remedy="Save it as CSV in UTF-8, not as a workbook."
        ) from None
    except OSError as error:
        raise FileRefused(
            file=str(path),
            problem=f"It can't be read: {error.strerror}.",
            remedy="Mend the path or its permissions.",
        ) from error


def signature(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does: its time of change in nanoseconds, size and inode; ``None`` if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class _Lines:
    """The lines of a file, counted from 1."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream = iter(partial(stream.readline, _LINE_LIMIT + 1), "")
        self._path = path
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._stream)
        self.number += 1
        if len(line) > _LINE_LIMIT:
            self.refuse(f"This line is longer than {_LINE_LIMIT:,} characters.", "Write one person a line.")
        return line

    def begin(self) -> str:
        """The next line that is not empty."""
        first = next((line for line in self if line.strip()), None)
        if first is None:
            self.refuse("The file is empty.", "A list without anybody on it has the line `email` alone.")
        return first

    def refuse(self, problem: str, remedy: str, line: int | None = None) -> NoReturn:
        raise FileRefused(file=str(self._path), line=line or self.number or None, problem=problem, remedy=remedy)


class _Columns(NamedTuple):
    """What parts fields, where they stand, and how many there are."""

    delimiter: str
    address: int
    name: int | None
    state: int | None
    width: int


def _columns(first: str, delimiters: str, lines: _Lines) -> _Columns | None:
    """``None`` for a file of bare recipients."""
    for delimiter in delimiters:
        names = [name.strip().casefold() for name in next(csv.reader([first], delimiter=delimiter), [])]
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        address = next((places[name] for name in _ADDRESSES if name in places), None)
        if address is not None:
            return _Columns(delimiter, address, places.get("name"), places.get("state"), len(names))
    if "@" not in first:
        lines.refuse(
            "The first line names no column `email`, and it is no address.",
            "Begin with a line such as `email,name`, or write one address a line.",
        )
    return None


def _alone(first: str, lines: _Lines) -> Iterator[str]:
    for line in chain([first], lines):
        if line.strip():
            yield _recipient("", line, lines, lines.number)


def _rows(columns: _Columns, lines: _Lines) -> Iterator[str]:
    delimiter, address, name, state, width = columns
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error:
            lines.refuse(
                "A quoted field does not end as it should.",
                'Close it with `"`; a `"` inside a field is written twice.',
                begins,
            )
        if row is None:
            return
        if not any(field.strip() for field in row):
            continue
        if any(field.strip() for field in row[width:]):
            sign = "a tab" if delimiter == "\t" else f"`{delimiter}`"
            lines.refuse(
                f"This line has {len(row)} fields, the first line {width}.",
                f'A field with {sign} in it stands between two `"`.',
                begins,
            )
        row += [""] * (width - len(row))
        if state is None or row[state].strip().casefold() in _STAND:
            yield _recipient("" if name is None else row[name], row[address], lines, begins)


def _recipient(name: str, text: str, lines: _Lines, begins: int) -> str:
    """One recipient, as it may stand in settings. A name that comes with the address counts where there is no other."""
    if not text.strip():
        lines.refuse("This line has no address.", "Write one, such as name@example.org, or delete the line.", begins)
    text = _GUARD.sub("", _CONTROLS.sub(" ", text).strip())
    try:
        own, _ = mailbox(text)
    except ValueError as problem:
        lines.refuse(f"The address {problem}", "Write one that mail reaches, or delete the line.", begins)
    name = _GUARD.sub("", _CONTROLS.sub(" ", name).strip())
    if not name or own:
        return text
    return f"{name} <{text.removeprefix('<').removesuffix('>').strip()}>"
