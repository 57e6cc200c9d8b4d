"""What has been released, in the order in which it was: the chapters of the archive, the topics, and how full feeds are.

It is kept in memory, so that a refresh costs what has changed and not what there is; all of it follows from the table.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from scheduler import embargo
from scheduler.render import Form, Topic
from scheduler.render.templates import month
from scheduler.render.topics import folder_of

SIZE = 100
"""Releases in a chapter: a document of full texts that readers accept."""
FULL = 100
"""So many releases of a day (UTC) stand in the feeds with their full text; the text of the others is a click away."""
SUMMARISED = 1000
"""So many of a day have a summary; the others title, address and dates alone, so that 10,000 in a day come to about 5 MB."""

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Placed(NamedTuple):
    """A released record's place: when it was released (with `id`, the order), and its topics as they are spelled."""

    released_at: datetime
    id: str
    topics: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Chapter:
    """At most `SIZE` releases of one month, which no later release changes. `first` is its first one's place, without topics.

    `number` counts within the month, from 1.
    """

    title: str
    stem: str
    number: int
    first: Placed
    count: int = 0

    @property
    def folder(self) -> str:
        """Its folder below the site folder, for ever: ``archive/2026-12/``, ``archive/2026-12-2/``."""
        return f"archive/{self.stem}/" if self.number == 1 else f"archive/{self.stem}-{self.number}/"


@dataclass(slots=True, kw_only=True)
class _Members:
    names: dict[str, str] = field(default_factory=dict)  # record -> the topic as it spells it
    order: list[Placed] = field(default_factory=list)


class Chronicle:
    """Made from all released records in order; `add` takes the next one. `zone` says to which month a release belongs."""

    def __init__(self, released: Iterable[Placed], *, zone: str) -> None:
        self.chapters: list[Chapter] = []
        self._zone = zone
        self._topics: dict[str, _Members] = {}
        self._folders: dict[str, tuple[str, ...]] = {}
        self._forms: dict[str, Form] = {}
        self._month_end = self._day_end = _EPOCH
        self._today = 0
        self._last = Placed(_EPOCH, "")
        for placed in released:
            self.add(placed)

    def add(self, placed: Placed) -> bool:
        """Takes the newest release. False, and nothing is taken, if it is not the newest: then the order is to be made anew."""
        place = Placed(placed.released_at, placed.id)
        if place <= self._last:
            return False
        self._last = place
        if placed.released_at >= self._month_end or self.chapters[-1].count == SIZE:
            self._begin(place)
        self.chapters[-1].count += 1
        if placed.released_at >= self._day_end:
            self._day_end = placed.released_at - (placed.released_at - _EPOCH) % _DAY + _DAY
            self._today = 0
        self._today += 1
        if (form := self.form_ahead(placed.released_at, 0)) is not Form.FULL:
            self._forms[placed.id] = form
        self._file(placed)
        return True

    def _begin(self, place: Placed) -> None:
        local = embargo.local(place.released_at, self._zone)
        stem = f"{local:%Y-%m}"
        number = 1
        if place.released_at >= self._month_end:
            following = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=local.tzinfo)
            self._month_end = following.astimezone(UTC)
        if self.chapters and self.chapters[-1].stem == stem:
            number = self.chapters[-1].number + 1
        self.chapters.append(Chapter(title=month(place.released_at, self._zone), stem=stem, number=number, first=place))

    def _file(self, placed: Placed) -> None:
        named = {folder_of(name): name for name in placed.topics}
        self._folders[placed.id] = tuple(named)
        for folder, name in named.items():
            members = self._topics.setdefault(folder, _Members())
            members.names[placed.id] = name
            insort(members.order, Placed(placed.released_at, placed.id))

    def file_again(self, placed: Placed) -> set[str]:
        """Takes a correction's topics. Gives the folders of all topics it has or had."""
        before = self._folders.get(placed.id, ())
        for folder in before:
            members = self._topics[folder]
            del members.names[placed.id]
            members.order.remove(Placed(placed.released_at, placed.id))
            if not members.order:
                del self._topics[folder]
        self._file(placed)
        return {*before, *self._folders[placed.id]}

    def form(self, record_id: str) -> Form:
        """How much of this release the feeds carry."""
        return self._forms.get(record_id, Form.FULL)

    def form_ahead(self, at: datetime, more: int) -> Form:
        """The form of the one that is released at `at`, after `more` others of that day yet to come."""
        number = more + (self._today if at < self._day_end else 0)
        return Form.FULL if number <= FULL else Form.SUMMARY if number <= SUMMARISED else Form.BARE

    def knows(self, record_id: str) -> bool:
        """Whether this record has been taken."""
        return record_id in self._folders

    def chapter_of(self, placed: Placed) -> Chapter:
        """The chapter that holds this release."""
        place = (placed.released_at, placed.id)
        return self.chapters[bisect_right(self.chapters, place, key=lambda each: each.first[:2]) - 1]

    def opening(self, at: datetime) -> int:
        """The index of a chapter such that no release at `at` or later stands in an earlier one."""
        return max(bisect_right(self.chapters, at, key=lambda each: each.first.released_at) - 1, 0)

    def is_archived(self, number: int) -> bool:
        """Whether a chapter is whole, so that its feeds are documents of the archive from here on, which never change.

        The first waits for the second: an archive document has to lead to another one, and it has none before it.
        """
        return number >= 0 and number + (1 if number else 2) < len(self.chapters)

    def topics(self) -> list[Topic]:
        """All topics by name, each spelled as in its newest release."""
        topics = [
            Topic(name=members.names[members.order[-1].id], folder=folder) for folder, members in self._topics.items()
        ]
        return sorted(topics, key=lambda each: (each.name.casefold(), each.folder))

    def topic(self, folder: str) -> Topic | None:
        """The topic whose folder this is."""
        members = self._topics.get(folder)
        return None if members is None else Topic(name=members.names[members.order[-1].id], folder=folder)

    def newest(self, folder: str, *, at_least: int, since: datetime, also: set[str]) -> list[str]:
        """The ids of a topic's releases since `since`, at least so many, and those in `also`."""
        members = self._topics[folder]
        start = min(bisect_left(members.order, (since, "")), max(len(members.order) - at_least, 0))
        chosen = [each.id for each in members.order[start:]]
        known = set(chosen)
        return chosen + sorted(each for each in also if each in members.names and each not in known)

    def folders_of(self, record_id: str) -> tuple[str, ...]:
        """The folders of a release's topics."""
        return self._folders.get(record_id, ())
