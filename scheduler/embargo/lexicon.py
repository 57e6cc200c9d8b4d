"""The words of several languages, read together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby

from scheduler.embargo.languages import Language
from scheduler.embargo.languages.phrases import any_phrase
from scheduler.embargo.rules import ZONES, Make, Rule, midnight, noon, rules

_LATER = 100  # what the rules of a less likely language rank behind those of the one before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The words of some languages, read together."""

    languages: tuple[Language, ...]
    rules: dict[str, tuple[Rule, ...]]
    months: dict[str, int]
    numbers: dict[str, int]
    weekdays: tuple[str, ...]
    units: frozenset[str]
    noons: Mapping[str, Make]
    counted: re.Pattern[str] | None
    of: frozenset[str]
    filler: frozenset[str]
    times: tuple[str, ...]
    time: re.Pattern[str]
    joins: re.Pattern[str]
    label: re.Pattern[str]
    hangs: re.Pattern[str]
    occasion: re.Pattern[str]


@cache
def lexicon(languages: tuple[Language, ...]) -> Lexicon:
    """The lexicon of these languages. Where two of them mean different things by a word, the earlier one's holds."""
    by_word: defaultdict[str, list[Rule]] = defaultdict(list)
    for place, language in enumerate(languages):
        for words, rule in rules(language):
            for word in words:
                by_word[word].append(replace(rule, rank=rule.rank + place * _LATER))
    for words, rule in ZONES:
        for word in words - set(languages[0].words):
            by_word[word].append(rule)

    def phrases(name: str) -> str:
        return any_phrase(phrase for language in languages for phrase in getattr(language, name))

    counted = [language.counted for language in languages if language.counted]
    return Lexicon(
        languages=languages,
        rules={word: _merged(several) for word, several in by_word.items()},
        months={word: number for language in reversed(languages) for word, number in language.months.items()},
        numbers={word: number for language in reversed(languages) for word, number in language.numbers.items()},
        weekdays=tuple(word for language in languages for word in language.weekdays if len(word) > 3),
        units=frozenset(word for language in languages for word in language.units),
        noons={word: noon for language in languages for word in language.noon}
        | {word: midnight for language in languages for word in language.midnight},
        of=frozenset(word for language in languages for word in language.of),
        filler=frozenset(word for language in languages for word in language.does_without()),
        times=tuple(word for language in languages for word in language.time),
        time=re.compile(phrases("time")),
        joins=re.compile(rf"{phrases('joins')}|{phrases('until')}|{phrases('leads')}|;"),
        counted=re.compile(rf"(?P<number>[2-6])\.?\s?[aª°]?\.?[\s-]{{0,2}}(?:{'|'.join(counted)})\b")
        if counted
        else None,
        occasion=re.compile(phrases("occasion")),
        hangs=re.compile(rf"[\s,]*{phrases('hangs')}"),
        label=re.compile(rf"(?:{phrases('label')}\s+)+$"),
    )


def _merged(several: list[Rule]) -> tuple[Rule, ...]:
    """The rules in the order in which they hold; those without groups that make the same of what they match are one."""

    def kind(rule: Rule) -> tuple[int, Make, str]:
        return rule.rank, rule.make, rule.regex if "(?P<" in rule.regex else ""

    merged: list[Rule] = []
    ordered = sorted(several, key=lambda rule: (rule.rank, id(rule.make), -len(rule.regex)))
    for (rank, make, _), alike in groupby(ordered, key=kind):
        merged.append(Rule(rank=rank, regex="|".join(dict.fromkeys(rule.regex for rule in alike)), make=make))
    return tuple(merged)
