"""Erases what the office keeps no longer. The service does it once a day, a person by command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.store import Store, retention, trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """So many rows of a kind (`text`, `ledger`, `asks`) whose time had come `before` an instant."""

    kind: str
    before: datetime
    count: int


def _cuts(
    now: datetime, text: timedelta | None, ledger: timedelta | None, asks: timedelta | None
) -> dict[str, datetime]:
    kept = {"text": text, "ledger": ledger, "asks": asks}
    return {kind: now - kept_for for kind, kept_for in kept.items() if kept_for is not None}


def examine(
    store: Store, *, text: timedelta | None, ledger: timedelta | None, asks: timedelta | None, now: datetime
) -> list[Expired]:
    """What `apply` would erase; `None`: that is kept for ever."""
    cuts = _cuts(now, text, ledger, asks)
    return [
        Expired(kind=kind, before=before, count=retention.count(store, kind, before=before))
        for kind, before in cuts.items()
    ]


def apply(
    store: Store,
    *,
    text: timedelta | None,
    ledger: timedelta | None,
    asks: timedelta | None,
    now: datetime,
    actor: str,
) -> list[Expired]:
    """Erases what is older. Where there was something the trail says how much, and how old."""
    done = [
        Expired(kind=kind, before=before, count=sum(retention.erase(store, kind, before=before)))
        for kind, before in _cuts(now, text, ledger, asks).items()
    ]
    if any(each.count for each in done):
        detail: dict[str, str | int | None] = {each.kind: each.count for each in done}
        detail |= {f"{each.kind}_before": each.before.isoformat() for each in done}
        with store.write() as db:
            trail.append(db, at=now, actor=actor, entries=[trail.Entry(event="retention_applied", detail=detail)])
        store.checkpoint()
    return done
