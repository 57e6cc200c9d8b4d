"""``python -m scheduler.web FOLDER HOST PORT [URL [HUB…]]``: the web server as the daemon starts it.

URL is the newsroom's address and ends in a slash; with it the feeds name themselves and their hubs in ``Link`` fields. It stops
on SIGTERM, and when its standard input ends: the daemon holds the other end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.errors import EmbargoError
from scheduler.web import serve


def main() -> None:
    """Serve; exit status 1 and one sentence if the address can't be used."""
    folder, host, port, *addresses = sys.argv[1:]
    url, hubs = (addresses[0], addresses[1:]) if addresses else (None, [])
    try:
        serve(folder=Path(folder), host=host, port=int(port), url=url, hubs=hubs, leash=sys.stdin.fileno())
    except EmbargoError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
