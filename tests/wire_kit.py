"""What the tests of formats share: a file read as the service reads it, judged as it would be."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from scheduler.errors import FileRefused
from scheduler.intake import read
from scheduler.pipeline.accept import Policy, judge
from scheduler.record import Brief, PastOnArrival, State, Verdict

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POLICY = Policy(
    zone="Europe/Berlin",
    language="en",
    domain="news.example",
    past_on_arrival=PastOnArrival.RELEASE,
    lists=(),
    default_lists=(),
)


def brief(data: str | bytes, name: str) -> Brief:
    return read(Path("records", name), data=data.encode() if isinstance(data, str) else data, origin=name)


def verdict(data: str | bytes, name: str) -> Verdict:
    """What becomes of a file that comes in at noon, UTC, on 24 November 2026, in an office that releases what is past."""
    return judge(brief(data, name), policy=POLICY, rehearse=lambda _: None, now=NOW).draft.verdict


def fate(data: str | bytes, name: str) -> str:
    """`held DAY TIME` in UTC, `held` for a person, `attention`, or `refused`."""
    try:
        found = verdict(data, name)
    except FileRefused as refused:
        sentences = (refused.problem, refused.remedy)
        return (
            "refused"
            if all(each.endswith((".", "?")) for each in sentences)
            else f"refused without a sentence: {sentences}"
        )
    if found.state is State.HELD and found.lift is not None:
        return f"held {found.lift.at:%Y-%m-%d %H:%M}"
    return str(found.state)


def only_a_brief_or_a_refusal(data: bytes, name: str) -> None:
    """Whatever the bytes, nothing but these comes out, and what is released had its say about when."""
    try:
        found = brief(data, name)
    except FileRefused:
        return
    assert isinstance(found, Brief)
    assert found.title
    assert found.body.strip()


def documented(found: Brief, section: str) -> None:
    """Each field of `found` stands in that section of docs/formats.md beside the place it was read from."""
    page = (Path(__file__).parents[1] / "docs/formats.md").read_text("utf-8")
    rows = [
        line.split("|")
        for line in page.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
        if "|" in line
    ]
    assert found.places
    for name, places in found.places:
        for place in places.split(", "):
            written = re.sub(r"/\d+/", "/N/", place)
            written = re.sub(r"^/body_\w+", "/body_…", written)
            assert any(f"{written}`" in row[1] and name in row[2] for row in rows), (name, place)
