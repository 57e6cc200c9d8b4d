"""``embargo rehearse``: the lifts to come, acted out in a folder that nobody sees."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from scheduler import clock, config, embargo
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app, database
from scheduler.cli.care import unwritable
from scheduler.cli.fence import standstill
from scheduler.config import Config
from scheduler.daemon.lock import works
from scheduler.errors import EmbargoError, EmbargoRefused
from scheduler.parts import Parts, build
from scheduler.pipeline.rehearse import Obstacle, Rehearsal, Step
from scheduler.record import Purpose, Release, Standing
from scheduler.store import Store, open_store, still
from scheduler.store.still import Mailed

_SHOWN = 8
"""So many lines of a kind are shown of one instant; `--json` has all."""

_NO_TIMES = ", 'on delivery', or 'none'"
"""What may be written for an embargo, but is no time to go up to."""


@app.command()
def rehearse(
    record_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Up to the lift of this record.")] = None,
    file: ConfigFile = CONFIG,
    at: Annotated[
        str | None, typer.Option("--at", metavar="WHEN", help="Up to this time. Default: the last lift.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep the site and the mail that came of it there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Act the coming lifts out, the clock moved on: what appears where and when, and who is mailed. Nothing real is touched."""
    settings = config.read(file)
    parts = build(settings)
    until = None if at is None else _instant(at, parts.newsroom.zone)
    with _kept(keep, settings), database(settings.database) as url, _unseen() as folder:
        still.copy(url, folder / "store.db")
        now = clock.system()
        if until is not None and until < now:
            raise EmbargoError(f"{say.utc(until)} has passed. Name a time to come.")
        store = open_store(f"sqlite:///{folder / 'store.db'}")
        try:
            rehearsal = Rehearsal(
                store=store,
                folder=folder,
                renderer=parts.renderer,
                items=settings.site.items,
                postroom=None if settings.mail is None else partial(parts.postroom, store, "rehearsal"),
                default_lists=settings.default_lists,
                now=now,
            )
            until = until or rehearsal.last(record_id)
            original = still.original(url, store)
            obstacles = list(_withheld(original, settings))  # before the copy's clock is moved on
            if original.path is None or not works(original):
                rehearsal.catch_up(release_within=settings.embargo.release_within)
            steps = list(rehearsal.run(until))
            obstacles += rehearsal.obstacles(record_id)
        finally:
            store.close()
        made = [name for name in ("public", "mail") if (folder / name).exists()]
        if keep is not None:
            for name in made:
                shutil.move(folder / name, keep / name)
    if as_json:
        say.put_json(_document(steps, obstacles, now=now, until=until, parts=parts, keep=keep))
    else:
        _print(steps, obstacles, now=now, until=until, parts=parts, record_id=record_id)
        if not rehearsal.holds:
            say.put("Nothing is held: there is nothing that could lift.")
        if keep is not None:
            say.put(f"[dim]kept[/]  {say.plain(str(keep))}: {' and '.join(f'{name}/' for name in made)}")
    if any(not obstacle.expected or obstacle.record_id == record_id is not None for obstacle in obstacles):
        raise typer.Exit(1)


def _instant(words: str, zone: str) -> datetime:
    """What ``--at`` names, told as such: the words come from no record."""
    try:
        lift = embargo.stated(words, zone=None, default_zone=zone).lift
    except EmbargoRefused as error:
        problem = error.problem.replace("The embargo", "--at", 1)
        raise EmbargoError(f"{problem} {error.remedy.replace(_NO_TIMES, '')}") from error
    if lift is None:
        raise EmbargoError(f"--at '{words}' is no time. Write, for example, --at '2026-12-01 09:00 America/New_York'.")
    return lift.at


@contextmanager
def _unseen() -> Iterator[Path]:
    """A folder for its owner alone, taken away whatever ends this: an error, Ctrl-C, SIGTERM, a closed terminal."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    folder = Path(tempfile.mkdtemp(prefix="embargo-rehearsal-"))
    try:
        yield folder
    finally:
        # A second Ctrl-C must not leave half of it.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(folder)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)  # the one that asyncio ends in order


@contextmanager
def _kept(folder: Path | None, settings: Config) -> Iterator[None]:
    """Makes the folder that is to stay, for its owner alone, where nobody reads along; takes it away if nothing comes of it."""
    if folder is None:
        yield
        return
    real = folder.resolve()
    for watched in (settings.site.folder, *(part.folder for part in settings.records)):
        if watched.resolve() in {real, *real.parents}:
            raise EmbargoError(f"{folder} lies in {watched}, which others read. Name another folder.")
    try:
        folder.mkdir(0o700)
    except OSError as error:
        raise EmbargoError(f"The folder {folder} can't be made: {error.strerror}. Name a new one.") from error
    try:
        yield
    except BaseException:
        shutil.rmtree(folder)
        raise


def _withheld(original: Store, settings: Config) -> Iterator[Obstacle]:
    """What would keep the service from it all."""
    for sentence in standstill(original, settings):
        yield Obstacle(why=sentence)
    if unwritable(settings.site.folder):
        yield Obstacle(
            why=f"The site folder {settings.site.folder} can't be written by this user. Is it the service's?"
        )


def _document(
    steps: Sequence[Step],
    obstacles: Sequence[Obstacle],
    *,
    now: datetime,
    until: datetime,
    parts: Parts,
    keep: Path | None,
) -> dict[str, Any]:
    return {
        "now": now,
        "until": until,
        "steps": [
            {
                "at": step.at,
                "released": [
                    {"id": each.id, "title": each.title, "lift_at": each.lift_at, "page": _page(each.id, parts)}
                    for each in step.released
                ],
                "files": step.files,
                "mail": [
                    {
                        "record": each.record_id,
                        "revision": each.revision,
                        "purpose": each.purpose,
                        "list": each.list,
                        "people": each.people,
                        "first": each.first,
                        "last": each.last,
                    }
                    for each in step.mail
                ],
                "took_ms": {
                    "release": _ms(step.release_for),
                    "refresh": _ms(step.refresh_for),
                    "mail": _ms(step.mail_for),
                },
            }
            for step in steps
        ],
        "not": [{"record": each.record_id, "why": each.why, "expected": each.expected} for each in obstacles],
        "kept": None if keep is None else str(keep.absolute()),
    }


def _page(record_id: str, parts: Parts) -> str:
    return parts.newsroom.url + quote(Release.address_of(record_id))


def _ms(took: timedelta) -> float:
    return round(took / timedelta(milliseconds=1), 3)


def _print(
    steps: Sequence[Step],
    obstacles: Sequence[Obstacle],
    *,
    now: datetime,
    until: datetime,
    parts: Parts,
    record_id: str | None,
) -> None:
    zone = parts.newsroom.zone
    releases = sum(len(step.released) for step in steps)
    mails = sum(each.people for step in steps for each in step.mail)
    far = f"up to {say.local(embargo.lift_in(zone, until))}, {say.distance(until - now)}"
    say.put(
        f"[bold]Rehearsed[/] {far if until > now else 'what is due now'}: "
        f"{releases} release{'s' if releases != 1 else ''}, {mails} mail{'s' if mails != 1 else ''}. Nothing real was touched.\n"
    )
    say.out.print(Text.assemble(("  ○ ", "bold"), ("now  ", "bold"), (say.utc(now.replace(microsecond=0)), "dim")))
    for step in steps:
        say.put("  [dim]│[/]")
        local = say.local(embargo.lift_in(zone, step.at)) if step.at != now else "due already"
        ahead = say.distance(step.at - now) if step.at != now else "at once"
        say.out.print(Text.assemble(("  ● ", "green"), (f"{local}  ", "bold"), f"{ahead}  ", (say.utc(step.at), "dim")))
        _branches("released", [_released(each, record_id) for each in step.released], step.release_for)
        pages = [path for path in step.files if path.startswith("releases/")]
        _branches("pages", [Text(path) for path in pages], step.refresh_for)
        shown = ", ".join(path for path in step.files if path not in pages)
        _branches("then", [Text(shown)] if shown else [], None)
        _branches("mail", [_mailed(each, parts) for each in step.mail], step.mail_for)
    if obstacles:
        say.put("\n[bold]What would not go out, and why[/]")
    for each in obstacles[: _SHOWN * 5]:
        mark = "[dim]-[/]" if each.expected else "[bold red]![/]"
        about = "" if each.record_id is None else f"[bold]{say.plain(each.record_id)}[/]  "
        say.put(f"  {mark} {about}{say.plain(each.why)}")
    if len(obstacles) > _SHOWN * 5:
        say.put(f"  … and {len(obstacles) - _SHOWN * 5} more: --json tells all")


def _branches(name: str, lines: Sequence[Text], took: timedelta | None) -> None:
    spent = "" if took is None else f"  {_ms(took):.1f} ms"
    for number, line in enumerate(lines[:_SHOWN]):
        label = name if number == 0 else ""
        say.out.print(Text.assemble(("  ├╴", "dim"), (f"{label:<10}", "dim"), line, ("" if number else spent, "dim")))
    if len(lines) > _SHOWN:
        say.out.print(Text(f"  ├╴          … and {len(lines) - _SHOWN} more", "dim"))


def _released(standing: Standing, record_id: str | None) -> Text:
    return Text.assemble(
        (standing.id, "bold reverse" if standing.id == record_id else "bold"), f"  {say.safe(standing.title)}"
    )


def _mailed(sent: Mailed, parts: Parts) -> Text:
    known = parts.lists.get(sent.list)
    people = f"{sent.people:,} people, {sent.first} … {sent.last}" if sent.people > 1 else sent.first
    about = sent.record_id if sent.purpose == Purpose.RELEASE else f"{sent.record_id} ({sent.purpose})"
    return Text.assemble((known.name if known else sent.list, "cyan"), f"  {about}: {people}")
