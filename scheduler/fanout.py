"""Mail across machines: takes the jobs that procrastinate hands out, on PostgreSQL alone.

It distributes, and no more: a job says which segment of an audience this worker is to take next. What is owed, to whom, and when
it is tried again is the ledger's. Decision 12 has the reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.jobs import Status

from scheduler.pipeline.deliver import Postroom
from scheduler.store import Store, jobs, postgres
from scheduler.store.ledger import Segment

IN_HAND = 2
"""So many segments a worker has in hand: while the last mails of one are under way, the next has begun."""

_ALIVE_EVERY, _DEAD_AFTER = 5.0, 20.0
_RESCUE, _RESCUE_AT = "embargo.rescue", "* * * * * */15"  # croniter: seconds stand last
_POLL_EVERY = 5.0
_CONNECTIONS = 4


async def work(store: Store, postroom: Postroom, freeze: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Takes jobs until `stop`, and then gives those in hand back; `freeze` writes down what audiences are owed.

    Raises what keeps it from its jobs, such as a server that is away; the caller begins anew.
    """
    app = App(connector=PsycopgConnector(conninfo=postgres.conninfo(store.engine), min_size=1, max_size=_CONNECTIONS))
    # A worker that stops, or is told to give a job up, puts it back. How mails are tried again is the ledger's.
    again = RetryStrategy()

    @app.task(name=jobs.FREEZE, queue=jobs.FREEZE)
    async def _freeze() -> None:
        await freeze()

    @app.task(name=jobs.DELIVER, queue=jobs.DELIVER, retry=again)
    async def _deliver(mailing: int, segment: int, priority: int) -> None:
        await postroom.clear(Segment(mailing, segment, priority))

    # By one worker of all, and not only for its use: where nothing periodic is to do, procrastinate 3.10 does not notice that it
    # hears of no jobs any more, or shows no sign of life (`Worker._monitor_side_tasks`).
    @app.periodic(cron=_RESCUE_AT)
    @app.task(name=_RESCUE, queue=jobs.FREEZE, retry=again)
    async def _put_back(timestamp: int) -> None:  # noqa: ARG001 - procrastinate's
        await _rescue(app)

    take = partial(
        app.run_worker_async,
        delete_jobs="always",  # what failed was said; the ledger has what it was about
        fetch_job_polling_interval=_POLL_EVERY,
        install_signal_handlers=False,
        shutdown_graceful_timeout=0.0,
        stalled_worker_timeout=_DEAD_AFTER,
        update_heartbeat_interval=_ALIVE_EVERY,
    )
    try:
        await _until(stop, app.connector.open_async())
        if not stop.is_set():
            # Of their own: an audience that is to be written down, such as a correction's, waits for no segment.
            await _until(
                stop,
                take(queues=[jobs.FREEZE], name="audiences", concurrency=2),
                take(queues=[jobs.DELIVER], name="segments", concurrency=IN_HAND),
            )
    finally:
        await app.close_async()


async def _rescue(app: App) -> None:
    """Puts back the jobs of workers that are gone."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_DEAD_AFTER):
        if job.queueing_lock is None:
            await app.job_manager.retry_job(job)
        else:  # another may wait already, and what it asks for is looked for besides
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)


async def _until(stop: asyncio.Event, *runs: Coroutine[Any, Any, object]) -> None:
    """Until `stop`, or until one of them ends; what it raised then is raised."""
    tasks = [asyncio.ensure_future(each) for each in runs]
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in (*tasks, stopped):
            each.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
