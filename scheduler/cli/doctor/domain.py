"""What the sender's domain publishes for those who are to believe its mail: SPF, DKIM, DMARC."""

from __future__ import annotations

from collections.abc import Iterator

from dns.exception import DNSException, Timeout
from dns.resolver import NXDOMAIN, Resolver

from scheduler.cli.doctor.finding import Finding, judged

_WHY = "Mailbox providers refuse mail of a domain that does not vouch for it, or file it as spam."
_ASK_FOR = 3.0


def examine(domain: str, *, path: str, resolver: Resolver | None = None) -> Iterator[Finding]:
    """The findings, by the machine's own name servers unless told; where none answers, a note.

    `domain` is the sender's that readers see, `path` that of the return path, about which SPF is asked (RFC 7208 section 2.4).
    """
    try:
        yield from _found(domain, path, resolver or Resolver())
    except DNSException as error:
        said = "no answer in time" if isinstance(error, Timeout) else type(error).__name__
        yield Finding(
            what=f"SPF, DKIM and DMARC of {domain} could not be asked: {said}",
            why=_WHY,
            remedy="Look at this machine's name servers, and ask again: `embargo doctor`.",
        )


def _found(domain: str, path: str, resolver: Resolver) -> Iterator[Finding]:
    spf = _texts(f"{path}.", "v=spf1", resolver) or []
    remedy = f"Publish one TXT record at {path} that names your mail server: v=spf1 include:SERVER -all (RFC 7208)."
    yield judged(f"SPF of {path}: {_one(spf)}", good=len(spf) == 1, why=_WHY, remedy=remedy)
    keys = _texts(f"_domainkey.{domain}.", "", resolver) is not None
    yield Finding(
        what=f"DKIM of {domain}: {'there are names' if keys else 'there is nothing'} below _domainkey.{domain}; "
        "by which key your server signs can't be told from here",
        why=_WHY,
        remedy=""
        if keys
        else "Have your mail server sign, and publish its key (RFC 6376), unless it signs by another domain.",
    )
    labels = domain.split(".")
    # What a domain says counts for those below it, unless they say something themselves.
    for above in (".".join(labels[start:]) for start in range(max(len(labels) - 1, 1))):
        if dmarc := _texts(f"_dmarc.{above}.", "v=DMARC1", resolver):
            break
    else:
        dmarc, above = [], domain
    remedy = f"Publish one TXT record at _dmarc.{above}: v=DMARC1; p=none; rua=mailto:postmaster@{above} (RFC 7489)."
    yield judged(f"DMARC of {above}: {_one(dmarc)}", good=len(dmarc) == 1, why=_WHY, remedy=remedy)


def _one(texts: list[str]) -> str:
    if len(texts) > 1:
        return "several are published, so that none counts"
    return f"`{texts[0]}`" if texts else "none is published"


def _texts(name: str, begins: str, resolver: Resolver) -> list[str] | None:
    """The TXT records at a name that begin so; ``None``: there is no such name, nor one below it (RFC 8020)."""
    try:
        answer = resolver.resolve(name, "TXT", lifetime=_ASK_FOR, search=False, raise_on_no_answer=False)
    except NXDOMAIN:
        return None
    found = [b"".join(each.strings).decode("ascii", "replace") for each in answer.rrset or ()]
    return [each for each in found if each.lower().startswith(begins.lower())]
