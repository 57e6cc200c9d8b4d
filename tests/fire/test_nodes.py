"""Several real services on one real PostgreSQL, each with a site of its own: kills, cuts, clocks, a restart, a promotion."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import House, ahead, eventually, files_below, words
from outdoors import WallClock
from postgres_kit import Cut, Server

from scheduler.errors import StoreRefused
from scheduler.store import open_store, trail

SECOND = timedelta(seconds=1)
DOOMED = Path(__file__).parent / "doomed.py"

# Without web server and mail: no process but the one that lifts.
SETTINGS = """\
newsroom: {{name: Test Press Office, url: "http://127.0.0.1:1/", timezone: America/New_York, language: en}}
records:
  - folder: {records}
database: {database}
site: {{folder: public/, items: 50}}
embargo: {{past_on_arrival: release}}
"""


class Newsroom:
    """Nodes in folders below one folder, on one database; what the database says is asked at `server`."""

    def __init__(self, folder: Path, server: Server, url: str) -> None:
        self.folder = folder
        self.server = server
        self.url = url
        self.nodes: list[House] = []
        self.lifts: dict[str, datetime] = {}
        self._names = itertools.count()

    def node(self, *, url: str | None = None, records: str = "records/", start: bool = True) -> House:
        """One more node."""
        folder = self.folder / f"node{len(self.nodes)}"
        (folder / "records").mkdir(parents=True, mode=0o700)
        made = House(folder, 0)
        made.config.write_text(SETTINGS.format(database=url or self.url, records=records), "utf-8")
        self.nodes.append(made)
        if start:
            made.start()
        return made

    def several(self, count: int) -> list[House]:
        """So many more, started together."""
        made = [self.node(start=False) for _ in range(count)]
        with ThreadPoolExecutor(count) as starts:
            list(starts.map(House.start, made))
        return made

    def record(self, node: House, lift_at: datetime) -> str:
        """One more record, in the folder of this node; its name."""
        name = f"k{next(self._names)}"
        self.lifts[name] = lift_at
        node.record(name, embargo=words(lift_at), title=f"Quokka {name}.")
        return name

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        return self.server.sql(query, self.url.rpartition("/")[2].partition("?")[0])

    def accepted(self) -> bool:
        """Whether all are in the database."""
        return bool(self.rows("SELECT count(*) FROM records")[0][0] == len(self.lifts))

    def released(self) -> dict[str, datetime]:
        """When what was released was."""
        found = self.rows("SELECT id, released_at FROM records WHERE state = 'released'")
        return {name: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at) for name, at in found}

    def all_released(self) -> bool:
        """Whether all were."""
        return self.released().keys() == self.lifts.keys()

    def late(self) -> timedelta:
        """How late the latest was, by the clock of the database at its commit. Asserts that none was early or released twice."""
        committed = self.rows("SELECT record_id, pg_xact_commit_timestamp(xmin) FROM trail WHERE event = 'released'")
        late = [at - self.lifts[name] for name, at in committed]
        assert min(late) >= timedelta()
        events = self.rows("SELECT record_id FROM trail WHERE event = 'released'")
        assert Counter(name for (name,) in events) == dict.fromkeys(self.lifts, 1)
        return max(late)

    def agree(self) -> bool:
        """Whether the sites of all nodes that run are the same to the byte, and show everything."""
        sites = [files_below(node.folder / "public") for node in self.nodes if node.service is not None]
        whole = all(f"releases/{name}.html" in site for site in sites for name in self.lifts)
        return whole and all(site == sites[0] for site in sites)

    def proved(self) -> None:
        """Asserts that the chain of the trail is whole."""
        store = open_store(self.server.url(self.url.rpartition("/")[2].partition("?")[0]))
        try:
            with store.read() as db:
                assert not trail.verify(db)[1]
        finally:
            store.close()


def shows(node: House, name: str) -> bool:
    return f"Quokka {name}.".encode() in node.site("rss.xml")


def passed(at: datetime) -> Callable[[], bool]:
    """For `eventually`, where time itself is the event."""
    return lambda: datetime.now(UTC) >= at


@contextmanager
def newsroom_of(folder: Path, server: Server, url: str | None = None) -> Iterator[Newsroom]:
    made = Newsroom(folder, server, url or server.new())
    try:
        yield made
    finally:
        for node in made.nodes:
            if node.service is not None:
                node.service.send_signal(signal.SIGCONT)
                node.service.kill()
                node.service.wait()


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that the tests may kill."""
    made = Server(max_connections=60, track_commit_timestamp="on").make()
    yield made
    made.remove()


@pytest.fixture
def newsroom(tmp_path: Path, own_server: Server) -> Iterator[Newsroom]:
    with newsroom_of(tmp_path, own_server) as made:
        yield made


def test_any_node_may_be_killed_around_the_lifts(newsroom):
    """With three services on one database, kill -9 of any two around the lifts makes none early, late, lost or doubled."""
    first, second, _ = newsroom.several(3)
    lift_at = ahead(4)
    for number in range(24):
        newsroom.record(first, lift_at + number // 2 * SECOND / 8)
    eventually(newsroom.accepted, "all to be accepted")
    eventually(passed(lift_at + SECOND / 4), "the first lifts")
    first.kill()
    eventually(passed(lift_at + 3 * SECOND / 4), "more lifts")
    second.kill()
    eventually(newsroom.all_released, "all to be released")
    assert newsroom.late() < SECOND
    first.start()
    second.start()
    eventually(newsroom.agree, "the sites to agree")
    newsroom.proved()


def test_a_winner_that_dies_before_it_shows_is_shown_by_the_others(newsroom):
    """A service that is killed after it has committed a release and before it wrote its site: the others show it at once."""
    others = newsroom.several(2)
    doomed = newsroom.node(start=False)
    with (doomed.folder / "service.log").open("ab") as log:
        doomed.service = subprocess.Popen(
            [sys.executable, DOOMED, "run"], cwd=doomed.folder, stderr=log, stdin=subprocess.DEVNULL
        )
    eventually(lambda: "service_ready" in doomed.log, "the service to be ready")
    name = newsroom.record(others[0], ahead(3))
    eventually(newsroom.accepted, "it to be accepted")
    eventually(passed(newsroom.lifts[name] - SECOND / 2), "the moment before the lift")
    others[0].service.send_signal(signal.SIGSTOP)  # so that the other one wins
    others[1].service.send_signal(signal.SIGSTOP)
    assert doomed.service.wait(30) == -signal.SIGKILL
    assert newsroom.all_released()
    assert not shows(doomed, name)
    for other in others:
        other.service.send_signal(signal.SIGCONT)
    began = time.monotonic()
    eventually(lambda: all(shows(other, name) for other in others), "the others to show it")
    assert time.monotonic() - began < 2
    doomed.start()
    eventually(newsroom.agree, "the sites to agree")
    assert newsroom.late() < SECOND


def test_the_earlier_clock_decides(newsroom, tmp_path):
    """Hosts 3 s fast and 3 s slow: nothing lifts early by the database's clock, nor late while one is right; both say so."""
    right = newsroom.node()
    with pytest.MonkeyPatch.context() as patch:
        WallClock(tmp_path / "fast", patch).set(3 * SECOND)
        fast = newsroom.node()
    with pytest.MonkeyPatch.context() as patch:
        WallClock(tmp_path / "slow", patch).set(-3 * SECOND)
        slow = newsroom.node()
    for seconds in (3, 3.5):
        newsroom.record(right, ahead(seconds))
    eventually(newsroom.all_released, "the release")
    assert newsroom.late() < SECOND
    eventually(newsroom.agree, "the sites to agree")
    assert "server_clock_differs by_s=-3" in fast.log
    assert "server_clock_differs by_s=3" in slow.log
    assert "server_clock_differs" not in right.log
    shown = right.json("status")["node"]
    assert sorted(round(each["clock_offset_s"]) for each in shown) == [-3, 0, 3]
    # The fast one alone does not wait for a lift in a loop, and lifts by the server's clock on the instant.
    slow.kill()
    newsroom.record(right, ahead(3))
    eventually(newsroom.accepted, "it to be accepted")
    right.kill()
    eventually(newsroom.all_released, "the release")
    assert newsroom.late() < SECOND


def test_a_node_that_is_cut_off_comes_back(newsroom):
    """A service whose way to the database is cut over a lift shows it once the way is there again; the others are on time."""
    wire = Cut(newsroom.server.port)
    near = newsroom.node()
    far = newsroom.node(url=newsroom.url.replace(str(newsroom.server.port), str(wire.port)))
    name = newsroom.record(near, ahead(3))
    eventually(newsroom.accepted, "it to be accepted")
    eventually(passed(newsroom.lifts[name] - SECOND / 4), "the moment before the lift")
    wire.cut()
    eventually(lambda: shows(near, name), "the release")
    assert newsroom.late() < SECOND
    eventually(passed(newsroom.lifts[name] + 2 * SECOND), "the cut to last")
    assert not shows(far, name)
    wire.mend()
    eventually(newsroom.agree, "the sites to agree")
    wire.close()


def test_a_server_that_is_killed_and_comes_back_delays_and_forgets_nothing(newsroom):
    """PostgreSQL killed before a lift and started after it: what fell due is released when it is there, and word comes again."""
    nodes = newsroom.several(2)
    name = newsroom.record(nodes[0], ahead(3))
    eventually(newsroom.accepted, "it to be accepted")
    eventually(passed(newsroom.lifts[name] - SECOND / 4), "the moment before the lift")
    newsroom.server.stop(signal.SIGKILL)
    eventually(passed(newsroom.lifts[name] + SECOND), "the lift to pass")
    newsroom.server.start()
    back_at = datetime.now(UTC)
    eventually(newsroom.agree, "the sites to agree")
    assert newsroom.late() < back_at - newsroom.lifts[name] + 3 * SECOND
    eventually(lambda: all("listening_again" in node.log for node in nodes), "word to come again")


def test_a_server_without_a_connection_to_spare_delays_and_forgets_nothing(newsroom):
    """Where all of a server's connections are taken over a lift, it comes when one is free, and a command says what is wrong."""
    node = newsroom.node()
    name = newsroom.record(node, ahead(3))
    eventually(newsroom.accepted, "it to be accepted")
    held: list[psycopg.Connection[Any]] = []
    while not held or one_more(newsroom.server, held):
        held[:] = held or [psycopg.connect(newsroom.server.url("postgres"), autocommit=True)]
        held[0].execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'embargo'")
    with pytest.raises(StoreRefused):
        open_store(newsroom.url)
    eventually(passed(newsroom.lifts[name] + SECOND), "the lift to pass")
    assert not shows(node, name)
    for each in held:
        each.close()
    free_at = datetime.now(UTC)
    eventually(lambda: shows(node, name), "the release")
    assert newsroom.late() < free_at - newsroom.lifts[name] + 3 * SECOND


def test_a_frozen_client_does_not_hold_up_a_lift_for_long(newsroom):
    """A process frozen while it holds the lock of all decisions loses it to the server's patience, and the lift comes."""
    node = newsroom.node()
    name = newsroom.record(node, ahead(4))
    eventually(newsroom.accepted, "it to be accepted")
    holding = (
        "import sys; from scheduler.store import open_store\n"
        "with open_store(sys.argv[1]).write(): print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", holding, newsroom.url], text=True, **pipes) as frozen:
        assert frozen.stdout.readline() == "held\n"
        frozen.send_signal(signal.SIGSTOP)
        held_at = datetime.now(UTC)
        assert not newsroom.all_released()
        eventually(lambda: shows(node, name), "the release")
        frozen.kill()
    assert newsroom.released()[name] < max(newsroom.lifts[name], held_at + 3 * SECOND) + SECOND


def test_a_promoted_standby_takes_over_in_the_middle_of_lifts(tmp_path):
    """The primary is killed among lifts and its synchronous standby promoted: none is lost, early or doubled."""
    with primary_and_standby() as (primary, standby):
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'")
        primary.sql("SELECT pg_reload_conf()")
        eventually(
            lambda: primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
            "the standby to be heard",
        )
        with newsroom_of(tmp_path, primary, either(primary, standby)) as newsroom:
            nodes = newsroom.several(2)
            lift_at = ahead(4)
            for number in range(20):
                newsroom.record(nodes[0], lift_at + number * SECOND / 20)
            eventually(newsroom.accepted, "all to be accepted")
            eventually(passed(lift_at + SECOND / 2), "the first lifts")
            primary.stop(signal.SIGKILL)
            standby.promote()
            newsroom.server = standby
            back_at = datetime.now(UTC)
            eventually(newsroom.all_released, "all to be released")
            assert newsroom.late() < back_at - lift_at + 5 * SECOND
            eventually(newsroom.agree, "the sites to agree")
            newsroom.proved()
            assert not any("store_set_back" in node.log for node in nodes)


def test_what_an_asynchronous_standby_lacks_is_taken_back_and_done_again(tmp_path):
    """A promoted standby that lacks a file and a release: both come again from the file, under the same id, and it is said."""
    with (
        primary_and_standby() as (primary, standby),
        newsroom_of(tmp_path, primary, either(primary, standby)) as newsroom,
    ):
        nodes = newsroom.several(2)
        first = newsroom.record(nodes[0], ahead(3))
        eventually(newsroom.accepted, "it to be accepted")
        tags = newsroom.rows("SELECT tag FROM records")
        caught_up = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '{}'"
        [(reached,)] = primary.sql("SELECT pg_current_wal_lsn()")
        eventually(lambda: primary.sql(caught_up.format(reached)), "the standby to have it")
        standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        standby.sql("SELECT pg_reload_conf()")
        eventually(lambda: not primary.sql("SELECT 1 FROM pg_stat_replication"), "the standby to hear no more")
        second = newsroom.record(nodes[1], ahead(2))
        eventually(newsroom.accepted, "it to be accepted")
        eventually(newsroom.agree, "both to be shown")
        primary.stop(signal.SIGKILL)
        standby.promote()
        newsroom.server = standby
        eventually(lambda: all("store_set_back" in node.log for node in nodes), "it to be said")
        eventually(newsroom.all_released, "both to be released again")
        eventually(newsroom.agree, "the sites to agree")
        newsroom.late()
        newsroom.proved()
        assert tags[0] in newsroom.rows("SELECT tag FROM records")
        assert {first, second} == set(newsroom.released())


def test_a_file_that_several_see_is_taken_once(newsroom, tmp_path):
    """A folder that two services see: each file is one record, told of once; one that disappears is noted once."""
    (tmp_path / "shared").mkdir(mode=0o700)
    nodes = [newsroom.node(records=str(tmp_path / "shared")) for _ in range(2)]
    for number in range(10):
        text = f"---\ntitle: Quokka {number}.\nembargo: {words(ahead(600))}\n---\nA body.\n"
        (tmp_path / f"shared/k{number}.md").write_text(text)
    (tmp_path / "shared/bad.md").write_text("---\ntitel: A typo.\n---\nA body.\n")
    eventually(lambda: newsroom.rows("SELECT count(*) FROM records") == [(10,)], "all to be accepted")
    eventually(lambda: newsroom.rows("SELECT count(*) FROM refusals") == [(1,)], "one to be refused")
    (tmp_path / "shared/k3.md").unlink()
    eventually(lambda: any("file_vanished" in node.log for node in nodes), "it to be noted")
    (tmp_path / "shared/last.md").write_text(f"---\ntitle: Last.\nembargo: {words(ahead(600))}\n---\nA body.\n")
    eventually(lambda: newsroom.rows("SELECT count(*) FROM records") == [(11,)], "the last one")
    events = Counter(event for (event,) in newsroom.rows("SELECT event FROM trail WHERE actor = 'service'"))
    assert events == {"accepted": 11, "refused": 1, "vanished": 1}
    assert sum(node.log.count("file_refused") for node in nodes) == 1


def test_two_services_write_no_site_together(newsroom):
    """A second service with the site folder of another is refused, whose vital signs it would overwrite; each has its own."""
    first = newsroom.node()
    second = newsroom.node(start=False)
    second.config.write_text(second.config.read_text().replace("public/", str(first.folder / "public")))
    said = second.run("run")
    assert said.returncode == 1
    assert "Another service writes the site" in said.stderr + said.stdout
    assert [each["life"] for each in first.json("status")["node"]] == ["ready"]
    first.stop()
    assert newsroom.rows("SELECT key FROM meta WHERE key LIKE 'vitals:%'") == []


def one_more(server: Server, held: list[psycopg.Connection[Any]]) -> bool:
    """Takes one more connection; whether there was one."""
    with suppress(psycopg.OperationalError):
        held.append(psycopg.connect(server.url("postgres"), autocommit=True))
        return True
    return False


@contextmanager
def primary_and_standby() -> Iterator[tuple[Server, Server]]:
    primary = Server(max_connections=60, track_commit_timestamp="on").make()
    standby = primary.standby("second")
    try:
        yield primary, standby
    finally:
        standby.remove()
        primary.remove()


def either(primary: Server, standby: Server) -> str:
    """A new database on both: the address by which a node finds the one that takes writes."""
    name = primary.new().rpartition("/")[2]
    hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (primary, standby))
    return f"postgresql://embargo@/{name}?{hosts}&target_session_attrs=read-write"
