"""Who asked, for which outlet: read from the words with which a moderator hands a questioner the floor."""

# ruff: noqa: RUF001, SIM905  # typographic signs are what is looked for; word lists read better as words
from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from scheduler.record import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

_UPPER = "[^\\W\\d_a-zß-öø-ÿ]"
_CAPITAL = rf"(?:{_UPPER}\.|(?:Jr|Sr|St)\.|{_UPPER}[\w’'-]*|(?:al|el|bin|ben)-[^\W\d_]\w+)"
_NAME = rf"{_CAPITAL}(?:\s+(?:(?:de|del|da|di|van|von|der|den|la|le|bin|ben|al|el|y)\s+)*{_CAPITAL}){{0,4}}"
_WORD = rf"(?:{_UPPER}|\d+(?=\s?{_UPPER}))[\w’'&/-]*(?:\.(?=\w)[\w’'-]+)*"
_OUTLET = rf"{_WORD}(?:\s+(?:(?:of|and|for|de|del|la|le|the|&)\s+)*{_WORD})*"
_LEAD = r"\bline of|\bgo (?:back |next |now |over )?to|\bhear from|\bcall on|\bturn to|\bcomes? from"
# "Ann Lee, Reuters" and "Ann Lee (AP)" count only where the words before them give the floor.
_FLOOR = re.compile(
    rf"(?P<lead>(?:{_LEAD})\s+(?:the line of\s+)?)?(?P<name>{_NAME})"
    rf"(?:\s+(?:from|with|at|of)\s+|(?(lead)\s*(?:,|\(|—|–)\s*|(?!)))(?:the\s+)?(?P<outlet>{_OUTLET})"
)
_NAME_ALONE = re.compile(rf"\bline of\s+(?P<name>{_NAME})")
_OPENERS = frozenset(
    "and next then now okay ok so thanks thank to please operator question questions first finally hi hello great our last is "
    "yes again let’s let's we go over from "
    "monday tuesday wednesday thursday friday saturday sunday".split()
)
_TRAILERS = frozenset("please your go you and thank thanks the".split())
_CALLS_NEXT = re.compile(
    r"(?i)\b(?:next|another|one more|final|first|last)\b.*\bquestion|\bgo (?:back )?to\b|\bquestion\b.*\bline\b"
)


def introduced(words: str) -> Question | None:
    """The person a moderator's turn gives the floor to: the last one it names with an outlet, or whose line it opens."""
    found = None
    for match in _FLOOR.finditer(words):
        name, outlet = match["name"].split(), match["outlet"].split()
        while name and name[0].casefold().rstrip(".") in _OPENERS:
            del name[0]
        while outlet and outlet[-1].casefold() in _TRAILERS:
            del outlet[-1]
        if name and outlet:
            found = Question(asker=" ".join(name).rstrip(",."), outlet=" ".join(outlet))
    if found is None and (alone := list(_NAME_ALONE.finditer(words))):
        found = Question(asker=alone[-1]["name"].rstrip("."))
    return found


def asked(turns: Sequence[tuple[str, str]]) -> tuple[Question, ...]:
    """The questions of a call in order; `turns` are role (``host``, ``asker`` or ``speaker``) and words.

    An asker who speaks again without a new introduction goes on with the same question. Where no one is ever introduced,
    each asker's turn that holds a question mark is one by an unknown person.
    """
    floor = [introduced(words) if role == "host" else None for role, words in turns]
    is_anonymous = not any(floor)
    questions: list[Question] = []
    pending: Question | None = None
    for number, ((role, words), person) in enumerate(zip(turns, floor, strict=True), 1):
        if role == "host":
            unnamed = Question() if _CALLS_NEXT.search(words) else None
            pending = person or pending or unnamed
        elif role == "asker":
            is_question = bool(re.search("[?？؟;]", words))
            if pending and (pending.asker or is_question):
                questions.append(replace(pending, turn=number))
            elif is_anonymous and is_question:
                questions.append(Question(turn=number))
            pending = None
    return tuple(questions)
