"""What a person decides about a record by command."""

from __future__ import annotations

import re
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


def choices(standing: Standing) -> tuple[Lift | None, ...]:
    """What a person may confirm about a record in attention, likeliest first; ``None`` is: until a person lifts it."""
    if standing.lift_at is not None:
        return (embargo.lift_in(standing.zone, standing.lift_at),)
    if standing.settled_by is not None:
        return (*standing.candidates, None) if standing.kind is Kind.AMBIGUOUS else (None,)
    return (*standing.candidates, *((None,) if standing.kind is Kind.EVENT else ()))


def confirm(
    store: Store,
    record_id: str,
    words: str | None,
    *,
    zone: str,
    reason: str | None,
    now: datetime,
    actor: str,
    revision: int | None = None,
) -> Lift | None:
    """Settles when a record in attention lifts: at the time in `words`, or at one that was proposed.

    `words` may be the number of one of the `choices`, from 1; ``None`` takes the only one. `revision` is the one that the
    person has seen, where it may have been superseded since. Gives the lift, ``None`` if a person is to lift it by hand. A lift
    that has passed is released at the next wake.
    """
    standing = records.get(store, record_id)
    if words is None or re.fullmatch(r"[0-9]{1,3}", words):
        lift = _chosen(standing, words)
        kind, said = Kind.EVENT if lift is None else Kind.FIXED, standing.words
    else:
        reading = when(words, standing=standing, zone=zone)
        lift, kind, said = reading.lift, reading.kind, words
    moves.settle(
        store,
        record_id=record_id,
        revision=revision or standing.revision,
        lift=lift,
        kind=kind,
        words=said,
        from_states=(State.ATTENTION,),
        event="confirmed",
        reason=reason,
        now=now,
        actor=actor,
    )
    return lift


def _chosen(standing: Standing, number: str | None) -> Lift | None:
    proposed = choices(standing)
    if standing.state is not State.ATTENTION or standing.unfit is not None:
        return next(iter(proposed), None)  # the store refuses it, and says why
    if not proposed:
        raise MoveRefused(
            standing.id,
            f"nothing proposes a time for it. Say when: `embargo confirm {standing.id} '2026-12-01 09:00 America/New_York'`.",
        )
    if number is None and len(proposed) > 1:
        raise MoveRefused(
            standing.id, f"more than one time is proposed. Take one by its number: `embargo confirm {standing.id} 1`."
        )
    if not 0 < int(number or 1) <= len(proposed):
        raise MoveRefused(standing.id, f"there is no proposal {number}. `embargo show {standing.id}` lists them.")
    return proposed[int(number or 1) - 1]


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
