"""How somebody comes to a list and leaves it: one guarded statement each, with its row on the trail in the same transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, select, update

from scheduler.errors import EmbargoError
from scheduler.record import Membership, address_of
from scheduler.store.engine import Store
from scheduler.store.schema import forgotten, subscribers
from scheduler.store.subscribers.office import OFFICE, PAUSE, insert_new, known, new_row, steps
from scheduler.store.subscribers.values import (
    SELECT,
    Subscriber,
    forgotten_among,
    hash_of,
    secret,
    secret_in,
    subscriber,
    token_of,
    who,
)
from scheduler.store.trail import Entry, append
from scheduler.store.upsert import inserted

READER = "reader"
"""Who acts on the trail when somebody follows a link of his own."""


def add(
    store: Store,
    *,
    list_id: str,
    recipient: str,
    reason: str,
    now: datetime,
    actor: str,
    consent: Mapping[str, Any] | None = None,
    origin: str = "command",
    lift_tombstone: bool = False,
) -> Subscriber:
    """Puts somebody on a list, at his word, though he has left it or was out of reach.

    Raises :class:`EmbargoError` for an address that was erased, unless `lift_tombstone`.
    """
    with store.write() as db:
        key = secret_in(db)
        hash_ = hash_of(key, address_of(recipient))
        if lift_tombstone:
            db.execute(delete(forgotten).where(forgotten.c.hash == hash_))
        elif forgotten_among(db, {hash_}):
            raise EmbargoError(
                "This address was erased with `embargo mail forget`, for good. "
                "Let its owner subscribe on the page, or say with `--anew` that it is wanted again."
            )
        made, changed = put(
            db, key=key, list_id=list_id, recipient=recipient, reason=reason, now=now, consent=consent, origin=origin
        )
        if changed:
            detail = {"list": list_id, "who": hash_[:12], "origin": origin, "reason": reason}
            append(db, at=now, actor=actor, entries=[Entry(event="subscriber_added", detail=detail)])
    return made


def put(
    db: Connection,
    *,
    key: bytes,
    list_id: str,
    recipient: str,
    reason: str,
    now: datetime,
    consent: Mapping[str, Any] | None,
    origin: str,
) -> tuple[Subscriber, bool]:
    """The place on the list, made or taken up again, in the caller's transaction; and whether that changed anything.

    What was agreed to outlasts an adding without it. Whom the office alone had listed is from now on there for himself.
    """
    address = address_of(recipient)
    here = and_(subscribers.c.list == list_id, subscribers.c.address == address)
    before = db.execute(SELECT.where(here)).one_or_none()
    adding = inserted(db, subscribers).values(
        list=list_id,
        address=address,
        recipient=recipient.strip(),
        token=token_of(key, list_id=list_id, address=address),
        state=Membership.ACTIVE,
        origin=origin,
        listed=1,
        since_at=now,
        reason=reason,
        consent=None if consent is None else json.dumps(consent, ensure_ascii=False),
    )
    new = adding.excluded
    stands = subscribers.c.state == Membership.ACTIVE
    row = db.execute(
        adding.on_conflict_do_update(
            index_elements=["list", "address"],
            set_={
                "recipient": new.recipient,
                "state": new.state,
                "origin": new.origin,
                "listed": 1,
                "since_at": case((stands, subscribers.c.since_at), else_=new.since_at),
                "reason": new.reason,
                "consent": func.coalesce(new.consent, subscribers.c.consent),
            },
        ).returning(*SELECT.selected_columns)
    ).one()
    was = None if before is None else (before.recipient, before.state, before.origin, before.listed, before.consent)
    return subscriber(row), was != (row.recipient, row.state, row.origin, row.listed, row.consent)


def add_many(
    store: Store, *, list_id: str, recipients: Iterable[str], reason: str, now: datetime, actor: str
) -> tuple[int, int]:
    """Puts many on a list, in short transactions. Gives how many were added, and how many were known already.

    Who has left, bounced or complained stays so; who was erased is passed over.
    """
    key = secret(store)
    added = already = 0
    for people in steps(recipients):
        with store.write() as db:
            there = known(db, list_id, people)
            new = {
                hash_of(key, each.address): new_row(
                    each, list_id=list_id, key=key, origin="command", reading=0, now=now, reason=reason
                )
                for each in people
                if each.address not in there
            }
            added += insert_new(db, new)
            again = [row.id for row in there.values() if row.state == Membership.ACTIVE and not row.listed]
            office = [row.id for row in there.values() if row.state == Membership.ACTIVE and row.origin == OFFICE]
            for ids in (again, office):
                mine = update(subscribers).where(subscribers.c.id.in_(ids), subscribers.c.state == Membership.ACTIVE)
                db.execute(mine.values(listed=1, origin="command", reason=reason))
            added += len(again)
            already += len(there) - len(again)
        time.sleep(PAUSE)
    if added:
        detail: dict[str, str | int | None] = {"list": list_id, "added": added, "known": already, "reason": reason}
        with store.write() as db:
            append(db, at=now, actor=actor, entries=[Entry(event="subscribers_added", detail=detail)])
    return added, already


# Whom the office lists counts as suppressed as long as she does.
_OFF: dict[str, Any] = {"listed": case((subscribers.c.origin == OFFICE, subscribers.c.listed), else_=0)}


def remove(store: Store, *, list_id: str, address: str, reason: str, now: datetime, actor: str) -> bool:
    """A person takes an address off a list, and no file brings it back. ``False`` where it was not on it."""
    person = address_of(address)
    with store.write() as db:
        moved = db.execute(
            update(subscribers)
            .where(
                subscribers.c.list == list_id,
                subscribers.c.address == person,
                subscribers.c.state.in_([Membership.ACTIVE, Membership.BOUNCED]),
            )
            .values(state=Membership.LEFT, since_at=now, reason=reason, **_OFF)
        )
        if moved.rowcount:
            detail = {"list": list_id, "who": who(secret_in(db), person), "reason": reason}
            append(db, at=now, actor=actor, entries=[Entry(event="subscriber_removed", detail=detail)])
    return bool(moved.rowcount)


def leave(store: Store, *, token: str, how: str, now: datetime, everywhere: bool = False) -> Subscriber | None:
    """Its owner leaves the list that the token stands for, or all he is on. Gives how he stands there; ``None``: no such token.

    Doing it again changes nothing. `how` is a word such as ``one-click``.
    """
    mine = subscribers.c.token == token
    with store.write() as db:
        found = db.execute(SELECT.where(mine)).one_or_none()
        if found is None:
            return None
        which = subscribers.c.address == found.address if everywhere else mine
        moved = db.execute(
            update(subscribers)
            .where(which, subscribers.c.state.in_([Membership.ACTIVE, Membership.BOUNCED]))
            .values(state=Membership.LEFT, since_at=now, reason=how, **_OFF)
            .returning(subscribers.c.list)
        )
        hashed = who(secret_in(db), found.address)
        entries = [
            Entry(event="subscriber_left", detail={"list": list_id, "who": hashed, "how": how})
            for list_id in sorted(moved.scalars())
        ]
        append(db, at=now, actor=READER, entries=entries)
        return subscriber(db.execute(SELECT.where(mine)).one())


def put_off(store: Store, *, subscriber_id: int, state: Membership, reason: str, now: datetime) -> None:
    """Sends nothing more, on any list, to an address that can't be reached or complained. Who has left stays so."""
    address = select(subscribers.c.address).where(subscribers.c.id == subscriber_id).scalar_subquery()
    stood = [Membership.ACTIVE] if state is Membership.BOUNCED else [Membership.ACTIVE, Membership.BOUNCED]
    with store.write() as db:
        moved = db.execute(
            update(subscribers)
            .where(subscribers.c.address == address, subscribers.c.state.in_(stood))
            .values(state=state, since_at=now, reason=reason, **_OFF)
            .returning(subscribers.c.list, subscribers.c.address)
        ).all()
        if moved:
            # The reason may quote a server, which may quote the address: it is not for the trail.
            hashed = who(secret_in(db), moved[0].address)
            entries = [
                Entry(event="subscriber_put_off", detail={"list": list_id, "who": hashed, "state": state.value})
                for list_id in sorted(row.list for row in moved)
            ]
            append(db, at=now, actor="service", entries=entries)
