"""Bytes turned into the characters of a text, or refused with the line on which they are none."""

from __future__ import annotations

import re

from scheduler.errors import FileRefused
from scheduler.intake.fields import Unfinished
from scheduler.intake.matter import FORBIDDEN

_ENCODINGS = re.compile(
    r"utf-?(8|16(le|be)?)|iso-?8859-\d{1,2}|windows-?125\d|cp125\d|latin-?1|(us-)?ascii|koi8-[ru]|macintosh|tis-620"
    r"|shift[_-]?jis|euc-(jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5(-hkscs)?",
    re.IGNORECASE,
)
# As browsers read them (WHATWG Encoding, section 4.2).
_MEANT = {
    "iso-8859-1": "windows-1252",
    "latin1": "windows-1252",
    "latin-1": "windows-1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}


def encoding(name: str) -> str | None:
    """The encoding that `name` stands for; ``None`` where texts are not sent in it."""
    name = name.strip().strip("\"'").casefold()
    if name in ("ascii", "us-ascii"):
        return "utf-8"
    return _MEANT.get(name, name) if _ENCODINGS.fullmatch(name) else None


def decoded(data: bytes, file: str) -> str:
    """The text, read as UTF-8, with line feeds at its line ends and without a byte order mark."""
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
