"""Topics as addresses: each topic has a folder of the site, with its page and its feeds."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

_LONGEST = 80
"""Bytes of a folder's name, so that its percent-encoded address stays short enough to be pasted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as it is spelled, and its folder below the site folder, which ends in ``/``."""

    name: str
    folder: str


@lru_cache(maxsize=4096)
def folder_of(name: str) -> str:
    """The folder of the topic of this name: ``Labour market`` and ``labour-market`` share ``topics/labour-market/``.

    Names that differ in more than case, blanks and hyphens have different folders: what is left out (``C#``, ``C++``) or too
    long is stood for by the beginning of a digest.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    plain = "-".join(folded.replace("-", " ").replace("_", " ").split())
    words = ["".join(run) for kept, run in groupby(plain, lambda sign: unicodedata.category(sign)[0] in "LMN") if kept]
    slug = "-".join(words)
    if slug != plain or len(slug.encode()) > _LONGEST or not slug:
        short = slug.encode()[:_LONGEST].decode(errors="ignore").rstrip("-")
        slug = "-".join(filter(None, (short, hashlib.sha256(plain.encode()).hexdigest()[:8])))
    return f"topics/{slug}/"


def topic(name: str) -> Topic:
    """The topic of this name."""
    return Topic(name=name, folder=folder_of(name))
