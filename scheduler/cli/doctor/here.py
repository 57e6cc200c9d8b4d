"""What the doctor finds on this machine, outside the database."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scheduler import embargo
from scheduler.cli.care import unwritable
from scheduler.cli.doctor.finding import Finding, judged
from scheduler.cli.doctor.outside import get
from scheduler.config import Config
from scheduler.errors import EmbargoError, RequestFailed
from scheduler.parts import Parts
from scheduler.permissions import loose

_INODES = 1000


def database(settings: Config) -> Path | None:
    """The database's file, links followed; ``None`` for one on a server."""
    _, scheme, path = settings.database.partition("sqlite:///")
    return Path(os.path.realpath(path)) if scheme else None


def templates(parts: Parts) -> Iterator[Finding]:
    why = "Every page, feed and mail is made by one; a broken one keeps records from being taken in."
    try:
        _ = parts.renderer
    except EmbargoError as error:
        yield Finding(good=False, what=f"templates: {error}", why=why, remedy="Mend the template: docs/templates.md.")
    else:
        yield Finding(what="templates: each has been tried", why=why)


def zones(now: datetime) -> Iterator[Finding]:
    version = embargo.tz_version()
    # No release says its day; from the middle of its year it is half a year at most.
    old = now - datetime(int(version[:4]), 7, 1, tzinfo=UTC) > timedelta(days=365)
    yield judged(
        f"time zones: tz database {version}{', older than a year' if old else ''}",
        good=not old,
        why="Governments change their clocks at short notice; a lift stated in local time follows the rules known here.",
        remedy="`pip install --upgrade tzdata` in the service's environment; a running service takes it up.",
    )


def permissions(settings: Config) -> Iterator[Finding]:
    why = "Held texts, readers' addresses and secrets are in there, for the service's user alone."
    found = loose(settings.private)
    for each in found:
        what = f"{each.path} has mode {each.mode:04o}: others than its owner can reach it"
        yield Finding(good=False, what=what, why=why, remedy=f"To mend it: {each.remedy}")
    if not found:
        yield Finding(what="permissions: what is private is its owner's alone", why=why)


def folders(settings: Config) -> Iterator[Finding]:
    if settings.lists and settings.http is None:
        yield Finding(
            good=False,
            what="mail: each mail links to unsubscribe/ on the site, and nothing answers there without `http`",
            why="Who can't leave a list complains to his mail provider, which then refuses everybody's mail.",
            remedy="Set `http: listen`, and let your web server pass `unsubscribe/` on to it: deploy/nginx.conf.example.",
        )
    for part in settings.records:
        yield judged(
            f"records: {part.folder}",
            good=part.folder.is_dir() and os.access(part.folder, os.R_OK | os.X_OK),
            why="Record files are taken in from there.",
            remedy="It is no folder the service can read; create it.",
        )
    yield judged(
        f"site: {settings.site.folder}",
        good=not unwritable(settings.site.folder),
        why="Pages and feeds are written there at the lift.",
        remedy="This user can't write there. If the service's can't either, change its owner.",
    )


def disks(settings: Config) -> Iterator[Finding]:
    file = database(settings)
    wanted = [("records", part.folder) for part in settings.records] + [("site", settings.site.folder)]
    wanted += [("database", file.parent)] if file else []
    wanted += [("backups", settings.backup.folder)] if settings.backup else []
    there: dict[int, dict[str, Path]] = {}
    for name, folder in wanted:
        found = next(path for path in (folder, *folder.parents) if path.is_dir())
        there.setdefault(found.stat().st_dev, {}).setdefault(name, found)
    for names in there.values():
        folder = next(iter(names.values()))
        state = os.statvfs(folder)
        free, files = state.f_bavail * state.f_frsize, state.f_favail if state.f_files else None
        room = "" if files is None else f", room for {files:,} files"
        yield judged(
            f"disk of {', '.join(names)} ({folder}): {free // 1024**2:,} MiB free{room}",
            good=free >= settings.alerts.disk and (files is None or files >= _INODES),
            why="On a full disk nothing is taken in, and no page or feed is written.",
            remedy="Free some space before the next lift, or lower `alerts: disk` if that is enough.",
        )


def ports(settings: Config, *, running: bool) -> Iterator[Finding]:
    for name, part in (("http", settings.http), ("monitor", settings.monitor)):
        if part is None:
            continue
        problem, remedy = _occupied(part.host, part.port), ""
        if problem is None and running:
            what = "free, though the service runs"
            remedy = "Read the service's log from its last start on; then start it again."
        elif problem is None:
            what = "free for the service"
        elif problem != errno.EADDRINUSE:
            what = f"it can't be listened on: {os.strerror(problem)}"
            remedy = f"Write as `{name}: listen` an address of this machine, and a port the service's user may open."
        elif running and _is_ours(name, f"http://{_near(part.host)}:{part.port}/", settings):
            what = "the service has it"
        else:
            what = "another program has it"
            remedy = f"`ss -ltnp 'sport = :{part.port}'` shows which; stop it, or give `{name}` another port."
        yield judged(
            f"port of `{name}`, {part.listen}: {what}",
            good=not remedy,
            why="Readers, and whoever watches the service, come through it.",
            remedy=remedy,
        )


def _occupied(host: str, port: int) -> int | None:
    """Why nobody could listen there now, as the system's number. It is not listened on: a service may be starting."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            return error.errno
    return None


def _near(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{own}]" if ":" in own else own


def _is_ours(name: str, url: str, settings: Config) -> bool:
    """Whether what answers there is this installation's: what it serves is the site, or the service's health."""
    file = settings.site.folder / "atom.xml"
    for _ in range(2):  # the feed may change between the two looks at it
        with contextlib.suppress(RequestFailed, FileNotFoundError):
            if name == "monitor":
                return get(f"{url}healthz").status in {200, 503}
            answer = get(f"{url}atom.xml")
            if (answer.status == 404 and not file.exists()) or answer.body == file.read_bytes():
                return True
    return False
