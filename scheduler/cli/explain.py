"""The command that says what the words of an embargo mean, to a person or, by the line, to a machine."""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.text import Text

from scheduler import clock, config, embargo
from scheduler.cli import say
from scheduler.cli.app import CONFIG, AsJson, ConfigFile, app
from scheduler.embargo import Kind, Reading
from scheduler.errors import EmbargoError, EmbargoRefused
from scheduler.record import FAR_AHEAD

_LIMIT = 10_000_000
_LINE_LIMIT = 6 * _LIMIT + 10_000  # JSON may write every character as an escape of six
# What was meant for a file though none is there; with a colon it is a time or an address.
_FILE = re.compile(
    r"(?:~|\.{0,2})/\S*|[^\n:]{0,250}\.(?:md|txt|ya?ml|jsonl?|html?|eml|docx?|odt|rtf|pdf)", re.IGNORECASE
)
_COLOUR = {
    Kind.FIXED: "bold green",
    Kind.EVENT: "bold yellow",
    Kind.IMMEDIATE: "bold cyan",
    Kind.NONE: "bold",
    Kind.AMBIGUOUS: "bold red",
}
_SUMMARY = {
    Kind.EVENT: "until something happens",
    Kind.IMMEDIATE: "no embargo, or none any more",
    Kind.NONE: "nothing is said about an embargo on this text",
    Kind.AMBIGUOUS: "a person must say what is meant",
}
_FORM = 'Write one object a line: {"id": …, "text": "…", "issued": "2026-12-01", "default_zone": "Europe/Paris", "lang": "fr"}.'
_WHOLE_LINES, _WHOLE = 12, 1500
"""A text of no more lines and characters is shown whole."""
_AROUND, _WIDEST, _SHOWN = 160, 800, 8
"""Of a longer one: so many characters on both sides of a statement, in one line, and so many statements."""


@app.command()
def explain(
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT|FILE|-]", help="The words, a file, or - for standard input.")
    ] = None,
    *,
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="Where a time without a zone is meant (IANA). Default: the newsroom's, else UTC."),
    ] = None,
    issued: Annotated[
        datetime | None, typer.Option("--issued", formats=["%Y-%m-%d"], help="The document's date.")
    ] = None,
    lang: Annotated[str | None, typer.Option("--lang", help="The language's code. Default: found.")] = None,
    file: ConfigFile = CONFIG,
    as_json: AsJson = False,
    lines: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line in, one a line out.")] = False,
) -> None:
    """Explain what an embargo statement means, or why a person must be asked."""
    try:
        if zone is not None:
            embargo.zone(zone)
    except EmbargoRefused as error:
        raise typer.BadParameter(str(error), param_hint="--zone") from error
    if lang is not None and lang not in embargo.languages():
        raise typer.BadParameter(_unknown(lang), param_hint="--lang")
    newsroom = _newsroom(file, needed=zone is None)
    given: dict[str, Any] = {
        "default_zone": zone or newsroom or "UTC",
        "issued": None if issued is None else issued.date(),
        "lang": lang,
    }
    if lines:
        _answer_lines(text, given)
        return
    words = _words(text)
    reading = embargo.read(words, **given, now=clock.system())
    if as_json:
        say.put_json({**_json(reading), "default_zone": given["default_zone"]})
    else:
        source = "--zone" if zone else f"the newsroom's, {file}" if newsroom else f"no --zone and no {file} here"
        _print(words, reading, given, source=source, newsroom=newsroom)
    if reading.kind is Kind.AMBIGUOUS:
        raise typer.Exit(1)


def _unknown(code: str) -> str:
    known = ", ".join(f"{each} ({name})" for each, name in embargo.languages().items())
    return f"'{code}' is not a language that is read. Known: {known}."


def _newsroom(file: Path, *, needed: bool) -> str | None:
    """The newsroom's zone, where there are settings; broken ones are told where their zone is needed."""
    if file == CONFIG and not file.exists():
        return None
    try:
        return config.read(file).newsroom.timezone
    except EmbargoError:
        if needed:
            raise
        return None


@contextmanager
def _source(text: str | None) -> Iterator[tuple[str, BinaryIO]]:
    """What the argument means, standard input, a file or the words themselves: its name and its bytes."""
    if text is None or text == "-":
        if sys.stdin.isatty():
            sys.stderr.write("Type or paste the text; end with Ctrl-D.\n")
        yield "standard input", sys.stdin.buffer
        return
    path = Path(text).expanduser()
    try:
        is_there = path.exists()
    except (OSError, ValueError):  # too long or with what no path may have in it
        is_there = False
    if not text.strip() or not (is_there or _FILE.fullmatch(text)):
        yield "the text", BytesIO(text.encode("utf-8", "surrogatepass"))
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise EmbargoError(f"{path}: it can't be read: {error.strerror}.") from error
    with stream:
        yield str(path), stream


def _words(text: str | None) -> str:
    with _source(text) as (name, stream):
        data = stream.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise EmbargoError(f"{name}: it is larger than 10 MB. Give the part that speaks of the embargo.")
    if b"\0" in data:
        raise EmbargoError(f"{name}: it is no plain text. Save it as text in UTF-8, or give the words themselves.")
    try:
        words = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EmbargoError(f"{name}:{line}: this is not UTF-8. Save it as UTF-8.") from error
    if not words.strip():
        raise EmbargoError(f"{name}: it is empty. Give the words, a file, or - for standard input.")
    return words


def _answer_lines(text: str | None, given: dict[str, Any]) -> None:
    """An answer to each line that is not blank, at once, with no more than that line in memory."""
    failed = False
    with _source(text) as (_, stream):
        while line := stream.readline(_LINE_LIMIT):
            if not line.strip():
                continue
            answer = _answer(line, given)
            while len(line) == _LINE_LIMIT and not line.endswith(b"\n"):
                answer = {"id": None, "error": "The line is longer than a text of 10 MB can be."}
                line = stream.readline(_LINE_LIMIT)
            failed |= "error" in answer
            # What is no character, half of a pair, is written as JSON escapes it.
            written = json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace")
            sys.stdout.buffer.write(written + b"\n")
            sys.stdout.buffer.flush()
    if failed:
        raise typer.Exit(1)


def _answer(line: bytes, given: dict[str, Any]) -> dict[str, Any]:
    try:
        asked = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return {"id": None, "error": f"The line is not JSON in UTF-8. {_FORM}"}
    if not isinstance(asked, dict):
        return {"id": None, "error": f"The line is not a JSON object. {_FORM}"}
    known = {"id": asked.get("id")}
    try:
        reading = embargo.read(**_question(asked, given), now=clock.system())
    except EmbargoError as error:
        return {**known, "error": str(error)}
    return {
        **known,
        "kind": reading.kind,
        "lifts": _stamp(reading.lift.at) if reading.lift else None,
        "reason": reading.reason,
        "words": reading.words,
        "candidates": [_stamp(candidate.at) for candidate in reading.candidates],
        "lang": reading.lang or None,
    }


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _question(asked: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `embargo.read`; what the object does not say, or says as null, is as the options say."""
    told = {key: asked[key] for key in ("text", "issued", "default_zone", "lang") if asked.get(key) is not None}
    strange = next((key for key, value in told.items() if not isinstance(value, str)), None)
    if strange or "text" not in told:
        raise EmbargoError(f"`{strange or 'text'}` must be there as a string. {_FORM}")
    told = {key: value for key, value in told.items() if value or key == "text"}
    if "issued" in told:
        try:
            told["issued"] = date.fromisoformat(told["issued"])
        except ValueError:
            raise EmbargoError("`issued` is no date. Write it as YYYY-MM-DD.") from None
    if told.get("lang", "en") not in embargo.languages():
        raise EmbargoError(f"`lang`: {_unknown(told['lang'])}")
    embargo.zone(told.get("default_zone", "UTC"))
    return {**given, **told}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(reading: Reading) -> dict[str, Any]:
    return {
        "kind": reading.kind,
        "lifts": _stamp(reading.lift.at) if reading.lift else None,
        "lift": None if reading.lift is None else say.lift_json(reading.lift),
        "reason": reading.reason,
        "words": reading.words,
        "lang": reading.lang or None,
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


def _print(words: str, reading: Reading, given: dict[str, Any], *, source: str, newsroom: str | None) -> None:
    now = clock.system()
    zone = given["default_zone"]
    say.out.print(_marked(words, reading), end="")
    lift, colour = reading.lift, _COLOUR[reading.kind]
    # UTC has a line of its own; as a place it counts only where somebody named it.
    places = [key for key in (zone, newsroom) if key is not None and key != "UTC"]
    summary = say.spoken(lift.at, [lift.zone, *places][:3], now) if lift else _SUMMARY[reading.kind]
    say.out.print(say.fact(reading.kind, summary, "bold", indent=0, name_style=colour), end="")
    say.facts(_facts(words, reading, given, now), indent=0)
    say.facts([("zone", f"a time without one is read in {zone} ({source})", "dim")], indent=0)


def _facts(words: str, reading: Reading, given: dict[str, Any], now: datetime) -> Iterator[tuple[str, str, str]]:
    lift, zone = reading.lift, given["default_zone"]
    if lift is not None:
        yield "local", say.local(lift), ""
        if lift.zone != "UTC":
            yield "UTC", say.utc(lift.at), ""
    yield "why", reading.reason, ""
    if reading.lang:
        yield "language", embargo.languages()[reading.lang], ""
    expected = reading.kind is Kind.EVENT
    for name, value, style in say.numbered(reading.candidates, zone, now, "" if expected else "embargo: {}"):
        yield "expected" if expected and name == "proposed" else name, value, style
    sentence, line = _next(reading, f"{now + timedelta(days=1):%Y-%m-%d} 09:00 {zone}", now)
    yield "next", sentence, ""
    if line:
        yield "", f"embargo: {line}", say.COPIED
    if reading.kind is Kind.AMBIGUOUS and given["issued"] is None:
        dated = embargo.read(words, **{**given, "issued": now.date()}, now=now)
        if dated.kind is Kind.FIXED or len(dated.candidates) > len(reading.candidates):
            yield "", "Or say when the text was issued: --issued YYYY-MM-DD.", ""


def _next(reading: Reading, example: str, now: datetime) -> tuple[str, str]:
    """What to do in a sentence, and what to write behind ``embargo:`` in a record, if it is one thing."""
    said, line = {
        Kind.EVENT: ("To hold it until somebody lifts it, write in its metadata:", "on delivery"),
        Kind.IMMEDIATE: ("To release it at once, write in its metadata:", "none"),
        Kind.NONE: ("Write in its metadata `embargo: none`, or when, such as:", example),
        Kind.AMBIGUOUS: ("Write when in its metadata, such as:", example),
    }.get(reading.kind, ("", ""))
    if reading.kind is Kind.AMBIGUOUS and reading.candidates:
        said, line = "Write in its metadata the line that is meant.", ""
    if reading.lift is None:
        return f"A record with this text waits for a person. {said}", line
    what = "A record with this text is held until then. To say it in its metadata:"
    if reading.lift.at <= now:
        what = (
            "That time has passed. A record that says so waits for a person, or is released, as the settings have it:"
        )
    elif reading.lift.at > now + FAR_AHEAD:
        what = "That is more than two years ahead, so a record waits for a person to confirm it. In its metadata:"
    return what, say.line(reading.lift)


def _marked(words: str, reading: Reading) -> Text:
    """The text with its statements marked: a short one whole, of a longer one the lines around them, numbered."""
    spans = [(each.place.start, each.place.end) for each in reading.statements]
    lines = words.rstrip().split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    if len(lines) <= _WHOLE_LINES and len(words) <= _WHOLE:
        begin = next((number for number, line in enumerate(lines) if line.strip()), 0)
        numbers, gutter = list(range(begin, len(lines))), 0
    else:
        chosen = [each for each in reading.statements if each.words == reading.words][:1]
        near = {
            number
            for each in [*chosen, *reading.statements[:_SHOWN]]
            for number in range(each.place.line - 2, min(bisect_left(starts, each.place.end), each.place.line + 5) + 1)
        }
        numbers, gutter = sorted(near & set(range(len(lines)))), len(str(len(lines))) + 2
    made, last = Text(), -1
    for number in numbers:
        if gutter and made and number != last + 1:
            made.append(f"{'⋮':>{gutter - 2}}\n", "dim")
        last = number
        line = _line(words, starts[number], len(lines[number]), spans, whole=not gutter)
        for row, part in enumerate(line.wrap(say.out, max(say.out.width - gutter - 1, 40), overflow="fold")):
            part.rstrip()
            margin = f"{number + 1 if row == 0 else '':>{gutter - 2}}{'  ' if part else ''}" if gutter else ""
            made.append(margin, "dim").append_text(part).append("\n")
    if gutter and len(spans) > _SHOWN:
        made.append(f"… and {len(spans) - _SHOWN} more statements\n", "dim")
    return made.append("\n") if made else made


def _line(words: str, start: int, length: int, spans: list[tuple[int, int]], *, whole: bool) -> Text:
    """One line; of a long one what stands around its statements."""
    end = start + len(words[start : start + length].rstrip("\r"))
    inside = [(max(begin, start), min(stop, end)) for begin, stop in spans if begin < end and stop > start]
    first, last = start, end
    if not whole:
        first = max(start, (inside[0][0] if inside else start) - _AROUND)
        last = min(end, (inside[-1][1] if inside else start) + _AROUND, first + _WIDEST)
    # Without styles (in a pipe, on a plain terminal) signs mark the words.
    left, right = ("", "") if say.out.color_system else ("»", "«")
    made, at = Text("… " if first > start else ""), first
    for begin, stop in inside:
        if at <= begin < last:
            made.append(say.safe(words[at:begin]))
            made.append(f"{left}{say.safe(words[begin : min(stop, last)])}{right}", "reverse")
            at = min(stop, last)
    return made.append(say.safe(words[at:last])).append(" …" if last < end else "")
