"""The two processes beside the one that lifts: the web server and the mail worker."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from scheduler.config import Config
from scheduler.daemon.log import alarm, say

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_SOUND_AFTER = 30.0


def forms(settings: Config) -> bytes:
    """What the service says to its web server about the lists, with its length before it: `scheduler.web.forms.terms` reads it.

    Empty where no mail is sent: then there are no forms. It changes with the office's own templates, too.
    """
    if settings.mail is None:
        return b""
    own = []
    for path in sorted(settings.templates.rglob("*.html")) if settings.templates else ():
        with suppress(OSError):
            own.append([str(path), path.stat().st_mtime_ns])
    newsroom = settings.newsroom
    said = json.dumps(
        {
            "database": settings.database,
            "templates": None if settings.templates is None else str(settings.templates),
            "own": own,
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
    return len(said).to_bytes(8, "big") + said


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

    def tend(self) -> None:
        """Starts the process if it is not there, unless it failed a moment ago."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            alarm("child_ended", child=self.name, status=self._process.returncode)
            self._drop()
            self._wait = _FIRST_WAIT if now - self._started > _SOUND_AFTER else min(self._wait * 2, _LONGEST_WAIT)
            self._not_before = now + self._wait
        if self._process is None and now >= self._not_before:
            self._process = subprocess.Popen([sys.executable, "-m", *self.arguments], stdin=subprocess.PIPE)  # noqa: S603 - our own module
            self._started = now
            self._greet(self._process)
            say("child_started", child=self.name, pid=self._process.pid)

    def _greet(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(self.greeting)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, which the next look sees

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
