"""One service per database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from scheduler.errors import AlreadyRunning


class InstanceLock:
    """Held as long as the service runs; the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise AlreadyRunning(
                f"Another service (process {holder or 'unknown'}) works on {database}. "
                "One database has one service: stop that one first, or give this one a `database:` of its own."
            ) from None
        os.truncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Lets another service start."""
        os.close(self._file)


def is_running(database: Path) -> bool:
    """Whether a service holds the lock of this database now."""
    try:
        lock = InstanceLock(database)
    except AlreadyRunning:
        return True
    except OSError:
        return False
    lock.release()
    return False
