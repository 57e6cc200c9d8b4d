"""Ten thousand releases within a minute, and a reader that looks every five minutes."""

from __future__ import annotations

import json
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import insert

from scheduler.outlets.site import Site
from scheduler.pipeline.release import MAIN, Projection
from scheduler.store import schema

COUNT = 10_000
MOST = 5_000_000
"""Bytes that the strictest reader we know of takes: the validator of the W3C."""
TEXT = "The rate fell to 4.6 per cent in November, the lowest since 2019, the Statistics Office said on Tuesday. " * 20


def hold(office, number, lift_at):
    """A held record as intake leaves it; ten thousand files would take minutes."""
    name = f"release-{number:05}"
    record = {
        "id": name,
        "uuid": f"{number:08}-0000-4000-8000-000000000000",
        "tag": f"tag:press.example.org,2026:{number:08}-0000-4000-8000-000000000000",
        "origin": f"/{name}.md",
        "digest": "d",
        "state": "held",
        "revision": 1,
        "lift_at": lift_at,
        "accepted_at": office.clock(),
        "vanished": 0,
    }
    text = {
        "record_id": name,
        "number": 1,
        "digest": "d",
        "accepted_at": office.clock(),
        "embargo_kind": "fixed",
        "embargo_words": "",
        "embargo_source": "metadata",
        "lift_zone": "UTC",
        "tz_version": "2026a",
        "candidates": "[]",
        "fields": json.dumps(
            {
                **dict.fromkeys(("attribution", "contact", "source", "moderator", "correction")),
                "topics": ["all"],
                "speakers": [],
                "questions": [],
                "language": "en",
            }
        ),
        "title": f"Unemployment falls to 4.6 per cent in district {number}",
        "summary": TEXT[:300],
        "text": TEXT,
        "html": f"<p>{TEXT}</p>",
    }
    return record, text


def seen(folder, name):
    """The ids in a feed document, as a reader finds them."""
    data = (folder / name).read_bytes()
    if name.endswith(".json"):
        return {item["id"] for item in json.loads(data)["items"]}
    root = ET.fromstring(data)
    found = root.iter("{http://www.w3.org/2005/Atom}id" if "atom" in name else "guid")
    return {each.text for each in found if each.text and each.text.startswith("tag:")}


@pytest.mark.takes_long
def test_a_reader_that_polls_every_five_minutes_sees_ten_thousand_releases(office):
    """Of 10,000 releases within a minute, a reader that polls each five minutes sees every one, in feeds of under 5 MB."""
    rows = [hold(office, number, office.clock() + timedelta(milliseconds=6 * number + 1)) for number in range(COUNT)]
    with office.store.write() as db:
        db.execute(insert(schema.records), [record for record, _ in rows])
        db.execute(insert(schema.revisions), [text for _, text in rows])
    folder = office.folder / "public"
    projection = Projection(store=office.store, site=Site(folder), renderer=office.parts.renderer, items=50)
    projection.rebuild(now=office.clock())
    names = (*MAIN, *(f"topics/all/{name}" for name in MAIN))
    known = {name: set() for name in names}
    for _ in range(4):
        office.clock.pass_by(seconds=15)
        lifted = [each.id for each in office.lift()]
        projection.refresh(lifted, now=office.clock(), new=True)
    projection.follow(now=office.clock())
    for _ in range(2):
        office.clock.pass_by(minutes=5)
        projection.refresh([], now=office.clock())
        for name in names:
            assert (folder / name).stat().st_size < MOST, name
            known[name] |= seen(folder, name)
    wanted = {record["tag"] for record, _ in rows}
    assert all(found == wanted for found in known.values())
    # A reader that comes two days late finds all of them in the archive.
    office.clock.pass_by(hours=48)
    projection.refresh([], now=office.clock())
    late, document = set(), "feed.json"
    while document:
        feed = json.loads((folder / document).read_bytes())
        late |= {item["id"] for item in feed["items"]}
        document = feed.get("next_url", "").removeprefix("http://127.0.0.1:8080/")
    assert late == wanted
    assert (folder / "feed.json").stat().st_size < MOST / 10
