"""YAML that keeps its words and its lines."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from scheduler.errors import FileRefused
from scheduler.intake.fields import Unfinished, load, problems


def test_scalars_stay_words():
    """A time, a number or a "no" in metadata is read as the words that were written."""
    text = "embargo: 2026-12-01 09:00:00\ntitle: 2024\ncountry: no\nempty:\nquoted: ''\n"
    assert load(text, file="a.md").tree == {
        "embargo": "2026-12-01 09:00:00",
        "title": "2024",
        "country": "no",
        "empty": None,
        "quoted": "",
    }


def test_every_key_and_item_has_its_line():
    """Each key, list item and block of text is known by its line in the file."""
    text = "title: A\nlists:\n  - one\n  - two\nbody: |\n  first\nmail:\n  from: x\n"
    marked = load(text, file="a.yaml", first_line=10)
    assert marked.line_of(("title",)) == 10
    assert marked.line_of(("lists", 1)) == 13
    assert marked.line_of(("mail", "from")) == 17
    assert marked.line_of(("mail", "absent", "deeper")) == 16
    assert marked.line_of(("absent",)) == 10
    assert marked.text_line_of(("body",)) == 15
    assert marked.text_line_of(("title",)) == 10


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "line 1 already", "Keep one"),
        ("a: &x [1]\nb: *x\n", 1, "`*` or `&`", "quotes"),
        ("title: *Secret* news\n", 1, "`*` or `&`", "quotes"),
        ("title: Plan: Secret\n", 1, "second colon", "quotes"),
        ("a: 1\n\tb: 2\n", 2, "tab", "Indent with blanks"),
        ("a: 1\nb:\n\tc: 2\n", 3, "tab", "Indent with blanks"),
        ("- a\n- b\n", 1, "no `key: value` lines", "title"),
        ("Secret\n", 1, "no `key: value` lines", "title"),
        ("a: 1\n---\nb: 2\n", 2, "second YAML document", "one record a file"),
        ("a: !secret x\n", 1, "starts with `!`", "quotes"),
        ("[a, b]: x\n", 1, "not plain words", "key: value"),
        ('a: "\\q Secret"\nb: 1\n', 1, "backslash", "single quotes"),
        ('title: "Secret" news\nb: 1\n', 1, "line up", "quotes"),
        ("a: " + "[" * 500_000, 1, "nested", "plain keys"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_line_and_remedy(text, line, problem, remedy):
    """YAML that can't be read exactly is refused with its line and what to write, and its words are not repeated."""
    with pytest.raises(FileRefused) as caught:
        load(text, file="a.yaml")
    assert caught.value.line == line
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize("text", ['title: "half of\n', "topics: [a, b\n", "title: A\nembar\n", "a: {b: 1,\n\n"])
def test_yaml_that_breaks_off_is_known_as_unfinished(text):
    """YAML that breaks off at its end may still be being written."""
    with pytest.raises(Unfinished):
        load(text, file="a.yaml")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recipients: list[str] = []


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    newsroom: str
    items: int = 50
    mail: dict[str, Inner] | None = None
    inner: Inner | None = None


def _problems(text: str) -> list[tuple[int, str, str]]:
    marked = load(text, file="c.yaml")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(marked.tree)
    return [tuple(problem) for problem in problems(caught.value, marked=marked, model=Outer)]


def test_an_unknown_key_is_told_with_the_nearest_known_one():
    """An unknown key is refused with its line and the key that was probably meant, at any depth."""
    text = "newsrom: x\nnewsroom: y\nmail:\n  press:\n    recipient: [a]\ninner: {recipents: []}\nzzz: 1\n"
    assert _problems(text) == [
        (1, "Unknown key `newsrom`.", "Did you mean `newsroom`?"),
        (5, "Unknown key `recipient`.", "Did you mean `recipients`?"),
        (6, "Unknown key `recipents`.", "Did you mean `recipients`?"),
        (7, "Unknown key `zzz`.", "Known keys: newsroom, items, mail, inner."),
    ]


def test_what_is_missing_or_unusable_is_told_without_its_value():
    """A missing key and a value of the wrong kind are told by key and line, without the value."""
    assert _problems("items: Secret\n") == [
        (1, "`items` can't be used.", "It should be a valid integer, unable to parse string as an integer."),
        (1, "`newsroom` is missing.", "Add a line `newsroom: …`."),
    ]
