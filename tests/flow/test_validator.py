"""Our feeds before the W3C's feed validator. It is on no package index: `FEEDVALIDATOR` names a checkout of w3c/feedvalidator."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import PNG

from scheduler.outlets.site import Site
from scheduler.pipeline import chronicle
from scheduler.pipeline.release import Projection

CHECKOUT = os.environ.get("FEEDVALIDATOR")
# The validator knows no namespace for entries that were deleted; RFC 6721 gives them this one.
TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
BODY = """# Head

Words **bold** [link](https://example.org/a?b=1&c=2) ]]> and <b>more</b>.

| a | b |
|---|--:|
| 1 | 2 |

> quote

    code
"""
KEYS = """topics: [labour, 'a & b', {topic}]
attachments: [annex.pdf, {{file: chart.png, alt: 'A "falling" & <line>', title: T & t}}]
attribution: A & B <x>
contact: press@example.org
source: https://example.org/x?a=b&c=d
language: {language}
"""


@pytest.fixture
def complaints():
    """A function that gives every message about a feed document, at the strictest level."""
    if CHECKOUT is None:
        # It can't be installed by the project's own files, and its code is not ours to carry along.
        pytest.skip("No validator: FEEDVALIDATOR names no checkout of w3c/feedvalidator.")
    sys.path.insert(0, str(Path(CHECKOUT) / "src"))
    import feedvalidator
    from feedvalidator import compatibility

    def found(data, url):
        events = feedvalidator.validateString(data, firstOccurrenceOnly=1, base=url)["loggedEvents"]
        return [
            f"{type(event).__name__} {event.params}"
            for event in compatibility.AAA(events)
            if event.params.get("namespace") != TOMBSTONES
        ]

    yield found
    sys.path.remove(str(Path(CHECKOUT) / "src"))


@pytest.mark.filterwarnings("ignore")  # the validator's own
def test_the_validator_has_nothing_to_say(office, complaints, monkeypatch):
    """RSS and Atom of everything, of topics and of the archive pass the W3C's validator without any message, empty or full."""
    for name, count in (("SIZE", 5), ("FULL", 6), ("SUMMARISED", 10)):
        monkeypatch.setattr(chronicle, name, count)
    office.clock.at = datetime(2026, 8, 1, 12, tzinfo=UTC)
    folder = office.folder / "public"
    projection = Projection(store=office.store, site=Site(folder), renderer=office.parts.renderer, items=5)
    projection.rebuild(now=office.clock())
    for name in ("rss.xml", "atom.xml"):
        assert complaints((folder / name).read_bytes(), f"http://127.0.0.1:8080/{name}") == []
    office.put("annex.pdf", "").write_bytes(b"%PDF-1.7\n%%EOF\n")
    office.put("chart.png", "").write_bytes(PNG)
    for number in range(14):
        for part in range(3 if number < 12 else 14):
            keys = KEYS.format(topic=f"t{number % 4}", language="ar" if number % 5 == 0 else "en")
            title = f"'Title & <b> of {number} {part} مرحبا'"
            office.record(f"r{number}-{part}", embargo="none", title=title, body=BODY, keys=keys)
        office.lift()
        projection.follow(now=office.clock())
        office.clock.pass_by(hours=45 if number < 12 else 1)
    office.record(
        "r13-1", embargo="none", title="Corrected", body="Another.", keys="correction: It was wrong & <bad>.\n"
    )
    office.clock.pass_by(seconds=1)
    office.retract("r13-3")
    projection.follow(now=office.clock())
    documents = [*folder.rglob("rss.xml"), *folder.rglob("atom.xml")]
    assert len(documents) > 30
    for path in documents:
        name = path.relative_to(folder).as_posix()
        assert complaints(path.read_bytes(), f"http://127.0.0.1:8080/{name}") == [], name
