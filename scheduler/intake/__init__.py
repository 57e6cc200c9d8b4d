"""Record files turned into briefs, one module a format; each problem is told with its line and what to write instead."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from scheduler.errors import FileRefused
from scheduler.intake import eml, html, newsml, ninjs, written
from scheduler.intake.fields import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scheduler.record import Brief

__all__ = ["FORMATS", "LIMIT", "is_record", "is_searched", "read"]

LIMIT = 5_000_000
"""The largest record file that is read, in bytes."""

FORMATS: Mapping[str, Callable[[bytes, Path, str], Brief]] = {
    ".md": written.markdown,
    ".markdown": written.markdown,
    ".yaml": written.yaml,
    ".yml": written.yaml,
    ".txt": written.text,
    ".html": html.read,
    ".htm": html.read,
    ".json": ninjs.read,
    ".xml": newsml.read,
    ".eml": eml.read,
}
"""By suffix, what makes a brief, still without its digest, of a file's bytes, its path, and how a refusal calls it."""


_BESIDE_A_PAGE = ("_files", "-files", "-dateien", "_fichiers", "_archivos", "_file")


def is_record(path: Path) -> bool:
    """Whether a file of this name is taken for a record. Hidden files, editors' backups, READMEs, and the frames that browsers
    save beside a page are not.
    """
    return (
        path.suffix.casefold() in FORMATS
        and not (FORMATS[path.suffix.casefold()] is html.read and path.parent.name.casefold().endswith(_BESIDE_A_PAGE))
        and not path.name.startswith((".", "#", "~"))
        and path.stem.casefold() != "readme"
    )


def is_searched(folder: str) -> bool:
    """Whether records are looked for in a folder of this name: not in a hidden one, nor in `….files`, which holds attachments."""
    return not folder.startswith(".") and not folder.casefold().endswith(".files")


def read(path: Path, *, data: bytes, origin: str) -> Brief:
    """The brief in a record file's bytes; `path` gives the format and, without an ``id``, the id; it is not opened.

    Nor are its attachments: :func:`scheduler.intake.attachments.look` does that.
    Raises :class:`~scheduler.errors.FileRefused` for `origin` where the file can't be taken exactly as it stands.
    """
    if len(data) > LIMIT:
        raise FileRefused(file=origin, problem="The file is larger than 5 MB.", remedy="A record is text: shorten it.")
    if not data.strip():
        raise Unfinished(file=origin, problem="The file is empty.", remedy="Write the record, or delete the file.")
    brief = FORMATS.get(path.suffix.casefold(), written.text)(data, path, origin)
    return replace(brief, digest=hashlib.sha256(data).hexdigest())
