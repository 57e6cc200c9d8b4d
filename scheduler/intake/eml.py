"""A saved mail: its subject, its text, and what its header says about when."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from scheduler.intake import commonmark
from scheduler.intake.characters import encoding
from scheduler.intake.hypertext import piece
from scheduler.intake.wire import SPEAKS_OF_EMBARGO, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scheduler.record import Brief

_PASSED_ON = re.compile(r"(?:(?:re|fwd?|aw|wg|tr|rv|i|enc|sv|vs|doorst)\s*:\s*)+", re.IGNORECASE)
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
_WRAPPED = 50
_ITEM = re.compile(r"\\?[-*+\u2022]|\d{1,3}[.)]")
_MOST_PARTS = 200
# What the standard library's readers of headers raise over the oddest of them.
_ODD = (
    MessageError,
    ArithmeticError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
)


def read(data: bytes, path: Path, origin: str) -> Brief:
    """The text of a mail. Raises :class:`~scheduler.errors.FileRefused`, which names places as headers and parts."""
    wire = Wire(path=path, origin=origin)
    try:
        mail = message_from_bytes(data, policy=policy.default)
        headers = [(name, str(value)) for name, value in mail.items()]
        parts = [*_leaves(mail, wire)]
    except _ODD:
        wire.refuse(
            "Its header or its parts can't be read.", "Save the mail anew, or copy its text into a Markdown file."
        )
    _from_header(headers, mail, wire)
    plain = [text for part in parts if (text := _text(part, "text/plain", wire)) is not None]
    pages = [text for part in parts if (text := _text(part, "text/html", wire)) is not None]
    _body(plain, pages, wire)
    _rest(parts, wire)
    return wire.brief()


def _leaves(mail: EmailMessage, wire: Wire) -> Iterator[EmailMessage]:
    """The parts that hold something. A mail inside a mail is one of them."""
    waiting, count = [mail], 0
    while waiting:
        part, count = waiting.pop(), count + 1
        if count > _MOST_PARTS or part.get_content_type() == "multipart/encrypted":
            problem = "Its parts are encrypted." if count <= _MOST_PARTS else f"It has more than {_MOST_PARTS} parts."
            wire.refuse(problem, "Copy its text into a Markdown file.")
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            waiting.extend(cast("list[EmailMessage]", part.get_payload())[::-1])
        else:
            yield part


def _from_header(headers: list[tuple[str, str]], mail: EmailMessage, wire: Wire) -> None:
    for name, value in headers:
        folded = name.casefold()
        if folded == "message-id":
            wire.name(value, "Message-ID")
        elif folded == "subject":
            wire.take("title", _PASSED_ON.sub("", value.strip(), count=1), "Subject")
        elif folded == "content-language":
            wire.take("language", value.split(",")[0], "Content-Language")
        elif folded in ("keywords", "comments"):
            wire.note(value)
        elif SPEAKS_OF_EMBARGO.search(folded):
            wire.embargo(value, name[:60])
    try:
        day = mail["date"].datetime if mail["date"] is not None else None
    except _ODD:
        day = None
    if day is not None:
        wire.dated("version", day.isoformat(), "Date")
    if mail["from"] is not None:
        wire.leave("who sent it")


def _text(part: EmailMessage, kind: str, wire: Wire) -> str | None:
    """The words of a part of this kind that is no attachment."""
    if part.get_content_type() != kind or _is_attached(part):
        return None
    name = encoding(str(part.get_content_charset("utf-8")))
    payload = part.get_payload(decode=True)
    if any(type(defect).__name__.startswith("InvalidBase64") for defect in part.defects):
        payload = None
    try:
        words = payload.decode(name) if name is not None and isinstance(payload, bytes) else None
    except (LookupError, ValueError):
        words = None
    if words is not None:
        return words.replace("\r\n", "\n").replace("\r", "\n")
    return wire.refuse(f"Its {kind} part is not in the encoding that it states.", "Copy its text into a Markdown file.")


def _is_attached(part: EmailMessage) -> bool:
    try:
        return part.get_content_disposition() == "attachment" or bool(part.get_filename())
    except _ODD:
        return True


def _body(plain: list[str], pages: list[str], wire: Wire) -> None:
    """Plain text before HTML; what the other says is read for an embargo."""
    words = "\n\n".join(plain)
    if words.strip():
        text, *signature = _SIGNATURE.split(words, maxsplit=1)
        parts = re.split(r"\n[ \t]*\n", text)
        wire.take("body", "\n\n".join(filter(None, map(_paragraph, parts))), "text/plain")
        for each in signature:
            wire.note(each)
    for page in pages:
        try:
            body, around = piece(page)
        except ValueError:
            wire.refuse("Its text/html part has too many elements.", "Copy its text into a Markdown file.")
        wire.note(around)
        wire.note(body) if "body" in wire.fields else wire.take("body", body, "text/html")


def _paragraph(text: str) -> str:
    """A paragraph; one whose every line is quoted stays a quotation."""
    lines = text.strip("\n").split("\n")
    if text.strip() and all(line.startswith(">") for line in lines):
        inner = commonmark.paragraph(commonmark.marks("\n".join(line.lstrip("> ") for line in lines)))
        return commonmark.indented(inner, "> ", "> ")
    # A long line was wrapped by a mail program; a short one was broken by a person.
    shown = commonmark.paragraph(commonmark.marks(text)).split("  \n")
    broken = ("  " if len(line) < _WRAPPED or _ITEM.match(after) else "" for line, after in pairwise(shown))
    return "\n".join(line + end for line, end in zip(shown, [*broken, ""], strict=True))


def _rest(parts: list[EmailMessage], wire: Wire) -> None:
    """What can't be taken: pictures inside the text are left out, attachments are for a person to see to."""
    attached = 0
    for part in parts:
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and not _is_attached(part):
            continue
        if kind.startswith("image/") and part.get("content-id") and part.get_content_disposition() != "attachment":
            wire.leave("pictures")
        elif kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            wire.refuse("Its parts are encrypted.", "Copy its text into a Markdown file.")
        elif not kind.startswith("application/pkcs7-sig") and kind != "application/pgp-signature":
            attached += 1
    if attached:
        wire.leave(f"{attached} attachments" if attached > 1 else "an attachment")
        them = "an attachment, which is" if attached == 1 else f"{attached} attachments, which are"
        wire.doubt(f"The mail has {them} not taken: to send out such a file, write a Markdown record that names it.")
