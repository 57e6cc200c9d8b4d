"""The mails that the service itself writes: plain text, to one person, in the newsroom's name."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256

from sqlalchemy import make_url

from scheduler.config import Config
from scheduler.errors import DeliveryFailed, RenderRefused
from scheduler.log import alarm
from scheduler.outlets.mail import Transport
from scheduler.parts import Parts
from scheduler.render.mail import wrapped
from scheduler.render.mail.fields import address_field, folded, mailbox, words
from scheduler.render.templates import Own, environment, rendered

_PATIENCE = timedelta(seconds=30)
_AT_ONCE = 4


def way_out(parts: Parts) -> Transport | None:
    """The way of mail, as the settings want it, on which nobody waits long; ``None`` where there is none."""
    if parts.config.mail is None:
        return None
    return parts.transport(connections=_AT_ONCE, connect_for=_PATIENCE, command_for=_PATIENCE)


def signed(config: Config) -> dict[str, str]:
    """Which service it is that speaks: the newsroom, the host, and the name of the database, without any password."""
    url = make_url(config.database)
    database = f"{url.host or 'localhost'}/{url.database}" if url.drivername.startswith("postgresql") else url.database
    return {"newsroom": config.newsroom.name, "host": socket.gethostname(), "database": database or ""}


def written(name: str, values: Mapping[str, object], *, overrides: Own | None) -> str:
    """The text that template `name` makes. Where the office's own fails, the shipped one has to do: it must be said."""
    values = {**values, "wrapped": wrapped}
    if overrides is not None:
        try:
            return rendered(environment(overrides), name, values)
        except RenderRefused as error:
            alarm("template_refused", template=error.output, problem=error.problem)
    return rendered(environment(), name, values)


def letter(
    *,
    sender: str,
    recipient: str,
    subject: str,
    name: str,
    at: datetime,
    text: str,
    attached: Sequence[tuple[str, str]] = (),
    urgent: bool = False,
) -> bytes:
    """A complete message: ASCII, CRLF. `name` and the recipient make the Message-ID, `attached` are names and plain texts.

    Raises :class:`RenderRefused` where an address can't be used.
    """
    display, address = mailbox(sender, "the sender's address")
    _, reader = mailbox(recipient, "the recipient's address")
    digest = sha256(f"{name}\n{reader}".encode()).hexdigest()[:32]
    head = (
        address_field("From", display, address),
        folded("To", [reader]),
        folded("Subject", words(subject)),
        folded("Date", [format_datetime(at.astimezone(UTC))]),
        f"Message-ID: <{digest}@{address.rpartition('@')[2]}>\r\n".encode(),
        b"Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: OOF, AutoReply\r\n",
        b"Importance: high\r\nX-Priority: 1\r\n" if urgent else b"",
    )
    body = EmailMessage(policy=policy.SMTP)
    body.set_content(_sound(text), cte="quoted-printable")
    for file, content in attached:
        body.add_attachment(_sound(content), filename=_sound(file), cte="quoted-printable")
    return b"".join((*head, body.as_bytes()))


def _sound(text: str) -> str:
    """Without what can't be sent: a lone surrogate."""
    return text.encode("utf-8", "replace").decode()


def reason(error: Exception) -> str:
    """What the log says of a failure. A server's own words stay out of it: they may quote the mail."""
    if isinstance(error, DeliveryFailed) and error.reached:
        what = "may or may not have taken the mail" if error.unknown else "did not take the mail"
        return f"The mail server {what}{f' ({error.status})' if error.status else ''}."
    return str(error)
