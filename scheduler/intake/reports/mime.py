"""A message taken apart: whatever is wrong with it, text comes out."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from html import unescape

TEXT = 20_000
"""So many characters of what a person would read are looked at."""

RETURNED = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/rfc822-headers",
        "message/global-headers",
        "text/rfc822-headers",
        "text/rfc822",
    }
)

ADDRESS = re.compile(r"[^\s<>()\[\]\"';,:|=]{1,64}@[^\s<>()\[\]\"';,:|]{1,255}")
_SAID_BY = re.compile(r"\bhost \S{1,300} said:?", re.IGNORECASE)


def parts_of(message: Message) -> Iterator[Message]:
    """What the message consists of, in order, without what lies within a message that it carries."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting += [each for each in reversed(payload) if isinstance(each, Message)]
        else:
            yield part


def raw(part: Message) -> str:
    """The text of a part; of a carried message its header alone, unfolded. Wrong charsets and encodings do no harm."""
    payload = part.get_payload()
    if isinstance(payload, list):
        text = "\n\n".join(_flat(each) for each in payload[:200] if isinstance(each, Message))
        data = text.encode("ascii", "surrogateescape") if _fits(text) else text.encode("utf-8", "replace")
        encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
        if encoding == "base64":
            kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
            data = b64decode(kept[: len(kept) // 4 * 4] if len(kept) % 4 == 1 else kept + b"===")
        elif encoding == "quoted-printable":
            data = binascii.a2b_qp(data)
    else:
        decoded = part.get_payload(decode=True)
        data = decoded if isinstance(decoded, bytes) else b""
    text = _decoded(data, part.get_content_charset())
    if part.get_content_type() == "text/html":
        text = unescape(re.sub(r"<(?:br|/p|/div|/tr|/h\d)[^<>]{0,300}>", "\n", text, flags=re.IGNORECASE))
        text = unescape(re.sub(r"<[^<>]{1,1000}>", " ", text))
    return re.sub(r"\n[ \t]+(?=\S)", " ", text.replace("\r\n", "\n").replace("\r", "\n")) if _is_fields(part) else text


def _is_fields(part: Message) -> bool:
    return part.get_content_maintype() == "message" or part.get_content_type() in RETURNED


def _fits(text: str) -> bool:
    try:
        text.encode("ascii", "surrogateescape")
    except UnicodeError:
        return False
    return True


def _flat(message: Message) -> str:
    payload = message.get_payload()
    head = "\n".join(f"{name}: {value}" for name, value in message.raw_items())
    return f"{head}\n\n{payload if isinstance(payload, str) else ''}"


def _decoded(data: bytes, charset: str | None) -> str:
    for name in ("utf-8", charset, "latin-1"):
        try:
            text = data.decode(name or "latin-1")
        except (LookupError, UnicodeError, ValueError):
            continue
        return text.replace("\x00", "")  # UTF-16 taken for something else
    return ""


def values(message: Message, *names: str) -> Iterator[str]:
    """The header fields of these names as text on one line each."""
    for name in names:
        for value in message.get_all(name, ()):
            text = str(value)
            with suppress(MessageError, LookupError, ValueError):
                text = str(make_header(decode_header(text)))
            yield " ".join(text.split())


def notice_of(parts: list[Message]) -> str:
    """What a person would read, the first pages of it."""
    for kind in ("text/plain", "text/html"):
        # A multipart that lost its boundary is one text.
        texts = [
            raw(each) for each in parts if kind == each.get_content_type() or each.get_content_maintype() == "multipart"
        ]
        if any(text.strip() for text in texts):
            return "\n".join(texts)[:TEXT].replace("\r\n", "\n").replace("\r", "\n")
    return ""


def stripped(text: str, addresses: Iterable[str] = ()) -> str:
    """`text` on one line of printable characters, without addresses and what stands before their @."""
    text = ADDRESS.sub("…", _SAID_BY.sub("", text[:TEXT]))
    for local in {address.rpartition("@")[0] for address in addresses}:
        if len(local) > 2:
            text = re.sub(rf"(?<!\w){re.escape(local)}(?!\w)", "…", text, flags=re.IGNORECASE)
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
