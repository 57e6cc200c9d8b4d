"""A Maildir."""

from __future__ import annotations

import asyncio
import os
import re
from hashlib import sha256
from pathlib import Path

from scheduler import permissions
from scheduler.errors import DeliveryFailed
from scheduler.outlets.mail.envelope import bare

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)


class Maildir:
    """A Maildir, written as a delivery agent does: with LF, ``Return-Path`` and ``Delivered-To``.

    A file's name comes from the Message-ID, so that a repeat replaces the first copy, wherever a reader has moved it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        trace = f"Return-Path: <{bare(sender)}>\nDelivered-To: {bare(recipient)}\n".encode()
        found = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0])
        name = sha256(found[1] if found else message).hexdigest()[:32]
        try:
            await asyncio.to_thread(self._write, name, trace + message.replace(b"\r\n", b"\n"))
        except OSError as error:
            raise DeliveryFailed(f"The Maildir {self._folder} can't be written: {error.strerror}.") from None
        return f"stored as {name}"

    async def close(self) -> None:
        """Nothing is kept open."""

    def _write(self, name: str, data: bytes) -> None:
        for part in ("", "tmp", "cur", "new"):
            permissions.folder(self._folder / part, permissions.PRIVATE)
        unfinished = self._folder / "tmp" / name
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        read = [each for each in os.listdir(self._folder / "cur") if each.startswith(name)]  # noqa: PTH208 - a name is enough
        target = self._folder / "cur" / read[0] if read else self._folder / "new" / name
        unfinished.replace(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
