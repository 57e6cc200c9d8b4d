"""Tells a WebSub hub that a feed has changed, so that it fetches it and hands it on to its subscribers.

How a publisher tells its hub is left open by the standard (W3C WebSub, section 6: "Publishing"); this is the form that public
hubs agree on, from PubSubHubbub 0.4: a POST with ``hub.mode=publish`` and ``hub.url``, the feed's own address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from scheduler import outgoing
from scheduler.errors import RequestFailed

SECONDS = 10.0
"""How long a hub has to answer, all in all."""
LONGEST = 3600.0
"""The longest gap between two tries, in seconds; a hub that asks for more is asked again no later."""

_FIRST_GAP = 2.0
_GIVE_UP_AFTER = 24 * 3600.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A ping that is owed: when it is due, when it is given up, and the gap after the next failure; seconds of a steady clock."""

    due: float
    until: float
    gap: float

    @staticmethod
    def at(due: float) -> Owed:
        """One for a change of just now."""
        return Owed(due=due, until=due + _GIVE_UP_AFTER, gap=_FIRST_GAP)

    def again(self, now: float, *, chance: float) -> Owed | None:
        """What is owed after a failure, ``None`` if that was long enough. `chance`, 0 to 1, keeps publishers out of step."""
        due = now + self.gap * (0.75 + chance / 2)
        return replace(self, due=due, gap=min(self.gap * 2, LONGEST)) if due <= self.until else None


def ping(hub: str, url: str, *, allow_private: bool = False) -> int:
    """Tells `hub` that the feed at `url` has changed; gives its status, which is of the 200s. Raises `RequestFailed`."""
    body = urlencode({"hub.mode": "publish", "hub.url": url}).encode()
    answer = outgoing.request("POST", hub, body=body, headers=_FORM, seconds=SECONDS, allow_private=allow_private)
    if 200 <= answer.status < 300:
        return answer.status
    if answer.status == 429 or answer.status >= 500:
        raise RequestFailed(f"The hub answered {answer.status}.", retry_after=answer.retry_after)
    if 300 <= answer.status < 400:
        raise RequestFailed(
            f"The hub answered {answer.status}: it has moved. Write its new address in `websub.hubs`.", final=True
        )
    raise RequestFailed(
        f"The hub answered {answer.status}: it doesn't take this feed. Ask who runs it, or take it out of `websub.hubs`.",
        final=True,
    )
