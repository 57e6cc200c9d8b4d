"""Kills the real service at random moments, and sets its wall clock, while records lift and mail goes out; then counts."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from conftest import Clock, House, Office, eventually, files_below, words
from kit import projection, send, sound
from outdoors import Server, WallClock, rows, until

from scheduler import config
from scheduler.outlets.mail import transport
from scheduler.parts import build
from scheduler.record import DeliveryState, State
from scheduler.store import open_store, records

_TITLE = re.compile(r"Quokka (k\d+)\.")
_STEPS = (3600.0, 60.0, 3.0, -3.0, -60.0, -3600.0)
_OPEN = "SELECT count(*) FROM records WHERE state != 'released'"


@dataclass(kw_only=True)
class Report:
    """What was done and what came of it. `lives` came to be ready; `early`, `lost` and `doubled` name what must not be."""

    seed: int
    kills: int = 0
    lives: int = 0
    steps: int = 0
    records: int = 0
    corrections: int = 0
    mails: Counter[str] = field(default_factory=Counter)
    early: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = f"seed {self.seed}: {self.kills} kills in {self.lives} lives, {self.steps} clock steps, {self.records} records"
        mails = ", ".join(f"{count} {state}" for state, count in sorted(self.mails.items()))
        found = f"early {len(self.early)}, lost {len(self.lost)}, doubled {len(self.doubled)}"
        return f"{done}, {self.corrections} edits of them; mails: {mails}; {found}"


class Reader(threading.Thread):
    """A reader in a hurry: looks at the feed without a pause and notes what stands there before its lift, by the true clock."""

    def __init__(self, house: House, lifts: dict[str, datetime]) -> None:
        super().__init__(daemon=True)
        self._house = house
        self._lifts = lifts
        self._over = threading.Event()
        self.early: dict[str, str] = {}

    def run(self) -> None:
        while not self._over.wait(0.002):
            shown = set(_TITLE.findall(self._house.site("rss.xml").decode()))
            now = datetime.now(UTC)
            for name in shown:
                if now < self._lifts[name]:
                    self.early.setdefault(name, f"{name} in the feed, {self._lifts[name] - now} before its lift")

    def stop(self) -> None:
        self._over.set()
        self.join()


def run(
    house: House,
    wall: WallClock,
    *,
    kills: int,
    seed: int,
    steps: bool,
    told: Callable[[str], object] = lambda _: None,
) -> Report:
    """Kills the service of `house` so many times, with `steps` setting its clock in between, and lets it come to its end."""
    chance = random.Random(seed)
    report = Report(seed=seed)
    lifts: dict[str, datetime] = {}
    server = Server(slow=0.3)
    with server.apart() as port:
        text = house.config.read_text().replace("maildir:var/mail", f"smtp://127.0.0.1:{port}")
        house.config.write_text(text + "embargo: {past_on_arrival: release}\n")
        reader = Reader(house, lifts)
        reader.start()
        began = time.monotonic()
        house.start()  # once with a true clock: one that is wrong when a store first sees it can't be found out
        pace = time.monotonic() - began
        house.kill()
        report.kills += 1
        while report.kills < kills:
            _write(house, chance, lifts, report, pace=pace)
            _once(house, wall, chance, report, pace=pace, steps=steps)
            report.lives = house.log.count("service_ready")
            if report.kills % 20 == 0:
                told(str(report))
        _come_to_its_end(house, wall, lifts)
        reader.stop()
        office = Office(house.folder, build(config.read(house.config)), open_store(house.url))
        try:
            _count(office, server, lifts, report, f"smtp://127.0.0.1:{port}")
        finally:
            office.store.close()
    report.early += reader.early.values()
    return report


def _write(house: House, chance: random.Random, lifts: dict[str, datetime], report: Report, *, pace: float) -> None:
    """New records that lift within the next seconds, and now and then an edit of one that may have lifted or not."""
    for _ in range(chance.randint(1, 3)):
        name = f"k{len(lifts)}"
        lifts[name] = datetime.now(UTC) + timedelta(seconds=chance.uniform(0.1, 3.0 + pace))
        house.record(name, embargo=words(lifts[name]), title=f"Quokka {name}.")
        report.records += 1
    if chance.random() < 0.3:
        name = chance.choice(list(lifts))
        text = (
            f"---\ntitle: Quokka {name}.\nembargo: {words(lifts[name])}\ncorrection: A word.\n---\n{chance.random()}\n"
        )
        house.write(f"{name}.md", text)
        report.corrections += 1


def _once(house: House, wall: WallClock, chance: random.Random, report: Report, *, pace: float, steps: bool) -> None:
    """One life of the service, which takes `pace` to start and may not: it, its worker, or all its processes are killed."""
    with (house.folder / "service.log").open("ab") as log:
        began = log.tell()
        service = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "run"],
            cwd=house.folder,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + chance.uniform(0.3, 1.6 + pace)
        if steps and chance.random() < 0.5:
            moment = end - chance.uniform(0, 1.5)
            eventually(lambda: until(moment), "the moment of the step")
            wall.set(timedelta(seconds=chance.choice(_STEPS)))
            report.steps += 1
        eventually(lambda: until(end), "the moment of the kill")
        assert service.poll() is None, house.log[began:]
        kind = chance.random()
        workers = re.findall(r"child=worker pid=(\d+)", house.log[began:])
        if kind < 0.15 and workers:
            with suppress(ProcessLookupError):
                os.kill(int(workers[-1]), signal.SIGKILL)
                report.kills += 1
    finally:
        (os.killpg if chance.random() < 0.4 else os.kill)(service.pid, signal.SIGKILL)
        service.wait()
    report.kills += 1
    if chance.random() < 0.7:
        wall.set(timedelta())


def _come_to_its_end(house: House, wall: WallClock, lifts: dict[str, datetime]) -> None:
    wall.set(timedelta())
    house.start()
    eventually(lambda: rows(house, "SELECT count(*) FROM records")[0][0] == len(lifts), "all to be accepted", 120)
    eventually(lambda: rows(house, _OPEN)[0][0] == 0, "all to be released", 60)
    items = f"<title>Quokka {max(lifts, key=lambda name: lifts[name])}.</title>".encode()
    eventually(lambda: items in house.site("feed.json") or items in house.site("rss.xml"), "the feed")
    house.stop()


def _count(office: Office, server: Server, lifts: dict[str, datetime], report: Report, url: str) -> None:
    office.clock = Clock(datetime.now(UTC) + timedelta(minutes=10))  # leases end, and what waits for another try is due
    sound(office)
    send(office, transport(url, base=office.folder))
    projection(office, "fresh").rebuild(now=office.clock())
    assert files_below(office.folder / "public") == files_below(office.folder / "fresh")
    for name, lift_at in lifts.items():
        standing = records.find(office.store, name)
        if standing is None or standing.state is not State.RELEASED or standing.released_at is None:
            report.lost.append(name)
        elif standing.released_at < lift_at or standing.lift_at != lift_at:
            trail = [(row.event, row.at.isoformat()) for row in office.trail(name)]
            report.early.append(
                f"{name}, lift {lift_at}, stored {standing.lift_at}, released {standing.released_at}: {trail}"
            )
        if office.events(name).count("released") > 1:
            report.doubled.append(name)
    for subject, at in server.heard:
        if (found := _TITLE.search(subject)) and at < lifts[found[1]]:
            report.early.append(f"mail about {found[1]}, {lifts[found[1]] - at} before its lift")
    known = Counter(server.taken)
    for state, message_id in office.raw("SELECT state, message_id FROM deliveries"):
        report.mails[state] += 1
        taken = known.pop(message_id, 0)
        if taken > 1 or (taken and state not in {DeliveryState.SENT, DeliveryState.UNCERTAIN}):
            report.doubled.append(f"mail {message_id}")
        if not taken and state != DeliveryState.UNCERTAIN:
            report.lost.append(f"mail {message_id} {state}")
    report.doubled += [f"mail of no row {name}" for name in known]
