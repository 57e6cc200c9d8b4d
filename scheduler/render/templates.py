"""The Jinja2 environment: shipped templates, overridden file by file by a configured folder, and the filters they use."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    nodes,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from scheduler import shipped
from scheduler.embargo import local as local_time
from scheduler.errors import RenderRefused

# strftime names days and months in the host's locale; the bytes of a page must not depend on it.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_REACHING = (nodes.Const, nodes.Extends, nodes.FromImport, nodes.Getattr, nodes.Import, nodes.Include)
_LARGEST = 1_000_000
_RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "iw", "ks", "ps", "sd", "syr", "ug", "ur", "yi"})
_RIGHT_TO_LEFT_SCRIPTS = frozenset({"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Newsroom:
    """Who speaks: `url` is absolute and ends in ``/``, `zone` an IANA key, `language` a BCP 47 tag.

    `subscribe` says that there is a page on which anybody may join a mail list.
    """

    name: str
    url: str
    zone: str
    language: str
    subscribe: bool = False

    @property
    def domain(self) -> str:
        """The host of `url` as a DNS name in ASCII; ``localhost`` for an IPv6 address, which a ``tag:`` URI can't hold."""
        host = urlsplit(self.url).hostname or "localhost"
        return "localhost" if ":" in host else host.encode("idna").decode()

    def link(self, path: str) -> str:
        """The address of a path of the site."""
        return self.url + quote(path)

    def place(self, path: str) -> str:
        """The same without the host."""
        return urlsplit(self.url).path + quote(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An office's own templates, as they were taken: `sources` are the bytes of each file by its name below `folder`."""

    folder: Path
    sources: Mapping[str, bytes] = field(repr=False)

    def source(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        """A template's text, its file, and that it stays so (Jinja2's `BaseLoader.get_source`)."""
        data = self.sources.get(name)
        return None if data is None else (data.decode(), str(self.folder / name), lambda: True)


def taken(folder: Path) -> Own:
    """The templates that lie in `folder` now. What can't be read, or is too large for one, is none."""
    sources = {}
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                sources[path.relative_to(folder).as_posix()] = path.read_bytes()
    return Own(folder=folder, sources=sources)


def rfc3339(at: datetime) -> str:
    """``2026-12-01T14:00:00Z``: RFC 3339 with the upper-case letters that RFC 4287 section 3.3 asks for."""
    return at.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"


def rfc822(at: datetime) -> str:
    """``Tue, 01 Dec 2026 14:00:00 GMT``: RFC 822 with the four-digit year of RSS 2.0."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


def day(at: datetime, zone: str) -> str:
    """``1 December 2026``: the date in `zone`, an IANA key or an offset."""
    return _date(local_time(at, zone))


def month(at: datetime, zone: str) -> str:
    """``December 2026``: the month in `zone`."""
    local = local_time(at, zone)
    return f"{_MONTHS[local.month - 1]} {local.year}"


def minute(at: datetime, zone: str) -> str:
    """``1 December 2026, 09:00 EST``."""
    local = local_time(at, zone)
    name = local.tzname() or ""
    if not name.isalpha():  # zones without an abbreviation of their own are called "-03"
        offset = f"{local:%z}"
        name = f"UTC{offset[:3]}:{offset[3:5]}"
    return f"{_date(local)}, {local:%H:%M} {name}"


def moment(at: datetime, zone: str) -> str:
    """``Tuesday 1 December 2026, 09:00 EST (14:00 UTC)``; UTC has its own date where that differs."""
    local, utc = local_time(at, zone), at.astimezone(UTC)
    text = f"{_DAYS[local.weekday()]} {minute(at, zone)}"
    if local.tzname() == "UTC":
        return text
    date = "" if local.date() == utc.date() else f"{utc.day} {_MONTHS[utc.month - 1]}, "
    return f"{text} ({date}{utc:%H:%M} UTC)"


def _date(local: datetime) -> str:
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


@lru_cache(maxsize=256)
def direction(language: str) -> str:
    """``rtl`` or ``ltr`` for a BCP 47 language tag; a script subtag decides over the language."""
    parts = language.lower().replace("_", "-").split("-")
    script = next((part for part in parts[1:] if len(part) == 4 and part.isalpha()), None)
    right = script in _RIGHT_TO_LEFT_SCRIPTS if script else parts[0] in _RIGHT_TO_LEFT
    return "rtl" if right else "ltr"


def link(text: str | None) -> str:
    """`text` as an address for ``href``, percent-encoded: http, https or mailto; empty where it is none of them."""
    if text and re.fullmatch(r"https?://[^\s/]\S*", text, re.IGNORECASE):
        return quote(text, safe="!#$%&'()*+,/:;=?@[]~")
    if text and re.fullmatch(r"[^\s@:<>]+@[^\s@:<>]+", text):
        return "mailto:" + quote(text, safe="@")
    return ""


def plain(text: str) -> Markup:
    """Text for RSS's plain-text elements, where readers differ on named entities (RSS Profile, character data)."""
    return Markup(str(text).replace("&", "&#x26;").replace("<", "&#x3C;").replace(">", "&#x3E;"))  # noqa: S704 - escaped here


def cdata(html: str) -> Markup:
    """`html` as one or more CDATA sections: the end mark within is split over two (XML 1.0 section 2.7)."""
    return Markup("<![CDATA[" + html.replace("]]>", "]]]]><![CDATA[>") + "]]>")  # noqa: S704 - closed against its own end mark


def as_json(value: object) -> str:
    """`value` as JSON for a ``.json`` template; inside HTML use Jinja2's own ``tojson``, which escapes ``</``."""
    return json.dumps(value, ensure_ascii=False)


def _escaped(name: str | None) -> bool:
    return name is None or name.endswith((".html", ".xml"))


def environment(overrides: Own | None = None, *, examined: bool = True) -> ImmutableSandboxedEnvironment:
    """An environment in which an unknown variable is an error and ``.html`` and ``.xml`` are escaped.

    A template is looked for in `overrides` first. Templates run in Jinja2's sandbox: they are the user's, and what they are given
    is held text. The filters are the functions of this module. Where they are `examined`, raises `RenderRefused` if one of
    `overrides`, in whichever branch, breaks the syntax, names a template that is not there, or reaches for what is private to
    Python.
    """
    ours = FileSystemLoader(shipped("templates"))
    loaders: list[BaseLoader] = [ours] if overrides is None else [FunctionLoader(overrides.source), ours]
    made = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader(loaders),
        autoescape=_escaped,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for used in (rfc3339, rfc822, day, month, minute, moment, direction, link, plain, cdata):
        made.filters[used.__name__] = used
    made.filters["json"] = as_json
    if overrides is not None and examined:
        replaced = [name for name in ours.list_templates() if name in overrides.sources]
        _examine(made, dict.fromkeys(replaced, ""))
    return made


def at_home(
    environment: ImmutableSandboxedEnvironment, newsroom: Newsroom, *, hubs: Sequence[str] = ()
) -> ImmutableSandboxedEnvironment:
    """`environment`, whose templates now know where they are: ``newsroom``, ``url(path)``, ``path(path)`` and ``hubs``."""
    environment.globals |= {"newsroom": newsroom, "url": newsroom.link, "path": newsroom.place, "hubs": tuple(hubs)}
    return environment


def _examine(environment: Environment, wanted: dict[str, str]) -> None:
    """Reads templates, and those they name, without running them: a branch may run for the first time at a lift.

    `wanted` has the names, each with what to say where there is no such template.
    """
    assert environment.loader is not None
    known = set(wanted)
    while wanted:
        name, missing = wanted.popitem()
        try:
            source, file, _ = environment.loader.get_source(environment, name)
            tree = environment.parse(source, name, file)
        except Exception as error:  # noqa: BLE001 - as in `rendered`
            raise RenderRefused(output=name, problem=missing or _problem(error)) from None
        lines = source.splitlines()
        for node in tree.find_all(_REACHING):
            place, line = f"{file}:{node.lineno}", lines[node.lineno - 1].strip()
            reached = node.attr if isinstance(node, nodes.Getattr) else ""
            quoted = node.value if isinstance(node, nodes.Const) else ""  # x["__class__"], x|attr("__class__")
            if reached.startswith("_") or re.search(r"__\w+__", str(quoted)):
                raise RenderRefused(output=name, problem=f"{place}: SecurityError in `{line}`.")
            part = getattr(node, "template", None)
            if isinstance(part, nodes.Const) and part.value not in known and not getattr(node, "ignore_missing", False):
                known.add(part.value)
                wanted[part.value] = f"{place}: TemplateNotFound in `{line}`."


def rendered(environment: Environment, name: str, values: Mapping[str, object]) -> str:
    """The output of template `name`; whatever goes wrong in it is a `RenderRefused` with the template's file and line."""
    try:
        return environment.get_template(name).render(values)
    except Exception as error:  # noqa: BLE001 - templates are the user's code: anything may come out of them
        raise RenderRefused(output=name, problem=_problem(error)) from None


def _problem(error: Exception) -> str:
    # In the template's own words: an exception's message might quote held text.
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}: {error.message}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.endswith((".py", ">"))]
    if frames:
        return f"{frames[-1].filename}:{frames[-1].lineno}: {type(error).__name__} in `{frames[-1].line}`."
    if isinstance(error, TemplateNotFound):
        return "There is no such template."
    return f"The template can't be read: {type(error).__name__}. Save it as UTF-8 text."
