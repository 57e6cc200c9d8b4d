"""Who may read what is written: modes that no umask changes, and private things that others can reach."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PRIVATE = 0o700
PUBLIC = 0o755
_OTHERS = 0o077
_ALL = 0o007


def folder(path: Path, mode: int) -> None:
    """Makes a folder and those that are missing above it, each with `mode`; one that is there keeps its own.

    Raises :class:`OSError`, also where a file or a link to nothing has the name.
    """
    if path.is_dir():
        return
    try:
        path.mkdir(mode)
    except FileNotFoundError:
        folder(path.parent, mode)
        path.mkdir(mode, exist_ok=True)
    except FileExistsError:
        if path.is_dir():
            return  # another process was quicker
        raise
    # What the umask took is given back; what the folder above handed down (setgid) stays.
    path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)


def private_file(path: Path) -> int:
    """A descriptor to write a new file that is its owner's alone. Raises :class:`OSError`, where it is there already too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """Something private that others than its owner can reach; `remedy` is the command that mends it."""

    path: Path
    mode: int

    @property
    def remedy(self) -> str:
        """Left to the owner: who shares a folder on purpose must not find it closed."""
        return f"chmod go-rwx {shlex.quote(str(self.path))}"

    def __str__(self) -> str:
        return f"{self.path} has mode {self.mode:04o}: others than its owner can reach it. To mend it: {self.remedy}"


def loose(paths: Iterable[Path]) -> list[Loose]:
    """Which of these files and folders others can reach; links are followed, what is not there is none of them.

    With a file go the files beside it whose names begin with its own: a database's ``-wal``, an editor's ``.bak``.
    """
    found: dict[Path, Loose] = {}
    for path in paths:
        real = Path(os.path.realpath(path))
        beside = real.parent.iterdir() if real.is_file() else [real]
        for each in sorted(each for each in beside if each.name.startswith(real.name)):
            try:
                mode = stat.S_IMODE(each.stat().st_mode)
            except OSError:
                continue  # gone, or not ours to look at
            # A folder that its group may write to is shared on purpose: an office drops its records there.
            shared = each.is_dir() and mode & stat.S_IWGRP
            if mode & (_ALL if shared else _OTHERS):
                found[each] = Loose(path=each, mode=mode)
    return list(found.values())
