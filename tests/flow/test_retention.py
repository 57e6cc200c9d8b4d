"""What is kept no longer than the office wants, and what stays whatever it wants."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import NOW
from mail_kit import Post, corrected, drain, freeze, released, tally, worker

from scheduler.pipeline import retention
from scheduler.record import Purpose
from scheduler.store import ledger, records, subscribers, trail
from scheduler.store import retention as store_retention

YEAR = timedelta(days=365)
ALL = {"text": YEAR, "ledger": YEAR, "asks": timedelta(days=30)}


def counts(expired):
    return {each.kind: each.count for each in expired}


def applied(office, **kept):
    return counts(retention.apply(office.store, {**ALL, **kept}, now=office.clock(), actor="service"))


def texts(office):
    """Of each revision, whether anything of its text is left."""
    rows = office.raw("SELECT record_id, number, title || summary || text || html || fields FROM revisions")
    return {(record_id, number): "A body" in said or "words" in said for record_id, number, said in rows}


def test_texts_that_nobody_is_shown_go(office):
    """Superseded texts and withdrawn records lose their text in time; what the site shows, and what is held, never does."""
    released(office, keys="attribution: words of a source\n")
    drain(worker(office, Post()))
    corrected(office)
    drain(worker(office, Post()))
    office.record("held")
    office.record("gone", keys="attribution: words of a source\n")
    office.withdraw("gone")
    office.record("late", embargo="on delivery")
    office.clock.pass_by(days=300)
    office.withdraw("late")
    office.retract("one")
    drain(worker(office, Post()))
    office.clock.pass_by(days=70)
    page = records.releases(office.store, ["one"])
    whole = {("one", 1): True, ("one", 2): True, ("held", 1): True, ("gone", 1): True, ("late", 1): True}
    assert texts(office) == whole
    assert counts(retention.examine(office.store, ALL, now=office.clock()))["text"] == 2
    assert texts(office) == whole
    assert applied(office)["text"] == 2
    assert texts(office) == whole | {("one", 1): False, ("gone", 1): False}
    assert office.raw("SELECT title FROM revisions WHERE record_id = 'gone'") == [("(erased)",)]
    assert records.releases(office.store, ["one"]) == page
    assert records.releases(office.store, ["gone"])[0].attribution is None
    assert applied(office)["text"] == 0


def test_a_text_of_which_a_mail_is_open_stays(office):
    """A revision that a mail may still have to say again, byte for byte, keeps its text until that is settled."""
    released(office)
    freeze(office)
    corrected(office)
    office.raw("UPDATE deliveries SET state = 'uncertain', message_id = '<1@x>', settled_at = due_at WHERE id = 1")
    office.clock.pass_by(days=400)
    assert applied(office)["text"] == 0
    said = records.release_for(office.store, record_id="one", revision=1, purpose=Purpose.RELEASE)
    assert said.text == "A body."
    office.raw("UPDATE deliveries SET state = 'sent', settled_at = due_at, worker = NULL")
    office.raw("UPDATE mailings SET frozen_at = owed_at")
    assert applied(office)["text"] == 1


def test_the_ledger_counts_on_without_addresses(office):
    """Old mails lose name and address and are counted as before; what is uncertain waits for a person; corrections pass them."""
    released(office)
    drain(worker(office, Post()))
    office.raw("UPDATE deliveries SET state = 'uncertain' WHERE address = 'zoe@example.net'")
    before = tally(office)
    office.clock.pass_by(days=366)
    assert applied(office)["ledger"] == 1
    assert tally(office) == before
    left = office.raw("SELECT recipient, address, subscriber_id FROM deliveries ORDER BY id")
    assert left == [("forgotten:1", "forgotten:1", 0), ("Zoë <zoe@example.net>", "zoe@example.net", 2)]
    assert applied(office)["ledger"] == 0
    post = Post()
    corrected(office)
    drain(worker(office, post))
    assert [to for to, _ in post.taken] == ["Zoë <zoe@example.net>"]
    assert all(row["audience"] for row in ledger.balance(office.store))
    tally(office)


def test_wishes_nobody_confirmed_go(office):
    """Who asked to join a list and was not heard of again is erased in time."""
    ask = {"lists": ["press"], "wording": "yes", "asked_from": "192.0.2.1"}
    for number in (1, 2):
        subscribers.ask(office.store, recipient=f"{number}@example.org", **ask, now=office.clock())
        office.clock.pass_by(days=20)
    assert applied(office)["asks"] == 1
    assert office.raw("SELECT address FROM asks") == [("2@example.org",)]


def test_what_was_erased_is_on_the_trail(office):
    """A run that erased something says on the trail how much; what is kept for ever is not touched, nor any row of the trail."""
    office.record("gone")
    office.withdraw("gone")
    office.clock.pass_by(days=400)
    rows = office.trail()
    assert applied(office, text=None, ledger=None) == {"asks": 0}
    assert office.trail() == rows
    assert applied(office) == {"text": 1, "ledger": 0, "asks": 0}
    *kept, begun, row = office.trail()
    assert (kept, begun.event) == (rows, "retention_begun")
    assert (row.event, row.actor) == ("retention_applied", "service")
    assert f'"text":1,"text_before":"{(office.clock() - YEAR).isoformat()}"' in row.detail
    with office.store.read() as db:
        assert trail.verify(db)[1] == []


def test_much_is_erased_in_short_steps(office):
    """However much there is to erase, no transaction writes more than a few hundred rows, and a kill in between loses nothing."""
    for number in range(3):
        subscribers.ask(
            office.store,
            recipient=f"{number}@example.org",
            lists=["press"],
            wording="yes",
            asked_from="x",
            now=office.clock(),
        )
    columns = "token, address, recipient, lists, wording, asked_from, asked_at, due_at"
    office.raw(
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 2500) "
        f"INSERT INTO asks ({columns}) SELECT n, n, n, '[]', '', '', asked_at, due_at FROM many, asks WHERE asks.id = 1"
    )
    steps = store_retention.erase(office.store, "asks", before=NOW + YEAR)
    assert next(steps) == 200
    assert office.raw("SELECT count(*) FROM asks") == [(2303,)]
    steps.close()
    assert list(store_retention.erase(office.store, "asks", before=NOW + YEAR)) == [200] * 11 + [103]


@pytest.mark.parametrize("apply", [False, True])
def test_the_command(house, apply):
    """`embargo retention` counts and erases nothing; with --apply it erases, and says so."""
    house.config.write_text(house.config.read_text() + "retention: {text: 1d}\n")
    house.run("add", str(house.record("one", embargo="on delivery")))
    done = house.run("retention", *(["--apply"] if apply else []))
    assert done.returncode == 0, done.stderr
    assert "        0  texts that a newer revision superseded, or that were withdrawn, from before " in done.stdout
    assert "kept  mails in the ledger, of which only the count stays: for ever" in done.stdout
    assert ("Erased." in done.stdout) == apply
