"""A summary made from a text's own sentences: the first that tell something, 60 to 120 words of them."""

# ruff: noqa: RUF001, SIM905  # typographic signs are what is looked for; word lists read better as words
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

LEAST, MOST = 60, 120
"""Words of a made summary. A text that has fewer to tell gives what it has."""

_REACH = 50_000  # characters: what has told nothing by then won't, and time stays bounded

_LABEL = re.compile(r"(?P<label>[^\W\d_](?:[^:\n]{0,78}[^:\s])?):\s+")
_NOT_THE_NEWS = re.compile(
    r"MODERATOR|HOST|FACILITATOR|CHAIR|OPERATOR|COORDINATOR|Q|QUESTION\w*|REPORTER|JOURNALIST|PRESS|PARTICIPANT"
)
_HOUSEKEEPING = re.compile(
    r"""(?ix)
    ^(?:(?:great|okay|ok|yes|well|so|and|again|of\ course|perfect|hi|hello)\b\W*)*
        (?:thanks?\b(?!\s+to\b)|(?:hi|hello|welcome|good\ (?:morning|afternoon|evening))\b|sorry\b|okay\W*$|great\W*$|$)
    | \bembargoed\b | \bunder\ (?:strict\ )?embargo\b | \bembargo\b\W.{0,30}\b(?:until|till|lifts|hasta|bis|jusqu)
    | \bnot\ for\ (?:release|publication) | \bfor\ immediate\ release | \bcheck\ against\ delivery
    | \bsperrfrist | \bfrei\ (?:ab|für)\b | gesprochene\ wort | حظر\ النشر | 解禁 | 禁运
    | \bon\ (?:deep\ )?background\b | \battributable\b | \boff\ the\ record\b | \bground\ rules\b
    | \bfor\ your\ (?:own\ )?(?:awareness|background|reporting|planning)\b | \bnot\ for\ your\ reporting\b
    | \bpress\ (?:the\ )?(?:star|pound|hash|\*|\#|\d)
    | \b(?:telephone|phone)\ keypad | \bspeaker\ ?phone | \bline\ is\ open | \bin\ (?:the\ )?queue
    | \b(?:on\ mute|muted|unmute)\b
    | \b(?:ask|asking|take|taking)\ (?:(?:a|your|any|some|our|my)\ )*questions?\b | \bforward\ to\ your\ questions
    | \bintroduc(?:e|ing)\ (?:to\ you|our|you)\b | \b(?:we\ have\ with\ us|joined\ by|joining\ us)\b
    | \bopening\ (?:remarks|comments|statement)
    | \b(?:turn|hand|pass|send|kick)(?:ing)?\ (?:it|things|this|the\ (?:call|floor))?\ ?(?:back\ )?over\b
    | \bover\ to\ (?:you\b|\[)
    | \bturn\ (?:it\ )?to\ (?:you\b|\[) | \b(?:hear\ me|go\ ahead|bear\ with)\b
    | ^(?:\W*this\ is\ |\W*)\[[^\]]*\][\W\d]*$
    | \bquickly\ through | \bget\ started\b | \bbefore\ (?:we|i)\ (?:begin|start)\b
    """
)
_END = re.compile(r"[.!?…؟۔।]+[”’\"')\]»]*(?=\s|$)|[。！？]+[」』”’）]*")
_NEVER_LAST = frozenset(
    "mr mrs ms dr prof sen rep gov gen col lt sgt capt maj adm st rev hon rt messrs mme mlle m vs no nos art vol pp fig approx "
    "jan feb mar apr jun jul aug sept sep oct nov dec e.g i.e bzw z.b d.h nr abs sr sra card emmo dept ca cf".split()
)
_MAYBE_LAST = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|inc|ltd|co|corp|jr|etc|bros|plc|a\.m|p\.m", re.IGNORECASE)
_STARTERS = frozenset(
    "the a an in on at by for from with as it its this that these those we he she they i you there but and or if when while our "
    "his her their after before under since no not all more most some one".split()
)
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def make(text: str, *, title: str = "") -> str:
    """The first sentences of `text` that tell something, in order: without greetings, ground rules, instructions and labels.

    `text` is plain, its paragraphs parted by an empty line. What merely repeats `title` is left out. Where nothing
    but housekeeping is found, the text's own beginning is the summary, except for sentences about an embargo.
    """
    text = text[:_REACH]
    told = _telling(_paragraphs(text))
    found = _gathered(one for kept in told if " ".join(kept).casefold() != title.casefold() for one in kept)
    if not found:
        plain = (_labelled(" ".join(part.split()))[1] for part in text.split("\n\n"))
        found = _gathered(one for words in plain for one in sentences(words) if not _HOUSEKEEPING.search(one))
    return found


def _telling(paragraphs: Iterable[str]) -> Iterator[list[str]]:
    """Each paragraph's sentences without housekeeping, where enough is left. Lazily: a summary needs the first few."""
    for words in paragraphs:
        kept = [one for one in sentences(words) if not _HOUSEKEEPING.search(one)]
        if _size(" ".join(kept)) >= 12:
            yield kept


def _labelled(words: str) -> tuple[str | None, str]:
    """A turn's label in capitals, without a remark in brackets, and its words."""
    if match := _LABEL.match(words):
        label = re.sub(r"\s*[(\[].*", "", match["label"])
        if label == label.upper():
            return label, words[match.end() :]
    return None, words


def _paragraphs(text: str) -> list[str]:
    """Paragraphs of prose by those who have something to announce, without speakers' labels."""
    found = []
    is_told = True
    for paragraph in text.split("\n\n"):
        label, words = _labelled(" ".join(paragraph.split()))
        if label is not None:
            is_told = not _NOT_THE_NEWS.fullmatch(label)
        letters = [sign for sign in words if sign.isalpha()]
        is_shouted = bool(letters) and all(sign.isupper() for sign in letters)
        # Headings, datelines and tables end without a full stop; list items and quotations of others are not the news.
        if is_told and not is_shouted and not re.match(r"[-|>*•]|\d+[.)]\s", paragraph) and _END.search(words[-4:]):
            found.append(words)
    return found


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph. A full stop after an abbreviation, an initial or a day's number ends none."""
    found, start = [], 0
    for end in _END.finditer(text):
        if _is_end(text[max(start, end.start() - 40) : end.start()], end[0], text[end.end() : end.end() + 40].lstrip()):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [*found, *filter(None, [text[start:].strip()])]


def _is_end(before: str, mark: str, after: str) -> bool:
    if not after or after[0].islower():
        return not after
    if not mark.startswith("."):
        return True
    word = re.split(r"[\s(\[“\"'’/—–-]", before)[-1]
    if word.casefold() in _NEVER_LAST or re.fullmatch(r"[^\W\d_]", word) or re.fullmatch(r"\d{1,2}", word):
        return bool(_WIDE.match(word))
    follower = re.match(r"\w*", after.lstrip("“\"‘'(["))
    return not _MAYBE_LAST.fullmatch(word) or (follower is not None and follower[0].casefold() in _STARTERS)


def _size(text: str) -> int:
    """Words; two characters of a script that writes none apart count as one."""
    return len(_WIDE.sub(" ", text).split()) + math.ceil(len(_WIDE.findall(text)) / 2)


def _gathered(told: Iterable[str]) -> str:
    taken: list[str] = []
    size = 0
    for sentence in told:
        if size >= LEAST or (taken and size + _size(sentence) > MOST):
            break
        taken.append(sentence)
        size += _size(sentence)
    if size > MOST:
        return _cut(taken[0])
    glue = "" if taken and _WIDE.search(taken[0][-2:]) else " "
    return _closed(glue.join(taken))


def _closed(text: str) -> str:
    """A quotation that goes on behind the last sentence taken ends with it."""
    if text.count("“") > text.count("”"):
        return text + "”"
    return text + '"' if text.count('"') % 2 else text


def _cut(sentence: str) -> str:
    """An endless sentence up to its last clause that fits, or else its last word."""
    sentence = sentence[: MOST * 30]
    ends = [mark.start() for mark in re.finditer(r"[;:,،、，；](?=\s|[^\x00-\x7f])|\s", sentence)]
    fitting = [end for end in ends if _size(sentence[:end]) < MOST] or [len(sentence[: MOST * 6])]
    clauses = [end for end in fitting if not sentence[end].isspace() and _size(sentence[:end]) >= LEAST] if ends else []
    return sentence[: max(clauses or fitting)].rstrip(" ,;:،、，；") + " …"
