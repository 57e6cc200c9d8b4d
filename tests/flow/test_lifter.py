"""The alarm clock: when it wakes the pipeline, and that nothing keeps it from it, or from stopping."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from scheduler import clock
from scheduler.daemon.lifter import LEAD, Lifter


class Queue:
    """The lifts that are still to come, as the table would tell them; `wake` takes those that are due."""

    def __init__(self, *lifts, read_clock=clock.system):
        self.lifts = sorted(lifts)
        self.woken = []
        self.failed = threading.Event()
        self.empty = threading.Event()
        self.clock = read_clock

    def next_lift(self):
        return self.lifts[0] if self.lifts else None

    def wake(self):
        now = self.clock()
        self.woken += [(lift_at, now) for lift_at in self.lifts if lift_at <= now]
        self.lifts = [lift_at for lift_at in self.lifts if lift_at > now]
        if not self.lifts:
            self.empty.set()

    def lifter(self, **changes):
        parts = {
            "clock": self.clock,
            "next_lift": self.next_lift,
            "warm": lambda _until, _at_most: False,
            "wake": self.wake,
            "fail": self.failed.set,
        }
        return Lifter(**(parts | changes))


def soon(*seconds):
    now = datetime.now(UTC)
    return [now + timedelta(seconds=each) for each in seconds]


def test_each_lift_is_met_and_none_is_early():
    """Lifts milliseconds apart are each met, none early."""
    queue = Queue(*soon(0.05, 0.051, 0.2, 0.35, 0.5))
    lifter = queue.lifter()
    lifter.start()
    assert queue.empty.wait(10)
    lifter.stop()
    assert len(queue.woken) == 5
    assert all(now >= lift_at for lift_at, now in queue.woken)


def test_a_lift_that_comes_in_while_another_is_awaited_goes_first():
    """A record accepted for an earlier instant than the one awaited is not kept waiting by it."""
    first, second = soon(0.3, 5)
    queue = Queue(second)
    lifter = queue.lifter()
    lifter.start()
    queue.lifts = [first, second]
    lifter.arm()
    give_up = datetime.now(UTC) + timedelta(seconds=4)
    while not queue.woken and datetime.now(UTC) < give_up:
        queue.empty.wait(0.01)
    lifter.stop()
    assert [lift_at for lift_at, _ in queue.woken] == [first]


def test_what_is_about_to_lift_is_made_ready_and_making_ready_never_delays_it():
    """Records are made ready in small steps before the lift, and an endless lot of them does not delay it."""
    queue = Queue(*soon(1))
    steps = []
    lifter = queue.lifter(warm=lambda until, at_most: bool(steps.append((until, at_most))) or True)
    lifter.start()
    assert queue.empty.wait(10)
    lifter.stop()
    assert steps
    assert all(at_most <= 10 for _, at_most in steps)
    [(lift_at, now)] = queue.woken
    assert now >= lift_at


def test_a_clock_that_is_set_back_makes_nothing_early():
    """When the wall clock is set back while a lift is awaited, the lift waits with it."""
    shift = timedelta()
    queue = Queue(read_clock=lambda: datetime.now(UTC) + shift)
    queue.lifts = soon(0.4)
    lifter = queue.lifter()
    lifter.start()
    shift = timedelta(seconds=-1)
    assert queue.empty.wait(10)
    lifter.stop()
    [(lift_at, now)] = queue.woken
    assert now >= lift_at


def test_a_failing_wake_is_told_and_the_next_ring_tries_again():
    """A wake that fails is reported, and the next ring of the alarm tries again."""
    queue = Queue(*soon(0.1))
    tries = []

    def wake():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("disk full")
        queue.wake()

    lifter = queue.lifter(wake=wake)
    lifter.start()
    assert queue.failed.wait(10)
    lifter.arm()  # as the heartbeat does
    assert queue.empty.wait(10)
    lifter.stop()
    assert len(tries) == 2


def test_a_stop_while_the_alarm_is_being_set_ends():
    """A stop that falls into the moment in which the alarm is set anew ends, and does not wait for ever."""
    queue = Queue(*soon(0.05, 3600 + LEAD.total_seconds()))
    asked, seen, calls = threading.Event(), threading.Event(), []

    def next_lift():
        if queue.woken:
            calls.append(1)
        if len(calls) == 2:  # the first finds that nothing is near, the second sets the alarm for what is far
            seen.set()
            asked.wait(10)
            time.sleep(0.2)  # until the stop waits for this thread, which nothing tells
        return queue.next_lift()

    lifter = queue.lifter(next_lift=next_lift)
    lifter.start()
    assert seen.wait(10)
    stop = threading.Thread(target=lambda: (asked.set(), lifter.stop()), daemon=True)
    stop.start()
    stop.join(10)
    assert not stop.is_alive()
