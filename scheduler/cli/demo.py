"""``embargo demo``: the whole story in half a minute, in a folder of its own, with the real service."""

from __future__ import annotations

import mailbox
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from scheduler import clock, config, embargo, shipped
from scheduler.cli import say
from scheduler.cli.app import app
from scheduler.cli.check import print_checked
from scheduler.errors import EmbargoError, EmbargoRefused
from scheduler.parts import build
from scheduler.record import State
from scheduler.store import Store, open_store, records, trail

_RECORDS = ("labour-force.md", "background-call.txt", "skipped-hour.md")
_SHOWN = "labour-force"
_AHEAD = timedelta(seconds=15)
_PATIENCE = 20.0
_ZONE = "America/New_York"

_SETTINGS = """\
newsroom: {{name: Example Press Office, url: "http://127.0.0.1:8080/", timezone: {zone}, language: en}}
records:
  - folder: records/
database: sqlite:///var/embargo.db
site: {{folder: public/}}
mail:
  from: Example Press Office <press@example.org>
  transport: maildir:var/mail
  lists: {{press: {{name: Press list, recipients: [desk@example.org], default: true}}}}
"""


@app.command()
def demo() -> None:
    """See the whole story in half a minute: no server, nothing outside a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="embargo-demo-"))
    file = folder / "config.yaml"
    file.write_text(_SETTINGS.format(zone=_ZONE), "utf-8")
    lift_at = (clock.system() + _AHEAD).replace(microsecond=0)
    _copy_records(folder / "records", lift_at)
    parts = build(config.read(file))

    _heading("1", "Three records lie in a folder. This is what Embargo makes of them.")
    print_checked([folder / "records" / name for name in _RECORDS], parts)

    _heading("2", "The service starts and holds what can be held. One record lifts in some seconds.")
    store = open_store(parts.config.database)
    log = folder / "service.log"
    with log.open("wb") as lines:
        service = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "scheduler", "run", "--config", str(file)], stderr=lines, stdin=subprocess.DEVNULL
        )
    try:
        _await(lambda: len(records.listed(store)) >= 2, service, log, "the service did not take the records in")
        before = _feed(folder)
        say.put(f"Before the lift the feed has {len(before.entries)} entries, and no page exists.\n")
        _countdown(store, lift_at)
        _await(lambda: bool(_feed(folder).entries), service, log, "the lift did not reach the feed")
        standing = records.get(store, _SHOWN)
        assert standing.released_at is not None
        late = (standing.released_at - lift_at) / timedelta(milliseconds=1)

        _heading("3", f"Released {late:.1f} ms after the instant. The feed, as a reader's program sees it:")
        _show_feed(folder)
        _heading("4", "The mail, in a Maildir:")
        _await(lambda: bool(_mails(folder)), service, log, "the mail did not arrive")
        _show_mail(folder)
    finally:
        service.terminate()
        service.wait(_PATIENCE)

    _heading("5", "The trail: every decision, each chained to the one before it.")
    with store.read() as db:
        for row in trail.rows(db):
            say.put(
                f"[dim]{row.seq:>3}  {say.utc(row.at)}[/]  [bold]{row.event:<10}[/] {row.record_id or '':<16} "
                f"[dim]{row.hash[:12]}[/]"
            )
        count, broken = trail.verify(db)
    store.close()
    say.put(f"[green]Sound:[/] {count} rows." if not broken else f"[bold red]{broken[0]}[/]")

    _heading("6", "Where to look, and what to type next:")
    say.put(
        f"  folder   {folder}\n"
        f"  page     {folder / 'public' / 'index.html'}\n"
        f"  feed     {folder / 'public' / 'rss.xml'}\n"
        f"  log      {log}\n"
        f"  queue    embargo queue --config {file}\n"
        f"  settle   embargo confirm background-call --config {file}\n"
        f"  your own embargo init, then embargo run"
    )


def _heading(number: str, text: str) -> None:
    say.put(f"\n[bold]{number}. {text}[/]")


def _copy_records(target: Path, lift_at: datetime) -> None:
    target.mkdir(mode=0o700)
    for name in _RECORDS:
        shutil.copyfile(shipped("examples") / name, target / name)
    record = target / f"{_SHOWN}.md"
    words = f"{embargo.lift_in(_ZONE, lift_at).local} {_ZONE}"
    try:
        embargo.stated(words, zone=None, default_zone=_ZONE)
    except EmbargoRefused:
        # The hour that comes twice, once a year.
        words = f"{lift_at:%Y-%m-%d %H:%M:%S} UTC"
    text = record.read_text("utf-8")
    record.write_text(re.sub(r"(?m)^embargo: .*$", f"embargo: {words}", text, count=1), "utf-8")


def _await(done: Callable[[], bool], service: subprocess.Popen[bytes], log: Path, problem: str) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not done():
        if service.poll() is not None or time.monotonic() > give_up:
            raise EmbargoError(f"The demo stopped: {problem}. The service's log: {log}")
        time.sleep(0.02)


def _countdown(store: Store, lift_at: datetime) -> None:
    """The queue, with the time that is left; live on a terminal, a line now and then in a pipe."""
    if not say.out.is_terminal:
        say.out.print(say.records_text(records.listed(store), clock.system()))
        while (left := lift_at - clock.system()) > timedelta():
            say.put(f"lifts {say.distance(left)}")
            time.sleep(min(5.0, left.total_seconds()))
        return
    with Live(console=say.out, refresh_per_second=10, transient=False) as live:
        while (left := lift_at - clock.system()) > timedelta():
            seconds = left.total_seconds()
            bar = "█" * round(40 * seconds / _AHEAD.total_seconds())
            count = Text.assemble("\n", (f"{seconds:5.1f} s ", "bold"), "to the lift  ", (bar, "yellow"))
            live.update(Group(say.records_text(records.listed(store), clock.system()), count))
            time.sleep(min(0.1, seconds))
        while records.get(store, _SHOWN).state is State.HELD:
            time.sleep(0.005)
        live.update(say.records_text(records.listed(store), clock.system()))


def _feed(folder: Path) -> Any:
    import feedparser  # noqa: PLC0415 - a tenth of a second that no other command should wait for

    file = folder / "public" / "rss.xml"
    return feedparser.parse(file.read_bytes() if file.exists() else b"")


def _show_feed(folder: Path) -> None:
    feed = _feed(folder)
    for entry in feed.entries:
        say.facts([("", entry.title, "bold"), ("", entry.published, ""), ("", entry.link, ""), ("", entry.summary, "")])


def _mails(folder: Path) -> list[mailbox.MaildirMessage]:
    path = folder / "var" / "mail"
    return list(mailbox.Maildir(path)) if (path / "new").is_dir() else []


def _show_mail(folder: Path) -> None:
    for message in _mails(folder):
        for name in ("From", "To", "Subject", "Date", "Message-ID"):
            value = " ".join(str(make_header(decode_header(message[name] or ""))).split())
            say.out.print(Text.assemble((f"  {name}: ", "dim"), value))
