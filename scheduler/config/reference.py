"""The settings described: the schema for editors, the page of documentation, and what is in force."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from scheduler.config.parts import Config, Settings
from scheduler.config.values import spell
from scheduler.intake.fields import flow

_HEAD = """\
# Configuration

<!-- Made from the settings' own descriptions by `embargo config reference`. -->

All settings stand in one file, `config.yaml`, which `embargo init` writes with a word about each. Relative paths are relative to
the file. A duration is a number and a unit: `90s`, `30m`, `2h`, `1d`. Secrets stand in files of their own. `embargo check` says
what is wrong, `embargo config show` what is in force, and an editor that knows YAML schemas completes and checks by
`config.schema.json`, which `embargo config schema` writes.
"""


class _Plain(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, tuple):
            return [self.encode_default(each) for each in dft]
        return spell(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def schema() -> dict[str, Any]:
    """The JSON Schema of ``config.yaml``, as a YAML parser with types of its own sees it."""
    made = Settings.model_json_schema(mode="serialization", schema_generator=_Plain)
    for part in (made, *made["$defs"].values()):
        part.pop("title", None)  # the name of a class
        for value in part.get("properties", {}).values():
            if "patternProperties" in value:
                value["additionalProperties"] = False
    properties: dict[str, Any] = made.pop("properties")
    for key, value in properties.items():
        if "$ref" in value and key not in made["required"]:  # a section that is left empty is as good as none
            properties[key] = {"anyOf": [{"$ref": value.pop("$ref")}, {"type": "null"}], **value}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of the Embargo service",
        **made,
        "properties": properties,
    }


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def shown(config: Config) -> dict[str, Any]:
    """What is in force, as it could be written, with every default and without a secret."""
    made = config.model_dump(mode="json", by_alias=True, include=set(Settings.model_fields))
    made["database"] = _masked(made["database"])
    for hook in made["alerts"]["webhooks"]:
        hook["url"] = re.sub("(://[^/?]+).*", r"\1/***", hook["url"])
    return made


def _masked(url: str) -> str:
    url = re.sub("://([^:/?#@]*):.*@", r"://\1:***@", url)
    return re.sub("([?&][^=&]*password=)[^&]*", r"\1***", url)


def page() -> str:
    """The page about all settings, in Markdown."""
    made = schema()
    return _HEAD + "".join(_section("", made, made["$defs"]))


def _section(place: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    """A table of the keys of one part, and the parts below it."""
    keys: dict[str, Any] = part["properties"]
    below = {key: found for key, value in keys.items() if (found := _below(value, parts))}
    yield f"\n## {f'`{place}`' if place else 'The file'}\n\n{part['description']}\n\n"
    yield "| key | values | default | meaning | example |\n| --- | --- | --- | --- | --- |\n"
    for key, value in keys.items():
        meaning = value.get("description") or below[key][1]["description"]
        cells = (f"`{key}`", _values(value, parts), _default(key, value, part), meaning, _example(key, value))
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"
    for key, (step, inner) in below.items():
        yield from _section(f"{place}.{key}{step}".removeprefix("."), inner, parts)


def _resolved(value: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """What stands behind a reference, and behind the choice of leaving a key empty."""
    for each in value.get("anyOf", [value]):
        if "$ref" in each:
            return dict(parts[each["$ref"].rpartition("/")[2]])
        if each.get("type") != "null" and "title" not in value:
            return dict(each)
    return value


def _below(value: dict[str, Any], parts: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The part under a key, and what stands between the two."""
    found = _resolved(value, parts)
    named = next(iter(found.get("patternProperties", {}).values()), None)
    for step, inner in (("", found), ("[]", found.get("items")), (".NAME", named)):
        if inner and "properties" in (part := _resolved(inner, parts)):
            return step, part
    return None


def _values(value: dict[str, Any], parts: dict[str, Any]) -> str:
    found = _resolved(value, parts)
    match found:
        case {"title": str(title)}:
            return title
        case {"enum": [*words]}:
            return ", ".join(f"`{word}`" for word in words)
        case {"items": inner}:
            return f"list: {_values(inner, parts)}"
        case {"minimum": least, "maximum": most, "type": kind}:
            return f"{'whole number' if kind == 'integer' else 'number'}, {least:g} to {most:g}"
    return "keys"


def _default(key: str, value: dict[str, Any], part: dict[str, Any]) -> str:
    default = value.get("default")
    is_told = default is not None and not isinstance(default, dict)
    return "required" if key in part.get("required", ()) else f"`{flow(default)}`" if is_told else ""


def _example(key: str, value: dict[str, Any]) -> str:
    return f"`{key}: {flow(value['examples'][0])}`" if "examples" in value else ""
