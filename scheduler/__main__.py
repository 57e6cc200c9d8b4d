"""``python -m scheduler`` is the command ``embargo``."""

from scheduler.cli import main

main()
