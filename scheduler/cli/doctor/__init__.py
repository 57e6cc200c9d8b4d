"""The command that examines the installation: each finding says what is so, why it matters, and what to do.

finding.py   what a finding is, and a check that can't break off the others
here.py      templates, zones, permissions, folders, disks, ports
stored.py    what is in the database, and its backups
outside.py   the mail server, and the feed as readers get it
domain.py    what the sender's domain publishes
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic

import typer

from scheduler import clock, config
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app
from scheduler.cli.doctor import here, outside, stored
from scheduler.cli.doctor.finding import Check, Finding, safely
from scheduler.daemon.lock import is_running
from scheduler.errors import EmbargoError
from scheduler.parts import build

_GIVE_UP = 13.0
"""Seconds after which what other machines say is not waited for."""


@app.command()
def doctor(file: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Examine the installation: what is so, why it matters, and what to do about it."""
    found = []
    seen = say.out.is_terminal and not as_json
    with say.out.status("Looking …") if seen else nullcontext():
        for finding in examine(file, now=clock.system()):
            found.append(finding)
            if not as_json:
                _put(finding)
    wrong = sum(not finding.good for finding in found)
    if as_json:
        say.put_json([asdict(finding) for finding in found])
    elif wrong:
        say.put(f"\n{wrong} thing{'s' if wrong != 1 else ''} to mend.")
    if wrong:
        raise typer.Exit(1)


def _put(finding: Finding) -> None:
    label = "[bold red]wrong[/]" if not finding.good else "[yellow]note[/] " if finding.remedy else "[green]good[/] "
    lines = [(f"{label}  ", 7, finding.what)]
    if finding.remedy:
        lines += [("       [dim]why[/]  ", 12, finding.why), ("       [dim]do[/]   ", 12, finding.remedy)]
    for begins, indent, sentence in lines:
        # Who searches a pipe wants a sentence on one line; who reads a terminal, no word in two.
        width = max(say.out.width - indent - 1, 40) if say.out.is_terminal else len(sentence) + 1
        parts = textwrap.wrap(say.safe(sentence), width, break_long_words=False, break_on_hyphens=False)
        say.put(begins + f"\n{'':<{indent}}".join(map(say.plain, parts)))


def examine(file: Path, *, now: datetime) -> Iterator[Finding]:
    """All findings, each as soon as it is made. What other machines say is asked meanwhile, and not waited for for long."""
    try:
        parts = build(config.read(file), tried=False)
    except EmbargoError as error:
        why = "The service takes no settings that it can't read whole, and does not start."
        yield Finding(good=False, what=str(error), why=why, remedy="Mend it; `embargo check` looks again.")
        return
    settings = parts.config
    yield Finding(what=f"settings: {settings.file}", why="Everything else follows from them.")
    database = here.database(settings)
    running = database is not None and is_running(database)
    elsewhere = [
        _Elsewhere("mail server", partial(outside.mail, settings)),
        _Elsewhere("sender's domain", partial(outside.sender, settings)),
        _Elsewhere("feed", partial(outside.feed, settings, running=running)),
    ]
    looks: dict[str, Check] = {
        "templates": partial(here.templates, parts),
        "time zones": partial(here.zones, now),
        "permissions": partial(here.permissions, settings),
        "folders": partial(here.folders, settings),
        "disk": partial(here.disks, settings),
        "ports": partial(here.ports, settings, running=running),
        "database": partial(stored.examine, settings, now),
        "backups": partial(stored.backed_up, settings, now),
    }
    for name, look in looks.items():
        yield from safely(name, look)
    for each in elsewhere:
        yield from each.findings()


class _Elsewhere:
    """A check that asks other machines, in a thread that is left behind when it takes too long."""

    def __init__(self, name: str, look: Check) -> None:
        self._name = name
        self._until = monotonic() + _GIVE_UP
        self._found: Future[list[Finding]] = Future()
        threading.Thread(target=lambda: self._found.set_result(list(safely(name, look))), daemon=True).start()

    def findings(self) -> list[Finding]:
        try:
            return self._found.result(max(self._until - monotonic(), 0.0))
        except TimeoutError:
            what = f"{self._name}: could not be asked: no answer in {_GIVE_UP:g} s"
            remedy = "Look at this machine's network, and ask again: `embargo doctor`."
            return [Finding(what=what, why="What is not looked at may be wrong.", remedy=remedy)]
