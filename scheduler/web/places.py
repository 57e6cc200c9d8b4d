"""Which addresses are forms. Apart from them, so that a server without any needs nothing of what they need."""

from __future__ import annotations

import re
from typing import NamedTuple

from scheduler.record.mailbox import TOKEN

_PLACE = re.compile(rf"/(?:(subscribe)|(confirm|unsubscribe)/({TOKEN.pattern}))")


class Place(NamedTuple):
    """A form's page, and what its address brings along; empty for ``subscribe``."""

    page: str
    token: str


def place(path: str) -> Place | None:
    """The form at a decoded URL path, ``None`` if there is none."""
    found = _PLACE.fullmatch(path)
    return found and Place(found[1] or found[2], found[3] or "")
