"""Mail across machines: what procrastinate hands out, and that nothing depends on it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from aiosmtpd.controller import Controller
from conftest import SETTINGS, SQLITE, House, Office, eventually, free_port
from mail_kit import Post, freeze, listed, released, tally, turn, worker

from scheduler import config, fanout
from scheduler.daemon.upkeep import Upkeep
from scheduler.errors import StoreRefused
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import WINDOW
from scheduler.store import jobs, moves, open_store
from scheduler.store.duties import Duty, Work
from scheduler.store.ledger import SEGMENT, Segment

SQL = Path(find_spec("procrastinate").submodule_search_locations[0]) / "sql"
MANY = tuple(f"p{number}@example.org" for number in range(2 * SEGMENT + 100))
LONG, SHORT = MailList(name="Press", recipients=MANY), MailList(name="Wire", recipients=("wire@example.com",))


@pytest.fixture
def office(tmp_path, parts, server):
    """A newsroom's pipeline in this process, on PostgreSQL, whose clock is far ahead: the test's decides."""
    store = open_store(server.new(clock="'2100-01-01Z'::timestamptz"))
    yield Office(tmp_path, parts, store)
    store.close()


@pytest.fixture
def house(tmp_path, server):
    """A newsroom on PostgreSQL."""
    port = free_port()
    made = House(tmp_path, port, server.new())
    made.config.write_text(SETTINGS.format(port=port, database=made.database), "utf-8")
    (tmp_path / "records").mkdir(mode=0o700)
    yield made
    made.stop()


def waiting(office):
    """The jobs there are: task and ids."""
    rows = office.raw(
        "SELECT task_name, args FROM procrastinate_jobs WHERE task_name <> 'embargo.rescue' ORDER BY priority DESC, id"
    )
    return [(name, dict(args)) for name, args in rows]


def work(office, postroom, until):
    """One worker, as `embargo worker` runs it, until `until` says so."""

    async def run():
        stop = asyncio.Event()

        async def watch():
            try:
                await asyncio.to_thread(eventually, until, "the worker to get so far", patience=60)
            finally:
                stop.set()

        freeze = partial(asyncio.to_thread, postroom.audiences.freeze)
        taking = fanout.work(office.store, postroom, freeze, stop)
        await asyncio.gather(postroom.send(stop, may=lambda: True), taking, watch())

    asyncio.run(run())


# --- jobs and the release


def test_a_release_and_its_job_are_one_transaction(office):
    """The job that has audiences written down is committed with the release, and goes with it where that is taken back."""
    office.raw(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'full'; END $$",
        "CREATE TRIGGER broken BEFORE INSERT ON trail FOR EACH ROW WHEN (NEW.event = 'released') EXECUTE FUNCTION broken()",
    )
    office.record(embargo="none")
    with pytest.raises(Exception, match="full"):
        office.lift()
    assert waiting(office) == []
    office.raw("DROP TRIGGER broken ON trail")
    office.lift()
    assert waiting(office) == [(jobs.FREEZE, {})]


def test_one_job_waits_for_many_releases(office):
    """However many records lift, one job to write audiences down waits."""
    for number in range(3):
        released(office, f"r{number}", keys="lists: [wire]\n" if number else "")
    assert waiting(office) == [(jobs.FREEZE, {})]


def test_a_job_that_is_refused_holds_up_no_release(office):
    """Where no job can be written, records are released all the same, and their mail goes out."""
    listed(office, press=MANY)
    office.raw("ALTER FUNCTION procrastinate_defer_jobs_v1 RENAME TO gone")
    released(office)
    assert office.get().state == "released"
    assert freeze(office, {"press": LONG}) == len(MANY)
    assert waiting(office) == []


def test_each_segment_of_an_audience_is_a_job_and_what_is_urgent_goes_first(office):
    """Writing an audience down asks for a worker for each thousand of it; a job carries ids alone."""
    lists = {"press": LONG, "wire": SHORT}
    listed(office, press=MANY, wire=("wire@example.com",))
    released(office, keys="lists: [press, wire]\n")
    freeze(office, lists)
    found = [args for name, args in waiting(office) if name == jobs.DELIVER]
    assert [args["priority"] for args in found] == [1, 2, 2, 2]
    assert [args["segment"] for args in found] == [0, 0, 1, 2]
    assert all(args.keys() == {"mailing", "segment", "priority"} for args in found)


# --- segments in hand


def test_a_worker_takes_its_own_segment_and_what_is_more_urgent(office):
    """A worker with a segment of a long list in hand takes corrections before it, and nothing of other segments."""
    lists = {"press": LONG, "wire": SHORT}
    listed(office, press=MANY, wire=("wire@example.com",))
    released(office, "first", keys="lists: [wire]\n")
    freeze(office, lists)
    postroom = worker(office, Post(), lists)
    asyncio.run(postroom.send(asyncio.Event(), may=lambda: True, linger=False))
    released(office, "long", keys="lists: [press]\n")
    office.clock.pass_by(minutes=1)
    office.record("first", embargo="none", body="Corrected.", keys="lists: [wire]\ncorrection: A figure was wrong.\n")
    freeze(office, lists)
    mailing = office.raw("SELECT id FROM mailings WHERE record_id = 'long'")[0][0]
    claimed = turn(office, "w", limit=50, segments=[Segment(mailing, 1, 2)]).claimed
    assert [each.record_id for each in claimed] == ["first"] + ["long"] * 49
    assert office.raw("SELECT DISTINCT segment FROM deliveries WHERE worker = 'w' AND record_id = 'long'") == [(1,)]


def test_a_job_that_is_run_twice_sends_nothing_twice(office):
    """Each reader has one mail, though every job is there twice."""
    listed(office, press=MANY)
    released(office)
    freeze(office, {"press": LONG})
    office.raw(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args) "
        "SELECT queue_name, task_name, priority, args FROM procrastinate_jobs"
    )
    post = Post()
    work(office, worker(office, post, {"press": LONG}), lambda: not waiting(office))
    assert Counter(to for to, _ in post.taken) == Counter(MANY)
    assert tally(office) == {"sent": len(MANY)}


def test_jobs_that_are_lost_lose_no_mail(office):
    """Where all jobs have been deleted, the ledger knows what is owed, and a worker sends it."""
    listed(office, press=MANY)
    released(office)
    freeze(office, {"press": LONG})
    office.raw("DELETE FROM procrastinate_jobs")
    post = Post()
    work(office, worker(office, post, {"press": LONG}), lambda: len(post.taken) == len(MANY))
    assert Counter(to for to, _ in post.taken) == Counter(MANY)


def test_a_worker_that_stops_puts_its_jobs_back(office):
    """What a worker had in hand when it was told to stop is another's at once."""
    listed(office, press=MANY)
    released(office)
    freeze(office, {"press": LONG})
    post = Post()
    postroom = worker(office, post, {"press": LONG})
    work(office, postroom, lambda: len(post.taken) >= 50)
    asyncio.run(postroom.close())
    assert len(post.taken) < len(MANY)
    assert office.raw("SELECT count(*) FROM procrastinate_jobs WHERE status <> 'todo'") == [(0,)]
    assert office.raw("SELECT count(*) FROM procrastinate_workers") == [(0,)]
    work(office, worker(office, post, {"press": LONG}), lambda: not waiting(office))
    assert Counter(to for to, _ in post.taken) == Counter(MANY)


def test_a_correction_overtakes_a_long_list(office):
    """A correction that comes in the middle of a long run goes before the rest of it."""
    lists = {"press": LONG, "wire": SHORT}
    listed(office, press=MANY, wire=("wire@example.com",))
    released(office, "first", keys="lists: [wire]\n")
    released(office, "long", keys="lists: [press]\n")
    freeze(office, lists)
    post = Post()

    def correct(_recipient):
        if len(post.taken) == 300:
            office.record("first", embargo="none", body="New.", keys="lists: [wire]\ncorrection: A figure was wrong.\n")

    post.before = correct
    work(office, worker(office, post, lists), lambda: not waiting(office))
    order = [to for to, _ in post.taken]
    assert Counter(order) == Counter((*MANY, "wire@example.com", "wire@example.com"))
    assert order.index("wire@example.com") < 10
    second = len(order) - 1 - order[::-1].index("wire@example.com")
    assert 300 < second < len(MANY) - WINDOW


# --- its tables


def shape(url):
    """What there is of procrastinate in a database: columns, indexes, functions, triggers, types."""
    questions = (
        "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns WHERE table_name ~ 'procra'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename ~ 'procra'",
        "SELECT proname, md5(regexp_replace(prosrc, '\\s+', ' ', 'g')) FROM pg_proc WHERE proname ~ 'procra'",
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname ~ 'procra'",
        "SELECT t.typname, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid",
        "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')",
    )
    with psycopg.connect(url) as db:
        return [sorted(map(repr, db.execute(question).fetchall())) for question in questions]


def test_older_tables_are_brought_up_to_date(server):
    """A database whose job tables are an older procrastinate's has the newest after it was opened, and its jobs are there."""
    old, fresh = server.new(), server.new()
    open_store(fresh).close()
    open_store(old).close()
    with psycopg.connect(old, autocommit=True) as db:
        db.execute("DROP SCHEMA public CASCADE")
        db.execute("CREATE SCHEMA public")
    with pytest.MonkeyPatch.context() as only_ours:
        only_ours.setattr(jobs, "install", lambda _db: None)
        open_store(old).close()
    with psycopg.connect(old) as db:
        for script in sorted((SQL / "migrations").glob("*.sql")):
            if script.name < "03":
                db.execute(script.read_text())
        db.execute("COMMENT ON TABLE procrastinate_jobs IS 'kept by Embargo: 02.14.01_01'")
        db.execute("INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('q', 'embargo.freeze', '{}')")
    open_store(old).close()
    assert shape(old) == shape(fresh)
    with psycopg.connect(old) as db:
        assert db.execute("SELECT task_name, status FROM procrastinate_jobs").fetchall() == [("embargo.freeze", "todo")]


@pytest.mark.parametrize(
    ("said", "words"), [("kept by Embargo: 99.00.00_01", "pip install --upgrade"), ("somebody's", "did not make")]
)
def test_newer_tables_and_those_of_others_are_left_alone(server, said, words):
    """Job tables of a newer procrastinate, or of another program, are refused with what to do, and not changed."""
    url = server.new()
    open_store(url).close()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"COMMENT ON TABLE procrastinate_jobs IS $${said}$$")
    before = shape(url)
    with pytest.raises(StoreRefused, match=words):
        open_store(url)
    assert shape(url) == before


@pytest.mark.parametrize("missing", ["procrastinate", "psycopg"])
def test_without_the_extra_a_server_is_refused_with_what_to_install(monkeypatch, missing):
    """A PostgreSQL address, where what it needs is not installed, is refused with the command that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(StoreRefused, match=r"pip install 'embargo-scheduler\[cluster\]'"):
        open_store("postgresql://embargo@127.0.0.1:9/newsroom")


# --- duties of one


def test_a_duty_is_one_sessions_at_a_time_and_free_when_that_ends(office):
    """What one machine does is not another's until that one lets go of it, or its connection ends."""
    other = open_store(office.store.engine.url.render_as_string(hide_password=False))
    mine, theirs, another = Duty(office.store, Work.UPKEEP), Duty(other, Work.UPKEEP), Duty(other, Work.ALERTS)
    assert mine.mine()
    assert mine.mine()
    assert not theirs.mine()
    assert another.mine()
    mine.drop()
    assert theirs.mine()
    assert not mine.mine()
    office.raw("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
    assert eventually(mine.mine, "the duty of a session that ended")
    assert not theirs.mine()
    for each in (mine, theirs, another):
        each.drop()
    other.close()


def test_a_machines_upkeep_is_done_by_one_and_taken_over(office):
    """Of two services on a database one does the upkeep; when its session ends, the other does."""
    file = office.folder / "config.yaml"
    file.write_text(SETTINGS.format(port=8080, database="sqlite:///x.db") + "backup: {folder: kept}\n", "utf-8")
    settings = config.read(file)
    url, refused = office.store.engine.url.render_as_string(hide_password=False), []

    def machine(name):
        store = open_store(url)
        told = partial(refused.append, name)  # a server's database is not ours to back up: each try is refused
        return Upkeep(store, clock=office.clock, is_calm=lambda: True, refused=lambda _: told(), fail=lambda: None)

    one, two = machine("one"), machine("two")
    for each in (one, two, one, two):
        each.tend(settings)
    assert refused == ["one", "one"]
    office.raw("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
    eventually(lambda: two.tend(settings) or "two" in refused, "the other to take over")
    one.tend(settings)
    assert refused == ["one", "one", "two"]
    for each in (one, two):
        each._duty.drop()
        each._store.close()


# --- workers as processes of their own


class Counting:
    """A mail server that counts what it takes by reader."""

    def __init__(self):
        self.taken: Counter[str] = Counter()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        assert BytesHeaderParser().parsebytes(envelope.content)["Message-ID"]
        self.taken[envelope.rcpt_tos[0]] += 1
        return "250 taken"


PEOPLE = 3 * SEGMENT


@pytest.fixture
def run(house):
    """A press list of 3,000 on a real mail server, with two workers that are ready: (house, server, workers, sql)."""
    server = Counting()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    (house.folder / "press.csv").write_text("email\n" + "".join(f"p{number}@example.org\n" for number in range(PEOPLE)))
    text = house.config.read_text().replace("maildir:var/mail", f"smtp://127.0.0.1:{controller.port}")
    house.config.write_text(text.replace('recipients: [desk@example.org, "Zoë <zoe@example.net>"]', "file: press.csv"))
    sql = house.raw
    with (house.folder / "workers.log").open("w") as log:
        workers = [
            subprocess.Popen([sys.executable, "-m", "scheduler", "worker"], cwd=house.folder, stderr=log) for _ in "ab"
        ]
    try:
        is_ready = "SELECT to_regclass('procrastinate_workers') IS NOT NULL AND to_regclass('meta') IS NOT NULL"
        eventually(lambda: sql(is_ready)[0][0], "the tables")
        eventually(lambda: sql("SELECT count(*) FROM procrastinate_workers")[0][0] == 4, "both workers")
        eventually(lambda: sql("SELECT 1 FROM meta WHERE key = 'list:press'"), "the list to be read")
        yield house, server, workers, sql
    finally:
        for each in workers:
            each.terminate()
        for each in workers:
            each.wait(30)
        controller.stop()


def release(house):
    assert house.run("add", str(house.record("one", embargo="none"))).returncode == 0
    store = open_store(house.url)
    lifted = moves.release_due(store, now=datetime.now(UTC), actor="service", default_lists=["press"])
    store.close()
    assert len(lifted) == 1


def test_two_workers_share_a_list_and_everybody_has_one_mail(run):
    """Two workers send the segments of a list of 3,000 side by side: everybody has one mail, and the ledger says so."""
    house, server, _, sql = run
    release(house)
    busy = "SELECT count(DISTINCT worker_id) FROM procrastinate_jobs WHERE task_name = 'embargo.deliver' AND status = 'doing'"
    eventually(lambda: sql(busy) == [(2,)], "both to have segments in hand")
    eventually(
        lambda: sql("SELECT 1 FROM deliveries WHERE state = 'sent' HAVING count(*) = 3000"), "the end", patience=60
    )
    assert len(server.taken) == PEOPLE
    assert set(server.taken.values()) == {1}
    eventually(
        lambda: sql("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'embargo.deliver'") == [(0,)],
        "the jobs to be done",
    )


def test_a_worker_that_is_killed_is_stood_in_for(run):
    """When a worker is killed in the middle, the other sends the rest: nobody has two mails, and what is uncertain is little."""
    house, server, workers, sql = run
    release(house)
    eventually(lambda: sum(server.taken.values()) > 500, "the run to get going", patience=60)
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
    dead = f"%:{workers[0].pid}:%"
    sql(f"UPDATE deliveries SET lease_until = 0 WHERE worker LIKE '{dead}'")  # half a minute passes
    over = "SELECT 1 FROM deliveries WHERE state IN ('sent', 'uncertain') HAVING count(*) = 3000"
    eventually(lambda: sql(over), "the end", patience=60)
    states = dict(sql("SELECT state, count(*) FROM deliveries GROUP BY state"))
    assert states.get("uncertain", 0) <= WINDOW
    assert set(server.taken.values()) == {1}
    assert states["sent"] <= len(server.taken) <= PEOPLE
    eventually(
        lambda: sql("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'embargo.deliver'") == [(0,)],
        "the jobs of the dead to be done",
    )


def test_a_server_that_starts_anew_in_the_middle_costs_nobody_his_mail(run, server):
    """When the database's server goes away in the middle of a run and comes back, the run goes on, and everybody has one mail."""
    house, mails, _, sql = run
    release(house)
    eventually(lambda: sum(mails.taken.values()) > 500, "the run to get going", patience=60)
    server.stop()
    server.start()
    eventually(lambda: sql("SELECT count(*) > 3 FROM procrastinate_workers WHERE id > 4")[0][0], "both to listen anew")
    over = "SELECT 1 FROM deliveries WHERE state IN ('sent', 'uncertain') HAVING count(*) = 3000"
    eventually(lambda: sql(over), "the end", patience=90)
    assert set(mails.taken.values()) == {1}
    assert sql("SELECT count(*) FROM deliveries WHERE state = 'sent'") == [(PEOPLE,)]
    eventually(
        lambda: sql("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'embargo.deliver'") == [(0,)],
        "the jobs to be taken up again",
        patience=60,
    )


def test_on_sqlite_procrastinate_is_never_imported(tmp_path):
    """A worker on SQLite sends its mail without loading procrastinate."""
    house = House(tmp_path, free_port(), SQLITE)
    house.config.write_text(SETTINGS.format(port=house.port, database=SQLITE), "utf-8")
    (tmp_path / "records").mkdir(mode=0o700)
    assert house.run("add", str(house.record("one", embargo="none"))).returncode == 0
    store = open_store(house.url)
    moves.release_due(store, now=datetime.now(UTC), actor="service", default_lists=["press"])
    store.close()
    with (tmp_path / "imports").open("w") as log:
        told = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
        process = subprocess.Popen([sys.executable, "-m", "scheduler", "worker"], cwd=tmp_path, stderr=log, env=told)
    try:
        eventually(lambda: len(list((tmp_path / "var" / "mail" / "new").glob("*"))) == 2, "two mails")
    finally:
        process.terminate()
        assert process.wait(30) == 0
    imported = (tmp_path / "imports").read_text()
    assert "scheduler.store.jobs" in imported
    assert not re.search(r"\| +(procrastinate|psycopg)", imported)
