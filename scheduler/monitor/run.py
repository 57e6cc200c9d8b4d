"""The monitor's process: looks every few seconds, tells whom it concerns, and answers at its port in between."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import partial

from scheduler import clock
from scheduler.config import Config
from scheduler.leash import heed, slip
from scheduler.log import alarm, failure, say
from scheduler.monitor.alerts import Alerts
from scheduler.monitor.letters import way_out
from scheduler.monitor.look import Snapshot, look, troubles
from scheduler.monitor.serve import HANGS, Server, Watch
from scheduler.monitor.summary import Desk
from scheduler.parts import build
from scheduler.store import glance
from scheduler.store.duties import Duty, Work

_EVERY = 2.0
_PATIENCE = 5.0
_REPEAT = 30
"""After so many rounds what still goes wrong is said again."""


def run(settings: Config, *, leashed: bool) -> None:
    """Watches until SIGTERM or SIGINT, and where it is `leashed`, until the service is gone."""
    asyncio.run(_run(settings, leashed=leashed))


async def _run(settings: Config, *, leashed: bool) -> None:
    stop = asyncio.Event()
    heed(stop, leash=leashed)
    parts = build(settings, tried=False)
    store, transport = glance.open_window(settings.database), way_out(parts)
    watch = Watch(
        partial(look, store, settings),
        clock=clock.system,
        disk=settings.alerts.disk,
        tolerance=settings.clock.tolerance,
    )
    alerts = Alerts(store=store, config=settings, transport=transport)
    duty = Duty(store, Work.ALERTS)
    desk = Desk(store=store, parts=parts, transport=transport)
    server: Server | None = None
    say("monitor_ready", pid=os.getpid())
    rounds = failed = 0
    while not stop.is_set():
        if settings.monitor is not None and server is None:
            server = _served(settings.monitor.host, settings.monitor.port, watch, aloud=rounds % _REPEAT == 0)
        try:
            seen = await _seen(watch)
            found, now = troubles(seen, disk=watch.disk, tolerance=watch.tolerance), clock.system()
            await alerts.tend(seen, found, now, for_all=await asyncio.to_thread(duty.mine))
            await desk.tend(seen, found, now)
            failed = 0
        except Exception:  # noqa: BLE001 - the next round tries again
            if failed % _REPEAT == 0:
                failure("monitor_failed")
            failed += 1
        rounds += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _EVERY)
    if leashed:
        slip()
    if server is not None:
        await asyncio.to_thread(server.stop)
    await asyncio.gather(alerts.close(), desk.close())
    if transport is not None:
        await transport.close()
    duty.drop()
    store.close()
    say("monitor_stopped")


async def _seen(watch: Watch) -> Snapshot:
    """A look; where one hangs, that it does."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(watch.snapshot), _PATIENCE)
    except TimeoutError:
        return watch.blind(HANGS)


def _served(host: str, port: int, watch: Watch, *, aloud: bool) -> Server | None:
    """The port; ``None`` while it is another's, which may be the monitor before this one, or can't be had."""
    try:
        server = Server(host, port, watch)
    except OSError as error:
        if aloud:
            alarm("monitor_port_refused", address=f"{host}:{port}", problem=error.strerror, remedy="`monitor.listen`")
        return None
    say("monitor_listening", address=f"{host}:{port}")
    return server
