"""Reads the file, judges what only a look outside it can find wrong, and makes paths absolute."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import (
    ValidationError,
)

from scheduler.config.parts import Config, MailPart
from scheduler.errors import ConfigRefused, FileRefused
from scheduler.intake.fields import load, problems
from scheduler.outlets import mail
from scheduler.record.mailbox import mailbox

PASSWORD_VARIABLE = "EMBARGO_MAIL_PASSWORD"  # noqa: S105 - the variable's name, not a password
FALLBACK_VARIABLE = "EMBARGO_FALLBACK_PASSWORD"
_LIMIT = 1_000_000
_INNER = ("file", "text", "password", "fallback_password")


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
