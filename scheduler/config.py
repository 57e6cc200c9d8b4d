"""``config.yaml`` -> one frozen, fully checked value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
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
    ValidationError,
    model_validator,
)

from scheduler import embargo, outgoing
from scheduler.errors import ConfigRefused, EmbargoRefused, FileRefused, RequestFailed
from scheduler.intake.fields import load, problems, refusal
from scheduler.outlets import mail
from scheduler.record import Overdue, PastOnArrival, Uncertain
from scheduler.record.mailbox import mailbox

PASSWORD_VARIABLE = "EMBARGO_MAIL_PASSWORD"  # noqa: S105 - the variable's name, not a password
FALLBACK_VARIABLE = "EMBARGO_FALLBACK_PASSWORD"
_LIMIT = 1_000_000
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INNER = ("file", "text", "password", "fallback_password")


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


def read(path: Path) -> Config:
    """The settings in a file. Raises :class:`ConfigRefused`."""
    try:
        with path.open("rb") as stream:
            return parse(stream.read(_LIMIT), path=path)
    except FileNotFoundError:
        raise ConfigRefused(
            [f"{path}: there is no such file. `embargo init` writes one here; `--config FILE` names another."]
        ) from None
    except OSError as error:
        raise ConfigRefused([f"{path}: it can't be read: {error.strerror}."]) from error


def parse(data: bytes, *, path: Path) -> Config:
    """The settings in the bytes of the file `path`, from whose folder every relative path is taken.

    Raises :class:`ConfigRefused`.
    """
    file = path.absolute()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigRefused([f"{path}:{line}: this is not UTF-8. Save the file as UTF-8."]) from None
    try:
        marked = load(text, file=str(path))
    except FileRefused as error:
        raise ConfigRefused([str(error)]) from error
    for inner in _INNER:
        if inner in marked.tree:
            line = marked.line_of((inner,))
            raise ConfigRefused([f"{path}:{line}: Unknown key `{inner}`. It is not a setting; delete the line."])
    try:
        config = Config.model_validate({**marked.tree, "file": file, "text": data})
    except ValidationError as error:
        raise ConfigRefused(
            [
                f"{path}:{line}: {problem} {remedy}"
                for line, problem, remedy in problems(error, marked=marked, model=Config)
            ]
        ) from None
    passwords, found = _judged(config, file.parent)
    config = _resolved(config, file.parent, passwords)
    found += [(("site", "folder"), sentence) for sentence in _mixed(config)]
    if found:
        raise ConfigRefused([f"{path}:{marked.line_of(key)}: {sentence}" for key, sentence in found])
    return config


_Found = list[tuple[tuple[str | int, ...], str]]


def _is_mailbox(text: str) -> bool:
    """Whether a mail can be addressed so."""
    try:
        mailbox(text)
    except ValueError:
        return False
    return True


def _judged(config: Config, base: Path) -> tuple[dict[str, str | None], _Found]:
    """The mail passwords, and what only a look outside the file can find wrong, each with its key."""
    found: _Found = []
    passwords: dict[str, str | None] = {}
    if config.templates is not None and not (base / config.templates).is_dir():
        found.append((("templates",), "`templates` is no folder. Create it, or delete the line."))
    if config.mail is not None:
        part = config.mail
        found += _unaddressed(part)
        for kind, url, file, variable in (
            ("transport", part.transport, part.password_file, PASSWORD_VARIABLE),
            ("fallback", part.fallback, part.fallback_password_file, FALLBACK_VARIABLE),
        ):
            if url is None:
                if file is not None:
                    found.append(
                        (("mail", "fallback_password_file"), "There is no `fallback` that it is the password of.")
                    )
                continue
            prefix = "" if kind == "transport" else "fallback_"
            try:
                passwords[f"{prefix}password"] = password = _password(file, variable, base)
                mail.transport(url, base=base, password=password)
            except ConfigRefused as error:
                key = f"{prefix}password_file" if error.problems[0].startswith("The password file") else kind
                found += [(("mail", key), problem) for problem in error.problems]
    return passwords, found


def _unaddressed(part: MailPart) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The addresses of the settings that no mail can have."""
    for name, each in part.lists.items():
        for number, recipient in enumerate(each.recipients):
            if not _is_mailbox(recipient):
                place = ("mail", "lists", name, "recipients", number)
                yield place, f"a recipient of the list `{name}` is no address. Write name@example.org."
    if not _is_mailbox(part.sender):
        yield ("mail", "from"), "`from` is no address. Write Press Office <press@example.org>."
    if part.bounces is not None and (
        not _is_mailbox(part.bounces.address) or re.search(r"[<>+]", part.bounces.address)
    ):
        yield ("mail", "bounces", "address"), "`address` is no bare address without a `+`. Write bounces@example.org."


def _mixed(config: Config) -> list[str]:
    """What would be shown to everybody because it lies in the site folder."""
    site = config.site.folder.resolve()
    found = []
    for path, what in (config.private | {config.file: "the settings"}).items():
        place = path.resolve()
        if place == site or site in place.parents:
            found.append(
                f"the site folder {site} holds {what} ({place}): everybody could read it. Name another folder."
            )
        elif place in site.parents and what != "the settings" and place.is_dir():
            found.append(f"the site folder {site} lies in the folder of {what} ({place}). Name another folder.")
    return found


def _resolved(config: Config, base: Path, passwords: dict[str, str | None]) -> Config:
    """Paths made absolute, and the secrets in their places."""
    return config.model_copy(
        update={
            "records": [part.model_copy(update={"folder": base / part.folder}) for part in config.records],
            "database": _database(config.database, base),
            "site": config.site.model_copy(update={"folder": base / config.site.folder}),
            "templates": None if config.templates is None else base / config.templates,
            "mail": None if config.mail is None else _at_home(config.mail, base),
            **passwords,
        }
    )


def _at_home(part: MailPart, base: Path) -> MailPart:
    lists = {
        name: each.model_copy(update={"file": None if each.file is None else base / each.file})
        for name, each in part.lists.items()
    }
    bounces = part.bounces
    if bounces is not None and bounces.maildir is not None:
        bounces = bounces.model_copy(update={"maildir": base / bounces.maildir})
    return part.model_copy(update={"lists": lists, "bounces": bounces})


def _password(file: Path | None, variable: str, base: Path) -> str | None:
    if file is None:
        return os.environ.get(variable)
    try:
        return (base / file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigRefused([f"The password file {file} can't be read. Let the service's user read it."]) from None


def _database(url: str, base: Path) -> str:
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or path.startswith("/") or not path:
        return url
    return f"sqlite:///{(base / path).as_posix()}"
