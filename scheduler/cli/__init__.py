"""The command ``embargo``: one command, one call."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from scheduler.cli import (  # noqa: F401 - each adds its commands
    backup,
    care,
    check,
    clock,
    config,
    demo,
    doctor,
    explain,
    fence,
    mail,
    queue,
    records,
    rehearse,
    retention,
    say,
    service,
    status,
    transfer,
)
from scheduler.cli.app import app
from scheduler.errors import ConfigRefused, EmbargoError

__all__ = ["main"]


def main() -> None:
    """Runs the command. Exit status: 0 done, 1 refused or found wanting, 2 usage."""
    _fit_channels()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # not left to the interpreter's end, where nobody could be told that it failed
    except EmbargoError as error:
        for problem in error.problems if isinstance(error, ConfigRefused) else [str(error)]:
            _complain(problem)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        _let_go()
        sys.exit(0)
    except OSError as error:
        _let_go()
        _complain(f"{error.filename or 'The output'}: {error.strerror or error}.")
        sys.exit(1)


def _fit_channels() -> None:
    """What a terminal has no letters for is written as an escape; a channel that was closed leads nowhere."""
    for name, mode, errors in (
        ("stdin", "r", "surrogateescape"),
        ("stdout", "w", "backslashreplace"),
        ("stderr", "w", "backslashreplace"),
    ):
        channel = getattr(sys, name)
        if channel is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process
        elif isinstance(channel, TextIOWrapper):
            channel.reconfigure(errors=errors)


def _let_go() -> None:
    """What is still to be written to standard output is dropped, or the interpreter would try once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _complain(problem: str) -> None:
    say.aside(f"[bold red]embargo:[/] {say.plain(problem)}")
