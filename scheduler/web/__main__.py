"""``python -m scheduler.web [--json-log] [--forms] FOLDER HOST PORT [URL [HUB…]]``: the web server as the daemon starts it.

URL is the newsroom's address and ends in a slash; with it the feeds name themselves and their hubs in ``Link`` fields. With
``--forms`` it first reads, from standard input, what the forms need to know: eight bytes of length, then JSON. It may hold a
password, and arguments can be seen by everybody. The server stops on SIGTERM, and when its standard input ends: the daemon
holds the other end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.errors import EmbargoError
from scheduler.leash import greeted
from scheduler.log import Form
from scheduler.web import serve


def main() -> None:
    """Serve; exit status 1 and one sentence if the address can't be used."""
    leash = sys.stdin.fileno()
    arguments = sys.argv[1:]
    flags = [word for word in arguments[:2] if word in {"--json-log", "--forms"}]
    form: Form = "json" if "--json-log" in flags else "text"
    has_forms, arguments = "--forms" in flags, arguments[len(flags) :]
    folder, host, port, *addresses = arguments
    url, hubs = (addresses[0], addresses[1:]) if addresses else (None, [])
    try:
        forms = greeted() if has_forms else None
        serve(
            folder=Path(folder),
            host=host,
            port=int(port),
            url=url,
            hubs=hubs,
            forms=forms,
            leash=leash,
            log_form=form,
        )
    except EmbargoError as error:
        sys.exit(str(error))
    except EOFError:
        sys.exit("The service is gone.")


if __name__ == "__main__":
    main()
