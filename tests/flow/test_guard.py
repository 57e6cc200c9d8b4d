"""The clock guard: what puts the host's clock in doubt, what settles it, and that nothing lifts meanwhile."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from conftest import NOW, eventually
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import typed

from scheduler import clock
from scheduler.daemon import guard as guarding
from scheduler.daemon.guard import Doubt, Guard, Host, Witness
from scheduler.store import moves, open_store

TOLERANCE = timedelta(seconds=0.5)


@dataclass
class Machine:
    """A host whose clocks the test sets."""

    wall: datetime = NOW
    steady: timedelta = timedelta(hours=5)
    boot: str | None = "boot 1"
    unsynchronised: bool | None = False
    hold: bool = False
    guards: list[Guard] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host(
            wall=lambda: self.wall,
            steady=lambda: self.steady,
            boot_id=lambda: self.boot,
            unsynchronised=lambda: self.unsynchronised,
        )

    def pass_by(self, seconds, *, rate=1.0):
        """Time that passes; with a `rate`, while an NTP client slews the clock."""
        self.wall += timedelta(seconds=seconds * rate)
        self.steady += timedelta(seconds=seconds * rate)

    def step(self, seconds):
        self.wall += timedelta(seconds=seconds)

    def reboot(self, *, down=60.0):
        self.wall += timedelta(seconds=down)
        self.boot, self.steady = f"{self.boot}+", timedelta(seconds=10)

    def service(self, store):
        """A service that starts, after another was killed."""
        made = Guard(store, key="clock", host=self.host, actor="service")
        made.configure(tolerance=TOLERANCE, hold=self.hold, servers=[])
        made.start()
        self.guards.append(made)
        return made


@pytest.fixture
def machine(caplog):
    caplog.set_level(logging.INFO)
    made = Machine()
    yield made
    for each in made.guards:
        each.stop()


def doubts(guard):
    guard.tick()
    return set(guard._known.doubts)


def trust(office, machine, *, running):
    known, reading, _, found = guarding.examine(
        office.store, key="clock", host=machine.host, tolerance=TOLERANCE, hold=machine.hold
    )
    guarding.trust(
        office.store,
        key="clock",
        known=known,
        reading=reading,
        found=known.doubts or found,
        running=running,
        reason="I looked",
        actor="editor@desk",
    )


def test_a_forward_step_stops_the_lifts_until_the_clock_is_back(office, machine):
    """A clock that was stepped forward lifts nothing, and is believed again when it comes back."""
    guard = machine.service(office.store)
    assert guard.look().now == machine.wall
    machine.step(3600)
    assert guard.look() is None
    assert doubts(guard) == {Doubt.STEPPED}
    machine.pass_by(30)
    assert guard.look() is None
    machine.step(-3600)
    assert guard.look().now == machine.wall
    assert guard.tick()
    assert office.events() == ["clock_suspect", "clock_came_back"]
    # The row of the doubt bears the instant that was the true one.
    assert [row.at for row in office.trail()] == [NOW, machine.wall]


def test_small_forward_steps_add_up(office, machine):
    """Steps that are each within the tolerance put the clock in doubt together, however far apart they are."""
    guard = machine.service(office.store)
    for _ in range(2):
        machine.step(0.24)
        machine.pass_by(86400)
        assert doubts(guard) == set()
    machine.step(0.24)
    assert doubts(guard) == {Doubt.STEPPED}


def test_a_clock_that_is_slewed_passes(office, machine):
    """A clock that an NTP client runs fast by 500 ppm for a day is no reason for doubt."""
    guard = machine.service(office.store)
    for _ in range(24):
        machine.pass_by(3600, rate=1.0005)
        assert doubts(guard) == set()


def test_a_backward_step_is_said_and_stops_nothing(office, machine, caplog):
    """A clock that was set back is said, believed, and may be set right again."""
    guard = machine.service(office.store)
    machine.step(-3600)
    assert guard.look().now == machine.wall
    assert guard.tick()
    assert "clock_stepped_back by_s=3600.000" in caplog.text
    assert not guard.tick()
    machine.step(3600)
    assert guard.look().now == machine.wall
    assert guard.tick()
    machine.step(-3600)
    guard.tick()
    assert office.events() == ["clock_stepped_back"] * 2


def test_a_clock_that_stays_set_back_is_the_one_to_go_by(office, machine):
    """A clock that stood lower for ten minutes and is then set forward again is in doubt: the lower one was the right one."""
    guard = machine.service(office.store)
    machine.step(-30)
    guard.tick()
    machine.pass_by(601)
    guard.tick()
    machine.step(30)
    assert guard.look() is None


_EVENTS = st.tuples(
    st.sampled_from([0.25, 5.0, 400.0, 86400.0]), st.sampled_from([0, 0, 0.3, -0.3, 30, -30, 3600]), st.booleans()
)


@settings(max_examples=60)
@given(events=st.lists(_EVENTS, max_size=12))
def test_no_clock_that_is_fast_is_believed(tmp_path_factory, events):
    """Whatever steps, kills and waits follow a right start, no clock is believed that is fast by more than the tolerance."""
    machine, true = Machine(), NOW
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('guard')}/embargo.db")
    guard = machine.service(store)
    assert guard.look() is not None
    for seconds, step, killed in events:
        machine.pass_by(seconds)
        true += timedelta(seconds=seconds)
        machine.step(step)
        guard = machine.service(store) if killed else guard
        assert guard.look() is None or machine.wall - true <= TOLERANCE
        guard.tick()
    for each in machine.guards:
        each.stop()
    store.close()


def test_what_was_known_of_the_clock_outlives_the_service(office, machine):
    """A step made while the service was down is found at its start, within one boot of the machine."""
    machine.service(office.store)
    machine.pass_by(7200)
    machine.step(60)
    guard = machine.service(office.store)
    assert guard.look() is None
    assert machine.service(office.store).look() is None
    machine.step(-60)
    assert machine.service(office.store).look() is not None
    machine.step(60)
    machine.reboot()
    assert machine.service(office.store).look() is not None


def test_without_a_boot_id_nothing_is_compared_across_a_start(office, machine):
    """Where the kernel doesn't say which boot this is, the comparison begins anew at each start."""
    machine.boot = None
    machine.service(office.store)
    machine.step(60)
    guard = machine.service(office.store)
    assert guard.look() is not None
    machine.step(1)
    assert guard.look() is None


def test_a_clock_behind_the_trail_waits_until_it_has_caught_up(office, machine):
    """A clock that starts behind the newest row of the trail lifts nothing until it has caught up with it."""
    office.record()
    machine.wall = datetime(1970, 1, 1, tzinfo=UTC)
    guard = machine.service(office.store)
    assert doubts(guard) == {Doubt.BEHIND}
    machine.pass_by(3600)
    assert guard.look() is None
    machine.wall = NOW + timedelta(minutes=5)
    assert guard.look() is not None
    guard.tick()
    machine.step(60)
    assert guard.look() is None


def test_what_came_in_by_a_wrong_clock_raises_no_doubt_about_the_right_one(office, machine):
    """What was taken in while the clock was fast puts it in no doubt after it was set right, the service being down or not."""
    guard = machine.service(office.store)
    machine.step(3600)
    guard.tick()
    office.clock.at = machine.wall
    office.record()
    machine.step(-3600)
    assert machine.service(office.store).look() is not None


def test_a_person_settles_a_doubt(office, machine, caplog):
    """What a person trusts is the clock as the service found it: it acts on that, and doubts any further step."""
    guard = machine.service(office.store)
    machine.step(3600)
    guard.tick()
    trust(office, machine, running=True)
    assert guard.look() is None
    assert guard.tick()
    assert guard.look().now == machine.wall
    assert "clock_trusted" in caplog.text
    assert machine.service(office.store).look() is not None
    machine.step(1)
    assert guard.look() is None
    guard.tick()
    assert office.events() == ["clock_suspect", "clock_trusted", "clock_suspect"]
    [settled] = [row for row in office.trail() if row.event == "clock_trusted"]
    assert settled.actor == "editor@desk"
    assert settled.detail == '{"reason":"I looked","stepped_ms":3600000}'


def test_trust_is_for_what_the_service_saw(office, machine):
    """A further step is told of anew; one that the service had not seen when a person trusted the clock is not trusted."""
    guard = machine.service(office.store)
    for seconds in (3600, 1800):
        machine.step(seconds)
        guard.tick()
    assert guard._known.doubts == {Doubt.STEPPED: 5400.0}
    machine.step(60)
    trust(office, machine, running=True)
    guard.tick()
    assert guard._known.doubts == {Doubt.STEPPED: 60.0}
    machine.step(-60)
    assert guard.look() is not None


def test_a_doubt_is_settled_while_no_service_runs(office, machine):
    """A clock behind the trail may be trusted before the service starts."""
    office.record()
    machine.step(-3600)
    trust(office, machine, running=False)
    assert machine.service(office.store).look() is not None


@pytest.mark.parametrize("hold", [False, True])
def test_a_kernel_that_says_unsynchronised(office, machine, caplog, hold):
    """A kernel that calls its clock unsynchronised is an alarm, and stops the lifts where the settings say so."""
    machine.hold = hold
    guard = machine.service(office.store)
    machine.unsynchronised = True
    machine.pass_by(60)
    assert doubts(guard) == ({Doubt.UNSYNCHRONISED} if hold else set())
    assert caplog.text.count("clock_unsynchronised") == 1
    if hold:
        trust(office, machine, running=True)
        guard.tick()
    machine.pass_by(60)
    assert doubts(guard) == set()
    assert caplog.text.count("clock_unsynchronised") == 1


def test_a_witness_that_says_fast(office, machine, caplog):
    """An NTP server that says the clock is fast stops the lifts until the clock is set right; a silent one does not."""
    guard = machine.service(office.store)
    guard.hear([Witness(server="a.example", problem="no answer"), Witness(server="b.example", ahead=-TOLERANCE * 9)])
    assert doubts(guard) == set()
    assert 'witness_silent server=a.example problem="no answer"' in caplog.text
    # A second ahead, give or take 0.6 s, is within the tolerance.
    guard.hear([Witness(server="b.example", ahead=timedelta(seconds=1), within=timedelta(seconds=0.6))])
    assert doubts(guard) == set()
    guard.hear([Witness(server="b.example", ahead=timedelta(seconds=2))])
    assert doubts(guard) == {Doubt.WITNESS}
    guard.hear([Witness(server="b.example", problem="no answer")])
    assert doubts(guard) == {Doubt.WITNESS}
    machine.step(-2)
    assert doubts(guard) == set()
    machine.step(2)
    guard.tick()
    trust(office, machine, running=True)
    assert guard.tick()
    assert doubts(guard) == set()


class Ntp(socketserver.BaseRequestHandler):
    """An NTP server whose clock differs from ours by so many seconds."""

    differs, stratum = -3600.0, 2

    def handle(self):
        data, out = self.request
        now = time.time() + self.differs + 2208988800
        stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
        head = struct.pack("!BBBb11I", 0x24, self.stratum, 6, -20, *[0] * 11)[:24]
        out.sendto(head + data[40:48] + stamp + stamp, self.client_address)


@contextlib.contextmanager
def serving(handler):
    server = socketserver.UDPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_witnesses_are_asked(office, machine):
    """An NTP server is asked how far the clock is ahead; one without the time, and one that is not there, say nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{deaf.getsockname()[1]}"
        with serving(Ntp) as good, serving(type("Lost", (Ntp,), {"stratum": 16})) as lost:
            said = guarding.ask([good, lost, silent, "nowhere.invalid"])
            guard = machine.service(office.store)
            guard.configure(tolerance=TOLERANCE, hold=False, servers=[good])
            eventually(lambda: doubts(guard) == {Doubt.WITNESS}, "the witness to be heard")
    assert abs(said[0].ahead - timedelta(hours=1)) < timedelta(seconds=1)
    assert [each.problem is None for each in said] == [True, False, False, False]
    assert said[1].problem == "it does not know the time itself"


def test_the_alarm_repeats_while_the_doubt_lasts(office, machine, caplog):
    """A clock in doubt is an alarm at once and again each minute, and at each start."""
    guard = machine.service(office.store)
    machine.step(3600)
    for count in (1, 2, 3):
        guard.tick()
        guard.tick()
        assert caplog.text.count("clock_suspect") == count
        machine.pass_by(60)
    machine.service(office.store)
    assert caplog.text.count("clock_suspect") == 4


def test_a_process_that_was_stopped_between_the_two_clocks_reads_again():
    """The two clocks are read again where the process was stopped between them: that would look like a step."""
    steady = iter([timedelta(seconds=at) for at in (1, 11, 11, 11)])
    reading = clock.read(lambda: NOW, lambda: next(steady))
    assert reading.steady == timedelta(seconds=11)


def test_the_real_clocks_agree():
    """The host's own clocks give an instant, a time since the boot that runs on, and no surprise in between."""
    first, second = clock.read(), clock.read()
    assert first.steady <= second.steady
    assert abs(second.zero_at - first.zero_at) < TOLERANCE
    assert clock.kernel_says_unsynchronised() in {True, False, None}
    assert clock.boot_id() == clock.boot_id()


def test_only_what_is_too_late_is_held(office):
    """With `release_within`, what fell due before that and was accepted in time goes to attention, and nothing else."""
    for hour in (8, 9, 10):
        office.record(f"at{hour}", embargo=f"2026-12-01 {hour:02}:00 America/New_York")
    office.clock.at = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
    before = office.clock() - timedelta(hours=1.5)
    held = moves.hold_overdue(office.store, now=office.clock(), before=before, actor="service")
    assert held == [(office.get("at8").uuid, datetime(2026, 12, 1, 13, tzinfo=UTC))]
    assert [each.id for each in office.lift()] == ["at9", "at10"]
    assert "while the service was down" in office.get("at8").reason


def test_a_reason_is_asked_for_where_there_is_a_doubt_to_settle(house):
    """`embargo clock trust` says at once that there is nothing to settle; where there is, it asks why, and the queue says so."""
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 UTC")))
    done = house.run("clock", "trust")
    assert (done.returncode, "Reason" in done.stdout + done.stderr) == (1, False)
    assert "there is nothing to settle" in done.stdout
    # The clock is behind what was written by it.
    house.raw("DROP TRIGGER trail_refuses_update", "UPDATE trail SET at = at + CAST(3600 AS BIGINT) * 1000000")
    assert "The clock is suspect" in house.json("queue")["standstill"][0]
    assert "The clock is suspect" in house.run("queue").stdout
    assert (house.run("clock", "trust", "--reason", " ").returncode, house.run("clock").returncode) == (2, 1)
    done = house.run("clock", "trust")
    assert (done.returncode, "--reason" in done.stderr) == (2, True)
    status, seen = typed(house, "clock", "trust", answers=["It is right"])
    assert (status, "Trusted" in seen) == (0, True)
    assert "It is right" in house.json("trail")[-1]["detail"]
    assert (house.run("clock").returncode, house.json("queue")["standstill"]) == (0, [])
