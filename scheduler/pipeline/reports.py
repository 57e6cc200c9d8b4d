"""Takes in what mail systems, providers and readers send back: from a pipe or a Maildir, each message once.

The effect comes first and is written down after it: leaving a list and being put off are the same when done twice, so that a kill
in between costs nothing and counts once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from scheduler.errors import StoreRefused
from scheduler.intake import reports as intake
from scheduler.intake.reports import Reading, Said
from scheduler.record import Membership
from scheduler.record.reach import FAILURES, Report, is_unreachable
from scheduler.store import Store, subscribers
from scheduler.store import reports as kept

AT_ONCE = 500
"""So many messages of a Maildir are looked at in one go; whoever looks has other work too."""

_PASSED_ON = frozenset("PS")
"""Flags of what was taken: seen, and passed on to the ledger. A person's mail program sets the first one alone."""

_MILDEST = list(Report)
_ABOUT_READERS = frozenset(Report) - {Report.AUTOMATIC, Report.FOREIGN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a message.

    ``list`` and ``address`` say whose place it is about; ``None`` where nothing in it proves that, and nothing is changed then.
    ``put_off`` says that nothing more is sent there; ``repeated`` that it had been taken before.
    """

    kind: Report
    status: str | None = None
    list: str | None = None
    address: str | None = field(default=None, repr=False)
    put_off: bool = False
    repeated: bool = False


def take(store: Store, message: bytes, *, now: datetime) -> Taken:
    """Takes one message in, whatever it is.

    Raises :class:`~scheduler.errors.StoreRefused` where it can't be kept: whoever brings it must bring it again.
    """
    reading = intake.read(message)
    if reading.said[0].kind not in _ABOUT_READERS:
        return Taken(kind=reading.said[0].kind)
    digest = hashlib.sha256(message).hexdigest()
    whose = kept.whose(store, tokens=reading.tokens, message_ids=reading.message_ids, now=now)
    said = _about(reading, None if whose is None else whose.address)
    detail = said.detail or None
    if whose is None:
        if reading.tokens and said.kind in FAILURES:
            problem = " ".join(filter(None, ("bounced:", said.status, detail)))
            kept.invitation_failed(store, tokens=reading.tokens, problem=problem)
        new = kept.keep(store, digest=digest, kind=said.kind, whose=None, status=said.status, detail=detail, now=now)
        return Taken(kind=said.kind, status=said.status, repeated=not new)
    put_off = False
    if not kept.is_known(store, digest=digest):
        put_off = _act(store, said, whose, now=now)
    new = kept.keep(store, digest=digest, kind=said.kind, whose=whose, status=said.status, detail=detail, now=now)
    return Taken(
        kind=said.kind,
        status=said.status,
        list=whose.list,
        address=whose.address,
        put_off=put_off and new,
        repeated=not new,
    )


def _about(reading: Reading, address: str | None) -> Said:
    """What is said of this address; where it is not named (an alias led on to others), the mildest."""
    named = [said for said in reading.said if address in said.addresses]
    return min(named or reading.said, key=lambda said: _MILDEST.index(said.kind))


def _act(store: Store, said: Said, whose: kept.Whose, *, now: datetime) -> bool:
    if said.kind is Report.UNSUBSCRIBED:
        subscribers.leave(store, token=whose.token, how="mail", now=now)
        return False
    reason = " ".join(filter(None, (said.kind.value, said.status, said.detail)))
    state = Membership.COMPLAINED if said.kind is Report.COMPLAINT else Membership.BOUNCED
    if said.kind is Report.SOFT:
        soft_at, reached_at = kept.history(store, address=whose.address, now=now)
        if not is_unreachable([*soft_at, now], reached_at=reached_at, now=now):
            return False
    elif said.kind not in {Report.HARD, Report.COMPLAINT}:
        return False
    subscribers.put_off(store, subscriber_id=whose.subscriber_id, state=state, reason=reason, now=now)
    return True


def refused(
    store: Store, *, token: str, delivery_id: int, epoch: int, status: str | None, problem: str, now: datetime
) -> bool:
    """Applies the same rule to a mail that a server refused for good when it was sent; `problem` has its words.

    Gives whether nothing more is sent there. Told twice of the same try (`epoch`), it counts once.
    """
    digest = hashlib.sha256(f"refused\n{delivery_id}\n{epoch}".encode()).hexdigest()
    whose = kept.whose(store, tokens=[token], message_ids=[], now=now)
    if whose is None or kept.is_known(store, digest=digest):
        return False
    said = intake.refusal(problem, status=status)
    put_off = _act(store, said, whose, now=now)
    mail = replace(whose, delivery_id=delivery_id)
    kept.keep(store, digest=digest, kind=said.kind, whose=mail, status=said.status, detail=said.detail or None, now=now)
    return put_off


def collect(store: Store, maildir: Path, *, now: datetime, seen: set[str] | None = None) -> int:
    """Takes in what lies in a Maildir, at most :data:`AT_ONCE` messages. Gives how many were about places of ours.

    Those move to ``cur/``, marked as seen and passed on, after they are kept; nothing is deleted. All else stays where it is,
    untouched; `seen` remembers it from look to look, so that it is read once. A mail server may write there meanwhile.
    Raises :class:`~scheduler.errors.StoreRefused` where one can't be kept: it and those behind it stay.
    """
    seen = set() if seen is None else seen
    waiting = list(_waiting(maildir))
    seen &= {path.name for path in waiting}
    count = 0
    for path in [path for path in waiting if path.name not in seen][:AT_ONCE]:
        try:
            with path.open("rb") as file:
                message = file.read(intake.LIMIT + 1)
        except FileNotFoundError:  # somebody moved it meanwhile
            continue
        except OSError:  # not for us to read
            seen.add(path.name)
            continue
        try:
            taken = take(store, message, now=now)
        except StoreRefused:
            raise
        except Exception:
            seen.add(path.name)  # a bug met by one message must not keep out those behind it
            raise
        if taken.list is not None:
            count += 1
            if _mark(maildir, path):
                continue
        seen.add(path.name)
    return count


def _waiting(maildir: Path) -> Iterator[Path]:
    """The messages that are not taken, as far as names tell the oldest first."""
    for folder in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError), os.scandir(maildir / folder) as entries:
            names = [each.name for each in entries if each.is_file(follow_symlinks=False) and each.name[0] != "."]
            yield from (maildir / folder / name for name in sorted(names) if not _PASSED_ON.issubset(_flags(name)))


def _flags(name: str) -> str:
    return name.partition(":2,")[2]


def _mark(maildir: Path, path: Path) -> bool:
    """Moves a message that is kept to where taken ones are. Where that can't be it stays, known by its digest."""
    flags = "".join(sorted(_PASSED_ON.union(_flags(path.name))))
    target = maildir / "cur" / f"{path.name.partition(':2,')[0]}:2,{flags}"
    with contextlib.suppress(OSError):  # a mail program was quicker, or the folder is not ours to write
        target.parent.mkdir(mode=0o700, exist_ok=True)
        if not target.exists():
            path.rename(target)
            return True
    return False
