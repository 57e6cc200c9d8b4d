"""``python -m scheduler.monitor --config FILE --leash``: started by the service, which says on standard input what it runs on."""

from __future__ import annotations

import argparse
from pathlib import Path

from scheduler import config, leash, log
from scheduler.monitor import run


def main() -> None:
    """Runs until SIGTERM, SIGINT, or, with ``--leash``, the end of standard input."""
    parser = argparse.ArgumentParser(prog="scheduler.monitor")
    parser.add_argument("--config", type=Path, required=True, help="the settings")
    parser.add_argument(
        "--leash", action="store_true", help="read the settings from standard input, and end when it ends"
    )
    arguments = parser.parse_args()
    file = arguments.config
    settings = config.load_dumped(leash.greeted(), path=file) if arguments.leash else config.read(file)
    log.start(form=settings.log.format)
    run.run(settings, leashed=arguments.leash)


if __name__ == "__main__":
    main()
