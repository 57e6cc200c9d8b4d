"""The systemd unit that ships: what it is allowed, and how it tells the service manager how it is."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "embargo.service"
ANALYZE = shutil.which("systemd-analyze")


def test_the_unit_is_ready_reloads_and_is_watched():
    """The unit is ready when the service holds, takes an edit by `systemctl reload`, and starts a service that hangs anew."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT, "utf-8")
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify-reload", "main", "always")
    assert int(service["WatchdogSec"]) >= 30  # the heartbeat is a second; a large lift takes some of them
    assert int(service["TimeoutStopSec"]) > 30 + 10 + 10  # the patience for worker, web server and monitor
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(ANALYZE is None, reason="There is no systemd-analyze here.")
def test_the_unit_is_allowed_little():
    """By systemd's own measure the service's exposure is below 2.0 of 10."""
    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
