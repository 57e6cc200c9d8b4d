"""Record files turned into briefs."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.errors import FileRefused
from scheduler.intake import LIMIT, is_record, read
from scheduler.record import Brief, StatedEmbargo

FULL = """---
title: "Dialogue: a preview"
embargo: {until: 2026-12-01 09:00, zone: America/New_York}
summary: One paragraph.
topics: [mexico, trade]
attribution: on background, attributable to senior officials
withhold: Jane Roe
lists: press
contact: press@example.org
source: https://www.example.org/briefings/hled
language: en
id: hled-preview
correction: The year was wrong.
issued: 2026-11-30
---

Body *text*.
"""


def brief(text: str | bytes, name: str = "a.md") -> Brief:
    data = text if isinstance(text, bytes) else text.encode()
    return read(Path(name), data=data, origin=f"records/{name}")


def refused(text: str | bytes, name: str = "a.md") -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        brief(text, name)
    assert caught.value.problem.endswith((".", "?"))
    assert caught.value.remedy.endswith((".", "?"))
    return caught.value


def test_markdown_with_front_matter_is_read_whole():
    """A Markdown record gives every key of its front matter, and its body with the line it starts on."""
    assert brief(FULL) == Brief(
        id="hled-preview",
        origin="records/a.md",
        digest=hashlib.sha256(FULL.encode()).hexdigest(),
        title="Dialogue: a preview",
        body="Body *text*.",
        body_line=17,
        embargo=StatedEmbargo(words="2026-12-01 09:00", zone="America/New_York", line=3),
        summary="One paragraph.",
        topics=("mexico", "trade"),
        attribution="on background, attributable to senior officials",
        withhold=("Jane Roe",),
        lists=("press",),
        contact="press@example.org",
        source="https://www.example.org/briefings/hled",
        language="en",
        correction="The year was wrong.",
        issued=date(2026, 11, 30),
    )


def test_a_yaml_record_has_the_same_keys_and_a_body():
    """A YAML record has the keys of front matter and its text under `body`, whose first line is known."""
    found = brief("title: A\nembargo: 2026-12-01T09:00:00-05:00\nbody: |\n\n  # Head\n  Text.\n", "b.yaml")
    assert (found.body, found.body_line) == ("# Head\nText.", 5)
    assert found.embargo == StatedEmbargo(words="2026-12-01T09:00:00-05:00", line=2)
    assert found.lists is None


def test_the_first_heading_serves_as_title():
    """Where the metadata has no title, the first heading of a Markdown body is the title and leaves the body."""
    found = brief("---\nembargo: none\n---\nEMBARGOED\n\n```\n# not this\n```\n# The *news* #\n\nText.\n")
    assert found.title == "The *news*"
    assert found.body == "EMBARGOED\n\n```\n# not this\n```\n\n\nText."


def test_an_id_is_made_from_the_name_of_the_file():
    """Without an id the file's name serves, its blanks turned into hyphens, in any script."""
    assert brief("---\ntitle: A\n---\nB\n", "Labour force  Q4.md").id == "Labour-force-Q4"
    assert brief("---\ntitle: A\n---\nB\n", "e\u0301tude.md").id == "étude"
    assert brief("---\ntitle: A\n---\nB\n", "हिन्दी.md").id == "हिन्दी"
    assert "id: …" in refused("---\ntitle: A\n---\nB\n", "what?.md").remedy


@pytest.mark.parametrize("value", ["-a", ".a", "a b", "a/b", "a.html", "x" * 101, "中" * 67, '""', "_a"])
def test_an_id_that_is_no_good_file_name_is_refused(value):
    """An id that can't be part of an address or a file's name is refused with the rule."""
    error = refused(f"---\ntitle: A\nid: {value}\n---\nB\n")
    assert error.line == 3
    assert "letters, digits" in error.remedy


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"---\ntitle: A\n---\nok\ncaf\xe9 noir\n", 5, "not UTF-8"),
        (b"---\r\ntitle: A\r\n---\r\ncaf\xe9 noir\n", 4, "not UTF-8"),
        ("---\ntitle: A\n---\nB".encode("utf-16"), 1, "UTF-16"),
        (b"---\ntitle: A\n---\nB\x07ell\n", 4, "U+0007"),
        (b"---\ntitle: A\n---\nB\x00\n", 4, "U+0000"),
        ("---\ntitle: A\n---\nB\ufffe\n".encode(), 4, "U+FFFE"),
        (b'---\ntitle: "A\\x07"\n---\nB\n', 2, "control character"),
        (b"", None, "empty"),
        (b"\n \n", None, "empty"),
        (b"---\ntitle: A\n---\n" + b"x" * LIMIT, None, "5 MB"),
        (b"title: A\n\nB\n", 1, "not `---`"),
        (b"---\ntitle: A\nB\n", None, ""),
        (b"---\ntitle: A\n---\n\n", 4, "no text"),
        (b"---\nembargo: none\n---\nB\n", 1, "No title"),
        (b"---\ntitle:\n---\nB\n", 1, "No title"),
        (b'---\ntitle: ""\n---\nB\n', 2, "title"),
        (b'---\ntitle: "a\\nb"\n---\nB\n', 2, "one line"),
        (b"---\ntitle: " + b"x" * 301 + b"\n---\nB\n", 2, "300"),
        (b"---\nembargo: none\n---\n# " + b"x" * 301 + b"\nB\n", 1, "300"),
        (b"---\ntitle: A\nembargo:\n---\nB\n", 3, "`embargo` is empty"),
        (b"---\ntitle: A\nembargo: {until: x, zon: y}\n---\nB\n", 3, "Unknown key `zon`"),
        (b"---\ntitle: A\nembrago: none\n---\nB\n", 3, "Unknown key `embrago`"),
        (b"---\ntitle: A\nwithhold:\n---\nB\n", 3, "withhold"),
        (b"---\ntitle: A\nwithhold: '??'\n---\nB\n", 3, "no letters"),
        (b"---\ntitle: A\ntopics: a, b\n---\nB\n", 3, "Several values"),
        (b"---\ntitle: A\nlanguage: english\n---\nB\n", 3, "language tag"),
        (b"---\ntitle: A\nsource: www.example.org\n---\nB\n", 3, "web address"),
        (b"---\ntitle: A\nsource: javascript://x\n---\nB\n", 3, "web address"),
        (b"---\ntitle: A\nsource: http://[\n---\nB\n", None, ""),
        (b"---\ntitle: A\nissued: 1 May\n---\nB\n", 3, "not a date"),
        (b"---\ntitle: A\nissued: 2026-02-30\n---\nB\n", 3, "not a date"),
        (b"---\ntitle: A\nissued: 20260230\n---\nB\n", 3, "not a date"),
        (b"---\ntitle: A\ncontact: ''\n---\nB\n", 3, "contact"),
        (b"---\ntitle: A\ntitle: B\n---\nB\n", 3, "line 2 already"),
    ],
)
def test_what_can_not_be_taken_as_it_stands_is_refused(data, line, problem):
    """A file that can't be taken exactly as it stands is refused with its line, what is wrong and what to write."""
    error = refused(data)
    assert error.file == "records/a.md"
    assert problem in error.problem
    assert line is None or error.line == line


def test_all_that_is_wrong_is_told_at_once():
    """A refused record's metadata is told of with all its faults, so that one edit mends them."""
    error = refused("---\ntitle: A\nembrago: none\nlanguage: english\n---\nB\n")
    assert error.line == 3
    assert error.remedy == (
        "Did you mean `embargo`? Line 4: `language` is not a language tag (BCP 47). "
        "Write one such as `en`, `es-MX` or `zh-Hant`."
    )


def test_a_byte_order_mark_and_any_line_end_are_fine():
    """A byte order mark, CRLF and CR make no difference to what is read."""
    unix = brief(FULL)
    for data in (
        b"\xef\xbb\xbf" + FULL.encode(),
        FULL.replace("\n", "\r\n").encode(),
        FULL.replace("\n", "\r").encode(),
    ):
        found = brief(data)
        assert (found.title, found.body, found.body_line) == (unix.title, unix.body, unix.body_line)
        assert found.digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["a.md", "a.MARKDOWN", "a.yaml", "a.yml", "a b.txt", "über.md"])
def test_record_files_are_known_by_their_suffix(name):
    """Markdown, YAML and text files are records."""
    assert is_record(Path("records", name))


@pytest.mark.parametrize(
    "name",
    [
        ".a.md",
        "README.md",
        "readme.txt",
        "a.md~",
        "#a.md#",
        ".a.md.swp",
        "a.md.tmp",
        "a.part",
        "a.pdf",
        "a",
        "~$a.md",
        ".#a.md",
    ],
)
def test_backups_and_readmes_are_no_records(name):
    """Hidden files, editors' backups, READMEs and other formats are passed over in silence."""
    assert not is_record(Path("records", name))


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.text("---\n: title'\"[]{}&*!|>#A", max_size=80).map(
            lambda text: f"---\ntitle: A\n{text}\n---\nB\n".encode()
        ),
    ),
    name=st.sampled_from(["a.md", "a.yaml", "a.txt"]),
)
@example(data=b"---\n? a\n---\nB", name="a.md")
@example(data=b"title: A\nbody: |2\n    x\n", name="a.yaml")
def test_any_bytes_are_read_or_refused(data, name):
    """Whatever stands in a file, it becomes a brief or is refused; nothing else happens."""
    try:
        found = read(Path(name), data=data, origin=name)
    except FileRefused as error:
        assert error.problem  # noqa: PT017  # both outcomes are right; each is checked
    else:
        assert found.title
        assert found.body.strip()
