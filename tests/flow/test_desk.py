"""The desk hears before a lift what goes out, once; a real mail server, the real store."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from alert_kit import mail_server, settings, until
from conftest import NOW, PNG, free_port
from hypothesis import given
from hypothesis import strategies as st
from mail_kit import listed

from scheduler.monitor import summary
from scheduler.monitor.letters import way_out
from scheduler.monitor.look import Snapshot, Trouble, Waiting
from scheduler.monitor.summary import TOGETHER, Desk, groups
from scheduler.outlets.mail import transport
from scheduler.parts import build
from scheduler.record import Version
from scheduler.store import glance

LIFT = datetime(2026, 12, 1, 14, tzinfo=UTC)  # of a record as the office makes it: 26 hours after NOW
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DESK = "desk: {mail: [desk@example.org], ahead: [1d, 1h]}\n"


class Watcher:
    """The desk's summaries from one process; each look is told again, as one that comes a moment later."""

    def __init__(self, office, config, way):
        self.office = office
        self.desk = Desk(store=glance.open_window(config.database), parts=build(config, tried=False), transport=way)

    async def look(self, *troubles, **more):
        await self.desk.tend(Snapshot(at=self.office.clock(), alive=True, **more), troubles, self.office.clock())
        if self.desk._task is not None:
            await self.desk._task

    async def at(self, now, *troubles, **more):
        self.office.clock.at = now
        await self.look(*troubles, **more)
        await self.look(*troubles, **more)


@asynccontextmanager
async def watching(office, more=DESK):
    async with mail_server() as inbox:
        config = settings(office, port=inbox.port, more=more)
        way = way_out(build(config, tried=False))
        watcher = Watcher(office, config, way)
        yield watcher, inbox
        await watcher.desk.close()
        await way.close()


def test_the_desk_hears_a_day_and_an_hour_before(office):
    """A day and an hour before its lift the desk gets a record's summary, and at no other time."""
    office.record()

    async def story():
        async with watching(office) as (watcher, inbox):
            told = []
            for at in (NOW, LIFT - DAY - timedelta(seconds=1), LIFT - DAY, LIFT - 2 * HOUR, LIFT - HOUR, LIFT):
                await watcher.at(at)
                told.append(len(inbox.raw))
            return told

    assert asyncio.run(story()) == [0, 0, 1, 1, 2, 2]


def test_what_the_summary_says(office):
    """At its top stands until when it is embargoed; then what goes out, when, to how many, and as it will be mailed."""
    office.put("chart.png", "").write_bytes(PNG)
    listed(office, press=("one@example.org", "two@example.org"), wire=("wire@example.com",))
    office.record(
        title="Trade talks",
        body="First words.\n\nLast words.",
        keys="lists: [press, wire]\nattribution: on background\nattachments: [chart.png]\n",
    )

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - HOUR)
            return inbox

    inbox = asyncio.run(story())
    [mail] = inbox.mails
    assert mail["To"] == "desk@example.org"
    assert mail["Subject"] == "[embargo] Test Press Office: 1 record lifts 1 December 2026, 09:00 EST"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",)).get_content()
    when = "Tuesday 1 December 2026, 09:00 EST (14:00 UTC)"
    assert " ".join(text.split()).startswith(f"EMBARGOED until {when}.")
    for words in ("Trade talks", when, "one, revision 1", "Press list (press), 2 readers", "Wire (wire), 1 reader\r\n"):
        assert words in text
    assert "Attachment:  chart.png" in text
    assert "Attribution: on background" in text
    assert "DOUBTFUL" not in text
    [preview] = mail.iter_attachments()
    assert (preview.get_filename(), preview.get_content_type()) == ("one.txt", "text/plain")
    content = preview.get_content()
    assert f"Released {when}" in " ".join(content.split())
    assert "First words.\r\n\r\nLast words." in content
    assert "Press list" in content


def test_what_is_doubtful(office):
    """The summary names records of the same day that wait for a person, and what else may keep a lift from happening."""
    office.record()
    waits = (
        Waiting(uuid="1", record_id="same-day", lift_at=LIFT + 10 * HOUR),
        Waiting(uuid="2", record_id="next-day", lift_at=LIFT + 20 * HOUR),
        Waiting(uuid="3", record_id="no-day", lift_at=None),
    )
    found = [
        Trouble(kind="clock", problem="The clock is not believed.", remedy="See `embargo clock`.", urgent=True),
        *(
            Trouble(
                kind="attention", subject=each.record_id, problem=f"{each.record_id} waits.", remedy="", urgent=False
            )
            for each in waits
        ),
        Trouble(kind="list", subject="press", problem="A list is bad.", remedy="", urgent=False),
    ]

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - HOUR, *found, attention=waits)
            return inbox

    text = asyncio.run(story()).mails[0].get_body(("plain",)).get_content()
    doubts = text.partition("DOUBTFUL")[2]
    assert "The clock is not believed." in doubts
    assert "same-day waits." in doubts
    for other in ("next-day", "no-day", "A list is bad"):
        assert other not in text


def test_one_mail_for_what_lifts_together(office):
    """Lifts within five minutes are one mail, whose subject has the first and whose top has the last of them."""
    for name, minute in (("first", "00"), ("second", "04"), ("later", "06")):
        office.record(name, embargo=f"2026-12-01 09:{minute} America/New_York", title=f"Title {name}")

    async def story():
        async with watching(office, "desk: {mail: [desk@example.org], ahead: [1h]}\n") as (watcher, inbox):
            for minutes in (0, 3, 4, 6, 30):
                await watcher.at(LIFT - HOUR + timedelta(minutes=minutes))
            return inbox

    inbox = asyncio.run(story())
    assert [mail["Subject"].partition(": ")[2] for mail in inbox.mails] == [
        "2 records lift 1 December 2026, 09:00 EST",
        "1 record lifts 1 December 2026, 09:06 EST",
    ]
    text = " ".join(inbox.mails[0].get_body(("plain",)).get_content().split())
    assert text.startswith("EMBARGOED until Tuesday 1 December 2026, 09:04 EST")
    assert text.index("Title first") < text.index("Title second")
    assert [part.get_filename() for part in inbox.mails[0].iter_attachments()] == ["first.txt", "second.txt"]


def test_who_comes_late_is_told_of_at_once(office):
    """A record that comes in within the hour is told of at once, and for all times that have passed already."""

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - HOUR / 2)
            office.record()
            await watcher.at(LIFT - HOUR / 2)
            await watcher.at(LIFT - HOUR / 3)
            return inbox

    assert len(asyncio.run(story()).raw) == 1


def test_what_comes_in_together_is_told_of_together(office):
    """While records still come in, the desk is not mailed one by one."""

    async def story():
        async with watching(office) as (watcher, inbox):
            office.clock.at = LIFT - HOUR / 2
            for number in range(5):
                office.record(f"r{number}")
                await watcher.look()
            assert inbox.raw == []
            await watcher.look()
            return inbox

    [mail] = asyncio.run(story()).mails
    assert "5 records lift" in mail["Subject"]


def test_what_changes_is_told_of_again(office):
    """A moved lift and a new revision are told of anew; a withdrawn record is not told of at all."""
    office.record()
    office.record("other", embargo="2026-12-01 09:30 America/New_York")

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - DAY)
            await watcher.at(LIFT - DAY + HOUR)
            assert len(inbox.raw) == 2
            office.withdraw("other")
            office.record(body="Other words.")
            await watcher.look()
            await watcher.look()
            assert "Other words." in next(inbox.mails[2].iter_attachments()).get_content()
            assert "revision 2" in inbox.mails[2].get_body(("plain",)).get_content()
            office.clock.at = LIFT - HOUR / 2
            office.amend(words="2026-12-01 08:45 America/New_York")
            await watcher.look()
            await watcher.look()
            assert "08:45 EST" in inbox.mails[3]["Subject"]
            await watcher.at(LIFT - HOUR / 3)
            return inbox

    assert len(asyncio.run(story()).raw) == 4


def test_what_is_withdrawn_at_the_last_moment_is_not_told_of(office):
    """A record that is withdrawn, or changed, while its summary is being written is in no mail."""
    for name in ("stays", "changes", "goes"):
        office.record(name)

    async def story():
        async with watching(office) as (watcher, inbox):
            office.clock.at = LIFT - HOUR
            [errand] = [watcher.desk._take(office.clock()) for _ in range(2)][1]
            office.withdraw("goes")
            office.record("changes", body="Other words.")
            await watcher.desk._send(errand, Snapshot(at=office.clock()), (), office.clock())
            for name in ("stays", "changes"):
                office.withdraw(name)
            await watcher.desk._send(errand, Snapshot(at=office.clock()), (), office.clock())
            return inbox

    [mail] = asyncio.run(story()).mails
    assert [part.get_filename() for part in mail.iter_attachments()] == ["stays.txt"]


def test_a_restart_tells_nothing_twice(office):
    """What was told before the process started anew is not told again; what is past is not kept for ever."""
    office.record()

    async def story():
        told = 0
        for _ in range(2):
            async with watching(office) as (watcher, inbox):
                await watcher.at(LIFT - HOUR)
                told += len(inbox.raw)
        return told

    assert asyncio.run(story()) == 1
    office.clock.at = LIFT + 3 * DAY
    office.lift()
    office.record("next", embargo="2026-12-04 18:00 America/New_York")

    async def later():
        async with watching(office) as (watcher, inbox):
            await watcher.at(office.clock())
            return inbox

    assert len(asyncio.run(later()).raw) == 1
    with office.store.read() as db:
        kept = summary._said(db)
    assert [lift for lift, _ in kept.values()] == [datetime(2026, 12, 4, 23, tzinfo=UTC).timestamp()]


def test_two_processes_tell_it_once(office):
    """Whoever takes a summary upon himself has a quarter of an hour; after that another one sends the same mail."""
    office.record()

    async def story():
        async with watching(office) as (one, first), watching(office) as (two, second):
            office.clock.at = LIFT - HOUR
            taken = [one.desk._take(office.clock()) for _ in range(2)][1]
            assert len(taken) == 1
            await two.at(LIFT - HOUR)
            assert second.raw == []
            await two.at(LIFT - HOUR + timedelta(minutes=16))
            await one.desk._send(taken[0], Snapshot(at=LIFT), (), LIFT - HOUR)
            return first, second

    first, second = asyncio.run(story())
    assert first.mails[0]["Message-ID"] == second.mails[0]["Message-ID"]


def test_what_no_server_took_is_sent_later(office, caplog):
    """A summary that no mail server took is tried again every minute, as things are then; the log has no word of it."""
    caplog.set_level("INFO")
    office.record(title="Quokzephyr", body="Wombatglyph.")

    async def story():
        config = settings(office, port=free_port(), more=DESK)
        way = way_out(build(config, tried=False))
        watcher = Watcher(office, config, way)
        await watcher.at(LIFT - HOUR)
        await way.close()
        assert "summary_failed way=desk.mail[0]" in caplog.text
        async with mail_server() as inbox:
            watcher.desk._transport = transport(f"smtp://127.0.0.1:{inbox.port}", base=office.folder)
            await watcher.at(LIFT - HOUR + timedelta(seconds=30))
            assert inbox.raw == []
            office.record(title="Quokzephyr", body="Narwhalquip.")
            inbox.answers = ["451 4.7.1 I do not like Quokzephyr"]
            await watcher.at(LIFT - HOUR + timedelta(seconds=61))
            await watcher.at(LIFT - HOUR + timedelta(seconds=122))
            await watcher.desk._transport.close()
            return inbox

    [mail] = asyncio.run(story()).mails
    assert "Narwhalquip" in next(mail.iter_attachments()).get_content()
    assert "summary_sent way=desk.mail[0] records=1" in caplog.text
    for word in ("Quokzephyr", "Wombatglyph", "Narwhalquip"):
        assert word not in caplog.text
        assert word not in str(office.raw("SELECT * FROM meta"))


def test_one_address_s_trouble_is_its_own(office):
    """Who of the desk could not be reached gets it later, and nobody gets it twice."""
    office.record()

    async def story():
        more = "desk: {mail: [desk@example.org, night@example.org], ahead: [1h]}\n"
        async with watching(office, more) as (watcher, inbox):
            inbox.answers = ["451 later"]
            await watcher.at(LIFT - HOUR)
            assert len(inbox.raw) == 1
            await watcher.at(LIFT - HOUR + timedelta(seconds=61))
            await watcher.at(LIFT - HOUR + timedelta(seconds=200))
            return inbox

    inbox = asyncio.run(story())
    assert sorted(mail["To"] for mail in inbox.mails) == ["desk@example.org", "night@example.org"]


def test_what_is_refused_for_good_is_not_pressed(office, caplog):
    """A server that will never take it is not asked every minute; the log says that it did not."""
    office.record()

    async def story():
        async with watching(office) as (watcher, inbox):
            inbox.answers = ["550 5.7.1 never"]
            await watcher.at(LIFT - HOUR)
            await watcher.at(LIFT - HOUR / 2)
            return inbox

    assert asyncio.run(story()).raw == []
    assert caplog.text.count("summary_failed") == 1
    assert "5.7.1" in caplog.text


def test_a_broken_template_costs_nobody_the_summary(office, caplog):
    """Where the office's own templates fail the desk gets the shipped summary and the plain text, and the log says so."""
    office.record(body="First words.")
    own = office.folder / "own"
    own.mkdir()
    for name in ("desk.txt", "mail.txt"):
        (own / name).write_text("{{ nothing.like.this }}")

    async def story():
        async with watching(office, DESK + "templates: own/\n") as (watcher, inbox):
            await watcher.at(LIFT - HOUR)
            return inbox

    [mail] = asyncio.run(story()).mails
    assert "one, revision 1" in mail.get_body(("plain",)).get_content()
    assert next(mail.iter_attachments()).get_content().split() == ["A", "title", "First", "words."]
    assert "template_refused template=desk.txt" in caplog.text


@pytest.mark.parametrize("why", [{"fenced": ("It is a copy.",)}, {"problem": "It is locked."}])
def test_where_nothing_lifts_nothing_is_said(office, why):
    """A copy of the database, in which nothing lifts, mails no desk."""
    office.record()

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - HOUR, **why)
            return inbox

    assert asyncio.run(story()).raw == []


def test_no_desk_no_summary(office):
    """Who names no desk gets no mail, and needs no mail server."""
    office.record()

    async def story():
        async with watching(office, "") as (watcher, inbox):
            await watcher.at(LIFT - HOUR)
            return inbox

    assert asyncio.run(story()).raw == []


def test_a_thousand_lifts_are_one_mail(office):
    """However many lift together, each has its lines; the first twenty are shown whole, and it is said how to see the others."""
    for number in range(25):
        office.record(f"r{number:02}", keys="lists: []\n" if number == 0 else "")

    async def story():
        async with watching(office) as (watcher, inbox):
            await watcher.at(LIFT - HOUR)
            return inbox

    [mail] = asyncio.run(story()).mails
    text = mail.get_body(("plain",)).get_content()
    assert all(f"r{number:02}, revision 1" in text for number in range(25))
    previews = list(mail.iter_attachments())
    assert len(previews) == 20
    assert "first 20" in " ".join(text.split())
    assert "none; pages and feeds alone" in text
    assert previews[0].get_content().split() == ["A", "title", "A", "body."]


def test_a_mail_under_way_holds_up_nothing(office):
    """While a mail server takes its time the watch goes on, and nothing is begun twice."""
    office.record()

    async def story():
        async with watching(office) as (watcher, inbox):
            go_on = asyncio.Event()
            plain = inbox.handle_DATA

            async def slow(*given):
                await go_on.wait()
                return await plain(*given)

            inbox.handle_DATA = slow
            office.clock.at = LIFT - HOUR
            seen = Snapshot(at=LIFT, alive=True)
            await watcher.look()
            await watcher.desk.tend(seen, (), office.clock())
            under_way = watcher.desk._task
            await watcher.desk.tend(seen, (), office.clock())
            assert watcher.desk._task is under_way
            go_on.set()
            await until(lambda: len(inbox.raw) == 1, "the mail")
            await watcher.look()
            await watcher.look()
            return inbox

    assert len(asyncio.run(story()).raw) == 1


versions = st.lists(st.integers(0, 3000), max_size=12).map(
    lambda seconds: [
        Version(f"r{n}", f"u{n}", 1, NOW + timedelta(seconds=at), NOW) for n, at in enumerate(sorted(seconds))
    ]
)


@given(versions, st.integers(1, 600))
def test_every_lift_is_told_of_before_it_once_for_each_time(coming, step):
    """Whenever the desk looks: each lift is told of before it, nothing twice, and no two lifts far apart in one mail."""
    ahead = (timedelta(minutes=20), timedelta(minutes=10, seconds=5))
    told = {}
    for seconds in itertools.count(-1300, step):
        now = NOW + timedelta(seconds=seconds)
        left = [each for each in coming if each.published_at > now]
        if not left:
            break
        for together, passed in groups(left, ahead, now, lambda each, before: (each.id, before) in told):
            assert together[-1].published_at - together[0].published_at <= TOGETHER
            for each in together:
                assert (each.id, min(passed)) not in told
                told.update({(each.id, before): told.get((each.id, before), now) for before in passed})
    assert {each.id for each in coming} == {record_id for record_id, _ in told}
    for each in coming:
        assert told[each.id, ahead[1]] < each.published_at
        assert told[each.id, ahead[0]] <= told[each.id, ahead[1]]
