"""The site folder: pages and feeds, each replaced at one stroke."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from contextlib import suppress
from pathlib import Path

from scheduler import permissions
from scheduler.errors import SiteRefused

_STALE = ".embargo-*.tmp"
_NUMBERS = itertools.count()
_REMEDIES = {
    errno.ENOSPC: "Free some space on that disk.",
    errno.EDQUOT: "Raise the quota of the service's user, or free some space.",
    errno.EROFS: "Mount that file system writable.",
    errno.EACCES: "Let the service's user write there.",
    errno.EPERM: "Let the service's user write there.",
    errno.ENAMETOOLONG: "Give the record a shorter id.",
}


class Site:
    """A folder that readers see at every moment with each file whole: the old one or the new one.

    It has one writer. Nothing waits for the disk: after a power cut the site is written again from the table. Hand in only what
    is released: even what is half written lies in this very folder. Every failure is a `SiteRefused`.

    Everybody may read it, whatever the umask. The folder itself may be a link. A link in place of a file is replaced, and what it
    led to is left alone; one in place of a folder within is refused: what is written there would lie elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self._root = os.path.abspath(folder)  # noqa: PTH100 - strings: a pathlib join costs as much as a system call
        # Two of these may stand side by side in one process while settings change: each has a name of its own.
        self._temporary = f".embargo-{os.getpid()}-{next(_NUMBERS)}.tmp"
        try:
            permissions.folder(Path(self._root), permissions.PUBLIC)
        except OSError as error:
            raise _refused(self._root, error) from error

    def sweep(self) -> None:
        """Takes away what a process that was killed left half written. For the folder's one writer alone."""
        try:
            for stale in Path(self._root).rglob(_STALE):
                if not stale.name.startswith(f".embargo-{os.getpid()}-"):
                    stale.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(self._root, error) from error

    def has(self, path: str) -> bool:
        """Whether there is a file at `path`."""
        try:
            return stat.S_ISREG(os.lstat(self._file(path)).st_mode)
        except OSError:
            return False

    def mentions(self, path: str, mark: bytes) -> bool:
        """Whether the file at `path` holds `mark`; a folder, or one that is gone, does not."""
        try:
            return mark in Path(self._file(path)).read_bytes()
        except OSError:
            return False

    def put(self, path: str, data: bytes, *, new: bool = False) -> bool:
        """Makes the file at `path` (relative, ``/`` between folders) hold `data`; False, and untouched, if it does already.

        `new` says that the caller knows it does not, which saves reading it.
        """
        file = self._file(path)
        try:
            if not new and _holds(file, data):
                return False
            try:
                self._write(file, data)
            except FileNotFoundError:
                permissions.folder(Path(file).parent, permissions.PUBLIC)
                self._write(file, data)
        except OSError as error:
            raise _refused(file, error) from error
        return True

    def remove(self, path: str) -> None:
        """Takes the file at `path` away, and its folder if it was the last one there; one that is not there is no error."""
        file = self._file(path)
        try:
            Path(file).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _refused(file, error) from error
        with suppress(OSError):  # not empty
            Path(file).parent.rmdir()

    def listed(self, folder: str) -> list[str]:
        """The paths of all directly inside `folder` that is no folder; none where there is no such folder."""
        return [f"{folder}/{entry.name}" for entry in self._entries(folder) if not entry.is_dir(follow_symlinks=False)]

    def folders(self, folder: str) -> list[str]:
        """The paths, each with a ``/`` at its end, of the folders directly inside `folder`."""
        return [f"{folder}/{entry.name}/" for entry in self._entries(folder) if entry.is_dir(follow_symlinks=False)]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._file(folder)) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _file(self, path: str) -> str:
        if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
            problem, remedy = "This is no path inside the site folder.", "Give the record another id."
            raise SiteRefused(file=repr(path), problem=problem, remedy=remedy)
        at = self._root
        for part in path.split("/")[:-1]:
            at = f"{at}/{part}"
            if os.path.islink(at):  # noqa: PTH114 - as above
                problem, remedy = "This is a link, and no reader is led out of the site.", "Put a folder in its place."
                raise SiteRefused(file=at, problem=problem, remedy=remedy)
        return f"{self._root}/{path}"

    def _write(self, file: str, data: bytes) -> None:
        temporary = f"{file[: file.rindex('/')]}/{self._temporary}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            try:
                os.fchmod(descriptor, 0o644)
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.replace(temporary, file)  # noqa: PTH105 - as above
        except OSError:
            os.unlink(temporary)  # noqa: PTH108 - as above
            raise


def _holds(file: str, data: bytes) -> bool:
    try:
        found = os.lstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size != len(data):
            return False
        with open(file, "rb", buffering=0) as present:  # noqa: PTH123 - as above
            return present.readall() == data
    except FileNotFoundError:
        return False


def _refused(file: str, error: OSError) -> SiteRefused:
    remedy = _REMEDIES.get(error.errno or 0, "See that it is a folder the service's user can write to.")
    return SiteRefused(file=file, problem=f"This can't be written: {os.strerror(error.errno or 0)}.", remedy=remedy)
