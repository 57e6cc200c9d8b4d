"""The settings as values, each key checked by itself."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from scheduler import embargo, outgoing
from scheduler.errors import EmbargoRefused, RequestFailed
from scheduler.intake.fields import refusal
from scheduler.record import Overdue, PastOnArrival, Uncertain

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _zone(value: str) -> str:
    try:
        embargo.zone(value)
    except EmbargoRefused as error:
        raise refusal(error.problem, error.remedy) from None
    return value


def _absolute_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good or re.search(r"\s", value):
        raise refusal("`url` is not a web address.", "Write the site's address in full: `https://press.example.org/`.")
    return value if value.endswith("/") else value + "/"


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise refusal("`listen` is not an address and a port.", 'Write "127.0.0.1:8080".')
    return value


def _list_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", value):
        raise refusal(f"The list id `{value}` can't be used.", "Write letters a to z, digits, `-` and `_`.")
    return value


def _overdue(value: Any) -> Overdue | timedelta:
    if isinstance(value, str) and value in set(Overdue):
        return Overdue(value)
    if isinstance(value, dict) and set(value) == {"release_within"}:
        found = re.fullmatch(r"(\d{1,6})\s*([smhd])", str(value["release_within"]).strip())
        if found:
            return int(found[1]) * timedelta(**{_UNITS[found[2]]: 1})
    raise refusal(
        "`embargo.overdue` can't be used.", "Write release, hold, or {release_within: 2h} (90s, 30m, 2h, 1d)."
    )


def _rate(value: Any) -> float | None:
    """Mails a second."""
    found = re.fullmatch(r"(\d{1,7})\s*/\s*([smhd])", str(value).strip())
    if value is None:
        return None
    if not found or not int(found[1]):
        raise refusal(
            "`mail.rate` can't be used.", "Write so many mails in a second, minute or hour: 20/s, 600/m, 10000/h."
        )
    return int(found[1]) / timedelta(**{_UNITS[found[2]]: 1}).total_seconds()


def _server(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        good = (
            parts.netloc == value
            and bool(parts.hostname)
            and "@" not in value
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        good = False
    if not good or re.search(r"\s", value):
        raise refusal(
            "A server of `clock.servers` is no name or address.", "Write ntp.example.org, or a port behind it."
        )
    return value


def _hub(value: str) -> str:
    try:
        outgoing.parse(value)
    except RequestFailed:
        raise refusal(
            "A hub of `websub.hubs` is no web address.",
            "Write it in full, without user, password and `#`: https://hub.example.org/.",
        ) from None
    return value


def _each_once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


ListId = Annotated[str, BeforeValidator(_list_id)]
Zone = Annotated[str, BeforeValidator(_zone)]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


class NewsroomPart(_Part):
    """Who speaks."""

    name: Text
    url: Annotated[str, BeforeValidator(_absolute_url)]
    timezone: Zone
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")] = "en"


class Source(_Part):
    """A folder of record files; `timezone` is that of its local times, the newsroom's where absent."""

    folder: Path
    timezone: Zone | None = None


class EmbargoPart(_Part):
    """What happens to a record whose lift has passed: when it comes in, and when the service was down."""

    past_on_arrival: PastOnArrival = PastOnArrival.HOLD
    overdue: Annotated[Overdue | timedelta, PlainValidator(_overdue)] = Overdue.RELEASE

    @property
    def release_within(self) -> timedelta | None:
        """How late a release may still be that the service was down for; ``None``: as late as may be."""
        if isinstance(self.overdue, timedelta):
            return self.overdue
        return None if self.overdue is Overdue.RELEASE else timedelta()


class ClockPart(_Part):
    """When the host's clock is doubted: beyond how many seconds, whether as the kernel doubts it, and who is asked."""

    tolerance: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    unsynchronised: Literal["alarm", "hold"] = "alarm"
    servers: Annotated[list[Annotated[str, BeforeValidator(_server)]], Field(max_length=16)] = Field(
        default_factory=list
    )


class SitePart(_Part):
    """Where pages and feeds are written; the feeds carry 48 hours and at least `items`, with full texts or summaries."""

    folder: Path = Path("public/")
    items: Annotated[int, Field(ge=1, le=1000)] = 50
    text: Literal["full", "summary"] = "full"


class HttpPart(_Part):
    """Where the site folder is served."""

    listen: Annotated[str, BeforeValidator(_listen)] = "127.0.0.1:8080"

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.listen.rpartition(":")[2])


class WebsubPart(_Part):
    """The hubs that the feeds name, and that are pinged when they change; private addresses are refused unless allowed."""

    hubs: Annotated[list[Annotated[str, BeforeValidator(_hub)]], Field(max_length=8), AfterValidator(_each_once)] = (
        Field(default_factory=list)
    )
    allow_private: bool = False


class ListPart(_Part):
    """A mail list; records that name no list go to those with `default`.

    `recipients` and the CSV `file` are the office's; who joined by himself is in the database. A `public` list stands on the
    subscription page. `uncertain` says what becomes of mails that may or may not have arrived.
    """

    name: Text
    recipients: list[Text] = Field(default_factory=list, repr=False)
    file: Path | None = None
    default: bool = False
    public: bool = False
    uncertain: Uncertain = Uncertain.HOLD


class BouncesPart(_Part):
    """Where mail systems send what they could not deliver: an address that takes ``+token``, and the Maildir it arrives in."""

    address: Text
    maildir: Path | None = None


class MailPart(_Part):
    """How mail leaves, and to whom."""

    sender: Text = Field(alias="from")
    transport: Text
    password_file: Path | None = None
    fallback: Text | None = None
    fallback_password_file: Path | None = None
    connections: Annotated[int, Field(ge=1, le=64)] = 8
    rate: Annotated[float | None, BeforeValidator(_rate)] = None
    bounces: BouncesPart | None = None
    postal_address: Text | None = None
    consent: Text = "I would like to receive press releases by e-mail. I can leave at any time."
    lists: dict[ListId, ListPart] = Field(default_factory=dict)


class Config(_Part):
    """All settings. Paths are absolute; `file` is where they came from, `text` what stood there."""

    file: Path
    text: bytes = Field(repr=False)
    newsroom: NewsroomPart
    records: list[Source] = Field(min_length=1)
    database: Text
    embargo: EmbargoPart = EmbargoPart()
    clock: ClockPart = ClockPart()
    site: SitePart = SitePart()
    http: HttpPart | None = None
    websub: WebsubPart = WebsubPart()
    mail: MailPart | None = None
    templates: Path | None = None
    password: str | None = Field(None, repr=False)
    fallback_password: str | None = Field(None, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _said_empty(cls, tree: Any) -> Any:
        """An empty section takes its defaults, except `http` and `mail`: without an address there is no server, no mail."""
        return {key: value for key, value in tree.items() if value is not None}

    @property
    def default_lists(self) -> tuple[str, ...]:
        """The lists of records that name none."""
        return tuple(name for name, part in self.lists.items() if part.default)

    @property
    def lists(self) -> dict[str, ListPart]:
        """All lists by their ids."""
        return self.mail.lists if self.mail else {}

    @property
    def private(self) -> dict[Path, str]:
        """What is for the service's user alone, and what to call it. The settings are only where they hold a secret."""
        found = {part.folder: "the records" for part in self.records}
        if self.database.startswith("sqlite:///"):
            found[Path(self.database.removeprefix("sqlite:///"))] = "the database"
        elif re.match("[^/]*://[^/@]*:[^/@]+@", self.database):
            found[self.file] = "the settings"
        if self.mail is not None:
            kind, _, maildir = self.mail.transport.partition(":")
            if kind == "maildir":
                found[self.file.parent / maildir.removeprefix("//")] = "the mail"
            for secret in (self.mail.password_file, self.mail.fallback_password_file):
                if secret is not None:
                    found[self.file.parent / secret] = "the mail password"
            for part in self.mail.lists.values():
                if part.file is not None:
                    found[part.file] = "a mail list"
            if self.mail.bounces is not None and self.mail.bounces.maildir is not None:
                found[self.mail.bounces.maildir] = "the bounces"
        return found
