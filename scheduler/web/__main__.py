"""``python -m scheduler.web FOLDER HOST PORT``: the web server as the daemon starts it.

It stops on SIGTERM, and when its standard input ends: the daemon holds the other end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.errors import EmbargoError
from scheduler.web import serve


def main() -> None:
    """Serve; exit status 1 and one sentence if the address can't be used."""
    folder, host, port = sys.argv[1:]
    try:
        serve(folder=Path(folder), host=host, port=int(port), leash=sys.stdin.fileno())
    except EmbargoError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
