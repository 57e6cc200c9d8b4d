"""The web server's process: granian with one worker, bound to the life of whoever started it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from scheduler import clock, log
from scheduler.errors import EmbargoError
from scheduler.web.app import Site
from scheduler.web.files import TICK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scheduler.web.forms import Forms

DRAIN_FOR = 2
"""Seconds that answers under way get to finish at the stop; a client that stalls longer is cut off."""
HEADER_FOR = 5
"""Seconds a client has for a request's header fields."""
HEADER_SIZE = 32 * 1024
"""Bytes a request's header fields may have; beyond, the answer is 431."""
WAITING = 4096
"""Answers that may be under way at once, so that many slow readers leave room for a quick one."""


class _Server(MPServer):
    """granian, whose signal handlers set an event that the main thread waits on: a signal at the wrong moment, or a second one,
    would find the event's lock taken by the thread it interrupted, for ever. From a thread of its own it waits its turn.
    """

    def signal_handler_interrupt(self, *args: object, **kwargs: object) -> None:
        threading.Thread(target=super().signal_handler_interrupt, args=args, kwargs=kwargs, daemon=True).start()

    def signal_handler_reload(self, *args: object, **kwargs: object) -> None:
        """There is nothing to read anew."""


def serve(
    *,
    folder: Path,
    host: str,
    port: int,
    url: str | None = None,
    hubs: Sequence[str] = (),
    forms: bytes | None = None,
    leash: int | None = None,
    log_form: log.Form = "text",
) -> None:
    """Serve the files below `folder` until SIGTERM or SIGINT, then finish what is under way and return.

    `folder` need not exist yet; for `url` and `hubs` see :class:`~scheduler.web.app.Site`, for `forms`
    :func:`~scheduler.web.forms.terms`; without them there are none. `leash` is the reading end of a pipe
    whose other end the parent holds and never writes to: when the parent is gone, by whatever death, the pipe ends, and so does
    the server. Raises :class:`EmbargoError` if the address can't be used. The process is the server's alone; call it from the
    main thread.
    """
    if leash is not None:
        _when(partial(os.read, leash, 1), partial(os.kill, os.getpid(), signal.SIGTERM))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a client is a descriptor; the usual 1,024 are soon taken
    server = _Server(
        "scheduler.web",
        address=_free(host, port),
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_FOR * 1000, max_buffer_size=HEADER_SIZE),
        loop=Loops.uvloop,
        websockets=False,
        backpressure=WAITING,
        log_level=LogLevels.error,
        workers_kill_timeout=DRAIN_FOR,
    )
    server.serve(target_loader=partial(_worker, folder, url, hubs, forms, log_form), wrap_loader=False)


def _free(host: str, port: int) -> str:
    """The numeric address to listen on, once nothing else does.

    granian would share a taken port in silence (SO_REUSEPORT), and two servers would answer in turn. One that is stopping, left
    by a daemon that was killed, gets the time it may take.
    """
    end = time.monotonic() + DRAIN_FOR + 1
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family) as found:  # bound, not listening: nobody is let in only to be cut off
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                found.bind(address)
            return str(address[0])
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise EmbargoError(
                    f"The web server can't listen on {host}, port {port}: {error.strerror}. "
                    "Stop what uses it, or change http.listen in config.yaml."
                ) from error
        time.sleep(0.05)


def _worker(
    folder: Path, url: str | None, hubs: Sequence[str], terms: bytes | None, log_form: log.Form
) -> Site | Forms:
    # A worker whose parent was killed would hold the port for ever.
    parent = multiprocessing.parent_process()
    assert parent is not None
    _when(parent.join, partial(os._exit, 1))
    log.start(form=log_form)
    # Our time stays behind the one that files are dated by.
    site = Site(folder, now=lambda: int(clock.system().timestamp() - TICK), url=url, hubs=hubs)
    if terms is None:
        return site
    from scheduler.web import forms  # noqa: PLC0415 - 30 MB that a server of files alone need not hold

    return forms.Forms(site, forms.terms(terms), clock=clock.system)


def _when(ended: Callable[[], object], then: Callable[[], object]) -> None:
    def wait() -> None:
        ended()
        then()

    threading.Thread(target=wait, daemon=True).start()
