"""Log lines: an instant, a level, an event name and its fields. Ids are random ones; no held word ever comes here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from scheduler.permissions import Loose

_LOGGER = logging.getLogger("embargo")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = f"{at} {record.levelname.lower()} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def start(*, verbose: bool = False) -> None:
    """Sends log lines to standard error. APScheduler's own warnings ("maximum number of instances") are normal here."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("apscheduler", "watchfiles", "asyncio", "markdown_it"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def say(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """One line: ``event key=value …``; values with blanks are quoted."""
    words = [event]
    for key, value in fields.items():
        text = str(value)
        words.append(f'{key}="{text}"' if " " in text or not text else f"{key}={text}")
    _LOGGER.log(level, "%s", " ".join(words).replace("\n", " "))


def warn_of(loose: Iterable[Loose]) -> None:
    """A line for each private thing that others can reach, with the command that mends it."""
    for each in loose:
        say("others_can_reach", level=logging.WARNING, path=each.path, mode=f"{each.mode:04o}", mend=each.remedy)


def alarm(event: str, **fields: object) -> None:
    """A line that a person should see."""
    say(event, level=logging.ERROR, **fields)


def failure(event: str, **fields: object) -> None:
    """A bug or a failing machine: the line with its traceback, for the exception at hand.

    Tracebacks show code and file names, never values of ours: text fields are kept out of every ``repr``.
    """
    _LOGGER.error(
        "%s", " ".join([event, *(f"{key}={value}" for key, value in fields.items())]), exc_info=sys.exc_info()
    )
