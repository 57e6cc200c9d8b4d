"""What a way out for mail is, and what may be said on it."""

from __future__ import annotations

from typing import Protocol

from scheduler.errors import DeliveryFailed
from scheduler.record.mailbox import mailbox


class Transport(Protocol):
    """A way out for mail. Many sends may run at once."""

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        """Hands one complete `message` (ASCII, CRLF) over and returns the server's reply, one short line.

        `sender` is where bounces go, `recipient` who gets it; both bare or as ``Name <address>``.

        :raises DeliveryFailed: it was not accepted, or (``unknown``) it may have been
        """

    async def close(self) -> None:
        """Parts from the server in good order. Sends that still run finish first."""


def bare(recipient: str) -> str:
    """The bare address, its domain in ASCII. Nothing gets by that could end a command or a header line.

    :raises DeliveryFailed: it is none, or needs SMTPUTF8 (RFC 6531), which is not spoken here
    """
    try:
        return mailbox(recipient)[1]
    except ValueError as error:
        raise DeliveryFailed(f"The address {error}", final=True) from None


def stuffed(message: bytes) -> bytes:
    """`message` dot-stuffed (RFC 5321 section 4.5.2). A bare CR or LF, by which mails are smuggled, is refused."""
    ends = message.count(b"\r\n")
    whole = message.endswith(b"\r\n") and message.count(b"\r") == ends == message.count(b"\n")
    if not whole or not message.isascii() or b"\0" in message:
        raise DeliveryFailed("The message is not ASCII in lines that end with CRLF; nothing was sent.", final=True)
    return (b"." if message[:1] == b"." else b"") + message.replace(b"\r\n.", b"\r\n..")


def printable(text: str) -> str:
    """What a server said, as one line that harms no terminal and no log."""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:200]
