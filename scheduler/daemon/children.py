"""The processes beside the one that lifts: the mail worker, the web server, the monitor."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Sequence

from scheduler import config, leash
from scheduler.config import Config
from scheduler.log import alarm, say
from scheduler.store.vitals import ChildVitals

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_SOUND_AFTER = 30.0


def forms(settings: Config) -> bytes:
    """What the service says to its web server about the lists, with its length before it: `scheduler.web.forms.terms` reads it.

    Empty where no mail is sent: then there are no forms. The office's own pages are said as they were taken.
    """
    if settings.mail is None:
        return b""
    own = settings.own
    pages = {
        name: b64encode(data).decode() for name, data in (own.sources if own else {}).items() if name.endswith(".html")
    }
    newsroom = settings.newsroom
    said = json.dumps(
        {
            "database": settings.database,
            "templates": None if own is None else {"folder": str(own.folder), "pages": pages},
            "newsroom": {
                "name": newsroom.name,
                "url": newsroom.url,
                "zone": newsroom.timezone,
                "language": newsroom.language,
            },
            "names": {list_id: part.name for list_id, part in settings.lists.items()},
            "public": [list_id for list_id, part in settings.lists.items() if part.public],
            "wording": settings.mail.consent,
        }
    ).encode()
    return leash.greeting(said)


class Child:
    """One process, started again when it ends.

    Its standard input is a pipe that carries `greeting` and is then held open: when it ends, by whatever death of ours, the
    process stops.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, patience: float, greeting: bytes = b"") -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.greeting = greeting
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._wait = _FIRST_WAIT
        self._not_before = 0.0
        self._ended = 0

    def vitals(self) -> ChildVitals:
        """How it is."""
        process = self._process
        alive = process is not None and process.poll() is None
        return ChildVitals(name=self.name, pid=process.pid if process and alive else None, restarts=self._ended)

    def tend(self) -> None:
        """Starts the process if it is not there, unless it failed a moment ago."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            alarm("child_ended", child=self.name, status=self._process.returncode)
            self._drop()
            self._ended = 1 if now - self._started > _SOUND_AFTER else self._ended + 1
            self._wait = _FIRST_WAIT if now - self._started > _SOUND_AFTER else min(self._wait * 2, _LONGEST_WAIT)
            self._not_before = now + self._wait
        if self._process is None and now >= self._not_before:
            self._process = subprocess.Popen([sys.executable, "-m", *self.arguments], stdin=subprocess.PIPE)  # noqa: S603 - our own module
            self._started = now
            # A pipe holds less than settings may have: nobody waits until the process reads.
            threading.Thread(target=self._greet, args=(self._process,), daemon=True).start()
            say("child_started", child=self.name, pid=self._process.pid)

    def _greet(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(self.greeting)
            process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended already, which the next look sees, or was dropped

    def ask_to_stop(self) -> None:
        """Tells it to finish what it has in hand."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Tells it to finish, waits, and kills it when its patience is over."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            alarm("child_killed", child=self.name)
            self._process.kill()
            self._process.wait()
        self._drop()

    def _drop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


class Children:
    """All of them, as the settings want them."""

    def __init__(self, settings: Config) -> None:
        self._tending = threading.Lock()
        self._ended = False
        self._settings = settings
        self._asked = self._renewed = 0
        self._all = _wanted(settings)

    def tend(self) -> None:
        """Starts what is not there. A worker that is finishing its work for new settings must not hold up the caller."""
        if self._tending.acquire(blocking=False):
            try:
                for child in self._all:
                    child.tend()
            finally:
                self._tending.release()

    def renew(self, settings: Config) -> None:
        """Starts them anew, except a web server that would be the same and be told the same. Waits for nobody."""
        self._settings = settings
        self._asked += 1
        threading.Thread(target=self._renew, daemon=True).start()

    def _renew(self) -> None:
        with self._tending:
            if self._renewed == self._asked:  # by the one before, which waited longer
                return
            self._renewed = self._asked  # before the settings are looked at, as they are set before it
            settings = self._settings
            wanted = _wanted(settings)
            same = {(child.arguments, child.greeting): child for child in self._all if child.name == "web"}
            kept = [same.get((child.arguments, child.greeting), child) for child in wanted]
            for child in self._all:
                if child not in kept:
                    child.stop()
            self._all = kept
            if not self._ended:  # at once: readers are waiting
                for child in kept:
                    child.tend()

    def stop(self) -> None:
        """Tells all to finish, waits for each, and starts none any more."""
        self._ended = True
        with self._tending:
            for child in self._all:
                child.ask_to_stop()
            for child in self._all:
                child.stop()

    def vitals(self) -> tuple[ChildVitals, ...]:
        """How they are."""
        return tuple(child.vitals() for child in self._all)


def _wanted(settings: Config) -> list[Child]:
    # As they were taken: the files may hold an edit that was refused.
    told = leash.greeting(config.dump(settings))
    leashed = ["--config", str(settings.file), "--leash"]
    wanted = []
    if settings.mail is not None:
        wanted.append(Child("worker", ["scheduler", "worker", *leashed], patience=30, greeting=told))
    if settings.http is not None:
        address = [str(settings.site.folder), settings.http.host, str(settings.http.port)]
        named = [settings.newsroom.url, *settings.websub.hubs]
        said = forms(settings)
        flags = ["--json-log"] * (settings.log.format == "json") + ["--forms"] * bool(said)
        arguments = ["scheduler.web", *flags, *address, *named]
        wanted.append(Child("web", arguments, patience=10, greeting=said))
    if settings.monitor is not None or settings.alerts.mail or settings.alerts.webhooks or settings.desk is not None:
        wanted.append(Child("monitor", ["scheduler.monitor", *leashed], patience=10, greeting=told))
    return wanted
