"""What the document about the log says is said."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from scheduler.pipeline.accept import Outcome

ROOT = Path(__file__).parents[2]

# What says an event, under the names by which it goes in our own modules, and how loud.
LOUD = {
    "say": "info",
    "alarm": "error",
    "_alarm": "error",
    "_repeated": "error",
    "failure": "error",
    "_trouble": "error",
    "_tried": "error",
}
# What is said of several at once.
STARRED = {
    "_said(": {"why", "by_s"},
    "counts": {"new", "standing", "over"},
    "about": {"record", "state", "before", "after"},
    "erased": {"text", "ledger", "asks"},
}
WEB = re.compile(r'(\w+)((?: \w+="%s")+)$')


def called(node):
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def fields_of(call):
    for keyword in call.keywords:
        if keyword.arg is None:
            yield from next(fields for words, fields in STARRED.items() if ast.unparse(keyword.value).startswith(words))
        elif keyword.arg != "level":
            yield keyword.arg


def level_of(call):
    said = next((keyword.value for keyword in call.keywords if keyword.arg == "level"), None)
    return LOUD[called(call)] if said is None else said.attr.lower()


def said_in(tree):
    """Each event that a module names, with its level and fields."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        words = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if called(call) in LOUD and words and re.fullmatch("[a-z_]+", words[0]):
            yield words[0], level_of(call), set(fields_of(call))
        elif called(call) == "error" and words and (found := WEB.match(words[0])):
            yield found[1], "error", set(re.findall(r"(\w+)=", found[2]))


def said():
    events = defaultdict(lambda: (set(), set()))
    for path in (ROOT / "scheduler").rglob("*.py"):
        for event, level, fields in said_in(ast.parse(path.read_text("utf-8"))):
            events[event][0].add(level)
            events[event][1].update(fields)
    for outcome in set(Outcome) - {Outcome.UNCHANGED}:
        events[outcome.value] = ({"info", "error"}, {"record", "state", "revision"})
    return events


def documented():
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    assert len({row[0] for row in rows}) == len(rows), "an event stands there twice"
    return {row[0].strip("`"): row for row in rows}


SAID, DOCUMENTED = said(), documented()


def test_every_event_is_documented_and_no_other():
    """The document about the log names every event there is, and none that is not."""
    assert set(DOCUMENTED) == set(SAID)


@pytest.mark.parametrize("event", sorted(SAID))
def test_an_event_has_the_level_and_the_fields_that_the_document_gives(event):
    """Each event of the log has the level and the fields that the document gives, and the document says what it means."""
    levels, fields = SAID[event]
    _, level, named, meaning, _ = DOCUMENTED[event]
    assert set(level.split(" or ")) == levels
    assert set(re.findall(r"`(\w+)`", named)) == fields
    assert meaning
    assert not fields & {"at", "level", "event", "exception"}, "these are the line's own"


def test_what_a_person_has_to_see_says_what_to_do():
    """Every event that is an error says what to do."""
    assert [event for event, row in DOCUMENTED.items() if row[1] == "error" and not row[4]] == []
