"""Log lines: an instant, a level, an event name and its fields. Ids are random ones; no held word ever comes here."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from scheduler.permissions import Loose

Form = Literal["text", "json"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Said(dict[str, Any]):
    """What is said, as it goes through the standard library's logging: there it is the line of text."""

    def __str__(self) -> str:
        words = [str(self["event"])]
        for key, value in self.items():
            if key not in {"event", "exception"}:
                text = str(value)
                words.append(f'{key}="{text}"' if " " in text or not text else f"{key}={text}")
        return _CONTROL.sub(" ", " ".join(words))


def _said(_logger: Any, _method: str, fields: EventDict) -> EventDict:
    return _Said(fields)


def _stamped(_logger: Any, _method: str, fields: EventDict) -> EventDict:
    record: logging.LogRecord = fields["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    head = {"at": at, "level": record.levelname.lower(), "event": fields["event"]}
    return {**head, **fields, **head}


def _line(_logger: Any, _method: str, fields: EventDict) -> str:
    line = f"{fields.pop('at')} {fields.pop('level')} {_Said(fields)}"
    return f"{line}\n{fields['exception']}" if "exception" in fields else line


_LOGGER: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger("embargo"),
    processors=[structlog.processors.format_exc_info, _said, ProcessorFormatter.wrap_for_formatter],
    wrapper_class=structlog.stdlib.BoundLogger,
)


def start(*, verbose: bool = False, form: Form = "text") -> None:
    """Sends log lines to standard error, as text or as a JSON object each, those of libraries too.

    APScheduler's own warnings ("maximum number of instances") are normal here, and procrastinate tells of every job.
    """
    render = structlog.processors.JSONRenderer(default=str) if form == "json" else _line
    steps = [_stamped, structlog.processors.format_exc_info, ProcessorFormatter.remove_processors_meta, render]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ProcessorFormatter(processors=cast("list[Processor]", steps)))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("apscheduler", "watchfiles", "asyncio", "markdown_it", "procrastinate", "tzlocal"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def say(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """One line: ``event key=value …``; values with blanks are quoted."""
    _LOGGER.log(level, event, **fields)


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
    _LOGGER.error(event, **fields, exc_info=sys.exc_info())
