"""What the doctor finds of a database that is on a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from scheduler.cli.doctor.finding import Finding, judged
from scheduler.store import Store, server

_APART = timedelta(seconds=1)
"""From here on one of the two clocks wants looking at."""

_WAITED_FOR = {"sync", "quorum"}


def examine(store: Store) -> Iterator[Finding]:
    """The server itself, its standbys, and its clock beside ours."""
    with store.read() as db:
        facts = server.facts(db)
    place = server.place(store.engine.url)
    yield Finding(what=f"server: PostgreSQL {facts.version}, {place}", why="The database is there.")
    yield _standbys(facts)
    seconds = facts.ahead.total_seconds()
    yield judged(
        f"server's clock: {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this host's",
        good=abs(facts.ahead) < _APART,
        why="A lift waits until both of them have come to it, so it is as late as they are apart.",
        remedy="Have both machines' clocks kept right: `timedatectl set-ntp true`, or chrony.",
    )


def _standbys(facts: server.Facts) -> Finding:
    """A note where none is waited for: that is the office's choice, but it has to know."""
    if not facts.standbys:
        return Finding(
            what="standby: none is connected",
            why="If the server's disk dies, what was decided since the last pg_dump is lost, and may be lifted and mailed again.",
            remedy="Add a streaming standby and name it in the server's synchronous_standby_names.",
        )
    count = f"{len(facts.standbys)} connected"
    if not any(facts.standbys):
        return Finding(
            what=f"standby: {count}; whether any is synchronous is not shown to this user",
            why="What was committed and has not arrived at the standby is lost when that is promoted.",
            remedy="Let it see: `GRANT pg_monitor TO` this user.",
        )
    if not _WAITED_FOR.intersection(facts.standbys):
        return Finding(
            what=f"standby: {count}, none of them synchronous",
            why="What was committed and has not arrived there is lost when it is promoted: a record released in that moment "
            "is held again and lifts again, and its mails may go twice.",
            remedy="Name one in the server's synchronous_standby_names.",
        )
    return Finding(what=f"standby: {count}, one of them synchronous", why="What is committed outlives the server.")
