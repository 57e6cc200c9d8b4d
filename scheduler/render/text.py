"""A brief's CommonMark made ready to be shown: sanitised HTML, plain text, summary. The same bytes on every machine."""

# ruff: noqa: SIM905  # word lists read better as words
from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from scheduler.record import Brief, Content
from scheduler.render import summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_TAGS = set("a blockquote br code em h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead tr ul".split())
_ABSOLUTE = re.compile(r"(?i)(?:https?://|mailto:).")
# `&#12;` in a text is a form feed, which XML 1.0, section 2.2, forbids.
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _without_comments(body: str) -> str:
    """`body` without ``<!-- … -->``. One that is never closed stays, for then it is no comment."""
    kept, at = [], 0
    while (start := body.find("<!--", at)) >= 0 and (end := body.find("-->", start + 4)) >= 0:
        kept.append(body[at:start])
        at = end + 3
    return "".join([*kept, body[at:]])


def content(brief: Brief) -> Content:
    """The brief's body as a page, a mail and a feed show it.

    The highest heading is an ``h2``, since the title is the page's ``h1``. Raw HTML is shown as it was typed, except
    comments: they are notes of the desk. An image becomes
    a link to it, and a link that is not ``http``, ``https`` or ``mailto`` its mere words: a relative one would lead elsewhere in
    a feed.
    Aligned cells have class ``right`` or ``center``.
    """
    tokens = list(_shown(_MARKDOWN.parse(_without_comments(brief.body))))
    html = nh3.clean(
        _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        allowed_classes={"td": {"right", "center"}, "th": {"right", "center"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel=None,
    )
    text = "\n\n".join(_blocks(SyntaxTreeNode(tokens).children))
    text = _FORBIDDEN.sub("\ufffd", text)
    return Content(
        html=_FORBIDDEN.sub("\ufffd", html).strip(),
        text=text,
        summary=brief.summary or summary.make(text, title=brief.title),
    )


def _shown(tokens: list[Token]) -> Iterator[Token]:
    highest = min((int(token.tag[1]) for token in tokens if token.type == "heading_open"), default=1)
    for token in tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(int(token.tag[1]) - highest + 2, 6)}"
        elif token.type in ("td_open", "th_open") and (style := token.attrs.pop("style", None)):
            token.attrs["class"] = str(style).removeprefix("text-align:")
        token.children = list(_inline(token.children)) if token.children else token.children
        yield token


def _inline(tokens: list[Token]) -> Iterator[Token]:
    links: list[bool] = []
    for number, token in enumerate(tokens):
        if token.type == "link_open":
            links.append(bool(_ABSOLUTE.match(str(token.attrs["href"]))))
            if links[-1]:
                yield token
        elif token.type == "link_close":
            if links.pop():
                yield token
        elif token.type == "image":
            url = str(token.attrs["src"])
            words = Token("text", "", 0, content=token.content or url.rpartition("/")[2])
            if _ABSOLUTE.match(url) and not any(links):
                yield from (Token("link_open", "a", 1, attrs={"href": url}), words, Token("link_close", "a", -1))
            else:
                yield words
        elif token.type != "softbreak" or not _is_within_cjk(tokens, number):
            yield token


def _is_within_cjk(tokens: list[Token], number: int) -> bool:
    """Whether a line break stands between two wide characters, where a blank would be a mistake."""
    around = tokens[number - 1].content[-1:] + tokens[number + 1].content[:1] if 0 < number < len(tokens) - 1 else ""
    return len(around) == 2 and all(unicodedata.east_asian_width(sign) in "WF" for sign in around)


def _words(inline: SyntaxTreeNode) -> str:
    """Running text: a link as ``words (address)``, a hard break as a line end."""
    assert inline.token is not None
    parts: list[str] = []
    links: list[tuple[str, int]] = []
    for token in inline.token.children or []:
        if token.type == "link_open":
            links.append((str(token.attrs["href"]), len(parts)))
        elif token.type == "link_close":
            url, start = links.pop()
            if "".join(parts[start:]) not in (url, url.removeprefix("mailto:")):
                parts.append(f" ({url.removeprefix('mailto:')})")
        else:
            parts.append({"softbreak": " ", "hardbreak": "\n"}.get(token.type, token.content))
    return "".join(parts)


def _blocks(nodes: Iterable[SyntaxTreeNode]) -> Iterator[str]:
    for node in nodes:
        if node.type in ("paragraph", "heading"):
            yield _words(node.children[0])
        elif node.type in ("fence", "code_block"):
            yield node.content.rstrip("\n")
        elif node.type == "blockquote":
            yield _indented("\n\n".join(_blocks(node.children)), "> ", "> ")
        elif node.type in ("bullet_list", "ordered_list"):
            yield _list(node)
        elif node.type == "table":
            yield _table(node)
        else:  # a thematic break
            yield "* * *"


def _indented(text: str, first: str, others: str) -> str:
    lines = text.split("\n")
    return "\n".join((first + line if not number else others + line).rstrip() for number, line in enumerate(lines))


def _list(node: SyntaxTreeNode) -> str:
    start = int(node.attrs.get("start", 1))
    items = []
    for number, item in enumerate(node.children, start):
        mark = "- " if node.type == "bullet_list" else f"{number}. "
        is_tight = all(child.hidden for child in item.children if child.type == "paragraph")
        items.append(_indented(("\n" if is_tight else "\n\n").join(_blocks(item.children)), mark, " " * len(mark)))
    return "\n".join(items)


def _table(node: SyntaxTreeNode) -> str:
    rows = [row for part in node.children for row in part.children]
    cells = [[_words(cell.children[0]) for cell in row.children] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    is_right = [cell.attrs.get("class") == "right" for cell in rows[0].children]

    def padded(text: str, column: int) -> str:
        blanks = " " * (widths[column] - _width(text))
        return blanks + text if is_right[column] else text + blanks

    lines = ["  ".join(padded(text, column) for column, text in enumerate(row)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text if not unicodedata.combining(sign))
