"""The command ``embargo``: one command, one call."""

from __future__ import annotations

import sys

from rich.console import Console

from scheduler.cli import care, check, clock, demo, explain, fence, records, rehearse, service  # noqa: F401 - each adds its commands
from scheduler.cli.app import app
from scheduler.errors import ConfigRefused, EmbargoError

__all__ = ["main"]


def main() -> None:
    """Runs the command. Exit status: 0 done, 1 refused or found wanting, 2 usage."""
    try:
        app()
    except EmbargoError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for problem in error.problems if isinstance(error, ConfigRefused) else [str(error)]:
            console.print(f"[bold red]embargo:[/] {_plain(problem)}")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
