"""NewsML-G2: one newsItem, alone or in a newsMessage, with its text as NITF, XHTML or plain words."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from scheduler.errors import FileRefused
from scheduler.intake import commonmark
from scheduler.intake.fields import Unfinished
from scheduler.intake.hypertext import piece
from scheduler.intake.wire import SPEAKS_OF_EMBARGO, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scheduler.record import Brief

_ROOTS = frozenset({"newsItem", "newsMessage", "packageItem"})
_DEPTH = 150
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CUT_OFF = {
    expat.errors.codes[words] for words in (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN)
}
# NITF's own elements as HTML has them; what has no place in a text is left out.
_AS_HTML = {"hl2": "h2", "block": "div", "body.content": "div", "lang": "span", "q": "q", "bq": "blockquote"}
_NO_TEXT = frozenset({"body.head", "body.end", "head", "media", "script", "style"})
_RELEASE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d)(?::?(\d\d))?(Z|[+-]\d\d:?\d\d)", re.ASCII)


def read(data: bytes, path: Path, origin: str) -> Brief:
    """The story in a NewsML-G2 file. Raises :class:`~scheduler.errors.FileRefused`, which names places as paths or lines."""
    wire = Wire(path=path, origin=origin)
    root = _parsed(data, wire)
    items = [element for element in root.iter() if _name(element) == "newsItem"]
    if _name(root) not in _ROOTS or len(items) != 1:
        holds = f"holds {len(items)} stories" if _name(root) in _ROOTS else "is no NewsML-G2"
        wire.refuse(f"This XML {holds}.", "A file holds one `newsItem`; write other records as Markdown.")
    [item] = items
    wire.name(item.get("guid"), "newsItem/@guid")
    _when(root, wire)
    _fields(item, wire)
    _body(item, wire)
    return wire.brief()


def _parsed(data: bytes, wire: Wire) -> Element:
    """The elements. A document type, with which entities and bombs would come, is refused where it begins; nothing is fetched."""
    parser = expat.ParserCreate(namespace_separator="}")
    builder = TreeBuilder()
    depth = 0

    def doctype(*_: object) -> None:
        wire.refuse(
            "It has a `<!DOCTYPE`.", "NewsML-G2 has none: have its source leave it out.", line=parser.CurrentLineNumber
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEPTH:
            wire.refuse(
                "Its elements are nested too deeply.", "Have its source send it anew.", line=parser.CurrentLineNumber
            )
        # A name in a namespace is `{namespace}name`, as ElementTree writes it.
        builder.start(_braced(tag), {_braced(name): value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_braced(tag))

    parser.StartDoctypeDeclHandler = doctype
    parser.CommentHandler = lambda words: wire.note(words) if SPEAKS_OF_EMBARGO.search(words) else None
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        # Piece by piece, so that nothing behind a document type is looked at.
        for at in range(0, len(data), 65_536):
            parser.Parse(data[at : at + 65_536], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        kind = Unfinished if error.code in _CUT_OFF else FileRefused
        wire.refuse("This is not valid XML.", "Send or save the file anew.", line=error.lineno, kind=kind)
    except (LookupError, ValueError):
        wire.refuse("It is in an encoding in which texts are not sent.", "Have its source send it as UTF-8.", line=1)
    return builder.close()


def _braced(name: str) -> str:
    return "{" + name if "}" in name else name


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _when(root: Element, wire: Wire) -> None:
    """All that says when, wherever it stands: of the item, of the package and the message around it, and of NITF's own head."""
    for element in root.iter():
        name = _name(element)
        if name == "embargoed":
            # NAR's DateTimeOrNullPropType: null is an embargo without a known end.
            wire.embargo(_words(element), "itemMeta/embargoed") if _words(element) else wire.open_ended(
                "itemMeta/embargoed"
            )
        elif name in ("pubStatus", "signal"):
            place = "itemMeta/pubStatus" if name == "pubStatus" else "itemMeta/signal"
            wire.status(element.get("qcode") or element.get("uri") or element.get("literal") or "", place)
        elif name == "date.release":
            found = _RELEASE.fullmatch(element.get("norm", "").strip())
            day, time = (found.group(1, 2, 3), found.group(4, 5, 6)) if found else ((), ())
            instant = (
                f"{'-'.join(day)}T{':'.join(part or '00' for part in time)}{found[7]}" if found else element.get("norm")
            )
            wire.embargo(instant, "docdata/date.release")
        elif name == "docdata":
            wire.status(element.get("management-status", "usable"), "docdata/@management-status")
        elif SPEAKS_OF_EMBARGO.search(name) or any(SPEAKS_OF_EMBARGO.search(key) for key in element.attrib):
            wire.doubt("An element or attribute speaks of an embargo where NewsML-G2 has none.")
        if name in ("edNote", "usageTerms", "slugline", "note"):
            wire.note(_words(element))


def _fields(item: Element, wire: Wire) -> None:
    paths = {
        "title": ("contentMeta/headline", "itemMeta/title"),
        "summary": ("contentMeta/description",),
        "attribution": ("contentMeta/creditline", "contentMeta/by"),
    }
    for name, places in paths.items():
        for place in places:
            for element in _at(item, place):
                wire.take(name, _words(element), place)
    for place, name in (("itemMeta/versionCreated", "version"), ("contentMeta/contentCreated", "written")):
        for element in _at(item, place):
            wire.dated(name, _words(element), place)
    for element in _at(item, "contentMeta/language"):
        wire.take("language", element.get("tag"), "contentMeta/language/@tag")
    wire.take("language", item.get(_LANG), "newsItem/@xml:lang")
    _topics(item, wire)
    if any(_name(element) == "remoteContent" for element in item.iter()):
        wire.leave("contentSet/remoteContent")


def _topics(item: Element, wire: Wire) -> None:
    for subject in _at(item, "contentMeta/subject"):
        for element in list(_at(subject, "name"))[:1]:
            wire.topic(_words(element), "contentMeta/subject/name")


def _at(element: Element, path: str) -> Iterator[Element]:
    first, _, rest = path.partition("/")
    for each in element:
        if _name(each) == first:
            yield from _at(each, rest) if rest else (each,)


def _body(item: Element, wire: Wire) -> None:
    for element in _at(item, "contentSet/inlineXML"):
        html = "".join(_as_html(element))
        try:
            body, around = piece(html)
        except ValueError:
            wire.refuse("`contentSet/inlineXML` has too many elements.", "Have its source send it anew.")
        for head in element.iter():
            if _name(head) in _NO_TEXT:
                wire.note(_words(head))
            if _name(head) == "hl1":
                wire.take("title", _words(head), "inlineXML//hl1")
        wire.note(around)
        wire.note(body) if "body" in wire.fields else wire.take("body", body, "contentSet/inlineXML")
    for element in _at(item, "contentSet/inlineData"):
        words = "".join(element.itertext())
        if element.get("encoding"):
            wire.leave("contentSet/inlineData, which is encoded")
            continue
        if "html" in element.get("contenttype", ""):
            try:
                body, around = piece(words)
            except ValueError:
                wire.refuse("`contentSet/inlineData` has too many elements.", "Have its source send it anew.")
            wire.note(around)
        else:
            parts = re.split(r"\n[ \t]*\n", words)
            body = "\n\n".join(commonmark.paragraph(commonmark.marks(part)) for part in parts if part.strip())
        wire.note(body) if "body" in wire.fields else wire.take("body", body, "contentSet/inlineData")


def _as_html(element: Element) -> Iterator[str]:
    """What an element holds, be it NITF or XHTML, as HTML. Its depth is bounded, as the file's is."""
    yield escape(element.text or "")
    for each in element:
        name = _name(each)
        if name not in _NO_TEXT:
            tag = _AS_HTML.get(name, name)
            if re.fullmatch("[a-z][a-z0-9]*", tag):
                kept = "".join(f' {key}="{escape(each.get(key, ""))}"' for key in ("href", "start") if each.get(key))
                yield f"<{tag}{kept}>"
                yield from _as_html(each)
                yield "" if tag in ("br", "hr", "img") else f"</{tag}>"
            else:
                yield from _as_html(each)
        yield escape(each.tail or "")
