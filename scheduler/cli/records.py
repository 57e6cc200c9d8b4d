"""Commands about records: what is held, and what a person decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import filesize

from scheduler.cli import say
from scheduler.cli.app import (
    CONFIG,
    Actor,
    AsJson,
    ConfigFile,
    MayReason,
    PublicReason,
    Reason,
    RecordId,
    acted_on,
    actor,
    app,
    office,
    reasoned,
)
from scheduler.config import Config
from scheduler.embargo import Lift
from scheduler.errors import FileRefused, MoveRefused
from scheduler.intake.folder import Seen
from scheduler.intake.folder import load as read_file
from scheduler.pipeline import accept, decide
from scheduler.record import Attachment, Purpose, Release, Standing, State
from scheduler.store import Store, fence, moves, records, trail

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Record files.")]


def load(file: Path, settings: Config | None = None) -> Seen:
    """One record file, read as the service reads it, with its attachments."""
    # Not resolve(), which follows links: the service names files as they stand in the folder.
    path = Path(os.path.abspath(file))  # noqa: PTH100 - as said
    folders = [part.folder for part in settings.records] if settings else []
    return read_file(path, folders=folders, named=str(file))


@app.command()
def add(files: Files, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Take record files in: new ones are held, held ones amended, released ones corrected."""
    refused = 0
    with office(file, new=True) as (parts, store, now):
        for path in files:
            seen = load(path, parts.config)
            try:
                if isinstance(seen.found, FileRefused):
                    raise seen.found
                assert seen.found is not None
                outcome, standing = accept.accept(
                    store,
                    seen.found,
                    policy=parts.policy(seen.path.parent),
                    rehearse=parts.rehearse,
                    now=now,
                    actor=actor(who),
                )
            except FileRefused as error:
                refused += 1
                accept.refuse(store, error, origin=seen.origin, digest=seen.digest, now=now, actor=actor(who))
                say.put(f"[bold red]refused[/]  {say.plain(str(error))}")
            else:
                say.put(f"[green]{outcome}[/]  {say.plain(standing.id)}, revision {standing.revision}")
                say.out.print(say.records_text([standing], now))
        say.put(acted_on(store))
    if refused:
        raise typer.Exit(1)


@app.command()
def show(record_id: RecordId, file: ConfigFile = CONFIG, as_json: AsJson = False) -> None:
    """Everything about one record, with its decisions."""
    with office(file) as (_, store, now):
        standing = records.get(store, record_id)
        [release] = records.releases(store, [record_id])
        with store.read() as db:
            decisions = list(trail.rows(db, record_id=record_id))
    if as_json:
        say.put_json(
            {
                **say.standing_json(standing),
                "tag": release.tag,
                "summary": release.summary,
                "text": release.text,
                "topics": release.topics,
                "attribution": release.attribution,
                "moderator": release.moderator,
                "speakers": release.speakers,
                "questions": [{"asker": each.asker, "outlet": each.outlet} for each in release.questions],
                "contact": release.contact,
                "source": release.source,
                "language": release.language,
                "address": release.address,
                "attachments": [asdict(attachment) for attachment in release.attachments],
                "trail": [
                    {"seq": row.seq, "at": row.at, "actor": row.actor, "event": row.event, "detail": row.detail}
                    for row in decisions
                ],
            }
        )
        return
    say.out.print(say.records_text([standing], now))
    facts = (
        ("embargo", standing.words),
        ("revision", str(standing.revision)),
        ("language", release.language),
        ("topics", ", ".join(release.topics)),
        ("attributed", release.attribution),
        ("moderator", release.moderator),
        ("speakers", ", ".join(release.speakers)),
        ("questions", "; ".join(_question(each.asker, each.outlet) for each in release.questions)),
        ("attachments", "; ".join(map(attached, release.attachments))),
        ("lists", ", ".join(standing.lists) if standing.lists is not None else "the default lists"),
        ("contact", release.contact),
        ("source", release.source),
        ("file", standing.origin),
        ("address", release.address if standing.released_at else None),
        ("summary", release.summary),
    )
    say.facts([(name, value, "") for name, value in facts if value])
    for row in decisions:
        say.put(f"[dim]{say.utc(row.at)}[/]  {say.plain(row.event)}  [dim]by {say.plain(row.actor)}[/]")


def attached(attachment: Attachment) -> str:
    """An attachment in a line, for a person."""
    hidden = attachment.media_type.startswith("image/") and attachment.alt is None
    return f"{attachment.name}, {filesize.decimal(attachment.size)}" + (" (no `alt`, so not shown)" if hidden else "")


def _question(asker: str | None, outlet: str | None) -> str:
    return ", ".join(part for part in (asker, outlet) if part) or "not named"


@app.command()
def preview(
    record_id: RecordId,
    file: ConfigFile = CONFIG,
    kind: Annotated[
        str, typer.Option("--as", help="page, rss, atom, json, mail, or a part of the mail: mail.html, mail.txt.")
    ] = "page",
) -> None:
    """What a record will look like, on standard output; nothing is written."""
    with office(file) as (parts, store, _):
        [release] = records.releases(store, [records.get(store, record_id).id])
    documents = {"rss": "rss.xml", "atom": "atom.xml", "json": "feed.json"}
    if kind in documents:
        data = parts.renderer.alone(release)[documents[kind]]
    elif kind == "page":
        data = parts.renderer.page(release)
    elif kind in {"mail", "mail.html", "mail.txt"}:
        data = _mail(parts, release)
        if kind != "mail":
            part = message_from_bytes(data, policy=SMTP).get_body(("html" if kind == "mail.html" else "plain",))
            data = part.get_content().encode() if part else b""
    else:
        raise typer.BadParameter("say page, rss, atom, json, mail, mail.html or mail.txt", param_hint="--as")
    typer.get_binary_stream("stdout").write(data)


def _mail(parts: Any, release: Release) -> bytes:
    if not parts.lists:
        raise MoveRefused(release.id, "no mail list is configured, so no mail would be sent.")
    list_id, known = next(iter(parts.lists.items()))
    purpose = Purpose.CORRECTION if release.correction else Purpose.RELEASE
    if release.retraction:
        purpose = Purpose.RETRACTION
    data: bytes = parts.letter(release, purpose=purpose, list_id=list_id, list_name=known.name)
    return data


@app.command()
def confirm(
    record_id: RecordId,
    when: Annotated[
        str | None,
        typer.Argument(metavar="[WHEN]", help="2026-12-01 09:00 America/New_York, or the number of a proposal."),
    ] = None,
    *,
    file: ConfigFile = CONFIG,
    reason: MayReason = None,
    who: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Settle when a record in attention lifts: at WHEN, or at a time that is proposed; of several you choose one."""
    with office(file) as (_, store, now):
        standing = records.get(store, record_id)
    proposed = decide.choices(standing)
    undecided = standing.state is State.ATTENTION and standing.unfit is None and len(proposed) > 1
    if when is None and undecided:
        asks = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
        _offer(standing, proposed, now, as_json=as_json, commands=not asks)
        if asks:
            when = typer.prompt("Which number, or what other time")
    # Opened anew: whoever was asked may have thought about it for a while.
    with office(file) as (parts, store, now):
        lift = decide.confirm(
            store,
            record_id,
            when,
            zone=parts.newsroom.zone,
            reason=reason,
            now=now,
            actor=actor(who),
            revision=standing.revision,
        )
        if as_json:
            say.put_json(say.standing_json(records.get(store, record_id)))
        else:
            _settled("Confirmed", record_id, lift, now, store)


def _offer(
    standing: Standing, proposed: Sequence[Lift | None], now: datetime, *, as_json: bool, commands: bool
) -> None:
    """What may be confirmed, with the command for each."""
    command = f"embargo confirm {standing.id} '{{}}'"
    if not as_json:
        say.facts([("reason", standing.reason or "", "red")], indent=0)
        say.facts(list(say.numbered(proposed, standing.zone, now, command if commands else "")), indent=0)
        return
    choices = [
        {
            "number": number,
            "lift": None if lift is None else say.lift_json(lift),
            "seconds_ahead": None if lift is None else (lift.at - now).total_seconds(),
            "command": command.format("on delivery" if lift is None else say.line(lift)),
        }
        for number, lift in enumerate(proposed, 1)
    ]
    say.put_json({**say.standing_json(standing), "choices": choices})


@app.command()
def amend(
    record_id: RecordId,
    when: Annotated[str, typer.Argument(metavar="WHEN", help="2026-12-01 09:00 America/New_York, or: on delivery")],
    file: ConfigFile = CONFIG,
    reason: MayReason = None,
    who: Actor = None,
) -> None:
    """Give a held record another lift. It stands until the embargo in the file itself is edited."""
    with office(file) as (parts, store, now):
        lift = decide.amend(store, record_id, when, zone=parts.newsroom.zone, reason=reason, now=now, actor=actor(who))
        _settled("Amended", record_id, lift, now, store)


def _settled(done: str, record_id: str, lift: Lift | None, now: datetime, store: Store) -> None:
    if lift is None:
        say.put(
            f"[green]{done}.[/] {say.plain(record_id)} is held until a person lifts it: `embargo lift {say.plain(record_id)}`."
        )
    elif lift.at <= now:
        say.put(f"[green]{done}.[/] {say.plain(record_id)} is due: {say.local(lift)} has passed.")
    else:
        say.put(
            f"[green]{done}.[/] {say.plain(record_id)} lifts {say.distance(lift.at - now)}: "
            f"{say.local(lift)}, {say.utc(lift.at)}."
        )
    say.put(acted_on(store))


def _reasoned(reason: str | None, file: Path, record_id: str) -> str:
    return reasoned(reason, file, lambda _, store: records.get(store, record_id))


@app.command()
def lift(record_id: RecordId, reason: Reason = None, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Lift a held record now."""
    reason = _reasoned(reason, file, record_id)
    with office(file) as (parts, store, now):
        fence.require(store)
        moves.lift_by_hand(
            store,
            record_id=record_id,
            reason=reason,
            now=now,
            actor=actor(who),
            default_lists=parts.config.default_lists,
        )
        say.put(f"[green]Released.[/] {say.plain(record_id)}. {acted_on(store)}")


@app.command()
def withdraw(record_id: RecordId, reason: Reason = None, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Take a record back before its lift, for good."""
    reason = _reasoned(reason, file, record_id)
    with office(file) as (_, store, now):
        moves.withdraw(store, record_id=record_id, reason=reason, now=now, actor=actor(who))
        say.put(f"[green]Withdrawn.[/] {say.plain(record_id)} will not be released.")


@app.command()
def correct(
    record_id: RecordId,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The corrected record file.")],
    file: ConfigFile = CONFIG,
    who: Actor = None,
) -> None:
    """Correct a released record from a file; its `correction:` says to readers what changed."""
    with office(file) as (parts, store, _):
        standing = records.get(store, record_id)
    if standing.state is not State.RELEASED:
        raise MoveRefused(
            record_id, f"it is {standing.state}; only a released record is corrected. `embargo add` amends a held one."
        )
    seen = load(path, parts.config)
    if isinstance(seen.found, FileRefused):
        raise seen.found
    assert seen.found is not None
    if seen.found.id != record_id:
        raise MoveRefused(record_id, f"the file is about '{seen.found.id}'. Write `id: {record_id}` into it.")
    add([path], file=file, who=who)


@app.command()
def retract(record_id: RecordId, reason: PublicReason = None, file: ConfigFile = CONFIG, who: Actor = None) -> None:
    """Take a released record back: readers see the reason in its place, and its lists are told."""
    reason = _reasoned(reason, file, record_id)
    with office(file) as (parts, store, now):
        moves.retract(
            store,
            record_id=record_id,
            reason=reason,
            now=now,
            actor=actor(who),
            default_lists=parts.config.default_lists,
        )
        say.put(f"[green]Retracted.[/] {say.plain(record_id)}. {acted_on(store)}")
