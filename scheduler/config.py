"""``config.yaml`` -> one frozen, fully checked value."""

from __future__ import annotations

import os
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
    ValidationError,
    model_validator,
)

from scheduler import embargo, outgoing
from scheduler.errors import ConfigRefused, EmbargoRefused, FileRefused, RenderRefused, RequestFailed
from scheduler.intake.fields import load, problems, refusal
from scheduler.outlets import mail
from scheduler.record import Overdue, PastOnArrival, Purpose
from scheduler.render.mail import message_id

PASSWORD_VARIABLE = "EMBARGO_MAIL_PASSWORD"  # noqa: S105 - the variable's name, not a password
_LIMIT = 1_000_000
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INNER = ("file", "text", "password")


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
    """A mail list; records that name no list go to those with `default`."""

    name: Text
    recipients: list[Text] = Field(default_factory=list, repr=False)
    default: bool = False


class MailPart(_Part):
    """How mail leaves, and to whom."""

    sender: Text = Field(alias="from")
    transport: Text
    password_file: Path | None = None
    connections: Annotated[int, Field(ge=1, le=64)] = 8
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
            if self.mail.password_file is not None:
                found[self.file.parent / self.mail.password_file] = "the mail password"
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
    password, found = _judged(config, file.parent)
    config = _resolved(config, file.parent, password)
    found += [(("site", "folder"), sentence) for sentence in _mixed(config)]
    if found:
        raise ConfigRefused([f"{path}:{marked.line_of(key)}: {sentence}" for key, sentence in found])
    return config


_Found = list[tuple[tuple[str | int, ...], str]]


def _is_mailbox(text: str) -> bool:
    """Whether a mail can be addressed so: what the mail itself asks, asked of one to nobody."""
    try:
        message_id(uuid="", revision=0, purpose=Purpose.RELEASE, recipient=text, domain="localhost")
    except RenderRefused:
        return False
    return True


def _judged(config: Config, base: Path) -> tuple[str | None, _Found]:
    """The mail password, and what only a look outside the file can find wrong, each with its key."""
    found: _Found = []
    password = None
    if config.templates is not None and not (base / config.templates).is_dir():
        found.append((("templates",), "`templates` is no folder. Create it, or delete the line."))
    if config.mail is not None:
        for name, part in config.mail.lists.items():
            for number, recipient in enumerate(part.recipients):
                if not _is_mailbox(recipient):
                    place = ("mail", "lists", name, "recipients", number)
                    found.append((place, f"a recipient of the list `{name}` is no address. Write name@example.org."))
        if not _is_mailbox(config.mail.sender):
            found.append((("mail", "from"), "`from` is no address. Write Press Office <press@example.org>."))
        try:
            password = _password(config.mail, base)
            mail.transport(config.mail.transport, base=base, password=password)
        except ConfigRefused as error:
            key = "password_file" if error.problems[0].startswith("The password file") else "transport"
            found += [(("mail", key), problem) for problem in error.problems]
    return password, found


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


def _resolved(config: Config, base: Path, password: str | None) -> Config:
    """Paths made absolute, and the secret in its place."""
    return config.model_copy(
        update={
            "records": [part.model_copy(update={"folder": base / part.folder}) for part in config.records],
            "database": _database(config.database, base),
            "site": config.site.model_copy(update={"folder": base / config.site.folder}),
            "templates": None if config.templates is None else base / config.templates,
            "password": password,
        }
    )


def _password(part: MailPart, base: Path) -> str | None:
    if part.password_file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        return (base / part.password_file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigRefused(
            [f"The password file {part.password_file} can't be read. Let the service's user read it."]
        ) from None


def _database(url: str, base: Path) -> str:
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or path.startswith("/") or not path:
        return url
    return f"sqlite:///{(base / path).as_posix()}"
