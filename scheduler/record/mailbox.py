"""Which addresses a mail can be sent to, and what stands for a place on a list where no address may. Pure."""

from __future__ import annotations

import re

TOKEN = re.compile(r"[a-z2-7]{24}")
"""What a token looks like: 15 bytes in the lower case of base32 (RFC 4648 section 6)."""

_NAMED = re.compile(r"\s*(.*?)\s*<\s*([^<>]*?)\s*>\s*", re.DOTALL)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?=.{{1,64}}\Z){_ATOM}(\.{_ATOM})*")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
# IDNA 2003, which Python speaks, maps these to other names than IDNA 2008, by which domains are given out today.
_DEVIATING = re.compile("[ßς\u200c\u200d]")


def mailbox(text: str) -> tuple[str, str]:
    """The display name, which may be empty, and the address of a recipient, bare or as ``Name <address>``.

    The address's domain is given as A-labels in lower case (RFC 5890 section 2.3.2.1). Raises :class:`ValueError` with what is
    wrong, to be put after "The address": letters outside ASCII before the ``@`` (they need SMTPUTF8, which few servers speak), a
    quoted local part, a domain that is none.
    """
    match = _NAMED.fullmatch(text)
    name, address = match.groups() if match else ("", text.strip())
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise ValueError("has letters outside ASCII before the '@', which few servers can deliver to.")
    if not _LOCAL.fullmatch(local):
        raise ValueError("is not of the form name@example.org.")
    return name, f"{local}@{host_name(domain)}"


def host_name(domain: str) -> str:
    """A domain as A-labels in lower case. Raises :class:`ValueError` as `mailbox` does."""
    if _DOMAIN.fullmatch(domain):
        return domain
    if _DEVIATING.search(domain):
        raise ValueError("has a domain that means two; write its xn-- form.")
    try:
        name = domain.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise ValueError("has a domain that can't exist.")
    return name
