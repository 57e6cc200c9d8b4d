"""The body of a mail: plain text first and HTML last, encoded once, with gaps that each reader's token is put into."""

from __future__ import annotations

import re
from base64 import b64encode, encodebytes
from binascii import b2a_qp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from css_inline import CSSInliner, InlineError
from jinja2 import Environment

from scheduler.errors import RenderRefused
from scheduler.render.templates import rendered

LIMIT = 100_000
"""Bytes of a body as it is sent. Large mailbox providers cut a mail off at 102 kB, wherever that is."""

_ASCII = bytes(range(128))
_TAG = re.compile(r"<[a-z][^>]*>")
_RELATIVE = re.compile(r'(?<=\s)(href|src)="(?![a-z][a-z0-9+.-]*:)([^"]*)"', re.IGNORECASE)
# Many programs show no <style>: what can be is written at each element. The rest, such as colours for the dark, stays in it.
_INLINER = CSSInliner(keep_style_tags=True, remove_inlined_selectors=True, load_remote_stylesheets=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What follows the empty line of a mail: `pieces` with a gap between each two. All is ASCII, in lines of 76 characters.

    A gap is ``None`` where the token stands as it is. In base64 it is what is encoded with it, before and behind.
    """

    pieces: tuple[bytes, ...] = field(repr=False)
    gaps: tuple[tuple[bytes, bytes] | None, ...] = field(repr=False)

    def filled(self, token: bytes) -> Iterator[bytes]:
        """The bytes of the body with this token."""
        yield self.pieces[0]
        for gap, piece in zip(self.gaps, self.pieces[1:], strict=True):
            yield token if gap is None else b64encode(gap[0] + token + gap[1])
            yield piece


def fitted(
    environment: Environment,
    name: str,
    values: Mapping[str, object],
    *,
    text: str,
    html: str,
    marker: str,
    boundary: str,
) -> Body:
    """As :func:`made`, with the variables `body`, the text or the HTML, and `whole`.

    Where that would be longer than :data:`LIMIT`, both bodies end after about the same share of their whole blocks, and `whole`
    is false.
    """

    def tried(*bodies: str, whole: bool) -> Body:
        given = [{**values, "body": each, "whole": whole} for each in bodies]
        return made(environment, name, given, marker=marker, boundary=boundary)

    ends = [match.start() for match in re.finditer(r"\n\s*\n", text)], _Blocks(html).begins
    body, share = tried(text, html, whole=True), 1.0
    while (size := sum(map(len, body.pieces))) > LIMIT and share > 1e-3:
        share *= min(0.97, LIMIT / size)
        body = tried(_until(text, ends[0], share), _until(html, ends[1], share), whole=False)
    return body


def made(
    environment: Environment, name: str, values: Sequence[Mapping[str, object]], *, marker: str, boundary: str
) -> Body:
    """The templates ``NAME.txt`` and ``NAME.html`` with `values`, one set each, as a body with gaps where they show `marker`.

    The plain text comes first (RFC 2046 section 5.1.4). :raises RenderRefused: a template fails
    """
    pieces, gaps = [b""], []
    for suffix, subtype, given in zip(("txt", "html"), ("plain", "html"), values, strict=True):
        # A lone surrogate can be written in YAML and can't be sent.
        part = rendered(environment, f"{name}.{suffix}", given).encode("utf-8", "replace").decode()
        if subtype == "html":
            part = _inlined(f"{name}.html", part)
        # Blanks at the end of a line show nothing, and binascii makes lines with them too long. "-- " parts a signature.
        lines = re.sub(r"\r\n?", "\n", part).split("\n")
        part = "\n".join(line if line == "-- " else line.rstrip(" \t") for line in lines)
        chunks = part.encode().split(marker.encode())
        encoding, (more, between) = _encoded(chunks)
        pieces[-1] += (
            f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
        ).encode() + more[0]
        pieces += more[1:]
        gaps += between
        pieces[-1] += b"\r\n"
    pieces[-1] += f"--{boundary}--\r\n".encode()
    return Body(pieces=tuple(pieces), gaps=tuple(gaps))


def absolute(html: str, page: str) -> str:
    """`html` with its relative links made absolute, as a mail has no address of its own. Only tags are touched, not text."""

    def link(match: re.Match[str]) -> str:
        try:
            return f'{match[1]}="{urljoin(page, match[2])}"'
        except ValueError:  # no address at all, such as //[
            return match[0]

    return _TAG.sub(lambda tag: _RELATIVE.sub(link, tag[0]), html)


def _inlined(name: str, html: str) -> str:
    try:
        return _INLINER.inline(html)
    except InlineError:  # its words may quote what it read
        raise RenderRefused(
            output=name, problem="The CSS in its `<style>` can't be read. Look for what is left open."
        ) from None


def _until(text: str, ends: Sequence[int], share: float) -> str:
    return text[: max((end for end in ends if end <= share * len(text)), default=0)]


class _Blocks(HTMLParser):
    """Collects where the top-level elements of an HTML fragment begin."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.begins: list[int] = []
        self._depth = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", html))]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._depth == 0:
            line, column = self.getpos()
            self.begins.append(self._lines[line - 1] + column)
        if tag not in {"area", "br", "col", "hr", "img", "input", "wbr"}:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._depth -= 1


_Encoded = tuple[list[bytes], list[tuple[bytes, bytes] | None]]


def _encoded(chunks: list[bytes]) -> tuple[str, _Encoded]:
    """The shorter of the two transfer encodings; both survive servers that alter 8-bit text, long lines or trailing blanks."""
    octets = b"".join(chunks)
    foreign = octets.translate(None, _ASCII)
    # In base64 a gap takes two bytes of what is beside it.
    if 6 * len(foreign) > len(octets) and all(len(chunk) > 4 for chunk in chunks):
        return "base64", _base64([chunk.replace(b"\n", b"\r\n") for chunk in chunks])
    return "quoted-printable", _quoted(chunks)


def _quoted(chunks: list[bytes]) -> _Encoded:
    # Each gap is in a line of its own, between soft breaks (RFC 2045 section 6.7), so that no line grows.
    lines = [b2a_qp(chunk, istext=True).replace(b"\n", b"\r\n") for chunk in chunks]
    last = len(lines) - 1
    pieces = [b"=\r\n" * (n > 0) + line + b"=\r\n" * (n < last) for n, line in enumerate(lines)]
    return pieces, [None] * last


def _base64(chunks: list[bytes]) -> _Encoded:
    # A gap is a line of its own; with up to two bytes before and two behind it, it begins and ends where three bytes do.
    pieces: list[bytes] = []
    gaps: list[tuple[bytes, bytes] | None] = []
    before = b""
    for n, chunk in enumerate(chunks):
        behind = -(len(before) + 24) % 3 if n else 0
        end = len(chunk) if n == len(chunks) - 1 else len(chunk) - (len(chunk) - behind) % 3
        if n:
            gaps.append((before, chunk[:behind]))
        lines = encodebytes(chunk[behind:end]).replace(b"\n", b"\r\n")
        pieces.append(b"\r\n" * (n > 0) + lines)
        before = chunk[end:]
    return pieces, gaps
