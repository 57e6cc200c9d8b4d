"""What all mails of a newsroom have in common: its templates, who writes, and where what can't be delivered comes back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from jinja2 import Environment

from scheduler.record import Purpose, Release
from scheduler.render import Newsroom
from scheduler.render.mail import Letter, invitation, letter, message_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationery:
    """`bounces` is the address, taking ``+token``, that mail systems report to; without it they report to the `sender`.

    What it writes raises :class:`~scheduler.errors.RenderRefused` where a template fails or an address can't be used.
    """

    environment: Environment
    newsroom: Newsroom
    sender: str
    bounces: str | None = None
    postal_address: str | None = None

    def letter(self, release: Release, *, purpose: Purpose, list_id: str, list_name: str) -> Letter:
        """What is the same for everybody on a list."""
        return letter(
            self.environment,
            release=release,
            purpose=purpose,
            list_id=list_id,
            list_name=list_name,
            newsroom_name=self.newsroom.name,
            newsroom_url=self.newsroom.url,
            sender=self.sender,
            bounces=self.bounces,
            postal_address=self.postal_address,
        )

    def message_id(self, release: Release, *, revision: int, purpose: Purpose, token: str) -> str:
        """The Message-ID of the mail to whose place on a list `token` stands for."""
        return message_id(uuid=release.uuid, revision=revision, purpose=purpose, token=token, domain=self._domain)

    def invitation(self, *, recipient: str, lists: Sequence[str], token: str, at: datetime) -> bytes:
        """The mail that asks somebody to confirm that he wants to be on `lists`, by their names."""
        return invitation(
            self.environment,
            newsroom_name=self.newsroom.name,
            newsroom_url=self.newsroom.url,
            sender=self.sender,
            recipient=recipient,
            lists=lists,
            token=token,
            # Mail systems log it: it must not be what confirms.
            message_id=f"<{sha256(token.encode()).hexdigest()[:32]}@{self._domain}>",
            at=at,
            postal_address=self.postal_address,
        )

    def return_path(self, token: str) -> str:
        """Where mail systems report to: `bounces` with the token behind a ``+`` (RFC 5233 calls it a detail), or the sender."""
        if self.bounces is None:
            return self.sender
        local, _, domain = self.bounces.rpartition("@")
        return f"{local}+{token}@{domain}"

    @property
    def _domain(self) -> str:
        return self.sender.rstrip("> ").rpartition("@")[2]
