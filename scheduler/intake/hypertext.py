"""HTML as CommonMark: cleaned by nh3, which reads it as browsers do, then written anew. Scripts and styles never survive."""

# ruff: noqa: SIM905  # word lists read better as words
from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple

import nh3

from scheduler.intake import commonmark
from scheduler.intake.wire import SPEAKS_OF_EMBARGO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_HEADINGS = {f"h{number}": number for number in range(1, 7)}
BLOCKS = frozenset(
    "address article aside blockquote center dd details div dl dt figcaption figure footer form header hr li main nav ol p"
    " pre section summary table tbody td tfoot th thead tr ul".split()
) | frozenset(_HEADINGS)
_INLINE = frozenset("a abbr b br cite code em i ins kbd mark q s small span strong sub sup time u".split())
_HEAD = frozenset({"meta", "title", "link"})
_VOID = frozenset({"br", "hr", "meta", "link"})
_GONE = frozenset(
    "audio button canvas iframe math noscript object script select style svg template textarea video".split()
)
_ATTRIBUTES = {
    "*": {"class", "id", "role", "hidden", "aria-hidden", "style", "itemprop"},
    "a": {"href"},
    "link": {"rel", "href"},
    "meta": {"name", "property", "content"},
    "ol": {"start"},
}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEED_NO_END = _VOID | frozenset(
    "p li dt dd td th tr thead tbody tfoot option optgroup img input source col base area wbr embed param track rp rt".split()
)
_DEPTH, _MOST = 150, 60_000
"""So deep, and so many, are the tags that are looked at: a page of news has some thousand."""


@dataclass(slots=True, eq=False)
class Node:
    """An element of the tree. ``holds_block`` says whether it, or one inside it, begins on a line of its own."""

    tag: str
    attributes: dict[str, str]
    holds_block: bool = False
    inside: list[Node | str] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """The element itself and all inside it, in their order."""
        waiting = [self]
        while waiting:
            yield (node := waiting.pop())
            waiting.extend(each for each in reversed(node.inside) if isinstance(each, Node))

    def is_hidden(self) -> bool:
        """Whether browsers would not show it."""
        return (
            self.tag in _HEAD
            or "hidden" in self.attributes
            or _HIDDEN.search(self.attributes.get("style", "")) is not None
        )


class _Tree(HTMLParser):
    """Builds the tree of HTML that nh3 has cleaned: every element closed, every sign escaped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("page", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, tag in BLOCKS)
        self._open[-1].inside.append(node)
        if node.holds_block:
            for outer in reversed(self._open):
                if outer.holds_block:
                    break
                outer.holds_block = True
        if tag not in _VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if len(self._open) > 1 and self._open[-1].tag == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(_INVISIBLE.sub("", data))


class Piece(NamedTuple):
    """HTML as CommonMark; ``around`` is text that browsers would not show."""

    body: str
    around: str


def piece(html: str) -> Piece:
    """HTML that is all text, such as a story's body in a wire format. Raises ``ValueError`` where it is nested too deeply."""
    root = tree(html)
    hidden = [node for node in root.nodes() if node is not root and node.is_hidden()]
    return Piece(blocks(root, leave=hidden), "\n".join([*comments(html), *map(plain, hidden)]))


def tree(html: str) -> Node:
    """The elements of `html`, cleaned. Raises ``ValueError`` where they are too many, or nested too deeply."""
    # html5ever's time grows with the square of the depth, and so would our own calls.
    if html.count("<") + html.count("&") > 3 * _MOST:
        raise ValueError
    open_tags: Counter[str] = Counter()
    depth = 0
    for count, (close, name) in enumerate(_TAG.findall(html)):
        tag = name.casefold()
        step = -1 if close else 1
        if tag not in _NEED_NO_END and (step > 0 or open_tags[tag]):
            open_tags[tag] += step
            depth += step
        if depth > _DEPTH or count > _MOST:
            raise ValueError
    built = _Tree()
    built.feed(
        nh3.clean(
            re.sub(r"&(?![#\w])", "&amp;", html.replace("\0", "\ufffd")),
            tags=set(BLOCKS | _INLINE | _HEAD),
            clean_content_tags=set(_GONE),
            attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
            url_schemes={"http", "https", "mailto"},
            link_rel=None,
        )
    )
    built.close()
    return built.root


def comments(html: str) -> Iterator[str]:
    """What stands between ``<!--`` and ``-->``, where it speaks of an embargo: a note of the desk counts."""
    at = 0
    while (start := html.find("<!--", at)) >= 0 and (end := html.find("-->", start + 4)) >= 0:
        if SPEAKS_OF_EMBARGO.search(html, start, end):
            yield re.sub(r"<[^>]*>", " ", html[start + 4 : end])
        at = end + 3


def plain(node: Node, *, leave: Collection[Node] = ()) -> str:
    """The words of an element, each block on a line of its own."""
    parts: list[str] = []

    def walk(here: Node) -> None:
        if here in leave:
            return
        edge = "\n" if here.tag in BLOCKS or here.tag == "br" else ""
        parts.append(edge)
        for each in here.inside:
            if isinstance(each, str):
                parts.append(re.sub(r"\s+", " ", each))
            else:
                walk(each)
        parts.append(edge)

    walk(node)
    return re.sub(r"\s*\n\s*", "\n", "".join(parts)).strip()


def blocks(node: Node, *, leave: Collection[Node]) -> str:
    """What an element holds as CommonMark, without the elements in `leave`. Raises ``ValueError`` where it is too deep."""
    try:
        return "\n\n".join(_each_block(node, frozenset(map(id, leave))))
    except RecursionError:
        raise ValueError from None


def _each_block(node: Node, leave: frozenset[int]) -> Iterator[str]:
    """The blocks of an element as CommonMark; breaks that follow each other part paragraphs."""
    running: list[Node | str] = []
    for each in [*node.inside, None]:
        if isinstance(each, str) or (isinstance(each, Node) and not each.holds_block):
            running.append(each)
            continue
        for paragraph in re.split(r"\n[ \t]*(?:\n[ \t]*)+", _inline(running, leave).strip()):
            if paragraph.strip():
                yield commonmark.paragraph(paragraph)
        running = []
        if each is not None and id(each) not in leave:
            yield from _block(each, leave)


def _block(node: Node, leave: frozenset[int]) -> Iterator[str]:
    within = partial(_each_block, leave=leave)
    if level := _HEADINGS.get(node.tag):
        words = " ".join(str.split(_inline(node.inside, leave))).replace(" #", " \\#")
        if words:
            yield f"{'#' * level} {words}"
    elif node.tag == "pre":
        if (code := "".join(_raw(node))).strip():
            yield commonmark.fenced(code)
    elif node.tag == "hr":
        yield "* * *"
    elif node.tag == "blockquote":
        if inner := "\n\n".join(within(node)):
            yield commonmark.indented(inner, "> ", "> ")
    elif node.tag in ("ul", "ol"):
        yield from _list(node, leave)
    elif node.tag == "table":
        yield from _table(node, leave)
    else:
        yield from within(node)


def _raw(node: Node) -> Iterator[str]:
    for each in node.inside:
        if isinstance(each, str):
            yield each
        elif each.tag == "br":
            yield "\n"
        else:
            yield from _raw(each)


def _list(node: Node, leave: frozenset[int]) -> Iterator[str]:
    first = node.attributes.get("start", "1")
    number = int(first) if re.fullmatch(r"[0-9]{1,8}", first) else 1
    items, is_tight = [], True
    for each in node.inside:
        if not isinstance(each, Node) or id(each) in leave:
            continue
        blocks = list(_each_block(each, leave)) if each.tag == "li" else list(_block(each, leave))
        if not blocks:
            continue
        mark = "- " if node.tag == "ul" else f"{number}. "
        number += 1
        is_tight &= len(blocks) == 1 or (len(blocks) == 2 and re.match(r"- |\d+\. ", blocks[1]) is not None)
        items.append(commonmark.indented(("\n" if is_tight else "\n\n").join(blocks), mark, " " * len(mark)))
    if items:
        yield ("\n" if is_tight else "\n\n").join(items)


def _table(node: Node, leave: frozenset[int]) -> Iterator[str]:
    """A table of words as such; one that lays out a page, or has one column, as what its cells hold."""
    rows = [
        [cell for cell in row.inside if isinstance(cell, Node) and cell.tag in ("td", "th")]
        for row in node.nodes()
        if row.tag == "tr"
    ]
    cells = [cell for row in rows for cell in row]
    words = [[" ".join(str.split(_inline(cell.inside, leave))) for cell in row] for row in rows]
    lays_out = any(
        each.tag in BLOCKS and each.tag not in ("p", "div")
        for cell in cells
        for each in cell.nodes()
        if each is not cell
    )
    if (
        lays_out
        or max(map(len, rows), default=0) < 2
        or max((len(each) for row in words for each in row), default=0) > 300
    ):
        for each in node.inside:
            if isinstance(each, Node):
                yield from _each_block(each, leave)
    elif any(each for row in words for each in row):
        yield commonmark.table([row for row in words if any(row)])


def _inline(nodes: list[Node | str], leave: frozenset[int]) -> str:
    """Running text as CommonMark; a line end in it is a break."""
    parts: list[str] = []
    for each in nodes:
        if isinstance(each, str):
            parts.append(commonmark.marks(re.sub(r"\s+", " ", each)))
        elif id(each) in leave or each.tag in _HEAD:
            continue
        elif each.tag == "br":
            parts.append("\n")
        else:
            parts.append(_spanned(each, _inline(each.inside, leave)))
    return re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", "".join(parts)))


def _spanned(node: Node, inner: str) -> str:
    words = inner.strip()
    if not words:
        return inner
    before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
    if node.tag in ("strong", "b"):
        words = commonmark.emphasised(words, "**")
    elif node.tag in ("em", "i", "cite"):
        words = commonmark.emphasised(words, "*")
    elif (
        node.tag == "a"
        and (address := node.attributes.get("href", "").strip())
        and "](" not in words
        and "\n" not in words
    ):
        words = commonmark.link(words, address)
    elif node.tag in BLOCKS:
        before, after = " ", " "
    return before + words + after
