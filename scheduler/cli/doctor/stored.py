"""What the doctor finds in the database, and of its backups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from scheduler.cli import say
from scheduler.cli.app import missing
from scheduler.cli.care import proved
from scheduler.cli.clock import look_at_clock
from scheduler.cli.doctor import served
from scheduler.cli.doctor.finding import Check, Finding, judged, safely
from scheduler.config import Config
from scheduler.daemon.lock import works
from scheduler.embargo import lift_in
from scheduler.errors import EmbargoError, FileRefused
from scheduler.intake import lists
from scheduler.store import Store, backups, fence, open_store, records, subscribers, vitals


def examine(settings: Config, now: datetime) -> Iterator[Finding]:
    """The database, then what it says of trail, service, clock, place, lists and lifts."""
    why = "Every record, list, mail and decision is in it."
    remedy = "If it is damaged, stop the service, keep the file under another name, and `embargo restore FILE`."
    if not settings.database.startswith("sqlite"):
        remedy = "Nothing is lifted, taken in or mailed until it can be used again; the service goes on trying."
    try:
        none = missing(settings.database)
        store = None if none else open_store(settings.database)
    except EmbargoError as error:
        yield Finding(good=False, what=f"database: {error}", why=why, remedy=remedy)
        return
    if store is None:
        yield Finding(what=f"database: {none} is not there yet; nothing has been taken in", why=why)
        yield from safely("lists", partial(_lists, settings, {}))
        return
    try:
        damage = store.damage()
        yield judged(f"database: {damage or 'sound'}", good=not damage, why=why, remedy=remedy)
        looks: dict[str, Check] = {
            **({} if store.path else {"server": partial(served.examine, store)}),
            "trail": partial(_trail, store),
            "service": partial(_service, store),
            "clock": partial(_clock, store, settings),
            "place": partial(_place, store),
            "lists": lambda: _lists(settings, subscribers.counts(store)),
            "next lift": partial(_lifts, store, settings.newsroom.timezone, now),
        }
        for name, look in looks.items() if not damage else ():  # what else it says can't be believed then
            yield from safely(name, look)
    finally:
        store.close()


def _trail(store: Store) -> Iterator[Finding]:
    try:
        count, broken, _ = proved(store)
    except EmbargoError as error:
        count, broken = 0, [str(error)]
    yield judged(
        f"trail: {broken[0] if broken else f'{count:,} rows, sound'}",
        good=not broken,
        why="It proves who decided what and when, and is worth as much as it is whole.",
        remedy="`embargo trail verify` lists all places; docs/trail.md says what each can mean.",
    )


def _service(store: Store) -> Iterator[Finding]:
    why = "Nothing is lifted or mailed unless it runs."
    if store.path is not None:
        yield Finding(what=f"service: {'running' if works(store) else 'not running'}", why=why)
        return
    known = vitals.every(store)
    alive = ", ".join(sorted(each.vitals.node for each in known if each.alive))
    yield Finding(what=f"services: {alive or 'none is running'}", why=why)
    for each in known:
        if not each.alive:
            yield Finding(
                good=False,
                what=f"service {each.vitals.node}: silent for {each.age.total_seconds():.0f} s",
                why="The others lift without it; readers of its site see what stood there when it ended.",
                remedy="Start it; or, if that machine does not come back, do nothing: it is forgotten after a day.",
            )


def _clock(store: Store, settings: Config) -> Iterator[Finding]:
    found = look_at_clock(store, settings)
    doubts, kept = ", ".join(found.doubts), found.evidence.unsynchronised
    said = {None: "whether anything keeps it right can't be told", True: "nothing keeps it right", False: "kept right"}
    remedy = "Nothing lifts by time: `embargo clock` says more." if doubts else ""
    if kept and not doubts:
        remedy = "`timedatectl set-ntp true`, or install chrony; in a container the host keeps it."
    yield Finding(
        good=not doubts,
        what=f"clock: {say.utc(found.reading.now.replace(microsecond=0))}, {f'suspect ({doubts}), ' if doubts else ''}"
        f"{said[kept]}",
        why="A fast clock releases early, a slow one late.",
        remedy=remedy,
    )


def _place(store: Store) -> Iterator[Finding]:
    why = fence.examine(store).why
    yield judged(
        f"place: {' '.join(why) or 'the store is in its own'}",
        good=not why,
        why="A copy that lifts and mails beside its original sends everything twice, so it does neither.",
        remedy="`embargo adopt` shows what it would send again, and takes it over.",
    )


def _lists(settings: Config, counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    for name, part in settings.lists.items():
        people = len(part.recipients) + counts.get(name, {}).get("active", 0)
        try:
            people += sum(1 for _ in lists.read(part.file)) if part.file is not None else 0
        except FileRefused as error:
            place = error.file if error.line is None else f"{error.file}:{error.line}"
            why = "Until its file can be read, the list stays as it was."
            yield Finding(good=False, what=f"list {name}: {place}: {error.problem}", why=why, remedy=error.remedy)
            continue
        yield judged(
            f"list {name}: {'there are people on it' if people else 'nobody is on it'}",
            good=bool(people) or part.public,
            why="A record that goes to it reaches nobody.",
            remedy=f"Name `recipients`, a `file` or `public: true` in the settings, or `embargo mail add {name} ADDRESS`.",
        )


def _lifts(store: Store, zone: str, now: datetime) -> Iterator[Finding]:
    coming = records.coming(store, until=datetime.max.replace(tzinfo=UTC), limit=3)
    why = "This is what the service waits for."
    for each in coming:
        at = each.published_at
        when = f"{say.distance(at - now)}, {say.local(lift_in(zone, at))}, {say.utc(at)}"
        yield Finding(what=f"next lift: {when}", why=why)  # no id: what the doctor says is passed on to others
    if not coming:
        yield Finding(what="next lift: none", why=why)


def backed_up(settings: Config, now: datetime) -> Iterator[Finding]:
    why = "A disk that dies takes with it all that is held, the lists and the trail."
    part = settings.backup
    if part is None:
        remedy = "Add `backup: {folder: backups/}` to the settings, or have a timer type `embargo backup FILE`."
        yield Finding(what="backups: the service makes none", why=why, remedy=remedy)
        return
    newest = next((each for each in backups.listed(part.folder) if each.at <= now), None)
    said = f"the newest is {newest.path.name}, of {say.distance(newest.at - now)}" if newest else "there is none yet"
    yield judged(
        f"backups in {part.folder}: {said}",
        good=missing(settings.database) is not None or (newest is not None and now - newest.at <= 2 * part.every),
        why=why,
        remedy="`embargo backup` makes one now; if the service runs, its log says why it made none.",
    )
