"""What a person decides about a record by command."""

from __future__ import annotations

from datetime import datetime

from scheduler import embargo
from scheduler.embargo import Kind, Lift, Reading
from scheduler.errors import EmbargoRefused, MoveRefused
from scheduler.record import Standing, State
from scheduler.store import Store, moves, records


def when(words: str, *, standing: Standing, zone: str) -> Reading:
    """What a person wrote as the time of a record; ``now`` and ``none`` are not times: `lift` does that, with a reason."""
    try:
        reading = embargo.stated(words, zone=None, default_zone=zone)
    except EmbargoRefused as error:
        raise MoveRefused(standing.id, str(error)) from error
    if reading.kind is Kind.IMMEDIATE:
        raise MoveRefused(
            standing.id, f"'{words}' is no time. To release it at once: `embargo lift {standing.id} --reason …`."
        )
    return reading


def confirm(
    store: Store, record_id: str, words: str | None, *, zone: str, reason: str | None, now: datetime, actor: str
) -> Lift | None:
    """Settles when a record in attention lifts: at the time in `words`, or at the one that was proposed.

    Gives the lift, ``None`` if a person is to lift it by hand. A lift that has passed is released at the next wake.
    """
    standing = records.get(store, record_id)
    if words is not None:
        reading = when(words, standing=standing, zone=zone)
        lift, kind = reading.lift, reading.kind
    elif standing.lift_at is not None:
        lift, kind = embargo.lift_in(standing.zone, standing.lift_at), Kind.FIXED
    elif standing.candidates:
        lift, kind = standing.candidates[0], Kind.FIXED
    elif standing.state is State.ATTENTION and standing.unfit is None:
        raise MoveRefused(
            record_id,
            f"nothing proposes a time for it. Say when: `embargo confirm {record_id} '2026-12-01 09:00 America/New_York'`.",
        )
    else:
        lift, kind = None, standing.kind
    moves.settle(
        store,
        record_id=record_id,
        revision=standing.revision,
        lift=lift,
        kind=kind,
        words=words or standing.words,
        from_states=(State.ATTENTION,),
        event="confirmed",
        reason=reason,
        now=now,
        actor=actor,
    )
    return lift


def amend(
    store: Store, record_id: str, words: str, *, zone: str, reason: str | None, now: datetime, actor: str
) -> Lift | None:
    """Gives a record that is held or in attention another lift; it stands until the embargo in its file is edited."""
    standing = records.get(store, record_id)
    reading = when(words, standing=standing, zone=zone)
    moves.settle(
        store,
        record_id=record_id,
        revision=standing.revision,
        lift=reading.lift,
        kind=reading.kind,
        words=words,
        from_states=(State.HELD, State.ATTENTION),
        event="rescheduled",
        reason=reason,
        now=now,
        actor=actor,
    )
    return reading.lift
