"""The header of a mail: its fields as ASCII bytes that no text put into them can end (RFC 5322 section 2.2)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import quote, urlsplit, urlunsplit

from scheduler.errors import RenderRefused
from scheduler.record import mailbox as record

_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LONGEST = 998  # RFC 5322 section 2.1.1


def folded(name: str, tokens: Iterable[str]) -> bytes:
    """One header field of ASCII `tokens` parted by single spaces, in lines of 78 characters as far as the tokens allow."""
    lines = [f"{name}:"]
    for token in tokens:
        if len(lines[-1]) + len(token) > 77 and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {token}"
    return "\r\n".join([*lines, ""]).encode("ascii")


def linked(name: str, url: str) -> bytes:
    """A field that holds an address of the web in one piece; nothing where it is too long for a line."""
    field = f"{name}: <{url}>\r\n".encode("ascii")
    return field if len(field) <= _LONGEST else b""


def words(text: str, *, phrase: bool = False) -> list[str]:
    """`text` as the tokens of a header: as it is, as a quoted string (in a phrase), or as encoded words (RFC 2047 section 2)."""
    text = _BLANKS.sub(" ", text.encode("utf-8", "replace").decode()).strip()
    if text.isascii() and "=?" not in text and all(len(word) <= 60 for word in text.split(" ")):
        if phrase and not _PHRASE.fullmatch(text):
            text = '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
        return text.split(" ") if text else []
    chunks = [b""]
    for octets in (character.encode() for character in text):
        if len(chunks[-1]) + len(octets) > 39:
            chunks.append(b"")
        chunks[-1] += octets
    return [f"=?utf-8?b?{b64encode(chunk).decode()}?=" for chunk in chunks]


def mailbox(text: str, what: str) -> tuple[str, str]:
    """The display name, which may be empty, and the address, its domain as A-labels in lower case.

    :raises RenderRefused: `what` it is, and why no mail can have it
    """
    try:
        return record.mailbox(text)
    except ValueError as error:
        raise RenderRefused(output="mail", problem=f"{what} {error}") from None


def address_field(name: str, display: str, address: str) -> bytes:
    """``From`` or ``To``, of the two parts of a mailbox."""
    return folded(name, [*words(display, phrase=True), f"<{address}>"] if display else [address])


def leave(web: str, address: str, bounces: str | None) -> tuple[bytes, ...]:
    """``List-Unsubscribe`` in pieces between which a token belongs: the web first, then mail (RFC 2369 section 3.2).

    No line end stands within an address: signatures may not survive one. Where `bounces` takes ``+token``, mail goes there.
    """
    mail = f"mailto:{_in_mailto(address)}?subject=unsubscribe%20"
    end = ">"
    if bounces is not None:
        local, _, host = mailbox(bounces, "the address for bounces")[1].rpartition("@")
        mail, end = f"mailto:{_in_mailto(local)}+", f"@{host}?subject=unsubscribe>"
    return f"List-Unsubscribe: <{web}unsubscribe/".encode(), f">,\r\n <{mail}".encode(), f"{end}\r\n".encode()


def _in_mailto(address: str) -> str:
    return quote(address, safe="!$'*+,@")  # RFC 6068 section 2


@lru_cache(maxsize=4096)
def host_name(name: str, what: str) -> str:
    """A domain as A-labels in lower case. Raises :class:`RenderRefused`, which says `what` has it."""
    try:
        return record.host_name(name)
    except ValueError as error:
        raise RenderRefused(output="mail", problem=f"{what} {error}") from None


def ascii_url(url: str) -> str:
    """A web address as a header holds it: the host as A-labels, the rest percent-encoded (RFC 3987 section 3.1)."""
    parts = urlsplit(url)
    try:
        host = parts.netloc.encode("idna").decode()
    except UnicodeError:
        raise RenderRefused(output="mail", problem="the newsroom's `url` has a host that can't exist.") from None
    made = quote(urlunsplit(parts._replace(netloc=host)), safe="!#$%&'()*+,/:;=?@[]~")
    if len(made) > _LONGEST - 200:
        raise RenderRefused(output="mail", problem="the newsroom's `url` is too long for a mail; write a shorter one.")
    return made


def is_private(url: str) -> bool:
    """Whether nobody between can read or change what is sent to `url`: over TLS, or to this very machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
