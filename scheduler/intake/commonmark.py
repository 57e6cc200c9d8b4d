"""CommonMark that shows exactly what a text says (CommonMark 0.31, sections 2.4 and 6)."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\`*_<|]|&(?=#?\w+;)|](?=[(:\[])")
_LINE_START = re.compile(r"(?P<number>\d{1,9})(?=[.)](?:\s|$))|(?=[#>~]|[-+=:])")
_DAY = re.compile(r"(\d{1,9}[.)]) (?=\S)")
_EDGES = re.compile(r"([\W_]*)(.*?)([\W_]*)", re.DOTALL)
_IN_ADDRESS = re.compile(r"[\s<>()\\\"]")


def marks(text: str) -> str:
    """`text` with the signs escaped that mean something anywhere in a line."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], text)


def start(line: str) -> str:
    """`line` with the sign escaped that would make a list, a heading or another block of it."""
    return (
        _LINE_START.sub(lambda match: f"{match['number'] or ''}\\", line, count=1) if _LINE_START.match(line) else line
    )


def escaped(line: str) -> str:
    """`line` as CommonMark that shows exactly its characters."""
    return start(marks(line))


def paragraph(text: str) -> str:
    """Running text, its marks made already, whose line ends are kept as hard breaks.

    A day at the start of a line, such as "1. Dezember", keeps its full stop without a backslash, so that it is still read as one.
    """
    lines = (line.strip() for line in text.strip().split("\n"))
    return "  \n".join(_DAY.sub("\\1\u00a0", line, count=1) if _DAY.match(line) else start(line) for line in lines)


def emphasised(text: str, mark: str) -> str:
    """`text`, its marks made already, between `mark`; punctuation at its edges stays outside, where it could undo them."""
    edges = _EDGES.fullmatch(text)
    assert edges is not None
    before, core, after = edges.groups()
    if not core or "\n" in text or "](" in text or "*" in core:
        return text
    return f"{before}{mark}{core}{mark}{after}"


def link(words: str, address: str) -> str:
    """A link whose `words` have their marks made already."""
    target = _IN_ADDRESS.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), address)
    target = re.sub(r"&(?=#?\w+;)", "&amp;", target)
    return f"[{words.replace('[', chr(92) + '[').replace(']', chr(92) + ']')}]({target})"


def indented(text: str, first: str, others: str) -> str:
    """`text` with `first` before its first line and `others` before each further one."""
    lines = text.split("\n")
    return "\n".join(
        [first + lines[0], *((others + line).rstrip() if line.strip() else others.rstrip() for line in lines[1:])]
    )


def table(rows: list[list[str]]) -> str:
    """Cells, their marks made already, as a table whose first row is its head."""
    width = max(map(len, rows))
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def fenced(code: str) -> str:
    """A block whose lines stay as they are."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", code))])
    return f"{fence}\n{code.strip(chr(10))}\n{fence}"
