"""The files of a folder, each read once per change and packed once per coding, and all that their answers need."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import brotli

from scheduler import clock
from scheduler.media import KINDS
from scheduler.web.negotiate import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SMALL = 64 * 1024
"""Bytes up to which a file is quicker read and hashed than handed to a thread (about 0.1 ms)."""
PACKED_FROM = 512
"""Bytes from which a text is packed: a shorter one gains less than the header fields cost that say so."""
TICK = 0.02
"""Seconds that the clock by which the kernel dates files may be behind: it moves by up to 10 ms."""
KEPT = 128 * 1024 * 1024
"""Bytes of all files kept in memory, packed forms included; beyond, those loaded first are dropped."""

# The levels from which one more costs much time and saves few bytes: a reader waits for it at the lift. A feed of 1 MB takes 10
# to 25 ms, and comes out in brotli as small as from gzip's best, or smaller.
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "br": partial(brotli.compress, quality=5),
    "gzip": partial(gzip.compress, compresslevel=4, mtime=0),
}
# Our own table: the system's differs from machine to machine.
_TYPES = {
    "rss.xml": "application/rss+xml",
    "atom.xml": "application/atom+xml",
    "feed.json": "application/feed+json",
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
    "xml": "application/xml",
    **{suffix: kind.media_type for suffix, kind in KINDS.items() if kind.is_text},
}
_BINARY = {
    "ico": "image/x-icon",
    **{suffix: kind.media_type for suffix, kind in KINDS.items() if not kind.is_text},
}
_NAMES = re.compile(r"(?=/)(/[^/.\\\x00-\x1f\x7f\ud800-\udfff][^/\\\x00-\x1f\x7f\ud800-\udfff]*)*/?", re.ASCII)
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO}
_SECOND = 1_000_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One version of one file.

    ``tag`` is the first half of its SHA-256 in hex, ``forms`` its bytes by content coding, as far as they have been made, and
    ``shown`` is room for what is made of it once for all answers.
    ``modified`` is in seconds since the epoch: the end of the second in which this version took its place. Rounded up, a date
    that was given out with an earlier version is always smaller, even where two changes fall into one second, so that
    ``If-Modified-Since`` alone never hides a change.
    """

    name: str
    state: tuple[int, ...]
    modified: int
    media_type: str
    tag: str
    forms: dict[str, bytes] = field(repr=False)
    shown: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_text(self) -> bool:
        """Whether it is of one of our kinds of text, all in UTF-8."""
        return self.media_type.endswith("charset=utf-8")

    def coding(self, wanted: Sequence[str]) -> str:
        """The content coding for a reader who takes `wanted`, best first; where none of those will do, it is sent as it is."""
        return wanted[0] if wanted and self.is_text and len(self.forms[PLAIN]) >= PACKED_FROM else PLAIN


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


class Folder:
    """Reads files below `root`, which need not exist yet. Follows no symbolic link below it. Lives in one event loop."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._files: dict[str, File] = {}
        self._size = 0
        self._making: dict[object, asyncio.Future[Any]] = {}
        # Two at work leave no more of two cores than they must: the process that lifts needs one.
        self._makers = ThreadPoolExecutor(2)

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
            state = _state(found)
            before = self._files.get(name)
            if before is not None and before.state == state:
                return before
            if found.st_size <= SMALL:
                return self._keep(before, self._read(name))
            return await self._once((name, state), partial(self._read, name), partial(self._keep, before))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            self._drop(name)
            return None

    async def packed(self, file: File, coding: str) -> bytes:
        """The bytes of `file` in a content coding: made in a thread for the first who asks, who shares them with all others."""
        form = file.forms.get(coding)
        if form is None:

            def keep(made: bytes) -> bytes:
                file.forms[coding] = made
                kept = self._files.get(file.name)
                if kept is not None and kept.forms is file.forms:
                    self._grow(len(made))
                return made

            form = await self._once((id(file.forms), coding), partial(_PACKERS[coding], file.forms[PLAIN]), keep)
        return form

    async def _once(self, key: object, make: Callable[[], T], keep: Callable[[T], T]) -> T:
        # One maker for all who ask meanwhile; whoever goes away takes it from nobody.
        making = self._making.get(key)
        if making is None:

            async def made() -> T:
                try:
                    return keep(await asyncio.get_running_loop().run_in_executor(self._makers, make))
                finally:
                    del self._making[key]

            making = self._making[key] = asyncio.ensure_future(made())
        return await asyncio.shield(making)

    def _look(self, name: str) -> os.stat_result | None:
        at = self._root
        *parents, last = name.split("/")
        for parent in parents:
            at = f"{at}/{parent}"
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                return None
        found = os.lstat(f"{at}/{last}")
        return found if stat.S_ISREG(found.st_mode) else None

    def _read(self, name: str) -> File:
        now = clock.system().timestamp()
        handle = os.open(f"{self._root}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as opened:  # noqa: PTH123 - a descriptor, not a path
            found = os.fstat(handle)
            data = opened.read()
        # What was changed a moment ago may be changed again within the same tick, in a file of the same number: look again.
        settled = abs(now - found.st_ctime_ns / _SECOND) > TICK
        return File(
            name=name,
            state=_state(found) if settled else (),
            # A rename renews the time of change, and it is the rename that shows a version, however old its bytes.
            modified=found.st_ctime_ns // _SECOND + 1,
            media_type=media_type(name.rpartition("/")[2]),
            tag=hashlib.sha256(data).hexdigest()[:32],
            forms={PLAIN: data},
        )

    def _keep(self, before: File | None, file: File) -> File:
        if self._files.get(file.name) is not before:
            return file  # another version was read meanwhile, and this one may be the older
        if before is not None:
            # Touched, it is no new version. Replaced, it is never older than the one before, whatever the clock says.
            if before.tag == file.tag:
                file = replace(before, state=file.state)
            else:
                file = replace(file, modified=max(file.modified, before.modified))
            self._drop(file.name)
        self._files[file.name] = file
        self._grow(sum(map(len, file.forms.values())))
        return file

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > KEPT and len(self._files) > 1:
            self._drop(next(iter(self._files)))

    def _drop(self, name: str) -> None:
        if file := self._files.pop(name, None):
            self._size -= sum(map(len, file.forms.values()))
