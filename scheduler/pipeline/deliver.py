"""Sends what is owed: claims, announces, sends, settles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from scheduler.clock import Clock
from scheduler.errors import DeliveryFailed, EmbargoError, RenderRefused, StoreRefused
from scheduler.outlets.mail import Transport
from scheduler.pipeline import reports
from scheduler.pipeline.audience import Audiences, MailList
from scheduler.pipeline.pace import Pace
from scheduler.pipeline.stationery import Stationery
from scheduler.record import Delivery, DeliveryState, Purpose, Release
from scheduler.render.mail import Letter, addressed
from scheduler.store import Store, ledger, records, subscribers
from scheduler.store.ledger import Outcome, Segment

WINDOW = 100
"""So many mails at most are announced and not settled; as many are `uncertain` when a worker is killed."""

LEASE_FOR = timedelta(seconds=30)
RENEW_EVERY = 10.0
LOOK_EVERY = 0.2
"""Seconds after which a worker without work looks for some."""

_AHEAD = 0.5
"""Seconds of work that is taken ahead: a correction waits for no more than that."""
_GATHER = 0.05
"""Seconds for which answers are gathered before they are settled together."""

_GAPS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
_SHORT_REST, _LONG_REST = timedelta(seconds=5), timedelta(minutes=1)
_LAST_TRIES, _LAST_PAUSE = 5, 1.0
_ASK_FOR = timedelta(days=1)
GIVE_UP_AFTER = timedelta(days=4)
"""RFC 5321 section 4.5.4.1 asks for four to five days."""


class Postroom:
    """One worker's hold on the ledger. `worker` is a name no other process has or had.

    `connections` mails are on their way at once, and `rate` begin in a second (``None``: as many as the server takes).
    """

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        stationery: Stationery,
        lists: Mapping[str, MailList],
        worker: str,
        clock: Clock,
        connections: int = 8,
        rate: float | None = None,
    ) -> None:
        self.audiences = Audiences(store=store, lists=lists, clock=clock)
        self._store = store
        self._transport = transport
        self._stationery = stationery
        self._lists = lists
        self._worker = worker
        self._clock = clock
        self._connections = connections
        self._pace = Pace(rate)
        self._release: tuple[tuple[str, int, Purpose], Release | None] | None = None
        self._letters: dict[tuple[str, int, Purpose, str], Letter] = {}
        self._ready: list[tuple[Delivery, str, bytes]] = []
        self._outcomes: list[Outcome] = []
        self._refused: list[tuple[Delivery, DeliveryFailed]] = []
        self._rest_for = timedelta()
        self._rest_until = datetime.fromtimestamp(0, UTC)
        self._running: set[int] = set()
        self._segments: dict[asyncio.Future[None], Segment] = {}
        self._enough = 1
        self._answered = asyncio.Event()

    async def drain(self) -> int:
        """Reads the lists, freezes what is owed, and sends until nothing is due. Gives how many mails it took."""
        await asyncio.to_thread(self._prepare)
        return await self.send(asyncio.Event(), may=lambda: True, linger=False)

    def _prepare(self) -> None:
        self.audiences.read()
        self.audiences.freeze()

    async def send(self, stop: asyncio.Event, *, may: Callable[[], bool], linger: bool = True) -> int:
        """Sends what is due until `stop`, then finishes what it has announced and gives the rest back; while `may` says no, it
        takes nothing. Unless it is to `linger`, it ends when nothing is due any more. Gives how many mails it took.
        """
        loop = asyncio.get_running_loop()
        self._answered = asyncio.Event()
        taken, window, rate = 0, self._connections, 0.0
        renewed = turned = loop.time()
        # What an earlier call that broke off had taken and not announced.
        self._ready.clear()
        await asyncio.to_thread(ledger.give_back, self._store, worker=self._worker)
        await asyncio.to_thread(self._look_after)
        while True:
            stopping = stop.is_set() or self._is_resting() or not may()
            if stopping and self._ready:
                self._ready.clear()
                await asyncio.to_thread(ledger.give_back, self._store, worker=self._worker)
            wanted = self._ready[: self._pace.allows(loop.time(), max(0, window - len(self._running)))]
            room = 0 if stopping else max(0, window - len(self._ready) + len(wanted))
            ended = len(self._outcomes)
            claimed, looked = await self._turn(wanted, room)
            taken += claimed
            now = loop.time()
            if ended:
                rate = 0.7 * rate + 0.3 * ended / max(now - turned, 1e-3)
                window = int(min(WINDOW, max(self._connections, rate * _AHEAD)))
            turned = now
            if now - renewed >= RENEW_EVERY:
                renewed = now
                await asyncio.to_thread(self._look_after)
            if self._running:
                await self._gather()
            elif not self._ready and not self._outcomes and not looked:
                if stop.is_set() or not linger:
                    return taken
                await asyncio.to_thread(self._look_after)
                await _either(stop, LOOK_EVERY)
            elif not self._outcomes:
                await _either(stop, min(LOOK_EVERY, self._pace.wait(loop.time())))

    async def clear(self, segment: Segment) -> None:
        """Has `send` take this segment before others of its kind, until nothing of it is due that nobody has taken."""
        cleared = asyncio.get_running_loop().create_future()
        self._segments[cleared] = segment
        try:
            await cleared
        finally:
            del self._segments[cleared]

    def _look_after(self) -> None:
        """Keeps this worker's leases, and takes up what others have left."""
        now = self._clock()
        if in_hand := self._running | {each.id for each, _, _ in self._ready} | {each.id for each in self._outcomes}:
            ledger.renew(self._store, in_hand, worker=self._worker, now=now, lease_for=LEASE_FOR)
        ledger.recover(self._store, now=now)
        if lists := self.audiences.to_repeat:
            ledger.repeat(self._store, lists=lists, now=now, after=_GAPS[0])

    async def _turn(self, wanted: list[tuple[Delivery, str, bytes]], room: int) -> tuple[int, int]:
        """Writes down what has ended, announces and sends `wanted`, and takes up to `room` more. Gives how many it took, of how
        many that were due.
        """
        if self._refused:
            await asyncio.to_thread(self._hear)
        outcomes, self._outcomes = self._outcomes, []
        in_hand = dict(self._segments)
        segments = frozenset(in_hand.values())
        try:
            if not (outcomes or wanted) and (
                not room
                or not await asyncio.to_thread(ledger.is_due, self._store, now=self._clock(), segments=segments)
            ):
                if room:
                    _end(in_hand)
                return 0, 0
            turn = await asyncio.to_thread(
                ledger.turn,
                self._store,
                worker=self._worker,
                now=self._clock(),
                lease_for=LEASE_FOR,
                outcomes=outcomes,
                wanted=[(delivery, name) for delivery, name, _ in wanted],
                limit=room,
                segments=segments,
            )
        except BaseException:
            # What came of them is not lost by a database that is locked or a disk that is full.
            self._outcomes = outcomes + self._outcomes
            raise
        if turn.looked < room:
            _end(in_hand)
        del self._ready[: len(wanted)]
        self._pace.took(asyncio.get_running_loop().time(), len(turn.mine))
        for delivery, _, message in wanted:
            if delivery.id in turn.mine:
                self._running.add(delivery.id)
                task = asyncio.ensure_future(self._deliver(delivery, message))
                task.add_done_callback(partial(self._done, delivery.id))
        for delivery in turn.claimed:
            self._make_ready(delivery)
        if self._refused:
            await asyncio.to_thread(self._hear)
        return len(turn.claimed), turn.looked

    def _make_ready(self, delivery: Delivery) -> None:
        try:
            name, message = self._message(delivery)
        except StoreRefused:
            raise  # of the database, not of this mail
        except EmbargoError as error:
            failed = DeliveryState.FAILED
            self._outcomes.append(Outcome(id=delivery.id, epoch=delivery.epoch, state=failed, problem=str(error)))
        else:
            self._ready.append((delivery, name, message))

    def _hear(self) -> None:
        """Lets the rule of bounces judge what servers refused for good: nothing more goes to whom they do not know."""
        while self._refused:
            delivery, error = self._refused[-1]
            reports.refused(
                self._store,
                token=delivery.token,
                delivery_id=delivery.id,
                epoch=delivery.epoch,
                status=error.status,
                problem=str(error),
                now=self._clock(),
            )
            self._refused.pop()

    async def _gather(self) -> None:
        """Waits for answers: for the first, and then a moment for half of what is on its way, to write them down together."""
        self._enough = 1
        if not self._outcomes:
            await _either(self._answered, LOOK_EVERY)
        self._enough = max(1, len(self._running) // 2)
        if self._outcomes and len(self._outcomes) < self._enough:
            self._answered.clear()
            await _either(self._answered, _GATHER)
        self._answered.clear()

    def _done(self, delivery_id: int, task: asyncio.Future[Outcome]) -> None:
        # In this order: whoever looks from another thread must see that something is in hand.
        if not task.cancelled():  # else nothing is known, and its lease will run out
            self._outcomes.append(task.result())
        self._running.discard(delivery_id)
        if len(self._outcomes) >= self._enough:
            self._answered.set()

    def _message(self, delivery: Delivery) -> tuple[str, bytes]:
        release = self._about(delivery)
        key = (delivery.record_id, delivery.revision, delivery.purpose, delivery.list)
        if key not in self._letters:
            if len(self._letters) > WINDOW:
                self._letters.clear()
            known = self._lists.get(delivery.list)
            name = known.name if known else delivery.list
            self._letters[key] = self._stationery.letter(
                release, purpose=delivery.purpose, list_id=delivery.list, list_name=name
            )
        token = delivery.token
        name = self._stationery.message_id(release, revision=delivery.revision, purpose=delivery.purpose, token=token)
        made, reader = self._letters[key], delivery.recipient
        return name, addressed(made, recipient=reader, message_id=name, token=token, earlier=delivery.earlier)

    def _about(self, delivery: Delivery) -> Release:
        key = (delivery.record_id, delivery.revision, delivery.purpose)
        if self._release is None or self._release[0] != key:
            found = records.release_for(
                self._store, record_id=delivery.record_id, revision=delivery.revision, purpose=delivery.purpose
            )
            self._release = (key, found)
        release = self._release[1]
        if release is None:
            raise RenderRefused(
                output="mail", problem="the record has not been released; nothing may be sent about it."
            )
        return release

    async def _deliver(self, delivery: Delivery, message: bytes) -> Outcome:
        about = partial(Outcome, id=delivery.id, epoch=delivery.epoch)
        try:
            sender = self._stationery.return_path(delivery.token)
            await self._transport.send(message=message, sender=sender, recipient=delivery.recipient)
        except DeliveryFailed as error:
            return self._failed(delivery, error, about)
        except Exception as error:  # noqa: BLE001 - a bug met by one mail must not cost the others their outcome
            problem = f"sending it broke off with {type(error).__name__}; it may or may not have gone out"
            return about(state=DeliveryState.UNCERTAIN, problem=problem)
        self._rest_for = timedelta()
        return about(state=DeliveryState.SENT)

    def _failed(self, delivery: Delivery, error: DeliveryFailed, about: Callable[..., Outcome]) -> Outcome:
        if error.unknown:
            return about(state=DeliveryState.UNCERTAIN, problem=str(error))
        if error.final:
            self._refused.append((delivery, error))
            return about(state=DeliveryState.FAILED, problem=str(error))
        now = self._clock()
        gap = _next_try(delivery.attempts)
        if not error.met:
            self._rest(now)
            gap = _GAPS[0]  # no try at all: it is owed for as long as it takes
        if gap is None:
            return about(state=DeliveryState.FAILED, problem=str(error))
        return about(state=DeliveryState.PENDING, problem=str(error), due_at=now + gap, counted=error.met)

    def _rest(self, now: datetime) -> None:
        """No server can be reached: every other mail would fail in the same way, and is left in peace for a while."""
        if not self._is_resting():
            self._rest_for = min(max(2 * self._rest_for, _SHORT_REST), _LONG_REST)
            self._rest_until = now + self._rest_for

    def _is_resting(self) -> bool:
        # A clock that was set back must not prolong it.
        return timedelta() < self._rest_until - self._clock() <= self._rest_for

    async def invite(self) -> int:
        """Asks those who want to be put on a list to confirm it: a mail each, never a second one. Gives how many went out."""
        sent = 0
        now, limit = self._clock(), self._connections
        for ask in await asyncio.to_thread(subscribers.asks_to_send, self._store, now=now, limit=limit):
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._pace.wait(loop.time()))
            if self.audiences.stopping():
                break
            if await asyncio.to_thread(subscribers.announce_ask, self._store, ask_id=ask.id, now=self._clock()):
                self._pace.took(loop.time(), 1)
                problem, due_at = await self._ask(ask)
                sent += problem is None
                settle = partial(subscribers.settle_ask, ask_id=ask.id, problem=problem, due_at=due_at)
                await asyncio.to_thread(settle, self._store, now=self._clock())
        return sent

    async def _ask(self, ask: subscribers.Ask) -> tuple[str | None, datetime | None]:
        """Sends it. Gives what was wrong, and when to try again if no server has it."""
        try:
            names = [self._lists[name].name for name in ask.lists if name in self._lists]
            message = self._stationery.invitation(
                recipient=ask.recipient, lists=names, token=ask.token, at=ask.asked_at
            )
            sender = self._stationery.return_path(ask.token)
            await self._transport.send(message=message, sender=sender, recipient=ask.recipient)
        except DeliveryFailed as error:
            again = not (error.final or error.unknown) and self._clock() - ask.asked_at < _ASK_FOR
            return str(error), self._clock() + _GAPS[1] if again else None
        except EmbargoError as error:
            return str(error), None
        except Exception as error:  # noqa: BLE001 - a bug met by one must not cost the others their invitation
            return f"sending it broke off with {type(error).__name__}; it may or may not have gone out", None
        return None, None

    async def close(self) -> None:
        """Writes down what has ended, though the database may still be locked for a while, and parts from the server in good
        order.
        """
        stop = asyncio.Event()
        stop.set()
        try:
            for tries_left in reversed(range(_LAST_TRIES)):
                try:
                    await self.send(stop, may=lambda: False)
                    break
                except Exception:
                    if not tries_left:
                        raise
                    await asyncio.sleep(_LAST_PAUSE)
        finally:
            await self._transport.close()


def _end(waiting: Iterable[asyncio.Future[None]]) -> None:
    for each in waiting:
        if not each.done():
            each.set_result(None)


def _next_try(attempts: int) -> timedelta | None:
    """How long to wait after so many tries; ``None``: it is given up."""
    before = attempts - 1
    waited = sum(_GAPS[:before], timedelta()) + _GAPS[-1] * max(0, before - len(_GAPS))
    return None if waited >= GIVE_UP_AFTER else _GAPS[min(attempts, len(_GAPS)) - 1]


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, but no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for of Python 3.11 may lose a cancellation
            await event.wait()
