"""Summaries made from a text's own sentences."""

# ruff: noqa: RUF001  # texts are set with typographic signs
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import shipped
from scheduler.intake import read
from scheduler.render.summary import make, sentences
from scheduler.render.text import content

NEWS = (
    "The ministry will open four harbours on Monday to boats of both countries and lower the fees that they pay there."
)


def test_a_call_is_summed_up_by_what_is_announced():
    """The summary of a call starts with what the officials announce, ends on a sentence and has 60 to 120 words."""
    path = shipped("examples") / "background-call.txt"
    summary = content(read(path, data=path.read_bytes(), origin="call")).summary
    assert summary.startswith("Tomorrow, the Ministry of Fisheries and the Ministry of Transport will sign an accord")
    assert summary.endswith("than the two countries landed together last season.")
    assert 60 <= len(summary.split()) <= 120


@pytest.mark.parametrize(
    "sentence",
    [
        "Thank you, [Moderator].",
        "Good afternoon to everyone.",
        "Great, and thanks very much for the question about the harbours.",
        "This call is on background and attributable to senior officials.",
        "The contents are embargoed until Friday at 9:00 a.m., so please keep that in mind.",
        "If you wish to ask a question, please press 1 and then 0 on your telephone keypad.",
        "We have with us today the deputy minister and two of her colleagues.",
        "With that, let me turn it over to [Senior Official One] for opening remarks.",
        "Hi there, can you hear me now, since I was on mute for a while?",
        "This is [Senior Official One].",
        "For your awareness, not for your reporting, there are three speakers on the line.",
        "Der Text hat eine Sperrfrist bis Freitag um neun Uhr und ist nur für die Redaktionen.",
    ],
)
def test_housekeeping_is_left_out(sentence):
    """Greetings, ground rules, embargo reminders, instructions and hand-overs are no part of a summary."""
    assert make(f"{sentence} {NEWS}\n\n{sentence}") == NEWS


def test_news_of_an_embargo_is_no_housekeeping():
    """An embargo that is itself the news stays in the summary."""
    news = "The Council lifted its arms embargo against the island after eleven years, and trade in boats may start on Monday."
    assert make(news) == news


def test_moderators_and_labels_are_left_out():
    """Speakers' labels, and what moderators, operators and askers say, are no part of a summary."""
    text = (
        "MODERATOR: We begin with a story about my holiday, which was long and rather wet and took me to the north coast."
        f"\n\nIt was fun.\n\nDR. ORR (via video): {NEWS}\n\nQUESTION: Why does it take so long to open harbours that were there?"
        "\n\nAnd who pays for it?"
    )
    assert make(text) == NEWS


def test_headings_tables_and_the_title_are_left_out():
    """Headings, datelines, lists, tables and a repeated title are no part of a summary."""
    title = "A Title That Says It All, and at Some Length, So That It Would Count as a Sentence."
    text = (
        f"{title}\n\nMonday, 27 May, 1:47 pm\n\nALL IN CAPITALS AND LOUD, WITH A FULL STOP AT ITS END, AND LONG."
        f"\n\n- a list item that is a whole sentence of more than twelve words, but no news.\n\n{NEWS}\n\nNotes to editors"
    )
    assert make(text, title=title) == NEWS


def test_length():
    """A summary takes whole sentences up to 120 words and stops once it has 60; a short text is taken as it is."""
    assert make("Short. Very short.") == "Short. Very short."
    assert make("") == ""
    long = " ".join(f"Sentence {number} has six words." for number in range(100, 140))
    assert make(long) == " ".join(long.split()[:60])
    first = " ".join(["word"] * 49) + " end."
    assert make(f"{first} {' '.join(['More'] * 79)} end.") == first
    endless = f"{' '.join(['word'] * 70)}, {' '.join(['word'] * 70)} end."
    assert make(endless) == f"{' '.join(['word'] * 70)} …"
    assert len(make(" ".join(["word"] * 300) + ".").split()) <= 120


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The U.S. Department met Mr. Orr at 9 a.m. on Friday. It rained.", 2),
        ("He lives in the U.S. The house is blue.", 2),
        ("Sales rose 4.6 per cent to 1.2 million. Prices fell.", 2),
        ("The Harry S. Truman Building, No. 5, opens on 24. Dezember in Wien.", 1),
        ("They said: “It is done.” Then they left! Did they? Yes.", 4),
        ("统计局公布数据。失业率下降。就业增加！", 3),
        ("هل انتهى التقنين؟ نعم. انتهى.", 3),
        ("Wait … what happens? Acme Inc. reports on Monday. Acme Inc. The end.", 4),
    ],
)
def test_sentences(text, parts):
    """Abbreviations, initials, numbers and the full stops of other scripts are known."""
    assert len(sentences(text)) == parts
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_scripts_without_blanks_are_measured():
    """A Chinese text is summed up in whole sentences of a fitting length, without blanks between them."""
    one = "统计局今天公布的数据显示十二月失业率下降到百分之四点六这是二零一一年以来的最低水平。"
    summary = make(one * 20)
    assert summary == one * 3


def test_a_quotation_that_goes_on_is_closed():
    """A quotation that goes on behind the last sentence taken is closed."""
    text = "“" + " ".join(f"We say sentence number {number} with enough words." for number in range(20)) + "”"
    assert make(text).endswith(".”")


@given(st.text("ab .A“”\n中。!?", max_size=300))
def test_a_summary_is_made_of_the_text(text):
    """A summary holds nothing but the text's own words."""
    made = make(text).removesuffix(" …").removesuffix("”")
    assert set(made) <= set(text) | {" "}
    assert "\n" not in made
