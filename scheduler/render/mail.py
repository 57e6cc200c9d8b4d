"""A released record as an e-mail: rendered once for everybody on a list, addressed to each reader by joining bytes."""

from __future__ import annotations

import re
import traceback
import unicodedata
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC
from email.message import MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from jinja2 import TemplateSyntaxError

from scheduler.errors import RenderRefused
from scheduler.record import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Environment

    from scheduler.record import Release

PART_LIMIT = 100_000
"""Bytes of a part before its transfer encoding. Large mailbox providers cut the HTML off at 102 kB, wherever that is."""

# RFC 2045 section 6.7 allows 76 characters in a quoted-printable line.
_POLICY = SMTP.clone(max_line_length=76)
_SUBJECT = {Purpose.RELEASE: "", Purpose.CORRECTION: "Correction: ", Purpose.RETRACTION: "Retracted: "}

_NAMED = re.compile(r"\s*(.*?)\s*<\s*([^<>]*?)\s*>\s*", re.DOTALL)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}\Z){_ATOM}(\.{_ATOM})*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
# IDNA 2003, which Python speaks, maps these to other names than IDNA 2008, by which domains are given out today.
_DEVIATING = re.compile("[ßς\u200c\u200d]")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,320}>")
_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")

_WIDE = "\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_OPENING = "「『（【《〈〔［｛"  # noqa: RUF001 - the wide forms are meant
_CLOSING = "、。，．：；！？」』）】》〉〕］｝ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々"  # noqa: RUF001 - as above
# What stays in one piece: a URL, blanks, a wide character with its punctuation, a word.
_PIECE = re.compile(rf"\s+|[{_OPENING}]*(?:[a-z]+://[^\s{_OPENING}{_CLOSING}]+|[{_WIDE}]|[^\s{_WIDE}]+)[{_CLOSING}]*")
_ASCII = bytes(range(128))
_TAG = re.compile(r"<[a-z][^>]*>")
_RELATIVE = re.compile(r'(?<=\s)(href|src)="(?![a-z][a-z0-9+.-]*:)([^"]*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is the same for everybody on a list.

    ``head`` are header fields, each with its CRLF; ``body`` is what follows the empty line. Both are ASCII, every line ends
    with CRLF and has at most 998 octets (RFC 5322 section 2.1.1).
    """

    head: bytes = field(repr=False)
    body: bytes = field(repr=False)


def letter(
    environment: Environment,
    *,
    release: Release,
    purpose: Purpose,
    list_id: str,
    list_name: str,
    newsroom_name: str,
    newsroom_url: str,
    sender: str,
) -> Letter:
    """The mail that announces, corrects or retracts `release`, for the list `list_id`; the same bytes whenever it is made.

    `list_id` is an atom such as ``press``; with the sender's domain it makes the ``List-Id`` (RFC 2919 section 3). `sender` is
    an address, bare or as ``Name <address>``. ``mail.txt`` and ``mail.html`` are its parts, text first (RFC 2046 section 5.1.4).

    :raises RenderRefused: a template fails, or `sender` or `list_id` can't be used
    """
    _, address = _mailbox(sender, "the sender's address")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", list_id):
        raise RenderRefused(
            output="mail",
            problem="the id of a list may have letters a to z, digits, '-', '_' and '.'; rename the list.",
        )
    page = urljoin(newsroom_url.rstrip("/") + "/", quote(release.address))
    values = {
        "release": release,
        "retracted": purpose is Purpose.RETRACTION,
        "corrected": purpose is Purpose.CORRECTION,
        "newsroom_name": newsroom_name,
        "newsroom_url": newsroom_url,
        "list_name": list_name,
        "address": address,
        "page": page,
        "wrapped": wrapped,
    }
    text = _part(environment, "mail.txt", values, release.text, _paragraphs)
    html = _part(environment, "mail.html", values, _absolute(release.html, page), _blocks)
    parts = MIMEPart(policy=_POLICY)
    parts.set_content(text, cte=_encoding(text))
    parts.add_alternative(html, subtype="html", cte=_encoding(html))
    # "=_" stands in neither quoted-printable nor base64, so that no part can hold the boundary.
    name = f"{release.uuid}\n{release.revision}\n{purpose}"
    parts.set_boundary(f"=_{sha256(name.encode()).hexdigest()[:32]}")
    mime, _, body = parts.as_bytes().partition(b"\r\n\r\n")
    at = release.published_at if purpose is Purpose.RELEASE else release.updated_at
    head = (
        _address_field("From", sender),
        _folded("Subject", _words(_SUBJECT[purpose] + release.title)),
        _folded("Date", [format_datetime(at.astimezone(UTC))]),
        _folded("List-Id", [*_words(list_name, phrase=True), f"<{list_id}.{address.rpartition('@')[2]}>"]),
        b"Auto-Submitted: auto-generated\r\n",  # RFC 3834 section 5
        b"X-Auto-Response-Suppress: OOF, AutoReply\r\n",  # Exchange reads this one instead
        b"Precedence: list\r\n",  # and responders older than RFC 3834 this one
        _folded("Content-Language", [re.sub(r"[^A-Za-z0-9-]", "", release.language) or "und"]),
        b"MIME-Version: 1.0\r\n",
        mime + b"\r\n",
    )
    return Letter(head=b"".join(head), body=body)


def message_id(*, uuid: str, revision: int, purpose: Purpose, recipient: str, domain: str) -> str:
    """The Message-ID, with its angle brackets, of one mail: the same for the same mail, another for any other.

    It tells nothing about who it went to. A recipient's display name and the case of his domain don't change it.

    :raises RenderRefused: `recipient` or `domain` can't be used
    """
    _, address = _mailbox(recipient, "the recipient's address")
    name = f"{uuid}\n{revision}\n{purpose}\n{address}"
    return f"<{sha256(name.encode()).hexdigest()[:32]}@{_domain(domain, 'the domain of Message-IDs')}>"


def addressed(letter: Letter, *, recipient: str, message_id: str, earlier: Sequence[str] = ()) -> bytes:
    """The complete message to one reader, the same bytes whenever it is asked for.

    `recipient` is an address, bare or as ``Name <address>``. `earlier` are the Message-IDs of the mails that this one corrects or
    retracts, oldest first; the reader's program shows it beside them (RFC 5322 section 3.6.4).

    :raises RenderRefused: the address or an id can't be used: letters outside ASCII before the ``@`` (they need SMTPUTF8, which
        few servers speak), a quoted local part, a domain that is none
    """
    if not all(_MESSAGE_ID.fullmatch(each) for each in (message_id, *earlier)):
        raise RenderRefused(output="mail", problem="a Message-ID has characters that are not allowed in one.")
    threads = _folded("In-Reply-To", earlier[-1:]) + _folded("References", earlier) if earlier else b""
    own = _address_field("To", recipient) + f"Message-ID: {message_id}\r\n".encode()
    return b"".join((letter.head, own, threads, b"\r\n", letter.body))


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


def _part(environment: Environment, name: str, values: dict[str, Any], body: str, ends: Any) -> str:
    """The template `name` with `body`, or with as many of its whole blocks as keep the part below :data:`PART_LIMIT`."""
    part = _rendered(environment, name, values | {"body": body, "whole": True})
    size = len(part.encode())
    if size <= PART_LIMIT:
        return part
    room = PART_LIMIT - (size - len(body.encode())) - 1_000  # the words that lead on to the page
    end = max((end for end in ends(body) if len(body[:end].encode()) <= room), default=0)
    return _rendered(environment, name, values | {"body": body[:end], "whole": False})


def _rendered(environment: Environment, name: str, values: dict[str, Any]) -> str:
    try:
        text = environment.get_template(name).render(values)
    except Exception as error:  # noqa: BLE001 - a template is the user's and may fail in any way
        # An exception's own words may quote what the template was given.
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(name)]
        problem = f"The template can't be used: {type(error).__name__}."
        if isinstance(error, TemplateSyntaxError):
            problem = f"{error.filename}:{error.lineno}: {error.message}"
        elif frames:
            problem = f"{frames[-1].filename}:{frames[-1].lineno}: {type(error).__name__} in `{frames[-1].line}`."
        raise RenderRefused(output=name, problem=problem) from None
    # A lone surrogate can be written in YAML and can't be sent.
    return text.encode("utf-8", "replace").decode()


def _paragraphs(text: str) -> Iterable[int]:
    return (match.start() for match in re.finditer(r"\n\s*\n", text))


class _Blocks(HTMLParser):
    """Collects where the top-level elements of an HTML fragment begin."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.begins: list[int] = []
        self._depth = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", html))]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._depth == 0:
            line, column = self.getpos()
            self.begins.append(self._lines[line - 1] + column)
        if tag not in {"area", "br", "col", "hr", "img", "input", "wbr"}:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._depth -= 1


def _blocks(html: str) -> Iterable[int]:
    return _Blocks(html).begins


def _absolute(html: str, page: str) -> str:
    """`html` with its relative links made absolute, as a mail has no address of its own. Only tags are touched, not text."""

    def link(match: re.Match[str]) -> str:
        try:
            return f'{match[1]}="{urljoin(page, match[2])}"'
        except ValueError:  # no address at all, such as //[
            return match[0]

    return _TAG.sub(lambda tag: _RELATIVE.sub(link, tag[0]), html)


def _encoding(text: str) -> str:
    """The shorter of the two transfer encodings; both survive servers that alter 8-bit text, long lines or trailing blanks."""
    octets = text.encode()
    foreign = octets.translate(None, _ASCII)
    return "base64" if 6 * len(foreign) > len(octets) else "quoted-printable"


def _folded(name: str, tokens: Iterable[str]) -> bytes:
    """One header field of ASCII `tokens` parted by single spaces, in lines of 78 characters as far as the tokens allow."""
    lines = [f"{name}:"]
    for token in tokens:
        if len(lines[-1]) + len(token) > 77 and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {token}"
    return "\r\n".join([*lines, ""]).encode("ascii")


def _words(text: str, *, phrase: bool = False) -> list[str]:
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


def _address_field(name: str, mailbox: str) -> bytes:
    display, address = _mailbox(mailbox, "the sender's address" if name == "From" else "the recipient's address")
    return _folded(name, [*_words(display, phrase=True), f"<{address}>"] if display else [address])


def _mailbox(text: str, what: str) -> tuple[str, str]:
    """The display name, which may be empty, and the address, its domain as A-labels in lower case (RFC 5890 section 2.3.2.1)."""
    match = _NAMED.fullmatch(text)
    name, address = match.groups() if match else ("", text.strip())
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise RenderRefused(
            output="mail", problem=f"{what} has letters outside ASCII before the '@', which few servers can deliver to."
        )
    if not _LOCAL.fullmatch(local):
        raise RenderRefused(output="mail", problem=f"{what} is not of the form name@example.org.")
    return name, f"{local}@{_domain(domain, what)}"


def _domain(domain: str, what: str) -> str:
    if _DEVIATING.search(domain):
        raise RenderRefused(output="mail", problem=f"{what} has a domain that means two; write its xn-- form.")
    try:
        name = domain.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise RenderRefused(output="mail", problem=f"{what} has a domain that can't exist.")
    return name
