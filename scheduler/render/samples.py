"""Samples of releases and feeds, on which every template is tried at the start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scheduler.record import Attachment, Question, Release
from scheduler.render.feed import Feed

NEVER = datetime(2000, 1, 1, tzinfo=UTC)

RELEASE = Release(
    id="sample",
    uuid="00000000-0000-4000-8000-000000000000",
    tag="tag:press.example.org,2026:00000000-0000-4000-8000-000000000000",
    revision=1,
    title="Sample",
    summary="Sample.",
    html="<p>Sample.</p>",
    text="Sample.",
    published_at=NEVER,
    updated_at=NEVER,
    zone="UTC",
    language="en",
)
_FILE = Attachment(name="sample.pdf", media_type="application/pdf", size=1, digest="0" * 64, alt=None, title="Sample")
RELEASES = (
    RELEASE,
    replace(
        RELEASE,
        language="ar",
        topics=("one", "two"),
        attribution="Sample",
        contact="press@example.org",
        source="https://www.example.org/",
        moderator="Sample",
        speakers=("Sample",),
        questions=(Question(), Question(asker="Sample", outlet="Sample"), Question(outlet="Sample")),
        correction="Sample.",
        attachments=(_FILE, replace(_FILE, name="sample.png", media_type="image/png", alt="Sample", title=None)),
    ),
    replace(RELEASE, retraction="Sample."),
)

FEEDS = (
    Feed(id="urn:uuid:00000000-0000-4000-8000-000000000000"),
    Feed(id="urn:uuid:00000000-0000-4000-8000-000000000000", folder="topics/sample/", title="Sample"),
    Feed(
        id="urn:uuid:00000000-0000-4000-8000-000000000000",
        folder="archive/2000-01-2/",
        title="January 2000",
        archived=True,
        previous="archive/2000-01/",
        following="archive/2000-02/",
    ),
)

_LISTS = [{"id": "sample", "name": "Sample", "wanted": True}, {"id": "other", "name": "Other", "wanted": False}]
_TYPED = {"wording": "Sample.", "agreed": "0", "email": "", "name": ""}
# What the web server gives the templates of its forms (scheduler/web/forms.py), in every kind.
FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("subscribe.html", {**_TYPED, "lists": _LISTS[:1], "problems": {}}),
    (
        "subscribe.html",
        {**_TYPED, "lists": _LISTS, "problems": {"email": "Sample.", "name": "Sample.", "list": "Sample."}},
    ),
    ("subscribe.html", {**_TYPED, "lists": _LISTS, "problems": {"agreed": "Sample."}}),
    ("asked.html", {}),
    ("join.html", {"stage": "ask", "names": []}),
    ("join.html", {"stage": "done", "names": ["Sample", "Other"]}),
    ("join.html", {"stage": "late", "names": []}),
    ("leave.html", {"stage": "ask", "list_name": "Sample", "several": True, "public": False}),
    ("leave.html", {"stage": "ask", "list_name": "Sample", "several": False, "public": False}),
    ("leave.html", {"stage": "left", "list_name": "Sample", "several": True, "public": True}),
    ("leave.html", {"stage": "everywhere", "list_name": "Sample", "several": True, "public": True}),
    ("trouble.html", {"heading": "Sample", "advice": "Sample."}),
)
