"""Reads the file, judges what only a look outside it can find wrong, and makes paths absolute."""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from scheduler.config.parts import Config, MailPart, Settings, WebhookPart
from scheduler.config.values import is_secret
from scheduler.errors import ConfigRefused, FileRefused
from scheduler.intake.fields import load, problems
from scheduler.outlets import mail
from scheduler.render.templates import Own, taken

PASSWORD_VARIABLE = "EMBARGO_MAIL_PASSWORD"  # noqa: S105 - the variable's name, not a password
FALLBACK_VARIABLE = "EMBARGO_FALLBACK_PASSWORD"
_SERVER = "smtp://user@mail.example.org:587?timeout=600"
_LIMIT = 1_000_000


def read(path: Path) -> Config:
    """The settings in a file. Raises :class:`ConfigRefused`."""
    try:
        with path.open("rb") as stream:
            return parse(stream.read(_LIMIT + 1), path=path)
    except FileNotFoundError:
        raise ConfigRefused(
            [f"{path}: there is no such file. `embargo init` writes one here; `--config FILE` names another."]
        ) from None
    except OSError as error:
        raise ConfigRefused([f"{path}: it can't be read: {error.strerror}."]) from error


def database_of(path: Path) -> str | None:
    """The database that settings name, be they otherwise as broken as may be; ``None`` where that can't be seen."""
    try:
        found = re.search(rb"""^database:[ \t]*["']?([^\s"'#]+)""", path.read_bytes(), re.MULTILINE)
        return None if found is None else _based("sqlite:///", found[1].decode(), path.absolute().parent)
    except (OSError, UnicodeDecodeError):
        return None


def dump(settings: Config) -> bytes:
    """The settings, with the office's templates, for a process that runs on the same: :func:`load_dumped` reads it."""
    own = (
        {} if settings.own is None else {name: b64encode(data).decode() for name, data in settings.own.sources.items()}
    )
    return json.dumps({"text": b64encode(settings.text).decode(), "own": own}).encode()


def load_dumped(data: bytes, *, path: Path) -> Config:
    """What :func:`dump` made of settings in the file `path`. Secrets are read anew. Raises :class:`ConfigRefused`."""
    said = json.loads(data)
    own = {name: b64decode(source) for name, source in said["own"].items()}
    return parse(b64decode(said["text"]), path=path, own=own)


def parse(data: bytes, *, path: Path, own: Mapping[str, bytes] | None = None) -> Config:
    """The settings in the bytes of the file `path`, from whose folder every relative path is taken.

    `own` are the office's templates as they were taken; without, they are those that lie in their folder. Raises
    :class:`ConfigRefused`.
    """
    file = path.absolute()
    if len(data) > _LIMIT:
        raise ConfigRefused([f"{path}:1: this is more than a megabyte. Put recipients into a `file` of their list."])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigRefused([f"{path}:{line}: this is not UTF-8. Save the file as UTF-8."]) from None
    try:
        marked = load(text, file=str(path), settings=True)
    except FileRefused as error:
        raise ConfigRefused([str(error)]) from error
    try:
        settings = _rooted(Settings.model_validate(marked.tree), file.parent)
    except ValidationError as error:
        raise ConfigRefused(
            [
                f"{path}:{line}: {problem} {remedy}"
                for line, problem, remedy in problems(error, marked=marked, model=Settings)
            ]
        ) from None
    found: _Found = list(_contradictions(settings))
    secrets = _opened(settings, file.parent, found)
    folder = settings.templates
    theirs = None if folder is None else taken(folder) if own is None else Own(folder=folder, sources=own)
    config = Config.model_construct(**{**dict(settings), **secrets}, file=file, text=data, own=theirs)
    found += [(("site", "folder"), sentence) for sentence in _mixed(config)]
    if found:
        told = sorted((marked.line_of(key), sentence) for key, sentence in found)
        raise ConfigRefused([f"{path}:{line}: {sentence}" for line, sentence in told])
    return config


_Found = list[tuple[tuple[str | int, ...], str]]


def _rooted(value: Any, base: Path) -> Any:
    """The same with every path of it made absolute."""
    if isinstance(value, Path):
        return base / value
    if isinstance(value, list):
        return [_rooted(each, base) for each in value]
    if isinstance(value, dict):
        return {key: _rooted(each, base) for key, each in value.items()}
    if not isinstance(value, BaseModel):
        return value
    update = {key: _rooted(each, base) for key, each in value}
    if isinstance(value, Settings):
        update["database"] = _based("sqlite:///", value.database, base)
    if isinstance(value, MailPart):
        update["transport"] = _based("maildir:", value.transport, base)
        update["fallback"] = value.fallback and _based("maildir:", value.fallback, base)
    return value.model_copy(update=update)


def _based(scheme: str, url: str, base: Path) -> str:
    path = url.removeprefix(scheme)
    if path == url:
        return url
    if scheme == "maildir:":
        path = path.removeprefix("//")  # maildir://PATH is the same
    return f"{scheme}{(base / path).as_posix()}" if path else url


def _contradictions(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What two keys say against each other, or the settings against the disk."""
    if settings.templates is not None and not settings.templates.is_dir():
        yield ("templates",), "`templates` is no folder. Create it, or delete the line."
    if settings.mail is None:
        remedy = "needs the section `mail`. Add it with `from` and `transport`, or delete the line."
        if settings.alerts.mail:
            yield ("alerts", "mail"), f"`alerts.mail` {remedy}"
        if settings.desk is not None:
            yield ("desk", "mail"), f"`desk.mail` {remedy}"
    elif settings.mail.fallback is None and settings.mail.fallback_password_file is not None:
        yield (
            ("mail", "fallback_password_file"),
            "`mail.fallback_password_file`: there is no `fallback` that it is the password of. Delete the line.",
        )


def _opened(settings: Settings, base: Path, found: _Found) -> dict[str, Any]:
    """What the files of secrets hold, and what is `found` wrong with them and with what they are for."""
    update: dict[str, Any] = {}
    part = settings.mail
    ways = (
        ()
        if part is None
        else (
            ("transport", part.transport, "", part.password_file, PASSWORD_VARIABLE),
            ("fallback", part.fallback, "fallback_", part.fallback_password_file, FALLBACK_VARIABLE),
        )
    )
    for key, url, prefix, file, variable in ways:
        if url is None:
            continue
        place = f"{prefix}password_file"
        try:
            password = os.environ.get(variable) if file is None else _held(file)
            place, update[f"{prefix}password"] = key, password
            mail.transport(url, base=base, password=password)
        except ConfigRefused as error:
            is_told = re.search("write|password_file|can't be read", str(error))
            example = "" if is_told else f" Write, for example, {_SERVER}."
            found += [(("mail", place), f"`mail.{place}`: {problem}{example}") for problem in error.problems]
    hooks = []
    for number, hook in enumerate(settings.alerts.webhooks):
        try:
            hooks.append(hook if hook.secret_file is None else hook.opened(_webhook_secret(hook, hook.secret_file)))
        except ConfigRefused as error:
            where = ("alerts", "webhooks", number, "secret_file")
            found += [(where, f"`alerts.webhooks.secret_file`: {problem}") for problem in error.problems]
    return {**update, "alerts": settings.alerts.model_copy(update={"webhooks": hooks})}


def _webhook_secret(hook: WebhookPart, file: Path) -> str:
    if hook.form != "standard":
        raise ConfigRefused([f"only the form `standard` is signed, and this is {hook.form}. Delete the line."])
    secret = _held(file).strip().removeprefix("whsec_")
    if not is_secret(secret):
        raise ConfigRefused([f"{file} holds no secret: base64 of 24 to 64 bytes. Make one: openssl rand -base64 32."])
    return secret


def _held(file: Path) -> str:
    """The words of a file of secrets."""
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigRefused([f"the file {file} can't be read. Let the service's user read it."]) from None


def _mixed(config: Config) -> list[str]:
    """What would be shown to everybody because it lies in the site folder."""
    site = config.site.folder.resolve()
    found = []
    for path, what in (config.private | {config.file: "the settings"}).items():
        place = path.resolve()
        if place == site or site in place.parents:
            found.append(
                f"`site.folder` ({site}) holds {what} ({place}): everybody could read it. Name another folder."
            )
        elif place in site.parents and what != "the settings" and place.is_dir():
            found.append(f"`site.folder` ({site}) lies in the folder of {what} ({place}). Name another folder.")
    return found
