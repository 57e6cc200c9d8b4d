"""The site folder: whole files or none, nothing outside it, nothing left over."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from scheduler.outlets.site import Site, SiteRefused

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_document_appears_with_its_folders(tmp_path):
    """A page is written below the site folder, whose folders are made as they are needed."""
    site = Site(tmp_path / "public")
    assert site.put("releases/é 1.html", b"one")
    assert (tmp_path / "public/releases/é 1.html").read_bytes() == b"one"
    assert names(tmp_path / "public") == ["releases/é 1.html"]


def test_unchanged_documents_are_left_alone(tmp_path):
    """A document that is the same as before keeps its file and its time of modification."""
    site = Site(tmp_path)
    site.put("rss.xml", b"one")
    before = (tmp_path / "rss.xml").stat()
    assert not site.put("rss.xml", b"one")
    after = (tmp_path / "rss.xml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert site.put("rss.xml", b"two")
    assert (tmp_path / "rss.xml").read_bytes() == b"two"
    assert site.put("rss.xml", b"two", new=True)


def test_readers_see_a_file_whole(tmp_path):
    """Whoever reads a feed while it is replaced gets the old one or the new one, never a part."""
    site = Site(tmp_path)
    old, new = b"a" * 300_000, b"b" * 300_000
    site.put("rss.xml", old)
    over = threading.Event()

    def write():
        for turn in range(200):
            site.put("rss.xml", old if turn % 2 else new, new=True)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        seen.add((tmp_path / "rss.xml").read_bytes())
    writer.join()
    seen.add((tmp_path / "rss.xml").read_bytes())
    assert seen <= {old, new}


def test_anyone_may_read_the_site(tmp_path):
    """Files and folders of the site are readable by a web server of another user, as far as the umask allows."""
    before = os.umask(0o022)
    try:
        Site(tmp_path / "public").put("releases/a.html", b"x")
    finally:
        os.umask(before)
    modes = [(tmp_path / "public" / part).stat().st_mode & 0o777 for part in (".", "releases", "releases/a.html")]
    assert modes == [0o755, 0o755, 0o644]


@pytest.mark.parametrize("path", ["../a", "releases/../../a", "/etc/passwd", "", "releases//a", ".", "a\0b"])
def test_no_file_outside_the_folder(tmp_path, path):
    """An id that would lead out of the site folder is refused, and nothing is written."""
    site = Site(tmp_path / "public")
    with pytest.raises(SiteRefused, match="no path inside"):
        site.put(path, b"x")
    with pytest.raises(SiteRefused, match="no path inside"):
        site.remove(path)
    assert names(tmp_path) == []


def test_what_a_killed_run_left_is_swept(tmp_path):
    """Half-written files of a killed run are gone after the next start; all others stay."""
    (tmp_path / "releases").mkdir()
    for name in (".embargo-1.tmp", "releases/.embargo-22.tmp", "releases/a.html", ".htaccess"):
        (tmp_path / name).write_bytes(b"x")
    Site(tmp_path).sweep()
    assert names(tmp_path) == [".htaccess", "releases/a.html"]


def test_the_folder_may_vanish(tmp_path):
    """A site folder that someone deletes is made again with the next document."""
    site = Site(tmp_path / "public")
    site.put("releases/a.html", b"x")
    (tmp_path / "public/releases/a.html").unlink()
    (tmp_path / "public/releases").rmdir()
    (tmp_path / "public").rmdir()
    assert site.put("releases/a.html", b"x")


def test_a_page_can_be_taken_away(tmp_path):
    """Removing a page that is not there is no error."""
    site = Site(tmp_path)
    site.put("releases/a.html", b"x")
    site.remove("releases/a.html")
    site.remove("releases/a.html")
    assert names(tmp_path) == []


def test_a_failure_names_the_file_and_the_remedy(tmp_path):
    """When a page can't be written, the message names the file and what to do, and nothing half-written stays."""
    site = Site(tmp_path)
    (tmp_path / "rss.xml").mkdir()
    with pytest.raises(SiteRefused) as caught:
        site.put("rss.xml", b"x", new=True)
    assert str(caught.value) == (
        f"{tmp_path}/rss.xml: This can't be written: Is a directory. See that it is a folder the service's user can write to."
    )
    with pytest.raises(SiteRefused):
        site.put("rss.xml", b"x")
    with pytest.raises(SiteRefused):
        site.remove("rss.xml")
    with pytest.raises(SiteRefused, match=r"File name too long\. Give the record a shorter id"):
        site.put("x" * 300, b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SiteRefused, match="file"):
        Site(tmp_path / "file")
    assert names(tmp_path) == ["file"]
