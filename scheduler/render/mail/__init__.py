"""A released record as an e-mail: rendered once for everybody on a list, addressed to each reader by joining bytes."""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import quote, urljoin

from jinja2 import Environment

from scheduler.errors import RenderRefused
from scheduler.record import Purpose, Release
from scheduler.record.mailbox import TOKEN
from scheduler.render.mail.body import LIMIT, Body, absolute, fitted, made
from scheduler.render.mail.columns import wrapped
from scheduler.render.mail.fields import (
    address_field,
    ascii_url,
    folded,
    host_name,
    is_private,
    leave,
    linked,
    mailbox,
    words,
)

__all__ = ["LIMIT", "NOBODY", "Letter", "addressed", "invitation", "letter", "message_id", "wrapped"]

NOBODY = "a" * 24
"""A token that stands for no place on any list, for mails that are only looked at."""

_SUBJECT = {Purpose.RELEASE: "", Purpose.CORRECTION: "Correction: ", Purpose.RETRACTION: "Retracted: "}
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,320}>")
_SENDER = "the sender's address"
_RECIPIENT = "the recipient's address"
_AUTOMATIC = (
    b"Auto-Submitted: auto-generated\r\n",  # RFC 3834 section 5
    b"X-Auto-Response-Suppress: OOF, AutoReply\r\n",  # Exchange reads this one instead
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is the same for everybody on a list.

    ``head`` are header fields, each with its CRLF; ``leave`` is the field ``List-Unsubscribe`` in pieces, between which the
    reader's token belongs. All is ASCII, every line ends with CRLF and has at most 998 octets (RFC 5322 section 2.1.1).
    """

    head: bytes = field(repr=False)
    leave: tuple[bytes, ...] = field(repr=False)
    content: Body = field(repr=False)


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
    bounces: str | None = None,
    postal_address: str | None = None,
) -> Letter:
    """The mail that announces, corrects or retracts `release`, for the list `list_id`; the same bytes whenever it is made.

    `list_id` is an atom such as ``press``; with the sender's domain it makes the ``List-Id`` (RFC 2919 section 3). `sender` is
    an address, bare or as ``Name <address>``; `bounces` is one that takes ``+token``. Its parts are
    ``mail.txt`` and ``mail.html``.

    :raises RenderRefused: a template fails, or `sender`, `bounces`, `newsroom_url` or `list_id` can't be used
    """
    display, address = mailbox(sender, _SENDER)
    host = address.rpartition("@")[2]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", list_id):
        raise RenderRefused(
            output="mail",
            problem="the id of a list may have letters a to z, digits, '-', '_' and '.'; rename the list.",
        )
    name = f"{release.uuid}\n{release.revision}\n{purpose}"
    # Where a reader's token goes. A text can't hold this marker: it would have to hold a digest of itself.
    marker = _letters(f"{name}\n{list_id}\n{astuple(release)}")
    base = newsroom_url.rstrip("/") + "/"
    web = ascii_url(base)
    page = urljoin(base, quote(release.address))
    values = {
        "release": release,
        "retracted": purpose is Purpose.RETRACTION,
        "corrected": purpose is Purpose.CORRECTION,
        "newsroom_name": newsroom_name,
        "newsroom_url": newsroom_url,
        "list_name": list_name,
        "address": address,
        "postal_address": postal_address,
        "page": page,
        "leave": f"{web}unsubscribe/{marker}",
        "url": lambda path: urljoin(base, quote(path)),
        "wrapped": wrapped,
    }
    boundary = f"=_{sha256(name.encode()).hexdigest()[:32]}"
    html = absolute(release.html, page)
    body = fitted(environment, "mail", values, text=release.text, html=html, marker=marker, boundary=boundary)
    campaign = re.sub(r"[^A-Za-z0-9-]", "", release.uuid[:8]) or "0"
    at = release.published_at if purpose is Purpose.RELEASE else release.updated_at
    head = (
        address_field("From", display, address),
        folded("Subject", words(_SUBJECT[purpose] + release.title)),
        folded("Date", [format_datetime(at.astimezone(UTC))]),
        folded("List-Id", [*words(list_name, phrase=True), f"<{list_id}.{host}>"]),
        # RFC 8058 section 3.1: none but an HTTPS address may be asked so. On this machine, a trial, nobody else can read it.
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if is_private(base) else b"",
        linked("List-Archive", f"{web}archive/"),
        linked("Archived-At", web + quote(release.address)),  # RFC 5064
        # Gmail counts complaints by each of these four; the last is ours in all of them, 5 to 15 characters.
        folded(
            "Feedback-ID",
            [f"{campaign}-{release.revision}:{list_id}:{purpose}:{sha256(host.encode()).hexdigest()[:12]}"],
        ),
        *_AUTOMATIC,
        b"Precedence: list\r\n",  # for responders older than RFC 3834
        folded("Content-Language", [re.sub(r"[^A-Za-z0-9-]", "", release.language) or "und"]),
        *_mime(boundary),
    )
    return Letter(head=b"".join(head), leave=leave(web, address, bounces), content=body)


def message_id(*, uuid: str, revision: int, purpose: Purpose, token: str, domain: str) -> str:
    """The Message-ID, with its angle brackets, of one mail: the same for the same mail, another for any other.

    `token` stands for the reader's place on the list. It is nowhere public, so nobody can work the Message-ID out who has not had
    the mail, and forge a report about it.

    :raises RenderRefused: `domain` can't be used
    """
    name = f"{uuid}\n{revision}\n{purpose}\n{token}"
    return f"<{sha256(name.encode()).hexdigest()[:32]}@{host_name(domain, 'the domain of Message-IDs')}>"


def addressed(letter: Letter, *, recipient: str, message_id: str, token: str, earlier: Sequence[str] = ()) -> bytes:
    """The complete message to one reader, the same bytes whenever it is asked for.

    `recipient` is an address, bare or as ``Name <address>``. `token`, 24 letters of lower-case base32, stands for his place on
    the list. `earlier` are the Message-IDs of the mails that this one corrects or retracts, oldest first; the reader's program
    shows it beside them (RFC 5322 section 3.6.4).

    :raises RenderRefused: the address, the token or an id can't be used: letters outside ASCII before the ``@`` (they need
        SMTPUTF8, which few servers speak), a quoted local part, a domain that is none
    """
    if not all(_MESSAGE_ID.fullmatch(each) for each in (message_id, *earlier)):
        raise RenderRefused(output="mail", problem="a Message-ID has characters that are not allowed in one.")
    if not TOKEN.fullmatch(token):
        raise RenderRefused(output="mail", problem="a reader's token is not 24 letters of base32.")
    key = token.encode()
    own = address_field("To", *mailbox(recipient, _RECIPIENT)) + f"Message-ID: {message_id}\r\n".encode()
    threads = folded("In-Reply-To", earlier[-1:]) + folded("References", earlier) if earlier else b""
    return b"".join((own, threads, letter.head, key.join(letter.leave), b"\r\n", *letter.content.filled(key)))


def invitation(
    environment: Environment,
    *,
    newsroom_name: str,
    newsroom_url: str,
    sender: str,
    recipient: str,
    lists: Sequence[str],
    token: str,
    message_id: str,
    at: datetime,
    postal_address: str | None = None,
) -> bytes:
    """The mail that asks `recipient` to confirm that he wants to be on `lists`, by their names; the same bytes whenever made.

    Of `recipient` the address alone is used: the name was typed by whoever asked, and may be an advertisement. `token` stands in
    the link; `at` is when it was asked for. ``confirm.txt`` and ``confirm.html`` are its parts.

    :raises RenderRefused: a template fails, or an address, `newsroom_url` or `message_id` can't be used
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise RenderRefused(output="mail", problem="a Message-ID has characters that are not allowed in one.")
    display, address = mailbox(sender, _SENDER)
    _, reader = mailbox(recipient, _RECIPIENT)
    values = {
        "newsroom_name": newsroom_name,
        "newsroom_url": newsroom_url,
        "lists": tuple(lists),
        "address": address,
        "recipient": reader,
        "postal_address": postal_address,
        "confirm": ascii_url(newsroom_url.rstrip("/") + "/") + f"confirm/{quote(token, safe='')}",
        "wrapped": wrapped,
    }
    boundary = f"=_{sha256(message_id.encode()).hexdigest()[:32]}"
    body = made(environment, "confirm", [values, values], marker=_letters(str(values)), boundary=boundary)
    head = (
        address_field("From", display, address),
        folded("To", [reader]),
        folded("Subject", words(f"Please confirm: mail from {newsroom_name}")),
        folded("Date", [format_datetime(at.astimezone(UTC))]),
        f"Message-ID: {message_id}\r\n".encode(),
        *_AUTOMATIC,
        *_mime(boundary),
    )
    return b"".join((*head, b"\r\n", *body.filled(b"")))


def _letters(text: str) -> str:
    """24 letters that look like a reader's token, and can't be told without the whole text."""
    return b32encode(sha256(text.encode("utf-8", "replace")).digest()[:15]).decode().lower()


def _mime(boundary: str) -> tuple[bytes, ...]:
    return b"MIME-Version: 1.0\r\n", f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode()
