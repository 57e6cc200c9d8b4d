"""The files of a folder, each read once per change, together with all that its answers need."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 256 * 1024
"""Bytes up to which reading, hashing and compressing are quicker done than handed to a thread (about 5 ms)."""
KEPT = 128 * 1024 * 1024
"""Bytes of all files kept in memory; beyond, those loaded first are dropped."""

# Our own table: the system's differs from machine to machine.
_TYPES = {
    "rss.xml": "application/rss+xml",
    "atom.xml": "application/atom+xml",
    "feed.json": "application/feed+json",
    "css": "text/css",
    "html": "text/html",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "xml": "application/xml",
}
_BINARY = {
    "ico": "image/x-icon",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "webp": "image/webp",
}
_NAMES = re.compile(r"(?=/)(/[^/.\\\x00-\x1f\x7f\ud800-\udfff][^/\\\x00-\x1f\x7f\ud800-\udfff]*)*/?", re.ASCII)
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO}
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One version of one file.

    ``tag`` is the first half of its SHA-256 in hex, ``packed`` its gzip form (``None`` where that gains nothing). ``modified``
    is in seconds since the epoch: the end of the second in which this version took its place. Rounded up, a date that was
    given out with an earlier version is always smaller, even where two changes fall into one second, so that
    ``If-Modified-Since`` alone never hides a change.
    """

    state: tuple[int, ...]
    modified: int
    media_type: str
    tag: str
    data: bytes = field(repr=False)
    packed: bytes | None = field(default=None, repr=False)


def media_type(name: str) -> str:
    """The Content-Type for a file name; what is text says that it is UTF-8."""
    suffix = name.rpartition(".")[2]
    kind = _TYPES.get(name) or _TYPES.get(suffix)
    return f"{kind}; charset=utf-8" if kind else _BINARY.get(suffix, "application/octet-stream")


def inside(path: str) -> str | None:
    """The name below the folder that a decoded URL path stands for, ``None`` if it can stand for none.

    A path that ends in a slash stands for the ``index.html`` there. No part is empty, starts with a dot, or has a backslash
    or a control character: nothing climbs, nothing hidden is reached, each file has one name.
    """
    if not _NAMES.fullmatch(path):
        return None
    return path[1:] + "index.html" if path.endswith("/") else path[1:]


def _state(found: os.stat_result) -> tuple[int, ...]:
    # The time of change cannot be set by hand: it tells versions apart where the other three repeat.
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _modified(found: os.stat_result) -> int:
    # A rename renews the time of change, and it is the rename that shows a version; but a file touched long after it was
    # written is no new version.
    shown = found.st_ctime_ns if 0 < found.st_ctime_ns - found.st_mtime_ns < 10 * _SECOND else found.st_mtime_ns
    return shown // _SECOND + 1


class Folder:
    """Reads files below `root`, which need not exist yet. Follows no symbolic link below it."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._files: dict[str, File] = {}
        self._size = 0
        self._large = asyncio.Lock()

    async def get(self, path: str) -> File | None:
        """The present version of the file for a decoded URL path, ``None`` if there is none. One look at the disk each time.

        A small file is read at once, a large one in a thread. Raises :class:`OSError` when the disk or the process is in trouble.
        """
        name = inside(path)
        if name is None:
            return None
        try:
            found = self._look(name)
            if found is None:
                return None
            if file := self._current(name, found):
                return file
            if found.st_size <= SMALL:
                return self._keep(name, self._read(name))
            async with self._large:  # one reader for all who ask meanwhile
                return self._current(name, found) or self._keep(name, await asyncio.to_thread(self._read, name))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            self._drop(name)
            return None

    def _look(self, name: str) -> os.stat_result | None:
        at = self._root
        *parents, last = name.split("/")
        for parent in parents:
            at = f"{at}/{parent}"
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                return None
        found = os.lstat(f"{at}/{last}")
        return found if stat.S_ISREG(found.st_mode) else None

    def _current(self, name: str, found: os.stat_result) -> File | None:
        file = self._files.get(name)
        return file if file is not None and file.state == _state(found) else None

    def _read(self, name: str) -> File:
        handle = os.open(f"{self._root}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as opened:  # noqa: PTH123 - a descriptor, not a path
            found = os.fstat(handle)
            data = opened.read()
        kind = media_type(name.rpartition("/")[2])
        # Level 1 for a large file: a reader waits for it at the lift.
        packed = gzip.compress(data, 6 if len(data) <= SMALL else 1, mtime=0) if "charset" in kind else data
        return File(
            state=_state(found),
            modified=_modified(found),
            media_type=kind,
            tag=hashlib.sha256(data).hexdigest()[:32],
            data=data,
            packed=packed if len(packed) < len(data) else None,
        )

    def _keep(self, name: str, file: File) -> File:
        self._drop(name)
        self._files[name] = file
        self._size += len(file.data)
        while self._size > KEPT and len(self._files) > 1:
            self._drop(next(iter(self._files)))
        return file

    def _drop(self, name: str) -> None:
        if file := self._files.pop(name, None):
            self._size -= len(file.data)
