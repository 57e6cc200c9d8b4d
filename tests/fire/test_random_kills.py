"""The real service under kill -9 at random moments."""

from __future__ import annotations

import furnace
import pytest
from outdoors import WallClock


@pytest.mark.parametrize(
    ("seed", "steps"), [(20270328, False), (20271031, True)], ids=["kills", "kills and clock steps"]
)
def test_random_kills_lose_nothing_repeat_nothing_and_make_nothing_early(house, tmp_path, monkeypatch, seed, steps):
    """Kills at random moments while records lift: each is released once, never early, each mail goes once or is uncertain."""
    report = furnace.run(house, WallClock(tmp_path / "step", monkeypatch), kills=20, seed=seed, steps=steps)
    assert report.kills >= 20
    assert (report.steps > 0) == steps
    assert not report.early
    assert not report.lost
    assert not report.doubled
    assert report.mails["sent"] > 0
