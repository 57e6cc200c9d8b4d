"""Record files that people write: Markdown with front matter, YAML alone, transcripts in plain text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scheduler.errors import FileRefused
from scheduler.intake import transcript
from scheduler.intake.characters import decoded
from scheduler.intake.fields import Marked, Unfinished, load
from scheduler.intake.matter import Matter, WithBody, check, id_of
from scheduler.record import Brief

if TYPE_CHECKING:
    from pathlib import Path

_FENCE = "---"
_ADD_TITLE = "Begin the file with `---`, `title: …`, `---` on three lines of their own."
_HEADING = re.compile(r" {0,3}#[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_NO_MATTER = Marked(tree={}, lines={}, text_lines={})


def markdown(data: bytes, path: Path, origin: str) -> Brief:
    """A Markdown file: the first heading is the title where the front matter has none."""
    matter, marked, rest, line = _front_matter(decoded(data, origin), origin)
    title, body = (matter.title, rest) if matter.title else _heading(rest)
    return _brief(title, body, line, matter=matter, marked=marked, path=path, origin=origin)


def yaml(data: bytes, path: Path, origin: str) -> Brief:
    """A YAML file, whose text stands under ``body``."""
    marked = load(decoded(data, origin), file=origin)
    whole = check(WithBody, marked, file=origin)
    line = marked.text_line_of(("body",))
    return _brief(whole.title, whole.body, line, matter=whole, marked=marked, path=path, origin=origin)


def text(data: bytes, path: Path, origin: str) -> Brief:
    """A transcript in plain text, or any text whose front matter has a title."""
    words = decoded(data, origin)
    matter, marked, rest, line = (
        _front_matter(words, origin) if _starts_with_fence(words) else (Matter(), _NO_MATTER, words, 1)
    )
    found = transcript.read(rest, title=matter.title)
    if not (found.is_transcript or matter.title):
        raise FileRefused(
            file=origin,
            line=1,
            problem="This text is not a transcript: no line begins with a speaker in capitals and a colon.",
            remedy=f"{_ADD_TITLE} Or save it as `.md`.",
        )
    return _brief(found.title, found.body, line, matter=matter, marked=marked, path=path, origin=origin, found=found)


def _brief(
    title: str | None,
    body: str,
    body_line: int,
    *,
    matter: Matter,
    marked: Marked,
    path: Path,
    origin: str,
    found: transcript.Transcript = transcript.NOTHING,
) -> Brief:
    if not title or len(title) > 300:
        raise FileRefused(
            file=origin,
            line=1,
            problem="No title was found." if not title else "The title is longer than 300 characters.",
            remedy="Add a line `title: …`." if found is transcript.NOTHING else _ADD_TITLE,
        )
    first = next((number for number, line in enumerate(body.split("\n")) if line.strip()), None)
    if first is None:
        raise FileRefused(file=origin, line=body_line, problem="The record has no text.", remedy="Write it here.")
    return Brief(
        id=matter.id or id_of(path.stem, file=origin),
        origin=origin,
        digest="",
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
