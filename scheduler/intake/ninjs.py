"""ninjs, the IPTC's News in JSON: 1 and 2 (``embargoed``), and 3 (``embargoedUntil``)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from scheduler.errors import FileRefused
from scheduler.intake import commonmark
from scheduler.intake.characters import decoded
from scheduler.intake.fields import Unfinished
from scheduler.intake.hypertext import piece
from scheduler.intake.wire import SPEAKS_OF_EMBARGO, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.record import Brief

_NINJS = frozenset({"headline", "headlines", "title", "versioncreated", "pubstatus", "bodies", "$standard", "standard"})
_NOTES = ("ednote", "usageterms", "copyrightnotice", "slugline")
_LEFT = ("renditions", "associations", "byline", "located", "places", "place", "events", "event")


class _Twice(ValueError):
    """A key said twice: readers differ on which counts."""


def read(data: bytes, path: Path, origin: str) -> Brief:
    """The story in a ninjs file. Raises :class:`~scheduler.errors.FileRefused`, which names places as JSON pointers."""
    wire = Wire(path=path, origin=origin)
    tree = _tree(decoded(data, origin), wire)
    keys, values = _keys(tree, wire)
    wire.name(values["uri"], "/uri")
    _when(values, keys, wire)
    _fields(values, keys, wire)
    _body(values, keys, wire)
    return wire.brief()


def _keys(tree: dict[str, Any], wire: Wire) -> tuple[dict[str, str], dict[str, Any]]:
    """The keys as they are written, and the values, by the keys in lower case."""
    # Versions differ in capitals: `versioncreated`, `versionCreated`.
    keys: dict[str, str] = {}
    for key in tree:
        if (folded := key.casefold()) in keys:
            wire.refuse(f"`/{keys[folded]}` stands here twice, in other capitals.", "Have its source keep one.")
        keys[folded] = key if re.fullmatch(r"[$\w]{1,40}", key) else "a key"
    values = {key.casefold(): value for key, value in tree.items()}
    if "uri" not in values or (not _NINJS & set(values) and not any(key.startswith("body_") for key in values)):
        wire.refuse(
            "This JSON is no ninjs: a `uri` and what belongs to it are missing.", "Write the record as Markdown."
        )
    return keys, values


def _when(values: dict[str, Any], keys: dict[str, str], wire: Wire) -> None:
    for key, value in values.items():
        place = f"/{keys[key]}"
        if SPEAKS_OF_EMBARGO.search(key):
            wire.embargo(value, place)
        elif key in ("pubstatus", "signal", "signals"):
            for said in value if isinstance(value, list) else [value]:
                wire.status(said, place)
        elif key in _NOTES:
            wire.note(value)
        elif key in _LEFT:
            wire.leave(place)
        else:
            _buried(value, place, wire)


def _fields(values: dict[str, Any], keys: dict[str, str], wire: Wire) -> None:
    wire.take("title", values.get("headline"), f"/{keys.get('headline')}")
    _pick("title", values.get("headlines"), f"/{keys.get('headlines')}", wire)
    wire.take("title", values.get("title"), f"/{keys.get('title')}")
    wire.take("summary", values.get("description_text"), "/description_text")
    wire.take("attribution", values.get("creditline"), "/creditline")
    wire.take("language", values.get("language"), "/language")
    wire.dated("version", values.get("versioncreated"), f"/{keys.get('versioncreated')}")
    wire.dated("written", values.get("contentcreated"), f"/{keys.get('contentcreated')}")
    for key in ("subject", "subjects"):
        for number, each in enumerate(values[key] if isinstance(values.get(key), list) else []):
            if isinstance(each, dict):
                wire.topic(each.get("name"), f"/{keys[key]}/{number}/name")


def _tree(text: str, wire: Wire) -> dict[str, Any]:
    try:
        tree = json.loads(text, object_pairs_hook=_pairs)
    except _Twice:
        wire.refuse("A key stands in one object twice.", "Have its source keep one.")
    except json.JSONDecodeError as error:
        kind = Unfinished if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg else FileRefused
        wire.refuse("This is not valid JSON.", "Send or save the file anew.", line=error.lineno, kind=kind)
    except (ValueError, RecursionError):
        wire.refuse("This JSON is nested too deeply, or a number in it is too long.", "Send or save the file anew.")
    if not isinstance(tree, dict):
        wire.refuse("This JSON is no object.", 'A ninjs file holds one story: `{"uri": …}`.')
    return tree


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise _Twice
    return tree


def _buried(value: Any, place: str, wire: Wire) -> None:
    """An embargo that stands where no version of ninjs has one is a doubt: its writer meant something."""
    waiting = [(value, place)]
    while waiting:
        here, path = waiting.pop()
        inside = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, each in inside:
            if isinstance(key, str) and SPEAKS_OF_EMBARGO.search(key):
                wire.doubt(f"An embargo stands below `{path}`, where ninjs has none.")
            waiting.append((each, path))


def _pick(name: str, value: Any, place: str, wire: Wire) -> None:
    """The main one of several values with roles, as ninjs 2 and 3 have them; the others are read for an embargo."""
    found = [
        (each, number) for number, each in enumerate(value if isinstance(value, list) else []) if isinstance(each, dict)
    ]
    found.sort(key=lambda one: one[0].get("role") not in (None, "main", "headline"))
    for each, number in found:
        wire.note(each.get("value")) if name in wire.fields else wire.take(
            name, each.get("value"), f"{place}/{number}/value"
        )


def _body(values: dict[str, Any], keys: dict[str, str], wire: Wire) -> None:
    """The text: HTML before plain text; what else there is of it is read for an embargo."""
    said: list[tuple[str, str, Any]] = []
    for key, value in values.items():
        if key.startswith("body_"):
            said.append((key[5:], f"/{keys[key]}", value))
    bodies = values.get("bodies")
    for number, each in enumerate(bodies if isinstance(bodies, list) else []):
        if isinstance(each, dict):
            kind = next(
                (str(value) for key, value in each.items() if key.casefold() == "contenttype"), str(each.get("role"))
            )
            said.append((kind.casefold(), f"/{keys['bodies']}/{number}/value", each.get("value")))
    said.sort(key=lambda one: "html" not in one[0])
    for kind, place, value in said:
        if not isinstance(value, str):
            wire.leave(f"{place}, which is no text")
            continue
        if re.search(r"html|nitf|xml", kind):
            try:
                body, around = piece(value)
            except ValueError:
                wire.refuse(
                    f"`{place}` has too many elements, or nests them too deeply.", "Have its source send it anew."
                )
        else:
            parts = re.split(r"\n\s*\n", value.replace("\r\n", "\n"))
            body, around = "\n\n".join(commonmark.paragraph(commonmark.marks(part)) for part in parts), ""
        wire.note(around)
        wire.note(body) if "body" in wire.fields else wire.take("body", body, place)
