"""What somebody typed into the form: whether mail can go there, and what to tell him if not. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from scheduler.record.mailbox import mailbox

LONGEST = 254
"""Characters of an address (RFC 5321 section 4.5.3.1.3, less the brackets)."""
LONGEST_NAME = 60

# Whatever could be a link, or something else than a name: others' mailboxes are not for advertising.
_IN_NAMES = frozenset(" .,'()-\u00b7\u200c\u200d\u2019")
_LINKED = re.compile(r"\w\.\w{2,}", re.IGNORECASE)


def recipient_of(given: Mapping[str, str]) -> str:
    """``Name <address>``, or the bare address, from the fields ``email`` and ``name``."""
    name, email = " ".join(given.get("name", "").split()), given.get("email", "").strip()
    return f"{name} <{email}>" if name else email


def problems_of(given: Mapping[str, str], *, lists: Sequence[str], agreed: str) -> dict[str, str]:
    """Field -> what is wrong with it, in the order of the form. `agreed` stands for the wording as it is now."""
    found = {}
    email = given.get("email", "").strip()
    if not email:
        found["email"] = "Write your e-mail address."
    elif not _reachable(email):
        found["email"] = "No mail can go to this address. Write it like name@example.org."
    name = " ".join(given.get("name", "").split())
    if name and not _is_name(name):
        found["name"] = f"Write the name in letters, at most {LONGEST_NAME}, or leave it out."
    if not lists:
        found["list"] = "Choose at least one list."
    if given.get("agreed", agreed) != agreed:
        found["agreed"] = "What you agree to has changed meanwhile. Read it once more, then subscribe."
    return found


def shown(text: str) -> str:
    """What was typed, as it can be shown again."""
    return "".join(filter(str.isprintable, text))[:LONGEST]


def _is_name(name: str) -> bool:
    letters = all(each in _IN_NAMES or unicodedata.category(each)[0] in "LMN" for each in name)
    return letters and name[0].isalpha() and len(name) <= LONGEST_NAME and not _LINKED.search(name)


def _reachable(email: str) -> bool:
    if len(email) > LONGEST or "<" in email:
        return False
    try:
        _, address = mailbox(email)
    except ValueError:
        return False
    # A host of this machine's own network, or a number, is nobody's provider.
    return re.fullmatch(r".+@.+\.(?!\d+$)[^.]+", address) is not None
