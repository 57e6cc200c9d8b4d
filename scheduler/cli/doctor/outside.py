"""What other machines say to the doctor. None of it takes longer than some seconds, whatever they do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from scheduler import outgoing
from scheduler.cli.care import unwritable
from scheduler.cli.doctor.finding import Finding, judged
from scheduler.config import Config
from scheduler.errors import DeliveryFailed, RequestFailed
from scheduler.outlets.mail import transport
from scheduler.outlets.mail.smtp import Smtp
from scheduler.record.mailbox import mailbox

_SMTP_FOR = 5.0
_HTTP_FOR = 6.0


def get(url: str) -> outgoing.Answer:
    """What one of our own addresses answers. Raises :class:`RequestFailed`."""
    return outgoing.request("GET", url, seconds=_HTTP_FOR, limit=1 << 26, allow_private=True)


def mail(settings: Config) -> Iterator[Finding]:
    """Whether each way out takes mail, up to the point where one would begin."""
    part = settings.mail
    if part is None:
        return
    ways = {"transport": (part.transport, settings.password), "fallback": (part.fallback, settings.fallback_password)}
    for name, (url, password) in ways.items():
        if url is None:
            continue
        why = "Mail leaves by it." if name == "transport" else "Mail leaves by it when the first can't be used."
        way = transport(url, base=settings.file.parent, password=password, connect_for=timedelta(seconds=_SMTP_FOR))
        if not isinstance(way, Smtp):
            folder = settings.file.parent / url.partition(":")[2].removeprefix("//")
            remedy = "This user can't write there. If the service's can't either, change its owner."
            yield judged(f"mail: the Maildir {folder}", good=not unwritable(folder), why=why, remedy=remedy)
            continue
        login = ", took user and password" if urlsplit(url).username else ""
        problem, what = "", f"{way} answered as the settings have it{login}; no mail was sent to try it"
        try:
            asyncio.run(_greet(way))
        except (DeliveryFailed, TimeoutError) as error:
            problem = str(error) or f"{way} did not answer in time."
        remedy = f"Mend `mail: {name}` or its password in the settings, or the server; mail waits meanwhile."
        yield judged(f"mail: {problem or what}", good=not problem, why=why, remedy=remedy)


async def _greet(way: Smtp) -> None:
    """Connects, secures and logs in as for a mail, and parts again."""
    try:
        async with asyncio.timeout(_SMTP_FOR):
            await way.knock()
    finally:
        await asyncio.sleep(0.1)  # in which what was closed on our side closes on the other


def sender(settings: Config) -> Iterator[Finding]:
    """What the sender's domain publishes, where mail leaves for other machines."""
    if settings.mail is None or settings.mail.transport.startswith("maildir:"):
        return
    from scheduler.cli.doctor import domain  # noqa: PLC0415 - its library takes a tenth of a second, for this check alone

    shown = mailbox(settings.mail.sender)[1].rpartition("@")[2]
    bounces = settings.mail.bounces
    yield from domain.examine(shown, path=bounces.address.rpartition("@")[2] if bounces else shown)


def feed(settings: Config, *, running: bool) -> Iterator[Finding]:
    """Whether the feed can be read where readers read it, as seen from here."""
    url, why = f"{settings.newsroom.url}atom.xml", "Readers see what can be read at this address, and no more."
    if not (settings.site.folder / "atom.xml").exists():
        yield Finding(what=f"feed: not written yet, so {url} was not asked", why=why)
        return
    remedy = (
        f"Have your web server serve {settings.site.folder} there (deploy/nginx.conf.example), or mend `newsroom: url`."
    )
    try:
        answer = get(url)
    except RequestFailed as error:
        good, cause = False, error.__context__
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN:
            good, remedy = True, "Look at this machine's name servers, and ask again: `embargo doctor`."
        elif not running and settings.http is not None:
            good, remedy = True, "No service runs to serve it: `embargo run`, and ask again."
        what = f"feed: {url} {'could not be asked' if good else 'can not be read'}: {error}"
        yield Finding(good=good, what=what, why=why, remedy=remedy)
        return
    good, said = answer.status == 200 and b"<feed" in answer.body[:4096], "can be read"
    if 300 <= answer.status < 400:
        remedy = f"It leads to {answer.headers.get('Location', 'no address')}: write what readers are to use as `newsroom: url`."
    if not good:
        said = f"answers {answer.status}" if answer.status != 200 else "answers with something that is no feed"
    yield judged(f"feed: {url} {said}", good=good, why=why, remedy=remedy)
