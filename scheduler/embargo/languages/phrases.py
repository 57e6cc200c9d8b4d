r"""The small notation in which language files write phrases, turned into regular expressions.

``hold for|until release``      words; bars part what may stand in one place
``embargo [is|was] lifted``     square brackets: may be absent
``(has been)|was lifted``       round brackets keep several words in one place
``land*``  ``the * ends``       the rest of a word, or any one word; ``#`` a number
``embargo ... is lifted``       up to a hundred characters of the same sentence
``conclusion !of``              not followed by that
``/\bviolat\w+/``                 a regular expression as it stands

A blank stands for any white space. Capitals and accents do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_PIECE = re.compile(r"\.\.\.|!?(?:\[[^\]]*\]|(?:\([^()]*\)|[^\s\[\]()])+)")
_BAR = re.compile(r"\|(?![^(]*\))")
_LETTERS = re.compile(r"[^\W\d_]+")
_BLANK = r"\s{1,20}"
_WORD = r"[\w'-]+"


def any_phrase(phrases: Iterable[str]) -> str:
    """A regular expression, without groups, for any of these phrases as whole words; it never matches where there are none."""
    written, raw = [], []
    for phrase in phrases:
        if phrase.startswith("/"):
            raw.append(phrase.strip("/").replace(" ?", r"\s?").replace(" ", r"\s+"))
        else:
            written.append("".join(_pieces(phrase)))
    if written:
        # A phrase that ends in an apostrophe is followed by its word at once.
        raw.insert(0, rf"(?<!\w)(?:{'|'.join(written)})(?:(?<=')|(?!\w))")
    return rf"(?:{'|'.join(raw)})" if raw else "(?!)"


def first_words(phrase: str) -> frozenset[str]:
    """The letters a phrase may begin with, up to the first character that is none; ``ValueError`` where that is open."""
    firsts: set[str] = set()
    for piece in _PIECE.findall(phrase):
        for choice in _BAR.split(piece.strip("[]")):
            found = _LETTERS.match(choice.lstrip("("))
            if found is None or choice[found.end() :].startswith("*"):
                raise ValueError(f"The phrase '{phrase}' must begin with a whole word.")
            firsts.add(found.group())
        if not piece.startswith("["):
            return frozenset(firsts)
    raise ValueError(f"The phrase '{phrase}' has no word that must be there.")


def _pieces(phrase: str) -> Iterator[str]:
    begun = False
    for piece in _PIECE.findall(phrase):
        lead = _BLANK if begun else ""
        if piece == "...":
            yield r"(?:[^.\n]|\.(?=\d)|\n(?!\s*\n)){0,100}\b"
            begun = False
        elif piece.startswith("!"):
            yield rf"(?!{lead}{_choices(piece[1:])})"
        elif piece.startswith("["):
            choices = _choices(piece.strip("[]"))
            yield rf"(?:{lead}{choices})?" if begun else rf"(?:{choices}{_BLANK})?"
        else:
            yield lead + _choices(piece)
            begun = True


def _choices(alternatives: str) -> str:
    return f"(?:{'|'.join(map(_choice, _BAR.split(alternatives)))})"


def _choice(words: str) -> str:
    if words.startswith("("):
        return "".join(_pieces(words.strip("()")))
    if words == "*":
        return _WORD
    return re.escape(words).replace(r"\*", r"\w*").replace(r"\#", r"\d+")
