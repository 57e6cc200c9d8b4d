"""Plain-text transcripts taken apart."""

# ruff: noqa: RUF001  # transcripts are set with typographic apostrophes
from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from scheduler import shipped
from scheduler.errors import FileRefused
from scheduler.intake import read
from scheduler.intake.questions import introduced
from scheduler.intake.transcript import escaped
from scheduler.record import Question, StatedEmbargo

CALL = shipped("examples") / "background-call.txt"


def brief(text: str, name: str = "call.txt"):
    return read(Path(name), data=text.encode(), origin=name)


def test_a_background_call_is_taken_apart():
    """A transcript gives its title, source, attribution, moderator, speakers in order, and questions with outlets."""
    call = read(CALL, data=CALL.read_bytes(), origin="call")
    assert call.title == "Senior Ministry Officials Previewing the Valmora-Ostrand Strait Fisheries and Ferry Accord"
    assert call.source == "https://www.valmora.example/briefings/strait-accord-preview/"
    assert call.attribution == "on background, attributable to senior ministry officials"
    assert call.moderator == "Moderator"
    assert call.speakers == tuple(f"Senior Ministry Official {number}" for number in ("One", "Two", "Three"))
    assert call.questions == (
        Question(asker="Marta Quill", outlet="Strait Radio"),
        Question(asker="Henrik Adeyemi", outlet="Selwyn Courier"),
        Question(asker="Sofia Brandt", outlet="North Coast Gazette"),
    )
    assert call.embargo is None
    assert call.issued is None


def test_page_chrome_is_left_out_and_its_date_is_a_bound():
    """Weather, date banner, breadcrumb and advertising are left out; the banner's date is when the page was seen."""
    call = read(CALL, data=CALL.read_bytes(), origin="call")
    assert call.seen == date(2026, 3, 11)
    for chrome in ("41 F", "Wednesday", "HomeGovernment", "Official news", "hotels", "Latest stories", "ferry deals"):
        assert chrome not in call.body
    assert call.body.startswith("**MODERATOR:** Good afternoon, everyone")
    assert call.body.endswith("Thanks again for joining us.")


def test_each_line_of_the_body_is_a_line_of_the_file():
    """A place in a transcript's body is a place in its file, so that an embargo statement can be pointed at."""
    call = read(CALL, data=CALL.read_bytes(), origin="call")
    lines = CALL.read_text().split("\n")
    for number, line in enumerate(call.body.split("\n")):
        assert line.replace("*", "").replace("\\", "") == " ".join(lines[call.body_line - 1 + number].split()).replace(
            "*", ""
        )
    assert "embargoed until tomorrow, which is Tuesday, March 3rd at 9:00 a.m." in call.body


HARD_WRAPPED = """\
OFFICE OF THE CHANCELLOR

BACKGROUND PRESS CALL BY SENIOR TREASURY OFFICIALS ON THE
SPRING BUDGET OF THE KINGDOM OF OSTRAND

Via Teleconference

EMBARGOED UNTIL 5:00 P.M.

MODERATOR: Hello. This call is on background and attributable
to “senior treasury officials.” Over to you,
[official].

SENIOR TREASURY OFFICIAL: The budget
1. lowers one tax, and
- raises *none*.

NOTE: this is no speaker.

Q Hello. Will there be a second budget?

MR. O’DELL (via interpreter): No. The USTO
says no.

Q Thank you.

USTO OFFICIAL: Agreed.
"""


def test_a_hard_wrapped_call_reads_as_it_stood():
    """Lines broken by hand join when shown, and nothing in them turns into a list or emphasis."""
    call = brief("---\ntitle: The Spring Budget\nembargo: 2026-04-01 17:00\nid: budget\n---\n" + HARD_WRAPPED)
    assert call.id == "budget"
    assert call.title == "The Spring Budget"
    assert call.embargo == StatedEmbargo(words="2026-04-01 17:00", line=3)
    assert call.speakers == ("Senior Treasury Official", "Mr. O’Dell", "USTO Official")
    assert call.attribution == "on background, attributable to senior treasury officials"
    assert call.questions == (Question(),)
    html = MarkdownIt("commonmark").render(call.body)
    assert "<li>" not in html
    assert "<em>" not in html
    assert "<strong>SENIOR TREASURY OFFICIAL:</strong> The budget\n1. lowers one tax, and\n- raises *none*." in html
    assert "<strong>Q:</strong> Hello." in html
    assert "EMBARGOED UNTIL 5:00 P.M." in call.body


def test_a_title_over_two_lines_is_put_together():
    """A title broken over lines is one title, and an embargo stated above the first turn stays in the text."""
    call = brief("MODERATOR’S COPY\n\n" + HARD_WRAPPED.partition("\n\n")[2])
    assert (
        call.title
        == "BACKGROUND PRESS CALL BY SENIOR TREASURY OFFICIALS ON THE SPRING BUDGET OF THE KINGDOM OF OSTRAND"
    )
    assert "EMBARGOED UNTIL 5:00 P.M." in call.body
    assert "BACKGROUND PRESS CALL" not in call.body


def test_an_address_above_the_turns_takes_nothing_along():
    """A source link at the top of a transcript is taken as its source, and nothing below it is lost."""
    call = brief(
        "The Title of the Call\nSource: https://example.org/a\n\nMODERATOR: Hello.\n\nQUESTION: Why?\n\nLast words.\n"
    )
    assert call.source == "https://example.org/a"
    assert call.body == "**MODERATOR:** Hello.\n\n**QUESTION:** Why?\n\nLast words."


def test_an_embargo_below_the_page_s_foot_is_kept():
    """A line that may state an embargo stays in the text even among what stands below a page's end."""
    foot = "Official news published at https://example.org/a\n\nSome offer\n\nEmbargoed until Friday, 9 a.m.\n\nLatest stories\n"
    call = brief(f"The Title of the Call\n\nMODERATOR: Hello.\n\nQUESTION: Why?\n\n{foot}")
    assert " ".join(call.body.split()) == "**MODERATOR:** Hello. **QUESTION:** Why? Embargoed until Friday, 9 a.m."


def test_turns_without_empty_lines_are_set_apart():
    """Turns and long paragraphs that follow each other line by line are paragraphs of their own."""
    long = (
        "This goes on and on, well past any width that someone would have broken lines at by hand, and ends only here."
    )
    call = brief(
        f"The Title of the Call\nMODERATOR: Welcome.\nHOST: {long}\nAnd a second paragraph.\nMODERATOR: Thanks.\n"
    )
    assert call.body.split("\n\n") == [
        "**MODERATOR:** Welcome.",
        f"**HOST:** {long}",
        "And a second paragraph.",
        "**MODERATOR:** Thanks.",
    ]
    assert call.body_line == 2


def test_a_plain_text_that_is_no_transcript_needs_a_title():
    """A text without speakers is refused with what to write; with a title in front matter it is taken as it stands."""
    text = "Some news\n\nEMBARGO: none\n\nThe text * of it.\n"
    with pytest.raises(FileRefused, match="not a transcript") as caught:
        brief(text)
    assert "`title: …`" in caught.value.remedy
    call = brief("---\ntitle: Some news\n---\n" + text)
    assert call.body == "Some news\n\nEMBARGO: none\n\nThe text \\* of it."
    assert call.speakers == ()
    with pytest.raises(FileRefused, match="No title"):
        brief("Via Teleconference\n\nMODERATOR: Hello.\n\nQUESTION: Why?\n")


@pytest.mark.parametrize(
    ("words", "asker", "outlet"),
    [
        ("Let’s first go the line of Tracy Wilkinson from LA Times.", "Tracy Wilkinson", "LA Times"),
        ("Let’s please go to Kylie Madry from Reuters.", "Kylie Madry", "Reuters"),
        ("We have time for one final question, and that will be for Doug Palmer from Politico.", "Doug Palmer", "Politico"),
        ("The next one comes from the line of Ana de la Cruz with The Times.  Please.", "Ana de la Cruz", "The Times"),
        ("Next, José Núñez-Díaz of Agence France-Presse, please.", "José Núñez-Díaz", "Agence France-Presse"),
        ("Thank you, Jose.  And Li Wei at the South China Morning Post.", "Li Wei", "South China Morning Post"),
        ("Let’s go to Matt O’Brien (AP).", "Matt O’Brien", "AP"),
        ("Go to the line of J. P. Morgan-Smith, Bloomberg News, please.", "J. P. Morgan-Smith", "Bloomberg News"),
        ("Let’s go back to the line of Henrik Adeyemi.", "Henrik Adeyemi", None),
    ],
)  # fmt: skip
def test_the_moderator_names_asker_and_outlet(words, asker, outlet):
    """The name and the outlet of who asks are read from the moderator's words."""
    assert introduced(words) == Question(asker=asker, outlet=outlet)


@pytest.mark.parametrize(
    "words", ["Thank you, both, very much.", "I see.  Okay.", "We sure can.", "This is embargoed until Friday at 9:00."]
)
def test_other_words_of_the_moderator_name_no_one(words):
    """A moderator's thanks and reminders give nobody the floor."""
    assert introduced(words) is None


@given(st.lists(st.text("ab #*_`~<>&;[](){}:|\\!-+=.1)2#\"'x\n", max_size=30), min_size=1, max_size=3))
def test_escaped_text_is_shown_to_the_letter(pieces):
    """A transcript's characters are shown exactly as they stood, whatever they mean in Markdown."""
    lines = [" ".join(line.split()) for line in "\n".join(pieces).split("\n")]
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(map(escaped, lines)))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "softbreak"}
    shown = [
        "".join(child.content or "\n" for child in token.children or []) for token in tokens if token.type == "inline"
    ]
    assert "\n".join(shown) == "\n".join(line for line in lines if line)


def test_a_banner_that_writes_the_day_first_is_a_bound_too():
    """A page's banner bounds the document's date whichever way it writes the day."""
    from scheduler.intake.transcript import _dated

    assert _dated("Wednesday, 3 July 2024") == _dated("Wednesday, July 3, 2024") == _dated("3rd July 2024")
    assert _dated("31 June 2024") is None
