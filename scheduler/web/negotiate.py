"""What a request's header fields ask for. Pure: texts and whole seconds in, decisions out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = "identity"
CODINGS = ("br", "gzip", PLAIN)
"""What we can send, the smallest first: it decides where a reader likes two as well."""

_TAG = re.compile(r'[,\s]*(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*")|[^,]*)\s*(?:,|$)')
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_QVALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@lru_cache(maxsize=256)
def seconds(date: str) -> int | None:
    """An HTTP-date in any of its three forms (RFC 9110 5.6.7) as seconds since the epoch; ``None`` if it is none."""
    for form in _DATES:
        try:
            return int(datetime.strptime(date, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def _named(header: str, tag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags, or ``*``, names the strong `tag` (RFC 9110 8.8.3.2)."""
    if header == tag or header.strip() == "*":
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
    elif (date := asked.get("if-unmodified-since")) is not None:
        unmodified = seconds(date)
        if unmodified is not None and modified > unmodified:
            return HTTPStatus.PRECONDITION_FAILED
    if (none_match := asked.get("if-none-match")) is not None:
        return HTTPStatus.NOT_MODIFIED if _named(none_match, tag, weakly=True) else HTTPStatus.OK
    if (date := asked.get("if-modified-since")) is not None:
        since = seconds(date)
        if since is not None and modified <= since:
            return HTTPStatus.NOT_MODIFIED
    return HTTPStatus.OK


@lru_cache(maxsize=256)
def codings(accepted: str) -> tuple[str, ...]:
    """What an Accept-Encoding field allows of `CODINGS`, best first (RFC 9110 12.5.3).

    Between equal weights the smaller answer wins. The plain bytes come last unless they are given a weight of their own: a
    reader that takes a coding is better served by it. They are left out where they are refused.
    """
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, value = parameter.partition("=")
        weight = value.strip() if name.strip() == "q" else ""
        given = float(weight) if _QVALUE.fullmatch(weight) else 0.0 if parameter.strip() else 1.0
        weights[coding.strip().removeprefix("x-")] = given
    others = weights.get("*", 0.0)
    worth = {coding: weights.get(coding, others) for coding in CODINGS}
    if PLAIN not in weights:
        worth[PLAIN] = 0.0 if weights.get("*") == 0 else 0.0001  # below any weight that can be given
    return tuple(sorted((coding for coding in CODINGS if worth[coding]), key=lambda coding: -worth[coding]))
