"""Pings the hubs of the feeds that have changed: a thread for each hub, so that one that hangs holds up no other, and no lift.

What is owed is kept in memory alone: at the start every feed is pinged, which heals a crash between bytes and ping. A ping for
nothing is harmless: the hub fetches the feed, finds what it knows, and hands nothing on.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from scheduler.errors import RequestFailed
from scheduler.log import alarm, failure, say
from scheduler.outlets import hubs
from scheduler.outlets.hubs import Owed

_APART = 1.0
"""Seconds between two pings for one feed: while a thousand lifts follow each other a hub is told once a second."""
_LOOK_AGAIN = 0.25


def is_listening(host: str, port: int) -> bool:
    """Whether the web server of this machine takes connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


class Hubs:
    """The hubs at these addresses, for the site at `base`.

    `is_served` is asked before each ping: a hub fetches at once, and what it can't fetch it may never ask for again.
    """

    def __init__(
        self, addresses: Iterable[str], *, base: str, allow_private: bool, is_served: Callable[[], bool]
    ) -> None:
        self._base = base
        self._hubs = [_Hub(each, allow_private=allow_private, is_served=is_served) for each in addresses]

    def start(self) -> None:
        """Starts the threads."""
        for each in self._hubs:
            threading.Thread(target=each.run, name="hub", daemon=True).start()

    def announce(self, paths: Sequence[str]) -> None:
        """Owes every hub a ping for the feeds at these paths of the site, whose bytes are live. Returns at once."""
        for each in self._hubs:
            each.owe(self._base + path for path in paths)

    def stop(self) -> None:
        """Ends the threads, and does not wait for a hub that has not answered yet."""
        for each in self._hubs:
            each.stop()


class _Hub:
    """What one hub is owed, by the feed's address, and the thread that pings it."""

    def __init__(self, address: str, *, allow_private: bool, is_served: Callable[[], bool]) -> None:
        self._address = address
        self._allow_private = allow_private
        self._is_served = is_served
        self._news = threading.Condition()
        self._owed: dict[str, Owed] = {}
        self._pinged: dict[str, float] = {}
        self._not_before = 0.0
        self._stopped = False

    def owe(self, urls: Iterable[str]) -> None:
        now = time.monotonic()
        with self._news:
            for url in urls:
                self._owed[url] = Owed.at(max(now, self._pinged.get(url, now - _APART) + _APART))
            self._news.notify()

    def stop(self) -> None:
        with self._news:
            self._stopped = True
            self._news.notify()

    def run(self) -> None:
        while taken := self._take():
            try:
                self._ping(*taken)
            except Exception:  # noqa: BLE001 - a thread's end must not go unheard; the next change is pinged
                failure("hub_thread_failed", hub=self._address)

    def _take(self) -> tuple[str, Owed] | None:
        """Waits for what is due first and takes it out: a change from here on is owed a ping of its own."""
        with self._news:
            while not self._stopped:
                url, owed = min(self._owed.items(), key=lambda item: item[1].due, default=("", None))
                wait = None if owed is None else max(owed.due, self._not_before) - time.monotonic()
                if owed is not None and wait is not None and wait <= 0:
                    del self._owed[url]
                    return url, owed
                self._news.wait(wait)
            return None

    def _ping(self, url: str, owed: Owed) -> None:
        if not self._is_served():
            self._put_back(url, replace(owed, due=time.monotonic() + _LOOK_AGAIN))
            return
        self._pinged[url] = time.monotonic()
        try:
            status = hubs.ping(self._address, url, allow_private=self._allow_private)
        except RequestFailed as error:
            self._failed(url, owed, error)
        else:
            say("hub_pinged", hub=self._address, url=url, status=status)

    def _failed(self, url: str, owed: Owed, error: RequestFailed) -> None:
        now = time.monotonic()
        if error.retry_after is not None:
            self._not_before = now + min(error.retry_after.total_seconds(), hubs.LONGEST)
        later = None if error.final else owed.again(now, chance=random.random())  # noqa: S311 - to be out of step is enough
        if later is None:
            alarm("hub_given_up", hub=self._address, url=url, problem=error)
            return
        self._put_back(url, later)
        wait_s = max(later.due, self._not_before) - now
        say("hub_failed", level=logging.WARNING, hub=self._address, url=url, problem=error, again_in_s=f"{wait_s:.1f}")

    def _put_back(self, url: str, owed: Owed) -> None:
        with self._news:
            self._owed.setdefault(url, owed)  # a newer change has its own
