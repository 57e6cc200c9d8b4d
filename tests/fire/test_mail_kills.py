"""A long run whose workers are killed, held against what the server counted."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from email.parser import BytesHeaderParser

from aiosmtpd.controller import Controller
from conftest import eventually, free_port

PEOPLE = 1500
WINDOW = 100


class Counting:
    """Counts the mails it takes by reader and Message-ID."""

    def __init__(self) -> None:
        self.taken: Counter[tuple[str, str]] = Counter()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        name = BytesHeaderParser().parsebytes(envelope.content)["Message-ID"]
        self.taken[(envelope.rcpt_tos[0], name)] += 1
        return "250 taken"


def rows(house, statement):
    return house.raw(statement)


def worker(house, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", "worker", *arguments], cwd=house.folder, stderr=subprocess.DEVNULL
    )


def test_workers_killed_in_the_middle_of_a_long_run_lose_nobody_and_double_nobody(house):
    """Two workers are killed again and again in a run: the server has each mail once, and everybody's has gone or is uncertain,
    at most 100 a worker and kill.
    """
    people = "".join(f"p{number}@example.org\n" for number in range(PEOPLE))
    (house.folder / "press.csv").write_text(f"email\n{people}")
    server = Counting()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        text = house.config.read_text().replace("maildir:var/mail", f"smtp://127.0.0.1:{controller.port}")
        house.config.write_text(
            text.replace('recipients: [desk@example.org, "Zoë <zoe@example.net>"]', "file: press.csv")
        )
        assert house.run("add", str(house.record("one", embargo="none"))).returncode == 0
        house.start()
        eventually(lambda: rows(house, "SELECT 1 FROM records WHERE state = 'released'"), "the release")
        house.kill()
        for kill in range(1, 4):
            pair = [worker(house), worker(house)]
            goal = kill * PEOPLE // 5
            eventually(lambda goal=goal: sum(server.taken.values()) >= goal, "the run to go on", patience=60)
            for process in pair:
                process.send_signal(signal.SIGKILL)
            for process in pair:
                process.wait()
        rows(house, "UPDATE deliveries SET lease_until = 0 WHERE worker IS NOT NULL")  # half a minute passes
        assert worker(house, "--once").wait(timeout=120) == 0
    finally:
        controller.stop()
    states = dict(rows(house, "SELECT state, count(*) FROM deliveries GROUP BY state"))
    assert sum(states.values()) == PEOPLE
    assert states.keys() <= {"sent", "uncertain"}
    assert states.get("uncertain", 0) <= 3 * 2 * WINDOW
    assert set(server.taken.values()) == {1}
    had = {name for _, name in server.taken}
    sent = {name for (name,) in rows(house, "SELECT message_id FROM deliveries WHERE state = 'sent'")}
    unknown = {name for (name,) in rows(house, "SELECT message_id FROM deliveries WHERE state = 'uncertain'")}
    assert sent <= had
    assert had - sent <= unknown
