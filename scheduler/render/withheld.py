"""Looks for names that must appear in no output, however they are spelled, broken or dressed."""

# ruff: noqa: RUF001  # look-alike letters and signs are what is looked for
from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)
# What may stand between two letters of one word: a tag, Markdown's signs, a hyphen that ends a line.
_INSIDE = r"(?:<[^<>]{0,300}>|[*_`~\\]|[-‐‑]\s*\n\s*)*"
_BETWEEN = r"(?:<[^<>]{0,300}>|[\W_])"
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
_PREFIXED = re.compile("[\u0590-\u06ff]")
_JOINED = frozenset("'’‘`-‐‑")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A withheld name was found: the `number`-th of `of`, in the field named `field`. The name itself is not repeated."""

    number: int
    of: int
    field: str

    def __str__(self) -> str:
        return f"withheld name {self.number} of {self.of} in {self.field}"


def found(names: Sequence[str], fields: Mapping[str, str]) -> Finding | None:
    """The first of `names` that stands in one of `fields` (name of the field to its text), or ``None``.

    Case, accents, line breaks and hyphenation, invisible characters, markup, entities, blanks of any kind, punctuation between
    the words, a middle initial, possessives, "Roe, Jane" and addresses such as ``jane.roe@`` don't hide a name. Only whole words
    count, except in scripts that write no blanks. In doubt it is a finding: a person can tell, a release can't be called back.
    """
    if not names:
        return None
    texts = {field: _folded(html.unescape(text)) for field, text in fields.items()}
    for number, name in enumerate(names, 1):
        if pattern := _pattern(_folded(name)):
            for field, text in texts.items():
                if pattern.search(text):
                    return Finding(number=number, of=len(names), field=field)
    return None


def _folded(text: str) -> str:
    """Lower-case letters without accents; composed again, lest a Hangul syllable be found inside another."""
    bare = "".join(
        sign
        for sign in unicodedata.normalize("NFKD", text.casefold())
        if unicodedata.category(sign) not in ("Mn", "Cf") and sign != "ـ"
    )
    return unicodedata.normalize("NFC", bare.translate(_LETTERS))


def _pattern(name: str) -> re.Pattern[str] | None:
    pieces = re.findall(r"[^\W_]+|[\W_]+", name.strip())
    words = [piece for piece in pieces if piece[0].isalnum()]
    if not words:
        return None
    if _UNSPACED.search(name):
        return re.compile(rf"(?:{_INSIDE}{_BETWEEN}*)".join(map(re.escape, "".join(words))))
    spelled = [_INSIDE.join(map(re.escape, word)) for word in words]
    gaps = [piece for piece in pieces[1:-1] if not piece[0].isalnum()] if len(words) > 1 else []
    straight = spelled[0]
    for gap, word in zip(gaps, spelled[1:], strict=False):
        # "O'Neill" is also "ONeill"; between names an initial may stand.
        straight += (f"{_BETWEEN}*" if set(gap) <= _JOINED else rf"{_BETWEEN}+(?:[^\W\d_]{_BETWEEN}+)?") + word
    ways = [straight]
    if len(words) > 1:
        ways.append(rf"{spelled[-1]}\s*,{_BETWEEN}*" + rf"{_BETWEEN}+".join(spelled[:-1]))
        ways += ["".join(spelled) + r"(?=@)", "(?<=[#@])" + "".join(spelled)]
    # Arabic and Hebrew write "and", "to" and the article as part of the word; a genitive may go without an apostrophe.
    before = "[وفبلكהבלמשכו]{0,2}" if _PREFIXED.match(name) else ""
    after = "s?" if len(words) > 1 else ""
    return re.compile(rf"(?<![^\W_]){before}(?:{'|'.join(ways)}){after}(?![^\W_])")
