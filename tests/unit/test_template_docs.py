"""What docs/templates.md says about templates is what the code gives them."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from pathlib import Path

import pytest
from jinja2 import Template

from scheduler.monitor import letters
from scheduler.outlets.webhook import Notice
from scheduler.record import Attachment, Purpose, Question, Release
from scheduler.render import Feed, Newsroom, Renderer, mail, samples
from scheduler.render.templates import environment

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/templates.md").read_text("utf-8")
ROOM = Newsroom(name="Press Office", url="https://press.example.org/", zone="UTC", language="en")


def documented():
    """Template -> the variables that its row in the table names."""
    rows = re.findall(r"^\| `([\w.-]+\.\w+)` \| [^|]+ \|([^|]*)\|$", DOCUMENT, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", variables)) for name, variables in rows}


@pytest.fixture(scope="module")
def given():
    """Template -> the variables it is given whenever it is rendered: all that a start renders, and the mails."""
    seen = defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        plain = Template.render

        def spy(template, *values, **more):
            seen[template.name].append({*dict(*values), *more})
            return plain(template, *values, **more)

        patch.setattr(Template, "render", spy)
        Renderer(newsroom=ROOM)
        for purpose in Purpose:
            mail.letter(
                environment(),
                release=samples.RELEASE,
                purpose=purpose,
                list_id="press",
                list_name="Press",
                newsroom_name="Office",
                newsroom_url="https://press.example.org/",
                sender="press@example.org",
            )
        mail.invitation(
            environment(),
            newsroom_name="Office",
            newsroom_url="https://press.example.org/",
            sender="press@example.org",
            recipient="reader@example.org",
            lists=["Press"],
            token=mail.NOBODY,
            message_id="<one@example.org>",
            at=samples.NEVER,
        )
        named = {"newsroom": "Office", "host": "news1", "database": "embargo.db"}
        notice = Notice(id="msg_1", at=samples.NEVER, headline="", lines=(), **named)
        letters.written("alert.txt", {"notice": notice, "zone": "UTC"}, overrides=None)
        told = {"lifts": [], "until": samples.NEVER, "doubts": [], "shown": 0, "zone": "UTC"}
        letters.written("desk.txt", {**told, **named}, overrides=None)
    return seen


def test_every_template_is_documented():
    """The table names each shipped template, and no other."""
    shipped = {path.name for path in (ROOT / "templates").iterdir()} - {"base.html", "mail-base.html"}
    assert documented().keys() == shipped


def test_each_template_is_given_what_the_table_says(given):
    """Each template is given the variables of its row, at every rendering."""
    for name, variables in documented().items():
        assert given[name], name
        for seen in given[name]:
            assert seen == variables, name


def test_the_fields_of_values_are_documented():
    """Every field of a release, a question, an attachment, the newsroom and a feed that a template can use is named."""
    words = set(re.findall(r"`(\w+)`", DOCUMENT))
    for kind in (Release, Question, Attachment, Newsroom):
        fields = {field.name for field in dataclasses.fields(kind)} - {"digest"}
        assert fields <= words, kind
    facts = Renderer(newsroom=ROOM)._facts(Feed(id="urn:uuid:feed"))
    assert facts.keys() <= words


def test_every_filter_is_documented():
    """The filters that are our own are named, and no filter is that does not exist."""
    made = environment()
    ours = {name for name, used in made.filters.items() if used.__module__.startswith("scheduler.")}
    named = set(re.findall(r"`(\w+)(?:\(zone\))?`", DOCUMENT.split("## Filters")[1]))
    assert ours <= named
    assert named - {"ltr", "rtl", "href"} <= made.filters.keys()
