"""How everything stands, at one look: the service, what lifts next, what needs a person, mail under way."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer
from rich import filesize
from rich.cells import cell_len
from rich.text import Text

from scheduler import embargo
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app, office
from scheduler.cli.watch import watch
from scheduler.config import Config
from scheduler.monitor.look import Node, Snapshot, Trouble, look, troubles
from scheduler.pipeline.decide import choices
from scheduler.record import Standing, State
from scheduler.store import Store, ledger, records
from scheduler.store.ledger import Progress

_NEXT = 5
_TOLD = 8
_LOW = 36
"""A screen of fewer lines shows less of each."""
_NARROW = 64
"""In fewer columns what stands side by side stands one below the other."""
_LABEL = 10
_HEAD = 19
_LATE = timedelta(seconds=2)
_FAR = timedelta(days=365 * 100)

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Draw it anew until q or Ctrl-C; on a terminal only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is seen at one look. ``lifts`` are the next of what is held, ``mailings`` those under way."""

    newsroom: str
    zone: str
    snapshot: Snapshot
    troubles: tuple[Trouble, ...] = field(default=(), repr=False)
    lifts: tuple[Standing, ...] = field(default=(), repr=False)
    mailings: tuple[Progress, ...] = ()

    @property
    def needs(self) -> int:
        """How many things need a person; of the records that do, the troubles name only the first."""
        others = sum(1 for each in self.troubles if each.kind != "attention")
        return others + self.snapshot.counts.get(State.ATTENTION, 0)

    @property
    def verdict(self) -> str:
        """``well``, ``starting``, ``attention``, or ``down``: no service runs."""
        vitals = self.snapshot.vitals
        if vitals is None or not self.snapshot.alive:
            return "down"
        return "attention" if self.troubles else "well" if vitals.ready else "starting"


def see(store: Store, settings: Config, now: datetime) -> View:
    """Everything that `status` shows."""
    snapshot = look(store, settings, now=now)
    found = troubles(snapshot, disk=settings.alerts.disk, tolerance=settings.clock.tolerance)
    lifts: list[Standing] = []
    mailings: list[Progress] = []
    if snapshot.problem is None:
        told = (_reasoned(store, each) for each in found if each.kind != "refused")
        found = (*told, *map(_refused, records.refused(store)))
        coming = (records.find(store, each.id) for each in records.coming(store, until=now + _FAR, limit=_NEXT))
        lifts = [each for each in coming if each is not None and each.state is State.HELD]
        mailings = [each for each in ledger.progress(store, now=now) if each.pending or not each.frozen]
    room = settings.newsroom
    return View(
        newsroom=room.name,
        zone=room.timezone,
        snapshot=snapshot,
        troubles=found,
        lifts=tuple(lifts),
        mailings=tuple(mailings),
    )


def _reasoned(store: Store, trouble: Trouble) -> Trouble:
    """A record that waits for a person, with its reason and the command: what an alert must not say."""
    standing = records.find(store, trouble.subject) if trouble.kind == "attention" else None
    if standing is None or standing.reason is None:
        return trouble
    return replace(trouble, problem=f"{standing.id}: {standing.reason}", remedy=remedy(standing))


def remedy(standing: Standing) -> str:
    """What to do about a record that waits for a person."""
    if standing.unfit is not None:
        return f"edit {standing.origin}"
    proposed = choices(standing)
    return f"embargo confirm {standing.id}" + (" NUMBER" if len(proposed) > 1 else "" if proposed else " WHEN")


def _refused(row: Mapping[str, Any]) -> Trouble:
    place = f"{row['origin']}:{row['line']}" if row["line"] else row["origin"]
    problem = f"{place}: {row['problem']}"
    return Trouble(kind="refused", subject=row["origin"], problem=problem, remedy=row["remedy"], urgent=False)


@app.command()
def status(file: ConfigFile = CONFIG, watching: Watch = False, as_json: AsJson = False) -> None:
    """Is everything all right? The service, what lifts next, what needs you, mail under way. Exit status 1: something needs you.

    In a pipe it is one fact a line, parted by tabs: docs/commands.md has the columns.
    """
    if watching and as_json:
        raise typer.BadParameter("it is one document; leave one of the two out", param_hint="--watch, --json")
    if watching:
        watch(file, see, partial(picture, ticking=True))
        return
    with office(file, running=True) as (parts, store, now):
        view = see(store, parts.config, now)
    if as_json:
        say.put_json(_document(view))
    elif sys.stdout.isatty():
        for line in picture(view, now, *say.out.size):
            say.out.print(line)
    else:
        for kind, columns in facts(view):
            print(kind, *map(_told, columns.values()), sep="\t")  # noqa: T201 - as it is, for whoever reads the pipe
    if view.verdict in {"attention", "down"}:
        raise typer.Exit(1)


def facts(view: View) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a machine is told: kinds of fact, each with its columns."""
    seen, vitals = view.snapshot, view.snapshot.vitals
    yield "status", {"verdict": view.verdict, "needs": view.needs, "at": seen.at}
    if vitals is not None:
        life = ("ready" if vitals.ready else "starting") if seen.alive else "silent"
        where = {"pid": vitals.pid, "host": vitals.host}
        yield "service", {"life": life, **where, "started_at": vitals.started_at, "settings_at": vitals.config_at}
        doubts = "; ".join(vitals.doubts)
        yield "clock", {"believed": not doubts, "offset_s": vitals.offset_s, "doubts": doubts}
        yield from (("edit_refused", {"problem": problem}) for problem in vitals.config_problems)
    for node in seen.nodes:
        beat, life = node.vitals, "silent" if not node.alive else "ready" if node.vitals.ready else "starting"
        off = None if beat.server_offset_s is None else -beat.server_offset_s
        clocks = {"beat_age_s": round(node.age.total_seconds(), 3), "site_at": beat.site_at, "clock_offset_s": off}
        yield "node", {"life": life, "node": beat.node, "pid": beat.pid, **clocks}
    for trouble in view.troubles:
        kind = {"kind": trouble.kind, "subject": trouble.subject, "urgent": trouble.urgent}
        yield "problem", {**kind, "problem": trouble.problem, "remedy": trouble.remedy}
    for each in view.lifts:
        lists = None if each.lists is None else ",".join(each.lists)
        when = {"at": each.lift_at, "id": each.id, "revision": each.revision}
        yield "lift", {**when, "lists": lists, "title": each.title}
    for mailing in view.mailings:
        left = None if mailing.left_for is None else round(mailing.left_for.total_seconds())
        of = {"id": mailing.record_id, "revision": mailing.revision, "list": mailing.list, "purpose": mailing.purpose}
        count = {"ended": mailing.audience - mailing.pending, "audience": mailing.audience}
        yield "mailing", {**of, **count, "rate": round(mailing.rate, 3), "left_s": left}
    yield "records", {str(state): count for state, count in seen.counts.items()}
    yield "mails", {str(state): count for state, count in seen.ledger.items()}
    yield "site", {"feed_at": seen.feed_at}
    yield from (("disk", {"folder": str(folder), "free": free}) for folder, free in seen.disk.items())


def _document(view: View) -> dict[str, Any]:
    several = ("edit_refused", "node", "problem", "lift", "mailing", "disk")
    made: dict[str, Any] = dict.fromkeys(("status", "service", "clock")) | {kind: [] for kind in several}
    for kind, columns in facts(view):
        if kind in several:
            made[kind].append(columns)
        else:
            made[kind] = columns
    return made


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)
    return " ".join(say.lettered(words).split()) or "-"


def picture(view: View, now: datetime, width: int, height: int, *, ticking: bool = False) -> list[Text]:
    """One screen. Nothing is wider than it but what would have to be broken within a word."""
    told, coming = (_TOLD, _NEXT) if height >= _LOW else (3, 3)
    lines = [headline(view, now, width), Text()]
    for trouble in view.troubles[:told]:
        style = "red" if trouble.urgent else "yellow"
        lines += say.hanging([("! ", f"bold {style}")], trouble.problem, style, width=width)
        lines += to_do("  ", trouble.remedy, width)
    if len(view.troubles) > told:
        lines.append(more(len(view.troubles) - told, "embargo status --json", width))
    lines += [Text()] if view.troubles else []
    for standing in view.lifts[:coming]:
        lines += lift(standing, view.zone, now, width, ticking=ticking)
    rest = view.snapshot.counts.get(State.HELD, 0) - len(view.lifts[:coming])
    if rest > 0:
        lines.append(more(rest, "embargo queue", width))
    elif not view.lifts:
        lines.append(say.row("Nothing is held."))
    lines.append(Text())
    for mailing in view.mailings[:coming]:
        lines += _mailing(mailing, width)
    lines += [Text()] if view.mailings else []
    for name, words, style in _quiet(view, now):
        lines += say.hanging([(f"{name:<{_LABEL}}", "dim")], words, style, width=width)
    return lines


def to_do(indent: str, words: str, width: int) -> list[Text]:
    """What a person is to type, in one line however long; or a sentence, in lines that fit."""
    if words.startswith("embargo "):
        return [say.row(indent, (words, say.COPIED))]
    return say.hanging([indent], words, say.COPIED, width=width)


def more(count: int, command: str, width: int) -> Text:
    """That there are so many more, and where."""
    return say.row((f"  and {count:,} more: {command}", "dim"), width=width)


def headline(view: View, now: datetime, width: int) -> Text:
    """The answer to "is everything all right?" in one line, coloured over its whole width."""
    urgent = any(each.urgent for each in view.troubles)
    things = " NEEDS" if view.needs == 1 else "S NEED"
    answer, colour = {
        "down": (" NOT RUNNING: nothing lifts", "red"),
        "attention": (f" {view.needs:,} THING{things} YOU", "red" if urgent else "yellow"),
        "starting": (" STARTING", "yellow"),
        "well": (" ALL WELL", "green"),
    }[view.verdict]
    there = embargo.local(now, view.zone)
    clock = f"{there:%H:%M:%S} {view.zone.rpartition('/')[2].replace('_', ' ')} "
    longer = f"{view.newsroom}  {there:%a} {there.day} {there:%b} {clock}"
    right = next((each for each in (longer, clock) if len(answer) + 2 + cell_len(each) <= width), "")
    gap = " " * (width - len(answer) - cell_len(right))
    return say.row((f"{answer}{gap}{right}", f"bold reverse {colour}"), width=width)


def lift(standing: Standing, zone: str, now: datetime, width: int, *, ticking: bool = False) -> list[Text]:
    """A held record: how far off its lift is, in a colour that turns as it comes near; its title, times and id."""
    head, style, when = "by hand", "bold", f"when a person types embargo lift {standing.id}"
    if standing.lift_at is not None:
        when = say.moment(standing.lift_at, zone, now)
        ahead = standing.lift_at - now
        # Rounded up, or the last second would be "in 0 s".
        head = say.distance(-(-ahead // timedelta(seconds=1)) * timedelta(seconds=1), ticking=ticking)
        style = "bold" if ahead >= timedelta(hours=1) else "bold yellow"
        if ahead < timedelta(minutes=1):
            style = "bold reverse yellow"
        if ahead <= timedelta():
            head, style = ("now", style) if -ahead < _LATE else (f"due {head}", "bold reverse red")
    about: list[say.Part] = [(standing.id, "bold"), (f" ({standing.revision})", "dim")]
    if standing.lists is not None:
        about.append((f" to {', '.join(standing.lists) or 'nobody'}", "dim"))
    lines, indent = titled(head, style, standing.title, width)
    both = say.row(indent, (when, "dim"), "  ", *about)
    if both.cell_len <= width:
        return [*lines, both]
    alone = say.row(indent, *about)  # whole in any case: an id is for copying
    alone = alone if alone.cell_len <= width else say.row("  ", *about)
    return [*lines, say.row(indent, (when, "dim"), width=width), alone]


def titled(head: str, style: str, title: str, width: int) -> tuple[list[Text], str]:
    """The first of a record's lines, and by how much the others are indented."""
    if width < _NARROW:
        return [say.row((head, style), width=width), say.row("  ", title, width=width)], "  "
    return [say.row((f"{head:>{_HEAD}} ", style), " ", title, width=width)], " " * (_HEAD + 2)


def _mailing(each: Progress, width: int) -> list[Text]:
    ended = each.audience - each.pending
    share = ended / each.audience if each.audience else 0.0
    purpose = "" if each.purpose == "release" else f", {each.purpose}"
    about = f" ({each.revision}) to {each.list}{purpose}"
    left = f", {say.distance(each.left_for)[3:]} left" if each.left_for else ""
    says = f"{share:4.0%}  {ended:,} of {each.audience:,}{'' if each.frozen else ' so far'}, {each.rate:,.1f}/s{left}"
    room = max(0, min(40, width - _LABEL - len(says) - 1))
    full = round(room * share)
    bar: list[say.Part] = [" " * _LABEL, ("━" * full, "green"), ("─" * (room - full), "dim"), " " if room else ""]
    lines = [
        say.row((f"{'mailing':<{_LABEL}}", "dim"), (each.record_id, "bold"), about),
        *say.hanging(bar, says, "", width=width),
    ]
    for count, what, style in ((each.failed, "failed", "red"), (each.uncertain, "uncertain", "yellow")):
        if count:
            lines.append(say.row(" " * _LABEL, (f"{count:,} {what}: embargo mail ledger {each.record_id}", style)))
    return lines


def _quiet(view: View, now: datetime) -> Iterator[tuple[str, str, str]]:
    """What is well or in need of no answer: (name, words, style)."""
    seen, vitals = view.snapshot, view.snapshot.vitals
    if vitals is None or not seen.alive:
        yield "service", "not running", "red"
    else:
        how = "running" if vitals.ready else "starting"
        since = f"started {say.distance(vitals.started_at - now)}"
        yield "service", f"{how}, process {vitals.pid} on {vitals.host}, {since}", ""
        yield "settings", f"taken {say.distance(vitals.config_at - now)}", ""
        for problem in vitals.config_problems[1:]:  # the first is told above
            yield "", f"also refused: {problem}", "red"
        off = vitals.offset_s
        by = "" if off is None else f", {abs(off) * 1000:,.0f} ms {'behind' if off < 0 else 'ahead of'} its NTP server"
        doubts = "; ".join(vitals.doubts)
        yield "clock", f"{f'suspect: {doubts}' if doubts else 'believed'}{by}", "red" if doubts else ""
    for node in seen.nodes:
        yield "node", _of_node(node, now), "" if node.alive and node.vitals.ready else "yellow"
    yield "records", _counted(seen.counts) or "none yet", ""
    mails = _counted(seen.ledger)
    yield "mail", f"{mails} in 48 hours" if mails else "none in 48 hours", ""
    yield "site", f"feed written {say.distance(seen.feed_at - now)}" if seen.feed_at else "no feed yet", ""
    if seen.disk:
        yield "disk", f"{' and '.join(filesize.decimal(free) for free in sorted(seen.disk.values()))} free", ""


def _of_node(node: Node, now: datetime) -> str:
    beat = node.vitals
    life = f"silent for {node.age.total_seconds():.0f} s" if not node.alive else "ready" if beat.ready else "starting"
    site = f", site written {say.distance(beat.site_at - now)}" if beat.site_at else ", no site yet"
    off = beat.server_offset_s
    by = "" if off is None else f", clock {abs(off) * 1000:,.0f} ms {'ahead of' if off < 0 else 'behind'} the server's"
    return f"{beat.node}: {life}{site}{by}"


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
