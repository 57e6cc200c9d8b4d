"""Tells people what is wrong with the service: rarely enough to be read, often enough not to be forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scheduler.config import Config
from scheduler.errors import DeliveryFailed, RequestFailed, StoreRefused
from scheduler.log import alarm, failure, say
from scheduler.monitor.letters import letter, reason, signed, written
from scheduler.monitor.look import Snapshot, Trouble
from scheduler.outlets.mail import Transport
from scheduler.outlets.webhook import Hook, Line, Notice, post
from scheduler.record import State as RecordState
from scheduler.store import Store, meta
from scheduler.store.glance import SOONEST

URGENT_WAIT = timedelta(seconds=2)
WAIT = timedelta(seconds=30)
"""So long what is new, urgent or not, waits for company."""
APART = timedelta(minutes=1)
FLAPS_FOR = timedelta(minutes=10)
"""What is back within this time was never away."""
DAY = timedelta(days=1)
LIMIT = 200
"""So many troubles are kept in mind."""

_FIRST_GAP = timedelta(seconds=5)
_LONGEST_GAP = timedelta(minutes=10)
_LONGEST_ASKED = timedelta(hours=1)
_STALE_AFTER = timedelta(hours=1)

_OF_RECORDS = {"attention", "overdue", "mail_uncertain"}

OF_ALL = frozenset({"attention", "overdue", "mail_failing", "mail_uncertain", "list", "refused", "node"})
"""Kinds that every machine on a database sees alike: one of them tells."""

Key = tuple[str, str]
"""A trouble's kind and subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A trouble that was seen ``since`` then, and told of last at ``said_at``; it is told of again after ``gap``."""

    kind: str
    subject: str
    urgent: bool
    since: datetime
    said_at: datetime | None = None
    gap: timedelta = timedelta()
    gone_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one listener has been told, and when he was told anything last. Kinds, subjects and instants, nothing more."""

    known: tuple[Known, ...] = ()
    said_at: datetime | None = None

    def after(self, earlier: State) -> State:
        """Adds what was said before."""
        names = {(each.kind, each.subject) for each in self.known}
        rest = (each for each in earlier.known if (each.kind, each.subject) not in names)
        return State(known=(*self.known, *rest), said_at=self.said_at or earlier.said_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is to be said at once."""

    at: datetime
    lines: tuple[Line, ...]

    def headline(self, *, due: int) -> str:
        """``overdue: 2 records; mail failing``; `due` is how many records are overdue."""
        said = []
        for status, before in (("new", ""), ("standing", "still "), ("over", "over: ")):
            counts = Counter(line.kind for line in self.lines if line.status == status)
            for kind, count in counts.items():
                number = max(due, 1) if kind == "overdue" and status != "over" else count
                records = f": {number} record{'s' * (number > 1)}" if kind in _OF_RECORDS else ""
                said.append(f"{before}{kind.replace('_', ' ')}{records}")
        return "; ".join(said)


def decide(
    state: State,
    troubles: Sequence[Trouble],
    now: datetime,
    repeat: timedelta,
    *,
    unseen: Collection[str] = (),
) -> tuple[State, Message | None]:
    """What is to be said `now`, if anything, and what is then known to have been said.

    A trouble of a kind that is `unseen`, which could not be looked at, is not taken to be over.
    """
    present = {(trouble.kind, trouble.subject): trouble for trouble in troubles[:LIMIT]}
    state = _on_this_clock(state, now)
    known = _seen(state, present, now, unseen)
    unsaid = [each for each in known if each.said_at is None and each.key in present]
    ripe = [each for each in unsaid if now - each.since >= (URGENT_WAIT if each.urgent else WAIT)]
    standing = {each.key for each in known if each.said_at and each.key in present and now - each.said_at >= each.gap}
    over = {each.key for each in known if each.gone_at and now - each.gone_at >= FLAPS_FOR}
    said_over = tuple(each.key for each in known if each.key in over and each.said_at)
    is_loud = any(each.urgent for each in ripe)
    is_time = state.said_at is None or now - state.said_at >= APART
    if not is_loud and not (is_time and (ripe or standing or said_over)):
        left = [each for each in known if each.key not in over or each.said_at]
        return replace(state, known=tuple(left)), None
    new = {each.key for each in unsaid}
    after = []
    for each in known:
        if each.key in new:
            after.append(replace(each, said_at=now, gap=repeat))
        elif each.key in standing:
            after.append(replace(each, said_at=now, gap=min(each.gap * 2, max(DAY, repeat))))
        elif each.key not in over:
            after.append(each)
    lines = [Line(status="new", **asdict(trouble)) for key, trouble in present.items() if key in new]
    lines += [Line(status="standing", **asdict(trouble)) for key, trouble in present.items() if key in standing]
    lines += [Line(status="over", kind=kind, subject=subject) for kind, subject in said_over]
    return State(known=tuple(after), said_at=now), Message(at=now, lines=tuple(lines))


def _on_this_clock(state: State, now: datetime) -> State:
    """The same where the clock was set back: nothing in it is still to come."""

    def past(kept: Any) -> dict[str, Any]:
        instants = {name: getattr(kept, name, None) for name in ("since", "said_at", "gone_at")}
        return {name: now for name, at in instants.items() if at is not None and at > now}

    return replace(state, known=tuple(replace(each, **past(each)) for each in state.known), **past(state))


def _seen(state: State, present: dict[Key, Trouble], now: datetime, unseen: Collection[str]) -> list[Known]:
    """What is known after a look, what is there first."""
    there: dict[Key, Known] = {}
    away: list[Known] = []
    for each in state.known:
        trouble = present.get(each.key)
        if trouble is None:
            away.append(each if each.gone_at or each.kind in unseen else replace(each, gone_at=now))
        elif each.said_at is None:
            there[each.key] = replace(each, gone_at=None, urgent=trouble.urgent)
        elif trouble.urgent <= each.urgent:
            there[each.key] = replace(each, gone_at=None)
    for (kind, subject), trouble in present.items():  # also what has grown urgent
        there.setdefault((kind, subject), Known(kind=kind, subject=subject, urgent=trouble.urgent, since=now))
    away.sort(key=lambda each: each.gone_at or now, reverse=True)
    return [*there.values(), *away[:LIMIT]]


def unseen(snapshot: Snapshot) -> frozenset[str]:
    """The kinds of which this look does not show everything there is."""
    kinds = set[str]()
    if snapshot.problem is not None:
        kinds |= OF_ALL | {"fenced"}
    if snapshot.problem is not None or not snapshot.alive:
        kinds |= {"clock", "config", "site", "child", "skew"}
    if snapshot.counts.get(RecordState.ATTENTION, 0) > len(snapshot.attention):
        kinds.add("attention")
    if len(snapshot.uncertain) >= SOONEST:
        kinds.add("mail_uncertain")
    return frozenset(kinds)


class _Way:
    """One listener: what he was told, and what he is being told. He hears one message at a time, and holds up no other."""

    def __init__(self, name: str, place: str, act: Callable[[Notice, datetime], Awaitable[bool]]) -> None:
        self.name = name
        self.key = sha256(place.encode()).hexdigest()[:16]
        self.state = State()
        self.task: asyncio.Task[None] | None = None
        self._act = act
        self._owed: tuple[State, Notice] | None = None
        self._gone = False
        self._tries = 0
        self._due: datetime | None = None

    def tend(
        self, decided: Callable[[State], tuple[State, Message | None]], made: Callable[[Message], Notice], now: datetime
    ) -> None:
        """Begins the next try, if one is due."""
        waits = self._due is not None and now < self._due <= now + _LONGEST_ASKED  # later: the clock was set back
        if self._gone or waits or (self.task is not None and not self.task.done()):
            return
        if self._owed is None:
            state, message = decided(self.state)
            if message is None:
                self.state = state
                return
            # What it says counts as said when it is taken: a crash before that has it said anew.
            self._owed = state, made(message)
        self.task = asyncio.create_task(self._try(*self._owed, now))

    async def _try(self, state: State, notice: Notice, now: datetime) -> None:
        try:
            is_taken = await self._act(notice, now)
        except (RequestFailed, DeliveryFailed) as error:
            self._failed(notice, now, final=error.final, asked=getattr(error, "retry_after", None))
            alarm("alert_failed", way=self.name, id=notice.id, problem=reason(error), again_at=self._due)
        except Exception:  # noqa: BLE001 - one listener's trouble is not to silence the others
            self._failed(notice, now)
            failure("alert_failed", way=self.name, id=notice.id)
        else:
            self.state, self._owed, self._tries, self._due, self._gone = state, None, 0, None, not is_taken
            if is_taken:
                told = Counter(line.status for line in notice.lines)
                counts = {status: told[status] for status in ("new", "standing", "over")}
                say("alert_sent", way=self.name, id=notice.id, **counts)
            else:
                alarm(
                    "alert_gone", way=self.name, remedy="It answers 410, nobody listens: take it out of the settings."
                )

    def _failed(self, notice: Notice, now: datetime, *, final: bool = False, asked: timedelta | None = None) -> None:
        gap = _LONGEST_GAP if final else min(_FIRST_GAP * 2**self._tries, _LONGEST_GAP)
        self._due = now + max(gap, min(asked or gap, _LONGEST_ASKED))
        self._tries = min(self._tries + 1, 10)
        if final or now - notice.at >= _STALE_AFTER:
            self._owed = None  # what is then the matter is said instead


_STATES = TypeAdapter(dict[str, State])


class Alerts:
    """Everybody who is to hear of trouble. `store` remembers what each was told; mail leaves by `transport`."""

    def __init__(self, *, store: Store, config: Config, transport: Transport | None) -> None:
        self._store = store
        self._config = config
        self._transport = transport
        self._signed = signed(config)
        self._kept: dict[str, State] | None = None
        self._ways = [
            _Way(
                f"alerts.webhooks[{number}]",
                part.url,
                partial(self._post, Hook(url=part.url, form=part.form, secret=part.secret)),
            )
            for number, part in enumerate(config.alerts.webhooks)
        ]
        if transport is not None:
            self._ways += [
                _Way(f"alerts.mail[{number}]", address, partial(self._mail, address))
                for number, address in enumerate(config.alerts.mail)
            ]

    async def tend(
        self, snapshot: Snapshot, troubles: Sequence[Trouble], now: datetime, *, for_all: bool = True
    ) -> None:
        """Says what is to be said now. Who takes it is waited for by nobody.

        Not `for_all`: another machine says what is wrong with the database that they share.
        """
        if not self._ways:
            return
        others = frozenset() if for_all else OF_ALL
        if self._kept is None:
            with suppress(
                StoreRefused
            ):  # that is a trouble of its own, which is told without knowing what was said before
                self._kept = await asyncio.to_thread(self._recall)
                for way in self._ways:
                    way.state = way.state.after(self._kept.get(way.key, State()))
        decided = partial(
            decide,
            troubles=[each for each in troubles if each.kind not in others],
            now=now,
            repeat=self._config.alerts.repeat,
            unseen=unseen(snapshot) | others,
        )
        for way in self._ways:
            way.tend(decided, partial(self._notice, due=snapshot.due), now)
        await self._keep()

    async def close(self) -> None:
        """Ends what is under way, which is then said anew at the next start."""
        tasks = [way.task for way in self._ways if way.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._keep()

    async def _keep(self) -> None:
        states = {way.key: way.state for way in self._ways}
        if self._kept is not None and states != self._kept:
            with suppress(StoreRefused):
                await asyncio.to_thread(self._remember, states)
                self._kept = states

    @property
    def _meta_key(self) -> str:
        return f"alerts:{self._signed['host']}"

    def _recall(self) -> dict[str, State]:
        with self._store.read() as db:
            said = meta.get(db, self._meta_key)
        try:
            return {} if said is None else _STATES.validate_json(said)
        except ValidationError:  # of another version
            return {}

    def _remember(self, states: dict[str, State]) -> None:
        with self._store.write() as db:
            meta.put(db, self._meta_key, _STATES.dump_json(states).decode())

    def _notice(self, message: Message, *, due: int) -> Notice:
        name = f"msg_{sha256(repr((self._signed, message)).encode('utf-8', 'replace')).hexdigest()[:32]}"
        return Notice(id=name, at=message.at, headline=message.headline(due=due), lines=message.lines, **self._signed)

    async def _post(self, hook: Hook, notice: Notice, now: datetime) -> bool:
        return await asyncio.to_thread(post, hook, notice, now=now)

    async def _mail(self, recipient: str, notice: Notice, _now: datetime) -> bool:
        assert self._transport is not None
        assert self._config.mail is not None
        values = {"notice": notice, "zone": self._config.newsroom.timezone}
        made = letter(
            sender=self._config.mail.sender,
            recipient=recipient,
            subject=f"[embargo] {notice.newsroom}: {notice.headline}",
            name=notice.id,
            at=notice.at,
            text=written("alert.txt", values, overrides=self._config.own),
            urgent=notice.urgent,
        )
        await self._transport.send(message=made, sender=self._config.mail.sender, recipient=recipient)
        return True
