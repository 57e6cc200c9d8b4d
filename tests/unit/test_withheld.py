"""Names that must appear in no output."""

# ruff: noqa: RUF001  # look-alike letters and signs are what is looked for
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.render.withheld import Finding, found


def is_found(name: str, text: str) -> bool:
    return found([name], {"body": text}) is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Jane Roe", "said Jane Roe."),
        ("Jane Roe", "JANE ROE"),
        ("jane roe", "Jane\nRoe"),
        ("Jane Roe", "Jane\u00a0Roe and Jane\u2009Roe"),
        ("Jane Roe", "Ja\u00adne Ro\u200be"),
        ("Jane Roe", "Ja-\nne Roe"),
        ("Jane Roe", "Jane Roe’s and Roe's"),
        ("Jane Roe", "Jane Roes Rede"),
        ("Jane Roe", "Jane **Roe**"),
        ("Jane Roe", "**Jane** _Roe_"),
        ("Jane Roe", "J**ane** R\\_oe"),
        ("Jane Roe", "<b>Jane</b> <i>R</i>oe"),
        ("Jane Roe", "<td>Jane</td><td>Roe</td>"),
        ("Jane Roe", "Jane&nbsp;R&ouml;e"),
        ("Jane Roe", "Jane, Roe"),
        ("Jane Roe", "Jane Q. Roe"),
        ("Jane Roe", "Roe, Jane"),
        ("Jane Roe", "jane.roe@example.org"),
        ("Jane Roe", "jane_roe@example.org"),
        ("Jane Roe", "janeroe@example.org and #JaneRoe"),
        ("Jane Roe", "Ｊａｎｅ Ｒｏｅ"),
        ("José Núñez", "Jose Nunez"),
        ("Jose Nunez", "Jose\u0301 Nu\u0301n\u0303ez"),
        ("Søren Łukasz Đorđe", "Soren Lukasz Dorde"),
        ("Strauß", "STRAUSS"),
        ("Æthelred", "AETHELRED"),
        ("Seán O’Neill", "Sean O'Neill, Sean ONeill"),
        ("Ann Smith-Jones", "Ann Smith Jones"),
        ("Ann Smith-Jones", "Ann Smith-\nJones"),
        ("Roe", "(Roe)"),
        ("山田太郎", "発表した山田太郎氏は"),
        ("山田 太郎", "山田\n太郎"),
        ("김철수", "어제 김철수가 말했다"),
        ("أحمد علي", "قال أَحْمَد عَلِي وأحمد علي"),
        ("أحمد علي", "وأحمد علي"),
        ("Иван Петров", "ИВАН ПЕТРОВ"),
    ],
)
def test_a_name_is_found_however_it_is_written(name, text):
    """A withheld name is found whatever its case, accents, line breaks, markup, punctuation or possessive."""
    assert is_found(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Roe", "Rooster, heroes and Monroe"),
        ("Ann Lee", "Ann Leech and Joann Lee"),
        ("Jane Roe", "Jane Doe met Mr. Roe"),
        ("Jane Roe", "Jane and Roe"),
        ("Li", "Lima lies"),
        ("William", "Serena Williams"),
        ("김기", "김긴"),
        ("??", "What??"),
        ("", "anything"),
    ],
)
def test_whole_words_only(name, text):
    """A name inside another word, or with other words between its own, is not found."""
    assert not is_found(name, text)


def test_the_finding_tells_number_and_field_but_not_the_name():
    """A finding says which name by its number and where, and never repeats it."""
    finding = found(["John Doe", "Jane Roe"], {"title": "News", "summary": "By Jane Roe", "body": "Jane Roe"})
    assert finding == Finding(number=2, of=2, field="summary")
    assert str(finding) == "withheld name 2 of 2 in summary"
    assert found(["John Doe"], {"title": "News"}) is None
    assert found([], {"title": "News"}) is None


NAMES = st.lists(st.text("abcÉøñdz", min_size=2, max_size=8), min_size=1, max_size=3).map(" ".join)


@given(
    name=NAMES,
    gap=st.sampled_from([" ", "\n", "\u00a0", ". ", "** ", "</b> <i>", "\u200b \u00ad", "&nbsp;", "_ _"]),
    upper=st.booleans(),
)
def test_a_name_between_other_words_is_always_found(name, gap, upper):
    """Whatever stands between its words, a withheld name is found."""
    text = gap.join((name.upper() if upper else name).split())
    assert is_found(name, f"before, {text}’s after")
