"""Commands about the clock: whether it is believed, and a person's word that it may be."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import typer

from scheduler.cli import say
from scheduler.cli.app import CONFIG, Actor, AsJson, ConfigFile, MayReason, acted_on, actor, app, asked, office
from scheduler.clock import Reading
from scheduler.config import Config
from scheduler.daemon.cluster import ServerClock
from scheduler.daemon.guard import Doubt, Evidence, Host, Known, Witness, ask, examine, trust
from scheduler.daemon.lock import works
from scheduler.record import Standing, State
from scheduler.store import Store, nodes, records

clock_app = typer.Typer(help="The clock: whether it is believed, by what, and what waits because it isn't.")
app.add_typer(clock_app, name="clock")

_WHY = {
    Doubt.STEPPED: "it was set forward by {} against the steady clock",
    Doubt.BEHIND: "it is {} behind the newest row of the trail",
    Doubt.UNSYNCHRONISED: "the kernel says that nothing keeps it right",
    Doubt.WITNESS: "an NTP server says that it is {} fast",
}


class _Found(NamedTuple):
    known: Known
    reading: Reading
    evidence: Evidence
    doubts: dict[Doubt, float]
    running: bool
    server_offset: timedelta | None


def look_at_clock(store: Store, settings: Config) -> _Found:
    """What the running service found; where none runs, what it would find."""
    running, part = works(store, site=settings.site.folder), settings.clock
    known, reading, evidence, doubts = examine(
        store,
        key=nodes.key(store, "clock", site=settings.site.folder),
        host=Host(),
        tolerance=timedelta(seconds=part.tolerance),
        hold=part.unsynchronised == "hold",
    )
    server = ServerClock(store)
    server.measure()
    return _Found(known, reading, evidence, known.doubts if running else doubts, running, server.offset)


def _waiting(store: Store, found: _Found) -> list[Standing]:
    """The held records that only the doubt keeps from their lift."""
    held = records.listed(store, states=[State.HELD]) if found.doubts else []
    return [each for each in held if each.lift_at is not None and each.lift_at <= found.reading.now]


@clock_app.callback(invoke_without_command=True)
def show_clock(context: typer.Context, file: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Whether the host's clock is believed, and by what."""
    if context.invoked_subcommand:
        return
    with office(file) as (parts, store, _now):
        found = look_at_clock(store, parts.config)
        waiting = _waiting(store, found)
    witnesses = ask(parts.config.clock.servers)
    (_put_json if as_json else _put)(found, witnesses, waiting)
    if found.doubts:
        raise typer.Exit(1)


def _offset(found: _Found) -> float | None:
    """Seconds by which the clock has moved since it was last believed; ``None`` where that was before this boot."""
    zero_at = found.known.zero_at
    return None if zero_at is None else (found.reading.zero_at - zero_at).total_seconds()


def _put_json(found: _Found, witnesses: list[Witness], waiting: list[Standing]) -> None:
    said_unsynchronised = found.evidence.unsynchronised
    say.put_json(
        {
            "state": "suspect" if found.doubts else "believed",
            "now": found.reading.now,
            "since": found.known.since,
            "doubts": found.doubts,
            "settled": found.known.settled,
            "offset_s": _offset(found),
            "server_offset_s": None if found.server_offset is None else found.server_offset.total_seconds(),
            "boot": found.known.boot,
            "kernel_synchronised": None if said_unsynchronised is None else not said_unsynchronised,
            "witnesses": [
                {
                    "server": each.server,
                    "ahead_s": None if each.problem else each.ahead.total_seconds(),
                    "within_s": None if each.problem else each.within.total_seconds(),
                    "problem": each.problem,
                }
                for each in witnesses
            ],
            "waiting": [{"id": each.id, "lift_at": each.lift_at} for each in waiting],
            "service_runs": found.running,
        }
    )


def _put(found: _Found, witnesses: list[Witness], waiting: list[Standing]) -> None:
    offset = _offset(found)
    kernel = {None: "it can't be asked", True: "it says that nothing keeps the clock right", False: "synchronised"}
    facts = [("now", say.utc(found.reading.now), "")]
    facts += [("doubt", _why(why, by), "red") for why, by in found.doubts.items()]
    if found.doubts and found.known.since is not None:
        facts.append(("since", say.utc(found.known.since), ""))
    moved = (
        "not compared yet in this boot" if offset is None else f"moved by {offset:+.3f} s since it was last believed"
    )
    facts += [
        ("steadiness", moved, ""),
        ("boot", found.known.boot or "unknown", ""),
        ("kernel", kernel[found.evidence.unsynchronised], ""),
    ]
    if (off := found.server_offset) is not None:
        where = "ahead of" if off > timedelta() else "behind"
        facts.append(
            (
                "database",
                f"its server's clock is {abs(off).total_seconds():.3f} s {where} ours; the earlier decides",
                "",
            )
        )
    for each in witnesses:
        ahead = f"our clock is ahead by {each.ahead.total_seconds():+.3f} s, ± {each.within.total_seconds():.3f} s"
        facts.append(("witness", f"{each.server}: {each.problem or ahead}", ""))
    facts += [("waits", f"{each.id}, lift {say.utc(each.lift_at)}", "yellow") for each in waiting if each.lift_at]
    say.put("[bold red]suspect[/]  Nothing lifts by time." if found.doubts else "[green]believed[/]")
    say.facts(facts)
    if found.doubts:
        say.put("Set the clock right, and it lifts again; or, if it is right: embargo clock trust --reason …")


def _why(why: Doubt, by: float) -> str:
    return _WHY[why].format(f"{by:.3f} s")


@clock_app.command("trust")
def trust_clock(reason: MayReason = None, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Take the clock for right as it stands: what is due by it lifts."""
    with office(file, needed=True) as (parts, store, _now):
        found = look_at_clock(store, parts.config)
        if found.doubts and reason is None:
            reason = asked()
            found = look_at_clock(store, parts.config)  # whoever was asked may have thought about it for a while
        if reason is None or not found.doubts:
            say.put("The clock is not in doubt; there is nothing to settle.")
            raise typer.Exit(1)
        trust(
            store,
            key=nodes.key(store, "clock", site=parts.config.site.folder),
            known=found.known,
            reading=found.reading,
            found=found.doubts,
            running=found.running,
            reason=reason,
            actor=actor(who),
        )
        settled = "; ".join(_why(why, by) for why, by in found.doubts.items())
        say.put(f"[green]Trusted[/], though {settled}. {acted_on(store)}")
