"""Kills the real service at random moments, sets its wall clock, and counts what came of its records and mails.

    python benchmarks/fire.py [--kills 500] [--seed N] [--no-steps]

Needs the extra `test`, and takes about two seconds a kill. The service, its mail worker or all its processes are killed with
signal 9, some before they have begun; the wall clock is set by up to an hour either way and left so over some restarts. A mail
server counts what it is handed, and a reader looks at the feed without a pause. Exit status 1 if anything was early, lost, or
doubled; mail that the ledger calls `uncertain` is counted apart. The seed is printed, and gives the same choices again, though
not the same moments: those are the machine's.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "fire")]

import furnace  # noqa: E402 - it lies beside the tests
from conftest import SETTINGS, House, free_port  # noqa: E402
from outdoors import WallClock  # noqa: E402


def main() -> None:
    """Runs, prints, and ends with status 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--no-steps", action="store_true", help="leave the wall clock alone")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        house = House(Path(folder), free_port())
        house.config.write_text(SETTINGS.format(port=house.port), "utf-8")
        (house.folder / "records").mkdir()
        wall = WallClock(house.folder / "step", patch)
        try:
            report = furnace.run(
                house,
                wall,
                kills=asked.kills,
                seed=asked.seed,
                steps=not asked.no_steps,
                told=lambda line: print(line, flush=True),
            )
        except BaseException:
            print(house.log[-5000:], file=sys.stderr)
            raise
        finally:
            house.stop()
    print(report)
    for name in (*report.early, *report.lost, *report.doubled):
        print(f"  {name}")
    sys.exit(bool(report.early or report.lost or report.doubled))


if __name__ == "__main__":
    main()
