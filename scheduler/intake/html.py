"""A saved web page: its text without what surrounds it, its title, and what its meta tags say about when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scheduler.intake.characters import encoding
from scheduler.intake.hypertext import BLOCKS, Node, blocks, comments, plain, tree
from scheduler.intake.wire import SPEAKS_OF_EMBARGO, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.record import Brief

# What surrounds a text, by its element, its role, or the names its makers gave it.
_AROUND = frozenset({"nav", "footer", "aside", "form"})
_ROLES = frozenset({"navigation", "banner", "contentinfo", "complementary", "search", "dialog"})
_NAMES = re.compile(
    r"(?:^|[\s_-])(?:nav(?:bar|igation)?|menu|breadcrumbs?|footer|side-?bar|share|sharing|social|cookies?|consent|related|"
    r"recommended|newsletter|subscribe|comments?|promo|advert(?:isement)?|ads?|skip(?:-?link)?|pagination|toolbar|banner)(?:$|[\s_-])",
    re.IGNORECASE,
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:-]{1,30})", re.IGNORECASE)
_LANG = re.compile(r"<html\b[^>]{0,500}?\blang\s*=\s*[\"']?([A-Za-z0-9_-]{1,35})", re.IGNORECASE)
_AVAILABLE = frozenset({"dcterms.available", "dc.date.available", "dcterms.date.available"})
_ISSUED = frozenset({"article.published.time", "dcterms.issued", "dc.date.issued", "datepublished"})
_NOTES = ("description", "og:title", "og:description")
_MOST = 0.75
"""So much of a page's words stand in the element that is taken for its text."""


def read(data: bytes, path: Path, origin: str) -> Brief:
    """A saved page. Raises :class:`~scheduler.errors.FileRefused`."""
    wire = Wire(path=path, origin=origin)
    html = _characters(data, wire)
    try:
        _read(html, tree(html), wire)
    except (ValueError, RecursionError):
        wire.refuse(
            "Its elements are too many, nested too deeply, or never closed.", "Copy the text into a Markdown file."
        )
    return wire.brief()


def _read(html: str, root: Node, wire: Wire) -> None:
    nodes = list(root.nodes())
    metas = [
        ((meta.get("property") or meta.get("name") or meta.get("itemprop") or "").strip(), meta.get("content", ""))
        for meta in (node.attributes for node in nodes if node.tag == "meta")
    ]
    for name, content in metas:
        _from_meta(name, content, wire)
    for node in nodes:
        if node.tag == "link" and "canonical" in node.attributes.get("rel", "").split():
            _source(node.attributes.get("href", ""), "link canonical", wire)
    wire.take("language", (_LANG.search(html[:20_000]) or ("", ""))[1], "html lang")
    text = _text(root)
    leave = [node for node in text.nodes() if node is not text and (node.is_hidden() or _is_around(node))]
    heads = [node for node in text.nodes() if node.tag == "h1" and plain(node)]
    named = {name.casefold(): content for name, content in reversed(metas)}
    for words, place in (
        *((plain(node), "h1") for node in heads[:1]),
        (named.get("og:title", ""), "meta og:title"),
        *((plain(node), "h1") for node in nodes if node.tag == "h1"),
        *((plain(node), "title") for node in nodes if node.tag == "title"),
    ):
        wire.take("title", words, place)
    body = blocks(text, leave=[*leave, *(heads if len(heads) == 1 else ())])
    wire.take("body", body, text.tag)
    wire.note(plain(root, leave=[text]))
    for note in (*map(plain, leave), *comments(html), *(named.get(name) for name in _NOTES)):
        wire.note(note)
    if re.search(r"<img\b", html, re.IGNORECASE):
        wire.leave("pictures")


def _from_meta(name: str, content: str, wire: Wire) -> None:
    folded, place = re.sub(r"[.:_]+", ".", name.casefold()), f"meta {name[:60]}"
    if SPEAKS_OF_EMBARGO.search(folded) or folded in _AVAILABLE:
        wire.embargo(content, place)
    elif folded in _ISSUED:
        wire.dated("version", content, place)
    elif folded == "og.url":
        _source(content, place, wire)


def _source(address: str, place: str, wire: Wire) -> None:
    if re.fullmatch(r"https?://[^\s<>\"]+", address):
        wire.take("source", address, place)


def _characters(data: bytes, wire: Wire) -> str:
    """The page's characters: by its byte order mark, else as it says, else as UTF-8."""
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    said = _CHARSET.search(data[:4096])
    name = next((marks[mark] for mark in marks if data.startswith(mark)), None)
    if name is None and said is not None:
        # What can be read up to here is not UTF-16, whatever it says.
        name = encoding(said[1].decode().replace("utf-16", "utf-8").replace("UTF-16", "utf-8"))
        if name is None:
            wire.refuse("It says that it is in an encoding in which texts are not sent.", "Save it as UTF-8.")
    try:
        return data.decode(name or "utf-8")
    except (UnicodeDecodeError, LookupError):
        problem = (
            "It is not in the encoding that it states." if said or name else "It states no encoding, and is not UTF-8."
        )
        wire.refuse(problem, "Save it as UTF-8.")


def _is_around(node: Node) -> bool:
    named = f"{node.attributes.get('class', '')} {node.attributes.get('id', '')}"
    return (
        node.tag in _AROUND
        or node.attributes.get("role") in _ROLES
        or node.attributes.get("aria-hidden") == "true"
        or (node.tag in BLOCKS and node.tag not in ("article", "main") and _NAMES.search(named) is not None)
    )


def _text(root: Node) -> Node:
    """The element that holds the page's text: what its makers call so, else the smallest that has most of the words."""
    weights: dict[Node, int] = {}
    _weigh(root, weights)
    for called in (
        [node for node in weights if node.attributes.get("itemprop") == "articleBody"],
        [node for node in weights if node.tag == "article"],
        [node for node in weights if node.tag == "main" or node.attributes.get("role") == "main"],
    ):
        # A page of many articles is a list of others' beginnings; an article of few words among many is none.
        most = max(called, key=lambda node: weights[node], default=None)
        if most is not None and weights[most] * 2 > weights[root]:
            return most
    here = root
    while inner := next(
        (each for each in here.inside if isinstance(each, Node) and weights.get(each, 0) > _MOST * weights[root]), None
    ):
        if inner.tag not in BLOCKS or inner.tag in ("p", "ul", "ol", "blockquote", "pre"):
            break
        here = inner
    return here


def _weigh(node: Node, weights: dict[Node, int]) -> int:
    """How many characters of running text each element holds; words of links and of what surrounds a text weigh nothing."""
    if node.is_hidden() or node.tag == "a" or _is_around(node):
        return 0
    weights[node] = 0
    weights[node] = sum(len(each.strip()) if isinstance(each, str) else _weigh(each, weights) for each in node.inside)
    return weights[node]
