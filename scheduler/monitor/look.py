"""How the service is: one look at everything, and what of it a person has to be told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scheduler import clock
from scheduler.config import Config
from scheduler.errors import StoreRefused
from scheduler.record import DeliveryState, State
from scheduler.store import Store, fence, glance, vitals
from scheduler.store.glance import Lift, Waiting
from scheduler.store.vitals import FRESH_FOR, ChildVitals, Node, Vitals

__all__ = ["KINDS", "ChildVitals", "Lift", "Node", "Snapshot", "Trouble", "Vitals", "Waiting", "look", "troubles"]

LATE_FOR = timedelta(seconds=5)
"""So much later than its lift is a record still held only where something is wrong."""
STARTS_IN = timedelta(minutes=2)
WRITES_IN = timedelta(minutes=1)
"""So long after a release the feed has been written, whatever else there was to write."""
NEAR = timedelta(hours=1)
"""Between these, before and after its instant, a record that waits for a person wakes one."""

_DOCTOR = "`embargo doctor` looks."

KINDS = (
    *("attention", "overdue", "clock", "config", "mail_failing", "mail_uncertain", "disk", "site", "fenced", "service"),
    *("list", "child", "refused", "skew", "node"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything, as it was ``at`` one instant; no held word is in it.

    ``problem`` says why the database can't be asked: then what comes from it is empty. ``beat_age`` is how old the last
    heartbeat is, by the steady clock, and the service is ``alive`` if it is fresh. ``lifts`` are the next, soonest first,
    ``attention`` those that wait for a person, either 20 at most; ``refused`` counts the files that can't be taken in, ``due``
    what is held though its lift has come; ``due_since`` is the earliest of those lifts, ``released_at`` that of the newest
    release. ``fenced`` says why nothing may
    lift here. ``ledger`` counts the mails of what was owed in the last 48 hours. ``failing`` mails wait for another try since
    a server put them off twice, ``unreached`` ones since there was none to be reached; 1000 of a priority are counted.
    ``uncertain`` is for each record how many mails may or may not have arrived. ``disk`` has the free bytes of each disk, by a
    folder on it, ``feed_at`` is when the feed was last written. ``standing`` are the troubles that other processes left, by kind
    and subject. ``nodes`` are all services on a server's database, this one among them.
    """

    at: datetime
    vitals: Vitals | None = None
    alive: bool = False
    beat_age: timedelta | None = None
    problem: str | None = None
    counts: Mapping[State, int] = field(default_factory=dict)
    lifts: tuple[Lift, ...] = ()
    attention: tuple[Waiting, ...] = ()
    refused: int = 0
    due: int = 0
    due_since: datetime | None = None
    released_at: datetime | None = None
    fenced: tuple[str, ...] = ()
    ledger: Mapping[DeliveryState, int] = field(default_factory=dict)
    failing: int = 0
    unreached: int = 0
    uncertain: Mapping[str, int] = field(default_factory=dict)
    disk: Mapping[Path, int] = field(default_factory=dict)
    feed_at: datetime | None = None
    standing: Mapping[tuple[str, str], str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether the service gives no sign of life; where nobody can tell, it is not said."""
        return not self.alive and (self.vitals is not None or self.problem is None)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the running service does not believe its clock."""
        return self.vitals.doubts if self.vitals is not None and self.alive else ()

    @property
    def overdue_for(self) -> timedelta | None:
        """How late the oldest lift is that has come and was not done; ``None``: none is later than may be."""
        late = timedelta() if self.due_since is None else self.at - self.due_since
        return late if late > LATE_FOR else None

    @property
    def armed(self) -> bool:
        """Whether the alarm of the running service is set for the next lift, or there is none."""
        armed_for = self.vitals.armed_for if self.vitals is not None and self.alive else None
        return not self.lifts or (armed_for is not None and armed_for <= self.lifts[0].lift_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that a person has to be told. ``kind`` and ``subject`` together tell it from any other.

    ``kind`` is one of :data:`KINDS`. ``problem`` is one sentence, ``remedy`` what to type. An ``urgent`` one wakes a person.
    """

    kind: str
    subject: str = ""
    problem: str
    remedy: str
    urgent: bool


def look(store: Store, config: Config, *, now: datetime, steady: clock.Steady = clock.steady) -> Snapshot:
    """Looks at everything once. A database that can't be used is a finding, no error."""
    found: dict[str, Any] = {"disk": _disks(store, config), "feed_at": _written_at(config.site.folder / "atom.xml")}
    try:
        found["vitals"] = beat = vitals.read(store, site=config.site.folder)
        if beat is not None:
            found["beat_age"] = age = steady() - beat.steady
            found["alive"] = timedelta() <= age < FRESH_FOR  # less than nothing: of an earlier boot
        found["nodes"] = vitals.every(store)
        found["fenced"] = fence.examine(store).why
        with store.read() as db:
            found["due"], found["due_since"] = glance.due(db, now=now)
            found["failing"], found["unreached"] = glance.failing(db)
            found |= {
                "counts": glance.counts(db),
                "lifts": glance.lifts(db, now=now),
                "attention": glance.attention(db, now=now),
                "refused": glance.refused(db),
                "released_at": glance.newest_release(db),
                "ledger": glance.ledger(db, now=now),
                "uncertain": glance.uncertain(db),
                "standing": glance.standing(db),
            }
    except StoreRefused as error:
        found["problem"] = str(error)
    return Snapshot(at=now, **found)


def _disks(store: Store, config: Config) -> dict[Path, int]:
    folders = [config.file.parent if store.path is None else store.path.parent, config.site.folder]
    if config.backup is not None:
        folders.append(config.backup.folder)
    found: dict[int, tuple[Path, int]] = {}
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        with suppress(OSError):
            found.setdefault(there.stat().st_dev, (folder, shutil.disk_usage(there).free))
    return dict(found.values())


def _written_at(file: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return None


def troubles(snapshot: Snapshot, *, disk: int, tolerance: float = 0.5) -> tuple[Trouble, ...]:
    """What is wrong, urgent first; `disk` is how many bytes a disk must have free, `tolerance` by how many seconds clocks may
    differ.
    """
    found = [*_of_the_lifts(snapshot), *_of_the_service(snapshot), *_of_the_mail(snapshot)]
    found += _of_the_nodes(snapshot, tolerance)
    for folder, free in snapshot.disk.items():
        if free < disk:
            problem = f"The disk of {folder} has {free // 10**6:,} MB free; {disk // 10**6:,} MB are wanted."
            remedy = "Free some space: without it nothing is taken in, lifted or written."
            found.append(
                Trouble(kind="disk", subject=str(folder), problem=problem, remedy=remedy, urgent=free < disk // 5)
            )
    for (kind, subject), problem in snapshot.standing.items():
        remedy = "Mend it; `embargo mail lists` shows what is read." if kind == "list" else _DOCTOR
        found.append(Trouble(kind=kind, subject=subject, problem=problem, remedy=remedy, urgent=False))
    return tuple(sorted(found, key=lambda trouble: not trouble.urgent))


def _of_the_lifts(seen: Snapshot) -> Iterator[Trouble]:
    """What keeps records from being released at their instants."""
    if seen.fenced:
        problem = f"The database is fenced, so nothing is lifted or mailed: {' '.join(seen.fenced)}"
        yield Trouble(kind="fenced", problem=problem, remedy="See `embargo adopt`.", urgent=True)
    if seen.doubts:
        problem = f"The clock is not believed ({', '.join(seen.doubts)}): nothing lifts by time."
        yield Trouble(kind="clock", problem=problem, remedy="See `embargo clock`.", urgent=True)
    if (late := seen.overdue_for) is not None:
        record = "record is" if seen.due == 1 else "records are"
        problem = f"{seen.due} {record} still held; the oldest lift was {_long(late)} ago."
        remedy = "See `embargo queue` and `embargo doctor`; `embargo lift ID --reason …` releases one."
        yield Trouble(kind="overdue", problem=problem, remedy=remedy, urgent=True)
    for each in seen.attention:
        then = "" if each.lift_at is None else f" It may be meant for {each.lift_at:%Y-%m-%d %H:%M} UTC."
        problem = f"The record {each.record_id} waits for a person, and does not lift by itself.{then}"
        near = each.lift_at is not None and -glance.LONG_AGO < each.lift_at - seen.at < NEAR
        remedy = f"See `embargo show {each.record_id}`."
        yield Trouble(kind="attention", subject=each.record_id, problem=problem, remedy=remedy, urgent=near)
    if (more := seen.counts.get(State.ATTENTION, 0) - len(seen.attention)) > 0:
        problem = f"{more} more records wait for a person."
        yield Trouble(kind="attention", problem=problem, remedy="See `embargo queue`.", urgent=False)
    if seen.refused:
        problem = f"{seen.refused} file{'s' if seen.refused > 1 else ''} can't be taken in."
        yield Trouble(kind="refused", problem=problem, remedy="See `embargo queue`.", urgent=False)


def _of_the_service(seen: Snapshot) -> Iterator[Trouble]:
    """How the service itself is, and what it can't do."""
    if seen.problem is not None:
        yield Trouble(kind="service", subject="database", problem=seen.problem, remedy=_DOCTOR, urgent=True)
    beat = seen.vitals
    if seen.silent:
        said = "The service is not running."
        if beat is not None:
            life = f"(process {beat.pid} on {beat.host}) since {beat.at:%H:%M:%S} UTC"
            said = f"There is no sign of life of the service {life}."
        remedy = "Start it: `embargo run`, or its systemd unit."
        yield Trouble(kind="service", problem=said, remedy=remedy, urgent=True)
    if beat is None or not seen.alive:
        return
    if not beat.ready and seen.at - beat.started_at > STARTS_IN:
        problem = f"The service has been starting for {_long(seen.at - beat.started_at)}, and holds nothing yet."
        yield Trouble(kind="service", problem=problem, remedy=_DOCTOR, urgent=True)
    for child in beat.children if beat.ready else ():
        if child.pid is None and child.restarts > 1:  # once may happen, and is mended in half a second
            problem = f"The process `{child.name}` is not running; it was started again {child.restarts} times."
            remedy = "The log says why it ended."
            yield Trouble(kind="child", subject=child.name, problem=problem, remedy=remedy, urgent=True)
    if beat.config_problems:
        problem = f"An edit of the settings is refused, and the old ones run on: {beat.config_problems[0]}"
        yield Trouble(kind="config", problem=problem, remedy="Mend it; `embargo check` looks.", urgent=False)
    if (wrong := beat.site_problem or _stale(seen)) is not None:
        yield Trouble(kind="site", problem=wrong, remedy=_DOCTOR, urgent=True)


def _of_the_nodes(seen: Snapshot, tolerance: float) -> Iterator[Trouble]:
    """What is wrong between the services that share a database. Each alarms of its own clock, and of the others' silence."""
    offset = seen.vitals.server_offset_s if seen.vitals is not None and seen.alive else None
    if offset is not None and abs(offset) > tolerance:
        problem = (
            f"The database server's clock is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} this host's."
        )
        remedy = "The earlier one decides: lifts may be late. Run an NTP client on both machines."
        yield Trouble(kind="skew", problem=problem, remedy=remedy, urgent=False)
    ours = None if seen.vitals is None else seen.vitals.node
    for node in seen.nodes:
        if not node.alive and node.vitals.node != ours:
            problem = f"There is no sign of life of the service {node.vitals.node} for {_long(node.age)}."
            remedy = "The others lift without it. Start it, or see to its machine; after a day it is forgotten."
            yield Trouble(kind="node", subject=node.vitals.node, problem=problem, remedy=remedy, urgent=False)


def _stale(seen: Snapshot) -> str | None:
    """What is wrong with the feed. It is written only when it changes, so that its age alone says nothing."""
    if seen.released_at is None or seen.at - seen.released_at <= WRITES_IN:
        return None
    if seen.feed_at is None:
        return "The feed is not there, though records are released."
    if seen.released_at - seen.feed_at <= WRITES_IN:
        return None
    return f"The feed was last written at {seen.feed_at:%Y-%m-%d %H:%M} UTC, before the newest release."


def _of_the_mail(seen: Snapshot) -> Iterator[Trouble]:
    ledger = "See `embargo mail ledger`."
    if seen.unreached:
        problem = f"No mail server can be reached: {seen.unreached} mails or more wait for it."
        yield Trouble(kind="mail_failing", problem=problem, remedy=ledger, urgent=True)
    elif seen.failing:
        problem = f"Servers have put off {seen.failing} mails or more, more than once; they are tried again."
        yield Trouble(kind="mail_failing", problem=problem, remedy=ledger, urgent=False)
    for record_id, mails in seen.uncertain.items():
        problem = f"Of the record {record_id}, {mails} mails may or may not have arrived."
        remedy = "See `embargo mail ledger`; `embargo mail resolve` says which."
        yield Trouble(kind="mail_uncertain", subject=record_id, problem=problem, remedy=remedy, urgent=False)


def _long(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"
