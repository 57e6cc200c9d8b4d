"""A node: one service on a database that several may share, told from the others by its host and the folder of its site."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from scheduler.store.engine import Store


def name(site: Path) -> str:
    """What this host's service with this site folder is called."""
    return f"{socket.gethostname()}:{os.path.realpath(site)}"


def key(store: Store, kind: str, *, site: Path) -> str:
    """Under which key of `meta` such a note of this node stands. A database in a file has one service, without a name."""
    return kind if store.path is not None else f"{kind}:{name(site)}"
