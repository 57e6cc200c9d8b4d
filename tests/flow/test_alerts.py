"""The service tells people of trouble, by mail and by webhook, whatever else fails; real servers on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from alert_kit import SECRET, Receiver, mail_server, settings, until
from conftest import NOW, free_port

from scheduler.monitor import look
from scheduler.monitor.alerts import Alerts
from scheduler.monitor.letters import way_out
from scheduler.monitor.look import Snapshot, Trouble
from scheduler.outlets.mail import transport
from scheduler.parts import build
from scheduler.store import glance

SEEN = Snapshot(at=NOW, alive=True, due=2)
OVERDUE = Trouble(kind="overdue", problem="2 records are still held.", remedy="See `embargo queue`.", urgent=True)
MAIL = Trouble(
    kind="mail_failing", problem="Servers have put off 7 mails.", remedy="See `embargo mail ledger`.", urgent=False
)
OPS, DUTY = "ops@example.org", "duty@example.net"


def alerts_of(*hooks, mail=(OPS,), **more):
    parts = [f"{{url: '{hook.url}', form: {form}}}" for hook, form in hooks]
    return f"alerts: {{mail: [{', '.join(mail)}], webhooks: [{', '.join(parts)}]}}\n" + "".join(more.values())


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def other():
    made = Receiver()
    yield made
    made.close()


class Watcher:
    """The alerts of one process, and the time that a test gives them."""

    def __init__(self, config, way):
        self.alerts = Alerts(store=glance.open_window(config.database), config=config, transport=way)
        self.now = NOW

    async def see(self, *troubles, after=0.0, snapshot=SEEN):
        """One look, so many seconds later."""
        self.now += timedelta(seconds=after)
        await self.alerts.tend(snapshot, troubles, self.now)

    async def settled(self):
        """Every try that was begun has ended."""
        await asyncio.gather(*(way.task for way in self.alerts._ways if way.task is not None))

    async def tell(self, *troubles):
        """What is new and urgent is told of, as far as it is taken."""
        await self.see(*troubles)
        await self.see(*troubles, after=3)
        await self.settled()


@asynccontextmanager
async def watching(config, *, again=False):
    way = way_out(build(config, tried=False))
    watcher = Watcher(config, way)
    watcher.now += timedelta(hours=again)
    try:
        yield watcher
    finally:
        await watcher.alerts.close()
        await way.close()


def test_an_alert_by_mail(office):
    """The mail says in its subject what is the matter, and in plain words what to do; robots do not answer it."""

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of(mail=(OPS, f"'Duty <{DUTY}>'")))
            async with watching(config) as watcher:
                await watcher.tell(OVERDUE, MAIL)
        return inbox, config

    inbox, config = asyncio.run(story())
    assert [(sender, to) for sender, to, _ in inbox.raw] == [
        ("press@example.org", [OPS]),
        ("press@example.org", [DUTY]),
    ]
    [mail] = inbox.to(OPS)
    assert mail["Subject"] == "[embargo] Test Press Office: overdue: 2 records; mail failing"
    assert mail["From"] == "Test Press Office <press@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Importance"] == "high"
    assert mail["Message-ID"].endswith("@example.org>")
    assert mail["Message-ID"] != inbox.to(DUTY)[0]["Message-ID"]
    assert mail["Date"].datetime == NOW + timedelta(seconds=3)
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    for words in (OVERDUE.problem, OVERDUE.remedy, MAIL.problem, MAIL.remedy, "Monday 30 November 2026, 07:00 EST"):
        assert words in text
    assert config.database.rpartition("/")[2] in text.replace("\n", "")
    raw = inbox.raw[0][2]
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_everybody_hears(office, receiver, other):
    """Mail and webhooks are told the same, each in its form, and the log says who was."""

    async def story():
        async with mail_server() as inbox:
            more = alerts_of((receiver, "standard"), (other, "slack"))
            async with watching(settings(office, port=inbox.port, more=more)) as watcher:
                await watcher.tell(OVERDUE)
        return inbox

    inbox = asyncio.run(story())
    said = json.loads(receiver.requests[0][2])["data"]
    assert said["headline"] == "overdue: 2 records"
    assert said["newsroom"] == "Test Press Office"
    assert [line["problem"] for line in said["lines"]] == [OVERDUE.problem]
    assert OVERDUE.problem in other.requests[0][2].decode()
    assert len(inbox.to(OPS)) == 1


def test_a_dead_webhook_does_not_delay_mail(office, receiver):
    """While one webhook says nothing, mail goes out, and what comes then goes out too."""

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of((receiver, "standard")))
            async with watching(config) as watcher:
                receiver.answers = [(None, {})]
                await watcher.see(OVERDUE)
                await watcher.see(OVERDUE, after=3)
                await until(lambda: len(inbox.raw) == 1 and receiver.requests, "the first alert")
                await until(watcher.alerts._ways[1].task.done, "the answer")
                await watcher.see(OVERDUE, MAIL, after=60)
                await watcher.see(OVERDUE, MAIL, after=60)
                await until(lambda: len(inbox.raw) == 2, "the second alert")
                assert len(receiver.requests) == 1
                receiver.released.set()
                await watcher.settled()
                await watcher.see(OVERDUE, MAIL, after=60)
                await watcher.see(OVERDUE, MAIL, after=60)
                await watcher.settled()
        return [json.loads(body)["data"]["headline"] for _, _, body in receiver.requests]

    assert asyncio.run(story()) == ["overdue: 2 records", "mail failing"]


def test_what_was_not_taken_is_said_again(office, receiver, caplog):
    """A webhook that has too much to do is left in peace as long as it asks, and then hears the same alert by its id."""
    caplog.set_level("INFO")

    async def story():
        more = alerts_of((receiver, "standard"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            receiver.answers = [(503, {"Retry-After": "100"}), (500, {})]
            await watcher.tell(OVERDUE)
            counts = []
            for after in (90, 15, 5, 10):
                await watcher.see(after=after)
                await watcher.settled()
                counts.append(len(receiver.requests))
            return counts

    assert asyncio.run(story()) == [1, 2, 2, 3]
    assert len(set(receiver.ids)) == 1
    assert {body for _, _, body in receiver.requests} == {receiver.requests[0][2]}
    stamps = [int(fields["webhook-timestamp"]) for _, fields, _ in receiver.requests]
    assert stamps == [int(NOW.timestamp()) + each for each in (3, 108, 123)]
    events = [record.getMessage().split()[0] for record in caplog.records if record.name == "embargo"]
    assert events == ["alert_failed", "alert_failed", "alert_sent"]


def test_a_clock_that_is_set_back_delays_no_try(office, receiver):
    """An alert that waits for its next try does not wait for a day more where the clock was set back by one."""

    async def story():
        more = alerts_of((receiver, "standard"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            receiver.answers = [(500, {})]
            await watcher.tell(OVERDUE)
            await watcher.see(OVERDUE, after=-86400)
            await watcher.settled()

    asyncio.run(story())
    assert len(receiver.requests) == 2


def test_stale_news_is_made_new(office, receiver):
    """What could not be said for an hour is said as it is then, as another alert."""

    async def story():
        more = alerts_of((receiver, "standard"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            receiver.answers = [(500, {})] * 2
            await watcher.tell(OVERDUE)
            await watcher.see(MAIL, after=3700)
            await watcher.settled()
            for _ in range(2):
                await watcher.see(MAIL, after=60)
                await watcher.settled()

    asyncio.run(story())
    assert len(set(receiver.ids)) == 2
    assert json.loads(receiver.requests[-1][2])["data"]["headline"] == "mail failing"


def test_who_is_gone_is_told_no_more(office, receiver, caplog):
    """A webhook that answers 410 is not posted to again, and the log says so."""

    async def story():
        more = alerts_of((receiver, "standard"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            receiver.answers = [(410, {})]
            await watcher.tell(OVERDUE)
            await watcher.see(OVERDUE, MAIL, after=60)
            await watcher.see(OVERDUE, MAIL, after=60)
            await watcher.settled()

    asyncio.run(story())
    assert len(receiver.requests) == 1
    assert "alert_gone way=alerts.webhooks[0]" in caplog.text


def test_a_wrong_address_is_pressed_seldom(office, receiver, caplog):
    """What is refused for good is tried again ten minutes later, as the settings may have been meant otherwise."""

    async def story():
        more = alerts_of((receiver, "slack"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            receiver.answers = [(404, {})]
            await watcher.tell(OVERDUE)
            counts = []
            for after in (500, 100, 3):
                await watcher.see(OVERDUE, after=after)
                await watcher.settled()
                counts.append(len(receiver.requests))
            return counts

    assert asyncio.run(story()) == [1, 2, 2]
    assert "alerts.webhooks" in caplog.text


def test_a_restart_says_nothing_twice(office, receiver):
    """A process that starts an hour later repeats nothing, on no way."""

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of((receiver, "teams")))
            for again in (False, True):
                async with watching(config, again=again) as watcher:
                    await watcher.tell(OVERDUE)
        return inbox

    assert len(asyncio.run(story()).raw) == 1
    assert len(receiver.requests) == 1


def test_what_nobody_took_is_said_after_a_restart(office, receiver):
    """An alert that was not taken before the process ended is said by the next one; who took it hears nothing again."""

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of((receiver, "standard")))
            receiver.answers = [(500, {})]
            for again in (False, True):
                async with watching(config, again=again) as watcher:
                    await watcher.tell(OVERDUE)
        return inbox

    assert len(asyncio.run(story()).raw) == 1
    assert len(receiver.requests) == 2


def test_a_mail_server_that_is_away(office, caplog):
    """An alert that no mail server takes is tried again, and the log says why it was not taken."""

    async def story():
        port = free_port()
        config = settings(office, port=port, more=alerts_of())
        async with watching(config) as watcher:
            await watcher.tell(OVERDUE)
            assert "alert_failed way=alerts.mail[0]" in caplog.text
            assert "can't be reached" in caplog.text
            async with mail_server() as inbox:
                watcher.alerts._transport = transport(f"smtp://127.0.0.1:{inbox.port}", base=office.folder)
                await watcher.see(OVERDUE, after=5)
                await watcher.settled()
                await watcher.alerts._transport.close()
                return inbox

    assert len(asyncio.run(story()).raw) == 1


@pytest.mark.sqlite_only("the file is damaged")
def test_a_database_that_can_not_be_used_is_told_of(office, receiver):
    """Where nothing can be read or kept, people are told all the same, and not every moment."""
    office.store.close()
    (office.folder / "var/embargo.db").write_bytes(b"no database at all, by whatever mishap" * 100)
    broken = Trouble(kind="service", subject="database", problem="It is damaged.", remedy="Restore it.", urgent=True)
    seen = Snapshot(at=NOW, alive=True, problem="It is damaged.")

    async def story():
        more = alerts_of((receiver, "standard"), mail=())
        async with watching(settings(office, more=more)) as watcher:
            for _ in range(20):
                await watcher.see(broken, after=60, snapshot=seen)
                await watcher.settled()

    asyncio.run(story())
    assert len(receiver.requests) == 1


def test_a_broken_template_silences_nothing(office, caplog):
    """Where the office's own template fails the shipped one serves, and the log says so."""
    own = office.folder / "own"
    own.mkdir()
    (own / "alert.txt").write_text("{{ nothing.like.this }}")

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of() + "templates: own/\n")
            async with watching(config) as watcher:
                await watcher.tell(OVERDUE)
        return inbox

    assert OVERDUE.problem in asyncio.run(story()).mails[0].get_content()
    assert "template_refused template=alert.txt" in caplog.text


def test_the_office_s_own_words(office):
    """The office's own template makes the mail."""
    own = office.folder / "own"
    own.mkdir()
    (own / "alert.txt").write_text("{% for line in notice.lines %}Achtung: {{ line.kind }}{% endfor %}")

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of() + "templates: own/\n")
            async with watching(config) as watcher:
                await watcher.tell(OVERDUE)
        return inbox

    assert asyncio.run(story()).mails[0].get_content().strip() == "Achtung: overdue"


def test_no_held_word_is_told(office, receiver, other, caplog):
    """Of a held record no alert, no webhook and no line of the log has a word: its id is all."""
    caplog.set_level("INFO")
    title, body = "Quokzephyr Accord", "The words are Wombatglyph and Narwhalquip."
    office.record("late", title=title, body=body)
    office.record("waits", title=title, body=body, embargo=None)
    office.clock.at = datetime.fromisoformat("2026-12-01T14:30:00Z")

    async def story():
        async with mail_server() as inbox:
            more = alerts_of((receiver, "standard"), (other, "slack"))
            config = settings(office, port=inbox.port, more=more)
            async with watching(config) as watcher:
                seen = look.look(office.store, config, now=office.clock())
                found = look.troubles(seen, disk=10**18)
                for after in (0, 3, 60):
                    await watcher.see(*found, after=after, snapshot=seen)
                    await watcher.settled()
        return inbox, {each.kind for each in found}

    inbox, kinds = asyncio.run(story())
    assert {"overdue", "attention", "disk", "service"} <= kinds
    [mail] = inbox.mails
    posted = [body.decode() for hook in (receiver, other) for _, _, body in hook.requests]
    surfaces = [mail.get_content(), mail.as_string(), *posted, caplog.text, str(office.raw("SELECT * FROM meta"))]
    assert len(posted) == 2
    assert all("waits" in text for text in (surfaces[0], *posted))
    for text in surfaces:
        for word in ("Quokzephyr", "Accord", "Wombatglyph", "Narwhalquip"):
            assert word.lower() not in text.lower()
    assert SECRET not in caplog.text
    assert "alsosecret" not in caplog.text


def test_what_all_machines_see_one_of_them_tells(office):
    """Of several machines on a database one tells what is wrong with what they share; each tells what is wrong with itself."""
    site = replace(OVERDUE, kind="site", problem="The folder is read-only.")

    async def story():
        async with mail_server() as inbox:
            config = settings(office, port=inbox.port, more=alerts_of())
            async with watching(config) as watcher:
                for for_all in (False, False, True, True):
                    watcher.now += timedelta(minutes=2)
                    await watcher.alerts.tend(SEEN, (OVERDUE, site), watcher.now, for_all=for_all)
                    await watcher.settled()
        return inbox

    inbox = asyncio.run(story())
    subjects = [mail["Subject"] for mail in inbox.to(OPS)]
    assert subjects == [f"[embargo] Test Press Office: {words}" for words in ("site", "overdue: 2 records")]
