"""Moving to another database: real servers, real files, kills at every step, and rows held against each other by other means."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from conftest import NOW, SQLITE, Office, ahead, eventually, words
from mail_kit import DESK, FAILED, SENT, UNCERTAIN, ZOE, announce, claim, freeze, listed, released, settle

from scheduler.errors import FileRefused, StoreRefused
from scheduler.store import fence, open_store, schema, subscribers, trail, transfer, vitals
from scheduler.store.transfer import rows as compared
from scheduler.store.vitals import Vitals

LATER = NOW + timedelta(days=1)
OF_PLACE = ("instance", "moved", "arriving")


def url(path) -> str:
    return f"sqlite:///{path}"


def move(source, target, *, now=LATER, told=lambda *_: None) -> transfer.Moved:
    ends = transfer.address(source), transfer.address(target)
    return transfer.move(*ends, now=now, actor="editor@desk", reason="the office grows", told=told)


def ask(database, query):
    """Rows, read past the store by the drivers themselves."""
    if database.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)) as db:
            return db.execute(query).fetchall()
    with psycopg.connect(database, autocommit=True) as db:
        done = db.execute(query)
        return done.fetchall() if done.description else []


def content(database):
    """Every row of every table; without what says where the database is, and that it was moved."""
    found = {}
    for table in schema.metadata.sorted_tables:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        found[table.name] = sorted(ask(database, f"SELECT {names} FROM {table.name}"), key=repr)
    found["meta"] = [row for row in found["meta"] if row[0] not in OF_PLACE]
    found["trail"] = [row for row in found["trail"] if row[3] != "moved"]
    del found["trail_head"]
    return found


def is_empty(database):
    if database.startswith("sqlite"):
        return not any(database.rpartition("/")[2] == each for each in folder_of(database))
    return ask(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def folder_of(database):
    return [path.name for path in transfer.file_of(transfer.address(database)).parent.iterdir()]


@pytest.fixture
def rich(tmp_path, parts):
    """The address of a file of which no table is empty. Nobody has it open."""
    office = Office(tmp_path, parts, open_store(url(tmp_path / "embargo.db")))
    listed(office, press=(DESK, ZOE), wire=("wire@example.com",))
    (office.folder / "records").mkdir(exist_ok=True)
    (office.folder / "records" / "b.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 2000 + b"\n%%EOF\n")
    released(office, "αθήνα", body="Η κυβέρνηση ανακοινώνει. 政府は発表する。 Ünïcødé 🎺 \u0301", title="Ανακοίνωση")  # noqa: RUF001
    released(office, "Zürich", keys="attachments:\n- {file: b.pdf, title: Bericht}\n")
    freeze(office)
    work = claim(office, "w")
    announce(office, "w", work)
    for state, one in zip((SENT, FAILED, UNCERTAIN), work, strict=False):
        settle(office, "w", state, [one])
    released(office, "retracted")
    office.retract("retracted")
    office.record("held")
    office.record("held", body="A second revision.")
    office.record("attention", embargo=None)
    office.record("withdrawn")
    office.withdraw("withdrawn")
    with pytest.raises(FileRefused):
        office.record("refused", keys="nonsense: 1\n")
    now = office.clock()
    subscribers.forget(office.store, address="zoe@example.net", reason="asked", now=now, actor="editor@desk")
    subscribers.ask(
        office.store, recipient="Žanna <ann@example.org>", lists=["press"], wording="Ja", asked_from="::1", now=now
    )
    office.raw("INSERT INTO reports (digest, at, kind, detail) VALUES ('d', 1, 'hard', 'Δ')")
    office.store.close()
    return url(tmp_path / "embargo.db")


def test_everything_arrives_and_comes_back(rich, server, tmp_path):
    """Moved from SQLite to PostgreSQL, on to another, back to SQLite, and to another file, every row is what it was."""
    before = content(rich)
    assert [name for name, rows in before.items() if not rows] == []
    assert {row[5] for row in before["records"]} >= {"held", "attention", "released", "withdrawn", "retracted"}
    places = [rich, server.new(), server.new(), url(tmp_path / "back.db"), url(tmp_path / "new folder" / "on.db")]
    steps = []
    for source, target in pairwise(places):
        moved = move(source, target, told=lambda *step: steps.append(step))
        assert content(target) == before == content(source)
        assert {name: moved.rows[name] for name in ("records", "deliveries", "attachment_chunks")} == {
            name: len(before[name]) for name in ("records", "deliveries", "attachment_chunks")
        }
        total = sum(moved.rows.values())
        assert [step for step in steps if step[1] == total == step[2]] == [
            ("copied", total, total),
            ("compared", total, total),
        ]
        store = open_store(target)
        with store.read() as db:
            last = list(trail.rows(db))[-1]
            assert trail.verify(db) == (moved.trail, [])
        assert fence.examine(store) == ((), None)
        for act in ("UPDATE trail SET actor = 'x'", "DELETE FROM trail"):
            with pytest.raises((sqlite3.Error, psycopg.Error), match="append-only"):
                ask(target, act)
        store.close()
        assert (last.event, last.actor) == ("moved", "editor@desk")
        told = {"from": source, "to": target, "reason": "the office grows", "rows": total}
        assert json.loads(last.detail) == told


SOMEBODY = (
    "INSERT INTO subscribers (list, address, recipient, token, state, origin, listed, reading, since_at) "
    "VALUES ('press', 'bob@example.org', 'bob@example.org', 'bob', 'active', 'command', 0, 0, 1)"
)


def test_new_rows_get_numbers_of_their_own(rich, server, tmp_path):
    """After a move new rows are written beside the old ones, under numbers that none of them has or had."""
    there, on = server.new(), server.new()
    move(rich, there)
    ask(there, "SELECT setval('subscribers_id_seq', 5000)")  # rows of such numbers were there, and are gone
    move(there, on)
    assert ask(on, f"{SOMEBODY} RETURNING id") == [(5001,)]
    [(highest,)] = ask(on, "SELECT max(id) FROM deliveries")
    assert ask(on, "SELECT nextval('deliveries_id_seq')") == [(highest + 1,)]
    back = url(tmp_path / "back.db")
    move(on, back)
    assert ask(back, f"{SOMEBODY.replace('bob', 'eve')} RETURNING id") == [(5002,)]


def test_a_row_that_differs_is_found(rich, server):
    """A row that was changed on the way, is missing or came from elsewhere is named with its table and its key."""
    there = server.new()
    move(rich, there)
    stores = [open_store(each) for each in (rich, there)]

    def difference():
        with stores[0].read() as one, stores[1].read() as two:
            compared.compare(one, two, 0, lambda *_: None)

    ask(there, "DELETE FROM meta WHERE key NOT IN ('store_id', 'schema')")
    ask(rich, "DELETE FROM meta WHERE key NOT IN ('store_id', 'schema')")
    with pytest.raises(StoreRefused, match=r"Table trail, row \d+: "):  # the row about the move itself
        difference()
    ask(there, "UPDATE records SET origin = 'elsewhere' WHERE id = 'αθήνα'")
    with pytest.raises(StoreRefused, match="Table records, row αθήνα: "):
        difference()
    ask(there, "INSERT INTO forgotten VALUES ('0', 1)")
    with pytest.raises(StoreRefused, match=r"Table forgotten, row [0-9a-f]{64}: "):
        difference()
    ask(there, "DELETE FROM forgotten")
    with pytest.raises(StoreRefused, match=r"Table forgotten, row [0-9a-f]{64}: "):
        difference()
    for store in stores:
        store.close()


MANGLED = """
CREATE FUNCTION mangle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := NEW.title || '!'; RETURN NEW; END $$;
CREATE FUNCTION begin_mangling() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.revisions') THEN
    CREATE TRIGGER mangle BEFORE INSERT ON revisions FOR EACH ROW EXECUTE FUNCTION mangle();
  END IF;
END $$;
CREATE EVENT TRIGGER begin_mangling ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION begin_mangling();
"""


def test_what_does_not_arrive_as_it_left_is_not_moved(rich, server):
    """Where a row does not arrive as it left, or can't, nothing is moved: the new database is empty, the old one in use."""
    before, there = content(rich), server.new()
    ask(there, MANGLED)
    with pytest.raises(StoreRefused, match=r"Table revisions, row Zürich, 1: it did not arrive as it left"):
        move(rich, there)
    ask(rich, "UPDATE reports SET detail = 'a' || char(0) || 'b'")
    plain = server.new()
    with pytest.raises(StoreRefused, match=r"Table reports, one of the rows from 1 to 1: .* does not take it"):
        move(rich, plain)
    ask(rich, "UPDATE reports SET detail = 'Δ'")
    assert is_empty(there)
    assert is_empty(plain)
    assert content(rich) == before
    move(rich, plain)
    assert content(plain) == before


def test_a_place_that_is_taken_is_left_as_it_is(rich, server, tmp_path):
    """A database or file that has something in it already is refused, and so is another kind of address."""
    before = content(rich)
    file = tmp_path / "there.db"
    file.write_bytes(b"precious")
    taken = server.new()
    ask(taken, "CREATE TABLE precious (x int)")
    for target in (url(file), taken, rich):
        with pytest.raises(StoreRefused, match="is not empty, and it is left as it is"):
            move(rich, target)
    (tmp_path / "lonely.db.heads").write_text("proof")
    with pytest.raises(StoreRefused, match=r"lonely\.db\.heads is there already"):
        move(rich, url(tmp_path / "lonely.db"))
    for wrong in ("mysql://x/y", "sqlite://", "nonsense"):
        with pytest.raises(StoreRefused, match="no database address"):
            move(rich, wrong)
    with pytest.raises(StoreRefused, match="There is no database"):
        move(url(tmp_path / "absent.db"), url(tmp_path / "new.db"))
    with pytest.raises(StoreRefused, match="is empty, or of an older version"):
        move(server.new(), url(tmp_path / "new.db"))
    assert file.read_bytes() == b"precious"
    assert not (tmp_path / "new.db").exists()
    assert content(rich) == before
    there = server.new()
    move(rich, there)
    with pytest.raises(StoreRefused, match="is fenced: It was moved to"):
        move(rich, url(tmp_path / "new.db"))


def test_mail_in_hand_is_waited_for(rich, server):
    """While a worker has mail in hand nothing is moved; its lease ends by itself if it was killed."""
    ask(
        rich,
        f"UPDATE deliveries SET state = 'claimed', worker = 'w', lease_until = {schema.micros(LATER)} WHERE id = 1",
    )
    there = server.new()
    with pytest.raises(StoreRefused, match="The worker w has mail in hand"):
        move(rich, there, now=NOW)
    assert is_empty(there)
    move(rich, there)
    on = server.new()
    ask(there, f"UPDATE deliveries SET lease_until = {schema.micros(LATER)} + 1 WHERE id = 1")
    with pytest.raises(StoreRefused, match="The worker w has mail in hand"):
        move(there, on)
    assert is_empty(on)


def test_a_service_on_a_server_shows(rich, server, tmp_path):
    """On PostgreSQL a service is known by its connection, and by a heartbeat of the last seconds where it has lost that."""
    there, on = server.new(), url(tmp_path / "on.db")
    move(rich, there)
    store = open_store(there)
    with store.read(), pytest.raises(StoreRefused, match=r"command is connected to postgresql://.* from 127\.0\.0\.1"):
        move(there, on)
    sign = Vitals(
        at=LATER,
        pid=1,
        host="far",
        started_at=NOW,
        ready=True,
        armed_for=None,
        config_at=NOW,
        site_at=None,
        children=(),
    )
    vitals.write(store, sign)
    store.close()
    with pytest.raises(StoreRefused, match="A service runs on far: stop it"):
        move(there, on)
    assert is_empty(on)
    server.sql(
        "UPDATE meta SET value = jsonb_set(value::jsonb, '{server_at}', to_jsonb(now() - interval '10 s')) "
        "WHERE key LIKE 'vitals:%'",
        database=there.rpartition("/")[2],
    )
    move(there, on)
    assert ask(on, "SELECT count(*) FROM meta WHERE key LIKE 'vitals:%'") == [(0,)]


def test_whoever_looks_into_the_file_is_in_the_way(rich, server, tmp_path):
    """A file that any program has open is not moved, and neither is a copy of another's store."""
    there = server.new()
    with contextlib.closing(sqlite3.connect(rich.removeprefix("sqlite:///"))) as db:
        db.execute("SELECT count(*) FROM records").fetchall()
        with pytest.raises(StoreRefused, match=r"Another program has .* open"):
            move(rich, there)
    store = open_store(rich)
    fence.hold(store, now=NOW)
    store.close()
    shutil.copy(rich.removeprefix("sqlite:///"), tmp_path / "copy.db")
    with pytest.raises(StoreRefused, match=r"is fenced: .*came here alone"):
        move(url(tmp_path / "copy.db"), there)
    assert is_empty(there)


KILLS = """
import os, signal, sys
from datetime import UTC, datetime
from scheduler.store import transfer
STEPS = {transfer.move.__code__, transfer.fence.arrive.__code__}

def victim(source, target, count):
    # It kills itself at the line of these steps with this number.
    left = [count]
    def trace(frame, event, _):
        if frame.f_code not in STEPS:
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    ends = transfer.address(source), transfer.address(target)
    transfer.move(*ends, now=datetime(2026, 12, 1, 12, tzinfo=UTC), actor="a", reason=None, told=lambda *_: None)
    os._exit(0)

for line in sys.stdin:
    source, target, count = line.split()
    pid = os.fork()
    if pid == 0:
        victim(source, target, int(count))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture
def killed():
    """A move in a process of its own that is killed at the step with this number: its exit status."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:

        def at(source, target, count):
            process.stdin.write(f"{source} {target} {count}\n")
            return int(process.stdout.readline())

        yield at
        process.stdin.close()


def in_use(database):
    if is_empty(database):
        return False
    store = open_store(database)
    try:
        return not fence.examine(store).why
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_kill_at_any_step_leaves_one_database_in_use_at_most(rich, server, tmp_path, killed, kind):
    """Kill -9 at any step of a move leaves the old database whole and in use, or the new one, or tells what to type."""
    before, kills, ended = content(rich), 0, set()
    file, kept, there = tmp_path / "embargo.db", tmp_path / "kept.db", server.new()
    shutil.copy(file, kept)
    while True:
        file.unlink()
        shutil.copy(kept, file)
        target = there if kind == "postgresql" else url(tmp_path / f"to{kills}.db")
        ask(there, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        if (status := killed(rich, target, kills + 1)) == 0:
            break
        assert status == -9
        kills += 1
        used = in_use(rich), in_use(target)
        assert used != (True, True)
        if used == (False, True):
            assert content(target) == before
            ended.add("arrived")
        elif used == (False, False):
            assert move(rich, target).resumed
            ended.add("ended")
        elif is_empty(target):
            if "again" not in ended:
                assert not move(rich, target).resumed
            ended.add("again")
        else:
            with pytest.raises(StoreRefused, match="what is left of a move that was cut off, and is not in use"):
                move(rich, target)
            ended.add("refused")
        assert content(rich) == before
    assert kills > 20
    assert ended == {"again", "refused", "ended", "arrived"}


def settings(house, database):
    """The settings with another database."""
    lines = house.config.read_text().splitlines()
    return "\n".join(f"database: {database}" if line.startswith("database:") else line for line in lines) + "\n"


def test_a_newsroom_moves_to_postgresql_and_back(house, server):
    """What was held lifts on its instant after the move, once, with its mails; no service starts on the old database."""
    house.config.write_text(settings(house, SQLITE))
    there, file = server.new(), url(house.folder / "var" / "back.db")
    at = ahead(15)
    house.record("one", embargo=words(at))
    house.start()
    eventually(lambda: house.state("one"), "the record to be held")
    refused = house.run("migrate-database", SQLITE, there)
    assert (refused.returncode, "A service runs on" in refused.stderr) == (1, True), refused.stderr
    assert is_empty(there)
    house.stop()
    moved = house.run("migrate-database", SQLITE, there, "--reason", "more machines", "--json")
    assert moved.returncode == 0, moved.stderr
    assert json.loads(moved.stdout)["rows"]["records"] == 1
    for command in (("run",), ("worker",), ("worker", "--once")):
        old = house.run(*command)
        assert (old.returncode, "is not in use any more. It was moved to postgresql://" in old.stderr) == (1, True)
    assert "The store is fenced" in house.run("queue").stdout
    house.config.write_text(settings(house, there))
    house.start()
    eventually(lambda: house.state("one") == "released", "the lift")
    mails = house.folder / "var" / "mail" / "new"
    eventually(lambda: mails.is_dir() and len(list(mails.iterdir())) == 2, "the mails")
    [row] = [row for row in house.json("trail") if row["event"] == "released"]
    assert row["at"] >= at.isoformat()
    refused = house.run("migrate-database", there, file)
    assert (refused.returncode, "is connected to postgresql://" in refused.stderr) == (1, True), refused.stderr
    house.stop()
    moved = house.run("migrate-database", there, file)
    assert moved.returncode == 0, moved.stderr
    assert f"database: {file}" in moved.stdout
    old = house.run("run")
    assert (old.returncode, "It was moved to sqlite:///" in old.stderr) == (1, True)
    house.config.write_text(settings(house, file))
    house.record("two", embargo="none")
    house.start()
    eventually(lambda: house.state("two") == "released", "the next record")
    eventually(lambda: len(list(mails.iterdir())) == 4, "its mails, and no other")
    assert [row["event"] for row in house.json("trail")].count("moved") == 2
    assert house.json("trail", "verify")["broken"] == []


def test_an_abandoned_move_is_taken_back(rich, server, tmp_path):
    """Who adopts the old database goes on with it; a database on a server is fenced by a move alone."""
    there = server.new()
    move(rich, there)
    move(there, url(tmp_path / "on.db"))
    for database in (rich, there):
        store = open_store(database)
        assert "goes on there" in fence.examine(store).why[0]
        with pytest.raises(StoreRefused, match="not in use any more"):
            fence.refuse_moved(store)
        fence.adopt(store, reason="the server was given up", now=LATER, actor="editor@desk")
        assert fence.examine(store).why == ()
        fence.refuse_moved(store)
        with store.read() as db:
            assert list(trail.rows(db))[-1].event == "adopted"
            assert trail.verify(db)[1] == []
        store.close()


def test_no_password_is_printed(house):
    """The password in an address shows in no sentence, whatever goes wrong."""
    house.config.write_text(settings(house, SQLITE))
    house.run("add", str(house.record("one", embargo="on delivery")))
    secret = "postgresql://embargo:s3cret-word@127.0.0.1:1/newsroom"
    for ends in ((SQLITE, secret), (secret.replace("postgresql", "mysql"), SQLITE)):
        said = house.run("migrate-database", *ends)
        assert said.returncode == 1
        assert "s3cret-word" not in said.stdout + said.stderr
        assert "Traceback" not in said.stderr
