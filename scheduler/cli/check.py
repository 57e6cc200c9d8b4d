"""The command that looks at settings and record files, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler import clock, config, intake
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app
from scheduler.cli.records import attached, load
from scheduler.config import Config
from scheduler.embargo import Place
from scheduler.errors import FileRefused
from scheduler.intake import lists
from scheduler.intake.folder import Seen
from scheduler.parts import Parts, build
from scheduler.pipeline.accept import Judged, complete, judge
from scheduler.record import Brief, Standing, State
from scheduler.store import Store, open_store, records


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
    seen = [load(path, settings) for path in paths]
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
    wrong = [] if files is not None else list(_wrong_lists(settings))
    good = not wrong and all(
        result.draft.verdict.state is State.HELD if isinstance(result, Judged) else isinstance(result, Standing)
        for result in judged
    )
    if as_json:
        say.put_json(
            {
                "config": str(settings.file),
                "good": good,
                "lists": [
                    {"file": each.file, "line": each.line, "problem": each.problem, "remedy": each.remedy}
                    for each in wrong
                ],
                "records": [_json(each, result, now) for each, result in zip(seen, judged, strict=True)],
            }
        )
    else:
        say.put(f"[green]good[/]  {say.plain(str(file))}")
        for refused in wrong:
            _refused(refused.file, refused)
        for each, result in zip(seen, judged, strict=True):
            _print(each, result, now)
        if not seen:
            say.put("No record files yet.")
    if not good:
        raise typer.Exit(1)


def print_checked(files: list[Path], parts: Parts) -> None:
    """What becomes of each file, for a person."""
    now = clock.system()
    for each in (load(path, parts.config) for path in files):
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
        and all(map(intake.is_searched, path.relative_to(part.folder).parts[:-1]))
    )


_Result = Judged | Standing | FileRefused


def _judged(seen: Seen, parts: Parts, now: datetime, store: Store | None) -> _Result:
    """What becomes of a file; of one whose record has been released or taken back, the record as it stands."""
    assert seen.found is not None
    if isinstance(seen.found, FileRefused):
        return seen.found
    brief, standing = seen.found, None
    if store is not None:
        standing = records.find(store, brief.id)
        brief = complete(store, standing, brief)
    is_open = standing is None or standing.state in {State.HELD, State.ATTENTION}
    if standing is not None and not is_open and standing.digest == brief.whole_digest:
        return standing
    try:
        folder = next((part.folder for part in parts.config.records if seen.path.is_relative_to(part.folder)), None)
        return judge(brief, policy=parts.policy(folder), rehearse=parts.rehearse, now=now)
    except FileRefused as error:
        return error


def _print(seen: Seen, result: _Result, now: datetime) -> None:
    if isinstance(result, Standing):
        say.out.print(say.records_text([result], now))
        return
    if isinstance(result, FileRefused):
        _refused(str(seen.path), result)
        return
    held = result.draft.verdict.state is State.HELD
    say.put(f"{'[yellow]held[/]     ' if held else '[bold red]attention[/]'} {say.plain(str(seen.path))}")
    say.facts(list(_facts(result, now)))


def _refused(path: str, refusal: FileRefused) -> None:
    place = path if refusal.line is None else f"{path}:{refusal.line}"
    say.put(f"[bold red]refused[/]   {say.plain(place)}")
    say.facts([("", refusal.problem, "red"), ("", refusal.remedy, "")])


def _wrong_lists(settings: Config) -> Iterator[FileRefused]:
    """The files of mail lists that can't be used, each with its first mistake."""
    for part in settings.lists.values():
        if part.file is not None:
            try:
                for _ in lists.read(part.file):
                    pass
            except FileRefused as error:
                yield error


def _facts(result: Judged, now: datetime) -> Iterator[tuple[str, str, str]]:
    brief, verdict = result.draft.brief, result.draft.verdict
    yield "", brief.title, "bold"
    if verdict.words and result.stated is not None:
        yield "embargo", verdict.words, ""
    for statement in result.text.statements:
        yield _where(brief, statement.place), f"“{' '.join(statement.words.split())}”", ""
    if verdict.lift is not None:
        yield "lifts", f"{say.distance(verdict.lift.at - now)}: {say.local(verdict.lift)}", "bold"
        yield "", say.utc(verdict.lift.at), ""
    elif verdict.state is State.HELD:
        yield "lifts", "when a person lifts it", ""
    for each in brief.enclosed:
        yield "attachment", attached(each.attachment), ""
    if brief.places:
        yield "read from", ", ".join(f"{name}: {place}" for name, place in brief.places), ""
    if brief.left:
        yield "left out", "; ".join(brief.left), ""
    if verdict.reason:
        yield "reason", verdict.reason, "red"
    if verdict.state is State.ATTENTION and verdict.unfit is None:
        # Where the text contradicts the metadata, a line of metadata alone mends nothing.
        write = "embargo: {}" if result.stated is None else ""
        yield from say.numbered(verdict.candidates, result.draft.zone, now, write)


def _where(brief: Brief, place: Place) -> str:
    """Where in a brief's file a statement of its text stands."""
    if place.start >= len(brief.body):
        return "title" if place.start < len(brief.body) + len(brief.title) + 2 else "around it"
    return "text" if brief.places else f"line {brief.body_line + place.line - 1}"


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
        "attachments": [asdict(each.attachment) for each in brief.enclosed],
        "read_from": dict(brief.places),
        "left_out": brief.left,
        "statements": [
            {
                "words": statement.words,
                "line": None if brief.places else brief.body_line + statement.place.line - 1,
                "column": statement.place.column,
            }
            for statement in result.text.statements
        ],
    }
