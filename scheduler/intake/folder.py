"""A folder of record files, looked at again and again; each version of a file is handed on once, when it is whole."""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.errors import FileRefused
from scheduler.intake import LIMIT, attachments, is_record, is_searched, read
from scheduler.intake.fields import Unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.record import Brief

_Signature = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing to know about a file: its brief, why it was refused, or (``found is None``) that it has vanished.

    `digest` tells this version of it, with its attachments, from others; it is empty where the file could not be read.
    """

    path: Path
    origin: str
    found: Brief | FileRefused | None = field(repr=False)
    digest: str = ""


@dataclass(slots=True, kw_only=True)
class _File:
    version: tuple[_Signature, ...]  # its own signature, then that of each of its attachments
    since: float
    wait: float
    beside: tuple[str, ...] = ()  # the paths of the attachments it was last found to name
    told: str = ""  # the digest last spoken of, or the words of a refusal without one
    is_settled: bool = False


_AT_ONCE = 200
"""So many files are read in one look: a new one does not wait for thousands that are looked through again."""


class Folder:
    """Watches one folder and those inside it. It reads no clock and starts nothing: its owner calls :meth:`look`.

    A file is read when two looks at least `settle` seconds apart found it, and the attachments it names, the same (size, times,
    inode). One that breaks off (an empty file, front matter or a quote without an end), or whose attachments do or are not there
    yet, has until `grace` seconds after it last changed.
    """

    def __init__(self, folder: Path, *, settle: float = 0.2, grace: float = 2.0) -> None:
        self.folder = folder
        self._settle = settle
        self._grace = grace
        self._files: dict[Path, _File] = {}

    @property
    def next_look(self) -> float | None:
        """The monotonic time at which the next file may be whole; ``None`` when nothing waits."""
        waiting = [file.since + file.wait for file in self._files.values() if not file.is_settled]
        return min(waiting, default=None)

    def forget(self, path: Path) -> None:
        """Hands the file at `path` on once more: what was made of it could not be kept."""
        self._files.pop(path, None)

    def look(self, monotonic: float) -> list[Seen]:
        """What there is to know since the last look, ordered by path. `monotonic` is in seconds and never goes back.

        Of many files that are whole the newest are read; the others are for the next look, which is due at once.
        """
        present, unreachable = _signatures(self.folder)
        versions = {path: self._version(path, signature) for path, signature in present.items()}
        seen = []
        for path in [path for path in self._files if path not in present]:
            if not unreachable.isdisjoint(path.parents):
                # A folder out of reach says nothing about its files.
                versions[path] = self._files[path].version
            elif self._files.pop(path).told and is_record(path):
                seen.append(Seen(path=path, origin=_origin(path), found=None))
        whole = []
        for path, version in versions.items():
            known = self._files.get(path)
            if known is None or known.version != version:
                told, beside = (known.told, known.beside) if known else ("", ())
                self._files[path] = _File(version=version, since=monotonic, wait=self._settle, told=told, beside=beside)
            elif not known.is_settled and monotonic >= known.since + known.wait:
                whole.append(path)
        newest = heapq.nlargest(_AT_ONCE, whole, key=lambda path: self._files[path].version[0])
        return [*seen, *filter(None, (self._read(path, self._files[path]) for path in sorted(newest)))]

    def _version(self, path: Path, signature: _Signature) -> tuple[_Signature, ...]:
        known = self._files.get(path)
        return (signature, *map(_signature_at, known.beside if known else ()))

    def _read(self, path: Path, file: _File) -> Seen | None:
        origin = _origin(path)
        found: Brief | FileRefused
        try:
            if origin != str(path):
                raise _refused(origin, "Its name is not UTF-8.", "Rename the file.")
            whole = self._whole(path, file)
            if whole is None:
                return None
            found, digest = whole
        except FileRefused as error:
            # What was not read (a link, a file too large, a bad attachment) was put there by somebody: a version like any other.
            found, digest = error, hashlib.sha256(f"{error} {file.version}".encode()).hexdigest()
        except OSError as error:
            problem = f"It can't be read ({os.strerror(error.errno or 0)})."
            found, digest = _refused(origin, problem, "Check that it exists and its permissions."), ""
        if file.wait < self._grace and _may_pass(found):
            file.wait = self._grace
            return None
        file.is_settled = True
        word = digest or str(found)
        if word == file.told:
            return None
        file.told = word
        return Seen(path=path, origin=origin, found=found, digest=digest)

    def _whole(self, path: Path, file: _File) -> tuple[Brief | FileRefused, str] | None:
        """What is in the file, with its attachments, and its digest; ``None`` where either changed since it was looked at."""
        data = self._bytes(path, file.version[0])
        if data is None:
            return None
        try:
            brief = read(path, data=data, origin=str(path))
        except FileRefused as error:
            return error, hashlib.sha256(data).hexdigest()
        beside = tuple(each.path for each in brief.enclosed)
        if beside != file.beside:
            file.beside = beside  # from the next look on they too have to stand still
            return None
        brief = attachments.look(brief, folder=self.folder)
        return (brief, brief.whole_digest) if file.version[1:] == tuple(map(_signature_at, beside)) else None

    def _bytes(self, path: Path, signature: _Signature) -> bytes | None:
        """The bytes of a regular file inside the folder, or ``None`` if it changed since it was looked at."""
        real = os.path.realpath(path, strict=True)
        if _leads_out(real, self.folder):
            raise _refused(str(path), "This link leads out of the folder.", "Put the file itself here.")
        # Between the check and here the name may have become a link, or a pipe whose opening would wait for ever.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(str(path), "This is not a regular file.", "Put a plain file here.")
            if status.st_size > LIMIT:
                raise _refused(str(path), "The file is larger than 5 MB.", "A record is text: shorten it.")
            data = stream.read(LIMIT + 1)
            return data if signature[-len(_signature(status)) :] == _signature(os.fstat(handle)) else None


def load(path: Path, *, folders: Sequence[Path] = (), named: str | None = None) -> Seen:
    """One record file as it is now, with its attachments; `named` is how a refusal calls it, if not by its path.

    They have to lie in the one of `folders` in which the file is, or in its own where it is in none.
    """
    found: Brief | FileRefused
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT + 1)
    except OSError as error:
        found = _refused(named or str(path), f"It can't be read: {error.strerror}.", "Check its path.")
        return Seen(path=path, origin=_origin(path), found=found)
    digest = hashlib.sha256(data).hexdigest()
    try:
        found = read(path, data=data, origin=str(path))
        folder = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        found = attachments.look(found, folder=folder)
        digest = found.whole_digest
    except FileRefused as error:
        found = error
    return Seen(path=path, origin=_origin(path), found=found, digest=digest)


def _may_pass(found: Brief | FileRefused) -> bool:
    """Whether a file is likely to be still on its way: it breaks off, or an attachment of it does or is not there."""
    if isinstance(found, FileRefused):
        return isinstance(found, Unfinished)
    return not all(each.attachment.digest for each in found.enclosed)


def _origin(path: Path) -> str:
    """A path as text; bytes that are none, which neither database nor log could hold, are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _refused(file: str, problem: str, remedy: str) -> FileRefused:
    return FileRefused(file=file, problem=problem, remedy=remedy)


def _signature(status: os.stat_result) -> _Signature:
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _signature_at(path: str) -> _Signature:
    try:
        return _signature(os.stat(path))  # noqa: PTH116 - a string, as the record has it
    except OSError:
        return ()


def _leads_out(real: str, folder: Path) -> bool:
    return not Path(real).is_relative_to(os.path.realpath(folder))


def _signatures(folder: Path) -> tuple[dict[Path, _Signature], set[Path]]:
    """What tells one version from another, for each file that may be a record and whatever else there is to complain of:
    links to folders outside, and folders that can't be read, which are also given apart.
    """
    errors: list[OSError] = []
    present: dict[Path, _Signature] = {}
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if is_searched(name)]
        for path in (Path(parent, name) for name in (*folders, *files)):
            is_folder = path.name in folders
            if is_folder and not (path.is_symlink() and _leads_out(os.path.realpath(path), folder)):
                continue
            if not is_folder and not is_record(path):
                continue
            with suppress(OSError):  # gone since the folder was listed, or a link that leads nowhere
                present[path] = _signature(path.lstat())
                present[path] += _signature(path.stat()) if path.is_symlink() else ()
    failed = {Path(error.filename): (error.errno or 0,) for error in errors}
    # A folder inside that has just gone took its files along; the folder itself may have been unmounted.
    failed = {path: signature for path, signature in failed.items() if path == folder or signature != (errno.ENOENT,)}
    return present | failed, set(failed)
