"""Record files turned into briefs, one module a format; each problem is told with its line and what to write instead."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from scheduler.errors import FileRefused
from scheduler.intake import transcript
from scheduler.intake.fields import Marked, Unfinished, load
from scheduler.intake.matter import FORBIDDEN, Matter, WithBody, check, id_of
from scheduler.record import Brief

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LIMIT", "is_record", "is_searched", "read"]

LIMIT = 5_000_000
"""The largest record file that is read, in bytes."""

_MARKDOWN = (".md", ".markdown")
_YAML = (".yaml", ".yml")
_FENCE = "---"
_ADD_TITLE = "Begin the file with `---`, `title: …`, `---` on three lines of their own."
_HEADING = re.compile(r" {0,3}#[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")


def is_record(path: Path) -> bool:
    """Whether a file of this name is taken for a record. Hidden files, editors' backups and READMEs are not."""
    return (
        path.suffix.casefold() in (*_MARKDOWN, *_YAML, ".txt")
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
    text = _decoded(data, origin)
    digest = hashlib.sha256(data).hexdigest()
    suffix = path.suffix.casefold()
    found = transcript.NOTHING
    if suffix in _YAML:
        marked = load(text, file=origin)
        whole = check(WithBody, marked, file=origin)
        matter: Matter = whole
        title, body, body_line = whole.title, whole.body, marked.text_line_of(("body",))
    elif suffix in _MARKDOWN:
        matter, marked, rest, body_line = _front_matter(text, origin)
        title, body = (matter.title, rest) if matter.title else _heading(rest)
    else:
        matter, marked, rest, body_line = (
            _front_matter(text, origin) if _starts_with_fence(text) else (Matter(), _NO_MATTER, text, 1)
        )
        found = transcript.read(rest, title=matter.title)
        title, body = found.title, found.body
    if suffix == ".txt" and not (found.is_transcript or matter.title):
        raise FileRefused(
            file=origin,
            line=1,
            problem="This text is not a transcript: no line begins with a speaker in capitals and a colon.",
            remedy=f"{_ADD_TITLE} Or save it as `.md`.",
        )
    if not title or len(title) > 300:
        raise FileRefused(
            file=origin,
            line=1,
            problem="No title was found." if not title else "The title is longer than 300 characters.",
            remedy=_ADD_TITLE if suffix == ".txt" else "Add a line `title: …`.",
        )
    first = next((number for number, line in enumerate(body.split("\n")) if line.strip()), None)
    if first is None:
        raise FileRefused(file=origin, line=body_line, problem="The record has no text.", remedy="Write it here.")
    return Brief(
        id=matter.id or id_of(path.stem, file=origin),
        origin=origin,
        digest=digest,
        title=title,
        body="\n".join(body.split("\n")[first:]).rstrip(),
        body_line=body_line + first,
        embargo=matter.stated(marked),
        summary=matter.summary,
        topics=tuple(matter.topics),
        attribution=matter.attribution or found.attribution,
        withhold=tuple(matter.withhold),
        lists=None if matter.lists is None else tuple(matter.lists),
        contact=matter.contact,
        source=matter.source or found.source,
        language=matter.language,
        correction=matter.correction,
        issued=matter.issued,
        seen=found.seen,
        moderator=found.moderator,
        speakers=found.speakers,
        questions=found.questions,
        enclosed=matter.enclosed(marked, path.parent),
    )


_NO_MATTER = Marked(tree={}, lines={}, text_lines={})


def _decoded(data: bytes, file: str) -> str:
    """The text, read as UTF-8, with line feeds at its line ends and without a byte order mark."""
    if len(data) > LIMIT:
        raise FileRefused(file=file, problem="The file is larger than 5 MB.", remedy="A record is text: shorten it.")
    if not data.strip():
        raise Unfinished(file=file, problem="The file is empty.", remedy="Write the record, or delete the file.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileRefused(file=file, line=1, problem="The file is saved as UTF-16.", remedy="Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = Unfinished if error.reason == "unexpected end of data" else FileRefused
        line = len(re.split(rb"\r\n?|\n", data[: error.start]))
        raise kind(file=file, line=line, problem="The file is not UTF-8 here.", remedy="Save it as UTF-8.") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if bad := FORBIDDEN.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise FileRefused(
            file=file,
            line=line,
            problem=f"A control character, U+{ord(bad[0]):04X}, stands here; no feed can carry it.",
            remedy="Delete it.",
        )
    return text


def _starts_with_fence(text: str) -> bool:
    return text.split("\n", 1)[0].rstrip() == _FENCE


def _front_matter(text: str, file: str) -> tuple[Matter, Marked, str, int]:
    """The metadata between the two ``---`` lines, what follows, and the line on which that begins."""
    lines = text.split("\n")
    if not _starts_with_fence(text):
        raise FileRefused(
            file=file,
            line=1,
            problem="The first line is not `---`, so there is no front matter.",
            remedy="Begin with `---`, then `title: …` and `embargo: …`, then `---`, each on a line of its own.",
        )
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in (_FENCE, "...")), None)
    if end is None:
        raise Unfinished(
            file=file, line=1, problem="The front matter has no end.", remedy="Write a line `---` below its last key."
        )
    marked = load("\n".join(lines[1:end]), file=file, first_line=2)
    return check(Matter, marked, file=file), marked, "\n".join(lines[end + 1 :]), end + 2


def _heading(body: str) -> tuple[str | None, str]:
    """The first ``# heading`` outside code, and the body in which its line is empty."""
    lines = body.split("\n")
    is_code = False
    for number, line in enumerate(lines):
        is_code ^= line.lstrip().startswith(("```", "~~~"))
        if not is_code and (heading := _HEADING.fullmatch(line)) and heading["title"]:
            return heading["title"], "\n".join((*lines[:number], "", *lines[number + 1 :]))
    return None, body
