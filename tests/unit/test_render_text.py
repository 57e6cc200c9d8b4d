"""CommonMark made ready to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from scheduler.record import Brief
from scheduler.render.text import content

BODY = """\
# Figures

A *short* **text** with a
[link](https://example.org/x "Title") and <mail@example.org>, <https://example.org/>.

> Quoted
> words.

- one
- two
  1. inner
  2. more

3. third

   with a second paragraph
4. fourth

| Name | Number |
|---|--:|
| a | 1 |
| 数字 | 1,000 |

```python
code  <b>
```

---

Line one\\
line two
"""

TAGS = {"div", "a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "strong", "ul"}
TAGS |= {"h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}


def shown(body: str, **fields):
    return content(Brief(id="a", origin="a.md", digest="0", title="Title", body=body, **fields))


def test_plain_text_keeps_what_markdown_says():
    """In a mail's plain text lists, quotations, links, tables and code stay readable."""
    assert shown(BODY).text == (
        "Figures\n\n"
        "A short text with a link (https://example.org/x) and mail@example.org, https://example.org/.\n\n"
        "> Quoted words.\n\n"
        "- one\n- two\n  1. inner\n  2. more\n\n"
        "3. third\n\n   with a second paragraph\n4. fourth\n\n"
        "Name  Number\n----  ------\na          1\n数字   1,000\n\n"
        "code  <b>\n\n"
        "* * *\n\n"
        "Line one\nline two"
    )


def test_the_page_keeps_its_structure():
    """Headings start below the page's title; tables, lists and code are those of the text."""
    tree = html.fragment_fromstring(shown(BODY).html, create_parent="div")
    assert [node.tag for node in tree] == ["h2", "p", "blockquote", "ul", "ol", "table", "pre", "hr", "p"]
    assert tree.find(".//ol[@start='3']") is not None
    assert [cell.get("class") for cell in tree.iterfind(".//td")] == [None, "right", None, "right"]
    assert tree.find(".//a").get("href") == "https://example.org/x"


def test_headings_follow_the_title_without_a_gap():
    """The highest heading of a text stands one level below the title, whatever level it was written with."""
    assert shown("## Two\n\n#### Four\n\nSeven\n---").html == "<h2>Two</h2>\n<h4>Four</h4>\n<h2>Seven</h2>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](/relative) [y](#part) [z](file:///etc/passwd)", "<p>x y [z](file:///etc/passwd)</p>"),
        ("[x](ftp://example.org/a)", "<p>x</p>"),
        ("![A map](https://example.org/map.png)", '<p><a href="https://example.org/map.png">A map</a></p>'),
        ("![](https://example.org/map.png)", '<p><a href="https://example.org/map.png">map.png</a></p>'),
        ("![A map](map.png)", "<p>A map</p>"),
        (
            "[![A map](https://example.org/m.png)](https://example.org)",
            '<p><a href="https://example.org">A map</a></p>',
        ),
        ("a&#12;b", "<p>a\ufffdb</p>"),
    ],
)
def test_nothing_active_or_relative_is_shown(body, expected):
    """Scripts are shown as words, images become links, and links that would lead nowhere in a feed lose their address."""
    assert expected in shown(body).html


def test_every_script_and_long_word_survives():
    """Right-to-left text, Chinese broken over lines, and words without end are shown as they stand."""
    assert shown("أعلنت **هيئة** المياه").text == "أعلنت هيئة المياه"
    assert shown("统计局今天\n公布数据。").text == "统计局今天公布数据。"
    assert shown("统计局今天\n公布数据。").html == "<p>统计局今天公布数据。</p>"
    assert shown("x" * 3000).text == "x" * 3000


def test_a_stated_summary_is_kept():
    """A summary in the metadata is used word for word; else one is made from the text."""
    assert shown("Some text here.", summary="Mine.").summary == "Mine."
    assert shown("Some **text** here.").summary == "Some text here."


@given(st.text("ab <>&*_[]()#!`|-\n:1.\\\"'\u00a0é中\u202e/ht", max_size=120))
def test_any_text_gives_markup_of_known_tags(body):
    """Whatever a text holds, its page has only the tags of a text, and the same text gives the same bytes."""
    made = shown(body)
    assert made == shown(body)
    tree = html.fragment_fromstring(made.html, create_parent="div")
    tags = {node.tag for node in tree.iter()}
    assert tags <= TAGS
    names = {name for node in tree.iter() for name in node.attrib}
    assert names <= {"href", "title", "start", "class"}


def test_a_comment_is_a_note_of_the_desk():
    """A comment in the text is shown nowhere; one that is never closed is text."""
    made = shown("<!-- ask Ann -->The rate fell.\n\nIt <!-- a\n\nb -->rose. <!-- open")
    assert "Ann" not in made.html + made.text + made.summary
    assert "It rose." in made.text
    assert "open" in made.text
