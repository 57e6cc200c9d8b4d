"""The kinds of file that may go out with a release: how each is named, sent, and told by its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file. A file of it begins with `start`, where there is one; without `end` in its last 64 KiB it breaks off."""

    media_type: str
    start: re.Pattern[bytes] | None = None
    end: bytes = b""
    is_text: bool = False  # UTF-8, and said to be

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


def _kind(media_type: str, start: bytes, end: bytes = b"") -> Kind:
    return Kind(media_type=media_type, start=re.compile(start, re.DOTALL), end=end)


def _zipped(media_type: str) -> Kind:
    # PKWARE's APPNOTE.TXT, sections 4.3.7 and 4.3.16: a file's header first, the directory's end last.
    return _kind(media_type, rb"PK\x03\x04", b"PK\x05\x06")


_JPEG = _kind("image/jpeg", rb"\xff\xd8\xff")
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"

# Nothing that a browser would run as a page of ours: no HTML, no SVG, no script.
KINDS = {
    "csv": Kind(media_type="text/csv", is_text=True),
    "docx": _zipped(f"{_OFFICE}.wordprocessingml.document"),
    "gif": _kind("image/gif", rb"GIF8[79]a"),
    "jpeg": _JPEG,
    "jpg": _JPEG,
    "m4a": _kind("audio/mp4", rb".{4}ftyp"),
    "mp3": _kind("audio/mpeg", rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"),
    "mp4": _kind("video/mp4", rb".{4}ftyp"),
    "odp": _zipped(f"{_OPEN}.presentation"),
    "ods": _zipped(f"{_OPEN}.spreadsheet"),
    "odt": _zipped(f"{_OPEN}.text"),
    "pdf": _kind("application/pdf", rb"%PDF-", b"%%EOF"),
    "png": _kind("image/png", rb"\x89PNG\r\n\x1a\n", b"IEND"),
    "pptx": _zipped(f"{_OFFICE}.presentationml.presentation"),
    "txt": Kind(media_type="text/plain", is_text=True),
    "webp": _kind("image/webp", rb"RIFF.{4}WEBP"),
    "xlsx": _zipped(f"{_OFFICE}.spreadsheetml.sheet"),
    "zip": _zipped("application/zip"),
}
"""By suffix, in lower case and without its dot."""


def kind_of(name: str) -> Kind | None:
    """The kind a file's name says it is of; ``None`` where it is none of ours."""
    _, dot, suffix = name.rpartition(".")
    return KINDS.get(suffix.casefold()) if dot else None
