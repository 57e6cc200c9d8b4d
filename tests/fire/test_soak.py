"""A year in small: the real service with its restarts, edits and lifts, and what it leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import soak


def test_a_year_in_small_loses_nothing_and_leaves_nothing_behind(tmp_path):
    """Through restarts, kills and edits each record is released once and on time; no file is left over."""
    made = soak.soak(tmp_path, lifts=60, edits=6, restarts=2, seed=20261124)
    assert made.problems == []
    assert not made.tracebacks
    assert made.report.records == 60
    assert made.restarts == {"term": 2, "kill": 1}
    assert made.edits == dict.fromkeys(soak.EDITS, 1)
    assert made.report.mails["sent"] > 100
    assert made.files[-1]["backups"] == 3
    assert {each.role for each in made.samples} == set(soak.ROLES)
