"""What the tests under fire share: an office on a real folder, the restart after a crash, and what must hold at every moment."""

from __future__ import annotations

import asyncio
import email
import functools
import itertools
import json
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from conftest import SETTINGS, SQLITE, Clock, Office, files_below

from scheduler import config
from scheduler.outlets.mail import Transport
from scheduler.outlets.site import Site
from scheduler.parts import Parts, build
from scheduler.pipeline.deliver import LEASE_FOR, Postroom
from scheduler.pipeline.release import Projection
from scheduler.record import DeliveryState, State
from scheduler.store import open_store, records, trail

SHOWN = (State.RELEASED, State.RETRACTED)
_WORKERS = itertools.count()


class Wire:
    """A mail server at the outer edge: each mail that it takes is a file of its own, so that a repeat shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    async def send(self, *, message: bytes, sender: str, recipient: str) -> str:
        assert sender
        assert recipient
        target = self.folder / f"{uuid4()}.eml"
        Site(self.folder).put(target.name, message, new=True)
        return "250 taken"

    async def close(self) -> None:
        """Nothing is kept open."""

    def copies(self) -> dict[str, list[bytes]]:
        """What was taken, by Message-ID."""
        found: dict[str, list[bytes]] = {}
        for path in self.folder.glob("*.eml"):
            data = path.read_bytes()
            found.setdefault(email.message_from_bytes(data)["Message-ID"], []).append(data)
        return found


@functools.cache
def parts() -> Parts:
    """The pipeline's parts, built once a process: every newsroom here has the same settings."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(SETTINGS.format(port=8080, database=SQLITE), "utf-8")
        return build(config.read(file))


def opened(folder: Path, clock: Clock) -> Office:
    """The pipeline of the newsroom in `folder`, as a process that starts opens it."""
    return Office(folder, parts(), open_store(f"sqlite:///{folder}/var/embargo.db"), clock)


def projection(office: Office, folder: str = "public") -> Projection:
    return Projection(store=office.store, site=Site(office.folder / folder), renderer=office.parts.renderer, items=50)


def postroom(office: Office, transport: Transport) -> Postroom:
    return office.parts.postroom(office.store, f"worker{next(_WORKERS)}", office.clock, transport)


def send(office: Office, transport: Transport) -> None:
    """A worker of its own, until nothing is due."""

    async def work() -> None:
        room = postroom(office, transport)
        await room.drain()
        await room.close()

    asyncio.run(work())


def restart(office: Office) -> None:
    """What a service and its worker do when they start after a crash: files, the lift, the site, the mail; leases have ended."""
    for path in sorted((office.folder / "records").glob("*.md")):
        office.take(path)
    office.lift()
    projection(office).rebuild(now=office.clock())
    office.clock.pass_by(seconds=LEASE_FOR.total_seconds() + 1)
    send(office, Wire(office.folder / "wire"))


def nothing_early(office: Office, canaries: dict[str, str]) -> None:
    """No public file, and no mail, holds the canary of a record that the table does not call released."""
    out = b"".join([*files_below(office.folder / "public").values(), *files_below(office.folder / "wire").values()])
    for record_id, canary in canaries.items():
        standing = records.find(office.store, record_id)
        if standing is None or standing.state not in SHOWN:
            assert canary.encode() not in out, f"{record_id} shows before its release"


def nothing_torn(folder: Path) -> None:
    """Each file that readers may fetch ends as its kind ends."""
    ends = {".html": b"</html>", ".xml": b">", ".json": b"}", ".css": b"}"}
    for name, data in files_below(folder).items():
        if not Path(name).name.startswith(".embargo-"):
            assert data.rstrip().endswith(ends.get(Path(name).suffix, b"")), name


def sound(office: Office) -> None:
    """The invariants of the design, read from table, trail and site folder."""
    assert office.store.damage() is None
    with office.store.read() as db:
        count, broken = trail.verify(db)
        rows = list(trail.rows(db))
    assert not broken
    assert count == len(rows)
    released = Counter(row.record_id for row in rows if row.event == "released")
    for standing in records.listed(office.store):
        shown = standing.state in SHOWN
        assert released.pop(standing.id, 0) == (1 if shown else 0), standing.id
        if shown:
            assert standing.released_at is not None
            assert standing.lift_at is not None
            assert standing.released_at >= standing.lift_at
            [moved] = [row for row in rows if row.record_id == standing.id and row.event == "released"]
            # What lifts together is released a microsecond apart.
            assert timedelta() <= standing.released_at - moved.at < timedelta(microseconds=len(rows))
            assert json.loads(moved.detail)["lift_at"] == standing.lift_at.isoformat()
        made = [
            row for row in rows if row.record_id == standing.id and row.event in {"accepted", "amended", "corrected"}
        ]
        assert len(made) == standing.revision
    assert not released


def site_is_whole(office: Office) -> None:
    """The site folder is what a fresh rebuild from the table gives, byte for byte, and holds nothing else."""
    projection(office, "fresh").rebuild(now=office.clock())
    assert files_below(office.folder / "public") == files_below(office.folder / "fresh")


def each_mail_once(office: Office, wire: Wire) -> Counter[str]:
    """Each mail left once, or not more than once where the ledger says `uncertain`. Gives how many stand in each state."""
    rows = office.raw("SELECT state, message_id FROM deliveries")
    copies = {name: len(taken) for name, taken in wire.copies().items()}
    for state, name in rows:
        count = copies.pop(name, 0)
        assert count == 1 if state == DeliveryState.SENT else count <= 1, f"{state}: {count} copies"
        assert count == 0 or state in {DeliveryState.SENT, DeliveryState.UNCERTAIN}
    assert not copies
    return Counter(state for state, _ in rows)


def later(clock: Clock, **time_: float) -> str:
    """An instant after the clock's, as a record file states it."""
    return (clock() + timedelta(**time_)).isoformat().replace("+00:00", "Z")
