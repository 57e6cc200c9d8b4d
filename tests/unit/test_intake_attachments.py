"""The files that a record names as its attachments."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler import shipped
from scheduler.errors import EmbargoError, FileRefused
from scheduler.intake import attachments, read
from scheduler.intake.fields import Unfinished
from scheduler.intake.folder import Folder
from scheduler.intake.matter import safe_name
from scheduler.media import KINDS
from scheduler.record import Brief
from scheduler.web.files import media_type

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png() -> bytes:
    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), "A")  # of no time: the names of tests are made from these bytes
    return target.getvalue()


def text(*items: str) -> str:
    return "\n".join(["---", "title: A", "attachments:", *(f"- {item}" for item in items), "---", "Text."])


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


def brief(folder, *items, name="a.md") -> Brief:
    path = folder / name
    return read(path, data=text(*items).encode(), origin=str(path))


def look(folder, *items, name="a.md") -> Brief:
    return attachments.look(brief(folder, *items, name=name), folder=folder)


def refused(folder, *items, name="a.md") -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        look(folder, *items, name=name)
    assert caught.value.problem.endswith((".", "?"))
    assert caught.value.remedy.endswith((".", "?"))
    return caught.value


# --- as they are named


def test_attachments_are_named_in_the_front_matter(records):
    """An attachment is named by its path, from the record's own folder on, or with what its image shows and its title."""
    found = brief(
        records, "report.pdf", "{file: 'charts/Rate  by month.PNG', alt: Two  lines., title: The rate}"
    ).enclosed
    assert [(each.path, each.line) for each in found] == [
        (str(records / "report.pdf"), 4),
        (str(records / "charts" / "Rate  by month.PNG"), 5),
    ]
    first, second = (each.attachment for each in found)
    assert (first.name, first.media_type, first.alt, first.title) == ("report.pdf", "application/pdf", None, None)
    assert (second.name, second.media_type) == ("Rate-by-month.png", "image/png")
    assert (second.alt, second.title) == ("Two lines.", "The rate")
    path = records / "a.yaml"
    one = read(path, data=b"title: A\nattachments: report.pdf\nbody: Text.\n", origin="a.yaml")
    assert [each.line for each in one.enclosed] == [2]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("report.html", "not sent out. Known endings: csv, docx"),
        ("picture.svg", "not sent out"),
        ("code.js", "not sent out"),
        ("report", "not sent out"),
        (".pdf", "can't serve in its address"),
        ("???.pdf", "can't serve in its address"),
        (f"{'x' * 100}.pdf", "can't serve in its address"),
        ("/etc/report.pdf", "path can't be used"),
        (r"files\report.pdf", "path can't be used"),
        ('"a\\x07.pdf"', "control character"),
        ("{file: a.png, alt: ''}", "alt"),
        ("{file: a.pdf, alt: A chart}", "`alt` says what an image shows"),
        ("{file: a.png, altt: A chart}", "Did you mean `alt`?"),
        ("{alt: A chart}", "file` is missing"),
        ("[a.pdf]", "names no file. Write `report.pdf`"),
        ("", "names no file"),
    ],
)
def test_what_cannot_be_an_attachment_is_refused(records, item, says):
    """What can't be an attachment is refused with the line that names it and what to write; its name is not repeated."""
    error = refused(records, "first.pdf", item)
    assert error.line == 5
    assert says in f"{error.problem} {error.remedy}"


def test_at_most_twenty_and_no_two_of_one_name(records):
    """A record has at most twenty attachments, whose names differ in more than capitals."""
    for items in ([f"{number}.pdf" for number in range(21)], ["a/Report.pdf", "b/report.PDF"], ["a b.pdf", "a-b.pdf"]):
        assert refused(records, *items).line == 3
    assert len(brief(records, *(f"{number}.pdf" for number in range(20))).enclosed) == 20


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sub/Q3 report (final) & tables.PDF", "Q3-report-final-tables.pdf"),
        ("e\u0301tude.pdf", "étude.pdf"),
        ("تقرير المياه.pdf", "تقرير-المياه.pdf"),
        ("..a..b..pdf", "a..b..pdf"),
        ("-x-.jpeg", "x-.jpeg"),
        ("v1.2_b.zip", "v1.2_b.zip"),
    ],
)
def test_names_are_made_fit_for_an_address(file, name):
    """The name in the address has letters, digits, `.`, `_` and `-` of any script, and its ending in small letters."""
    assert safe_name(file) == name


def test_each_kind_is_sent_as_what_it_is():
    """The server sends each kind of attachment as the feeds say; none is a page, a drawing or a script."""
    for suffix, kind in KINDS.items():
        assert media_type(f"a.{suffix}") == kind.media_type + ("; charset=utf-8" if kind.is_text else "")
        assert kind.media_type.partition("/")[0] in {"text", "image", "audio", "video", "application"}
    assert not KINDS.keys() & {"html", "htm", "xhtml", "svg", "xml", "js", "css", "json", "swf"}


# --- as they lie there


def test_bytes_give_size_and_digest(records):
    """Of an attachment that is there size and digest are known, and the record's digest is another with each change of it."""
    (records / "report.pdf").write_bytes(PDF)
    first = look(records, "report.pdf", "gone.pdf")
    (here, gone) = first.enclosed
    assert (here.attachment.size, here.attachment.digest) == (len(PDF), hashlib.sha256(PDF).hexdigest())
    assert (gone.attachment.size, gone.attachment.digest) == (0, "")
    (records / "report.pdf").write_bytes(PDF + b"%%EOF")
    second = look(records, "report.pdf", "gone.pdf")
    assert first.digest == second.digest
    assert len({first.digest, first.whole_digest, second.whole_digest}) == 3
    assert b"".join(attachments.chunks(second.enclosed[0])) == PDF + b"%%EOF"
    with pytest.raises(EmbargoError, match="changed while"):
        list(attachments.chunks(second.enclosed[1]))
    plain = replace(first, enclosed=())
    assert plain.whole_digest == plain.digest


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", PDF),
        ("a.png", png()),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        ("a.gif", b"GIF89a\1\0"),
        ("a.webp", b"RIFF\x0a\0\0\0WEBPVP8 "),
        ("a.mp3", b"ID3\4\0\0"),
        ("a.mp3", b"\xff\xfb\x90\0"),
        ("a.mp4", b"\0\0\0\n ftypisom"[1:]),
        ("a.zip", zipped()),
        ("a.xlsx", zipped()),
        ("a.csv", "\ufeffTown;Inhabitants\nMünster;320000\n".encode()),
        ("a.files/notes.txt", b"Notes.\n"),
    ],
)
def test_known_kinds_are_taken(records, name, data):
    """Every kind of file in the table is taken where its bytes begin, and end, as they should."""
    (records / name).parent.mkdir(exist_ok=True)
    (records / name).write_bytes(data)
    assert look(records, name).enclosed[0].attachment.size == len(data)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.pdf", b"<html><script>", "does not begin like application/pdf"),
        ("a.png", PDF, "does not begin like image/png"),
        ("a.docx", b"\xd0\xcf\x11\xe0", "does not begin like"),
        ("a.mp3", b"\xff\xfe\0A", "does not begin like"),
        ("a.csv", "Münster".encode("latin-1"), "not UTF-8"),
        ("a.csv", "Town".encode("utf-16"), "not UTF-8"),
        ("a.csv", b"Town\0", "not a text"),
        ("a.csv", b"caf\xc3", "breaks off"),
        ("a.pdf", b"", "is empty"),
        ("a.pdf", PDF[:-7], "breaks off"),
        ("a.png", png()[:-12], "breaks off"),
        ("a.zip", zipped()[:-22], "breaks off"),
    ],
)
def test_bytes_that_belie_the_name_are_refused(records, name, data, says):
    """A file that is not what its name says, or breaks off, is refused; a name alone is never believed."""
    (records / name).write_bytes(data)
    error = refused(records, name)
    assert error.line == 4
    assert says in error.problem
    assert error.problem.startswith("Attachment 1 ")
    assert isinstance(error, Unfinished) == (not any(words in says for words in ("UTF-8", "a text")))


def test_at_most_25_megabytes(records):
    """An attachment of 25 MB is taken, one of a byte more is refused."""
    with (records / "a.pdf").open("wb") as stream:
        stream.write(PDF)
        stream.seek(25_000_000 - len(PDF))
        stream.write(PDF)
    assert look(records, "a.pdf").enclosed[0].attachment.size == attachments.LIMIT
    with (records / "a.pdf").open("ab") as stream:
        stream.write(b"\n")
    assert "larger than 25 MB" in refused(records, "a.pdf").problem


def test_nothing_outside_the_records_folder_is_attached(records, tmp_path):
    """An attachment lies in the records folder: no path and no link leads out of it, and it is a plain file."""
    (tmp_path / "secret.pdf").write_bytes(PDF)
    (records / "sub").mkdir()
    (records / "logo.pdf").write_bytes(PDF)
    (records / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    (records / "folder").symlink_to(tmp_path)
    (records / "within.pdf").symlink_to("logo.pdf")
    os.mkfifo(records / "pipe.pdf")
    (records / "dir.pdf").mkdir()
    for path in ("../secret.pdf", "link.pdf", "folder/secret.pdf", "../nothing.pdf"):
        assert "leads out" in refused(records, path).problem
    for path in ("pipe.pdf", "dir.pdf"):
        assert "not a regular file" in refused(records, path).problem
    for path in ("../logo.pdf", "../within.pdf"):
        assert look(records, path, name="sub/a.md").enclosed[0].attachment.size == len(PDF)


def test_a_text_that_would_be_a_record_goes_into_a_folder_of_its_own(records):
    """A text to be attached lies in a folder whose name ends in `.files`: everywhere else it would be taken for a record."""
    (records / "notes.txt").write_text("Notes.\n")
    assert "ends in `.files`" in refused(records, "notes.txt").remedy
    (records / "a.files").mkdir()
    (records / "notes.txt").rename(records / "a.files" / "notes.txt")
    (records / "a.md").write_text(text("a.files/notes.txt"))
    folder = Folder(records, settle=0.2)
    seen = [one for time in (0.0, 1.0, 2.0, 3.0, 4.0) for one in folder.look(time)]
    assert [one.path.name for one in seen] == ["a.md"]


# --- as they come and go


def settled(folder: Folder, start: float) -> list:
    """Everything told by looks that go on until nothing is waited for."""
    seen = folder.look(start)
    while (at := folder.next_look) is not None:
        seen += folder.look(max(at, start := start + 0.01))
    return seen


def test_a_record_waits_until_its_attachments_stand_still(records):
    """A record is handed on when its attachments have settled too; one that is still being copied is waited for."""
    (records / "a.md").write_text(text("report.pdf"))
    folder = Folder(records, settle=0.2, grace=2.0)
    for step in range(20):
        with (records / "report.pdf").open("ab") as stream:
            stream.write(PDF)
        assert folder.look(step * 0.15) == []
    (seen,) = settled(folder, 4.0)
    assert seen.found.enclosed[0].attachment.size == 20 * len(PDF)
    assert seen.digest == seen.found.whole_digest


def test_a_missing_attachment_gets_time(records):
    """An attachment that is not there yet has two seconds to come; a record without it is handed on as it is then."""
    (records / "a.md").write_text(text("report.pdf"))
    folder = Folder(records, settle=0.2, grace=2.0)
    assert folder.look(0.0) == folder.look(0.5) == folder.look(0.6) == folder.look(1.0) == folder.look(2.5) == []
    (seen,) = folder.look(2.6)
    assert seen.found.enclosed[0].attachment.digest == ""
    assert settled(folder, 9.0) == []
    (records / "report.pdf").write_bytes(PDF)
    (seen,) = settled(folder, 20.0)
    assert seen.found.enclosed[0].attachment.size == len(PDF)


def test_a_change_of_an_attachment_alone_is_noticed(records):
    """A record is handed on anew when an attachment alone has changed; a touch of it, or one that was put back, is no news."""
    (records / "a.md").write_text(text("report.pdf"))
    (records / "report.pdf").write_bytes(PDF)
    folder = Folder(records, settle=0.2, grace=2.0)
    (first,) = settled(folder, 0.0)
    os.utime(records / "report.pdf", ns=(1, 1))
    assert settled(folder, 10.0) == []
    (records / "report.pdf").write_bytes(PDF + PDF)
    (second,) = settled(folder, 20.0)
    assert first.digest != second.digest
    (records / "report.pdf").write_bytes(b"no PDF")
    (bad,) = settled(folder, 30.0)
    assert isinstance(bad.found, FileRefused)
    assert settled(folder, 40.0) == []
    (records / "report.pdf").write_bytes(PDF + PDF)
    (third,) = settled(folder, 50.0)
    assert third.digest == second.digest


def test_a_folder_out_of_reach_says_nothing_about_attachments(records):
    """A records folder that is out of reach takes no attachment away."""
    (records / "a.md").write_text(text("report.pdf"))
    (records / "report.pdf").write_bytes(PDF)
    folder = Folder(records, settle=0.2, grace=2.0)
    assert len(settled(folder, 0.0)) == 1
    records.rename(records.with_name("elsewhere"))
    assert [seen.path for seen in settled(folder, 10.0)] == [records]
    records.with_name("elsewhere").rename(records)
    assert settled(folder, 20.0) == []


def test_an_attachment_changed_while_it_is_read_is_read_again(records, monkeypatch):
    """An attachment that changes while it is being read is looked at again."""
    (records / "a.md").write_text(text("report.pdf"))
    (records / "report.pdf").write_bytes(PDF)
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == folder.look(1.0) == folder.look(2.0) == []
    real = attachments.look

    def slow(*args, **kwargs):
        found = real(*args, **kwargs)
        Path(found.enclosed[0].path).write_bytes(PDF + PDF)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(attachments, "look", slow)
        assert folder.look(3.0) == []
    (seen,) = settled(folder, 4.0)
    assert seen.found.enclosed[0].attachment.size == 2 * len(PDF)


def test_the_example_is_whole():
    """The example with attachments has them beside it, an image with its words among them."""
    path = shipped("examples") / "port-traffic.md"
    found = read(path, data=path.read_bytes(), origin=str(path))
    kinds = {
        each.attachment.media_type: each.attachment for each in attachments.look(found, folder=path.parent).enclosed
    }
    assert kinds.keys() == {"image/png", "text/csv"}
    assert all(each.digest for each in kinds.values())
    assert kinds["image/png"].alt
