"""The pages on which people join lists and leave them: ``subscribe``, ``confirm/TOKEN`` and ``unsubscribe/TOKEN``.

No script, no cookie, no third party; the answer to an asking is the same, whoever is on a list (docs/decisions/0010).
Nothing is changed by looking (GET, HEAD); one-click unsubscribing is RFC 8058's.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from scheduler.clock import Clock
from scheduler.errors import RenderRefused, StoreRefused
from scheduler.log import alarm
from scheduler.record import Membership
from scheduler.render.templates import Newsroom, Own, at_home, environment, rendered
from scheduler.store import fence, subscribers
from scheduler.store.door import open_door
from scheduler.web.app import GUARD, POLICY, SAY_AGAIN, Field, Send, Site, http_date
from scheduler.web.asking import problems_of, recipient_of, shown
from scheduler.web.bodies import Gone, Receive, Refused, read
from scheduler.web.budget import Budget, network
from scheduler.web.places import place

STORE_FOR = 5.0
"""Seconds the database may take; what it then has not done is refused for now."""
WAITING = 1000
"""Requests that may wait for the database at once: as many as it can serve in that time."""
RETRY_AFTER = 60
"""Seconds after which to try again."""

_METHODS = "GET, HEAD, POST"
_FIELDS: tuple[Field, ...] = (
    (b"server", b"embargo"),
    (b"cache-control", b"no-store"),
    (b"x-robots-tag", b"noindex"),
    (b"content-type", b"text/html; charset=utf-8"),
    *GUARD,
    POLICY,
)
_TEMPLATES = ("base.html", "subscribe.html", "asked.html", "join.html", "leave.html", "trouble.html")
_AGAIN = "Go back to the page, and try again."
_TROUBLES = {
    HTTPStatus.BAD_REQUEST: ("This could not be understood", _AGAIN),
    HTTPStatus.METHOD_NOT_ALLOWED: ("This page can't be asked so", "It can be looked at, and its form be sent."),
    HTTPStatus.REQUEST_TIMEOUT: ("This took too long to arrive", _AGAIN),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("This is too much", _AGAIN),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("This could not be understood", _AGAIN),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "We can't note that at the moment",
        "Please try again in a few minutes. The link or the form will still be good.",
    ),
}
_ONE_CLICK = [("List-Unsubscribe", "One-Click")]  # RFC 8058 section 3.1
_LEAVING = {"list": [("leave", "list")], "all": [("leave", "all")]}


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the service tells its web server about the lists.

    `names` has all lists, `public` the ids of those that anybody may join, `wording` what one agrees to by joining.
    """

    database: str = field(repr=False)
    templates: Own | None
    newsroom: Newsroom
    names: Mapping[str, str]
    public: Sequence[str]
    wording: str


def terms(data: bytes) -> Terms:
    """The terms in a JSON object: ``database``, ``templates``, ``newsroom``, ``names``, ``public`` and ``wording``."""
    said = json.loads(data)
    own = said["templates"]
    pages = {name: b64decode(page) for name, page in own["pages"].items()} if own else {}
    return Terms(
        database=said["database"],
        templates=Own(folder=Path(own["folder"]), sources=pages) if own else None,
        newsroom=Newsroom(**said["newsroom"], subscribe=bool(said["public"])),
        names=said["names"],
        public=tuple(said["public"]),
        wording=said["wording"],
    )


class Answer(NamedTuple):
    """A page to be sent."""

    status: HTTPStatus
    body: bytes
    more: tuple[Field, ...] = ()


class Forms:
    """An ASGI application: the forms, and `site` for every other address and for every token that is none."""

    def __init__(self, site: Site, terms: Terms, *, clock: Clock) -> None:
        self._site = site
        self._terms = terms
        self._clock = clock
        self._store = open_door(terms.database)
        self._budget = Budget()
        self._threads = ThreadPoolExecutor(2)
        self._waiting = 0
        self._silent_until = 0.0
        self._agreed = sha256(terms.wording.encode()).hexdigest()[:16]
        try:
            self._load(terms.templates)
        except RenderRefused as error:
            # An edit of this moment, which the service has not taken: rather our own pages than no site.
            self._say(str(error))
            self._load(None)

    def _load(self, overrides: Own | None) -> None:
        self._environment = at_home(environment(overrides), self._terms.newsroom)
        for name in _TEMPLATES:  # now, for an office may be editing its own at any other time
            self._environment.get_template(name)
        self._closed = self._trouble(HTTPStatus.SERVICE_UNAVAILABLE, (b"retry-after", b"%d" % RETRY_AFTER))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, scope ``http``)."""
        where = place(scope["path"])
        if where is None or (where.page == "subscribe" and not self._terms.public):
            await self._site(scope, receive, send)
            return
        try:
            answer = await self._answer(where.page, where.token, scope, receive)
        except Refused as refused:
            answer = self._trouble(refused.status)
        except Gone:
            return
        except (StoreRefused, RenderRefused, OSError) as error:  # a TimeoutError is one
            self._say(str(error) or f"The database took more than {STORE_FOR:.0f} s.")
            answer = self._closed
        if answer is None:
            method = "HEAD" if scope["method"] == "HEAD" else "GET"
            await self._site({**scope, "method": method}, receive, send)
            return
        length = (b"content-length", b"%d" % len(answer.body))
        dated = (b"date", http_date(int(self._clock().timestamp())))
        headers = [*_FIELDS, *answer.more, length, dated]
        await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, page: str, token: str, scope: Mapping[str, Any], receive: Receive) -> Answer | None:
        """``None``: what stands at any unknown address."""
        looks = scope["method"] in {"GET", "HEAD"}
        if not looks and scope["method"] != "POST":
            return self._trouble(HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", _METHODS.encode()))
        sent = [] if looks else await read(receive, scope["headers"])
        if page == "subscribe":
            return self._form() if looks else await self._subscribe(sent, _network(scope))
        if page == "confirm":
            return self._page("join.html", stage="ask", names=[]) if looks else await self._join(token, scope)
        return await (self._place(token) if looks else self._leave(token, sent))

    async def _subscribe(self, sent: list[tuple[str, str]], who: str) -> Answer:
        lists = list(dict.fromkeys(value for name, value in sent if name == "list"))
        given = {name: value for name, value in sent if name != "list"}
        if len(given) + sum(name == "list" for name, _ in sent) != len(sent) or not set(lists) <= {*self._terms.public}:
            raise Refused(HTTPStatus.BAD_REQUEST)
        recipient = recipient_of(given)
        problems = problems_of(given, lists=lists, agreed=self._agreed)
        if problems:
            return self._form(given, lists, problems)
        if not given.get("website") and self._budget.allows(who, at=time.monotonic()):
            await self._stored(lambda: self._note(recipient, lists, who))
        return self._page("asked.html")

    def _note(self, recipient: str, lists: Sequence[str], who: str) -> None:
        fence.require(self._store)
        subscribers.ask(
            self._store,
            recipient=recipient,
            lists=lists,
            wording=self._terms.wording,
            asked_from=who,
            now=self._clock(),
        )

    async def _join(self, token: str, scope: Mapping[str, Any]) -> Answer:
        # Whatever is sent: who has the token has the mail, and no scanner of links makes a POST.
        found = await self._stored(lambda: self._confirm(token, _network(scope)))
        names = [self._name(each.list) for each in found or () if each.state is Membership.ACTIVE]
        if not names:
            return self._page("join.html", stage="late", names=[])._replace(status=HTTPStatus.NOT_FOUND)
        return self._page("join.html", stage="done", names=names)

    def _confirm(self, token: str, who: str) -> tuple[subscribers.Subscriber, ...] | None:
        fence.require(self._store)
        return subscribers.confirm(self._store, token=token, confirmed_from=who, now=self._clock())

    async def _place(self, token: str) -> Answer | None:
        found = await self._stored(lambda: subscribers.by_token(self._store, token))
        if found is None:
            return None
        gone = found.state in {Membership.LEFT, Membership.COMPLAINED}
        return self._left(found, "left" if gone else "ask")

    async def _leave(self, token: str, sent: list[tuple[str, str]]) -> Answer | None:
        everywhere = sent == _LEAVING["all"]
        if not everywhere and sent not in (_ONE_CLICK, _LEAVING["list"]):
            raise Refused(HTTPStatus.BAD_REQUEST)
        how = "one-click" if sent == _ONE_CLICK else "page"
        # Also where the store is fenced: it sends nothing there, but whoever adopts it must not write to those who left.
        found = await self._stored(
            lambda: subscribers.leave(self._store, token=token, how=how, now=self._clock(), everywhere=everywhere)
        )
        return None if found is None else self._left(found, "everywhere" if everywhere else "left")

    def _left(self, found: subscribers.Subscriber, stage: str) -> Answer:
        return self._page(
            "leave.html",
            stage=stage,
            list_name=self._name(found.list),
            several=len(self._terms.names) > 1,
            public=found.list in self._terms.public,
        )

    def _name(self, list_id: str) -> str:
        return self._terms.names.get(list_id, list_id)

    async def _stored(self, work: Callable[[], T]) -> T:
        """What the database says, asked in a thread: the site waits for no one."""
        if self._waiting >= WAITING:
            raise TimeoutError(f"{WAITING} requests wait for the database.")
        self._waiting += 1
        try:
            async with asyncio.timeout(STORE_FOR):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _form(
        self,
        given: Mapping[str, str] | None = None,
        lists: Sequence[str] = (),
        problems: Mapping[str, str] | None = None,
    ) -> Answer:
        given, public = given or {}, self._terms.public
        wanted = lists if problems else public if len(public) == 1 else ()
        made = self._page(
            "subscribe.html",
            lists=[{"id": each, "name": self._name(each), "wanted": each in wanted} for each in public],
            wording=self._terms.wording,
            agreed=self._agreed,
            email=shown(given.get("email", "")),
            name=shown(given.get("name", "")),
            problems=problems or {},
        )
        return made._replace(status=HTTPStatus.UNPROCESSABLE_ENTITY) if problems else made

    def _trouble(self, status: HTTPStatus, *more: Field) -> Answer:
        heading, advice = _TROUBLES[status]
        return self._page("trouble.html", heading=heading, advice=advice)._replace(status=status, more=more)

    def _page(self, template: str, **values: object) -> Answer:
        return Answer(HTTPStatus.OK, rendered(self._environment, template, values).encode())

    def _say(self, problem: str) -> None:
        if (now := time.monotonic()) >= self._silent_until:
            self._silent_until = now + SAY_AGAIN
            alarm("forms_unavailable", error=problem.replace('"', "'"))


def _network(scope: Mapping[str, Any]) -> str:
    peer = scope.get("client")
    return network(peer[0] if peer else None, (value for name, value in scope["headers"] if name == b"x-forwarded-for"))
