"""Tells the desk, which is inside the embargo, what is about to go out and what is doubtful about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from functools import partial
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from scheduler.embargo import local
from scheduler.errors import DeliveryFailed, RenderRefused
from scheduler.log import alarm, failure, say
from scheduler.monitor.letters import letter, reason, signed, written
from scheduler.monitor.look import Snapshot, Trouble
from scheduler.outlets.mail import Transport
from scheduler.parts import Parts
from scheduler.record import Purpose, Release, State, Version
from scheduler.render.templates import minute
from scheduler.store import Store, meta, records, subscribers

TOGETHER = timedelta(minutes=5)
"""Lifts no further apart are told of in one mail."""
PREVIEWS = 20
"""So many records of a mail are shown whole."""

_MOST = 1000
_LEASE = timedelta(minutes=15)  # longer than a mail server may take over a mail
_AGAIN = timedelta(minutes=1)
_NOTES = "desk:"
# What was said, by a digest: the lift, and until when whoever took it upon himself has time (None: it is done); epoch seconds.
_NOTE = TypeAdapter(tuple[float, float | None])
_Said = dict[str, tuple[float, float | None]]
_Lists = list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """A mail that is owed to one recipient, of the settings' `number`-th; `keys` with their lifts are said by it."""

    number: int
    recipient: str = field(repr=False)
    versions: tuple[Version, ...]
    keys: dict[str, float]


def groups(
    coming: Sequence[Version], ahead: Sequence[timedelta], now: datetime, is_said: Callable[[Version, timedelta], bool]
) -> Iterator[tuple[tuple[Version, ...], tuple[timedelta, ...]]]:
    """What is to be told of now, and for which of the times `ahead`; `coming` is in the order of the lifts.

    Of several times that have passed the nearest counts, and is told for all.
    """
    rest = list(coming)
    while rest:
        near = [each for each in rest if each.published_at - rest[0].published_at <= TOGETHER]
        passed = tuple(each for each in ahead if rest[0].published_at - each <= now)
        if passed and (new := tuple(each for each in near if not is_said(each, min(passed)))):
            yield new, passed
        del rest[: len(near)]


class Desk:
    """Everybody who hears before a lift. `store` remembers what each was told; mail leaves by `transport`."""

    def __init__(self, *, store: Store, parts: Parts, transport: Transport | None) -> None:
        self._store = store
        self._parts = parts
        self._config = parts.config
        self._transport = transport
        self._before: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    async def tend(self, snapshot: Snapshot, troubles: Sequence[Trouble], now: datetime) -> None:
        """Sends what is to be said now. Who takes it is waited for by nobody, and where nothing lifts nothing is said."""
        idle = self._task is None or self._task.done()
        still = snapshot.problem or snapshot.fenced or snapshot.doubts
        if self._config.desk and self._transport and idle and not still:
            self._task = asyncio.create_task(self._run(snapshot, troubles, now))

    async def close(self) -> None:
        """Ends what is under way, which is then said anew a quarter of an hour later."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, snapshot: Snapshot, troubles: Sequence[Trouble], now: datetime) -> None:
        try:
            errands = await asyncio.to_thread(self._take, now)
            await asyncio.gather(*(self._send(each, snapshot, troubles, now) for each in errands))
        except Exception:  # noqa: BLE001 - what went wrong is tried again
            failure("summary_failed")

    def _take(self, now: datetime) -> list[_Errand]:
        """Takes upon itself what is owed, as soon as nothing more has come in since the look before."""
        desk = self._config.desk
        assert desk is not None
        until = now + max(desk.ahead) + TOGETHER
        coming = [each for each in records.coming(self._store, until=until, limit=_MOST) if each.published_at > now]
        with self._store.read() as db:
            said = _said(db)
        errands = list(self._owed(coming, said, now))
        keys = frozenset(key for each in errands for key in each.keys)
        if keys != self._before or not keys:
            self._before = keys
            return []
        past = (now - max(desk.ahead)).timestamp()
        with self._store.write() as db:
            meta.drop_below(db, _NOTES, [key for key, (lift, _) in said.items() if lift <= past][:_MOST])
        return [each for each in errands if self._take_upon(each, said, now)]

    def _take_upon(self, errand: _Errand, seen: _Said, now: datetime) -> bool:
        """Notes that this one is under way. Gives whether nobody else has said anything since the notes were `seen`."""
        with self._store.write() as db:
            free = _said(db, errand.keys) == {key: seen[key] for key in errand.keys if key in seen}
            if free:
                _keep(db, {key: (lift, (now + _LEASE).timestamp()) for key, lift in errand.keys.items()})
        return free

    def _owed(self, coming: Sequence[Version], said: _Said, now: datetime) -> Iterator[_Errand]:
        assert self._config.desk is not None
        for number, recipient in enumerate(self._config.desk.mail):
            is_said = partial(_is_said, said, now, recipient)
            for versions, passed in groups(coming, self._config.desk.ahead, now, is_said):
                keys = {
                    _name(recipient, each, ahead): each.published_at.timestamp()
                    for each in versions
                    for ahead in passed
                }
                yield _Errand(number=number, recipient=recipient, versions=versions, keys=keys)

    async def _send(self, errand: _Errand, snapshot: Snapshot, troubles: Sequence[Trouble], now: datetime) -> None:
        assert self._config.mail is not None
        assert self._transport is not None
        way, again = f"desk.mail[{errand.number}]", None
        try:
            made = await asyncio.to_thread(self._write, errand, snapshot, troubles, now)
            if made is not None:
                sender = self._config.mail.sender
                await self._transport.send(message=made, sender=sender, recipient=errand.recipient)
                say("summary_sent", way=way, records=len(errand.versions))
        except DeliveryFailed as error:
            again = None if error.final else (now + _AGAIN).timestamp()
            alarm("summary_failed", way=way, problem=reason(error), records=len(errand.versions))
        except asyncio.CancelledError:  # the settings were edited, or the service stops: the next monitor has it
            self._settle({key: (lift, now.timestamp()) for key, lift in errand.keys.items()})
            raise
        except Exception:  # noqa: BLE001 - one recipient's trouble is not to cost the others their mails
            again = (now + _AGAIN).timestamp()
            failure("summary_failed", way=way)
        await asyncio.to_thread(self._settle, {key: (lift, again) for key, lift in errand.keys.items()})

    def _settle(self, outcome: _Said) -> None:
        with self._store.write() as db:
            _keep(db, outcome)

    def _write(self, errand: _Errand, snapshot: Snapshot, troubles: Sequence[Trouble], now: datetime) -> bytes | None:
        """The mail about what is still to lift as it was when it was looked at; ``None`` where nothing is."""
        assert self._config.mail is not None
        wanted = {each.id: each for each in errand.versions}
        readers = {name: counts["active"] for name, counts in subscribers.counts(self._store).items()}
        known = {name: part.name for name, part in self._config.lists.items()}
        lifts = []
        for release in records.releases(self._store, list(wanted)):
            standing, version = records.get(self._store, release.id), wanted[release.id]
            is_same = (standing.revision, standing.lift_at) == (version.revision, version.published_at)
            if is_same and standing.state is State.HELD:
                names = self._config.default_lists if standing.lists is None else standing.lists
                lists = [(each, known.get(each, each), readers.get(each, 0)) for each in names]
                lifts.append((version.published_at, release.id, release, lists))
        if not lifts:
            return None
        lifts.sort(key=lambda each: each[:2])
        zone, until = self._config.newsroom.timezone, lifts[-1][0]
        values = {
            "lifts": [{"at": at, "release": release, "lists": lists} for at, _, release, lists in lifts],
            "until": until,
            "zone": zone,
            "doubts": _doubts(snapshot, troubles, zone, lifts[0][0]),
            "shown": min(len(lifts), PREVIEWS),
            **signed(self._config),
        }
        count = f"{len(lifts)} records lift" if len(lifts) > 1 else "1 record lifts"
        return letter(
            sender=self._config.mail.sender,
            recipient=errand.recipient,
            # A subject is shown where a mail is not: no title stands in it.
            subject=f"[embargo] {self._config.newsroom.name}: {count} {minute(lifts[0][0], zone)}",
            name="\n".join(errand.keys),
            at=now,
            text=written("desk.txt", values, overrides=self._config.own),
            attached=self._previews([each[2:] for each in lifts[:PREVIEWS]]),
        )

    def _previews(self, shown: Sequence[tuple[Release, _Lists]]) -> list[tuple[str, str]]:
        """The plain text of each mail as it goes out; where none does, or a template fails, of the record."""
        found = {release.id: f"{release.title}\n\n{release.text}\n" for release, _ in shown}
        with suppress(RenderRefused):
            for release, lists in shown:
                for list_id, name, _ in lists[:1]:
                    whole = self._parts.letter(release, purpose=Purpose.RELEASE, list_id=list_id, list_name=name)
                    part = message_from_bytes(whole, policy=policy.default).get_body(("plain",))
                    assert part is not None
                    found[release.id] = str(part.get_content())
        return [(f"{record_id}.txt", text) for record_id, text in found.items()]


def _doubts(snapshot: Snapshot, troubles: Sequence[Trouble], zone: str, at: datetime) -> list[Trouble]:
    """What may keep something from going out that day as it is meant to."""
    day = local(at, zone).date()
    same_day = {
        each.record_id for each in snapshot.attention if each.lift_at and local(each.lift_at, zone).date() == day
    }
    return [each for each in troubles if (each.subject in same_day if each.kind == "attention" else each.urgent)]


def _name(recipient: str, each: Version, ahead: timedelta) -> str:
    words = f"{recipient}\n{each.uuid}\n{each.revision}\n{each.published_at.isoformat()}\n{ahead}"
    return sha256(words.encode()).hexdigest()[:24]


def _is_said(said: _Said, now: datetime, recipient: str, each: Version, ahead: timedelta) -> bool:
    _, busy_until = said.get(_name(recipient, each, ahead), (0.0, 0.0))
    return busy_until is None or now.timestamp() < busy_until


def _said(db: Connection, keys: Iterable[str] | None = None) -> _Said:
    """The notes: those with these keys, or all."""
    said = {}
    for key, note in meta.below(db, _NOTES, keys).items():
        with suppress(ValidationError):  # of another version
            said[key] = _NOTE.validate_json(note)
    return said


def _keep(db: Connection, said: Mapping[str, tuple[float, float | None]]) -> None:
    meta.put_below(db, _NOTES, {key: _NOTE.dump_json(note).decode() for key, note in said.items()})
