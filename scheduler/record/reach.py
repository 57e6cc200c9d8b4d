"""The written rule of bounces: what a report says of a mail and of the address it went to. `docs/mail.md` says it for people.

A *class* (the first number of RFC 3463's status) decides whether it is over with this mail; the rest, whether anything follows
for the address. Where a mail system is vague, its own words are looked at, and never to be harsher than they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum


class Report(StrEnum):
    """What a message that came back says. From the first to the last that concerns a reader, the milder stands first."""

    DELIVERED = "delivered"  # it is in his mailbox, or a system that makes no reports has it
    DELAYED = "delayed"  # it is tried again
    REFUSED = "refused"  # over with this mail, for a reason that is not the address
    SOFT = "soft"  # over with this mail; the address counts as unreachable if that goes on
    HARD = "hard"  # there is no such address, or nobody behind it
    UNSUBSCRIBED = "unsubscribed"  # he asks to be taken off
    COMPLAINT = "complaint"  # he told his provider that it is spam
    AUTOMATIC = "automatic"  # a machine's answer: out of office, a receipt, a question whether we are human
    FOREIGN = "foreign"  # anything else


FAILURES = frozenset({Report.REFUSED, Report.SOFT, Report.HARD})
"""After these the mail has not arrived and won't."""

SOFT_DAYS = 3
"""On so many days mails have to come back …"""
SOFT_FOR = timedelta(days=30)
"""… within this time, none reaching the address meanwhile, until it counts as unreachable."""
REPORTS_TAKE = timedelta(days=5)
"""So long mail systems try, and so late may their report be (RFC 5321 section 4.5.4.1)."""

STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
"""An enhanced status code (RFC 3463 section 2) among other words."""

# RFC 3463 section 3 and the registry of RFC 5248, class 5. What is not here says nothing of the address: loops, sizes, protocols,
# contents, policies (X.4.6, X.2.3, X.3.4, X.5, X.6, X.7).
_STATUSES = {
    Report.HARD: {
        "1.0",  # "address rejected" of several gateways
        "1.1",  # no such mailbox
        "1.2",  # no such domain
        "1.3",  # no address at all
        "1.6",  # moved, nobody knows where
        "1.10",  # a domain that says it takes no mail (RFC 7505), or Exchange's word for 1.1
        "2.1",  # disabled
        "4.4",  # the domain's name does not exist; a resolver that is out of order gives 4.4.3
        "1.351",  # Exchange Online passes another system's 1.1 on
        "4.310",  # … or 1.2
    },
    Report.SOFT: {
        "1.4",  # the address means several people
        "2.0",
        "2.2",  # the mailbox is full: most are emptied one day
        "2.4",  # a list behind the address does not expand
        "3.0",
        "3.1",  # the system's disk is full
        "3.2",  # it takes no mail at present
        "4.1",  # no answer from the host
        "4.2",
        "4.3",
        "4.7",  # given up after days
        "4.300",
        "4.316",
        "4.317",
    },
}
_MEANINGS = {code: report for report, codes in _STATUSES.items() for code in codes}
# Codes by which systems mean anything; there the words decide, if they say something.
_VAGUE = frozenset({"0.0", "0.350", "1.0", "2.0", "3.0", "4.0", "4.1", "5.0", "5.4"})
_ANYTHING = frozenset({"7.0", "7.1", "7.13"})  # policies, by most
_LOOKED_AT = 2000
"""So many characters of a system's words are looked at."""
_POLICIES = re.compile(r"7\.\d+")

# The words below are matched in lower case, single blanks, straight apostrophes. Each pattern is one way to say it.
_WHO = (
    r"\b(?:users?(?: ?name)?|mail ?box|recipients?|address(?:ee)?|account|e-?mail|userid|customer|alias|usuario|utilisateur"
    r"|destinataire|destinat[aá]rio|empf(?:ä|ae)nger|benutzer|adresse|indirizzo|utente)\b"
)
_NOT_THERE = (
    r"(?:(?:do|does|did) ?(?:not|n't) exist|(?:is|was|were|could|can)? ?(?:not|n't) (?:be )?(?:found|known|listed|recogni[sz]ed)"
    r"|not exist|(?:is |was )?unknown|(?:is |was )?invalid|(?:is )?undeliverable"
    r"|(?:has been |have been |is |was )?(?:currently )?(?:disabled|deactivated|inactive|not active|suspended|discontinued|closed"
    r"|terminated|expired|deleted|retired|removed|dormant|locked|frozen))\b"
)
_UNKNOWN = re.compile(
    rf"\b(?:unknown|no such|invalid|non-?existent|not a (?:known|valid)|no valid|disabled|bad) "
    rf"(?:local |e-?mail |mail |final |delivery ){{0,2}}{_WHO}"
    rf"|\bno {_WHO} (?:here|found|by that name|exists|with)"
    rf"|{_WHO}\S{{0,3}} (?:\S{{1,80}} ){{0,4}}?{_NOT_THERE}"
    r"|\buser .{0,60}\bnot (?:listed|found)|not listed in (?:domino|public)|unrouteable (?:mail domain|address)"
    r"|doesn't have an? .{1,40} account|not (?:our|a) customer|nosuchuser|badrcptto|recip(?:ient)?notfound|not in address"
    r"|existiert nicht|unbekannt\b|n'existe pas|\binconnu|no existe|non esiste|sconosciut|n[aã]o existe|descon(?:h|o)ecid"
    r"|desconocid|bestaat niet|onbekend"
    r"|no longer (?:valid|active|with|available|exists?|in use|here|employed|works|on this|at this|accepts? mail at)"
    r"|\bhas (?:moved|left)\b"
    r"|(?:domain|host)(?: ?name)? (?:\S{1,80} )?(?:(?:is )?not found|(?:does not|doesn't) exist|has no mail exchangers)"
    r"|(?:unknown|no such|non-?existent|bad destination) (?:mail )?(?:host|domain|system)s?\b|nxdomain|null ?mx\b"
    r"|host unknown|name or service not known|find any host named|illegal host/domain|does not accept mail"
)
# RFC 5321 section 4.2.3 has these words for 550, whatever the reason.
_UNAVAILABLE = re.compile(r"mailbox (?:is )?(?:currently )?unavailable")
_FULL = re.compile(
    r"\b(?:mail ?box|inbox|account|user|recipient|disk|quota|store|postfach|bo[iî]te|buz[oó]n|casella|caixa)\b.{0,60}?"
    r"\b(?:full|pleine|llen[ao]|piena|cheia|voll)\b"
    r"|over ?-?quota|out of storage|quota.{0,40}(?:exceed|full|reached|limit)|exceed.{0,60}(?:quota|storage|mailbox|disk)"
    r"|insufficient (?:system )?(?:storage|disk)|not enough (?:disk |storage )?space|mailbox size limit|storage limit"
    r"|überfüllt|überschritten|quota dépass|superad[oa].{0,20}(?:cuota|l[ií]mite)"
)
_POLICY = re.compile(
    r"spam|\bblock|black ?list|deny ?list|denied|polic(?:y|ies)|reputation|\bspf\b|\bdkim\b|\bdmarc\b|relay"
    r"|unsolicited|content|virus|malware|phish|\brbl\b|dnsbl|spamhaus|banned|not (?:allowed|permitted|authori[sz]ed)"
    r"|prohibit|restrict|rate limit|too many|too (?:large|big)|message size|loop|hop count|spoof|authenticat|greylist|reverse dns"
    r"|listed (?:at|by|on|in) \S+\.\S|suspicious|suspect|unwelcome|complaint"
)
# Not for good, whatever the code.
_PASSING = re.compile(
    r"try again later|not found, try again|temporar|malformed|unexpected name server reply|\bat a rate\b"
)
# They speak of us.
_SENDER = re.compile(
    r"sender.{0,40}(?:address|domain|verif|rejected|denied|exist|not found|unknown|invalid)|from address|envelope.from|\bhelo\b"
    r"|client host|your (?:ip|domain|host|server)"
)


def judged(status: str | None, code: int | None = None, words: str = "") -> Report:
    """What the refusal of a mail says: REFUSED, SOFT or HARD.

    `status` is an enhanced code (RFC 3463), `code` the reply code (RFC 5321 section 4.2), `words` what else was said. Without
    either code it is SOFT at most, unless the words are plain.
    """
    if (status or str(code or 5))[0] != "5":
        return Report.SOFT
    found = (status or "5.0.0").removeprefix("5.")
    words = " ".join(words[:_LOOKED_AT].casefold().replace("\u2019", "'").split())
    if not _POLICIES.fullmatch(found) and _FULL.search(words):
        return Report.SOFT
    meaning = _MEANINGS.get(found, Report.SOFT if found in _VAGUE else Report.REFUSED)
    policy, ours = bool(_POLICY.search(words)), bool(_SENDER.search(words))
    plain = not ours and bool(_UNKNOWN.search(words) or (not policy and _UNAVAILABLE.search(words)))
    vague = found in _VAGUE
    # Exchange Online refuses unknown names at its edge with "5.4.1 Recipient address rejected: Access denied".
    at_edge = found == "4.1" and "address rejected" in words
    if at_edge or (plain and (vague or (found in _ANYTHING and not policy))):
        meaning = Report.HARD
    elif ((policy or ours) and not plain and (vague or meaning is Report.HARD)) or (
        vague and meaning is Report.SOFT and code in {553, 554}
    ):
        meaning = Report.REFUSED
    return Report.SOFT if meaning is Report.HARD and _PASSING.search(words) else meaning


def is_unreachable(soft_at: Iterable[datetime], *, reached_at: Iterable[datetime], now: datetime) -> bool:
    """Whether soft failures at these instants put an address off: on :data:`SOFT_DAYS` days (UTC) within :data:`SOFT_FOR`.

    Only those after the latest of `reached_at` count, at which a mail is known to have got through.
    """
    since = max((now - SOFT_FOR, *reached_at))
    return len({at.date() for at in soft_at if at > since}) >= SOFT_DAYS
