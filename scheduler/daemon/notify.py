"""Tells systemd how the service is: sd_notify(3), by a datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
import time


def notify(**state: object) -> None:
    """Sends ``KEY=value`` lines; where nobody asked for them, or hears them, nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    said = "\n".join(f"{key}={' '.join(str(value).split())}" for key, value in state.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as to:
            to.sendto(said.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        pass  # a manager that hears nothing, or is being renewed, must not cost a lift


def reloading() -> None:
    """An edit is being taken in; to be followed by ``READY=1`` (`Type=notify-reload`)."""
    notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
