"""The site folder over HTTP as a bare ASGI application: a file of the folder, or the one answer for everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from scheduler.web.files import File, Folder
from scheduler.web.negotiate import outcome, wants_gzip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CHUNK = 256 * 1024
"""Bytes handed to the server at a time, so that a slow reader of a large feed holds no copy of it."""

_ASKED = {
    b"accept-encoding",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-unmodified-since",
}
# Stored anywhere, used nowhere without asking us: a copy shown unasked would hide a lift, or show what was retracted. Asking
# costs a 304. It is the same for every answer, so that it tells nothing.
_ALWAYS = [(b"cache-control", b"max-age=0, must-revalidate"), (b"vary", b"Accept-Encoding")]
_GUARD = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_PLAIN = "text/plain; charset=utf-8"
_NOTHING = File(state=(), modified=0, media_type=_PLAIN, tag="", data=b"There is nothing at this address.\n")
_REFUSED = File(state=(), modified=0, media_type=_PLAIN, tag="", data=b"This address can only be read.\n")

Send = Callable[[dict[str, Any]], Awaitable[None]]


@lru_cache(maxsize=256)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def _asked(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in headers:
        if name in _ASKED:
            key, text = name.decode(), value.decode("latin-1")
            asked[key] = f"{asked[key]}, {text}" if key in asked else text  # a list may come in several fields
    return asked


class Site:
    """An ASGI application that serves the files below `folder`.

    `now` gives the present in whole seconds since the epoch; it must not run ahead of the clock that dates the files.

    A held, a withdrawn and an unknown address get the same answer: the bytes of ``404.html`` where there is one.
    """

    def __init__(self, folder: Path, *, now: Callable[[], int]) -> None:
        self._folder = Folder(folder)
        self._now = now

    async def __call__(self, scope: Mapping[str, Any], receive: object, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer one request (ASGI 3, scope ``http``)."""
        now = self._now()  # before the file is looked at, or a change between the two could be dated too early
        reading = scope["method"] in {"GET", "HEAD"}
        file = await self._folder.get(scope["path"]) if reading else None
        status = HTTPStatus.OK if file else HTTPStatus.NOT_FOUND if reading else HTTPStatus.METHOD_NOT_ALLOWED
        if file is None:
            file = (await self._folder.get("/404.html") or _NOTHING) if reading else _REFUSED
        asked = _asked(scope["headers"])
        packed = file.packed if wants_gzip(asked.get("accept-encoding", "")) else None
        headers = [(b"date", _date(now)), (b"server", b"embargo"), *_ALWAYS]
        if status is HTTPStatus.OK:
            tag = f'"{file.tag}"' if packed is None else f'"{file.tag}-gzip"'
            headers += [(b"etag", tag.encode()), (b"last-modified", _date(min(file.modified, now)))]  # RFC 9110 8.8.2.1
            status = outcome(asked, tag=tag, modified=file.modified)
        elif status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b"GET, HEAD"))
        body = b""
        if status is HTTPStatus.PRECONDITION_FAILED:
            headers.append((b"content-length", b"0"))
        elif status is not HTTPStatus.NOT_MODIFIED:
            body = file.data if packed is None else packed
            headers += [(b"content-type", file.media_type.encode()), (b"content-length", b"%d" % len(body)), *_GUARD]
            if packed is not None:
                headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        sent = b"" if scope["method"] == "HEAD" else body
        for start in range(0, len(sent) or 1, CHUNK):
            more = start + CHUNK < len(sent)
            await send({"type": "http.response.body", "body": sent[start : start + CHUNK], "more_body": more})
