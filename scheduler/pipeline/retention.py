"""Erases what the office keeps no longer. The service does it once a day, a person by command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.store import Store, retention, trail

Kept = Mapping[str, timedelta | None]
"""How long each kind (`text`, `ledger`, `asks`) is kept; ``None``: for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """So many rows of a kind (`text`, `ledger`, `asks`) whose time had come `before` an instant."""

    kind: str
    before: datetime
    count: int


def examine(store: Store, kept: Kept, *, now: datetime) -> list[Expired]:
    """What `apply` would erase."""
    return [
        Expired(kind=kind, before=before, count=retention.count(store, kind, before=before))
        for kind, before in _cuts(kept, now).items()
    ]


def apply(
    store: Store,
    kept: Kept,
    *,
    now: datetime,
    actor: str,
    reason: str | None = None,
    pause: Callable[[], None] = lambda: None,
) -> list[Expired]:
    """Erases what is older. Where there is something the trail says so before, and how much it was after; `pause` is called
    between two steps.
    """
    found, cuts = examine(store, kept, now=now), _cuts(kept, now)
    if not any(each.count for each in found):
        return found
    about: dict[str, str | int | None] = {f"{kind}_before": before.isoformat() for kind, before in cuts.items()}
    _tell(store, "retention_begun", about | {"reason": reason}, now=now, actor=actor)
    done = []
    for kind, before in cuts.items():
        count = 0
        for step in retention.erase(store, kind, before=before):
            count += step
            pause()
        done.append(Expired(kind=kind, before=before, count=count))
    _tell(store, "retention_applied", about | {each.kind: each.count for each in done}, now=now, actor=actor)
    store.checkpoint()
    return done


def _tell(store: Store, event: str, detail: dict[str, str | int | None], *, now: datetime, actor: str) -> None:
    with store.write() as db:
        trail.append(db, at=now, actor=actor, entries=[trail.Entry(event=event, detail=detail)])


def _cuts(kept: Kept, now: datetime) -> dict[str, datetime]:
    return {kind: now - kept_for for kind, kept_for in kept.items() if kept_for is not None}
