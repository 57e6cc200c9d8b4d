"""The words that open a statement: "embargoed", "hold for release", "for immediate release", in every language."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache

from scheduler.embargo.languages import Language, every
from scheduler.embargo.languages.phrases import any_phrase, first_words
from scheduler.embargo.lexicon import LETTER, Lexicon, lexicon

MOST = 500
"""A text that speaks of embargoes more often than this is left to a person."""

PARAGRAPH = re.compile(r"\n[^\S\n]*\n")

_REACH = 320  # characters after an opening in which its statement may run on
_BEFORE = 120  # characters before it in which a day may stand
_WORD = re.compile(r"\w+")
_LETTERS = re.compile(rf"(?<!\w){LETTER}+")


class Sort(StrEnum):
    """What the opening words announce."""

    EMBARGO = "embargo"
    IMMEDIATE = "immediate"  # for immediate release, no embargo
    LIFTED = "lifted"  # the embargo there was is lifted


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The words that open a statement: offsets in the text, and the borders that its neighbours set.

    ``form`` is the key of the language files that they stand under. ``lexicon`` is of the languages spoken there.
    """

    sort: Sort
    form: str
    start: int
    end: int
    floor: int = 0
    ceiling: int = 0
    lexicon: Lexicon = field(repr=False)


def openings(text: str, only: Language | None) -> list[Opening] | None:
    """The openings in a folded text, in order; ``None`` when they are too many. ``only``: the language it is known to be in."""
    merged: list[Opening] = []
    everything = lexicon(every())
    firsts = _openers()
    position = count = 0
    for word in _LETTERS.finditer(text):
        opener = firsts.get(word.group())
        if opener is None or word.start() < position:
            continue
        match = opener.match(text, word.start())
        if match is None:
            continue
        start, end, form = *match.span(), match.lastgroup or ""
        position = end
        if form == "idiom":
            continue
        count += 1
        if count > 4 * MOST or len(merged) > MOST:
            return None
        sort = {"immediate": Sort.IMMEDIATE, "lifted": Sort.LIFTED}.get(form, Sort.EMBARGO)
        last = merged[-1] if merged else None
        if last and sort is last.sort is Sort.EMBARGO and start - last.end < 60:
            gap = text[last.end : start]
            if not unknown(gap, everything) and not PARAGRAPH.search(gap):
                merged[-1] = replace(last, end=end)
                continue
        merged.append(Opening(sort=sort, form=form, start=start, end=end, lexicon=everything))
    starts = [*(opening.start for opening in merged[1:]), len(text)]
    ends = [0, *(opening.end for opening in merged)]
    bounded: list[Opening] = []
    for one, before, after in zip(merged, ends, starts, strict=False):
        floor, ceiling = max(before, one.start - _BEFORE), min(after, one.end + _REACH)
        spoken = lexicon(_languages(text[floor:ceiling], only))
        bounded.append(replace(one, floor=floor, ceiling=ceiling, lexicon=spoken))
    return bounded


def unknown(gap: str, words: Lexicon) -> list[str]:
    """The words between two tokens that a statement can't do without explaining."""
    return [word for word in _WORD.findall(gap) if word not in words.filler]


@cache
def _openers() -> dict[str, re.Pattern[str]]:
    """What may open a statement, by its first word. Bans and loose phrases do so only where a time follows."""

    def of(name: str) -> list[str]:
        return [phrase for language in every() for phrase in getattr(language, name)]

    days = {
        word
        for name in ("weekdays", "months", "today", "tomorrow")
        for phrase in of(name)
        for word in first_words(phrase)
    }
    until = any_phrase(of("until"))
    soon = rf"(?:{LETTER}{{1,3}}\s+)?(?:\d|(?:{'|'.join(sorted(days, key=len, reverse=True))})(?!{LETTER})|{until}|delivery\b)"
    after = {"idiom": r"(?!\s*:)", "ban": rf"(?=[^.\n]{{0,60}}{until})", "loose": rf"[:;.,\s]{{1,3}}(?={soon})"}
    forms: defaultdict[str, list[str]] = defaultdict(list)
    for form in ("idiom", "immediate", "lifted", "order", "ban", "notice", "loose"):
        by_word: defaultdict[str, list[str]] = defaultdict(list)
        for phrase in of(form):
            for word in first_words(phrase):
                by_word[word].append(phrase)
        for word, phrases in by_word.items():
            forms[word].append(f"(?P<{form}>{any_phrase(phrases)}{after.get(form, '')})")
    return {word: re.compile("|".join(several)) for word, several in forms.items()}


@cache
def _speakers() -> dict[str, tuple[Language, ...]]:
    """The languages by the words they are known by."""
    speakers: defaultdict[str, list[Language]] = defaultdict(list)
    for language in every():
        for word in language.vocabulary():
            speakers[word].append(language)
    return {word: tuple(languages) for word, languages in speakers.items()}


def _languages(text: str, only: Language | None) -> tuple[Language, ...]:
    """The languages a stretch of text may be in, likeliest first; English, which newsrooms mix in, is always among them."""
    english = every()[0]
    if only is not None:
        return tuple(dict.fromkeys((only, english)))
    speakers = _speakers()
    scores = Counter(language for word in _LETTERS.findall(text) for language in speakers.get(word, ()))
    most = max(scores.values(), default=0)
    likely = [language for language, score in scores.most_common() if 2 * score >= most]
    return tuple(dict.fromkeys((*likely, english)))
