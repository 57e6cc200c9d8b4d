"""The doctor: what it finds, each wrong with why it matters and what to type, and that nothing makes it wait for long."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from conftest import SETTINGS, SQLITE, House, eventually, free_port
from dns.resolver import Resolver

from scheduler import config
from scheduler.cli.doctor import domain, examine, here, outside
from scheduler.cli.doctor.finding import Finding, safely

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def set_up(house, *, more="", **changed):
    """The settings with some of their words changed, and more at their end."""
    text = SETTINGS.format(port=house.port, database=SQLITE)
    for old, new in changed.items():
        assert old in text or old.replace("_", " ") in text
        text = text.replace(old, new)
    house.config.write_text(text + more)
    return config.read(house.config)


def found(findings, begins):
    """The one finding that begins so."""
    [finding] = [each for each in findings if each.what.startswith(begins)]
    return finding


def judged(findings, begins):
    each = found(findings, begins)
    assert each.why
    assert each.good or each.remedy
    return each.good


# --- what it says


def test_each_finding_says_what_why_and_what_to_do(house):
    """Each finding has what, why and, where there is one to take, a remedy; a person reads all three of what is wrong."""
    day = f"{datetime.now(UTC).year + 1}-12-01"
    house.run("add", str(house.record("one", embargo=f"{day} 09:00 America/New_York")))
    set_up(house, **{"recipients: [wire@example.com]": "recipients: []"})
    done = house.run("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == 1
    assert all(set(each) == {"good", "what", "why", "remedy"} for each in findings)
    assert all(each["what"] and each["why"] for each in findings)
    [wrong] = [each for each in findings if not each["good"]]
    assert (wrong["what"], "embargo mail add wire ADDRESS" in wrong["remedy"]) == ("list wire: nobody is on it", True)
    [lift] = [each["what"] for each in findings if each["what"].startswith("next lift")]
    assert lift.startswith("next lift: in ")
    assert f"{day} 09:00 America/New_York, {day} 14:00 UTC" in lift
    text = house.run("doctor").stdout
    assert f"wrong  {wrong['what']}\n       why  {wrong['why']}\n       do   {wrong['remedy']}\n" in text
    assert text.endswith("\n1 thing to mend.\n")
    assert "\x1b" not in text


def test_a_terminal_gets_lines_that_fit(house):
    """On a terminal of 80 columns no line is longer, and none breaks a word; a path stays whole."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "doctor"],
        cwd=house.folder,
        stdout=follower,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    os.close(follower)
    said = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(leader)
    assert process.wait() == 0
    lines = said.decode().replace("\r", "").split("\n")
    assert max(len(line) for line in lines if str(house.folder) not in line) <= 80
    assert any(line.endswith(str(house.config)) for line in lines)
    assert "do   Add `backup: {folder: backups/}` to the settings, or have a timer" in said.decode()


def test_a_check_that_breaks_is_a_finding():
    """A check that fails in a way nobody thought of is told as a finding, and what it had found before still stands."""

    def breaks():
        yield Finding(what="sound", why="it matters")
        raise ZeroDivisionError("held words")

    def refused():
        yield from ()
        raise PermissionError(13, "Permission denied", "/var/embargo")

    first, second = safely("disk", breaks)
    assert (first.good, second.good) == (True, False)
    assert second.what == "disk: this could not be examined: ZeroDivisionError"
    [third] = safely("folders", refused)
    assert "Permission denied: '/var/embargo'" in third.what


# --- this machine


def test_zone_rules_that_are_old(monkeypatch):
    """Time zone data older than a year is told, with how to renew it."""
    for version, now, good in (("2026a", NOW, True), ("2025b", NOW, False), ("2025c", NOW - timedelta(days=180), True)):
        monkeypatch.setattr("tzdata.IANA_VERSION", version)
        [finding] = here.zones(now)
        assert (finding.good, "pip install --upgrade tzdata" in finding.remedy) == (good, not good)


def test_a_disk_that_is_nearly_full(house):
    """The disks of records, site, database and backups are looked at, each once, against what the settings want free."""
    settings = set_up(house, more="backup: {folder: backups/}\nalerts: {disk: 1K}\n")
    [finding] = here.disks(settings)
    assert finding.good
    assert finding.what.startswith("disk of records, site, database, backups (")
    settings = set_up(house, more="alerts: {disk: 999999G}\n")
    [finding] = here.disks(settings)
    assert not finding.good


def test_a_port_that_another_program_has(house):
    """A port is free, the service's, or another program's, which is wrong; free while the service runs is wrong, too."""
    settings = set_up(house)
    assert [each.what.partition(": ")[2] for each in here.ports(settings, running=False)] == ["free for the service"]
    assert [each.good for each in here.ports(settings, running=True)] == [False]
    with socket.create_server(("127.0.0.1", house.port)):
        [finding] = here.ports(settings, running=False)
    assert (finding.good, finding.what.endswith("another program has it")) == (False, True)
    assert f"sport = :{house.port}" in finding.remedy
    settings = set_up(house, **{f'"127.0.0.1:{house.port}"': f'"203.0.113.7:{house.port}"'})
    [finding] = here.ports(settings, running=False)
    assert "can't be listened on: Cannot assign requested address" in finding.what


def test_a_running_service_and_its_feed(house):
    """Of a running service the port is its own and the feed can be read; what another program serves is not taken for it."""
    house.start()
    eventually(lambda: house.site("atom.xml"), "the feed")
    eventually(lambda: here._occupied("127.0.0.1", house.port), "the web server")
    settings = config.read(house.config)
    findings = list(examine(house.config, now=datetime.now(UTC)))
    assert [each for each in findings if not each.good] == []
    assert found(findings, "port of `http`").what.endswith("the service has it")
    assert found(findings, "service: ").what == "service: running"
    assert found(findings, "feed: ").what.endswith("atom.xml can be read")
    house.stop()
    [asked] = outside.feed(settings, running=False)
    assert (asked.good, "could not be asked" in asked.what, "embargo run" in asked.remedy) == (True, True, True)
    [asked] = outside.feed(settings, running=True)
    assert (asked.good, "can not be read" in asked.what) == (False, True)
    for answer, says in (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "something that is no feed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n", "answers 301"),
    ):
        with answering(house.port, answer):
            [asked] = outside.feed(settings, running=True)
            [port] = here.ports(settings, running=True)
        assert (asked.good, says in asked.what, port.good) == (False, True, False)
        assert ("https://x.example/" in asked.remedy) == ("301" in says)


@contextmanager
def answering(port, answer):
    """A web server that answers everything alike."""
    over = threading.Event()

    def serve(server):
        while not over.is_set():
            if select.select([server], [], [], 0.05)[0]:
                with server.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def test_backups_that_were_forgotten(house):
    """A newest backup older than twice the time between two is wrong; so is none, once there is a database."""
    house.run("add", str(house.record("one", embargo="on delivery")))
    folder = house.folder / "backups"
    house.config.write_text(house.config.read_text() + "backup: {folder: backups/, every: 1d}\n")
    now = datetime.now(UTC)
    assert not judged(examine(house.config, now=now), "backups in ")
    assert house.run("backup").returncode == 0
    assert judged(examine(house.config, now=now + timedelta(days=1, hours=23)), "backups in ")
    assert not judged(examine(house.config, now=now + timedelta(days=2, hours=1)), "backups in ")
    assert len(list(folder.iterdir())) == 1


def test_a_list_whose_file_cannot_be_read(house):
    """A list whose file is not there or has a bad line is told with the line; an empty one that readers may join is none."""
    (house.folder / "press.csv").write_text("email\ngood@example.org\nnobody\n")
    set_up(
        house,
        **{
            "wire: {name: Wire, recipients: [wire@example.com]}": "wire: {name: Wire, public: true}",
            "press: {name: Press list,": "press: {name: Press list, file: press.csv,",
        },
    )
    findings = list(examine(house.config, now=NOW))
    assert found(findings, "list press: ").what.startswith(f"list press: {house.folder}/press.csv:3: ")
    assert not judged(findings, "list press: ")
    assert judged(findings, "list wire: ")


# --- other machines


class Taking:
    """Takes every mail, and counts them."""

    mails = 0

    async def handle_DATA(self, *_):  # noqa: N802 - aiosmtpd's name
        self.mails += 1
        return "250 taken"


@asynccontextmanager
async def mail_server(**options):
    inbox = Taking()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(inbox, hostname="localhost", **options), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1], inbox
    finally:
        server.close()


CERTIFICATE = Path(__file__).parents[1] / "loopback.pem"


def by_mail(house, port, user=""):
    (house.folder / "password").write_text("sesame\n")
    (house.folder / "password").chmod(0o600)
    secret = "\n  password_file: password" if user else ""
    security = f"?tls=starttls&ca={CERTIFICATE}" if user else ""
    return set_up(house, **{"maildir:var/mail": f"smtp://{user}127.0.0.1:{port}{security}{secret}"})


def test_the_mail_server_is_tried_without_a_mail(house):
    """The mail server is asked up to the login and no further; a wrong password, and a server that is not there, are told."""

    def asked(settings):
        return asyncio.to_thread(lambda: list(outside.mail(settings)))

    async def scenario():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        allowed = {"auth_required": True, "tls_context": context}
        good = lambda *_: AuthResult(success=True)  # noqa: E731
        bad = lambda *_: AuthResult(success=False, handled=False)  # noqa: E731
        async with mail_server(authenticator=good, **allowed) as (port, inbox):
            [finding] = await asked(by_mail(house, port, "press@"))
            assert finding.good
            assert "took user and password; no mail was sent to try it" in finding.what
            assert inbox.mails == 0
        async with mail_server(authenticator=bad, **allowed) as (port, _):
            [finding] = await asked(by_mail(house, port, "press@"))
            assert (finding.good, "refused the user or password: 535" in finding.what) == (False, True)
            assert "sesame" not in str(finding)
        [finding] = await asked(by_mail(house, port))
        assert (finding.good, "can't be reached" in finding.what) == (False, True)

    asyncio.run(scenario())


def test_a_maildir_that_cannot_be_written(house):
    """Where mail goes into a Maildir, that it can be written is looked at; the sender's domain is not asked for."""
    settings = set_up(house)
    assert [each.good for each in outside.mail(settings)] == [True]
    (house.folder / "var").write_text("in the way")
    assert [each.good for each in outside.mail(settings)] == [False]
    assert list(outside.sender(settings)) == []


ZONE = {
    "good.example.": ["v=spf1 mx -all", "other text"],
    "_dmarc.good.example.": ["v=DMARC1; p=reject"],
    "_domainkey.good.example.": [],
    "news.good.example.": ["V=SPF1 -all"],
    "twice.example.": ["v=spf1 -all", "v=spf1 mx ~all"],
    "_dmarc.twice.example.": ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
    "bare.example.": ["a letter"],
    "_domainkey.bare.example.": ["a letter"],
}


@contextmanager
def name_server(zone):
    """A name server of TXT records: a name that is not in the zone does not exist."""
    over = threading.Event()

    def serve(server):
        while not over.is_set():
            if select.select([server], [], [], 0.05)[0]:
                data, asker = server.recvfrom(4096)
                query = dns.message.from_wire(data)
                name = query.question[0].name
                reply = dns.message.make_response(query)
                texts = zone.get(name.to_text().lower())
                if texts is None:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                elif texts:
                    reply.answer.append(
                        dns.rrset.from_text(name, 60, "IN", "TXT", *(json.dumps(each) for each in texts))
                    )
                server.sendto(reply.to_wire(), asker)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        try:
            yield resolver
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("name", "spf", "dmarc", "keys"),
    [
        ("good.example", (True, "`v=spf1 mx -all`"), (True, "good.example: `v=DMARC1; p=reject`"), "there are names"),
        ("news.good.example", (True, "`V=SPF1 -all`"), (True, "good.example: `v=DMARC1; p=reject`"), "nothing below"),
        ("twice.example", (False, "several"), (False, "several"), "nothing below"),
        ("bare.example", (False, "none"), (False, "none"), "there are names"),
        ("nowhere.example", (False, "none"), (False, "none"), "nothing below"),
    ],
)
def test_what_the_senders_domain_publishes(name, spf, dmarc, keys):
    """SPF and DMARC of the sender's domain are there, once, or it is said what to publish; of DKIM only what can be known."""
    with name_server(ZONE) as resolver:
        findings = list(domain.examine(name, path=name, resolver=resolver))
    first, second, third = findings
    assert (first.good, spf[1] in first.what) == (spf[0], True)
    assert first.good or f"TXT record at {name}" in first.remedy
    assert (second.good, keys in second.what) == (True, True)
    assert bool(second.remedy) == (keys == "nothing below")
    assert (third.good, dmarc[1] in third.what) == (dmarc[0], True)
    assert third.good or f"_dmarc.{name}" in third.remedy


def test_a_dead_network_is_no_fault_and_no_long_wait(house, monkeypatch):
    """Where no name server answers that is a note; a mail server that says nothing is wrong; neither is waited for for long."""
    monkeypatch.setattr(domain, "_ASK_FOR", 0.3)
    monkeypatch.setattr(outside, "_SMTP_FOR", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.create_server(("127.0.0.1", 0)) as mute:
        silent.bind(("127.0.0.1", 0))
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], silent.getsockname()[1]
        [note] = domain.examine("good.example", path="good.example", resolver=resolver)
        [mail] = outside.mail(by_mail(house, mute.getsockname()[1]))
    assert (note.good, "could not be asked: no answer in time" in note.what) == (True, True)
    assert (mail.good, bool(mail.remedy)) == (False, True)


def test_what_takes_too_long_is_left(house, monkeypatch):
    """A look at another machine that does not end is left, which is a note; all else is told."""
    monkeypatch.setattr("scheduler.cli.doctor._GIVE_UP", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        by_mail(house, mute.getsockname()[1])
        findings = list(examine(house.config, now=NOW))
    assert judged(findings, "mail server: could not be asked: no answer in 0.2 s")
    assert judged(findings, "database: ")


def test_other_settings_than_ours_are_one_finding(tmp_path):
    """Settings that can't be read are one finding, with their line; the rest would be about something else."""
    house = House(tmp_path, free_port())
    house.config.write_text("newsroom: [\n")
    [finding] = examine(house.config, now=NOW)
    assert (finding.good, "config.yaml:" in finding.what) == (False, True)
