"""What a feed is, and how much of a release it carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How much of a release a feed carries. It is settled at the release and never changes by itself: no reader sees an edit."""

    FULL = "full"
    SUMMARY = "summary"
    BARE = "bare"  # title, address and dates


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A feed in its three formats: `folder` holds its documents and its page (``index.html``), and is empty or ends in ``/``.

    `id` is permanent, and that of the whole feed in an archive of it. `title` is what it is about (a topic, a month), ``None``
    for all releases. `previous` and `following` are the folders of the archive documents around it (RFC 5005 section 4).
    """

    id: str
    folder: str = ""
    title: str | None = None
    archived: bool = False
    previous: str | None = None
    following: str | None = None
