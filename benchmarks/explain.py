"""How many embargo statements a second are read, beside dateutil's fuzzy parser and dateparser's search for dates.

    pip install '.[benchmarks]' && python benchmarks/explain.py [--rounds 7] [--slow 24]

Each round, in one process and over the statements of tests/statements, alone and each with a short release under it: ours reads
each with its zone and day of issue, dateutil parses each (a text it gives up on counts as read), and dateparser searches every
so-many-th of the bare ones, for it takes long. Each is warmed up once. Medians; read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dateutil.parser
from dateparser.search import search_dates

from scheduler.embargo import read

RELEASE = """{text}

Alderbrook to plant four hundred elms

The council of Alderbrook will plant elms along the Ember and its mill races over the next three winters. "The old avenue was
felled before most of us were born, and the towpath has had no shade since," said the head of parks. Schools may each take a
stretch, and the nursery at Stonnard has raised the saplings from seed that a forester kept.

For pictures and interviews, write to the press desk of the council.
"""
STATEMENTS = Path(__file__).parents[1] / "tests" / "statements"


def ours(one: dict[str, Any]) -> None:
    read(one["text"], default_zone=one["zone"], issued=one.get("issued"))


def fuzzy(one: dict[str, Any]) -> None:
    try:
        dateutil.parser.parse(one["text"], fuzzy=True)
    except (ValueError, OverflowError):
        # It found no date, or two.
        return


def search(one: dict[str, Any]) -> None:
    search_dates(one["text"])


def rate(reader: Callable[[dict[str, Any]], None], statements: Sequence[dict[str, Any]]) -> float:
    """Statements a second."""
    start = time.perf_counter()
    for one in statements:
        reader(one)
    return len(statements) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slow", type=int, default=24, help="how many of the statements dateparser searches")
    given = parser.parse_args()
    # Zones that dateutil does not know, and dates that dateparser finds without a year: theirs, not ours.
    warnings.simplefilter("ignore")
    files = sorted(STATEMENTS.glob("*.toml"))
    statements = [one for file in files for one in tomllib.loads(file.read_text("utf-8"))["statement"]]
    releases = [one | {"text": RELEASE.format(text=one["text"])} for one in statements]
    few = statements[:: max(1, len(statements) // given.slow)]
    trials = {
        "statements": {"ours": (ours, statements), "dateutil, fuzzy": (fuzzy, statements), "dateparser": (search, few)},
        "releases": {"ours": (ours, releases), "dateutil, fuzzy": (fuzzy, releases)},
    }
    for title, readers in trials.items():
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(given.rounds + 1):
            for name, (reader, texts) in readers.items():
                rates[name].append(rate(reader, texts))
        medians = {name: statistics.median(several[1:]) for name, several in rates.items()}
        print(f"{len(statements)} {title}, {given.rounds} rounds")
        for name, median in medians.items():
            print(f"  {name:16} {median:9,.0f} a second    ours is {medians['ours'] / median:6.2f} times as fast")


if __name__ == "__main__":
    main()
