"""The first server, and another for when it can't be used."""

from __future__ import annotations

import asyncio

from scheduler.errors import DeliveryFailed
from scheduler.outlets.mail.envelope import Transport

_REST_FOR = 30.0
_LONGEST_REST = 300.0


class Relays:
    """Sends by `first`; a mail of which that could not be told anything goes by `fallback`.

    The first is then left alone for half a minute, which grows to five minutes, and tried again with one mail. No mail goes to
    both: what was handed over, whether taken, refused or unknown, stays where it went.
    """

    def __init__(self, first: Transport, fallback: Transport) -> None:
        self._first = first
        self._fallback = fallback
        self._why: str | None = None
        self._rest_for = 0.0
        self._again_at = 0.0
        self._trying = False

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        began = asyncio.get_running_loop().time()
        if self._why is None or (began >= self._again_at and not self._trying):
            probe = self._trying = self._why is not None
            try:
                reply = await self._first.send(message=message, sender=sender, recipient=recipient)
            except DeliveryFailed as error:
                if error.reached:
                    raise
                self._leave(str(error), began)
            else:
                self._why, self._rest_for = None, 0.0
                return reply
            finally:
                self._trying &= not probe
        why = self._why
        try:
            reply = await self._fallback.send(message=message, sender=sender, recipient=recipient)
        except DeliveryFailed as error:
            raise DeliveryFailed(
                f"{error} It was the fallback's turn: {why}",
                final=error.final,
                unknown=error.unknown,
                status=error.status,
                reached=error.reached,
                met=error.met,
            ) from None
        return f"{reply} (by the fallback: {why})"

    async def close(self) -> None:
        await self._first.close()
        await self._fallback.close()

    def _leave(self, why: str, began: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._why is None or began >= self._again_at:
            self._rest_for = min(max(2 * self._rest_for, _REST_FOR), _LONGEST_REST)
            self._again_at = now + self._rest_for
        self._why = why
