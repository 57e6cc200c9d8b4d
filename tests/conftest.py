"""A newsroom in a temporary folder: settings, the command, and the real service as processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from postgres_kit import Server

from scheduler import config
from scheduler.cli.records import load
from scheduler.embargo import Lift
from scheduler.errors import FileRefused
from scheduler.parts import Parts, build
from scheduler.pipeline import accept, decide
from scheduler.pipeline.accept import Policy
from scheduler.record import Standing
from scheduler.store import Store, moves, open_store, records, trail
from scheduler.store.postgres import WRITE_LOCK

PATIENCE = 30.0

# No test is about how many milliseconds an example takes: machines are busy.
settings.register_profile("embargo", deadline=None)
settings.load_profile("embargo")

SETTINGS = """\
newsroom: {{name: Test Press Office, url: "http://127.0.0.1:{port}/", timezone: America/New_York, language: en}}
records:
  - folder: records/
database: {database}
site: {{folder: public/, items: 50}}
http: {{listen: "127.0.0.1:{port}"}}
mail:
  from: Test Press Office <press@example.org>
  transport: maildir:var/mail
  lists:
    press: {{name: Press list, recipients: [desk@example.org, "Zoë <zoe@example.net>"], default: true}}
    wire: {{name: Wire, recipients: [wire@example.com]}}
"""

RECORD = """\
---
title: {title}
embargo: {embargo}
---
{body}
"""


SQLITE = "sqlite:///var/embargo.db"
FAR_AHEAD = "'2100-01-01Z'::timestamptz"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--database postgresql` runs every test that has a newsroom on PostgreSQL, `sqlite` none; `both` does as below."""
    parser.addoption("--database", choices=("both", "sqlite", "postgresql"), default="both")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What the store and the pipeline do in this process is tried on both databases; processes, kills and what takes long on
    SQLite, unless told otherwise.
    """
    if "database" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--database")
        both = "office" in metafunc.fixturenames and metafunc.definition.path.parent.name == "flow"
        both &= metafunc.definition.get_closest_marker("takes_long") is None
        named = (["sqlite", "postgresql"] if both else ["sqlite"]) if wanted == "both" else [wanted]
        if only := metafunc.definition.get_closest_marker("sqlite_only"):
            skipped = pytest.param("sqlite", marks=pytest.mark.skip(reason=f"SQLite alone: {only.args[0]}"))
            named = [skipped if wanted == "postgresql" else "sqlite"]
        metafunc.parametrize("database", named, indirect=True, scope="function")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, for all tests of this process."""
    made = Server().make()
    yield made
    made.remove()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """What `database:` states: a file in the newsroom's folder, or an empty database on the server.

    The server's clock is far ahead of an office's, which is set by the test: so that one decides.
    """
    if request.param == "sqlite":
        return SQLITE
    clock = FAR_AHEAD if "office" in request.fixturenames else None
    return str(request.getfixturevalue("server").new(clock=clock))


def placed(database: str, folder: Path) -> str:
    """The same database as in a newsroom's settings, for those who stand elsewhere than in its folder."""
    return database.replace("sqlite:///", f"sqlite:///{folder}/")


def asked(url: str, *statements: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Statements given to a database past the store, each for itself, with SQLite's `?` for parameters; the rows of the last one.

    A trigger is dropped as SQLite has it: by its name alone.
    """
    rows: list[tuple[Any, ...]] = []
    if not url.startswith("sqlite:///"):
        with psycopg.connect(url, autocommit=True) as server:
            for statement in statements:
                said = f"{statement} ON trail" if statement.startswith("DROP TRIGGER trail_") else statement
                done = server.execute(said.replace("?", "%s"), parameters or None)  # type: ignore[arg-type]
                rows = done.fetchall() if done.description else []
        return rows
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)) as db:
        for statement in statements:
            rows = db.execute(statement, parameters).fetchall()
    return rows


class DatabaseErrors:
    """What each driver raises, for those who go past the store."""

    refused = (sqlite3.IntegrityError, psycopg.errors.IntegrityError)
    not_there = (sqlite3.OperationalError, psycopg.errors.UndefinedTable)


@contextlib.contextmanager
def locked(url: str) -> Iterator[str]:
    """Another program that keeps the database from all who would write; gives what they are told after a while."""
    if url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield "database is locked"
            db.execute("ROLLBACK")
        return
    with psycopg.connect(url) as server:
        server.execute(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")  # type: ignore[arg-type]  # our own text
        yield "canceling statement due to lock timeout"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def eventually(ask: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true answer of `ask`, which is a look at a row, a file or a process."""
    give_up = time.monotonic() + patience
    while True:
        if answer := ask():
            return answer
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        time.sleep(0.005)


def files_below(folder: Path) -> dict[str, bytes]:
    """Path below a folder -> bytes, for every file there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000200015e7d8f390000000049454e44ae426082"
)
"""The smallest picture: one pixel."""


def words(at: datetime) -> str:
    """An instant as a record file states it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ahead(seconds: float) -> datetime:
    """An instant so far ahead, to the millisecond."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@dataclass
class House:
    """One newsroom. `service` is the running process, where there is one; its log is service.log."""

    folder: Path
    port: int
    database: str = SQLITE
    service: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def url(self) -> str:
        """The address of its database, wherever one stands."""
        return placed(self.database, self.folder)

    def raw(self, *statements: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What `asked` gives, of its database."""
        return asked(self.url, *statements, parameters=parameters)

    @property
    def log(self) -> str:
        path = self.folder / "service.log"
        return path.read_text() if path.exists() else ""

    def write(self, name: str, text: str) -> Path:
        """A record file, put into the folder as a careful program does: whole, by rename."""
        target = self.folder / "records" / name
        temporary = target.with_name(f".{name}.tmp")
        temporary.write_text(text, "utf-8")
        temporary.rename(target)
        return target

    def record(self, name: str, *, embargo: str, title: str = "A title", body: str = "A body.") -> Path:
        return self.write(f"{name}.md", RECORD.format(title=title, embargo=embargo, body=body))

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The command, as a person types it in this folder."""
        return subprocess.run(
            [sys.executable, "-m", "scheduler", *arguments],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # a person may type bytes that are no text
            timeout=60,
            check=False,
            env={**os.environ, "COLUMNS": "100", "EMBARGO_ACTOR": "editor@desk"},
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def state(self, record_id: str) -> str | None:
        return next((row["state"] for row in self.json("queue", "--all")["records"] if row["id"] == record_id), None)

    def start(self) -> None:
        with (self.folder / "service.log").open("ab") as log:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "scheduler", "run", "--verbose"],
                cwd=self.folder,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        seen = self.log.count("service_ready")
        eventually(lambda: self.log.count("service_ready") > seen or self._ended(), "the service to be ready")

    def _ended(self) -> bool:
        assert self.service is not None
        assert self.service.poll() is None, f"the service ended:\n{self.log}"
        return False

    def kill(self) -> None:
        """Kill -9 of the service alone; its children find out by themselves."""
        assert self.service is not None
        self.service.send_signal(signal.SIGKILL)
        self.service.wait()
        self.service = None

    def stop(self) -> None:
        if self.service is not None and self.service.poll() is None:
            self.service.terminate()
            self.service.wait(PATIENCE)
        self.service = None

    def site(self, name: str) -> bytes:
        path = self.folder / "public" / name
        return path.read_bytes() if path.exists() else b""


@pytest.fixture
def house(tmp_path: Path, database: str) -> Iterator[House]:
    """A newsroom with its settings; nothing runs yet."""
    port = free_port()
    made = House(tmp_path, port, database)
    made.config.write_text(SETTINGS.format(port=port, database=database), "utf-8")
    (tmp_path / "records").mkdir(mode=0o700)
    yield made
    made.stop()


def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as cores: nearly half of the time a test waits for a service."""
    return max(3, (os.cpu_count() or 2) * 3 // 2)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser, without its own talk to the outside."""
    from browser import CHROMIUM, QUIET
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""When in-process tests begin; the newsroom's clocks show 07:00."""


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **time_: float) -> None:
        self.at += timedelta(**time_)


@dataclass
class Office:
    """The pipeline in this process, on a database file of its own, at a time that the test sets."""

    folder: Path
    parts: Parts
    store: Store
    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(init=False)

    def __post_init__(self) -> None:
        self.policy = self.parts.policy()

    def put(self, name: str, text: str) -> Path:
        path = self.folder / "records" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def take(self, path: Path, *, policy: Policy | None = None) -> tuple[accept.Outcome, Standing]:
        """Reads a file as the service does: what is refused is written down, and raised."""
        seen = load(path)
        try:
            if isinstance(seen.found, FileRefused):
                raise seen.found
            assert seen.found is not None
            return accept.accept(
                self.store,
                seen.found,
                policy=policy or self.policy,
                rehearse=self.parts.rehearse,
                now=self.clock(),
                actor="service",
            )
        except FileRefused as refusal:
            accept.refuse(
                self.store, refusal, origin=seen.origin, digest=seen.digest, now=self.clock(), actor="service"
            )
            raise

    def record(
        self,
        record_id: str = "one",
        *,
        embargo: str | None = "2026-12-01 09:00 America/New_York",
        title: str = "A title",
        body: str = "A body.",
        keys: str = "",
    ) -> Standing:
        """A record file, written and taken in; `keys` are further lines of its front matter."""
        stated = "" if embargo is None else f"embargo: {embargo}\n"
        path = self.put(f"{record_id}.md", f"---\ntitle: {title}\n{stated}{keys}---\n{body}\n")
        return self.take(path)[1]

    def get(self, record_id: str = "one") -> Standing:
        return records.get(self.store, record_id)

    def lift(self) -> list[moves.Lifted]:
        """What the alarm clock does."""
        return moves.release_due(self.store, now=self.clock(), actor="service", default_lists=self.policy.default_lists)

    def person(self, record_id: str = "one") -> dict[str, Any]:
        """What every command about a record hands on."""
        return {"record_id": record_id, "reason": "for a reason", "now": self.clock(), "actor": "editor@desk"}

    def lift_by_hand(self, record_id: str = "one") -> None:
        moves.lift_by_hand(self.store, **self.person(record_id), default_lists=self.policy.default_lists)

    def withdraw(self, record_id: str = "one") -> None:
        moves.withdraw(self.store, **self.person(record_id))

    def retract(self, record_id: str = "one") -> None:
        moves.retract(self.store, **self.person(record_id), default_lists=self.policy.default_lists)

    def confirm(self, record_id: str = "one", words: str | None = None) -> Lift | None:
        return decide.confirm(self.store, words=words, zone=self.policy.zone, **self.person(record_id))

    def amend(self, record_id: str = "one", words: str = "2026-12-02 09:00 America/New_York") -> Lift | None:
        return decide.amend(self.store, words=words, zone=self.policy.zone, **self.person(record_id))

    def trail(self, record_id: str | None = None) -> list[trail.Row]:
        with self.store.read() as db:
            return list(trail.rows(db, record_id=record_id))

    def events(self, record_id: str | None = None) -> list[str]:
        return [row.event for row in self.trail(record_id)]

    @property
    def url(self) -> str:
        """The address of its database."""
        if self.store.path is not None:
            return f"sqlite:///{self.store.path}"
        return self.store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def raw(self, *statements: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What `asked` gives, of its database."""
        return asked(self.url, *statements, parameters=parameters)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The pipeline's parts, made from the settings of `house`."""
    file = tmp_path_factory.mktemp("settings") / "config.yaml"
    file.write_text(SETTINGS.format(port=8080, database=SQLITE), "utf-8")
    return build(config.read(file))


@pytest.fixture
def office(tmp_path: Path, parts: Parts, database: str) -> Iterator[Office]:
    """A newsroom's pipeline in this process."""
    store = open_store(placed(database, tmp_path))
    yield Office(tmp_path, parts, store)
    store.close()
