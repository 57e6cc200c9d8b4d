"""Commands about mail: how far mailings are, who is on the lists, the ledger, and what came back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli import say
from scheduler.cli.app import (
    CONFIG,
    Actor,
    AsJson,
    ConfigFile,
    Reason,
    RecordId,
    acted_on,
    actor,
    app,
    office,
    reasoned,
)
from scheduler.cli.care import written
from scheduler.cli.progress import REPORTS_OF, follow, grid, hanging, progress_json, show
from scheduler.config import Config
from scheduler.errors import ConfigRefused, EmbargoError, StoreRefused
from scheduler.intake import lists
from scheduler.pipeline import reports
from scheduler.record import DeliveryState, Membership, address_of
from scheduler.record.mailbox import mailbox
from scheduler.store import ledger, records, subscribers
from scheduler.store.reports import unattributed
from scheduler.store.subscribers import Subscriber

mail_app = typer.Typer(help="Mail: how far it is, lists, the ledger, and what is uncertain.")
app.add_typer(mail_app, name="mail")

ListId = Annotated[str, typer.Argument(metavar="LIST", help="The list's id in the settings.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="name@example.org, or 'Name <name@example.org>'.")]

_TOLD = 50
_COLUMNS = ("email", "name", "state", "origin", "since", "reason", "consent")
# What a spreadsheet takes for a formula. Reading a list takes the apostrophe away again.
_FORMULA = re.compile(r"^[=+\-@\t\r]")


@mail_app.callback(invoke_without_command=True)
def mail_progress(
    context: typer.Context,
    file: ConfigFile = CONFIG,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until everything has ended, or Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How far the newest mailings are: sent, rate, time left, and which domains make trouble."""
    if context.invoked_subcommand:
        return
    if following and as_json:
        raise typer.BadParameter("it is one document; leave one of the two out", param_hint="--follow, --json")
    with office(file) as (_, store, now):
        if following:
            follow(store)
            return
        found = ledger.progress(store, now=now)
        nobodys = unattributed(store, since=now - REPORTS_OF)
        if as_json:
            say.put_json({"now": now, "mailings": progress_json(found), "unattributed": nobodys})
        else:
            show(found, nobodys)


@mail_app.command("lists")
def mail_lists(file: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """The mail lists: how many they reach, and how many have left or can't be reached."""
    with office(file) as (parts, store, _now):
        settings = parts.config.lists
        counts = subscribers.counts(store)
    if as_json:
        say.put_json(
            [
                {
                    "id": name,
                    "name": part.name,
                    "recipients": len(part.recipients),
                    "file": None if part.file is None else str(part.file),
                    "default": part.default,
                    "public": part.public,
                    "uncertain": part.uncertain,
                    "subscribers": counts.get(name, {}),
                }
                for name, part in settings.items()
            ]
        )
        return
    if not settings:
        say.put("No mail list is configured. Add one under `mail: lists:` in config.yaml.")
        return
    states = ("active", "left", "bounced", "complained", "asked")
    rows = []
    for name, part in settings.items():
        here = counts.get(name, {})
        marks = [word for word, holds in (("default", part.default), ("public", part.public)) if holds]
        marks += [] if part.file is None else [part.file.name]
        rows.append((name, part.name, *(f"{here.get(state, 0):,}" for state in states), ", ".join(marks)))
    say.out.print(grid(("list", "name", *states, ""), rows, keys=2))
    if any(not counts.get(name) for name in settings):
        say.put("[dim]The service reads settings and files a second after it starts, and when they change.[/]")


@mail_app.command("import")
def mail_import(
    list_id: ListId,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV with a column `email`, or an address a line.")],
    reason: Reason = None,
    file: ConfigFile = CONFIG,
    who: Actor = None,
) -> None:
    """Put everybody in a CSV file on a list. Who has left it or was erased stays away; a bad line changes nothing."""
    reason = reasoned(reason, file, lambda parts, _: _people(parts.config, list_id, source))
    with office(file, new=True) as (parts, store, now):
        people = _people(parts.config, list_id, source)
        added, known = subscribers.add_many(
            store, list_id=list_id, recipients=lists.read(source), reason=reason, now=now, actor=actor(who)
        )
        say.put(
            f"[green]{added:,} added[/] to {list_id}; {known:,} of {people:,} in the file were known already. "
            f"{acted_on(store)}"
        )


def _people(settings: Config, list_id: str, source: Path) -> int:
    _known(settings, list_id)
    return sum(1 for _ in lists.read(source))


@mail_app.command("export")
def mail_export(
    list_id: Annotated[str | None, typer.Argument(metavar="[LIST]", help="The list's id in the settings.")] = None,
    target: Annotated[Path, typer.Argument(metavar="[FILE|-]", help="Where to write it; standard output.")] = Path("-"),
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="All that is stored about one person, as JSON.")
    ] = None,
    file: ConfigFile = CONFIG,
) -> None:
    """Write a list as CSV, with how everybody came there and stands; or all that is stored about one person."""
    if (list_id is None) == (address is None):
        raise typer.BadParameter("name a list, or a person with --address", param_hint="LIST")
    with office(file, needed=True) as (parts, store, _):
        if address is not None:
            say.put_json(subscribers.about(store, address))
            return
        assert list_id is not None
        _known(parts.config, list_id)
        if not written(target, _csv(subscribers.members(store, list_id=list_id), target), what="export"):
            say.put(f"[green]Written:[/] {say.plain(str(target))}, {target.stat().st_size:,} bytes.")


def _csv(people: Iterator[Subscriber], target: Path) -> Iterator[bytes]:
    """The lines of the export. A file begins with the mark by which spreadsheets know UTF-8."""
    buffer = io.StringIO()
    out = csv.writer(buffer)
    out.writerow(_COLUMNS)
    if str(target) != "-":
        yield "\ufeff".encode()
    for each in people:
        yield _drained(buffer)
        name, email = _parted(each.recipient)
        consent = None if each.consent is None else json.dumps(each.consent, ensure_ascii=False)
        state = "unlisted" if each.state is Membership.ACTIVE and not each.listed else each.state.value
        fields = (email, name, state, each.origin, each.since_at.isoformat(), each.reason or "", consent or "")
        out.writerow([f"'{field}" if _FORMULA.match(field) else field for field in fields])
    yield _drained(buffer)


def _parted(recipient: str) -> tuple[str, str]:
    """Name and address as they were given."""
    try:
        name, _ = mailbox(recipient)
    except ValueError:  # of settings that are no more
        return "", recipient
    return name, recipient.strip().removesuffix(">").rpartition("<")[2].strip()


def _drained(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


@mail_app.command("add")
def mail_add(
    list_id: ListId,
    recipient: Address,
    reason: Reason = None,
    *,
    anew: Annotated[bool, typer.Option("--anew", help="Although the address was erased.")] = False,
    file: ConfigFile = CONFIG,
    who: Actor = None,
) -> None:
    """Put somebody on a list at his word, also one who has left it."""
    reason = reasoned(reason, file, lambda parts, _: _place(parts.config, list_id, recipient))
    with office(file, new=True) as (parts, store, now):
        made = subscribers.add(
            store,
            list_id=list_id,
            recipient=_place(parts.config, list_id, recipient),
            reason=reason,
            now=now,
            actor=actor(who),
            lift_tombstone=anew,
        )
        say.put(f"[green]On the list {list_id}:[/] {say.plain(made.recipient)}. {acted_on(store)}")


@mail_app.command("remove")
def mail_remove(
    list_id: ListId, address: Address, reason: Reason = None, file: ConfigFile = CONFIG, who: Actor = None
) -> None:
    """Take somebody off a list, for good: no file brings him back, only himself or `mail add`."""
    reason = reasoned(reason, file, lambda parts, _: _place(parts.config, list_id, address), needed=True)
    with office(file, needed=True) as (parts, store, now):
        person = _place(parts.config, list_id, address)
        gone = subscribers.remove(store, list_id=list_id, address=person, reason=reason, now=now, actor=actor(who))
        if not gone:
            stands = [each.state for each in subscribers.members(store, list_id=list_id, address=address)]
            how = f"his place there is `{stands[0]}` already" if stands else "nobody of that address is on it"
            raise EmbargoError(f"List '{list_id}': {how}; nothing was changed. `embargo mail lists` counts.")
        say.put(f"[green]Taken off {list_id}:[/] {say.plain(address_of(address))}. {acted_on(store)}")


@mail_app.command("forget")
def mail_forget(address: Address, reason: Reason = None, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Erase a person: all that is stored about an address, on every list. A hash stays, so that no file brings it back."""
    reason = reasoned(reason, file, lambda *_: _recipient(address))
    with office(file, new=True) as (parts, store, now):
        person = address_of(_recipient(address))
        count = subscribers.forget(store, address=person, reason=reason, now=now, actor=actor(who))
        say.put(
            f"[green]Erased:[/] {count} row{'s' if count != 1 else ''} about that address. No list will bring it back."
        )
        for place in _still_named(parts.config, person):
            say.put(f"[yellow]It still stands in[/] {say.plain(place)}: take it out there; it is passed over.")
        say.put("Copies outlast this: backups, the mails themselves, logs of mail servers. docs/mail.md lists them.")


def _still_named(settings: Config, person: str) -> Iterator[str]:
    for name, part in settings.lists.items():
        if person in map(address_of, part.recipients):
            yield f"{settings.file} (mail: lists: {name}: recipients)"
        if part.file is not None:
            try:
                if any(address_of(each) == person for each in lists.read(part.file)):
                    yield str(part.file)
            except EmbargoError as error:
                say.aside(say.plain(str(error)))


@mail_app.command("ledger")
def mail_ledger(
    record_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Of one record only.")] = None,
    file: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """What is owed and what became of it, to the unit: audience = sent + failed + suppressed + uncertain + pending."""
    with office(file) as (_, store, _now):
        if record_id is not None:
            records.get(store, record_id)
        balance = ledger.balance(store, record_id=record_id)
        troubled = ledger.troubled(store, record_id=record_id)
    off = [row for row in balance if row["audience"] != sum(row[state.value] for state in DeliveryState)]
    if as_json:
        say.put_json({"mailings": say.rows_json(balance), "troubled": say.rows_json(troubled)})
    elif not balance:
        say.put("No mail has been owed yet.")
    else:
        _show_ledger(balance, troubled)
    for row in off:
        say.aside(
            f"[bold red]The ledger does not add up:[/] mailing {row['id']} of {say.plain(row['record_id'])}, "
            f"{row['audience']} owed. Keep the database, and run `embargo doctor`."
        )
    if off:
        raise typer.Exit(1)


def _show_ledger(balance: list[dict[str, object]], troubled: list[dict[str, object]]) -> None:
    ends = ("sent", "failed", "suppressed", "uncertain")
    rows = [
        (
            f"{row['record_id']} ({row['revision']})",
            str(row["purpose"]),
            str(row["list"]),
            str(row["audience"]) if row["frozen_at"] else "not yet",
            *(str(row[name]) for name in ends),
            str(sum(int(str(row[name])) for name in ("pending", "claimed", "sending"))),
        )
        for row in balance
    ]
    say.out.print(grid(("record", "purpose", "list", "audience", *ends, "pending"), rows, keys=3))
    for row in troubled[:_TOLD]:
        what = f"{row['recipient']} ({row['record_id']}, try {row['attempts']})"
        lines = hanging([(str(row["state"]), "red"), "  "], what)
        if row["problem"]:
            lines += hanging(["      "], str(row["problem"]))
        say.out.print(*lines, sep="\n")
    if len(troubled) > _TOLD:
        say.put(f"and {len(troubled) - _TOLD:,} more: `embargo mail ledger --json` has all.")
    if any(row["state"] == DeliveryState.UNCERTAIN for row in troubled):
        say.put("To decide about uncertain mails: embargo mail resolve ID --resend, or --sent.")


@mail_app.command("resolve")
def mail_resolve(
    record_id: RecordId,
    resend: Annotated[
        bool, typer.Option("--resend/--sent", help="Send again, byte for byte the same; or take them for sent.")
    ],
    reason: Reason = None,
    file: ConfigFile = CONFIG,
    who: Actor = None,
) -> None:
    """Decide about the mails of a record that are uncertain."""
    reason = reasoned(reason, file, lambda _, store: records.get(store, record_id))
    with office(file) as (_, store, now):
        records.get(store, record_id)
        count = ledger.resolve(store, record_id=record_id, resend=resend, reason=reason, now=now, actor=actor(who))
    act = "will be sent again" if resend else "are taken for sent"
    say.put(f"{count} mail{'s' if count != 1 else ''} {act}." if count else "No mail of this record is uncertain.")


@mail_app.command("bounce")
def mail_bounce(
    source: Annotated[Path, typer.Argument(metavar="[FILE|-]", help="The message; standard input.")] = Path("-"),
    file: ConfigFile = CONFIG,
) -> None:
    """Take in a message that came back: a pipe for the mail system. Exit status 75: it couldn't be kept, bring it again."""
    piped = str(source) == "-"
    try:
        message = sys.stdin.buffer.read() if piped else source.read_bytes()
    except OSError as error:
        raise EmbargoError(
            f"The message {'on standard input' if piped else source} can't be read: {error.strerror}. "
            "Name the file it is in, or pass it on standard input."
        ) from error
    try:
        with office(file, needed=True) as (_, store, now):
            taken = reports.take(store, message, now=now)
    except (EmbargoError, OSError) as error:
        if not piped and not isinstance(error, StoreRefused):
            raise
        problems = error.problems if isinstance(error, ConfigRefused) else [str(error)]
        for problem in problems:
            say.aside(f"[bold red]embargo:[/] {say.plain(problem)}")
        # A mail system keeps the message then, and tries again (sysexits.h), also while settings are mended; any other status
        # bounces the bounce.
        raise typer.Exit(os.EX_TEMPFAIL) from error
    about = "nobody of ours" if taken.list is None else f"a place on {taken.list}"
    off = "; nothing more is sent there" if taken.put_off else "; it was taken before" if taken.repeated else ""
    status = f" {taken.status}" if taken.status else ""
    say.put(say.plain(f"{taken.kind}{status}: about {about}{off}."))


def _known(settings: Config, list_id: str) -> None:
    if list_id in settings.lists:
        return
    near = get_close_matches(list_id, settings.lists, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(settings.lists) or 'none'}."
    raise EmbargoError(f"There is no list '{list_id}' in {settings.file}. {hint}")


def _place(settings: Config, list_id: str, recipient: str) -> str:
    _known(settings, list_id)
    return _recipient(recipient)


def _recipient(text: str) -> str:
    try:
        mailbox(text)
    except ValueError as problem:
        raise EmbargoError(f"The address {problem}") from None
    return text
