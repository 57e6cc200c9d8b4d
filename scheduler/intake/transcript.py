"""Plain-text transcripts of briefing calls: who said what, without the chrome of the web page it was copied from.

A transcript is a header (chrome, title, notes) followed by turns, ``SPEAKER IN CAPITALS: words``, with their continuation
paragraphs. The body keeps one line for each line of the file, so that a place in it is a place in the file.
"""

# ruff: noqa: RUF001, SIM905  # typographic signs are what is looked for; word lists read better as words
from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from scheduler.intake.commonmark import escaped
from scheduler.intake.questions import asked
from scheduler.record import Question

MODERATORS = frozenset({"MODERATOR", "HOST", "FACILITATOR", "CHAIR"})
OPERATORS = frozenset({"OPERATOR", "COORDINATOR"})
ASKERS = frozenset({"QUESTION", "Q", "QUESTIONER", "REPORTER", "JOURNALIST", "PRESS", "PARTICIPANT"})
_ROLES = MODERATORS | OPERATORS | ASKERS

_LABEL = re.compile(r"(?P<label>[^\W\d_](?:[^:]{0,78}[^:\s])?)\s*:(?:\s+(?P<text>.*))?")
_NO_SPEAKER = re.compile(
    r"\b(?:EMBARGO(?:ED)?|RELEASE|CONTACTS?|NOTES?|DATE|TIME|SUBJECT|TITLE|SOURCE|TEL|PHONE|E-?MAIL|WEBSITE|FAX|UNTIL|RE|FOLLOWING)\b|\d\d"
)
_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = "|".join(_MONTHS)
_DATE = re.compile(
    rf"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,?\s+)?"
    rf"(?:(?P<month>{_MONTH})\s+(?P<day>\d{{1,2}})|(?P<day_first>\d{{1,2}})(?:st|nd|rd|th)?\s+(?P<month_last>{_MONTH}))"
    rf",?\s+(?P<year>\d{{4}})"
)
_TEMPERATURE = re.compile(r"[-−]?\d{1,3}(?:\.\d)?\s*°?\s*[FC]")
_CUT = re.compile(r"\s*(?:\.{3}|…)$")
_TRAIL = re.compile(r"(?:Home|HOME)(?:\s*[>»/›|]|[A-Z]).+|.+\s[>»›]\s.+")
_SHELF = re.compile(
    r"(?i)(?:latest|related|more|top|trending) (?:stories|articles|posts|news)|advertisements?|sponsored|share(?: this)?|tags"
)
_META = re.compile(
    r"(?i)(?:via|by) (?:tele|video)?-?(?:conference|phone|telephone|zoom)\b.*|\d{1,2}[:.]\d\d\s*[ap]\.?m\b.*"
)
_STATES_EMBARGO = re.compile(r"(?i)embargo|not for (?:release|publication)|for (?:immediate )?release|sperrfrist")
_PUBLISHED = re.compile(
    r"(?i)(?:official |originally |this |first |news |article |was )*(?:published|posted|released)\s+(?:at|on|by|in)?:?\s*"
    r"(?P<url>https?://\S+)|(?:source|link|url)\s*:\s*(?P<other>https?://\S+)"
)
_GROUND_RULES = re.compile(
    r"(?i)\bon (?P<depth>deep )?background\b(?:(?:\W|\band\b|\bis\b|\bmay be\b|\bwill be\b)*\battribut(?:able|ed|ion)(?: is)? to "
    r"[“\"']?(?P<who>[^.,;:“”\"]{3,80}?)(?=[”\"']|[.,;:]|\s+(?:and|but)\b|$))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What a text says of itself. `body` is CommonMark that reads exactly as the text stood; line 1 of it is line 1 there."""

    title: str | None = field(default=None, repr=False)
    body: str = field(default="", repr=False)
    source: str | None = field(default=None, repr=False)
    attribution: str | None = field(default=None, repr=False)
    seen: date | None = None
    moderator: str | None = field(default=None, repr=False)
    speakers: tuple[str, ...] = field(default=(), repr=False)
    questions: tuple[Question, ...] = field(default=(), repr=False)
    is_transcript: bool = False


NOTHING = Transcript()


class Turn(NamedTuple):
    """One speaker's words: the line they begin on (from 0), the label in capitals, the words without line ends."""

    line: int
    label: str
    words: str


def read(text: str, *, title: str | None = None) -> Transcript:
    """Take a transcript apart. `title` is the one its metadata gives; else it is looked for above the first turn."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    starts = _turn_starts(lines)
    header = range(min(starts, default=0))
    source = _drop_page_foot(lines, header, max(starts)) if starts else None
    seen = max(filter(None, map(_dated, (lines[number] for number in header))), default=None)
    found = _drop_page_head(lines, header, title) if starts else None
    turns = [
        Turn(start, label, " ".join(filter(None, [words, *lines[start + 1 : end]])))
        for (start, (label, words)), end in zip(starts.items(), [*list(starts), len(lines)][1:], strict=True)
    ]
    labels = list(dict.fromkeys(_core(turn.label) for turn in turns))
    spoken = " ".join(turn.words for turn in turns)
    rules = max(_GROUND_RULES.finditer(" ".join(filter(None, lines))), key=lambda rule: bool(rule["who"]), default=None)
    return Transcript(
        title=title or found,
        body=_body(lines, starts),
        source=source,
        attribution=_attribution(rules),
        seen=seen,
        moderator=next((_as_said(label, spoken) for label in labels if label in MODERATORS), None),
        speakers=tuple(_as_said(label, spoken) for label in labels if label not in _ROLES),
        questions=asked([(_role(turn.label), turn.words) for turn in turns]),
        is_transcript=bool(starts),
    )


def _core(label: str) -> str:
    return re.sub(r"\s*[(\[].*?[)\]]\s*", " ", label).strip()


def _role(label: str) -> str:
    core = _core(label)
    return "asker" if core in ASKERS else "host" if core in MODERATORS | OPERATORS else "speaker"


def _attribution(rules: re.Match[str] | None) -> str | None:
    if rules is None:
        return None
    ground = "on deep background" if rules["depth"] else "on background"
    return f"{ground}, attributable to {rules['who']}" if rules["who"] else ground


def _turn_starts(lines: list[str]) -> dict[int, tuple[str, str]]:
    """Label and words of each line that begins a turn; none where the text is no transcript.

    A paragraph that begins with capitals and a colon may be a heading of another kind. So a label counts where it is a role
    everyone uses, comes again, or has two words; and a text counts where a role or a label that comes again is among them.
    """
    found: dict[int, tuple[str, str]] = {}
    for number, line in enumerate(lines):
        label, words = line, ""
        if match := _LABEL.fullmatch(line):
            label, words = match["label"], match["text"] or ""
        elif line.startswith("Q ") and (number == 0 or not lines[number - 1]):
            label, words = "Q", line[2:]
        else:
            continue
        if (core := _core(label)) and core == core.upper() != core.lower() and not _NO_SPEAKER.search(core):
            found[number] = (label, words)
    cores = [_core(label) for label, _ in found.values()]
    often = {core for core in cores if cores.count(core) > 1 and core != "Q"}
    if len(found) < 2 or not (often or (_ROLES - {"Q"}) & set(cores)):
        return {}
    return {
        number: turn
        for number, turn in found.items()
        if (core := _core(turn[0])) in _ROLES | often or (" " in core and (number == 0 or not lines[number - 1]))
    }


def _is_doubled(line: str) -> bool:
    half = len(line) // 2
    return len(line) >= 10 and len(line) % 2 == 0 and line[:half] == line[half:] and any(map(str.isalpha, line))


def _drop_page_foot(lines: list[str], header: range, last: int) -> str | None:
    """Empty "published at ADDRESS" and what stands below it, and the advertising at the end; gives the address.

    `last` is the line on which the last turn begins. The address may also stand in the header, and is taken out of there
    alone. A line that may state an embargo is kept, wherever it stands.
    """
    source, end = None, len(lines)
    for number in (*header, *range(last + 1, len(lines))):
        if match := _PUBLISHED.fullmatch(lines[number]):
            source = (match["url"] or match["other"]).rstrip(".,;)")
            lines[number] = ""
            if number > last:
                end = number
                break
    for number in range(len(lines) - 1, last, -1):
        line = lines[number]
        if number > end or _is_doubled(line) or _SHELF.fullmatch(line):
            lines[number] = line if _STATES_EMBARGO.search(line) else ""
        elif line:
            break
    return source


def _dated(line: str) -> date | None:
    if not (match := _DATE.fullmatch(line)):
        return None
    try:
        month = _MONTHS.index(match["month"] or match["month_last"]) + 1
        return date(int(match["year"]), month, int(match["day"] or match["day_first"]))
    except ValueError:
        return None


def _drop_page_head(lines: list[str], header: range, given: str | None) -> str | None:
    """Empty the lines of page chrome and of the title above the first turn; gives the title, if there is one.

    What is left of the header (a note, an embargo statement) stays in the body.
    """
    kept = [number for number in header if lines[number] and not _STATES_EMBARGO.search(lines[number])]
    trails = [number for number in kept if _CUT.search(lines[number]) or _TRAIL.fullmatch(lines[number])]
    title = _named_by_trail(lines, kept, trails)
    marks = [number for number in kept if _TEMPERATURE.fullmatch(lines[number])] + trails
    if title is not None:
        marks += [number for number in kept if number < title]
    dates = [number for number in kept if _dated(lines[number])]
    for number in dates:
        above = [lines[other] for other in kept if other < number and other not in marks]
        if all(len(line.split()) <= 3 for line in above):
            marks.append(number)
    last = max(marks, default=-1)
    chrome = {number for number in kept if number <= last} - {title}
    left = [
        number for number in kept if number not in chrome and number not in dates and not _META.fullmatch(lines[number])
    ]
    if given is not None:
        title = next((number for number in left if lines[number].casefold() == given.casefold()), None)
    elif title is None:
        title = next((number for number in left if len(lines[number].split()) > 3), left[0] if left else None)
    words = given
    if title is not None:
        run = [title]
        # A title broken over lines goes on where the next word had no room left.
        width = max(len(line) for line in lines)
        while (
            width <= 100
            and run[-1] + 1 in left
            and len(f"{lines[run[-1]]} {lines[run[-1] + 1].split()[0]}") > width - 8
        ):
            run.append(run[-1] + 1)
        words = " ".join(lines[number] for number in run)
        chrome.update(run)
    for number in chrome:
        lines[number] = ""
    return words


def _named_by_trail(lines: list[str], kept: list[int], trails: list[int]) -> int | None:
    """The line that a breadcrumb trail ends with, whole or cut off by dots."""
    for trail in trails:
        crumb = _CUT.sub("", lines[trail])
        for number in kept:
            if number in trails or len(lines[number]) < 12:
                continue
            start = crumb.rfind(lines[number][:12])
            if start >= 0 and lines[number].startswith(crumb[start:]):
                return number
    return None


def _as_said(label: str, spoken: str) -> str:
    """A label as the speakers write it: ``USTR OFFICIAL ONE`` is "USTR Official One" where the words hold "USTR"."""

    def word(match: re.Match[str]) -> str:
        capitals = match[0]
        if capitals in ("OF", "THE", "AND", "FOR", "TO", "DE", "VAN", "VON") and match.start():
            return capitals.lower()
        title = capitals.capitalize()
        is_name = re.search(rf"\b{re.escape(title)}\b", spoken) is None
        return capitals if is_name and len(capitals) > 1 and re.search(rf"\b{re.escape(capitals)}\b", spoken) else title

    return re.sub(r"[^\W\d_]+", word, label)


def _body(lines: list[str], starts: dict[int, tuple[str, str]]) -> str:
    """The lines as CommonMark; an empty line is put in only where paragraphs stood without one."""
    is_wrapped = max(len(line) for line in lines) <= 100
    body: list[str] = []
    for number, line in enumerate(lines):
        if number in starts:
            label, words = starts[number]
            line = f"**{escaped(label)}:** {escaped(words)}".rstrip()  # noqa: PLW2901  # the line as it is shown
        else:
            line = escaped(line)  # noqa: PLW2901  # as above
        if line and body and body[-1] and (number in starts or not (is_wrapped or line[0].islower())):
            body.append("")
        body.append(line)
    return "\n".join(body)
