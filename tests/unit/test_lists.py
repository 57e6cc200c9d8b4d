"""Mail lists in files: what spreadsheets and subscriber programs write, and what is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import FileRefused
from scheduler.intake import lists
from scheduler.record import address_of


def read(tmp_path, data):
    path = tmp_path / "press.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(lists.read(path))


def refused(tmp_path, data) -> FileRefused:
    with pytest.raises(FileRefused) as refusal:
        read(tmp_path, data)
    assert refusal.value.file.endswith("press.csv")
    return refusal.value


BOTH = ["Ann Lee <ann@example.org>", "bob@example.net"]


@pytest.mark.parametrize(
    "data",
    [
        "email,name\nann@example.org,Ann Lee\nbob@example.net,\n",
        "email,name\r\nann@example.org,Ann Lee\r\nbob@example.net\r\n",
        "\ufeffName;E-Mail\nAnn Lee;ann@example.org\n;bob@example.net\n",
        "id\tmail\tNAME\n1\tann@example.org\tAnn Lee\n2\tbob@example.net\t\n",
        'email , name\n"ann@example.org","Ann Lee"\n\n  \n,\nbob@example.net,"",,,\n',
        "address\nAnn Lee <ann@example.org>\n<bob@example.net>",
        "name,address,email\nAnn Lee,1 Example Street,ann@example.org\n,,bob@example.net\n",
        "Ann Lee <ann@example.org>\n\nbob@example.net\n",
        "email,name,state\nann@example.org,Ann Lee,active\ncy@example.org,,left\nbob@example.net,,\n",
        '\ufeffsep=;\r\nemail;name\r\nann@example.org;"Ann Lee"\r\nbob@example.net;\r\n',
        '\n"SEP=|"\nname|email\nAnn Lee|ann@example.org\n|bob@example.net\n',
        "sep=\t\nemail\tname\nann@example.org\tAnn Lee\nbob@example.net\t\n",
        "sep=,\nAnn Lee <ann@example.org>\nbob@example.net\n",
    ],
    ids=[
        *("comma", "crlf", "bom-semicolon", "tab", "quoted", "named-fields", "street", "bare", "state"),
        *("sep-semicolon", "sep-bar", "sep-tab", "sep-bare"),
    ],
)
def test_what_programs_write(tmp_path, data):
    """A list may be a CSV with commas, semicolons or tabs, or what a line `sep=` says, with a mark of UTF-8 or without, or one
    recipient a line.
    """
    assert [
        each.removeprefix("<").removesuffix(">") if each[0] == "<" else each for each in read(tmp_path, data)
    ] == BOTH


def test_names_of_the_world(tmp_path):
    """A name keeps its letters, its commas and quotation marks; what would break a header is a blank."""
    found = read(
        tmp_path,
        'email,name\na@example.org,Zoë Łukasz\nb@example.org,"Lee, ""Ann"""\nc@example.org,山田\n'
        'd@bücher.example,"Two\nlines"\n',
    )
    assert found == [
        "Zoë Łukasz <a@example.org>",
        'Lee, "Ann" <b@example.org>',
        "山田 <c@example.org>",
        "Two lines <d@bücher.example>",
    ]


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ("", None, "The file is empty."),
        ("\n \n", 2, "The file is empty."),
        ("Ann Lee\nann@example.org\n", 1, "names no column `email`"),
        ("sep=;\n", 1, "The file is empty."),
        ("sep=;\nemail,name\na@example.org,A\n", 2, "names no column `email`"),
        ("sep=;\nemail;name\nnobody;B\n", 3, "is not of the form name@example.org"),
        ("sep=ab\nemail\n", 1, "names no column `email`"),
        ("email,name\na@example.org,A\nnobody,B\n", 3, "is not of the form name@example.org"),
        ("email,name\n,Ann\n", 2, "has no address"),
        ("email,name\na@example.org,Lee, Ann\n", 2, "has 3 fields, the first line 2"),
        ('email,name\na@example.org,"Ann\nb@example.org,B\n', 2, "A quoted field does not end"),
        ('email\na@example.org\n"b"x@example.org\n', 3, "A quoted field does not end"),
        ("email\nä@example.org\n", 2, "letters outside ASCII before the '@'"),
        ("email\na@straße.example\n", 2, "a domain that means two"),
        ("email\na@-x.example\n", 2, "a domain that can't exist"),
        ("email\na@example.org\x00\nb c@example.org\n", 3, "is not of the form"),
        ("email\na@example.org,b@example.org\n", 2, "has 2 fields"),
        ("a@example.org b@example.org\n", 1, "is not of the form"),
        ("email\n" + "x" * 20_000, 2, "longer than 10,000 characters"),
        ("email\nb\u00e9@example.org\n".encode("latin-1"), None, "not UTF-8"),
        ("email\na@example.org\n".encode("utf-16"), None, "not UTF-8"),
        (b"PK\x03\x04\xff\xfe\x00", None, "not UTF-8"),
    ],
)
def test_what_is_refused(tmp_path, data, line, problem):
    """A line that names nobody a mail can reach is reported with the file, its number, what is wrong and what to write."""
    refusal = refused(tmp_path, data)
    assert (refusal.line, problem in refusal.problem, bool(refusal.remedy)) == (line, True, True), str(refusal)


def test_a_list_of_nobody(tmp_path):
    """The heading alone is a list without anybody on it, which is not an accident as an empty file is."""
    assert read(tmp_path, "email,name\n") == []


def test_a_missing_file(tmp_path):
    """A list file that is gone or is no file is refused, and says so."""
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileRefused, match="It can't be read"):
            next(lists.read(path))


def test_an_edit_shows(tmp_path):
    """An edited or replaced file has another signature; one that is not there has none."""
    path = tmp_path / "press.csv"
    assert lists.signature(path) is None
    path.write_text("a@example.org\n")
    first = lists.signature(path)
    assert lists.signature(path) == first
    os.utime(path, ns=(1, 1))
    second = lists.signature(path)
    other = tmp_path / "other"
    other.write_text("b@example.org\n")
    os.utime(other, ns=(1, 1))
    other.replace(path)
    assert len({first, second, lists.signature(path)}) == 3


@given(st.text(max_size=200))
def test_hostile_files(tmp_path_factory, text):
    """Whatever stands in a file, each recipient read from it is one line with one address, or the file is refused."""
    path = tmp_path_factory.getbasetemp() / "hostile.csv"
    path.write_bytes(b"email,name\n" + text.encode("utf-8", "surrogatepass"))
    try:
        found = list(lists.read(path))
    except FileRefused:
        return
    for each in found:
        assert "@" in address_of(each)
        assert not any(sign in each for sign in "\r\n\x00")
