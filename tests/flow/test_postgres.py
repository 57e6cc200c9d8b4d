"""PostgreSQL: how a server is refused, what the doctor says of one, and that workers on it get in nobody's way."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from conftest import FAR_AHEAD, Office, asked, eventually, free_port, locked
from mail_kit import SENT, Post, announce, claim, drain, released, settle, tally, worker
from postgres_kit import Server

from scheduler.cli.doctor import served
from scheduler.errors import StoreRefused
from scheduler.pipeline.audience import MailList
from scheduler.pipeline.deliver import LEASE_FOR
from scheduler.store import ledger, open_store, subscribers
from scheduler.store import server as server_module
from scheduler.store.schema import metadata

PEOPLE = 2000


@pytest.fixture
def strict(server):
    """A user of the shared server who needs a password, and owns nothing."""
    hba = server.data / "pg_hba.conf"
    before = hba.read_text()
    server.sql("CREATE ROLE strict LOGIN PASSWORD 'sesame'")
    hba.write_text(f"host all strict 127.0.0.1/32 scram-sha-256\nhost all barred 127.0.0.1/32 reject\n{before}")
    server.sql("SELECT pg_reload_conf()")
    yield server.new()
    hba.write_text(before)
    server.sql("SELECT pg_reload_conf()")
    server.sql("DROP ROLE strict")


def refusal(url):
    with pytest.raises(StoreRefused) as refused:
        open_store(url)
    said = str(refused.value)
    assert "sesame" not in said
    assert "open s" not in said
    assert "\n" not in said
    return said


def test_a_server_that_can_not_be_used_is_told_with_what_to_do(strict, server):
    """Who can't get into a server's database is told why, and what to do, without the password."""
    wrong = strict.replace("embargo@", "strict:open%20sesame@")
    said = refusal(wrong)
    assert f"on 127.0.0.1:{server.port} can't be used" in said
    assert "password authentication failed" in said
    assert "Put the right one in `database:`" in said
    assert "pg_hba.conf" in refusal(strict.replace("embargo@", "barred:sesame@"))
    assert "Make that user" in refusal(strict.replace("embargo@", "nobody:sesame@"))
    assert "Make it (`createdb`)" in refusal(strict.replace("newsroom_", "nowhere_"))
    assert "own the database" in refusal(strict.replace("embargo@", "strict:sesame@"))
    away = strict.replace(f":{server.port}/", f":{free_port()}/")
    assert "Does the server run" in refusal(away)


def test_a_server_that_is_too_old_is_refused(server, monkeypatch):
    """A server older than the oldest that was tried is refused by its version, and nothing is made in it."""
    monkeypatch.setattr(server_module, "OLDEST", 99)
    url = server.new()
    assert "99 or later is needed" in refusal(url)
    assert asked(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_another_programs_tables_on_a_server_are_left_alone(server):
    """A database of another program on a server is refused, and nothing is made in it."""
    url = server.new()
    asked(url, "CREATE TABLE letters (text TEXT)")
    assert "other tables than Embargo's" in refusal(url)
    assert asked(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("letters",)]


def test_texts_sort_by_their_bytes_in_any_language(server):
    """What is in the order of names stands in the same order on every database, whatever language its server speaks."""
    url = server.new()
    open_store(url).close()
    spoken = "SELECT table_name FROM information_schema.columns WHERE data_type = 'text' AND collation_name "
    assert len(asked(url, f"{spoken} = 'C'")) > 50
    assert not {row[0] for row in asked(url, f"{spoken} IS DISTINCT FROM 'C'")} & metadata.tables.keys()


def test_nobody_empties_the_trail(server):
    """On a server the trail refuses to be emptied at once, too."""
    url = server.new()
    open_store(url).close()
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="the trail is append-only"):
        asked(url, "TRUNCATE trail")


# --- the doctor


@contextmanager
def receiving(server: Server) -> Iterator[None]:
    """A standby as far as the server can tell: it takes the write-ahead log and says what it has."""
    folder = server.folder / "received"
    folder.mkdir(exist_ok=True)
    command = [server.programs / "pg_receivewal", "-D", folder, "-h", "127.0.0.1", "-p", str(server.port)]
    with subprocess.Popen(
        [*command, "-U", "embargo", "--synchronous", "--no-loop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        eventually(lambda: server.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), "the standby")
        yield
        process.terminate()


def test_the_doctor_says_what_a_promotion_could_lose():
    """The doctor names the server and its clock, and notes where a promotion of the standby could lose what was committed."""
    server = Server(max_wal_senders=4).make()
    try:
        store = open_store(server.new())

        def standby():
            first, found, clock = served.examine(store)
            assert first.what.startswith("server: PostgreSQL 1")
            assert (clock.good, clock.what.startswith("server's clock: 0.")) == (True, True)
            assert found.good  # a choice, and so a note
            return found

        assert standby().what == "standby: none is connected"
        assert standby().remedy
        with receiving(server):
            assert standby().what == "standby: 1 connected, none of them synchronous"
            assert "its mails may go twice" in standby().why
            server.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            server.sql("SELECT pg_reload_conf()")
            eventually(lambda: "one of them synchronous" in standby().what, "the standby to be waited for")
            assert not standby().remedy
        store.close()
    finally:
        server.remove()


# --- workers side by side


@pytest.fixture
def newsroom(server, tmp_path, parts):
    office = Office(tmp_path, parts, open_store(server.new(clock=FAR_AHEAD)))
    yield office
    office.store.close()


def test_no_worker_waits_for_a_decision_and_no_decision_for_a_worker(newsroom):
    """While another decides, mails are taken, announced and settled; while a worker is at it, others decide."""
    released(newsroom)
    newsroom.record("two")
    audiences = worker(newsroom, Post()).audiences
    audiences.read()
    assert audiences.freeze() == 2
    with locked(newsroom.url):
        mails = claim(newsroom, "a")
        assert len(mails) == 2
        assert announce(newsroom, "a", mails[:1]) == {mails[0].id}
        settle(newsroom, "a", SENT, mails[:1])
        ledger.renew(newsroom.store, [mails[1].id], worker="a", now=newsroom.clock(), lease_for=LEASE_FOR)
        assert ledger.give_back(newsroom.store, worker="a") == 1
        claim(newsroom, "b")
        newsroom.clock.pass_by(hours=1)
        assert ledger.recover(newsroom.store, now=newsroom.clock()) == (1, 0)
    with newsroom.store.write(alone=False) as db:
        db.exec_driver_sql("SELECT id FROM deliveries FOR UPDATE")
        newsroom.lift_by_hand("two")
        assert claim(newsroom, "c") == []  # another has them
    assert tally(newsroom) == {"sent": 1, "pending": 1}


def test_workers_side_by_side_send_everybody_his_mail_once(newsroom):
    """Three workers at two lists that share readers send everybody one mail, while records are decided upon and readers leave."""
    lists = {
        "press": MailList(name="Press", recipients=tuple(f"p{number}@example.org" for number in range(1500))),
        "wire": MailList(name="Wire", recipients=tuple(f"p{number}@example.org" for number in range(1000, 2000))),
    }
    worker(newsroom, Post(), lists).audiences.read()
    released(newsroom, keys="lists: [press, wire]\n")
    newsroom.record("two")
    posts, failed, ready, over = (
        [Post() for _ in range(3)],
        list[Exception](),
        threading.Barrier(4),
        threading.Event(),
    )

    def work(post):
        desk = Office(newsroom.folder, newsroom.parts, open_store(newsroom.url), newsroom.clock)
        try:
            ready.wait()
            drain(worker(desk, post, lists))
        except Exception as error:  # noqa: BLE001 - told by the test
            failed.append(error)
        finally:
            desk.store.close()

    def decide():
        ready.wait()
        gone = iter(range(1000))
        while not over.is_set():
            newsroom.amend("two")
            address = f"p{next(gone)}@example.org"
            subscribers.forget(newsroom.store, address=address, reason="r", now=newsroom.clock(), actor="a")

    threads = [threading.Thread(target=work, args=(post,)) for post in posts]
    deciding = threading.Thread(target=decide)
    for thread in (*threads, deciding):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    deciding.join()
    assert failed == []
    taken = Counter(to for post in posts for to, _ in post.taken)
    assert set(taken.values()) == {1}
    assert sum(bool(post.taken) for post in posts) > 1
    counts = tally(newsroom)
    assert (sum(counts.values()), counts.keys() - {"sent", "suppressed"}) == (PEOPLE - _before(newsroom), set())
    assert counts["sent"] == len(taken)


def _before(office):
    """Whoever was erased before his mail was written down is in no audience."""
    details = [json.loads(row.detail) for row in office.trail() if row.event == "subscriber_forgotten"]
    return sum(not each["mails"] for each in details)
