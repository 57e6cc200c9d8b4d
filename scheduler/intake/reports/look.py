"""Bytes in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from itertools import chain

from scheduler.intake.reports.mime import RETURNED, notice_of, parts_of, raw, values
from scheduler.intake.reports.recipients import delivery, feedback, free_text
from scheduler.intake.reports.values import Reading, Said
from scheduler.record.mailbox import TOKEN
from scheduler.record.reach import Report

LIMIT = 5_000_000
"""A message larger than this, in bytes, is none of ours: reports bring back one mail at most."""

_PARSED = 1_000_000  # what reports say stands at their beginning
_NESTED = 24

_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RECEIPT = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_SENT_TO = (
    "To",
    "Cc",
    "Delivered-To",
    "X-Original-To",
    "Envelope-To",
    "X-Envelope-To",
    "X-Delivered-To",
    "X-Rcpt-To",
    "Received",
)
_TOKEN = TOKEN.pattern
_IN_ADDRESS = re.compile(rf"[+<]({_TOKEN})@", re.IGNORECASE)  # the latter is an invitation's Message-ID
_IN_LINK = re.compile(rf"unsubscribe[/ +:=?]*(?:%20)?({_TOKEN})(?![a-z0-9])", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"^[> ]*(?:X-Original-)?Message-ID:\s*(<[^<>\s]{1,320}>)", re.IGNORECASE | re.MULTILINE)
_ID = re.compile(r"<[^<>\s]{1,320}>")

_PREFIXES = re.compile(
    r"(?:(?:re|fwd?|aw|wg|antw|sv|vs|tr|rv|rif|r|enc|odp)\s?(?:\[\d+\])?\s?:\s*|\[\w{1,20}\]\s*)+", re.IGNORECASE
)
_UNSUBSCRIBE = re.compile(rf"[\"'<\s]*unsubscribe(?:[ :+]|%20)*({_TOKEN})?[\"'>.!\s]*", re.IGNORECASE)
_UNSUBSCRIBE_TOKEN = re.compile(rf"\bunsubscribe(?:[ :+]|%20)+({_TOKEN})(?![a-z0-9])", re.IGNORECASE)

_BOUNCER = re.compile(
    r"mailer.?daemon|post.?master|mail delivery|system administrator|mail administrator|microsoft exchange"
    r"|mail(?:er)?[ _]?service|mdaemon"
    r"|nondeliver|mail router|mail system|\bmta\b|<>",
    re.IGNORECASE,
)
_BOUNCED = re.compile(
    r"undeliver|non.?deliver|not deliver|returned mail|mail delivery|returning (?:message|mail)|failure notice"
    r"|mail system error"
    r"|deliver[yi]\w* (?:status|fail\w*|notification|problem|report|error|has failed|incomplete|delayed)"
    r"|failed (?:mail|delivery)"
    r"|(?:mail|message|delivery) (?:fail\w*|delayed)|(?:could|has) not (?:yet )?(?:be|been) deliver"
    r"|returned to sender|message status - undel"
    r"|unzustellbar|nicht zugestellt|zustellung|non.?remis|non d[ie]\w* deliver|pas pu [eê]tre (?:remis|distribu)|onbestelbaar"
    r"|no (?:se )?(?:ha )?(?:podido |puede |pudo )?entrega|mancata consegna|n[aã]o (?:foi )?(?:entregue|p[oô]de)"
    r"|falha na entrega"
    r"|error sending your (?:mail|message)|退信|配信不能|[送配]信できません|отправ\w* не удал|не доставлен",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"this is the qmail-send program|created automatically by mail delivery software|did not reach (?:some|the following)"
    r"|was undeliverable|(?:trouble|error) delivering|error message below|could not deliver"
    r"|could not be delivered|can ?not be delivered|couldn't be delivered|unable to deliver|wasn't able to deliver"
    r"|have delivery problems"
    r"|delivery to the following recipients? (?:has )?(?:permanently )?failed|was not delivered|permanent fatal errors",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"^(?:[-=_*+ \t]{2,40}.{0,80}?\b(?:copy of|original message|message header|header of|returned message|unsent message)"
    r"|[> \t]{0,9}(?:original message follows|(?:your (?:original )?)?message (?:follows|headers)"
    r"|the (?:first|header|original).{0,60}(?:message|header|lines).{0,30}:)"
    r"|[> ]{0,9}(?:received: ?(?:from|by) |return-path: ?<))",
    re.IGNORECASE | re.MULTILINE,
)
_REPLIES = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-Mail-Autoreply", "X-TMDA-Fingerprint", "X-Boxtrapper")
_OUT = re.compile(
    r"out of (?:the )?office|auto(?:matic|mated)?[ -]?(?:reply|response|answer)|autoreply|vacation|on (?:annual "
    r"|parental )?leave"
    r"|away from|abwesen|automatische antwort|r[eé]ponse automatique|absen[ct]|respuesta autom|risposta automatica|fuori sede"
    r"|resposta autom|afwezig|automatisch antwoord|autosvar|自動応答|自动回复|автоответ|confirm (?:your|that you)|challenge",
    re.IGNORECASE,
)

_AUTOMATIC = Reading(said=(Said(kind=Report.AUTOMATIC),))
_FOREIGN = Reading(said=(Said(kind=Report.FOREIGN),))


def read(message: bytes) -> Reading:
    """What these bytes say, whatever they are."""
    if len(message) > LIMIT or len(re.findall(rb"(?i)multipart/|message/", message[:_PARSED])) > _NESTED:
        return _FOREIGN
    try:
        return _read(_parsed(message))
    except Exception:  # noqa: BLE001 - strangers write these; what a parser breaks on is no report
        return _FOREIGN


def _parsed(message: bytes) -> Message:
    return BytesParser().parsebytes(
        message[:_PARSED].replace(b"\x00", b"")
    )  # a NUL breaks Python's search for a charset


def _read(message: Message) -> Reading:
    parts = list(parts_of(message))
    notice = notice_of(parts)
    returned = [raw(part) for part in parts if part.get_content_type() in RETURNED]
    sent_to = [token.lower() for value in values(message, *_SENT_TO) for token in _IN_ADDRESS.findall(value)]
    own, below = _cut(notice)
    said: list[Said] = []
    for part in parts:
        kind = part.get_content_type()
        if kind in _STATUS:
            said += delivery(raw(part), own)
        elif kind == "message/feedback-report":
            returned.append(raw(part))
            said.append(feedback(returned[-1]))
        elif kind in _RECEIPT:
            return _AUTOMATIC
    if not said and any(
        "X-HmXmrOriginalRecipient" in text for text in returned
    ):  # a complaint in Outlook.com's own form
        said = [Said(kind=Report.COMPLAINT)]
    subject = _PREFIXES.sub("", next(values(message, "Subject"), ""), count=1)
    is_reply = _is_reply(message)
    is_bouncer = any(_BOUNCER.search(value) for value in values(message, "From", "Return-Path", "Sender"))
    if not said and not is_reply and not is_bouncer and (asked := _asked(subject or notice.strip().partition("\n")[0])):
        named = [asked[1]] if asked[1] else []
        return Reading(said=(Said(kind=Report.UNSUBSCRIBED),), tokens=_once(named + sent_to))
    if not said and _is_bounce(message, subject, notice, is_bouncer=is_bouncer):
        returned.append(below)
        said = delivery(notice, own) or list(free_text(message, subject, own))
    if not said:
        is_automatic = is_reply or "Auto-Submitted" in message or _OUT.search(subject)
        return _AUTOMATIC if is_automatic else _FOREIGN
    found = "\n".join(returned)
    threads = chain.from_iterable(
        map(_ID.findall, values(message, "In-Reply-To", "References", "X-Original-Message-ID"))
    )
    return Reading(
        said=tuple(said),
        tokens=_once([*sent_to, *_IN_ADDRESS.findall(found), *_IN_LINK.findall(found)]),
        message_ids=_once([*_MESSAGE_ID.findall(found), *threads], lower=False),
    )


def _asked(text: str) -> re.Match[str] | None:
    """The words of a request to be taken off; its first group is the token, where it names one."""
    return _UNSUBSCRIBE.fullmatch(text) or _UNSUBSCRIBE_TOKEN.search(text)


def _once(found: Iterable[str], *, lower: bool = True) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.lower() if lower else text for text in found))[:20]


def _is_reply(message: Message) -> bool:
    """Whether a machine answers (RFC 3834 section 5, and what came before it)."""
    return (
        any(value.casefold().startswith("auto-replied") for value in values(message, "Auto-Submitted"))
        or any(name in message for name in _REPLIES)
        or any(value.casefold() == "auto_reply" for value in values(message, "Precedence"))
    )


def _is_bounce(message: Message, subject: str, notice: str, *, is_bouncer: bool) -> bool:
    """Whether it says by its form that a mail was not delivered, though by no standard."""
    if "X-Failed-Recipients" in message:
        return True
    if message.get_content_type() == "multipart/report":
        return str(message.get_param("report-type", "delivery-status")).casefold() == "delivery-status"
    return is_bouncer and bool(_BOUNCED.search(subject) or _OPENING.search(notice[:3000]))


def _cut(notice: str) -> tuple[str, str]:
    """What the mail system wrote itself, and the mail that it returned below that."""
    found = _BELOW.search(notice)
    return (notice[: found.start()], notice[found.start() :]) if found and found.start() else (notice, notice)
