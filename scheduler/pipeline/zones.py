"""Computes lifts again: when the rules of time zones have changed, where what moved is for a person to settle, and when the zone
of a source was edited, which is a decision already.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler import embargo
from scheduler.embargo import Lift
from scheduler.embargo.zones import around, instants, offset, zone
from scheduler.errors import EmbargoRefused
from scheduler.pipeline.accept import Policy, Rehearsal, complete, judge
from scheduler.record import Brief, PastOnArrival, Standing, State
from scheduler.record import instants as may_mean
from scheduler.store import Store, moves, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """`before` and `version` are of the tz database; ``moved`` are the uuids of the records that went to attention."""

    before: str | None
    version: str
    moved: tuple[str, ...]
    unmoved: int


def recompute(store: Store, *, now: datetime, actor: str) -> Recomputed | None:
    """Computes all that waits again from its local time and zone, if the store's tz database was another one.

    To be called at each start, before anything lifts. Killed in between, it goes on at the next start.
    """
    version = embargo.tz_version()
    before = moves.rules_noted(store)
    if before == version:
        return None
    computed = moves.computed_otherwise(store, version)
    moved: list[str] = []
    unmoved: list[tuple[str, int]] = []
    for standing in records.listed(store, states=[State.HELD, State.ATTENTION]):
        key = (standing.id, standing.revision)
        if key not in computed:
            continue
        if (found := _moved(standing, computed[key], version)) is None:
            unmoved.append(key)
            continue
        reason, candidates = found
        # Where a command was quicker, it computed the lift by the rules of now.
        if moves.ask_again(
            store, standing, reason=reason, candidates=candidates, version=version, now=now, actor=actor
        ):
            moved.append(standing.uuid)
    moves.note_rules(store, version, unmoved)
    return Recomputed(before=before, version=version, moved=tuple(moved), unmoved=len(unmoved))


def _moved(standing: Standing, computed: moves.Computed, version: str) -> tuple[str, tuple[Lift, ...]] | None:
    """Why it is for a person to settle, and what may be meant; ``None`` where its time means what it meant."""
    if standing.lift_at is None:
        meant = standing.candidates
    elif computed.local is None:
        meant = ()
    else:
        meant = (Lift(at=standing.lift_at, local=computed.local, zone=standing.zone),)
    sentences, known = [], {lift.at: lift for lift in standing.candidates if standing.lift_at is None}
    for lift in meant:
        if (found := _again(lift, standing)) is not None:
            says, new = found
            sentences.append(
                f"The rules of {lift.zone} have changed: {lift.local:%Y-%m-%d %H:%M:%S} there was {_utc(lift.at)} "
                f"by tz database {computed.tz_version}; by {version} {says}."
            )
            known |= {each.at: each for each in (_shown(lift), *new)}
    if not sentences:
        return None
    words = [standing.reason, *sentences, "Confirm the one that is meant, or correct the file."]
    return " ".join(word for word in words if word), tuple(known.values())


def _again(lift: Lift, standing: Standing) -> tuple[str, tuple[Lift, ...]] | None:
    """What a local time means by the rules of now, in words and as instants; ``None`` if that is what it meant before."""
    if offset(lift.zone) is not None or lift.zone == "UTC":
        return None
    try:
        where = zone(lift.zone)
    except EmbargoRefused:
        return "there is no such zone", ()
    found = instants(lift.local, where)
    if found == (lift.at,):
        return None
    meant = found or around(lift.local, where)
    if lift.at in meant and {each.at for each in standing.candidates}.issuperset(meant):
        return None  # skipped or doubled before, too: it was chosen, or is to be, from all that it may mean
    says = {0: "clocks there skip it, and it is", 1: "it is", 2: "clocks there show it twice, and it is"}[len(found)]
    return f"{says} {' or '.join(map(_utc, meant))}", tuple(
        Lift(at=at, local=lift.local, zone=lift.zone) for at in meant
    )


def _shown(lift: Lift) -> Lift:
    """The old instant, with what clocks there show at it by the rules of now."""
    try:
        return embargo.lift_in(lift.zone, lift.at)
    except EmbargoRefused:
        return embargo.lift_in("UTC", lift.at)


def _utc(at: datetime) -> str:
    return f"{at.replace(tzinfo=None).isoformat(' ', 'auto' if at.second or at.microsecond else 'minutes')} UTC"


def follow_edit(
    store: Store, brief: Brief, *, policy: Policy, rehearse: Rehearsal, now: datetime, actor: str
) -> tuple[Standing, Standing] | None:
    """Computes the lift of a record that waits anew, since its source's zone was edited. If it moved: how it stood, and stands.

    What a person decided by command stands. What would have lifted by the new zone already is for a person to release.
    Raises :class:`moves.Raced` where somebody else moves the record this moment.
    """
    standing = records.find(store, brief.id)
    if (
        standing is None
        or standing.state not in {State.HELD, State.ATTENTION}
        or standing.settled_by is not None
        or standing.accepted_digest != brief.whole_digest
        or standing.zone == policy.zone
        or offset(standing.zone) is not None
    ):
        return None
    was, meant = (_meant(brief, zone=key, now=now) for key in (standing.zone, policy.zone))
    if was == meant or (standing.lift_at is not None and standing.lift_at not in was):
        return None  # it is not the source's zone that it comes from
    careful = replace(policy, past_on_arrival=PastOnArrival.HOLD)
    draft = judge(complete(store, standing, brief), policy=careful, rehearse=rehearse, now=now).draft
    moves.amend(store, draft, standing=standing, keep_lift=False, now=now, actor=actor)
    return standing, records.get(store, standing.id)


def _meant(brief: Brief, *, zone: str, now: datetime) -> set[datetime]:
    """All instants that a brief's words may mean where this is the zone of local times."""
    words = f"{brief.body}\n\n{brief.title}"
    found = {
        each.at
        for each in may_mean(embargo.read(words, default_zone=zone, issued=brief.issued, seen=brief.seen, now=now))
    }
    if brief.embargo is not None:
        with suppress(EmbargoRefused):
            stated = embargo.stated(brief.embargo.words, zone=brief.embargo.zone, default_zone=zone)
            found = {each.at for each in may_mean(stated)}
    return found
