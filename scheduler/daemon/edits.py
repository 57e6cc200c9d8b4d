"""What tells one state of the settings from another: the file, the office's own templates, and the files of secrets."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from scheduler import config
from scheduler.config import Config

Signature = frozenset[tuple[str, int, int, int]]


def signature(settings: Config) -> Signature:
    """Changes when one of them is edited, replaced, made or deleted.

    Lists of readers are not among them: the mail worker takes each of them in by itself.
    """
    found = set()
    for path in (settings.file, *settings.secret_files, *(settings.templates.rglob("*") if settings.templates else ())):
        with suppress(OSError):
            status = path.stat()
            found.add((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return frozenset(found)


def read(file: Path) -> tuple[Config, Signature]:
    """The settings, and the signature of no later state than theirs. Raises :class:`~scheduler.errors.ConfigRefused`."""
    settings = config.read(file)
    while True:
        # Taken before the last reading: what is edited after that shows.
        seen = signature(settings)
        before, settings = settings, config.read(file)
        if (before.secret_files, before.templates) == (settings.secret_files, settings.templates):
            return settings, seen
