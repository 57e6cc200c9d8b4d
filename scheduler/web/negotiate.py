"""What a request's header fields ask for. Pure: texts and whole seconds in, decisions out."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_QVALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def seconds(date: str | None) -> int | None:
    """An HTTP-date in any of its three forms (RFC 9110 5.6.7) as seconds since the epoch; ``None`` if it is none."""
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):  # what the standard library raises on odd texts
        return None


def _named(header: str, tag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags, or ``*``, names the strong `tag` (RFC 9110 8.8.3.2)."""
    if header.strip() == "*":
        return True
    return any(text == tag and (weakly or not weak) for weak, text in _TAG.findall(header))


def outcome(asked: Mapping[str, str], *, tag: str, modified: int) -> HTTPStatus:
    """200, 304 or 412 for a GET or HEAD of something that exists, in the order of RFC 9110 13.2.2.

    `asked` holds the request's header fields under lower-case names, `tag` is the strong entity tag of the representation
    chosen, `modified` its date in seconds since the epoch. A date that is none is ignored.
    """
    if (match := asked.get("if-match")) is not None:
        if not _named(match, tag, weakly=False):
            return HTTPStatus.PRECONDITION_FAILED
    elif (unmodified := seconds(asked.get("if-unmodified-since"))) is not None and modified > unmodified:
        return HTTPStatus.PRECONDITION_FAILED
    if (none_match := asked.get("if-none-match")) is not None:
        return HTTPStatus.NOT_MODIFIED if _named(none_match, tag, weakly=True) else HTTPStatus.OK
    since = seconds(asked.get("if-modified-since"))
    return HTTPStatus.NOT_MODIFIED if since is not None and modified <= since else HTTPStatus.OK


@lru_cache(maxsize=256)
def wants_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding field prefers gzip to the plain bytes, or does not mind (RFC 9110 12.5.3)."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, _, parameter = item.partition(";")
        weight = parameter.replace(" ", "").removeprefix("q=") or "1"
        weights[coding.strip()] = float(weight) if _QVALUE.fullmatch(weight) else 0.0
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
