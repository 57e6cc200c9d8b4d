"""YAML that keeps its words and its lines: every scalar as it was written, every key with the line it stands on."""

from __future__ import annotations

import difflib
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from scheduler.errors import FileRefused

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BLOCK = ("|", ">")
_NULL = ("~", "null", "Null", "NULL")
_DEPTH = 20
_KEY = re.compile("[a-z_]{1,24}")
"""What does not look like a key may be the beginning of a sentence, which is for no log."""

_NESTED = ("The YAML is nested too deeply.", "Write plain keys and lists.")
# What PyYAML says may hold words of the text, so it is never passed on; these are the slips people make.
_SLIPS = (
    (r"tab", "A tab can't indent YAML.", "Indent with blanks."),
    (r"cannot start any token", "A value starts with `@`, `%` or a backtick.", 'Put the value in "quotes".'),
    (r"mapping values are not allowed", "There is a second colon in an unquoted value, or the line is indented too far.",
     'Put the value in "quotes", or line the key up with the one above.'),
    (r"expected alphabetic", "A value starts with `*` or `&`.", 'Put the value in "quotes".'),
    (r"maximum nesting depth", *_NESTED),
    (r"unknown escape", 'There is an unknown backslash in "double quotes".', "Use 'single quotes'."),
    (r"flow", "A bracket is opened here that is not closed.", 'Close it, or put the value in "quotes".'),
    (r"expected <block end>|could not find expected ':'|did not find expected", "This doesn't line up as `key: value`.",
     'Write `key: value`, blanks before a continued line, and "quotes" around what holds quotes or `: `.'),
    (r"not allowed|control", "There is a control character.", "Delete it."),
)  # fmt: skip
# What pydantic says in words that are not the reader's.
_SAID = {
    "model_type": "should be `key: value` lines below it",
    "dict_type": "should be `key: value` lines below it",
    "string_type": "should be one value",
    "tuple_type": "should be a valid list",
    "too_short": "should have at least one item",
    "too_long": "has too many items",
}


class Unfinished(FileRefused):
    """A file that breaks off: it may still be being written, and deserves a second look before it is reported."""


class Problem(NamedTuple):
    """One thing wrong with a file: its line, a sentence, and a sentence saying what to write."""

    line: int
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A YAML mapping: `tree` of ``str``, ``list`` and ``dict`` (a key without a value has ``None``), and its lines."""

    tree: dict[str, Any] = field(repr=False)
    lines: Mapping[tuple[str | int, ...], int]
    text_lines: Mapping[tuple[str | int, ...], int]
    first_line: int = 1

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the key or item at `path`, or of its nearest parent that exists; steps that lead nowhere are skipped."""
        here: tuple[str | int, ...] = ()
        for step in path:
            if (*here, step) in self.lines:
                here = (*here, step)
        return self.lines.get(here, self.first_line)

    def text_line_of(self, path: Sequence[str | int]) -> int:
        """The line on which the words of the value at `path` begin: below the key for a ``|`` or ``>`` block."""
        return self.text_lines[tuple(path)]


def load(text: str, *, file: str, first_line: int = 1, settings: bool = False) -> Marked:
    """Read one YAML mapping without giving its scalars a type: ``2026-12-01 09:00`` and ``no`` stay words.

    `first_line` is the file's line on which `text` begins. In `settings`, other than in a record, ``null`` is no word. Raises
    :class:`~scheduler.errors.FileRefused` for what is not YAML, for a key said twice, aliases, tags of one's own and anything
    but a mapping at the top.
    """
    reader = _Reader(file, first_line, settings=settings)
    try:
        # Events, not PyYAML's tree: its recursion knows no bound, and it follows aliases.
        reader.document(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise _syntax(error, text, file, first_line) from None
    return Marked(tree=reader.tree, lines=reader.lines, text_lines=reader.text_lines, first_line=first_line)


class _Reader:
    def __init__(self, file: str, first_line: int, *, settings: bool) -> None:
        self.settings = settings
        self.file = file
        self.first_line = first_line
        self.tree: dict[str, Any] = {}
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.text_lines: dict[tuple[str | int, ...], int] = {}

    def document(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.MappingStartEvent) and not self.tree:
                self.tree = self._mapping(events, ())
            elif isinstance(event, yaml.NodeEvent) and not (isinstance(event, yaml.ScalarEvent) and not event.value):
                key = "newsroom" if self.settings else "title"
                raise self._refused(
                    event, "There are no `key: value` lines here.", f"Start each line with a key, such as `{key}: …`."
                )
            elif isinstance(event, yaml.DocumentStartEvent) and self.tree:
                remedy = "Delete the line `---`." if self.settings else "Write one record a file."
                raise self._refused(event, "A second YAML document begins.", remedy)

    def _value(self, event: Any, events: Iterator[yaml.Event], path: tuple[str | int, ...]) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._refused(event, "A value starts with `*` or `&`.", 'Put the value in "quotes".')
        if event.tag:
            raise self._refused(event, "A value starts with `!`.", 'Put the value in "quotes".')
        if len(path) > _DEPTH:
            raise self._refused(event, *_NESTED)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            for item in events:
                if isinstance(item, yaml.SequenceEndEvent):
                    return items
                self.lines[*path, len(items)] = self._line(item)
                items.append(self._value(item, events, (*path, len(items))))
        self.text_lines[path] = self._line(event) + (event.style in _BLOCK)
        is_none = not event.value or (self.settings and event.value in _NULL)
        return None if is_none and event.implicit[0] else event.value

    def _mapping(self, events: Iterator[yaml.Event], path: tuple[str | int, ...]) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for key in events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            if not isinstance(key, yaml.ScalarEvent):
                raise self._refused(key, "A key is not plain words.", "Write `key: value`.")
            if key.value in tree:
                first = self.lines[*path, key.value]
                said = f"`{key.value}`" if _KEY.fullmatch(key.value) else "This key"
                raise self._refused(key, f"{said} stands on line {first} already.", "Keep one of the two.")
            self.lines[*path, key.value] = self._line(key)
            tree[key.value] = self._value(next(events), events, (*path, key.value))
        return tree

    def _line(self, event: yaml.Event) -> int:
        return self.first_line + (event.start_mark.line if event.start_mark else 0)

    def _refused(self, event: yaml.Event, problem: str, remedy: str) -> FileRefused:
        return FileRefused(file=self.file, line=self._line(event), problem=problem, remedy=remedy)


def _syntax(error: yaml.YAMLError, text: str, file: str, first_line: int) -> FileRefused:
    mark = getattr(error, "problem_mark", None)
    said = f"{getattr(error, 'context', '')} {getattr(error, 'problem', '') or getattr(error, 'reason', '')}"
    written = text.rstrip()
    at = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
    line, column = (text.split("\n")[at : at + 1] or [""])[0], mark.column if mark else 0
    if line[: column + 1].strip(" ").startswith("\t"):
        said = "tab"
    # A quote, a bracket or a key that ends nowhere is told where it begins.
    begun = getattr(error, "context_mark", None) if re.search("quoted scalar|flow|simple key", said) else None
    if mark and at > written.count("\n"):
        return Unfinished(
            file=file,
            line=first_line + (begun.line if begun else written.count("\n")),
            problem="The YAML breaks off: a quote or a bracket is not closed, or the last line is not `key: value`.",
            remedy="Close it, or complete the line.",
        )
    problem, remedy = next(
        (words for pattern, *words in _SLIPS if re.search(pattern, said)),
        ("This is not valid YAML.", 'Write `key: value`, with "quotes" around special characters.'),
    )
    return FileRefused(file=file, line=first_line + (begun.line if begun else at), problem=problem, remedy=remedy)


def refusal(problem: str, remedy: str) -> PydanticCustomError:
    """What a validator raises so that :func:`problems` says these two sentences; they must not quote a record's text."""
    return PydanticCustomError("refused", "{problem} {remedy}", {"problem": problem, "remedy": remedy})


def problems(error: ValidationError, *, marked: Marked, model: type[BaseModel]) -> list[Problem]:
    """What pydantic found wrong with ``marked.tree``, as sentences without the values, ordered by line."""
    return sorted(_problem(detail, marked, model) for detail in error.errors(include_url=False, include_input=False))


def _problem(detail: Mapping[str, Any], marked: Marked, model: type[BaseModel]) -> Problem:
    path: tuple[str | int, ...] = detail["loc"]
    line = marked.line_of(path)
    name = ".".join(step for step in path if isinstance(step, str))
    if detail["type"] == "extra_forbidden":
        return _unknown(path, line, model)
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    example = _example(model, path, key)
    if detail["type"] == "missing":
        return Problem(
            line, f"`{name}` is {'empty' if path in marked.lines else 'missing'}.", f"Add a line `{example}`."
        )
    written = "" if example.endswith("…") else f"Write, for example, `{example}`."
    if detail["type"] == "refused":
        told = detail["ctx"]
        said = [told[part].replace("{key}", name).replace("{example}", written) for part in ("problem", "remedy")]
        return Problem(line, said[0], said[1].rstrip())
    if detail["type"] == "model_type":
        written = f"Known keys: {', '.join(_fields(model, path))}."
    message = _SAID.get(detail["type"]) or str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    remedy = f"It {message[:1].lower()}{message[1:].rstrip('.')}. {written}"
    return Problem(line, f"`{name}` can't be used.", remedy.rstrip())


def _unknown(path: Sequence[str | int], line: int, model: type[BaseModel]) -> Problem:
    key = str(path[-1])
    known = list(_fields(model, path[:-1]))
    homes = _homes(model)
    near = difflib.get_close_matches(key.casefold(), known, n=1, cutoff=0.5)
    far = [key] if key in homes else difflib.get_close_matches(key.casefold(), homes, n=1, cutoff=0.8)
    if difflib.get_close_matches(key.casefold(), near, cutoff=0.75):
        far = []
    if far:
        places = " or ".join(f"under `{place}`" if place else "at the top" for place in homes[far[0]])
        remedy = f"`{far[0]}` belongs {places}."
    else:
        remedy = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(known)}."
    said = f" `{key}`" if near or far or _KEY.fullmatch(key) else ""
    return Problem(line, f"Unknown key{said}.", remedy)


def _example(model: type[BaseModel], path: Sequence[str | int], key: str) -> str:
    """How the key at `path` may be written."""
    at = max((number for number, step in enumerate(path) if isinstance(step, str)), default=0)
    info = _fields(model, path[:at]).get(key)
    return f"{key}: {flow(info.examples[0])}" if info is not None and info.examples else f"{key}: …"


def flow(value: Any) -> str:
    """A value in one line of YAML."""
    written = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return written.removesuffix("...\n").strip()


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> dict[str, FieldInfo]:
    """The keys that may stand at `path`, found by walking the types of the model's fields."""
    here: list[Any] = [model]
    for step in path:
        found: list[Any] = []
        for kind in _flat(here):
            if _is_model(kind):
                found += [info.annotation for key, info in kind.model_fields.items() if step in (key, info.alias)]
            else:
                found += typing.get_args(kind)
        here = found or here
    return {
        info.alias or key: info for kind in _flat(here) if _is_model(kind) for key, info in kind.model_fields.items()
    }


def _homes(model: type[BaseModel], place: str = "") -> dict[str, list[str]]:
    """Every key of the model and of those below it, with the places where it belongs."""
    homes: dict[str, list[str]] = {}
    for key, info in _fields(model, ()).items():
        homes.setdefault(key, []).append(place)
        kinds = _flat([info.annotation])
        below = f"{place}.{key}" if place else key
        while kinds:
            kind = kinds.pop()
            if _is_model(kind):
                for inner, places in _homes(kind, below).items():
                    homes.setdefault(inner, []).extend(places)
            elif typing.get_origin(kind) is dict:
                below += ".NAME"
                kinds += _flat([typing.get_args(kind)[1]])
            else:
                kinds += _flat(list(typing.get_args(kind)))
    return homes


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _flat(kinds: list[Any]) -> list[Any]:
    """The members of unions and annotations in their place."""
    flat: list[Any] = []
    for kind in kinds:
        is_wrapper = typing.get_origin(kind) in (typing.Union, types.UnionType, typing.Annotated)
        flat += _flat(list(typing.get_args(kind))) if is_wrapper else [kind]
    return flat
