"""Plain text in lines that fit a mail."""

from __future__ import annotations

import re
import unicodedata

_WIDE = "\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_OPENING = "「『（【《〈〔［｛"  # noqa: RUF001 - the wide forms are meant
_CLOSING = "、。，．：；！？」』）】》〉〕］｝ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々"  # noqa: RUF001 - as above
# What stays in one piece: a URL, blanks, a wide character with its punctuation, a word.
_PIECE = re.compile(rf"\s+|[{_OPENING}]*(?:[a-z]+://[^\s{_OPENING}{_CLOSING}]+|[{_WIDE}]|[^\s{_WIDE}]+)[{_CLOSING}]*")


def wrapped(text: str) -> str:
    """`text` in lines of 72 columns; what a line is continued on is indented as the line is.

    Lines end at blanks, or between wide characters, which count two columns; a URL and a word without blanks stay whole.
    """
    return "\n".join(_wrapped_line(line.rstrip()) for line in text.splitlines())


def _wrapped_line(text: str) -> str:
    indent = text[: len(text) - len(text.lstrip())]
    lines, line, used = [], "", 0
    for piece in _PIECE.findall(text):
        width = len(piece) if piece.isascii() else sum(map(_columns, piece))
        if used + width > 72 and not piece.isspace() and line.strip():
            lines.append(line.rstrip())
            line, used = indent, len(indent)
        line += piece
        used += width
    return "\n".join([*lines, line])


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
