"""The kinds of values that settings have: how each is read, what the schema says of it, and what to write instead."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from scheduler import embargo, outgoing
from scheduler.errors import EmbargoRefused, RequestFailed
from scheduler.intake.fields import refusal
from scheduler.record import Overdue
from scheduler.record.mailbox import mailbox

UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_BYTES = {"K": 10**3, "M": 10**6, "G": 10**9}
_LIST_ID = "^[A-Za-z0-9_-]{1,63}$"
_DURATION = r"^\s*[0-9]{1,6}\s*[smhd]\s*$"
_LISTEN = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$"
_SWITCHED = "^([Tt]rue|TRUE|[Yy](es)?|YES|[Oo]n|ON|[Ff]alse|FALSE|[Nn]o?|NO|[Oo]ff|OFF|[01])$"
_SWITCH = {"true": True, "yes": True, "on": True, "y": True, "1": True}
_SWITCH |= {"false": False, "no": False, "off": False, "n": False, "0": False}


def _words(value: Any) -> str:
    """What was written where one value belongs."""
    if not isinstance(value, str) or not value.strip():
        raise refusal(
            "`{key}` holds keys or a list where one value belongs."
            if isinstance(value, list | dict)
            else "`{key}` is empty.",
            "{example}",
        )
    if len(value) > 5000 or re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise refusal("`{key}` is too long, or holds a control character.", "{example}")
    return value.strip()


def _form(title: str, pattern: str, problem: str, more: Callable[[str], object] = bool) -> tuple[Any, ...]:
    """A text of one form, for which `more` must hold, too: it may raise what an address that is none raises."""

    def checked(value: Any) -> str:
        text = _words(value)
        try:
            good = re.search(pattern, text) and more(text)
        except (ValueError, RequestFailed):
            good = False
        if not good:
            raise refusal(f"`{{key}}` {problem}", "{example}")
        return text

    return BeforeValidator(checked), _kind(title, pattern)


def _kind(title: str, pattern: str, kind: Any = "string", **more: Any) -> WithJsonSchema:
    """What the schema says; to an editor, unlike to us, ``2024`` is a number and ``on`` may be a switch."""
    return WithJsonSchema({"title": title, "type": kind, "pattern": pattern, **more})


def _path(value: Any) -> Path:
    text = _words(value)
    if text.startswith("~"):
        raise refusal(
            "`{key}` begins with `~`, which stands for no folder here.", "Write the path in full: /srv/press."
        )
    return Path(text)


def _zone(value: Any) -> str:
    try:
        return embargo.zone(_words(value)).key
    except EmbargoRefused as error:
        raise refusal(f"`{{key}}`: {error.problem}", error.remedy) from None


def _has_host(value: str) -> bool:
    parts = urlsplit(value if "://" in value else f"//{value}")
    return bool(parts.hostname) and parts.port != 0


def _is_loopback(value: str) -> bool:
    host = urlsplit(f"//{value}").hostname
    return _has_host(value) and (host == "localhost" or ip_address(host or "").is_loopback)


def is_secret(value: str) -> bool:
    """Whether this is a key for signing (Standard Webhooks): base64 of 24 to 64 bytes."""
    try:
        return 24 <= len(b64decode(value, validate=True)) <= 64
    except ValueError:
        return False


def _switch(value: Any) -> bool:
    found = _SWITCH.get(_words(value).lower())
    if found is None:
        raise refusal("`{key}` can't be used.", "Write true or false.")
    return found


def _number(value: Any) -> str:
    """A number in digits, whatever else Python would take for one."""
    text = _words(value)
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", text):
        raise refusal("`{key}` can't be used.", "Write a number in digits. {example}")
    return text


def duration(value: Any) -> timedelta | None:
    """The time that words such as ``90s``, ``30m``, ``2h`` or ``1d`` mean; ``None`` where they mean none."""
    found = re.fullmatch(r"([0-9]{1,6})\s*([smhd])", value.strip()) if isinstance(value, str) else None
    return int(found[1]) * UNITS[found[2]] if found else None


def _lasting(least: timedelta, most: timedelta) -> tuple[Any, ...]:
    bounds = f"{spell(least)} to {spell(most)}"

    def bounded(value: Any) -> timedelta:
        found = duration(_words(value))
        if found is None:
            raise refusal("`{key}` is no duration.", "Write a number and a unit: 90s, 30m, 2h or 1d. {example}")
        if not least <= found <= most:
            raise refusal("`{key}` is too short or too long.", f"Write {bounds}. {{example}}")
        return found

    return PlainValidator(bounded), PlainSerializer(spell), _kind(f"duration, {bounds}", _DURATION)


def spell(value: timedelta) -> str:
    """A duration as it is written in the settings."""
    unit = next((each for each, one in UNITS.items() if value and not value % one), "s")
    return f"{value // UNITS[unit]}{unit}"


def _overdue(value: Any) -> Overdue | timedelta:
    if isinstance(value, str) and value in set(Overdue):
        return Overdue(value)
    found = duration(value["release_within"]) if isinstance(value, dict) and set(value) == {"release_within"} else None
    if found is None:
        raise refusal("`{key}` can't be used.", "Write release, hold, or {release_within: 2h} (90s, 30m, 2h, 1d).")
    return found


def _rate(value: Any) -> float | None:
    if value is None or isinstance(value, float):
        return value
    found = re.fullmatch(r"([0-9]{1,7})\s*/\s*([smhd])", _words(value))
    if not found or not int(found[1]):
        raise refusal(
            "`{key}` can't be used.", "Write so many mails in a second, minute, hour or day: 20/s, 600/m, 10000/h."
        )
    return int(found[1]) / UNITS[found[2]].total_seconds()


def _size(value: Any) -> int:
    found = re.fullmatch(r"([0-9]{1,6})\s*([KMG])", _words(value))
    if not found:
        raise refusal("`{key}` is no amount of bytes.", "Write a number and K, M or G. {example}")
    return int(found[1]) * _BYTES[found[2]]


def _list_id(value: str) -> str:
    if not re.fullmatch(_LIST_ID, value):
        raise refusal(f"The list id `{value}` can't be used.", "Write letters a to z, digits, `-` and `_`.")
    return value


def _spelled(value: Any) -> Any:
    """What is no duration stays as it is."""
    return {"release_within": spell(value)} if isinstance(value, timedelta) else value


def _paced(value: float | None) -> str | None:
    """Mails a second, as they are written."""
    if value is None:
        return None
    unit = next(
        (each for each in "smhd" if abs((many := value * UNITS[each].total_seconds()) - round(many)) < 1e-6), "d"
    )
    return f"{round(value * UNITS[unit].total_seconds())}/{unit}"


def _sized(value: int) -> str:
    unit = next(each for each, one in reversed(_BYTES.items()) if not value % one)
    return f"{value // _BYTES[unit]}{unit}"


def longest_first(values: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    """The durations in the order in which their instants come, each once."""
    return tuple(sorted(set(values), reverse=True))


def each_once(values: list[Any]) -> list[Any]:
    """The values in their order, each once."""
    return list(dict.fromkeys(values))


NUMERAL = BeforeValidator(_number)
_ANY = ["string", "number", "boolean"]

Text = Annotated[str, BeforeValidator(_words), _kind("text", r"\S", _ANY, maxLength=5000)]
PathText = Annotated[Path, BeforeValidator(_path), _kind("path", "^[^~]", _ANY)]
Switch = Annotated[bool, BeforeValidator(_switch), _kind("true or false", _SWITCHED, ["boolean", "string"])]
Zone = Annotated[str, BeforeValidator(_zone), _kind("IANA time zone", "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")]
Language = Annotated[str, *_form("language tag", "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", "is no language tag.")]
SiteUrl = Annotated[
    str,
    *_form("web address", r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]+[^\s?#]*$", "is not a web address.", _has_host),
    AfterValidator(lambda value: value if value.endswith("/") else value + "/"),
]
Url = Annotated[
    str,
    *_form(
        "web address",
        r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s@#/?]+([/?][^\s#]*)?$",
        "is no web address, or one with user, password or `#`.",
        outgoing.parse,
    ),
]
Address = Annotated[
    str, *_form("address", r"^([^@<>\s]+@[^@<>\s]+|[^<>]*<[^@<>]+@[^@<>]+>)$", "is no address.", mailbox)
]
BareAddress = Annotated[
    str,
    *_form("bare address", r"^[^@<>+\s]+@[^@<>+\s]+$", "is no bare address, without a name and a `+`.", mailbox),
]
Listen = Annotated[str, *_form("host:port", _LISTEN, "is not an address and a port.", _has_host)]
Loopback = Annotated[
    str,
    *_form(
        "loopback host:port",
        r"^(localhost|127(\.[0-9]{1,3}){3}|\[::1\]):[0-9]{1,5}$",
        "is not an address of this machine alone and a port.",
        _is_loopback,
    ),
]
Server = Annotated[
    str,
    *_form("host or host:port", r"^[^\s/@?#]+$", "holds what is no name or address of a server.", _has_host),
]
Database = Annotated[
    str,
    *_form(
        "`sqlite:///PATH` or `postgresql://…`",
        r"^(sqlite:///(?!:memory:$).|postgresql(\+psycopg)?://.)",
        "is no database address.",
    ),
]
Transport = Annotated[
    str,
    *_form(
        "`maildir:PATH`, `smtp://…` or `smtps://…`",
        "^([Mm][Aa][Ii][Ll][Dd][Ii][Rr]:.|[Ss][Mm][Tt][Pp][Ss]?://.)",
        "must begin with maildir:, smtp:// or smtps://.",
    ),
]
ListId = Annotated[str, BeforeValidator(_list_id), Field(pattern=_LIST_ID)]
Rate = Annotated[
    float | None,
    BeforeValidator(_rate),
    PlainSerializer(_paced),
    _kind("mails in a time: `20/s`, `600/m`", r"^0*[1-9][0-9]{0,6}\s*/\s*[smhd]$", ["string", "null"]),
]
Size = Annotated[
    int, PlainValidator(_size), PlainSerializer(_sized), _kind("bytes: `500M`, `2G`", r"^[0-9]{1,6}\s*[KMG]$")
]
Late = Annotated[
    Overdue | timedelta,
    PlainValidator(_overdue),
    PlainSerializer(_spelled),
    WithJsonSchema(
        {
            "title": "`release`, `hold` or `{release_within: duration}`",
            "anyOf": [
                {"enum": [*Overdue]},
                {
                    "type": "object",
                    "properties": {"release_within": {"type": "string", "pattern": _DURATION}},
                    "required": ["release_within"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]
ToADay = Annotated[timedelta, *_lasting(UNITS["m"], UNITS["d"])]
ToAMonth = Annotated[timedelta, *_lasting(UNITS["m"], 30 * UNITS["d"])]
FromADay = Annotated[timedelta, *_lasting(UNITS["d"], 36500 * UNITS["d"])]
# As long as a bounce is judged by what was sent before: SOFT_FOR and REPORTS_TAKE of `record.reach`.
From35Days = Annotated[timedelta, *_lasting(35 * UNITS["d"], 36500 * UNITS["d"])]
