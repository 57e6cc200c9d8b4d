"""The words that open a statement: "embargoed", "hold for release", "for immediate release", in every language."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from scheduler.embargo.languages import Language, every
from scheduler.embargo.languages.phrases import any_phrase, first_words
from scheduler.embargo.lexicon import Lexicon, lexicon
from scheduler.embargo.rules import LETTER

MOST = 500
"""A text that speaks of embargoes more often than this is left to a person."""

PARAGRAPH = re.compile(r"\n[^\S\n]*\n")

_REACH = 320  # characters after an opening in which its statement may run on
_BEFORE = 120  # characters before it in which a day may stand
_UNTIL = re.compile(r"\b(?:until|till|bis|hasta|jusqu|fino|ate|tot)\b")
_WORD = re.compile(r"\w+")
_LETTERS = re.compile(rf"(?<!\w){LETTER}+")


class Sort(StrEnum):
    """What the opening words announce."""

    EMBARGO = "embargo"
    IMMEDIATE = "immediate"  # for immediate release, no embargo
    LIFTED = "lifted"  # the embargo there was is lifted


_SORTS = {"immediate": Sort.IMMEDIATE, "lifted": Sort.LIFTED, "over": Sort.LIFTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The words that open a statement in ``text``, which is ``raw`` folded: offsets, and the borders that its neighbours set.

    ``form`` is the key of the language files that they stand under. ``lexicon`` is of the languages spoken there.
    """

    raw: str = field(repr=False)
    text: str = field(repr=False)
    sort: Sort
    form: str
    start: int
    end: int
    floor: int
    ceiling: int
    lexicon: Lexicon = field(repr=False)


def openings(raw: str, text: str, only: Language | None) -> list[Opening] | None:
    """The openings in a text, in order; ``None`` when they are too many. ``only``: the language it is known to be in."""
    places: list[tuple[Sort, str, int, int]] = []
    openers = _openers()
    position = count = 0
    for word in _LETTERS.finditer(text):
        opener = openers.get(word.group())
        if opener is None or word.start() < position:
            continue
        match = opener.match(text, word.start())
        if match is None:
            continue
        start, position = match.span()
        form = match.lastgroup or ""
        if form == "idiom":
            continue
        count += 1
        if count > 4 * MOST or len(places) > MOST:
            return None
        sort = _SORTS.get(form, Sort.EMBARGO)
        if places and sort is places[-1][0] is Sort.EMBARGO and start - places[-1][3] < 60:
            gap = text[places[-1][3] : start]
            if not _UNTIL.search(gap) and not unknown(gap, lexicon(every())) and not PARAGRAPH.search(gap):
                places[-1] = (*places[-1][:3], position)
                continue
        places.append((sort, form, start, position))
    opened: list[Opening] = []
    for number, (sort, form, start, end) in enumerate(places):
        floor = max(places[number - 1][3] if number else 0, start - _BEFORE)
        ceiling = min(places[number + 1][2] if number + 1 < len(places) else len(text), end + _REACH)
        words = lexicon(_languages(text, max(floor, start - 60), min(ceiling, end + 180), only))
        opened.append(
            Opening(
                raw=raw,
                text=text,
                sort=sort,
                form=form,
                start=start,
                end=end,
                floor=floor,
                ceiling=ceiling,
                lexicon=words,
            )
        )
    return opened


def unknown(gap: str, words: Lexicon) -> list[str]:
    """The words between two tokens that a statement can't do without explaining."""
    if len(gap) < 3 and not gap.strip(" ,("):
        return []
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
    until, leads = any_phrase(of("until")), any_phrase([*of("until"), *of("leads")])
    soon = rf"(?:{LETTER}{{1,3}}\s+)?(?:\d|(?:{'|'.join(sorted(days, key=len, reverse=True))})(?!{LETTER})|{leads}|delivery\b)"
    after = {"idiom": r"(?!\s*:)", "ban": rf"(?=[^.\n]{{0,60}}{until})", "loose": rf"[:;.,\s]{{1,3}}(?={soon})"}
    forms: defaultdict[str, list[str]] = defaultdict(list)
    for form in ("idiom", "immediate", "over", "lifted", "order", "ban", "notice", "loose"):
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


def _languages(text: str, floor: int, ceiling: int, only: Language | None) -> tuple[Language, ...]:
    """The languages a stretch of text may be in, likeliest first; English, which newsrooms mix in, is always among them."""
    english = every()[0]
    if only is not None:
        return tuple(dict.fromkeys((only, english)))
    speakers = _speakers()
    scores = {english: 0}
    for word in _LETTERS.findall(text, floor, ceiling):
        for language in speakers.get(word, ()):
            scores[language] = scores.get(language, 0) + 1
    most = max(scores.values())
    likely = sorted((language for language in scores if 3 * scores[language] >= 2 * most), key=lambda one: -scores[one])
    return tuple(likely) if english in likely else (*likely, english)
