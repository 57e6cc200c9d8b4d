"""What a form sends: the body of a request within limits, and its fields in either of the two encodings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

MOST = 16 * 1024
"""Bytes a body may have."""
BODY_FOR = 5.0
"""Seconds a client has for a body."""

_FIELDS = 200
_PLAIN, _PARTS = "application/x-www-form-urlencoded", "multipart/form-data"
_BOUNDARY = re.compile(r';\s*boundary=(?:"([\x20-\x7e]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_NAME = re.compile(
    rb'(?:^|\r\n)content-disposition:[ \t]*form-data[ \t]*;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))[ \t]*(?:\r\n|$)',
    re.IGNORECASE,
)

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Refused(Exception):
    """A body that is none of ours: the status says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Gone(Exception):
    """The client went away."""


async def read(receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """The fields that a request brings, in order. Raises `Refused` (400, 408, 413, 415), or `Gone`."""
    said = dict(headers)
    form = said.get(b"content-type", _PLAIN.encode()).decode("latin-1")  # who does not say it means the usual one
    if form.partition(";")[0].strip().lower() not in {_PLAIN, _PARTS}:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if said.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    length = said.get(b"content-length", b"")
    if length.isdigit() and int(length) > MOST:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        async with asyncio.timeout(BODY_FOR):
            body = await _whole(receive)
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None
    return fields(form, body)


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        body += bytes(message.get("body", b""))
        if len(body) > MOST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not message.get("more_body"):
            return body


def fields(form: str, body: bytes) -> list[tuple[str, str]]:
    """The fields of a body whose Content-Type is `form`: urlencoded (WHATWG URL, section 5.1) or multipart (RFC 7578).

    Raises `Refused` (400) where it is no such thing, brings a file, or is not UTF-8. The end of a line at the body's very end,
    which some tools add, is no part of a value.
    """
    try:
        if form.partition(";")[0].strip().lower() == _PARTS:
            return list(_multipart(body, form))
        text = body.decode("ascii").rstrip("\r\n")
        return parse_qsl(text, True, True, errors="strict", max_num_fields=_FIELDS) if text else []
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST) from None


def _multipart(body: bytes, form: str) -> Iterable[tuple[str, str]]:
    named = _BOUNDARY.search(form)
    if named is None:
        raise ValueError("no boundary")
    mark = b"\r\n--" + (named[1] or named[2]).encode("latin-1")
    _, *parts, end = (b"\r\n" + body).split(mark, _FIELDS)
    if not end.startswith(b"--") or mark in end:
        raise ValueError("no end")
    for part in parts:
        head, blank, value = part.lstrip(b" \t").partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or not head.startswith(b"\r\n") or name is None:
            raise ValueError("no field")
        yield (name[1] or name[2] or b"").decode(), value.decode()
