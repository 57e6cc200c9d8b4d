"""Attachments of a record: taken into the store with it, kept as secret as its text, gone from nowhere but by command."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import Office, ahead, eventually, words
from sqlalchemy.exc import IntegrityError

from scheduler.cli.records import load
from scheduler.errors import EmbargoError, FileRefused, StoreDamaged
from scheduler.pipeline.accept import Outcome
from scheduler.record import State
from scheduler.store import attachments, open_store, records
from scheduler.store.schema import revision_attachments

LIFT = "2026-12-01 09:00 America/New_York"
PDF = b"%PDF-1.7\n1 0 obj\n<< /Title (Quokzephyr) >>\nendobj\ntrailer\n<<>>\n%%EOF\n"
OTHER = PDF.replace(b"Quokzephyr", b"Wombatglyph")
KEYS = "attachments: [report.pdf]\n"


def put(office, data=PDF, name="report.pdf"):
    path = office.folder / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def again(office, name="one.md"):
    return office.take(office.folder / "records" / name)


def kept(office, record_id="one"):
    """The names and bytes that would go out with a record."""
    [release] = records.releases(office.store, [record_id])
    return {each.name: attachments.read(office.store, each.digest) for each in release.attachments}


def large(seed, size=24_000_000):
    return b"%PDF-1.7\n" + random.Random(seed).randbytes(size) + b"\n%%EOF\n"


def test_the_bytes_are_in_the_store(office):
    """A record is held with its attachments: their bytes are in the store, and nowhere else than in their own file."""
    put(office)
    standing = office.record(keys="attachments:\n- {file: report.pdf, title: The report}\n")
    assert standing.state is State.HELD
    [release] = records.releases(office.store, ["one"])
    [attachment] = release.attachments
    assert (attachment.name, attachment.media_type, attachment.size) == ("report.pdf", "application/pdf", len(PDF))
    assert (attachment.title, attachment.digest) == ("The report", hashlib.sha256(PDF).hexdigest())
    assert release.address_of_attachment(attachment) == "releases/one/report.pdf"
    assert kept(office) == {"report.pdf": PDF}
    if office.store.path is None:
        assert office.raw("SELECT count(*) FROM attachment_chunks") == [(1,)]
    office.store.checkpoint()
    places = [path for path in office.folder.rglob("*") if path.is_file() and b"Quokzephyr" in path.read_bytes()]
    assert {path.name.removesuffix("-wal") for path in places} == (
        {"report.pdf", "embargo.db"} if office.store.path else {"report.pdf"}
    )
    assert json.loads(office.trail()[-1].detail)["attachments"] == attachment.digest
    assert again(office)[0] is Outcome.UNCHANGED


def test_an_attachment_of_many_pieces(office):
    """A large attachment is kept to the byte."""
    data = large(1)
    put(office, data)
    office.record(keys=KEYS)
    assert kept(office) == {"report.pdf": data}
    assert office.raw("SELECT count(*) FROM attachment_chunks")[0][0] > 90


def test_a_changed_attachment_amends(office):
    """An attachment changed before the lift amends its record, though the record's own file is as it was."""
    put(office)
    office.record(keys=KEYS)
    put(office, OTHER)
    outcome, standing = again(office)
    assert (outcome, standing.revision) == (Outcome.AMENDED, 2)
    assert kept(office) == {"report.pdf": OTHER}
    assert again(office)[0] is Outcome.UNCHANGED
    put(office)
    assert again(office)[1].revision == 3
    assert kept(office) == {"report.pdf": PDF}
    assert office.raw("SELECT count(*) FROM attachments") == [(2,)]


@pytest.mark.parametrize("change", ["bytes", "alt", "name", "gone"])
def test_a_changed_attachment_corrects(office, change):
    """After the release an attachment that changes, in its bytes, its words or its name, or that goes, is a correction."""
    png = b"\x89PNG\r\n\x1a\n IEND"
    put(office, png, "chart.png")
    path = office.put(
        "one.md", f"---\ntitle: A\nembargo: {LIFT}\nattachments:\n- {{file: chart.png, alt: Old.}}\n---\nB.\n"
    )
    office.take(path)
    office.clock.pass_by(days=2)
    office.lift()
    assert again(office)[0] is Outcome.UNCHANGED
    text = path.read_text("utf-8")
    if change == "bytes":
        put(office, png + png, "chart.png")
    elif change == "alt":
        path.write_text(text.replace("Old.", "New."), "utf-8")
    elif change == "name":
        put(office, png, "map.png")
        path.write_text(text.replace("chart.png", "map.png"), "utf-8")
    else:
        path.write_text(text.replace("attachments:\n- {file: chart.png, alt: Old.}\n", ""), "utf-8")
    outcome, standing = again(office)
    assert (outcome, standing.revision) == (Outcome.CORRECTED, 2)
    assert len(kept(office)) == (change != "gone")


def test_a_file_that_vanishes_takes_nothing_away(office):
    """An attachment whose file is gone after it was taken in goes out all the same, through edits of the text too."""
    path = put(office)
    office.record(keys=KEYS)
    path.unlink()
    assert again(office)[0] is Outcome.UNCHANGED
    record = office.folder / "records" / "one.md"
    record.write_text(record.read_text().replace("A body.", "Another body."))
    outcome, standing = again(office)
    assert (outcome, standing.state) == (Outcome.AMENDED, State.HELD)
    assert kept(office) == {"report.pdf": PDF}
    record.write_text(record.read_text().replace("report.pdf", "other.pdf"))
    with pytest.raises(FileRefused, match="Attachment 1 is not there"):
        again(office)
    assert office.get().state is State.ATTENTION


def test_a_missing_attachment_is_waited_for(office):
    """A record whose attachment is not there is refused with its line; it is taken in when the attachment has come."""
    with pytest.raises(FileRefused, match=r"one\.md:4: Attachment 1 is not there.*Put the file there") as refused:
        office.record(keys=KEYS)
    assert "report.pdf" not in str(refused.value)
    assert len(records.refused(office.store)) == 1
    put(office)
    assert again(office)[0] is Outcome.ACCEPTED
    assert records.refused(office.store) == []


@pytest.mark.parametrize(
    "item", ["Jane_Roe.pdf", "{file: chart.png, alt: Jane Roe speaks}", "{file: report.pdf, title: 'For Roe, Jane'}"]
)
def test_a_withheld_name_at_an_attachment(office, item):
    """A withheld name in an attachment's name, alt text or title is attention, and is not repeated."""
    for name in ("Jane_Roe.pdf", "report.pdf"):
        put(office, name=name)
    put(office, b"\x89PNG\r\n\x1a\n IEND", "chart.png")
    standing = office.record(keys=f"withhold: [Jane Roe]\nattachments:\n- {item}\n")
    assert standing.state is State.ATTENTION
    assert "withheld name 1 of 1 in attachments" in standing.reason


def test_the_same_bytes_are_kept_once(office):
    """The same bytes, under several names and in several records, are kept once."""
    put(office)
    put(office, name="copy.pdf")
    office.record(keys="attachments: [report.pdf, copy.pdf]\n")
    office.record("two", keys=KEYS)
    assert kept(office) == {"report.pdf": PDF, "copy.pdf": PDF}
    assert kept(office, "two") == {"report.pdf": PDF}
    assert office.raw("SELECT count(*) FROM attachments") == office.raw("SELECT count(*) FROM attachment_chunks")
    assert office.raw("SELECT count(*) FROM revision_attachments") == [(2,)]


def test_a_record_moved_with_its_attachments(office):
    """A record's file that is moved, with its attachments or without them, is the same record, and nothing is amended."""
    put(office)
    office.record(keys=KEYS)
    (office.folder / "records" / "sub").mkdir()
    (office.folder / "records" / "one.md").rename(office.folder / "records" / "sub" / "one.md")
    assert again(office, "sub/one.md")[0] is Outcome.UNCHANGED
    (office.folder / "records" / "report.pdf").rename(office.folder / "records" / "sub" / "report.pdf")
    (office.folder / "records" / "sub" / "one.md").rename(office.folder / "records" / "sub" / "other.md")
    assert again(office, "sub/other.md")[0] is Outcome.UNCHANGED
    assert office.get().revision == 1


def test_an_attachment_that_changes_while_it_is_taken_in(office):
    """An attachment that changes, or goes, while it is being taken in: nothing is taken in, and nothing of it is left."""
    path = put(office)
    record = office.put("one.md", f"---\ntitle: A\nembargo: {LIFT}\n{KEYS}---\nB.\n")
    for change in (lambda: path.write_bytes(OTHER), path.unlink):
        path.write_bytes(PDF)
        busy = replace(office)
        busy.parts = _Rehearsing(office.parts, change)
        with pytest.raises(EmbargoError, match="changed while it was being taken in") as caught:
            busy.take(record)
        assert not isinstance(caught.value, FileRefused)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert records.find(office.store, "one") is None
    assert office.raw("SELECT count(*) FROM attachment_chunks") == [(0,)]
    assert office.events() == []


class _Rehearsing:
    """The parts, with something that happens after the file was read and before it is taken in."""

    def __init__(self, parts, meanwhile):
        self._parts = parts
        self._meanwhile = meanwhile

    def rehearse(self, release):
        self._parts.rehearse(release)
        self._meanwhile()


def taken(office, data, pieces, now=None):
    return attachments.keep(
        office.store, digest=hashlib.sha256(data).hexdigest(), chunks=pieces, now=now or office.clock()
    )


def test_a_lift_passes_an_attachment_that_is_being_taken_in(office):
    """What falls due while an attachment is being taken in is released between two of its pieces."""
    office.record(embargo="none")
    lifted = []

    def pieces():
        yield b"one"
        lifted.extend(office.lift())
        yield b"two"

    assert taken(office, b"onetwo", pieces())
    assert [lift.id for lift in lifted] == ["one"]


def test_two_who_take_the_same_in(office):
    """The same bytes taken in by two processes at once are kept once, and whole."""

    def pieces():
        yield b"one"
        assert taken(office, b"onetwo", [b"onet", b"wo"])
        yield b"two"

    assert taken(office, b"onetwo", pieces())
    assert attachments.read(office.store, hashlib.sha256(b"onetwo").hexdigest()) == b"onetwo"
    assert office.raw("SELECT count(*) FROM attachment_chunks") == [(2,)]


def test_what_was_broken_off_is_swept(office):
    """What a killed process left of an attachment is swept after a day, and never taken for the whole."""
    office.raw("INSERT INTO attachment_chunks VALUES (?, 0, ?)", parameters=(f"{0:020} lost", b"one"))
    taken(office, b"one", [b"one"])
    assert office.raw("SELECT upload FROM attachment_chunks WHERE upload LIKE '%lost'") == []

    def pieces():
        yield b"half"
        taken(office, b"other", [b"other"], now=office.clock() + timedelta(days=2))
        yield b"half"

    # One whose clock is two days ahead sweeps what is on its way: then it does not count as whole.
    assert not taken(office, b"halfhalf", pieces())
    assert office.raw("SELECT count(*) FROM attachment_chunks") == [(2,)]


def test_no_revision_without_its_attachments(office):
    """The database itself refuses a revision that refers to an attachment it has not got, and tells damage from emptiness."""
    put(office)
    office.record(keys=KEYS)
    with pytest.raises(IntegrityError), office.store.write() as db:
        db.execute(revision_attachments.insert().values(record_id="one", revision=1, digest="0" * 64))
    with pytest.raises(StoreDamaged):
        attachments.read(office.store, "0" * 64)
    office.raw("DELETE FROM attachment_chunks")
    with pytest.raises(StoreDamaged, match="not whole"):
        kept(office)


@pytest.mark.sqlite_only("a server's database is backed up with pg_dump")
def test_a_backup_has_them(office):
    """A backup holds the attachments too."""
    put(office)
    office.record(keys=KEYS)
    office.store.backup(office.folder / "copy.db")
    copy = Office(office.folder, office.parts, open_store(f"sqlite:///{office.folder}/copy.db"))
    assert kept(copy) == {"report.pdf": PDF}
    copy.store.close()


def test_where_attachments_may_lie(office):
    """An attachment lies in the configured records folder of its record, or beside it where that is in none."""
    settings = office.parts.config
    home = settings.records[0].folder
    (home / "sub").mkdir(parents=True, exist_ok=True)
    (home / "logo.pdf").write_bytes(PDF)
    (home / "sub" / "a.md").write_text("---\ntitle: A\nattachments: ../logo.pdf\n---\nB.\n")
    assert load(home / "sub" / "a.md", settings).found.enclosed[0].attachment.size == len(PDF)
    assert "leads out" in str(load(home / "sub" / "a.md").found)


# --- the running service


def store_of(house):
    return open_store(house.url)


def in_store(house, record_id="one"):
    store = store_of(house)
    try:
        [release] = records.releases(store, [record_id])
        return release.revision, {each.name: attachments.read(store, each.digest) for each in release.attachments}
    finally:
        store.close()


def everywhere_public(house):
    return b"\0".join(
        [house.log.encode(), *(str(path).encode() for path in (house.folder / "public").rglob("*"))]
        + [path.read_bytes() for path in (house.folder / "public").rglob("*") if path.is_file()]
    )


def test_the_service_takes_attachments_in(house):
    """The service waits for an attachment, follows its changes, keeps it when its file goes, and shows nothing of it."""
    house.start()
    folder = house.folder / "records"
    (folder / "Quokzephyr.pdf").write_bytes(PDF[:-7])
    text = f"---\ntitle: A\nembargo: {words(ahead(86400))}\nattachments: [Quokzephyr.pdf]\n---\nB.\n"
    house.write("one.md", text)
    eventually(lambda: "file_refused" in house.log, "the broken-off attachment to be refused")
    [refused] = house.json("queue")["refused"]
    assert (refused["line"], "breaks off" in refused["problem"]) == (4, True)
    (folder / "Quokzephyr.pdf").write_bytes(PDF)
    eventually(lambda: house.state("one") == "held", "the record to be held")
    assert in_store(house) == (1, {"Quokzephyr.pdf": PDF})
    (folder / "Quokzephyr.pdf").write_bytes(PDF + PDF)
    eventually(lambda: in_store(house)[0] == 2, "the attachment's change to be noticed")
    assert in_store(house) == (2, {"Quokzephyr.pdf": PDF + PDF})
    (folder / "Quokzephyr.pdf").unlink()
    house.write("two.md", text.replace("attachments: [Quokzephyr.pdf]\n", ""))
    eventually(lambda: house.state("two") == "held", "the next record to be held")
    house.stop()
    house.start()  # every file is read anew
    house.write("three.md", text.replace("Quokzephyr.pdf", "missing.pdf"))
    eventually(lambda: house.log.count("file_refused") == 2, "the record without its attachment to be refused")
    assert house.state("one") == "held"
    assert in_store(house) == (2, {"Quokzephyr.pdf": PDF + PDF})
    assert b"quokzephyr" not in everywhere_public(house).lower()


def test_the_service_is_killed_over_an_attachment(house):
    """A service that is killed while it takes large attachments in has taken the record in whole, or not at all."""
    data = {f"{number}.pdf": large(number) for number in range(4)}
    for name, content in data.items():
        (house.folder / "records" / name).write_bytes(content)
    house.write("one.md", f"---\ntitle: A\nembargo: {words(ahead(86400))}\nattachments: [{', '.join(data)}]\n---\nB.\n")
    house.start()
    eventually(lambda: house.raw("SELECT count(*) FROM attachment_chunks")[0][0] > 100, "some of the pieces")
    house.kill()
    assert house.raw("SELECT count(*) FROM records") == [(0,)]
    assert house.raw("SELECT count(*) FROM attachments")[0][0] < 4
    house.start()
    eventually(lambda: house.state("one") == "held", "the record to be held")
    assert in_store(house) == (1, data)


def test_a_person_sees_what_is_attached(house):
    """`embargo check` and `embargo show` list the attachments, and say which image is not shown for want of words."""
    (house.folder / "records" / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n IEND")
    path = house.write("one.md", f"---\ntitle: A\nembargo: {words(ahead(86400))}\nattachments: chart.png\n---\nB.\n")
    assert "chart.png, 13 bytes (no `alt`, so not shown)" in house.run("check").stdout
    [checked] = house.json("check")["records"]
    assert [each["size"] for each in checked["attachments"]] == [13]
    assert house.run("add", str(path)).returncode == 0
    assert "chart.png, 13 bytes" in house.run("show", "one").stdout
    assert house.json("show", "one")["attachments"] == checked["attachments"]
    (house.folder / "records" / "chart.png").unlink()
    assert house.run("check").returncode == 0
    house.write("two.md", path.read_text("utf-8"))
    [_, refused] = house.json("check")["records"]
    assert (refused["state"], refused["line"]) == ("refused", 4)
