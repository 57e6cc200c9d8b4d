"""A folder of record files, looked at again and again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scheduler.errors import FileRefused
from scheduler.intake.folder import Folder
from scheduler.record import Brief

GOOD = "---\ntitle: A\n---\nText.\n"


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


def problem(seen) -> str:
    (one,) = seen
    assert isinstance(one.found, FileRefused)
    return str(one.found)


def test_a_file_is_handed_on_once_when_it_has_settled(records):
    """A new file is read as soon as two looks found it the same, and only once."""
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == []
    assert folder.next_look is None
    (records / "sub").mkdir()
    (records / "sub" / "a.md").write_text(GOOD)
    assert folder.look(1.0) == []
    assert folder.next_look == pytest.approx(1.2)
    assert folder.look(1.1) == []
    (seen,) = folder.look(1.2)
    assert isinstance(seen.found, Brief)
    assert seen.digest == seen.found.digest
    assert seen.origin == seen.found.origin == str(records / "sub" / "a.md")
    assert folder.next_look is None
    assert folder.look(2.0) == []


def test_a_new_file_does_not_wait_for_thousands_that_are_looked_through_again(records, monkeypatch):
    """Of many files that can be read at once the newest come first, the others with the next looks, and each once."""
    monkeypatch.setattr("scheduler.intake.folder._AT_ONCE", 2)
    for number, name in enumerate(("new", "b", "d", "c", "a")):
        (records / f"{name}.md").write_text(GOOD)
        os.utime(records / f"{name}.md", (0, 1000 - number))
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == []
    looks = []
    while folder.next_look is not None:
        assert folder.next_look <= 1.0
        looks.append([seen.path.stem for seen in folder.look(1.0)])
    assert looks == [["b", "new"], ["c", "d"], ["a"]]


def test_a_file_still_being_written_waits(records):
    """A file that goes on growing is not read before it has stood still."""
    folder = Folder(records, settle=0.2)
    for step in range(5):
        with (records / "a.txt").open("a") as stream:
            stream.write(GOOD if not step else "More.\n")
        assert folder.look(step * 0.3) == []
    (seen,) = folder.look(1.5)
    assert seen.found.body.count("More.") == 4


@pytest.mark.parametrize(
    ("half", "whole", "name"),
    [
        ("", GOOD, "a.md"),
        ("---\ntitle: A\n", GOOD, "a.md"),
        ('title: "A\n', 'title: "A"\nbody: Text.\n', "a.yaml"),
        (b"---\ntitle: A\n---\ncaf\xc3", GOOD, "a.md"),
    ],
)
def test_a_file_that_breaks_off_gets_time(records, half, whole, name):
    """A file that breaks off is refused only if it still does two seconds later."""
    folder = Folder(records, settle=0.2, grace=2.0)
    (records / name).write_bytes(half if isinstance(half, bytes) else half.encode())
    assert folder.look(0.0) == folder.look(0.5) == folder.look(1.9) == []
    assert folder.next_look == pytest.approx(2.0)
    assert name in problem(folder.look(2.0))
    assert folder.look(9.0) == []
    (records / name).write_text(whole)
    assert folder.look(10.0) == []
    (seen,) = folder.look(10.2)
    assert isinstance(seen.found, Brief)


def test_a_version_is_told_once_however_often_it_is_touched(records):
    """A file that is touched or saved again without a change is not news, refused or not; a change is."""
    folder = Folder(records, settle=0.2)
    good, bad = records / "a.md", records / "b.md"
    good.write_text(GOOD)
    bad.write_text("no front matter\n")
    assert folder.look(0.0) == []
    assert [type(seen.found) for seen in folder.look(1.0)] == [Brief, FileRefused]
    for path in (good, bad):
        os.utime(path, ns=(1, 1))
    assert folder.look(2.0) == folder.look(3.0) == []
    good.write_text(GOOD.replace("Text", "Test"))
    assert folder.look(4.0) == []
    assert [seen.found.body for seen in folder.look(5.0)] == ["Test."]


def test_a_file_that_vanishes_is_noted(records):
    """A file that disappears is told of once; one that was never read is not."""
    folder = Folder(records, settle=0.2)
    (records / "a.md").write_text(GOOD)
    assert folder.look(0.0) == []
    assert len(folder.look(1.0)) == 1
    (records / "b.md").write_text(GOOD)
    assert folder.look(2.0) == []
    (records / "a.md").unlink()
    (records / "b.md").unlink()
    (seen,) = folder.look(3.0)
    assert (seen.path, seen.found) == (records / "a.md", None)
    assert folder.look(4.0) == []


def test_a_folder_out_of_reach_says_nothing_about_its_files(records):
    """A folder that can't be read is told of once, and its files don't count as vanished."""
    folder = Folder(records, settle=0.2)
    (records / "a.md").write_text(GOOD)
    assert folder.look(0.0) == []
    assert len(folder.look(1.0)) == 1
    records.rename(records.with_name("elsewhere"))
    assert folder.look(2.0) == []
    assert "can't be read" in problem(folder.look(3.0))
    assert folder.look(4.0) == []
    records.with_name("elsewhere").rename(records)
    assert folder.look(5.0) == folder.look(6.0) == []


def test_links_out_of_the_folder_are_refused(records, tmp_path):
    """A link that leads out of the folder is refused once, to a file or to a folder; one within it is read."""
    (tmp_path / "secret.md").write_text(GOOD)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.md").write_text(GOOD)
    (records / ".data").mkdir()
    (records / ".data" / "real.md").write_text(GOOD)
    (records / "file.md").symlink_to(tmp_path / "secret.md")
    (records / "folder").symlink_to(tmp_path / "outside")
    (records / "lost.md").symlink_to(tmp_path / "nowhere.md")
    (records / "loop.md").symlink_to(records / "loop.md")
    (records / "within.md").symlink_to(Path(".data", "real.md"))
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == []
    seen = {one.path.name: one.found for one in folder.look(1.0)}
    assert sorted(seen) == ["file.md", "folder", "loop.md", "lost.md", "within.md"]
    assert "leads out of the folder" in str(seen["file.md"])
    assert "leads out of the folder" in str(seen["folder"])
    assert isinstance(seen["lost.md"], FileRefused)
    assert isinstance(seen["loop.md"], FileRefused)
    assert isinstance(seen["within.md"], Brief)
    assert folder.look(2.0) == folder.look(3.0) == []


def test_what_is_no_plain_file_is_refused_and_the_rest_passed_over(records):
    """A pipe is refused without being opened for good, a file over 5 MB without being read; other files are passed over."""
    os.mkfifo(records / "pipe.md")
    with (records / "large.md").open("wb") as stream:
        stream.truncate(5_000_001)
    (records / "README.md").write_text("read me")
    (records / "a.md~").write_text(GOOD)
    (records / ".hidden").mkdir()
    (records / ".hidden" / "a.md").write_text(GOOD)
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == []
    large, pipe = folder.look(1.0)
    assert "larger than 5 MB" in str(large.found)
    assert "not a regular file" in str(pipe.found)


def test_a_file_changed_between_look_and_reading_waits(records, monkeypatch):
    """A file that changes while it is being read is looked at again."""
    path = records / "a.md"
    path.write_text(GOOD)
    folder = Folder(records, settle=0.2)
    assert folder.look(0.0) == []
    real = os.open

    def slow(*args, **kwargs):
        with path.open("a") as stream:
            stream.write("More.\n")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", slow)
        assert folder.look(1.0) == []
    assert folder.look(2.0) == []
    (seen,) = folder.look(3.0)
    assert seen.found.body == "Text.\nMore."
