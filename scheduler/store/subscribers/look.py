"""Who is on the lists, read out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select

from scheduler.record import Membership, address_of
from scheduler.store.engine import Store
from scheduler.store.schema import asks, deliveries, mailings, reports, subscribers
from scheduler.store.subscribers.values import SELECT, Subscriber, forgotten_among, hash_of, secret, subscriber

_PAGE = 1000


def by_token(store: Store, token: str) -> Subscriber | None:
    """Whose place on which list this token stands for."""
    with store.read() as db:
        row = db.execute(SELECT.where(subscribers.c.token == token)).one_or_none()
    return None if row is None else subscriber(row)


def members(store: Store, *, list_id: str | None = None, address: str | None = None) -> Iterator[Subscriber]:
    """The subscribers, however they stand, in the order of their ids. Memory is constant, and no transaction stays open."""
    query = SELECT.order_by(subscribers.c.id).limit(_PAGE)
    if list_id is not None:
        query = query.where(subscribers.c.list == list_id)
    if address is not None:
        query = query.where(subscribers.c.address == address_of(address))
    last = 0
    while True:
        with store.read() as db:
            page = db.execute(query.where(subscribers.c.id > last)).all()
        if not page:
            return
        yield from map(subscriber, page)
        last = page[-1].id


def counts(store: Store) -> dict[str, dict[str, int]]:
    """For each list with subscribers: how many are ``active`` (and listed), ``left``, ``bounced``, ``complained``, and have
    ``asked`` to join without having confirmed it.
    """
    how = select(subscribers.c.list, subscribers.c.state, func.count().label("people")).group_by(
        subscribers.c.list, subscribers.c.state
    )
    unlisted_active = (subscribers.c.state == Membership.ACTIVE) & (subscribers.c.listed == 0)
    waiting = select(asks.c.lists, func.count().label("people")).where(asks.c.confirmed_at.is_(None))
    found: dict[str, Counter[str]] = {}
    with store.read() as db:
        for row in db.execute(how.where(~unlisted_active)):
            found.setdefault(row.list, Counter())[row.state] += row.people
        for row in db.execute(waiting.group_by(asks.c.lists)):
            for list_id in json.loads(row.lists):
                found.setdefault(list_id, Counter())["asked"] += row.people
    names = [*(state.value for state in Membership), "asked"]
    return {list_id: {name: each[name] for name in names} for list_id, each in found.items()}


def about(store: Store, address: str) -> dict[str, Any]:
    """Everything that is stored about a person: his places on lists, what he asked for, and what became of his mails."""
    person = address_of(address)
    places = list(members(store, address=person))
    mails = (
        select(
            deliveries.c.id,
            deliveries.c.record_id,
            deliveries.c.revision,
            deliveries.c.purpose,
            mailings.c.list,
            deliveries.c.recipient,
            deliveries.c.state,
            deliveries.c.attempts,
            deliveries.c.message_id,
            deliveries.c.settled_at,
            deliveries.c.problem,
        )
        .join(mailings, mailings.c.id == deliveries.c.mailing_id)
        .where(deliveries.c.record_id.in_(select(mailings.c.record_id)), deliveries.c.address == person)
        .order_by(deliveries.c.id)
    )
    asked = select(*(column for column in asks.c if column.name not in {"id", "token"})).where(asks.c.address == person)
    hash_ = hash_of(secret(store), person)
    with store.read() as db:
        sent = [dict(row) for row in db.execute(mails).mappings()]
        told = select(reports.c.at, reports.c.kind, reports.c.status, reports.c.detail).where(
            reports.c.subscriber_id.in_([each.id for each in places])
            | reports.c.delivery_id.in_([row.pop("id") for row in sent])
        )
        return {
            "address": person,
            "subscriptions": [
                {
                    "list": each.list,
                    "recipient": each.recipient,
                    "state": each.state,
                    "origin": each.origin,
                    "listed": each.listed,
                    "since": each.since_at,
                    "reason": each.reason,
                    "consent": each.consent,
                }
                for each in places
            ],
            "asked": [
                {**row, "lists": json.loads(row["lists"])} for row in db.execute(asked.order_by(asks.c.id)).mappings()
            ],
            "mails": sent,
            "reports": [dict(row) for row in db.execute(told.order_by(reports.c.id)).mappings()],
            "forgotten": bool(forgotten_among(db, {hash_})),
        }
