"""Stories in NewsML-G2: what is understood, and what fails closed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_kit import brief, documented, fate, only_a_brief_or_a_refusal

from scheduler.errors import FileRefused
from scheduler.record import StatedEmbargo

ITEM = """<?xml version="1.0" encoding="UTF-8"?>
<newsItem xmlns="http://iptc.org/std/nar/2006-10-01/" guid="urn:newsml:wire.example:20261124:BANK-7" version="2"
  standard="NewsML-G2" standardversion="2.34" conformance="power" xml:lang="fr-CA">
 <catalogRef href="http://wire.example/catalog.xml"/>
 <itemMeta>
  <itemClass qcode="ninat:text"/><provider literal="wire.example"/>
  <versionCreated>2026-11-24T10:00:00-05:00</versionCreated>
  <embargoed>2026-12-01T09:00:00-05:00</embargoed>
  <pubStatus qcode="stat:usable"/>
 </itemMeta>
 <contentMeta>
  <urgency>4</urgency><contentCreated>2026-11-24T09:00:00-05:00</contentCreated>
  <creditline>Fil Exemple</creditline>
  <subject qcode="medtop:04000000"><name xml:lang="fr">économie</name><name xml:lang="en">economy</name></subject>
  <slugline>CAN-Banque</slugline><headline>La banque garde son taux à 2 %</headline>
 </contentMeta>
 <contentSet>
  <inlineXML contenttype="application/nitf+xml"><nitf xmlns="http://iptc.org/std/NITF/2006-10-18/"><body>
   <body.head><hedline><hl1>Le taux</hl1></hedline></body.head>
   <body.content><p>Le taux reste à <em>2 %</em>, selon la <a href="https://wire.example/b">banque</a>.</p><hl2>Suite</hl2>
   <ul><li>Un</li><li>Deux</li></ul></body.content></body></nitf></inlineXML>
  <remoteContent href="https://wire.example/p.jpg"/>
 </contentSet>
</newsItem>
"""
EMBARGO = "<embargoed>2026-12-01T09:00:00-05:00</embargoed>"
STATUS = '<pubStatus qcode="stat:usable"/>'
PAST = "<embargoed>2026-11-01T09:00:00Z</embargoed>"


def changed(*pairs):
    text = ITEM
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def test_a_story_is_read_field_by_field():
    """A NewsML-G2 story gives its fields, says where each was found, and what was left out."""
    found = brief(ITEM, "story.xml")
    assert found.id == "urn-newsml-wire.example-20261124-BANK-7"
    assert found.title == "La banque garde son taux à 2 %"
    assert (
        found.body
        == "Le taux reste à *2 %*, selon la [banque](https://wire.example/b).\n\n## Suite\n\n- Un\n- Deux".replace(
            "*2 %*", "*2* %"
        )
    )
    assert found.embargo == StatedEmbargo(words="2026-12-01T09:00:00-05:00")
    assert (found.language, found.attribution, found.topics) == ("fr-CA", "Fil Exemple", ("économie",))
    assert (str(found.issued), found.left) == ("2026-11-24", ("contentSet/remoteContent",))
    documented(found, "NewsML-G2")
    assert fate(ITEM, "story.xml") == "held 2026-12-01 14:00"


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "windows-1252", "UTF-16"])
def test_a_story_is_read_in_the_encoding_it_states(encoding):
    """XML says in which encoding it is; the story is the same in each."""
    data = changed(("UTF-8", encoding)).encode(encoding)
    assert brief(data, "story.xml").title == "La banque garde son taux à 2 %"


def test_a_message_or_package_of_one_story_is_that_story():
    """A newsMessage with one story is that story; the embargo of the package around it counts."""
    inner = ITEM.partition("?>")[2]
    package = "<packageItem><itemMeta>{}</itemMeta></packageItem>"
    message = (
        '<newsMessage xmlns="http://iptc.org/std/nar/2006-10-01/"><itemSet>{}' + inner + "</itemSet></newsMessage>"
    )
    assert fate(message.format(""), "m.xml") == "held 2026-12-01 14:00"
    assert fate(message.format(package.format(EMBARGO)), "m.xml") == "held 2026-12-01 14:00"
    assert fate(message.format(package.format("<embargoed>2026-12-02T09:00:00Z</embargoed>")), "m.xml") == "attention"
    assert fate(message.format(inner), "m.xml") == "refused"
    assert fate('<packageItem xmlns="http://iptc.org/std/nar/2006-10-01/"/>', "m.xml") == "refused"


@pytest.mark.parametrize(
    ("old", "new", "becomes"),
    [
        (EMBARGO, "<embargoed/>", "held"),
        (EMBARGO, "<embargoed> </embargoed>", "held"),
        (EMBARGO, EMBARGO + "<embargoed/>", "attention"),
        (EMBARGO, EMBARGO + PAST, "attention"),
        (EMBARGO, "", "attention"),
        (EMBARGO, "<embargoed>2026-12-01T09:00:00</embargoed>", "attention"),
        (EMBARGO, "<embargoed>2026-12-01</embargoed>", "attention"),
        (EMBARGO, "<embargoed>on delivery</embargoed>", "attention"),
        (EMBARGO, PAST.replace("embargoed>", "embargo>"), "attention"),
        (EMBARGO, '<embargoed until="2026-12-01"/>', "held"),
        (EMBARGO, "<!-- EMBARGOED until 9 a.m. UTC on 1 December 2026 -->", "attention"),
        (STATUS, "", "held 2026-12-01 14:00"),
        (STATUS, '<pubStatus uri="http://cv.iptc.org/newscodes/pubstatusg2/usable"/>', "held 2026-12-01 14:00"),
        (STATUS, '<pubStatus qcode="stat:withheld"/>', "attention"),
        (STATUS, '<pubStatus qcode="stat:canceled"/>', "refused"),
        (STATUS, '<pubStatus qcode="stat:new"/>', "attention"),
        (STATUS, "<pubStatus/>", "attention"),
        (STATUS, STATUS + '<signal qcode="sig:update"/>', "held 2026-12-01 14:00"),
        (STATUS, STATUS + '<signal qcode="sig:correction"/>', "held 2026-12-01 14:00"),
        (STATUS, STATUS + '<signal qcode="sig:kill"/>', "refused"),
        (STATUS, STATUS + '<signal qcode="sig:other"/>', "attention"),
        (STATUS, STATUS + "<edNote>EMBARGOED until 3 December 2026, 09:00 UTC</edNote>", "attention"),
        ("<body>", '<head><docdata management-status="withheld"/></head><body>', "attention"),
        ("<body>", '<head><docdata management-status="canceled"/></head><body>', "refused"),
        (
            "<body>",
            '<head><docdata><date.release norm="20261201T140000Z"/></docdata></head><body>',
            "held 2026-12-01 14:00",
        ),
        ("<body>", '<head><docdata><date.release norm="20261202T140000Z"/></docdata></head><body>', "attention"),
        ("<body>", '<head><docdata><date.release norm="20261201"/></docdata></head><body>', "attention"),
        ("<p>Le", "<p>EMBARGOED UNTIL 3 December 2026, 09:00 UTC</p><p>Le", "attention"),
        ("contentSet>", "somethingElse>", "refused"),
        ("newsItem", "conceptItem", "refused"),
        ("</newsItem>", "", "refused"),
        ("<newsItem", "<!DOCTYPE newsItem><newsItem", "refused"),
        ("UTF-8", "utf-7", "refused"),
        ("UTF-8", "no-such-thing", "refused"),
        ("<p>Le", "<p>&entity;", "refused"),
        ("<p>Le", "<p>" + "<i>" * 200 + "</i>" * 200, "refused"),
    ],
)
def test_what_is_not_understood_is_never_released(old, new, becomes):
    """An embargo, status or signal that is not understood holds a story; a kill, or XML that is broken, is refused."""
    assert fate(changed((old, new)), "story.xml") == becomes


def test_a_corrected_story_says_so():
    """The signal of a correction becomes the record's note of correction."""
    assert (
        brief(changed((STATUS, '<signal qcode="sig:correction"/>')), "a.xml").correction == "Corrected by its source."
    )


def test_a_bomb_is_refused_where_it_begins():
    """Entities that grow without end, and files outside, are refused at the document type, before anything is expanded."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    for subset in (
        '<!ENTITY l0 "x">' + levels,
        '<!ENTITY l11 SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;',
    ):
        started = time.perf_counter()
        with pytest.raises(FileRefused) as caught:
            brief(
                changed(("<newsItem", f"<!DOCTYPE newsItem [{subset}]>\n<newsItem"), ("<p>Le", "<p>&l11;")), "story.xml"
            )
        assert caught.value.line == 2
        assert time.perf_counter() - started < 1


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_nothing_but_a_brief_or_a_refusal_comes_out(data):
    """Bytes changed, cut or put in anywhere in a NewsML-G2 file give a brief or a refusal."""
    whole = ITEM.encode()
    at, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
    put = data.draw(
        st.binary(max_size=12)
        | st.sampled_from([b"<p>", b"]]>", b"<embargoed/>", b"<!--", b"&#0;", b"<a:b/>", b"</p>"])
    )
    only_a_brief_or_a_refusal(whole[:at] + put + whole[at + length :], "story.xml")
