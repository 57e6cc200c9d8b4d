"""The site folder over HTTP as a bare ASGI application: a file of the folder, or the one answer for everything else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scheduler.log import alarm
from scheduler.web.files import File, Folder
from scheduler.web.negotiate import PLAIN, codings, outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

CHUNK = 64 * 1024
"""Bytes handed to the server at a time. It holds up to eight of them for a reader who is slow, and never the whole file."""
RETRY_AFTER = 5
"""Seconds after which to ask again when the disk or the process is in trouble."""
SAY_AGAIN = 60
"""Seconds between two log lines about one trouble."""

FEEDS = {"atom.xml", "feed.json", "rss.xml"}
"""The feed documents by name, at the top of the folder and below."""

_ASKED = {
    b"accept-encoding",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-unmodified-since",
}
# Stored anywhere, used nowhere without asking us: a copy shown unasked would hide a lift, or show what was retracted. Asking
# costs a 304. It is the same for every answer, so that it tells nothing.
_ALWAYS = [(b"server", b"embargo"), (b"cache-control", b"max-age=0, must-revalidate"), (b"vary", b"Accept-Encoding")]
# Readers that live in a browser, on another site, may fetch what everybody may.
_SHARED = (b"access-control-allow-origin", b"*")
GUARD = [(b"referrer-policy", b"no-referrer"), (b"x-content-type-options", b"nosniff")]
# For what a browser may run; Chrome applies it to its own viewer of PDF files, too, which then shows nothing.
POLICY = (
    b"content-security-policy",
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
)


Field = tuple[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A file in one content coding: its entity tag, and the header fields of its answers, ``brief`` for those without a body."""

    tag: str
    brief: tuple[Field, ...]
    full: tuple[Field, ...]


def _notice(text: bytes) -> File:
    kind = "text/plain; charset=utf-8"
    return File(name="", state=(), modified=0, media_type=kind, tag="", forms={PLAIN: text})


_NOTHING = _notice(b"There is nothing at this address.\n")
_ELSEWHERE = _notice(b"This page's address ends in a slash.\n")
_REFUSED = _notice(b"This address can only be read.\n")
_TROUBLE = _notice(b"The site can't be read at the moment. Ask again in a few seconds.\n")


@lru_cache(maxsize=256)
def http_date(seconds: int) -> bytes:
    """An instant, in whole seconds since the epoch, as header fields have it (RFC 9110 section 5.6.7)."""
    return formatdate(seconds, usegmt=True).encode()


def _asked(headers: Iterable[Field]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in headers:
        if name in _ASKED:
            key, text = name.decode(), value.decode("latin-1")
            asked[key] = f"{asked[key]}, {text}" if key in asked else text  # a list may come in several fields
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one look finds for all requests that had come in before it: the present in seconds, and files by path."""

    now: int
    files: dict[str, File | None]


class Site:
    """An ASGI application that serves the files below `folder`.

    `now` gives the present in whole seconds since the epoch; it must not run ahead of the clock that dates the files. With `url`,
    the site's address up to and with the last slash, every feed says where it is, and those at the top name their `hubs`
    (W3C WebSub, section 4).

    A held, a withdrawn and an unknown address get the same answer: the bytes of ``404.html`` where there is one.
    """

    def __init__(
        self, folder: Path, *, now: Callable[[], int], url: str | None = None, hubs: Sequence[str] = ()
    ) -> None:
        self._folder = Folder(folder)
        self._now = now
        self._url = url
        self._hubs = [(b"link", f'<{hub}>; rel="hub"'.encode()) for hub in hubs]
        self._silent_until = 0.0
        self._round: Round | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: object, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer one request (ASGI 3, scope ``http``)."""
        seen = self._round or self._begin()
        try:
            status, headers, body = await self._answer(scope["method"], scope["path"], _asked(scope["headers"]), seen)
        except OSError as error:
            self._say(error)
            status, headers, body = _told(
                HTTPStatus.SERVICE_UNAVAILABLE, _TROUBLE, (b"retry-after", b"%d" % RETRY_AFTER)
            )
        await send(
            {"type": "http.response.start", "status": status, "headers": [*headers, (b"date", http_date(seen.now))]}
        )
        if scope["method"] == "HEAD":
            body = b""
        if len(body) <= CHUNK:
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        for start in range(0, len(body), CHUNK):
            more = start + CHUNK < len(body)
            await send({"type": "http.response.body", "body": body[start : start + CHUNK], "more_body": more})

    async def _answer(
        self, method: str, path: str, asked: Mapping[str, str], seen: Round
    ) -> tuple[int, Sequence[Field], bytes]:
        if method not in {"GET", "HEAD"}:
            return _told(HTTPStatus.METHOD_NOT_ALLOWED, _REFUSED, (b"allow", b"GET, HEAD"))
        wanted = codings(asked.get("accept-encoding", ""))
        file = seen.files[path] if path in seen.files else await self._look(path, seen)
        if file is not None:
            coding = file.coding(wanted)
            shown = self._shown(file, coding)
            status = outcome(asked, tag=shown.tag, modified=file.modified)
            dated = (b"last-modified", http_date(min(file.modified, seen.now)))  # RFC 9110 8.8.2.1
            if status == HTTPStatus.NOT_MODIFIED:
                return status, (*shown.brief, dated), b""
            if status == HTTPStatus.PRECONDITION_FAILED:
                return status, (*shown.brief, dated, (b"content-length", b"0")), b""
            body = await self._folder.packed(file, coding)
            return status, (*shown.full, dated, (b"content-length", b"%d" % len(body))), body
        if await self._look(f"{path}/", seen) is not None:
            # Relative, for the site may lie below an address we don't know. No folder has a page of its own before a release.
            where = quote(path.rpartition("/")[2], safe="") + "/"
            return _told(HTTPStatus.MOVED_PERMANENTLY, _ELSEWHERE, (b"location", where.encode()))
        file = await self._look("/404.html", seen) or _NOTHING
        coding = file.coding(wanted)
        return _told(HTTPStatus.NOT_FOUND, file, coding=coding, body=await self._folder.packed(file, coding))

    def _begin(self) -> Round:
        # Many ask at once, and each look lets the server's own thread in between: one look is enough for all who stand before
        # its end in the loop's queue, for they came before it. The time is read before any look, or a change between the two
        # could be dated too early.
        asyncio.get_running_loop().call_soon(self._end)
        self._round = Round(now=self._now(), files={})
        return self._round

    def _end(self) -> None:
        self._round = None

    async def _look(self, path: str, seen: Round) -> File | None:
        seen.files[path] = file = await self._folder.get(path)
        return file

    def _shown(self, file: File, coding: str) -> Shown:
        shown = file.shown.get(coding)
        if shown is None:
            tag = f'"{file.tag}"' if coding == PLAIN else f'"{file.tag}-{coding}"'
            brief = (*_ALWAYS, (b"etag", tag.encode()), *self._links(file.name))
            shown = file.shown[coding] = Shown(tag=tag, brief=brief, full=(*brief, *_described(file, coding)))
        return shown

    def _links(self, name: str) -> list[Field]:
        if name.rpartition("/")[2] not in FEEDS:
            return []
        if self._url is None:
            return [_SHARED]
        mine = (b"link", f'<{self._url}{quote(name)}>; rel="self"'.encode())
        return [_SHARED, mine, *(self._hubs if name in FEEDS else ())]

    def _say(self, error: OSError) -> None:
        if (now := time.monotonic()) >= self._silent_until:
            self._silent_until = now + SAY_AGAIN
            alarm("site_unreadable", error=os.strerror(error.errno or 0))


def _described(file: File, coding: str) -> list[Field]:
    fields = [(b"content-type", file.media_type.encode()), *GUARD]
    if file.is_text:
        fields.append(POLICY)
    if coding != PLAIN:
        fields.append((b"content-encoding", coding.encode()))
    return fields


def _told(
    status: HTTPStatus, file: File, *more: Field, coding: str = PLAIN, body: bytes | None = None
) -> tuple[int, Sequence[Field], bytes]:
    body = file.forms[PLAIN] if body is None else body
    length = (b"content-length", b"%d" % len(body))
    return int(status), [*_ALWAYS, *_described(file, coding), length, *more], body
