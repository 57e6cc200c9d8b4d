"""Everything that may befall records, in any order, with crashes and a clock that is set: the invariants after each step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from conftest import Clock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kit import Wire, each_mail_once, later, nothing_early, opened, projection, send, site_is_whole, sound
from sqlalchemy import event

from scheduler.errors import FileRefused, MoveRefused, NotFound
from scheduler.record import State
from scheduler.store import moves, records

NAMES = ("ant", "bee", "cat")
CANARIES = {name: f"Quokka{name}" for name in NAMES}
A, H, R, W, X = State.ATTENTION, State.HELD, State.RELEASED, State.WITHDRAWN, State.RETRACTED
# What one step may make of a state.
MAY_BECOME = {None: {A, H}, A: {A, H, W}, H: {H, A, R, W}, R: {R, X}, W: {W}, X: {X}}


class Crash(BaseException):
    """The process ends here."""


names = st.sampled_from(NAMES)
embargoes = st.sampled_from(
    ["in an hour", "in a day", "an hour ago", "on delivery", "none", "nothing", "no time at all"]
)
bodies = st.sampled_from(["A body.", "Other words.", "Words a third time."])
spans = st.sampled_from([1.0, 31.0, 3599.0, 3601.0, 86_400.0, 200_000.0])


class Newsroom(RuleBasedStateMachine):
    """A newsroom of three record files. Each step is one a service, a worker, a person or a machine may take."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.wire = Wire(self.folder / "wire")
        self.states: dict[str, State] = {}
        self.revisions: dict[str, int] = {}
        self._start()

    def _start(self) -> None:
        self.office = opened(self.folder, self.clock)
        self.shown = projection(self.office)
        self.shown.rebuild(now=self.clock())

    def teardown(self) -> None:
        self.office.store.close()
        shutil.rmtree(self.folder)

    def _file(self, name: str, embargo: str, body: str) -> None:
        stated = {
            "in an hour": f"embargo: {later(self.clock, hours=1)}\n",
            "in a day": f"embargo: {later(self.clock, days=1)}\n",
            "an hour ago": f"embargo: {later(self.clock, hours=-1)}\n",
            "nothing": "",
            "no time at all": "embargo: 2026-02-30 09:00 EST\n",
        }.get(embargo, f"embargo: {embargo}\n")
        self.office.put(f"{name}.md", f"---\ntitle: {CANARIES[name]}\n{stated}---\n{body}\n")

    def _take(self, name: str) -> None:
        path = self.folder / "records" / f"{name}.md"
        if path.exists():
            with suppress(FileRefused):
                self.office.take(path)

    @rule(name=names, embargo=embargoes, body=bodies)
    def write(self, name: str, embargo: str, body: str) -> None:
        """A file is written or edited: accepted, amended, corrected or refused."""
        self._file(name, embargo, body)
        self._take(name)

    @rule(name=names)
    def delete(self, name: str) -> None:
        """A file disappears."""
        path = self.folder / "records" / f"{name}.md"
        if path.exists():
            path.unlink()
            moves.vanish(self.office.store, origin=str(path), now=self.clock(), actor="service")

    @rule(name=names, act=st.sampled_from(["confirm", "withdraw", "retract", "lift_by_hand"]))
    def decide(self, name: str, act: str) -> None:
        """A person decides."""
        with suppress(MoveRefused, NotFound):
            getattr(self.office, act)(name)

    @rule(name=names, span=spans)
    def amend(self, name: str, span: float) -> None:
        """A person gives a record another lift, or settles one."""
        with suppress(MoveRefused, NotFound):
            self.office.amend(name, later(self.clock, seconds=span))

    @rule()
    def wake(self) -> None:
        """The alarm rings, rightly or not: what is due lifts, and shows."""
        lifted = self.office.lift()
        assert all(each.lift_at <= self.clock() for each in lifted)
        self.shown.refresh([each.id for each in lifted], now=self.clock(), new=True)

    @rule()
    def mail(self) -> None:
        """A worker does a round."""
        send(self.office, self.wire)

    @rule(span=spans, back=st.booleans())
    def clock_is_set(self, span: float, back: bool) -> None:  # noqa: FBT001 - drawn
        """Time passes, or the clock is set back."""
        self.clock.at += timedelta(seconds=-span if back else span)

    @rule(
        act=st.sampled_from(["take", "wake", "mail", "retract", "withdraw", "lift_by_hand", "confirm"]),
        name=names,
        embargo=embargoes,
        n=st.integers(0, 12),
    )
    def crash(self, act: str, name: str, embargo: str, n: int) -> None:
        """The process ends in the midst of a move; another one starts."""
        if act == "take":
            self._file(name, embargo, "Words before a crash.")
        self._crashing(
            n, {"take": lambda: self._take(name), "wake": self.wake, "mail": self.mail}.get(act) or self._by(act, name)
        )
        self.office.store.close()
        self._start()

    def _by(self, act: str, name: str) -> Callable[[], None]:
        return lambda: self.decide(name, act)

    def _crashing(self, n: int, act: Callable[[], None]) -> None:
        left = [n]

        def count(*_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        event.listen(self.office.store.engine, "before_cursor_execute", count)
        try:
            act()
        except Crash:
            pass
        finally:
            event.remove(self.office.store.engine, "before_cursor_execute", count)

    @invariant()
    def nothing_is_amiss(self) -> None:
        """States, revisions, instants, the trail, the site and the mail are as the design wants them."""
        for standing in records.listed(self.office.store):
            assert standing.state in MAY_BECOME[self.states.get(standing.id)]
            assert 0 <= standing.revision - self.revisions.get(standing.id, 0) <= 1
            self.states[standing.id], self.revisions[standing.id] = standing.state, standing.revision
        sound(self.office)
        nothing_early(self.office, CANARIES)
        self.shown.follow(now=self.clock())
        nothing_early(self.office, CANARIES)
        site_is_whole(self.office)
        each_mail_once(self.office, self.wire)


Newsroom.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestNewsroom(Newsroom.TestCase):
    """Whatever befalls records, in any order, with crashes and clocks set: the invariants hold after every step."""
