"""What a file that a machine wrote says, gathered field by field with its places: of when it may go out nothing is guessed."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from scheduler.errors import FileRefused
from scheduler.intake.matter import FORBIDDEN, fits_id, id_of
from scheduler.record import Brief, StatedEmbargo

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_WORDS = 200
"""So many characters of what was not understood are quoted."""
_HELD = frozenset(
    {"kill", "killed", "canceled", "cancelled", "cancel", "withdraw", "withdrawn", "takedown", "delete", "deleted"}
)
_GOES_ON = frozenset({"usable", "update", "atomic"})
SPEAKS_OF_EMBARGO = re.compile(r"embargo|sperrfrist|hold-?(?:until|for-?release)", re.IGNORECASE)
"""A key, a header or a meta tag of such a name says when, however it is written."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """Gathers what one file says. ``id`` is what the source calls the story, kept as the record's id where it can serve."""

    path: Path
    origin: str
    id: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    topics: list[str] = field(default_factory=list)
    dates: dict[str, date] = field(default_factory=dict)
    _embargoes: list[tuple[str, str]] = field(default_factory=list)
    _doubts: dict[str, bool] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _left: list[str] = field(default_factory=list)

    def refuse(
        self, problem: str, remedy: str, *, line: int | None = None, kind: type[FileRefused] = FileRefused
    ) -> NoReturn:
        """Refuses the whole file; neither sentence quotes its text."""
        raise kind(file=self.origin, line=line, problem=problem, remedy=remedy)

    def take(self, name: str, value: Any, place: str) -> None:
        """Keeps the first value of a field that says something; a value that is no text is left out."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        if not isinstance(value, str):
            self.leave(f"{place}, which is no text")
        elif name not in self.fields:
            self.fields[name] = self._showable(value if name == "body" else " ".join(value.split()), place)
            self.places[name] = place

    def name(self, value: Any, place: str) -> None:
        """What the source calls the story: the same name is the same record."""
        if isinstance(value, str) and value.strip() and not self.id:
            self.id = slug(self._showable(value, place))
            self.places["id"] = place

    def topic(self, value: Any, place: str) -> None:
        """One topic, once."""
        if (
            isinstance(value, str)
            and (words := " ".join(self._showable(value, place).split()))
            and words not in self.topics
        ):
            self.topics.append(words)
            self.places.setdefault("topics", place)

    def dated(self, name: str, value: Any, place: str) -> None:
        """When the text was ``written``, and when this ``version`` was made; what is no date says nothing."""
        found = re.match(r"\d{4}-\d\d-\d\d(?!\d)", value.strip(), re.ASCII) if isinstance(value, str) else None
        try:
            self.dates.setdefault(name, date.fromisoformat(found[0] if found else ""))
        except ValueError:
            return
        self.places.setdefault("issued", place)

    def embargo(self, value: Any, place: str) -> None:
        """An embargo as the source states it: an instant with its offset, or a doubt."""
        if not isinstance(value, str) or not value.strip():
            said = "is empty" if value is None or isinstance(value, str) else "is no text"
            self.doubt(f"`{place}` speaks of an embargo, but {said}.")
            return
        words = re.sub(r"\.0+(?=[Z+-])", "", value.strip())
        if _instant(words) is None:
            self.doubt(f"`{place}` says “{_quotable(words)}”, which is no instant with its offset.")
            return
        self._embargoes.append((words, place))

    def open_ended(self, place: str) -> None:
        """An embargo without a known end: a person lifts it."""
        self._embargoes.append(("until further notice", place))

    def status(self, value: Any, place: str) -> None:
        """A publishing status or a signal; one that is not known holds the record, one that takes the story back refuses it."""
        said = value.strip() if isinstance(value, str) else ""
        code = re.split(r"[:/#]", said)[-1].casefold()
        if code in _GOES_ON or (value is None and place.casefold().endswith("status")):
            return
        if code in _HELD:
            name = self.id or self.path.stem
            self.refuse(
                f"The source takes this story back: `{place}` says `{code}`.",
                f"Do so too: `embargo withdraw {name} --reason …` before its lift, `embargo retract {name} --reason …` after it.",
            )
        if code == "correction":
            self.take("correction", "Corrected by its source.", place)
        elif code in ("withheld", "embargoed"):
            self.doubt(f"The source keeps it back: `{place}` says `{code}`.", unless_stated=code == "embargoed")
        else:
            self.doubt(f"`{place}` says “{_quotable(said or str(value))}”, which is not known here.")

    def doubt(self, sentence: str, *, unless_stated: bool = False) -> None:
        """What a person must look at before the record lifts; some doubts go where an instant is stated."""
        self._doubts[sentence] = unless_stated and self._doubts.get(sentence, True)

    def note(self, text: Any) -> None:
        """What stands around the text: an embargo in it counts, and no one is shown it."""
        if isinstance(text, str) and text.strip():
            self._notes.append(FORBIDDEN.sub(" ", text.strip()))

    def leave(self, what: str) -> None:
        """What is not taken, for `embargo check`."""
        if what not in self._left:
            self._left.append(what)

    def brief(self) -> Brief:
        """The brief of all that, or :class:`~scheduler.errors.FileRefused` where there is no title or no text."""
        title, body = self.fields.get("title", ""), self.fields.get("body", "").strip("\n").rstrip()
        if not title or len(title) > 300:
            problem = "No title was found." if not title else "The title is longer than 300 characters."
            self.refuse(problem, "Have its source add one, or write the record as Markdown.")
        if not body.strip():
            self.refuse("The record has no text.", "Have its source send it whole, or write the record as Markdown.")
        language = self.fields.get("language", "").replace("_", "-")
        if language and not _LANGUAGE.fullmatch(language):
            self.leave(f"{self.places.pop('language')}, which is no language tag")
            language = ""
        stated = self._stated()
        issued, version = self.dates.get("written"), self.dates.get("version")
        apart = None not in (issued, version) and issued != version
        doubts = [
            sentence for sentence, unless_stated in self._doubts.items() if not (unless_stated and self._embargoes)
        ]
        return Brief(
            id=self.id or id_of(self.path.stem, file=self.origin),
            origin=self.origin,
            digest="",
            title=title,
            body=body,
            embargo=stated,
            summary=self.fields.get("summary"),
            topics=tuple(self.topics),
            attribution=self.fields.get("attribution"),
            source=self.fields.get("source"),
            language=language or None,
            correction=self.fields.get("correction"),
            # "Tomorrow" counts from one of two days, and no one knows which.
            issued=None if apart else version or issued,
            seen=version if apart else None,
            doubt=" ".join([*doubts, "Confirm a time, or have its source mend it."]) if doubts else None,
            notes="\n\n".join(self._notes),
            places=tuple(self.places.items()),
            left=tuple(self._left),
        )

    def _stated(self) -> StatedEmbargo | None:
        said = {_instant(words): words for words, _ in reversed(self._embargoes)}
        if not said:
            return None
        self.places["embargo"] = ", ".join(place for _, place in self._embargoes)
        if len(said) > 1:
            both = " and ".join(f"“{words}” (`{place}`)" for words, place in self._embargoes[:4])
            self.doubt(f"It states embargoes that differ: {both}.")
            return None
        return StatedEmbargo(words=self._embargoes[0][0])

    def _showable(self, value: str, place: str) -> str:
        if bad := FORBIDDEN.search(value):
            self.refuse(
                f"`{place}` holds a control character, U+{ord(bad[0]):04X}; no feed can carry it.",
                "Have its source take it out.",
            )
        return value


def _instant(words: str) -> datetime | None:
    if not _INSTANT.fullmatch(words):
        return None
    try:
        return datetime.fromisoformat(words).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _quotable(words: str) -> str:
    words = FORBIDDEN.sub("\ufffd", " ".join(words.split()))
    return words if len(words) <= _WORDS else words[:_WORDS] + "…"


def slug(name: str) -> str:
    """The id made from what a source calls a story; a long one ends in a digest of the whole, so that it stays its own."""
    name = unicodedata.normalize("NFC", name.strip().strip("<>"))
    kept = "".join(sign if sign in "._-" or unicodedata.category(sign)[0] in "LMN" else "-" for sign in name)
    kept = re.sub(r"-{2,}", "-", kept)
    while kept and unicodedata.category(kept[0])[0] not in "LN":
        kept = kept[1:]
    kept = kept.rstrip("-._")
    if kept.casefold().endswith(".html"):
        kept = f"{kept[:-5]}-html"
    if not kept or fits_id(kept):
        return kept
    short = kept.encode()[:80].decode("utf-8", "ignore")[:80].rstrip("-._")
    return f"{short}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:12]}"
