"""The questions asked about records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.engine import RowMapping

from scheduler.embargo import Kind, Lift
from scheduler.errors import NotFound
from scheduler.record import Attachment, Purpose, Question, Release, Standing, State, Version
from scheduler.store.engine import Store
from scheduler.store.schema import records, refusals, revisions


def lift_json(lift: Lift) -> dict[str, str]:
    return {"at": lift.at.isoformat(), "local": lift.local.isoformat(), "zone": lift.zone}


def _lift(value: dict[str, str]) -> Lift:
    return Lift(
        at=datetime.fromisoformat(value["at"]), local=datetime.fromisoformat(value["local"]), zone=value["zone"]
    )


CURRENT = and_(revisions.c.record_id == records.c.id, revisions.c.number == records.c.revision)


def _standings() -> Select[Any]:
    return select(
        records,
        revisions.c.digest.label("accepted_digest"),
        revisions.c.embargo_kind,
        revisions.c.embargo_words,
        revisions.c.lift_zone,
        revisions.c.candidates,
        revisions.c.unfit,
        revisions.c.title,
    ).join(revisions, CURRENT)


def _standing(row: RowMapping) -> Standing:
    return Standing(
        id=row["id"],
        uuid=row["uuid"],
        origin=row["origin"],
        digest=row["digest"],
        accepted_digest=row["accepted_digest"],
        state=State(row["state"]),
        revision=row["revision"],
        lift_at=row["lift_at"],
        settled_by=row["settled_by"],
        reason=row["reason"],
        lists=None if row["lists"] is None else tuple(json.loads(row["lists"])),
        accepted_at=row["accepted_at"],
        released_at=row["released_at"],
        changed_at=row["changed_at"],
        vanished=bool(row["vanished"]),
        kind=Kind(row["embargo_kind"]),
        words=row["embargo_words"],
        zone=row["lift_zone"],
        candidates=tuple(_lift(value) for value in json.loads(row["candidates"])),
        unfit=row["unfit"],
        title=row["title"],
    )


def find(store: Store, record_id: str) -> Standing | None:
    """The record with this id."""
    with store.read() as db:
        row = db.execute(_standings().where(records.c.id == record_id)).mappings().one_or_none()
    return None if row is None else _standing(row)


def get(store: Store, record_id: str) -> Standing:
    """The record with this id; raises :class:`NotFound`."""
    standing = find(store, record_id)
    if standing is None:
        raise NotFound(record_id)
    return standing


def of_digest(store: Store, digest: str) -> list[Standing]:
    """The records whose file had these bytes when it was last read."""
    with store.read() as db:
        return [_standing(row) for row in db.execute(_standings().where(records.c.digest == digest)).mappings()]


def listed(store: Store, *, states: Iterable[State] | None = None) -> list[Standing]:
    """Records in these states (all, if not given): attention first, then by lift, soonest first; open-ended ones last."""
    query = _standings().order_by(
        records.c.state != State.ATTENTION, records.c.lift_at.is_(None), records.c.lift_at, records.c.id
    )
    if states is not None:
        query = query.where(records.c.state.in_(list(states)))
    with store.read() as db:
        return [_standing(row) for row in db.execute(query).mappings()]


def next_lift(store: Store) -> datetime | None:
    """The earliest lift of a held record. A walk down the partial index, whatever the number of records."""
    query = select(records.c.lift_at).where(records.c.state == State.HELD, records.c.lift_at.is_not(None))
    with store.read() as db:
        return db.execute(query.order_by(records.c.lift_at).limit(1)).scalar()


def counts(store: Store) -> dict[State, int]:
    """How many records stand in each state."""
    with store.read() as db:
        found = {
            State(row.state): row.n
            for row in db.execute(select(records.c.state, func.count().label("n")).group_by(records.c.state))
        }
    return {state: found.get(state, 0) for state in State}


def refused(store: Store) -> list[dict[str, Any]]:
    """The files that stand refused: origin, line, problem, remedy, refused_at."""
    with store.read() as db:
        return [dict(row) for row in db.execute(select(refusals).order_by(refusals.c.origin)).mappings()]


def _release(row: RowMapping) -> Release:
    fields = json.loads(row["fields"])
    published_at = row["lift_at"] or row["released_at"] or row["accepted_at"]
    return Release(
        id=row["id"],
        uuid=row["uuid"],
        tag=row["tag"],
        revision=row["revision"],
        title=row["title"],
        summary=row["summary"],
        html=row["html"],
        text=row["text"],
        published_at=published_at,
        updated_at=row["changed_at"] or row["released_at"] or published_at,
        zone=row["lift_zone"],
        language=fields["language"],
        topics=tuple(fields["topics"]),
        attribution=fields["attribution"],
        contact=fields["contact"],
        source=fields["source"],
        moderator=fields["moderator"],
        speakers=tuple(fields["speakers"]),
        questions=tuple(Question(**question) for question in fields["questions"]),
        correction=fields["correction"],
        retraction=row["retraction"],
        attachments=tuple(Attachment(**attachment) for attachment in fields.get("attachments", ())),
    )


_RELEASE_COLUMNS = (
    records.c.id,
    records.c.uuid,
    records.c.tag,
    revisions.c.number.label("revision"),
    records.c.lift_at,
    records.c.released_at,
    records.c.accepted_at,
    records.c.changed_at,
    records.c.retraction,
    revisions.c.title,
    revisions.c.summary,
    revisions.c.html,
    revisions.c.text,
    revisions.c.lift_zone,
    revisions.c.fields,
    revisions.c.accepted_at.label("written_at"),
)
_RELEASE = select(*_RELEASE_COLUMNS).join(revisions, CURRENT)


def releases(store: Store, record_ids: Sequence[str]) -> list[Release]:
    """Records in the shape outputs see, whatever their state: the caller knows why it may look. In no particular order."""
    found: list[Release] = []
    with store.read() as db:
        for start in range(0, len(record_ids), 500):
            query = _RELEASE.where(records.c.id.in_(record_ids[start : start + 500]))
            found.extend(_release(row) for row in db.execute(query).mappings())
    return found


def release_for(store: Store, *, record_id: str, revision: int, purpose: Purpose) -> Release | None:
    """A revision as a mail about it is to say it; ``None`` where the record has not been released.

    ``updated_at`` is the instant of what the mail reports, so that a repeat has the same bytes whatever happened since.
    """
    query = (
        select(*_RELEASE_COLUMNS)
        .join(revisions, revisions.c.record_id == records.c.id)
        .where(records.c.id == record_id, records.c.released_at.is_not(None), revisions.c.number == revision)
    )
    with store.read() as db:
        found = db.execute(query).mappings().one_or_none()
    if found is None:
        return None
    release = _release(found)
    match purpose:
        case Purpose.RELEASE:
            return replace(release, updated_at=release.published_at, retraction=None)
        case Purpose.CORRECTION:
            return replace(release, updated_at=found["written_at"], retraction=None)
        case Purpose.RETRACTION:
            return release


def coming(store: Store, *, until: datetime, limit: int) -> list[Version]:
    """Held records whose lift is not after `until`, soonest first, as they will look. No licence to show them."""
    query = (
        select(records.c.id, records.c.uuid, records.c.revision, records.c.lift_at)
        .where(records.c.state == State.HELD, records.c.lift_at <= until)
        .order_by(records.c.lift_at, records.c.id)
        .limit(limit)
    )
    with store.read() as db:
        return [Version(row.id, row.uuid, row.revision, row.lift_at, row.lift_at) for row in db.execute(query)]


_VERSION = select(
    records.c.id,
    records.c.uuid,
    records.c.revision,
    records.c.lift_at,
    records.c.released_at,
    records.c.changed_at,
    records.c.state,
)


def _versions(db: Connection, query: Select[Any]) -> Iterator[Version]:
    for record_id, uuid, revision, lift_at, released_at, changed_at, state in db.execute(query):
        changed = changed_at is not None
        yield Version(record_id, uuid, revision, lift_at, changed_at or released_at, state == State.RETRACTED, changed)


def newest_first(versions: Iterable[Version]) -> list[Version]:
    """By publication, newest first; what was published at one instant by id."""
    return sorted(sorted(versions), key=lambda version: version.published_at, reverse=True)


def bound(store: Store, *, since: datetime, at_least: int) -> datetime | None:
    """When the earliest was released of those released since `since`, and of the newest `at_least`. ``None``: nothing was."""
    oldest = select(records.c.released_at).where(records.c.released_at.is_not(None)).order_by(records.c.released_at)
    newest = oldest.order_by(None).order_by(records.c.released_at.desc())
    with store.read() as db:
        recent = db.execute(oldest.where(records.c.released_at >= since).limit(1)).scalar()
        enough = db.execute(newest.offset(at_least - 1).limit(1)).scalar() or db.execute(oldest.limit(1)).scalar()
    return min((at for at in (recent, enough) if at is not None), default=None)


def shown(store: Store, *, start: datetime, changed: datetime) -> list[Version]:
    """What was released since `start`, or corrected or retracted since `changed`, newest first."""
    with store.read() as db:
        found = set(_versions(db, _VERSION.where(records.c.released_at >= start)))
        found.update(_versions(db, _VERSION.where(records.c.changed_at >= changed, records.c.released_at.is_not(None))))
    return newest_first(found)


def versions(store: Store, record_ids: Sequence[str]) -> list[Version]:
    """The released ones of these records, newest first."""
    found: list[Version] = []
    with store.read() as db:
        for start in range(0, len(record_ids), 500):
            some = _VERSION.where(records.c.id.in_(record_ids[start : start + 500]), records.c.released_at.is_not(None))
            found.extend(_versions(db, some))
    return newest_first(found)


def chapter(store: Store, *, released_at: datetime, record_id: str, count: int) -> list[Version]:
    """So many releases from this one on, in the order in which they were released."""
    query = _VERSION.where(
        records.c.released_at >= released_at,
        or_(records.c.released_at > released_at, records.c.id >= record_id),
    )
    with store.read() as db:
        return list(_versions(db, query.order_by(records.c.released_at, records.c.id).limit(count)))


def placed(store: Store, record_ids: Sequence[str] | None = None) -> Iterator[tuple[datetime, str, tuple[str, ...]]]:
    """When each released record was (of these, or of all), its id and its topics, in that order."""
    query = select(records.c.released_at, records.c.id, revisions.c.fields).join(revisions, CURRENT)
    query = query.where(records.c.released_at.is_not(None))
    with store.read() as db:
        if record_ids is None:
            ordered = query.order_by(records.c.released_at, records.c.id).execution_options(yield_per=1000)
            found: Iterable[Any] = db.execute(ordered)
        else:
            some = [record_ids[start : start + 500] for start in range(0, len(record_ids), 500)]
            found = sorted(row for ids in some for row in db.execute(query.where(records.c.id.in_(ids))))
        for released_at, record_id, fields in found:
            yield released_at, record_id, tuple(json.loads(fields)["topics"])


def released_ids(store: Store) -> list[str]:
    """The ids of all records that have a page, newest first."""
    query = (
        select(records.c.id)
        .where(records.c.released_at.is_not(None))
        .order_by(records.c.released_at.desc(), records.c.id)
    )
    with store.read() as db:
        return list(db.execute(query).scalars())
