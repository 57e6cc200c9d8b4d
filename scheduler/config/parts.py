"""The settings as values, each key checked by itself and described: documents, schema and remedies are made from here."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from scheduler.config.values import (
    NUMERAL,
    Address,
    BareAddress,
    Database,
    From35Days,
    FromADay,
    Language,
    Late,
    Listen,
    ListId,
    Loopback,
    PathText,
    Rate,
    Server,
    SiteUrl,
    Size,
    Switch,
    Text,
    ToADay,
    ToAMonth,
    Transport,
    Url,
    Zone,
    each_once,
    longest_first,
)
from scheduler.record import Overdue, PastOnArrival, Uncertain
from scheduler.render.templates import Own


def _key(description: str, example: Any, default: Any = ..., **more: Any) -> Any:
    """A setting: what it means, with its unit, and how it may be written."""
    return Field(default, description=description, examples=[example], **more)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Serving(_Part):
    listen: str

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.listen.rpartition(":")[2])


class NewsroomPart(_Part):
    """Who speaks."""

    name: Text = _key("The name of the office, as it stands in feeds and mails.", "Example Press Office")
    url: SiteUrl = _key("Where readers find the site; every address begins with it.", "https://press.example.org/")
    timezone: Zone = _key("The IANA zone of local times that name none.", "America/New_York")
    language: Language = _key("The language of pages and feeds, as a BCP 47 tag.", "en", "en")


class Source(_Part):
    """A folder of record files."""

    folder: PathText = _key("The folder in which record files are dropped.", "records/")
    timezone: Zone | None = _key(
        "The zone of its local times that name none; absent: the newsroom's.", "Europe/Paris", None
    )


class EmbargoPart(_Part):
    """What happens to a record whose lift has passed: when it comes in, and when the service was down."""

    past_on_arrival: PastOnArrival = _key(
        "What becomes of a record whose lift has passed when it comes in: `hold` asks a person, `release` releases.",
        "hold",
        PastOnArrival.HOLD,
    )
    overdue: Late = _key(
        "What becomes of a record whose lift passed while the service was down, where need be by how late it is.",
        {"release_within": "2h"},
        Overdue.RELEASE,
    )

    @property
    def release_within(self) -> timedelta | None:
        """How late a release may still be that the service was down for; ``None``: as late as may be."""
        if isinstance(self.overdue, timedelta):
            return self.overdue
        return None if self.overdue is Overdue.RELEASE else timedelta()


class ClockPart(_Part):
    """When the host's clock is doubted: while it is, nothing lifts by time."""

    tolerance: Annotated[float, Field(ge=0.05, le=60), NUMERAL] = _key(
        "By how many seconds the clock may step forward, or be fast, before it is doubted.", 0.5, 0.5
    )
    unsynchronised: Literal["alarm", "hold"] = _key(
        "What to do when the kernel says that nothing keeps the clock right: say so, or hold too.", "alarm", "alarm"
    )
    servers: Annotated[list[Server], Field(max_length=16)] = _key(
        "The NTP servers that are asked whether the clock is fast.", ["ntp.example.org"], []
    )


class SitePart(_Part):
    """The pages and feeds."""

    folder: PathText = _key("The folder that they are written to, for any web server.", "public/", Path("public/"))
    items: Annotated[int, Field(ge=1, le=1000), NUMERAL] = _key(
        "How many records the feeds carry at least; those of the last 48 hours they carry all.", 50, 50
    )
    text: Literal["full", "summary"] = _key("What the feeds carry of each record.", "full", "full")


class HttpPart(_Serving):
    """The web server of the site folder; absent, another one serves it."""

    listen: Listen = _key("The address and port at which the site is served.", "127.0.0.1:8080", "127.0.0.1:8080")


class WebsubPart(_Part):
    """The hubs that the feeds name, and that are pinged when they change."""

    hubs: Annotated[list[Url], Field(max_length=8), AfterValidator(each_once)] = _key(
        "The WebSub hubs that are told when a feed changes.", ["https://hub.example.org/"], []
    )
    allow_private: Switch = _key("Whether a hub may have a private address.", False, False)


class ListPart(_Part):
    """A mail list, under its id."""

    name: Text = _key("What the list is called where people read of it.", "Press list")
    recipients: list[Address] = _key(
        "The office's own recipients; who joined by himself is in the database.", ["desk@example.org"], [], repr=False
    )
    file: PathText | None = _key(
        "A CSV file of more recipients: a column `email`, and `name` if you like.", "lists/press.csv", None
    )
    default: Switch = _key("Whether records that name no list go to this one.", True, False)
    public: Switch = _key("Whether anybody may join on the page `subscribe`, and is asked to confirm.", True, False)
    uncertain: Uncertain = _key(
        "What becomes of a mail that may or may not have arrived: `hold` asks a person, `resend` sends the same bytes.",
        "hold",
        Uncertain.HOLD,
    )


class BouncesPart(_Part):
    """Where mail systems report what they could not deliver."""

    address: BareAddress = _key("The address of the reports, which also takes `+token`.", "bounces@example.org")
    maildir: PathText | None = _key(
        "The Maildir they arrive in; absent: `embargo mail bounce` reads each.", "var/bounces", None
    )


class MailPart(_Part):
    """How mail leaves, and to whom; absent, none is sent."""

    sender: Address = _key("The name and address of the sender.", "Press Office <press@example.org>", alias="from")
    transport: Transport = _key(
        "Where mail leaves: a Maildir, or a server by STARTTLS (`smtp://`) or TLS (`smtps://`).",
        "smtp://user@mail.example.org:587",
    )
    password_file: PathText | None = _key(
        "The file of its password; absent: the environment variable EMBARGO_MAIL_PASSWORD.", "secrets/smtp", None
    )
    fallback: Transport | None = _key(
        "Another way, for when the first can't be used.", "smtp://relay.example.org", None
    )
    fallback_password_file: PathText | None = _key(
        "The file of its password; absent: the environment variable EMBARGO_FALLBACK_PASSWORD.", "secrets/relay", None
    )
    connections: Annotated[int, Field(ge=1, le=64), NUMERAL] = _key("How many connections are open at once.", 8, 8)
    rate: Rate = _key("The most mails that each worker sends in a time; absent: no limit.", "600/m", None)
    bounces: BouncesPart | None = _key(
        "Where undeliverable mail is reported; absent: nowhere.", {"address": "bounces@example.org"}, None
    )
    postal_address: Text | None = _key(
        "What stands in every mail where the law asks for it.", "1 Example Street, Washington", None
    )
    consent: Text = _key(
        "What people agree to who join a list.",
        "I would like to receive press releases by e-mail.",
        "I would like to receive press releases by e-mail. I can leave at any time.",
    )
    lists: dict[ListId, ListPart] = _key(
        "The lists by the ids that records name.", {"press": {"name": "Press list"}}, {}
    )

    @property
    def private(self) -> dict[Path, str]:
        """As the settings' `private`, of the mail."""
        files: list[tuple[Path | None, str]] = [(part.file, "a mail list") for part in self.lists.values()]
        files += [(each, "the mail password") for each in (self.password_file, self.fallback_password_file)]
        if self.transport.startswith("maildir:"):
            files.append((Path(self.transport.removeprefix("maildir:")), "the mail"))
        if self.bounces is not None:
            files.append((self.bounces.maildir, "the bounces"))
        return {path: what for path, what in files if path is not None}


class LogPart(_Part):
    """What the service writes to standard error."""

    format: Literal["text", "json"] = _key("How a line of the log is written.", "json", "text")


class MonitorPart(_Serving):
    """The port on which a monitor asks how the service is (`/metrics`, `/healthz`, `/readyz`); absent, there is none."""

    listen: Loopback = _key("The address, of this machine alone, and the port.", "127.0.0.1:9797", "127.0.0.1:9797")


class WebhookPart(_Part):
    """A web address that is told of trouble."""

    url: Url = _key("Where it is told; never shown, as it may be secret.", "https://hooks.example.org/x", repr=False)
    form: Literal["standard", "slack", "teams"] = _key(
        "The form of message that it understands: Standard Webhooks, Slack or Teams.", "standard", "standard"
    )
    secret_file: PathText | None = _key(
        "The file of the secret that signs a `standard` message: base64, `whsec_` before it or not.",
        "secrets/hook",
        None,
    )
    _secret: str | None = PrivateAttr(None)

    @property
    def secret(self) -> str | None:
        """What `secret_file` holds: base64, without ``whsec_``."""
        return self._secret

    def opened(self, secret: str) -> Self:
        """The same with its secret."""
        made = self.model_copy()
        made._secret = secret  # noqa: SLF001 - our own
        return made


class AlertsPart(_Part):
    """What the service says about itself, and to whom."""

    mail: list[Address] = _key("Who is told, by the transport of `mail`.", ["ops@example.org"], [], repr=False)
    webhooks: Annotated[list[WebhookPart], Field(max_length=8)] = _key(
        "The web addresses that are told.", [{"url": "https://hooks.example.org/x"}], []
    )
    repeat: ToADay = _key(
        "After how long a standing problem is said again; then twice as long, to a day.", "4h", timedelta(hours=4)
    )
    disk: Size = _key("It warns when fewer bytes are free; K, M, G are powers of a thousand.", "500M", 500 * 10**6)


class DeskPart(_Part):
    """Who hears before a lift."""

    mail: Annotated[list[Address], Field(min_length=1)] = _key("Who is told.", ["desk@example.org"], repr=False)
    ahead: Annotated[tuple[ToAMonth, ...], Field(min_length=1, max_length=8), AfterValidator(longest_first)] = _key(
        "How long before the lift it is told; each once.", ["1d", "1h"], (timedelta(days=1), timedelta(hours=1))
    )


class BackupPart(_Part):
    """Copies of the database that the service makes; absent, it makes none."""

    folder: PathText = _key("The folder of the copies.", "backups/")
    every: ToAMonth = _key("After how long the next copy is made.", "1d", timedelta(days=1))
    keep: Annotated[int, Field(ge=1, le=10000), NUMERAL] = _key("How many copies are kept, the newest.", 14, 14)


class RetentionPart(_Part):
    """How long what is over is kept."""

    text: FromADay | None = _key("How long texts of records that are over are kept; absent: for ever.", "365d", None)
    ledger: From35Days | None = _key("How long it is kept to whom which mail went; absent: for ever.", "365d", None)
    asks: FromADay = _key("How long a request to join that is not confirmed is kept.", "7d", timedelta(days=7))

    @property
    def kept(self) -> dict[str, timedelta | None]:
        """How long each kind is kept."""
        return {"text": self.text, "ledger": self.ledger, "asks": self.asks}


class Settings(_Part):
    """Everything that may stand in `config.yaml`."""

    newsroom: NewsroomPart = _key("Who speaks.", {"name": "Press", "url": "https://a.example", "timezone": "UTC"})
    records: Annotated[list[Source], Field(min_length=1)] = _key("The folders of records.", [{"folder": "records/"}])
    database: Database = _key("Where records are kept: an SQLite file, or a PostgreSQL.", "sqlite:///var/embargo.db")
    embargo: EmbargoPart = EmbargoPart()
    clock: ClockPart = ClockPart()
    site: SitePart = SitePart()
    http: HttpPart | None = None
    websub: WebsubPart = WebsubPart()
    mail: MailPart | None = None
    templates: PathText | None = _key("A folder of templates, each in place of the shipped one.", "my-templates/", None)
    log: LogPart = LogPart()
    monitor: MonitorPart | None = None
    alerts: AlertsPart = AlertsPart()
    desk: DeskPart | None = None
    backup: BackupPart | None = None
    retention: RetentionPart = RetentionPart()

    @model_validator(mode="before")
    @classmethod
    def _said_empty(cls, tree: Any) -> Any:
        """An empty section is as good as none: it takes its defaults, or there is no server, mail, desk or backup."""
        return {key: value for key, value in tree.items() if value is not None}

    @property
    def lists(self) -> dict[str, ListPart]:
        """All lists by their ids."""
        return self.mail.lists if self.mail else {}

    @property
    def default_lists(self) -> tuple[str, ...]:
        """The lists of records that name none."""
        return tuple(name for name, part in self.lists.items() if part.default)


class Config(Settings):
    """All settings. Paths are absolute; `file` is where they came from, `text` what stood there, `own` the office's templates."""

    file: Path
    text: bytes = Field(repr=False)
    own: Own | None = Field(None, repr=False)
    password: str | None = Field(None, repr=False)
    fallback_password: str | None = Field(None, repr=False)

    @property
    def secret_files(self) -> tuple[Path, ...]:
        """The files that hold a secret each."""
        files = [hook.secret_file for hook in self.alerts.webhooks]
        if self.mail is not None:
            files += [self.mail.password_file, self.mail.fallback_password_file]
        return tuple(file for file in files if file is not None)

    @property
    def private(self) -> dict[Path, str]:
        """What is for the service's user alone, and what to call it. The settings are only where they hold a secret."""
        found = {part.folder: "the records" for part in self.records}
        if self.database.startswith("sqlite:///"):
            found[Path(self.database.removeprefix("sqlite:///"))] = "the database"
        elif re.match("[^/]*://[^/@]*:[^/@]+@", self.database):
            found[self.file] = "the settings"
        if self.mail is not None:
            found |= self.mail.private
        for hook in self.alerts.webhooks:
            if hook.secret_file is not None:
                found[hook.secret_file] = "a webhook's secret"
            if hook.form != "standard":
                found[self.file] = "the settings"  # whoever knows such an address may post to it
        if self.backup is not None:
            found[self.backup.folder] = "the backups"
        return found
