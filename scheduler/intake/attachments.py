"""The files that a record names as its attachments: inside its folder, of a known kind and size, and told by their digest."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.errors import EmbargoError, FileRefused
from scheduler.intake import is_record, is_searched
from scheduler.intake.fields import Unfinished
from scheduler.media import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from scheduler.media import Kind
    from scheduler.record import Brief, Enclosed

LIMIT = 25_000_000
"""The largest attachment that is taken, in bytes."""
_CHUNK = 256 * 1024
_TAIL = 65_557  # a ZIP's directory ends with 22 bytes and a comment of at most 65,535


class _Unfit(Exception):
    """What is wrong with a file, and what to do about it: two sentences, in which it has no name."""

    def __init__(self, problem: str, remedy: str, *, may_pass: bool = False) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.may_pass = may_pass


def look(brief: Brief, *, folder: Path) -> Brief:
    """`brief` with the size and digest of each attachment that is there and can be read; another's digest stays empty.

    They have to lie in `folder` or below. Raises :class:`~scheduler.errors.FileRefused` with the line that names the attachment,
    :class:`~scheduler.intake.fields.Unfinished` where it breaks off.
    """
    seen = []
    for number, each in enumerate(brief.enclosed, 1):
        try:
            seen.append(_looked_at(each, folder))
        except OSError:  # not there, or out of reach
            seen.append(each)
        except _Unfit as unfit:
            kind = Unfinished if unfit.may_pass else FileRefused
            # Not by its name, which may say as much as the text.
            problem = f"Attachment {number} {unfit.problem}"
            raise kind(file=brief.origin, line=each.line, problem=problem, remedy=unfit.remedy) from None
    return replace(brief, enclosed=tuple(seen))


def _looked_at(enclosed: Enclosed, folder: Path) -> Enclosed:
    real, home = Path(os.path.realpath(enclosed.path)), os.path.realpath(folder)
    if not real.is_relative_to(home):
        raise _Unfit("leads out of the records folder.", "Put the file itself into the folder.")
    inside = real.relative_to(home)
    if is_record(inside) and all(map(is_searched, inside.parts[:-1])):
        raise _Unfit(
            "lies where it is taken for a record of its own.",
            "Put it into a folder whose name ends in `.files`: such a folder is not searched for records.",
        )
    kind = kind_of(enclosed.attachment.name)
    assert kind is not None
    found, size, tail = hashlib.sha256(), 0, b""
    sound = _Soundness(kind)
    with _opened(real) as stream:
        while data := stream.read(_CHUNK):
            sound.take(data, is_first=not size)
            size += len(data)
            if size > LIMIT:
                raise _Unfit(
                    "is larger than 25 MB.", "Make it smaller, or put it elsewhere and link to it in the text."
                )
            found.update(data)
            tail = (tail + data)[-_TAIL:]
    if not size:
        raise _Unfit("is empty.", "Save it again, or take it out of `attachments`.", may_pass=True)
    sound.end(tail)
    return replace(enclosed, attachment=replace(enclosed.attachment, size=size, digest=found.hexdigest()))


class _Soundness:
    """Whether bytes are what their name says, told while they pass."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._text = codecs.getincrementaldecoder("utf-8")() if kind.is_text else None

    def take(self, data: bytes, *, is_first: bool) -> None:
        if is_first and self._kind.start is not None and not self._kind.start.match(data):
            raise _Unfit(
                f"is not what its name says: it does not begin like {self._kind.media_type}.",
                "Save it anew in that form, or give it the ending that fits.",
                may_pass=True,  # some programs reserve a file's place before they fill it
            )
        try:
            if self._text is not None and "\0" in self._text.decode(data):
                raise _Unfit("is not a text.", "Give it the ending that fits.")
        except UnicodeDecodeError:
            raise _Unfit("is not UTF-8.", "Save it as UTF-8.") from None

    def end(self, tail: bytes) -> None:
        breaks_off = self._kind.end not in tail
        try:
            if self._text is not None:
                self._text.decode(b"", final=True)
        except UnicodeDecodeError:
            breaks_off = True
        if breaks_off:
            raise _Unfit("breaks off: its end is missing.", "Save or copy it anew.", may_pass=True)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    # Between the check and here the name may have become a link, or a pipe whose opening would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _Unfit("is not a regular file.", "Put a plain file there.")
    with os.fdopen(handle, "rb") as stream:
        yield stream


def chunks(enclosed: Enclosed) -> Iterator[bytes]:
    """The bytes of an attachment, 256 KiB at a time. Raises :class:`~scheduler.errors.EmbargoError` where they have gone."""
    try:
        with _opened(Path(os.path.realpath(enclosed.path))) as stream:
            while data := stream.read(_CHUNK):
                yield data
    except (_Unfit, OSError):
        raise changed() from None


def changed() -> EmbargoError:
    """What is to be said when an attachment is no longer what it was a moment ago."""
    return EmbargoError("An attachment changed while it was being taken in, so its record was not. Try again.")
