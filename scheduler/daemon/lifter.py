"""Wakes the pipeline at the instant of the next lift.

One APScheduler alarm, armed by delay for some seconds before the earliest lift, in memory only. It may ring and nothing more:
lost, doubled, early and late rings do no harm, because what is due is asked of the table. From the alarm on the exact instant is
awaited here, by integer microseconds of the wall clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from scheduler.clock import Clock

LEAD = timedelta(seconds=20)
"""So long before a lift the alarm rings: time to make ready, in memory, what is about to be shown."""

_CALM = timedelta(seconds=0.2)
_CHUNK = 10
_GLANCE = 0.25
"""Seconds after which the wall clock is looked at again while waiting: it may have been set."""


class Lifter:
    """Calls `wake` at each lift. `next_lift` asks the table, `warm` makes ready some of what lifts until an instant.

    `fail` is told when one of them raises; the owner's heartbeat arms again.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        next_lift: Callable[[], datetime | None],
        warm: Callable[[datetime, int], bool],
        wake: Callable[[], None],
        fail: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._next_lift = next_lift
        self._warm = warm
        self._wake = wake
        self._fail = fail
        self.armed_for: datetime | None = None
        """The lift that the alarm is set for."""
        self._nudged = threading.Event()
        self._stopping = False
        self._near = threading.Lock()
        self._arming = threading.Lock()
        self._alarm = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        """Starts the alarm's thread and arms it."""
        self._alarm.start()
        self.arm()

    def stop(self) -> None:
        """Waits for a lift that is under way, then ends."""
        # APScheduler waits for its threads while it holds the lock that adding a job needs: none may be added from here on.
        with self._arming:
            self._stopping = True
        self._nudged.set()
        # Its thread ends with a traceback where it is stopped between starting a job and taking it off its list.
        self._alarm.remove_all_jobs()
        self._alarm.shutdown(wait=True)

    def arm(self) -> None:
        """Sets the alarm for the earliest lift. To be called whenever the queue may have changed."""
        self._nudged.set()  # whoever waits for a lift looks whether another has become the first
        self.armed_for = lift_at = self._next_lift()
        if lift_at is None or self._near.locked():
            return
        with self._arming:
            if not self._stopping:
                self._set(lift_at)

    def _set(self, lift_at: datetime) -> None:
        # By delay: armed by instant, a host whose clock differs from the one that decides would ring in a loop.
        delay = max(lift_at - self._clock() - LEAD, timedelta())
        self._alarm.add_job(
            self._approach,
            DateTrigger(run_date=datetime.now(UTC) + delay),  # noqa: TID251 - APScheduler's own clock, to turn a delay into a date
            id="lift",
            replace_existing=True,
        )

    def _approach(self) -> None:
        with self._near:
            try:
                while not self._stopping and self._step():
                    pass
            except Exception:  # noqa: BLE001 - whatever it was, the service goes on and the heartbeat arms again
                self._fail()
                return
        self.arm()

    def _step(self) -> bool:
        """Goes one step towards the next lift. Gives whether it is near."""
        self._nudged.clear()
        lift_at = self._next_lift()
        if lift_at is None:
            return False
        ahead = lift_at - self._clock()
        if ahead <= timedelta():
            self._wake()
        elif ahead > LEAD:
            return False
        elif ahead < _CALM or not self._warm(lift_at, _CHUNK):
            self._nudged.wait(min(ahead.total_seconds(), _GLANCE))
        return True
