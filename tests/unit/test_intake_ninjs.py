"""Stories in ninjs: what is understood, and what fails closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_kit import brief, documented, fate, only_a_brief_or_a_refusal, verdict

from scheduler.intake import ninjs
from scheduler.record import State, StatedEmbargo

ONE = {
    "uri": "urn:newsml:agentur.example:20261124:zinsen-7",
    "version": "3",
    "versioncreated": "2026-11-24T10:00:00+01:00",
    "pubstatus": "usable",
    "urgency": 3,
    "language": "de",
    "embargoed": "2026-12-01T09:00:00+01:00",
    "headline": "Leitzins bleibt unverändert",
    "description_text": "Der Rat der Bank lässt den Zins, wo er ist.",
    "creditline": "Agentur Beispiel",
    "subject": [{"name": "Wirtschaft", "code": "04000000"}, {"name": "Geldpolitik"}],
    "body_html": "<p>Der Zins bleibt bei <b>2,0</b> Prozent.</p><h2>Ausblick</h2><p>R&uuml;ckfragen morgen.</p>",
    "renditions": {"thumb": {"href": "https://agentur.example/t.jpg"}},
}
THREE = {
    "uri": "https://wire.example/stories/2026/11/24/rates",
    "standard": {"name": "ninjs", "version": "3.1"},
    "pubStatus": "usable",
    "versionCreated": "2026-11-24T08:00:00Z",
    "embargoedUntil": "2026-12-01T08:00:00.000Z",
    "headlines": [{"role": "short", "value": "Rates kept"}, {"role": "main", "value": "Central bank keeps its rate"}],
    "bodies": [
        {"role": "main", "contentType": "text/plain", "value": "First.\n\n1. December is the day."},
        {"role": "web", "contentType": "text/html", "value": "<p>First, in <em>HTML</em>.</p>"},
    ],
    "subjects": [{"name": "economy"}],
}
OUT = object()


def story(base=ONE, **keys):
    return json.dumps({key: value for key, value in {**base, **keys}.items() if value is not OUT}, ensure_ascii=False)


def test_a_story_of_ninjs_1_is_read_field_by_field():
    """A ninjs story gives its fields, says where each was found, and what was left out."""
    found = brief(story(), "story.json")
    assert found.id == "urn-newsml-agentur.example-20261124-zinsen-7"
    assert found.title == "Leitzins bleibt unverändert"
    assert found.body == "Der Zins bleibt bei **2,0** Prozent.\n\n## Ausblick\n\nRückfragen morgen."
    assert found.embargo == StatedEmbargo(words="2026-12-01T09:00:00+01:00")
    assert (found.language, found.attribution, found.topics) == (
        "de",
        "Agentur Beispiel",
        ("Wirtschaft", "Geldpolitik"),
    )
    assert (str(found.issued), found.left) == ("2026-11-24", ("/renditions",))
    assert dict(found.places)["embargo"] == "/embargoed"
    assert fate(story(), "story.json") == "held 2026-12-01 08:00"


def test_a_story_of_ninjs_3_has_its_own_names_for_them():
    """In ninjs 3 the main headline is the title, HTML comes before plain text, and `embargoedUntil` says when."""
    found = brief(story(THREE), "story.json")
    assert (found.title, found.body) == ("Central bank keeps its rate", "First, in *HTML*.")
    assert dict(found.places)["body"] == "/bodies/1/value"
    assert fate(story(THREE), "story.json") == "held 2026-12-01 08:00"


@pytest.mark.parametrize(
    ("keys", "becomes"),
    [
        ({"embargoed": None}, "attention"),
        ({"embargoed": ""}, "attention"),
        ({"embargoed": 1796112000}, "attention"),
        ({"embargoed": True}, "attention"),
        ({"embargoed": ["2026-12-01T09:00:00Z"]}, "attention"),
        ({"embargoed": {"until": "2026-12-01T09:00:00Z"}}, "attention"),
        ({"embargoed": "2026-12-01"}, "attention"),
        ({"embargoed": "2026-12-01T09:00:00"}, "attention"),
        ({"embargoed": "2026-12-01T09:00:00 EST"}, "attention"),
        ({"embargoed": "2026-13-01T09:00:00Z"}, "attention"),
        ({"embargoed": "none"}, "attention"),
        ({"embargoed": "false"}, "attention"),
        ({"embargoed": OUT}, "attention"),
        ({"embargoed": OUT, "pubstatus": OUT}, "attention"),
        ({"embargoedUntil": "2026-12-01T08:00:00Z"}, "held 2026-12-01 08:00"),
        ({"embargoedUntil": "2026-11-01T08:00:00Z"}, "attention"),
        ({"embargoed": OUT, "embargotime": "2026-12-01T08:00:00Z"}, "held 2026-12-01 08:00"),
        ({"embargoed": OUT, "embargo_date": "soon"}, "attention"),
        ({"embargoed": OUT, "Sperrfrist": "1.12."}, "attention"),
        ({"embargoed": "2026-11-01T08:00:00Z", "x": {"embargoed": "2026-12-01T08:00:00Z"}}, "attention"),
        ({"pubstatus": "withheld"}, "attention"),
        ({"pubstatus": "withheld", "embargoed": "2026-11-01T08:00:00Z"}, "attention"),
        ({"pubstatus": "embargoed"}, "held 2026-12-01 08:00"),
        ({"pubstatus": "embargoed", "embargoed": OUT}, "attention"),
        ({"pubstatus": "ready", "embargoed": "2026-11-01T08:00:00Z"}, "attention"),
        ({"pubstatus": 1, "embargoed": "2026-11-01T08:00:00Z"}, "attention"),
        ({"pubstatus": "canceled"}, "refused"),
        ({"pubstatus": "cancelled"}, "refused"),
        ({"PubStatus": "usable"}, "refused"),
        ({"ednote": "STRICTLY EMBARGOED until 12 noon GMT on 2 December 2026"}, "attention"),
        ({"ednote": "EMBARGOED until 9 a.m. CET on 1 December 2026"}, "held 2026-12-01 08:00"),
        ({"body_text": "EMBARGOED UNTIL 3 December 2026, 09:00 UTC\n\nText."}, "attention"),
        ({"embargoed": OUT, "ednote": "EMBARGOED until 12 noon GMT on 20 November 2026"}, "attention"),
        ({"embargoed": OUT, "ednote": "For immediate release"}, "attention"),
        ({"embargoed": OUT, "headline": "EMBARGOED UNTIL 1 December 2026, 08:00 UTC: Rates"}, "held 2026-12-01 08:00"),
        ({"embargoed": "2026-11-01T08:00:00Z"}, "held 2026-11-01 08:00"),
    ],
)
def test_what_is_not_understood_is_never_released(keys, becomes):
    """An embargo, a status or a note that is not understood holds a ninjs story, whatever the office does with what is past."""
    assert fate(story(**keys), "story.json") == becomes


def test_attention_quotes_what_it_came_from():
    """The reason names the JSON pointer and the words, and what a person may confirm is offered."""
    found = verdict(story(pubstatus="withheld"), "story.json")
    assert found.state is State.ATTENTION
    assert "`/pubstatus` says `withheld`" in (found.reason or "")
    assert [str(lift.at) for lift in found.candidates] == ["2026-12-01 08:00:00+00:00"]
    assert "“2026-12-01T09:00”" in (verdict(story(embargoed="2026-12-01T09:00"), "story.json").reason or "")


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        '"text"',
        "{}",
        '{"name": "package", "version": "1.0.0"}',
        story()[:-20],
        story().replace('"urgency": 3', '"embargoed": "2026-11-01T08:00:00Z"'),
        story(headline=OUT),
        story(body_html="<script>alert(1)</script>"),
        story(body_html=OUT),
        story(headline="\ud83d\udc00"[:1]),
        '{"uri": ' + "[" * 100_000,
        story(urgency=1).replace('"urgency": 1', '"urgency": ' + "9" * 5000),
        story().encode("utf-16"),
    ],
)
def test_what_is_no_story_is_refused(data):
    """JSON that is broken, says a key twice or is no ninjs is refused, with what to do."""
    data = json.dumps(json.loads(data)) if isinstance(data, str) and "\ud83d" in data else data
    assert fate(data, "story.json") == "refused"


def test_an_update_of_a_story_has_its_id():
    """A later version of a story has the same id; two long names of stories never share one."""
    assert brief(story(version="4", headline="Neu"), "b.json").id == brief(story(), "a.json").id
    long = "urn:" + "x" * 300
    assert brief(story(uri=long + "1"), "a.json").id != brief(story(uri=long + "2"), "a.json").id


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_nothing_but_a_brief_or_a_refusal_comes_out(data):
    """Bytes changed, cut or put in anywhere in a ninjs file give a brief or a refusal."""
    whole = story(data.draw(st.sampled_from([ONE, THREE]))).encode()
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 30))
    put = data.draw(st.binary(max_size=12) | st.sampled_from([b'":{}', b"null", b"[[", b"\\ud800", b"<div>", b"&#0;"]))
    only_a_brief_or_a_refusal(whole[:at] + put + whole[at + length :], "story.json")


def test_the_page_of_formats_has_the_mapping():
    """docs/formats.md says of every field of ninjs from where it is read, and names what is left out."""
    documented(brief(story(), "story.json"), "ninjs")
    documented(brief(story(THREE), "story.json"), "ninjs")
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text("utf-8")
    for key in (*ninjs._NOTES, *ninjs._LEFT):
        assert f"`/{key}`" in page, key
