"""Whose embargo a text speaks of: its own, or another one."""

from __future__ import annotations

import re

from scheduler.embargo.languages import every
from scheduler.embargo.languages.phrases import any_phrase
from scheduler.embargo.openings import PARAGRAPH

STOP = re.compile(r"[.!?][\"')\]]*(?:\s|$)")


def _phrases(name: str) -> str:
    return any_phrase(phrase for language in every() for phrase in getattr(language, name))


_LABELS = re.compile(rf"(?:{_phrases('label')}\s+)+$")
_OTHERS = re.compile(rf"{_phrases('others')}\s*$")
_EXAMPLES, _REPORTS, _AFTERWARDS, _BEHIND, _OURS = (
    re.compile(_phrases(name)) for name in ("examples", "reports", "after", "behind", "ours")
)
_SUBJECT = re.compile(r"\b(?:subject|re|fwd?|aw|wg|betreff|objet|asunto|oggetto|assunto|onderwerp)\s*:")
_MARK = "\"'"
_MARKED = re.compile(r"[\"'(]")
_ABBREVIATED = re.compile(r"\b(?:[ap]\.?m|[a-z]|sen|mr|mrs|ms|dr|hon|rt|st|no|vs)\.$")
_SHOWN = re.compile(
    r"(?:\breads?|form(?:at|ula)? is|wording is|written as|like this|as follows|for example|e\.g\.|example|such as)$"
)
_LABEL = re.compile(rf"\s*(?:[:-]|\d|{_phrases('until')}|{_phrases('leads')})")
_HOUR = re.compile(r"(?<=\d)\s*(?:[ap]\.?m|hours|hrs|uhr|h)\b")
_LIFTS = re.compile(
    r"\s+(?:(?:on|of|for)\s+(?:[\w']+\s+){1,6}?)?(?:will\s+|now\s+)?(?:be\s+)?"
    rf"(?:lift(?:s|ed)?|ends?|expires?|{_phrases('leads')})\b"
)
IS = re.compile(
    r"(?:\s+time)?(?:\s+(?:for|of|on)(?:\s+[\w']+){1,6}?)?\s+(?:is|will)\s+(?:(?:actually|now|still|be)\s+){0,2}"
    r"(?=\d|noon|midnight|tomorrow|today|tonight)"
)
"""What leads from the embargo to its time: "the embargo for this call is 9 a.m."."""
_ARTICLES = frozenset({"the", "an"})
_ARTICLE = re.compile(r"^\W*(?:the|el|l'|il|o|het|die|das|der|le)\s*$")
_LABEL_WORDS = 7  # a label with more behind it, and no time among that, is a heading of something else
_AGAINST = re.compile(r"\s+against\b")  # on a banner: against delivery, be that word legible or not
_BLANKS = re.compile(r"\{\{|\$\{|\$[a-z]|<%|%s")
_NEAR = 60  # of these, those that can name the kind of embargo
_BACK = 240  # characters before an opening that can say whose embargo it is


def sentence_before(raw: str, text: str, start: int) -> str:
    """What stands before a place in its sentence: from the last full stop that ends one, or an empty line."""
    begin = max(0, start - _BACK)
    for stop in STOP.finditer(text, begin, start):
        ends = raw[stop.end() : stop.end() + 1].isupper()
        if ends and not _ABBREVIATED.search(text[max(0, stop.start() - 5) : stop.start() + 1]):
            begin = stop.end()
    for gap in PARAGRAPH.finditer(text, begin, start):
        begin = gap.end()
    return text[begin:start]


def is_banner(raw: str, text: str, start: int, end: int) -> bool:
    """Whether an opening stands by itself: in capitals, at the head of a line, behind a mark, or as a label."""
    if raw[start:end].isupper():
        return True
    line = text.rfind("\n", 0, start) + 1
    head = text[max(line, start - 80) : start]
    adverb = _LABELS.search(head)
    begin = start - (len(adverb.group()) if adverb else 0)
    head = head[: adverb.start()] if adverb else head
    if not re.search(r"[a-z]", _HOUR.sub("", head)):
        if adverb and adverb.group().strip() in _ARTICLES and raw[start].islower():
            return False
        # Prose that a mail program has wrapped goes on from a long line before.
        previous = text[text.rfind("\n", 0, max(line - 1, 0)) + 1 : max(line - 1, 0)].strip()
        return raw[begin].isupper() or not 50 < len(previous) < 200 or bool(head.strip())
    if raw[begin].isupper() and (
        text.startswith("embargoed", start) or _LABEL.match(text, end) or re.search(r"\.\s*$", head)
    ):
        return True
    return re.search(r"[(\[*:|/-]\s*$", head) is not None and text[end : end + 1] not in {"s", "-"}


def is_label(raw: str, text: str, start: int, end: int) -> bool:
    """Whether a banner without a time still sets an embargo: it heads its line and is capitals, a label or the whole line."""
    line = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", end, end + 1000)
    rest = text[end : stop if stop >= 0 else end + 1000].strip(" *.!)]")
    if re.search(r"\w", _LABELS.sub("", _SUBJECT.sub("", text[max(line, start - 80) : start]))):
        return False
    if rest.startswith(":") and len(rest.split()) > _LABEL_WORDS and not raw[start:end].isupper():
        return False
    if raw[start:end].isupper() or not rest:
        return True
    return re.match(r":|(?:for|until|till)\b", rest) is not None and len(rest.split()) <= _LABEL_WORDS


def is_template(text: str, end: int) -> bool:
    """Whether what follows an opening is to be filled in by a program."""
    return _BLANKS.search(text, end, end + 60) is not None


def is_quoted(raw: str, text: str, start: int, end: int) -> bool:
    """Whether an opening is only named: the word in quotation marks or brackets, or its wording quoted in a sentence of prose."""
    if not _MARKED.search(text, max(0, start - 40), end + 1):
        return False
    label = _LABELS.search(text, max(0, start - 40), start)
    begin = label.start() if label else start
    before, after = text[max(0, begin - 1) : begin], text[end : end + 1]
    if before == "'" and text[max(0, begin - 2)].isalpha():
        before = ""
    if raw[max(0, begin - 2) : begin].startswith("\u00ab"):
        before = '"'
    line = raw[max(raw.rfind("\n", 0, start) + 1, start - 80) : start]
    words = len(re.findall(r"[a-z]{2,}", line))
    if before == "(" and after == ")":
        return words > 2
    return before in _MARK and before != "" and (words > 2 or after in _MARK or text[max(0, begin - 2)] == "(")


def is_shown(text: str, start: int) -> bool:
    """Whether the words before an opening, be they a paragraph away, announce an example of how to write one."""
    return _SHOWN.search(text[max(0, start - 40) : start].rstrip(" \n:>`*\"'")) is not None


def is_of_others(lead: str, after: str, *, banner: bool) -> bool:
    """Whether the words around an opening say that the embargo is none of this text: another's, a rule, an example."""
    if _AFTERWARDS.match(after) and not IS.match(after) and not (banner and _AGAINST.match(after)):
        return True
    if not banner and "?" in re.split(r"[.\n]", after[:80], maxsplit=1)[0]:
        return True
    if not banner and _BEHIND.search(after.partition(".")[0][:160]):
        return True
    lead = lead[lead.rfind("\n") + 1 :] if banner else lead
    if not lead or lead.isspace():
        return False
    near = lead[-_NEAR:]
    other = _OTHERS.search(near) or _OTHERS.search(_LABELS.sub("", near))
    return bool(other or _EXAMPLES.search(lead) or (not banner and _REPORTS.search(lead)))


def is_ours(lead: str, after: str) -> bool:
    """Whether a sentence of prose around an opening speaks of this text."""
    return (
        _OURS.search(lead) is not None
        or (lead.endswith("the ") and IS.match(after) is not None)
        or (_LIFTS.match(after) is not None and (lead.endswith("the ") or _ARTICLE.match(lead) is not None))
    )
