"""A rehearsal: the real path on a copy of the store, with a clock that is moved on from lift to lift.

Site, mail and store are the caller's to make and to throw away; nothing else is touched, and no network is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from scheduler.clock import Clock
from scheduler.errors import EmbargoError, MoveRefused
from scheduler.outlets.mail import Transport, transport
from scheduler.outlets.site import Site
from scheduler.pipeline import zones
from scheduler.pipeline.deliver import Postroom
from scheduler.pipeline.release import Projection
from scheduler.record import DeliveryState, Purpose, Standing, State
from scheduler.render import Renderer
from scheduler.store import Store, ledger, moves, records, still

_ACTOR = "rehearsal"
_WARMED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens at one instant: `released` (as they were held), `files` (as they are replaced in the site folder), `mail`.

    Each is in its order; the durations are how long releasing, writing the site and mailing took.
    """

    at: datetime
    released: tuple[Standing, ...]
    files: tuple[str, ...]
    mail: tuple[still.Mailed, ...] = field(repr=False)
    release_for: timedelta
    refresh_for: timedelta
    mail_for: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why something does not go out: about a record, or about all (``None``). `expected` needs no mending."""

    why: str = field(repr=False)
    record_id: str | None = None
    expected: bool = False


class _Watched(Site):
    """A site folder that remembers what was replaced in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files: list[str] = []

    def put(self, path: str, data: bytes, *, new: bool = False) -> bool:
        """As the site does."""
        changed = super().put(path, data, new=new)
        if changed:
            self.files.append(path)
        return changed


class Rehearsal:
    """One rehearsal, in `folder` alone: the site goes to ``public``, mail into the Maildir ``mail``.

    `store` is a copy; `postroom` makes a worker's hold on it, and is ``None`` where no mail is configured. `now` is where
    the clock begins.
    """

    def __init__(
        self,
        *,
        store: Store,
        folder: Path,
        renderer: Renderer,
        items: int,
        postroom: Callable[[Clock, Transport], Postroom] | None,
        default_lists: Sequence[str],
        now: datetime,
    ) -> None:
        self._store = store
        self._default_lists = default_lists
        self._now = now
        self._site = _Watched(folder / "public")
        self._projection = Projection(store=store, site=self._site, renderer=renderer, items=items)
        self._held = {standing.id: standing for standing in records.listed(store, states=[State.HELD])}
        self._released: set[str] = set()
        self._refused: list[Obstacle] = []
        self._troubled = {row["id"] for row in ledger.troubled(store)}
        self._postroom = postroom and postroom(lambda: self._now, transport("maildir:mail", base=folder))

    @property
    def holds(self) -> bool:
        """Whether anything was held as it began."""
        return bool(self._held)

    def last(self, record_id: str | None = None) -> datetime:
        """The lift of this record, else the last one of all; the present where there is none. Raises :class:`MoveRefused`."""
        if record_id is not None:
            standing = records.get(self._store, record_id)
            if standing.state not in {State.HELD, State.ATTENTION}:
                raise MoveRefused(record_id, f"it is {standing.state}; there is nothing to rehearse.")
        held = [each.lift_at for each in self._held.values() if each.lift_at and record_id in {None, each.id}]
        return max([self._now, *held])

    def catch_up(self, *, release_within: timedelta | None) -> None:
        """What a service that starts now does first: it follows new zone rules, and holds what is too late for the policy."""
        zones.recompute(self._store, now=self._now, actor=_ACTOR)
        if release_within is not None:
            moves.hold_overdue(self._store, now=self._now, before=self._now - release_within, actor=_ACTOR)

    def run(self, until: datetime) -> Iterator[Step]:
        """Goes from lift to lift, what is due already first. A step in which nothing happens is not told."""
        self._show(lambda: self._projection.rebuild(now=self._now))
        with asyncio.Runner() as runner:
            while True:
                step = self._step(runner)
                if step.released or step.mail:
                    yield step
                following = records.next_lift(self._store)
                if self._now >= until:
                    return
                self._now = until if following is None else min(max(following, self._now), until)

    def _step(self, runner: asyncio.Runner) -> Step:
        now = self._now
        while self._projection.warm(until=now, at_most=_WARMED):
            pass
        self._site.files.clear()
        marks = [time.perf_counter()]
        lifted = moves.release_due(self._store, now=now, actor=_ACTOR, default_lists=self._default_lists)
        marks.append(time.perf_counter())
        ids = [each.id for each in lifted]
        if ids:
            self._show(lambda: self._projection.refresh(ids, now=now, new=True))
        marks.append(time.perf_counter())
        if self._postroom is not None:
            runner.run(self._postroom.drain())
        marks.append(time.perf_counter())
        self._released.update(ids)
        took = [timedelta(seconds=end - start) for start, end in pairwise(marks)]
        return Step(
            at=now,
            released=tuple(self._held[record_id] for record_id in ids),
            files=tuple(self._site.files),
            mail=tuple(still.mailed(self._store, at=now)) if self._postroom is not None else (),
            release_for=took[0],
            refresh_for=took[1],
            mail_for=took[2],
        )

    def _show(self, act: Callable[[], object]) -> None:
        try:
            act()
        except EmbargoError as error:
            self._refused.append(Obstacle(why=str(error)))

    def obstacles(self, record_id: str | None = None) -> list[Obstacle]:
        """What did not go out and why, after `run`: of this record, or of all."""
        found = list(dict.fromkeys(self._refused))
        if self._postroom is None:
            found.append(Obstacle(why="No mail is configured: nobody is mailed.", expected=True))
        for standing in records.listed(self._store, states=[State.ATTENTION, State.HELD]):
            if record_id in {None, standing.id} and (why := _waits(standing)):
                event = standing.state is State.HELD
                found.append(Obstacle(record_id=standing.id, why=why, expected=event))
            elif record_id == standing.id:
                why = f"Its lift, {standing.lift_at:%Y-%m-%d %H:%M:%S} UTC, is after the time that was named."
                found.append(Obstacle(record_id=standing.id, why=why, expected=True))
        found += [
            Obstacle(record_id=row["record_id"], why=f"Its list {row['list']} reaches nobody.")
            for row in ledger.balance(self._store)
            if row["record_id"] in self._released and row["purpose"] == Purpose.RELEASE and not row["audience"]
        ]
        found += [
            Obstacle(record_id=row["record_id"], why=f"{row['recipient']}: {row['problem']}")
            for row in ledger.troubled(self._store)
            if row["id"] not in self._troubled and row["state"] != DeliveryState.UNCERTAIN
        ]
        return found


def _waits(standing: Standing) -> str | None:
    if standing.state is State.ATTENTION:
        return standing.unfit or standing.reason
    if standing.lift_at is None:
        return f"It waits for an event: a person lifts it, `embargo lift {standing.id}`."
    return None
