"""The metadata of a record: which keys there are, what they may hold, and how a brief is made from them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from scheduler.errors import FileRefused
from scheduler.intake.fields import Marked, problems, refusal
from scheduler.media import KINDS, kind_of
from scheduler.record import Attachment, Enclosed, StatedEmbargo

MOST_ATTACHMENTS = 20
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold (XML 1.0, section 2.2)."""


def _words(value: Any) -> Any:
    """A list as it is; one string as a list of one, unless it looks like several in a row."""
    if not isinstance(value, str):
        return value
    if re.search("[,،、;]", value):
        raise refusal("Several values stand in one string.", "Write a list: `[first, second]`.")
    return [value]


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s<>\"]", value)
    except ValueError:
        good = False
    if not good:
        raise refusal("`source` is not a web address.", "Write it in full: `https://…`.")
    return value


def _date(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip(), re.ASCII):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise refusal("`issued` is not a date.", "Write it as year-month-day: `2026-11-30`.")


def _files(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _file(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise refusal("An entry of `attachments` names no file.", "Write `report.pdf` or `{file: chart.png, alt: …}`.")
    return {"file": value} if isinstance(value, str) else value


def _shown(value: str) -> str:
    if FORBIDDEN.search(value):
        raise refusal("`attachments` holds a control character.", "Delete it.")
    return value


Text = Annotated[str, Field(min_length=1)]
Words = Annotated[list[Text], BeforeValidator(_words)]


class Until(BaseModel):
    """The longer form of ``embargo``: the local time and its zone apart."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    until: Text
    zone: Text | None = None


class Enclosure(BaseModel):
    """An entry of ``attachments``; the short form is its ``file`` alone, relative to the folder of the record's own file."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    file: Annotated[Text, AfterValidator(_shown)] = Field(repr=False)
    alt: Annotated[Text, AfterValidator(_shown)] | None = Field(default=None, repr=False)
    title: Annotated[Text, AfterValidator(_shown)] | None = Field(default=None, repr=False)

    @field_validator("file")
    @classmethod
    def _usable(cls, value: str) -> str:
        if value.startswith("/") or "\\" in value:
            raise refusal("An attachment's path can't be used.", "Write it from the record's own folder on, with `/`.")
        if kind_of(value) is None:
            raise refusal(
                "An attachment is of a kind that is not sent out.", f"Known endings: {', '.join(sorted(KINDS))}."
            )
        if not fits_id(safe_name(value)):
            raise refusal("An attachment's name can't serve in its address.", "Rename the file: letters and digits.")
        return value

    @model_validator(mode="after")
    def _seen(self) -> Self:
        kind = kind_of(self.file)
        if self.alt is not None and kind is not None and not kind.is_image:
            raise refusal("`alt` says what an image shows, and this is none.", "Write `title`.")
        return self


class Matter(BaseModel):
    """The keys of a record's metadata (design section 7). An absent key is ``None``, or empty where it is a list."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    title: Text | None = Field(default=None, repr=False)
    embargo: Until | None = None
    summary: Text | None = Field(default=None, repr=False)
    topics: Words = Field(default_factory=list, repr=False)
    attribution: Text | None = Field(default=None, repr=False)
    withhold: Words = Field(default_factory=list, repr=False)
    lists: Words | None = None
    contact: Text | None = Field(default=None, repr=False)
    source: Annotated[str, BeforeValidator(_url)] | None = None
    language: str | None = None
    id: str | None = None
    correction: Text | None = Field(default=None, repr=False)
    issued: Annotated[date, BeforeValidator(_date)] | None = None
    attachments: Annotated[list[Annotated[Enclosure, BeforeValidator(_file)]], BeforeValidator(_files)] = Field(
        default_factory=list, repr=False
    )

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, tree: Any) -> Any:
        # A template's empty line says nothing. An empty `embargo` or `withhold` was meant to say something.
        return {key: value for key, value in tree.items() if value is not None or key in ("embargo", "withhold")}

    @field_validator("embargo", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if value is None or value == "":
            raise refusal("`embargo` is empty.", "Write the time, `on delivery` or `none`, or delete the line.")
        return {"until": value} if isinstance(value, str) else value

    @field_validator("title")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and ("\n" in value or len(value) > 300):
            raise refusal(
                "`title` is not one line of at most 300 characters.", "Shorten it, or move words to `summary`."
            )
        return value

    @field_validator("withhold")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        if not all(re.search(r"[^\W\d_]", name) for name in value):
            raise refusal("An entry of `withhold` has no letters.", "Write each name as it may appear.")
        return value

    @field_validator("language")
    @classmethod
    def _tag(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", value):
            raise refusal("`language` is not a language tag (BCP 47).", "Write one such as `en`, `es-MX` or `zh-Hant`.")
        return value

    @field_validator("id")
    @classmethod
    def _identifier(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = unicodedata.normalize("NFC", value)
        if not fits_id(value):
            raise refusal("`id` can't be used.", ID_RULE)
        return value

    @field_validator("attachments")
    @classmethod
    def _apart(cls, value: list[Enclosure]) -> list[Enclosure]:
        if len(value) > MOST_ATTACHMENTS:
            raise refusal("There are more than 20 attachments.", "Put several into one `.zip`.")
        if len({safe_name(each.file).casefold() for each in value}) < len(value):
            raise refusal("Two attachments would have the same name in their address.", "Rename one of the files.")
        return value

    @model_validator(mode="after")
    def _showable(self) -> Self:
        for name, value in self:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and FORBIDDEN.search(text):
                    raise refusal(f"`{name}` holds a control character.", "Delete it.")
        return self

    def stated(self, marked: Marked) -> StatedEmbargo | None:
        """The embargo as it was written, with its line."""
        if self.embargo is None:
            return None
        line = marked.line_of(("embargo", "until"))
        return StatedEmbargo(words=self.embargo.until, zone=self.embargo.zone, line=line)

    def enclosed(self, marked: Marked, folder: Path) -> tuple[Enclosed, ...]:
        """The attachments, whose paths are relative to `folder`, none of them looked at yet."""
        return tuple(
            Enclosed(
                attachment=Attachment(
                    name=safe_name(each.file),
                    media_type=kind.media_type,
                    size=0,
                    digest="",
                    alt=each.alt and " ".join(each.alt.split()),
                    title=each.title and " ".join(each.title.split()),
                ),
                path=str(folder / each.file),
                line=marked.line_of(("attachments", number)),
            )
            for number, each in enumerate(self.attachments)
            if (kind := kind_of(each.file)) is not None
        )


class WithBody(Matter):
    """A record that is YAML alone: its text stands under ``body``."""

    # Blanks at its start are code, and its empty lines count.
    body: Annotated[str, StringConstraints(strip_whitespace=False)] = Field(repr=False)


ID_RULE = (
    "An id has letters, digits, `.`, `_` and `-`, starts with a letter or a digit, has at most 100 characters "
    "(200 bytes), and does not end in `.html`: write `id: …`."
)


def fits_id(value: str) -> bool:
    """Whether `value` can be a record's id. Marks that belong to a letter, as in Hindi, count as letters."""
    return (
        0 < len(value) <= 100
        and all(sign in "._-" or unicodedata.category(sign)[0] in "LMN" for sign in value)
        and len(value.encode()) <= 200
        and unicodedata.category(value[0])[0] in "LN"
        and not value.casefold().endswith(".html")
    )


def safe_name(file: str) -> str:
    """The name in its address of a file with this path: what an id may hold stays, all else becomes hyphens.

    The suffix is in lower case. What can't be mended so, such as a name too long, :func:`fits_id` tells.
    """
    stem, _, suffix = unicodedata.normalize("NFC", file.rpartition("/")[2]).rpartition(".")
    kept = "".join(sign if sign in "._-" or unicodedata.category(sign)[0] in "LMN" else " " for sign in stem)
    return f"{'-'.join(kept.split()).lstrip('._-')}.{suffix.casefold()}"


def id_of(stem: str, *, file: str) -> str:
    """The id made from a file's name without its suffix; :class:`~scheduler.errors.FileRefused` where none can be made."""
    value = "-".join(unicodedata.normalize("NFC", stem).split())
    if not fits_id(value):
        raise FileRefused(file=file, problem="The file's name can't serve as the record's id.", remedy=ID_RULE)
    return value


M = TypeVar("M", bound=Matter)


def check(model: type[M], marked: Marked, *, file: str) -> M:
    """The metadata in `marked`, or one :class:`~scheduler.errors.FileRefused` that tells all that is wrong with it."""
    try:
        return model.model_validate(marked.tree)
    except ValidationError as error:
        first, *others = problems(error, marked=marked, model=model)
        more = "".join(f" Line {line}: {problem} {remedy}" for line, problem, remedy in others)
        raise FileRefused(file=file, line=first.line, problem=first.problem, remedy=first.remedy + more) from None
