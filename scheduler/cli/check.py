"""Commands that only look: `check` at settings and record files, `explain` at the words of an embargo."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from scheduler import clock, config, embargo, intake
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app
from scheduler.cli.records import load
from scheduler.daemon.parts import Parts, build
from scheduler.embargo import Kind, Reading
from scheduler.errors import EmbargoError, EmbargoRefused, FileRefused
from scheduler.intake.folder import Seen
from scheduler.pipeline.accept import Judged, judge
from scheduler.record import Standing, State
from scheduler.store import Store, open_store, records

_EXPLAINED = 5_000_000


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE…]", help="Record files; default: all that are configured.")
    ] = None,
    file: ConfigFile = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Check the settings and record files: each embargo with its words, local time, UTC, and how far off."""
    settings = config.read(file)
    parts = build(settings)
    now = clock.system()
    paths = files if files is not None else _configured(parts)
    seen = [load(path) for path in paths]
    with _store(parts) as store:
        judged = [_judged(each, parts, now, store) for each in seen]
    claimed: dict[str, str] = {}
    for number, result in enumerate(judged):
        if isinstance(result, Judged):
            brief = result.draft.brief
            first = claimed.setdefault(brief.id, brief.origin)
            if first != brief.origin:
                judged[number] = FileRefused(
                    file=brief.origin,
                    problem=f"The id '{brief.id}' belongs to the record in {first}.",
                    remedy="Give this file another `id:`.",
                )
    good = all(
        result.draft.verdict.state is State.HELD if isinstance(result, Judged) else isinstance(result, Standing)
        for result in judged
    )
    if as_json:
        say.put_json(
            {
                "config": str(settings.file),
                "good": good,
                "records": [_json(each, result, now) for each, result in zip(seen, judged, strict=True)],
            }
        )
    else:
        say.put(f"[green]good[/]  {say.plain(str(file))}")
        for each, result in zip(seen, judged, strict=True):
            _print(each, result, now)
        if not seen:
            say.put("No record files yet.")
    if not good:
        raise typer.Exit(1)


def print_checked(files: list[Path], parts: Parts) -> None:
    """What becomes of each file, for a person."""
    now = clock.system()
    for each in (load(path) for path in files):
        _print(each, _judged(each, parts, now, None), now)


@contextmanager
def _store(parts: Parts) -> Iterator[Store | None]:
    """The store, if there is one already: a look must not make one."""
    scheme, _, path = parts.config.database.partition(":///")
    if scheme == "sqlite" and not Path(path).exists():
        yield None
        return
    store = open_store(parts.config.database)
    try:
        yield store
    finally:
        store.close()


def _configured(parts: Parts) -> list[Path]:
    return sorted(
        path
        for part in parts.config.records
        if part.folder.is_dir()
        for path in part.folder.rglob("*")
        if path.is_file()
        and intake.is_record(path)
        and not any(piece.startswith(".") for piece in path.relative_to(part.folder).parts)
    )


_Result = Judged | Standing | FileRefused


def _judged(seen: Seen, parts: Parts, now: datetime, store: Store | None) -> _Result:
    """What becomes of a file; of one whose record has been released or taken back, the record as it stands."""
    assert seen.found is not None
    if isinstance(seen.found, FileRefused):
        return seen.found
    standing = records.find(store, seen.found.id) if store is not None else None
    if standing is not None and standing.state not in {State.HELD, State.ATTENTION} and standing.digest == seen.digest:
        return standing
    try:
        folder = next((part.folder for part in parts.config.records if seen.path.is_relative_to(part.folder)), None)
        return judge(seen.found, policy=parts.policy(folder), rehearse=parts.rehearse, now=now)
    except FileRefused as error:
        return error


def _print(seen: Seen, result: _Result, now: datetime) -> None:
    if isinstance(result, Standing):
        say.out.print(say.records_text([result], now))
        return
    if isinstance(result, FileRefused):
        place = str(seen.path) if result.line is None else f"{seen.path}:{result.line}"
        say.put(f"[bold red]refused[/]   {say.plain(place)}")
        say.facts([("", result.problem, "red"), ("", result.remedy, "")])
        return
    held = result.draft.verdict.state is State.HELD
    say.put(f"{'[yellow]held[/]     ' if held else '[bold red]attention[/]'} {say.plain(str(seen.path))}")
    say.facts(list(_facts(result, now)))


def _facts(result: Judged, now: datetime) -> Iterator[tuple[str, str, str]]:
    brief, verdict = result.draft.brief, result.draft.verdict
    yield "", brief.title, "bold"
    if verdict.words and result.stated is not None:
        yield "embargo", verdict.words, ""
    for statement in result.text.statements:
        line = brief.body_line + statement.place.line - 1
        yield f"line {line}", f"“{' '.join(statement.words.split())}”", ""
    if verdict.lift is not None:
        yield "lifts", f"{say.distance(verdict.lift.at - now)}: {say.local(verdict.lift)}", "bold"
        yield "", say.utc(verdict.lift.at), ""
    elif verdict.state is State.HELD:
        yield "lifts", "when a person lifts it", ""
    if verdict.reason:
        yield "reason", verdict.reason, "red"
    for candidate in verdict.candidates if verdict.state is State.ATTENTION else ():
        yield "proposed", f"{say.local(candidate)}, {say.utc(candidate.at)}", ""


def _json(seen: Seen, result: _Result, now: datetime) -> dict[str, Any]:
    if isinstance(result, Standing):
        return {"file": str(seen.path), **say.standing_json(result)}
    if isinstance(result, FileRefused):
        return {
            "file": str(seen.path),
            "state": "refused",
            "line": result.line,
            "problem": result.problem,
            "remedy": result.remedy,
        }
    verdict = result.draft.verdict
    brief = result.draft.brief
    lift = verdict.lift
    return {
        "file": str(seen.path),
        "state": verdict.state,
        "id": brief.id,
        "title": brief.title,
        "summary": result.draft.content.summary,
        "kind": verdict.kind,
        "words": verdict.words,
        "lift": None if lift is None else say.lift_json(lift),
        "seconds_ahead": None if lift is None else (lift.at - now).total_seconds(),
        "reason": verdict.reason,
        "candidates": [say.lift_json(candidate) for candidate in verdict.candidates],
        "attribution": brief.attribution,
        "moderator": brief.moderator,
        "speakers": brief.speakers,
        "questions": [{"asker": each.asker, "outlet": each.outlet} for each in brief.questions],
        "source": brief.source,
        "topics": brief.topics,
        "statements": [
            {
                "words": statement.words,
                "line": brief.body_line + statement.place.line - 1,
                "column": statement.place.column,
            }
            for statement in result.text.statements
        ],
    }


@app.command()
def explain(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The words, a file, or - for standard input.")
    ] = None,
    zone: Annotated[str, typer.Option("--zone", help="Where local times are meant (IANA).")] = "UTC",
    issued: Annotated[
        datetime | None, typer.Option("--issued", formats=["%Y-%m-%d"], help="The document's date.")
    ] = None,
    as_json: AsJson = False,
    lines: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line in, one a line out.")] = False,
) -> None:
    """Explain what an embargo statement means, or why a person must be asked."""
    if lines:
        for line in _words(text).splitlines():
            if line.strip():
                sys.stdout.write(json.dumps(_line(line), ensure_ascii=False) + "\n")
        return
    try:
        embargo.zone(zone)
    except EmbargoRefused as error:
        raise typer.BadParameter(str(error), param_hint="--zone") from error
    day = None if issued is None else issued.date()
    words = _words(text)
    reading = embargo.read(words, default_zone=zone, issued=day, now=clock.system())
    if as_json:
        say.put_json(_reading_json(reading))
    else:
        _explained(reading, words)
    if reading.kind is Kind.AMBIGUOUS:
        raise typer.Exit(1)


def _words(text: str | None) -> str:
    if text is None or text == "-":
        return sys.stdin.read(_EXPLAINED)
    path = Path(text)
    try:
        is_file = len(text) < 1000 and "\n" not in text and path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        return text
    try:
        return path.read_text("utf-8-sig")[:_EXPLAINED]
    except (OSError, UnicodeDecodeError) as error:
        raise EmbargoError(f"{path}: it can't be read as UTF-8 text. Save it as UTF-8.") from error


def _line(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
        words, zone = str(given["text"]), str(given.get("default_zone") or "UTC")
        issued = date.fromisoformat(given["issued"]) if given.get("issued") else None
        embargo.zone(zone)
    except (ValueError, KeyError, TypeError, AttributeError, EmbargoRefused) as error:
        raise EmbargoError(
            f"A line is not as expected ({type(error).__name__}). Write one object a line: "
            '{"id": …, "text": …, "issued": "2026-12-01" or null, "default_zone": "Europe/Paris"}.'
        ) from error
    reading = embargo.read(words, default_zone=zone, issued=issued, now=clock.system())
    return {
        "id": given.get("id"),
        "kind": reading.kind,
        "lifts": _stamp(reading.lift.at) if reading.lift else None,
        "reason": reading.reason,
        "words": reading.words,
        "candidates": [_stamp(candidate.at) for candidate in reading.candidates],
    }


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _reading_json(reading: Reading) -> dict[str, Any]:
    return {
        "kind": reading.kind,
        "lifts": _stamp(reading.lift.at) if reading.lift else None,
        "lift": None if reading.lift is None else say.lift_json(reading.lift),
        "reason": reading.reason,
        "words": reading.words,
        "candidates": [say.lift_json(candidate) for candidate in reading.candidates],
        "statements": [
            {
                "words": each.words,
                "line": each.place.line,
                "column": each.place.column,
                "start": each.place.start,
                "end": each.place.end,
            }
            for each in reading.statements
        ],
    }


def _explained(reading: Reading, words: str) -> None:
    marked = Text(words.strip("\n") if len(words) < 2000 else "")
    offset = len(words) - len(words.lstrip("\n"))
    for statement in reading.statements:
        if marked:
            marked.stylize("reverse", statement.place.start - offset, statement.place.end - offset)
        else:
            say.put(f"[dim]line {statement.place.line}:[/] “{say.plain(' '.join(statement.words.split()))}”")
    if marked:
        say.out.print(marked)
    colour = "bold red" if reading.kind is Kind.AMBIGUOUS else "bold green"
    say.put(f"[{colour}]{reading.kind}[/]  {say.plain(reading.reason)}")
    now = clock.system()
    if reading.lift is not None:
        at = reading.lift.at
        say.put(f"lifts     {say.local(reading.lift)}\n          {say.utc(at)}, {say.distance(at - now)}")
    for candidate in reading.candidates if reading.lift is None else ():
        say.put(f"perhaps   {say.local(candidate)}, {say.utc(candidate.at)}")
