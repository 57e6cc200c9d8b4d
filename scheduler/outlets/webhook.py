"""Posts an alert to a web address: as a Standard Webhook, which is signed, or as what Slack and Teams show."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from scheduler import outgoing
from scheduler.errors import RequestFailed

Form = Literal["standard", "slack", "teams"]

SECONDS = 8.0
"""How long the other side has to answer, all in all."""

_MOST = 20
"""So many troubles are told one by one: Slack takes 50 blocks, Teams 28 kB."""
_LONGEST = 400
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where to, and what is understood there. Whoever knows the `url` may post to it; `secret` is base64, without ``whsec_``."""

    url: str = field(repr=False)
    form: Form = "standard"
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One trouble: it is ``new``, ``standing`` since it was last told of, or ``over``: then its name is all that is said."""

    status: Literal["new", "standing", "over"]
    kind: str
    subject: str
    problem: str = ""
    remedy: str = ""
    urgent: bool = False

    def __str__(self) -> str:
        if self.status == "over":
            return f"Over: {self.kind.replace('_', ' ')} {self.subject}".rstrip()
        return f"{'Still: ' * (self.status == 'standing')}{self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One alert. `id` is the same at each try, and has no full stop in it; `host` and `database` say whose it is."""

    id: str
    at: datetime
    newsroom: str
    host: str
    database: str
    headline: str
    lines: tuple[Line, ...]

    @property
    def urgent(self) -> bool:
        """Whether it is to wake a person."""
        return any(line.urgent for line in self.lines)


def post(hook: Hook, notice: Notice, *, now: datetime) -> bool:
    """Posts it once, and says whether it was taken: ``False``, there is nobody any more who wants one (410).

    `now` is the instant of this try. Raises :class:`RequestFailed`, which names the host alone.
    """
    body = json.dumps(_MADE[hook.form](notice), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    fields = {"Content-Type": "application/json"}
    if hook.form == "standard":
        fields |= _signed(notice.id, now, body, hook.secret)
    # Who wrote the settings may mean a private address, and nothing of what is answered there is shown.
    answer = outgoing.request("POST", hook.url, body=body, headers=fields, seconds=SECONDS, allow_private=True)
    if 200 <= answer.status < 300:
        return True
    if answer.status == 410:
        return False
    said = f"{outgoing.parse(hook.url).netloc} answered {answer.status}"
    if answer.status in _LATER or answer.status >= 500:
        raise RequestFailed(f"{said}.", retry_after=answer.retry_after)
    advice = (
        "it has moved. Write its new address" if answer.status < 400 else "it does not take this. Correct the address"
    )
    raise RequestFailed(f"{said}: {advice} in `alerts.webhooks`.", final=True)


def _signed(notice_id: str, now: datetime, body: bytes, secret: str | None) -> Mapping[str, str]:
    """The fields of Standard Webhooks 1.0.0. Without a secret there is no signature."""
    seconds = str(int(now.timestamp()))
    fields = {"webhook-id": notice_id, "webhook-timestamp": seconds}
    if secret is not None:
        digest = hmac.digest(b64decode(secret), f"{notice_id}.{seconds}.".encode() + body, "sha256")
        fields["webhook-signature"] = f"v1,{b64encode(digest).decode()}"
    return fields


def _standard(notice: Notice) -> dict[str, Any]:
    data = {**asdict(notice), "urgent": notice.urgent}
    del data["id"], data["at"]  # the one is a field of the request, the other stands below
    return {"type": "embargo.alert", "timestamp": notice.at.isoformat().replace("+00:00", "Z"), "data": data}


def _slack(notice: Notice) -> dict[str, Any]:
    def section(text: str) -> dict[str, Any]:
        # Verbatim, lest a name with an @ or a # in it calls somebody.
        return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}

    title = _escaped(f"{notice.newsroom}: {notice.headline}")
    blocks = [section(f"*{':rotating_light: ' if notice.urgent else ''}{title}*")]
    for line in notice.lines[:_MOST]:
        remedy = f"\n>{_escaped(line.remedy)}" if line.remedy else ""
        blocks.append(section(f"{_escaped(str(line))}{remedy}"))
    end = {"type": "mrkdwn", "text": _escaped(_end(notice)), "verbatim": True}
    return {"text": title, "blocks": [*blocks, {"type": "context", "elements": [end]}]}


def _escaped(text: str) -> str:
    """As text that can open no link and call nobody."""
    return _short(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(notice: Notice) -> dict[str, Any]:
    def text(*runs: dict[str, Any]) -> dict[str, Any]:
        # Not a TextBlock, which would take the text for Markdown.
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}

    title = {"text": _short(f"{notice.newsroom}: {notice.headline}"), "weight": "Bolder", "size": "Medium"}
    blocks = [text(title | {"color": "Attention"} if notice.urgent else title)]
    for line in notice.lines[:_MOST]:
        blocks.append(text({"text": _short(str(line))}))
        if line.remedy:
            blocks.append(text({"text": _short(line.remedy), "isSubtle": True}))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [*blocks, text({"text": _end(notice), "size": "Small", "isSubtle": True})],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _end(notice: Notice) -> str:
    more = len(notice.lines) - _MOST
    return f"{f'{more} more: see `embargo status`. ' if more > 0 else ''}{notice.host}, {notice.database}"


_MADE = {"standard": _standard, "slack": _slack, "teams": _teams}
