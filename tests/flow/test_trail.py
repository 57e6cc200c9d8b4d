"""The trail: what a row is, how every tampering is found, how its end is noted, and how an auditor checks an export."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import signal
import stat
import subprocess
import sys
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW, SQLITE
from hypothesis import given
from hypothesis import strategies as st

from scheduler.errors import EmbargoError, StoreRefused
from scheduler.store import heads, moves, trail

GUIDE = (Path(__file__).parents[2] / "docs" / "trail.md").read_text("utf-8")
COLUMNS = "at, actor, event, record_id, revision, detail, previous, hash"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def hashed(row):
    """The hash of a row (a mapping with the names of an export), made as docs/trail.md says, without our code."""
    return hashlib.sha256(
        json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


@pytest.fixture
def chain(office):
    """Seven decisions about three records, with the triggers that guard the trail taken away."""
    office.record()
    office.amend()
    office.record("two")
    office.lift_by_hand("two")
    office.withdraw()
    office.retract("two")
    office.record("three")
    office.raw("DROP TRIGGER trail_refuses_update", "DROP TRIGGER trail_refuses_delete")
    return office


def verified(office):
    with office.store.read() as db:
        return trail.verify(db)


def noted(office, **passed):
    """Notes the trail's end some time later."""
    office.clock.pass_by(**passed)
    return heads.note(office.store, now=office.clock())


def held_against(office):
    lines = heads.noted(office.store)
    with office.store.read() as db:
        return heads.against(db, lines, file=heads.beside(office.store))


def chained_anew(office, after):
    """What a person who owns the database can do: every row after `after` is given a hash that fits, and so is the end."""
    names = {"record_id": "record"}
    previous = office.raw("SELECT hash FROM trail WHERE seq = ?", parameters=(after,))[0][0]
    columns = ("seq", "at", "actor", "event", "record_id", "revision", "detail")
    rows = office.raw(f"SELECT {', '.join(columns)} FROM trail WHERE seq > {after} ORDER BY seq")
    for row in rows:
        content = {names.get(name, name): value for name, value in zip(columns, row, strict=True)}
        digest = hashed({**content, "previous": previous})
        office.raw("UPDATE trail SET previous = ?, hash = ? WHERE seq = ?", parameters=(previous, digest, row[0]))
        previous = digest
    office.raw("UPDATE trail_head SET seq = (SELECT max(seq) FROM trail), hash = ?", parameters=(previous,))


def test_canonical_json_is_that_of_the_rfc():
    """Strings, literals and the order of members are those of RFC 8785, tried on its own examples."""
    assert trail.canonical({"string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f"}) == (
        '{"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert trail.canonical({"b": None, "c": True, "a": False}) == '{"a":false,"b":null,"c":true}'
    unordered = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(trail.canonical(unordered))) == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]
    controls = "".join(map(chr, range(0x20))) + "\x7f\u2028"
    assert trail.canonical({"a": controls}) == (
        '{"a":"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f'
        "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f"
        '\x7f\u2028"}'
    )


def test_numbers_that_a_reader_could_take_for_others_are_refused():
    """An integer that a double can't hold, and a fraction, are refused instead of written in a form that readers differ on."""
    assert trail.canonical({"n": 2**53 - 1, "m": -(2**53) + 1, "z": 0}) == (
        '{"m":-9007199254740991,"n":9007199254740991,"z":0}'
    )
    for number in (2**53, -(2**53)):
        with pytest.raises(ValueError, match="as a string"):
            trail.canonical({"n": number})
    with pytest.raises(TypeError, match="float"):
        trail.canonical({"n": 1.5})


@given(st.dictionaries(TEXT, TEXT | st.none() | st.integers(-(2**53) + 1, 2**53 - 1)), TEXT, TEXT, st.none() | TEXT)
def test_what_is_hashed_is_canonical_json(detail, actor, event, record_id):
    """Whatever the words, a row is hashed as the canonical JSON of its columns, and reads back as they were."""
    line = trail._Line(1, 2, actor, event, record_id, None, trail.canonical(detail), trail.GENESIS)
    row = {
        "actor": actor,
        "at": 2,
        "detail": trail.canonical(detail),
        "event": event,
        "previous": trail.GENESIS,
        "record": record_id,
        "revision": None,
        "seq": 1,
    }
    assert line.text() == trail.canonical(row)
    assert json.loads(line.text()) == row
    assert json.loads(line.detail) == detail
    assert line.digest() == hashed(row)


def test_words_that_are_no_text_are_refused(office):
    """A reason with bytes that are no text is refused in a sentence, and nothing is changed."""
    office.record()
    with pytest.raises(EmbargoError, match="bytes that are no text"):
        moves.withdraw(office.store, **{**office.person(), "reason": "caf\udce9"})
    assert office.get().state == "held"
    assert verified(office) == (1, [])


def test_an_untouched_trail_is_sound(office):
    """A trail that nobody touched is found sound, row by row, from the first on."""
    assert verified(office) == (0, [])
    office.record()
    assert verified(office) == (1, [])


def test_the_trail_tells_every_move(chain):
    """Whatever happens to a record has its row on the trail, in order, with who did it."""
    assert [(row.event, row.actor) for row in chain.trail("two")] == [
        ("accepted", "service"),
        ("released", "editor@desk"),
        ("retracted", "editor@desk"),
    ]
    assert chain.events("one") == ["accepted", "rescheduled", "withdrawn"]
    with chain.store.read() as db:
        assert trail.head(db) == 7
        assert trail.touched(db, after=3, events=["released", "retracted", "withdrawn"]) == ["two", "one"]
    assert chain.trail()[0].at == NOW


def test_the_hash_is_made_as_the_guide_says(chain):
    """Each row's hash is that of its actor, instant, event and words and of the row before it, made as the guide says."""
    previous = trail.GENESIS
    for row in chain.trail():
        at = (row.at - NOW) // timedelta(microseconds=1) + 1_796_040_000_000_000
        content = {"seq": row.seq, "at": at, "actor": row.actor, "event": row.event, "record": row.record_id}
        content |= {"revision": row.revision, "detail": row.detail, "previous": previous}
        previous = hashed(content)
        assert row.hash == previous
    assert verified(chain) == (7, [])


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["UPDATE trail SET actor = 'nobody' WHERE seq = 3"], ["row 3 (accepted, record two): it was changed"]),
        (["UPDATE trail SET at = at + 1 WHERE seq = 4"], ["row 4 (released, record two): it was changed"]),
        (["UPDATE trail SET at = 'soon' WHERE seq = 4"], ["row 4 (released, record two): it was changed"]),
        (["UPDATE trail SET detail = x'00' WHERE seq = 1"], ["row 1 (accepted, record one): it was changed"]),
        (["UPDATE trail SET record_id = NULL WHERE seq = 5"], ["row 5 (withdrawn): it was changed"]),
        (["UPDATE trail SET hash = '00' WHERE seq = 7"], ["row 7 (accepted, record three): it was changed"]),
        (["DELETE FROM trail WHERE seq = 3"], ["before row 4 (released, record two): 1 row is missing."]),
        (["DELETE FROM trail WHERE seq < 3"], ["before row 3 (accepted, record two): 2 rows are missing."]),
        (
            ["DELETE FROM trail WHERE seq > 5"],
            ["the end: the store says row 7 is the newest, the trail ends with row 5."],
        ),
        (["DELETE FROM trail"], ["the end: the store says row 7 is the newest, the trail ends with row 0."]),
        (["DELETE FROM trail_head"], ["the end: the store says row 0 is the newest, the trail ends with row 7."]),
        (  # two rows change places
            [
                "UPDATE trail SET seq = -3 WHERE seq = 3",
                "UPDATE trail SET seq = 3 WHERE seq = 4",
                "UPDATE trail SET seq = 4 WHERE seq = -3",
            ],
            [
                "row 3 (released, record two): it was written as row 4",
                "row 4 (accepted, record two): it was written as row 3",
            ],
        ),
        (  # one is removed, and the others are numbered anew
            ["DELETE FROM trail WHERE seq = 3", "UPDATE trail SET seq = seq - 1 WHERE seq > 3"],
            [
                "row 3 (released, record two): it was written as row 4; it was moved, or a row before it was removed.",
                "the end: the store says row 7",
            ],
        ),
        (  # one is inserted, and the others are numbered anew
            [
                "UPDATE trail SET seq = -seq WHERE seq > 2",
                "UPDATE trail SET seq = 1 - seq WHERE seq < 0",
                f"INSERT INTO trail (seq, {COLUMNS}) SELECT 3, {COLUMNS} FROM trail WHERE seq = 1",
            ],
            [
                "row 3 (accepted, record one): it was written as row 1",
                "row 4 (accepted, record two): it was written as row 3",
                "the end: ",
            ],
        ),
        (
            [f"INSERT INTO trail (seq, {COLUMNS}) SELECT 8, {COLUMNS} FROM trail WHERE seq = 7"],
            ["row 8 (accepted, record three): it was written as row 7; ", "the end: "],
        ),
        (
            [f"INSERT INTO trail (seq, {COLUMNS}) SELECT 0, {COLUMNS} FROM trail WHERE seq = 1"],
            ["row 0 (accepted, record one): it was written as row 1; "],
        ),
    ],
)
def test_a_touched_trail_is_found_out(chain, statements, says):
    """A row that was edited, removed, inserted, moved or cut off is found and named, in one sentence each."""
    if chain.store.path is None and "'soon'" in statements[0]:
        # There nobody can tamper in this way: the database itself refuses it.
        pytest.skip("a server's columns hold nothing but what their type says")
    chain.raw(*statements)
    _, broken = verified(chain)
    assert len(broken) == len(says)
    for found, sentence in zip(broken, says, strict=True):
        assert found.startswith(sentence)


@pytest.mark.sqlite_only("a server's columns hold nothing but what their type says")
def test_a_value_of_the_wrong_form_is_found_out_in_the_store_too(chain):
    """A row of the store whose instant is none is named, though everything after it was chained anew."""
    chain.raw("UPDATE trail SET at = 'soon' WHERE seq = 3")
    chained_anew(chain, after=2)
    [problem] = verified(chain)[1]
    assert problem.startswith("row 3 (accepted, record two): it was changed after it was written: ")
    assert problem.endswith("its `at` is not microseconds since 1970, a whole number.")


def test_a_row_that_was_given_a_new_hash_is_found_by_the_next(chain):
    """A row that was changed hash and all is named, because the row after it was written after another."""
    [row] = chain.raw("SELECT seq, at, event, record_id, revision, detail, previous FROM trail WHERE seq = 3")
    names = ("seq", "at", "event", "record", "revision", "detail", "previous")
    forged = {**dict(zip(names, row, strict=True)), "actor": "nobody"}
    chain.raw("UPDATE trail SET actor = 'nobody', hash = ? WHERE seq = 3", parameters=(hashed(forged),))
    assert verified(chain)[1] == [
        "row 3 (accepted, record two): it was changed after it was written, or put in another's place."
    ]


def test_a_wholly_broken_trail_is_told_in_few_words(chain):
    """Of a trail with many broken places the first are told one by one and the others counted."""
    entries = [trail.Entry(event="noise") for _ in range(100)]
    with chain.store.write() as db:
        trail.append(db, at=NOW, actor="a", entries=entries)
    chain.raw("UPDATE trail SET actor = 'nobody'")
    count, broken = verified(chain)
    assert (count, len(broken), broken[-1]) == (107, 51, "and 57 more.")


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_the_end_is_noted_when_it_has_changed(chain):
    """The newest row is noted in a file beside the database that only its owner reads, once for each that is new."""
    assert noted(chain) == heads.Head(seq=7, hash=chain.trail()[-1].hash, at=NOW)
    assert noted(chain, minutes=1) is None
    chain.record("four")
    assert noted(chain, minutes=1) == heads.Head(seq=8, hash=chain.trail()[-1].hash, at=chain.clock())
    file = heads.beside(chain.store)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name == "embargo.db.heads"
    assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == [7, 8]
    assert held_against(chain) == (2, [])


def test_nothing_is_noted_of_an_empty_trail(office):
    """Before the first decision there is nothing to note, and nothing to hold the trail against."""
    assert noted(office) is None
    assert held_against(office) == (0, [])


def test_what_the_service_knows_is_not_noted_again(chain):
    """The head that was noted last is known by itself too, for a database on a server has no file beside it."""
    found = noted(chain)
    if file := heads.beside(chain.store):
        file.unlink()
    assert heads.note(chain.store, now=NOW, after=found) is None
    chain.record("four")
    assert heads.note(chain.store, now=NOW, after=found).seq == 8


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_an_end_cut_off_and_chained_anew_shows(chain):
    """A trail whose end was cut off, written anew and chained anew is sound by itself; the noted heads give it away."""
    first = noted(chain)
    chain.record("four")
    chain.record("five")
    noted(chain, minutes=1)
    chain.raw("DELETE FROM trail WHERE seq = 9", "UPDATE trail SET actor = 'nobody' WHERE seq = 8")
    chained_anew(chain, after=7)
    assert verified(chain) == (8, [])
    agreed, [sentence] = held_against(chain)
    assert agreed == 1
    assert sentence.startswith(
        "row 9, noted as the newest at 2026-11-30T12:01:00+00:00, is gone: from the head noted at "
    )
    assert f"{first.at.isoformat()} (row 7) on the trail was cut off or written anew" in sentence
    chain.record("six")
    assert verified(chain) == (9, [])
    assert "row 9, noted as the newest at 2026-11-30T12:01:00+00:00, is another one now" in held_against(chain)[1][0]


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_a_wholly_new_chain_shows(chain):
    """A trail that was written anew from its first row differs from the first head that was noted."""
    noted(chain)
    chain.raw("UPDATE trail SET actor = 'nobody' WHERE seq = 2")
    chained_anew(chain, after=1)
    assert verified(chain) == (7, [])
    assert "is another one now: from the beginning on the trail" in held_against(chain)[1][0]


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_a_damaged_line_of_the_noted_heads_hides_no_other(chain):
    """A line that a power cut left half written is told, and the next head is noted on a line of its own."""
    file = heads.beside(chain.store)
    file.write_text('{"at":"2026-')
    noted(chain)
    for line in ("[]", '{"at":1,"hash":"","seq":1}', f'{{"at":"{NOW.isoformat()}","hash":"","seq":{2**64}}}'):
        with file.open("a") as out:
            out.write(line + "\n")
    with file.open("a") as out:
        out.write(f'{{"at":"{NOW.isoformat()}","hash":null,"seq":99}}\n')  # of a row that is not there
    agreed, broken = held_against(chain)
    assert agreed == 1
    assert [re.match(r"line (\d)", sentence)[1] for sentence in broken] == ["1", "3", "4", "5", "6"]


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_heads_that_cannot_be_noted_are_told(chain):
    """A file that can't be written is told in a sentence; the trail is not touched by that."""
    heads.beside(chain.store).mkdir()
    with pytest.raises(StoreRefused, match=r"can't be noted in .*heads: Is a directory"):
        noted(chain)
    assert verified(chain) == (7, [])


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_a_head_that_found_no_room_is_not_left_half_written(chain):
    """On a full disk a head is noted whole or not at all."""
    noted(chain)
    chain.record("four")
    file = heads.beside(chain.store)
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            heads._append(file, b"x" * 100 + b"\n", known=b"none")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert file.read_bytes() == before


# --- the export


def exported(office):
    with office.store.read() as db:
        return list(trail.export(db, now=NOW))


def test_an_export_is_the_trail_line_by_line(chain):
    """An export says what it is, gives each row exactly as it was hashed, and ends with head and count."""
    lines = exported(chain)
    first, *rows, last = map(json.loads, lines)
    assert (first["format"], first["exported_at"]) == ("embargo-trail-1", NOW.isoformat())
    hashes = [hashlib.sha256(line[:-1]).hexdigest() for line in lines[1:-1]]
    assert hashes == [row.hash for row in chain.trail()]
    assert [row["previous"] for row in rows] == [trail.GENESIS, *hashes[:-1]]
    assert last == {"count": 7, "head": hashes[-1]}
    assert trail.verify_export(lines) == (7, [])
    assert trail.verify_export([lines[0], b'{"count":0,"head":"%s"}\n' % trail.GENESIS.encode()]) == (0, [])


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (
            lambda rows: [*rows[:3], rows[3].replace(b"service", b"nobody "), *rows[4:]],
            ["row 3 (accepted, record two): it"],
        ),
        (
            lambda rows: [*rows[:7], rows[7].replace(b":", b": ", 1), rows[8]],
            ["row 7 (accepted, record three): it was c"],
        ),
        (lambda rows: [*rows[:3], *rows[4:]], ["before row 4 (released, record two): 1 row is missing."]),
        (lambda rows: [*rows[:4], rows[2], *rows[4:]], ["row 2 (rescheduled, record one): it stands after row 3;"]),
        (
            lambda rows: [*rows[:3], rows[4], rows[3], *rows[5:]],
            ["before row 4 (released, record two): 1 row is", "row 3 (accepted, record two): it stands after row 4;"],
        ),
        (
            lambda rows: [*rows[:6], rows[8]],
            ["the end: the last line says row 7 is the newest, the trail ends with row 5."],
        ),
        (lambda rows: rows[:8], ["the end: the last line, with head and count, is missing"]),
        (lambda rows: [*rows, rows[7]], ["line 10: it stands after the end."]),
        (lambda rows: [*rows[:3], b"row\n", *rows[3:]], ["line 4: it is no row of a trail."]),
        (lambda rows: [*rows[:3], b'{"seq":3}\n', *rows[3:]], ["line 4: it is no row of a trail."]),
        (lambda rows: [*rows[:3], b"[" * 100_000, *rows[3:]], ["line 4: it is no row of a trail."]),
        (lambda rows: rows[1:], ["line 1: this is no export of a trail"]),
        (lambda rows: [b"[]\n", *rows[1:]], ["line 1: this is no export of a trail"]),
        (lambda _: [], ["the end: the last line, with head and count, is missing"]),
    ],
)
def test_a_touched_export_is_found_out(chain, tamper, says):
    """An export in which a line was edited, removed, inserted, moved or cut off is found out without any store."""
    _, broken = trail.verify_export(tamper(exported(chain)))
    assert len(broken) == len(says)
    for found, sentence in zip(broken, says, strict=True):
        assert found.startswith(sentence)


def chained(lines):
    """The lines of an export with every row and the end chained anew."""
    first, *rows, last = map(json.loads, lines)
    previous, out = trail.GENESIS, [first]
    for row in rows:
        out.append({**row, "previous": previous})
        previous = hashed(out[-1])
    out.append({**last, "head": previous})
    return [
        json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for line in out
    ]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("at", None, "its `at` is not microseconds since 1970, a whole number."),
        ("at", "2026-11-30T12:00:00Z", "its `at` is not microseconds since 1970"),
        ("at", 10**15, None),
        ("at", 10**18, "its `at` is not microseconds since 1970"),
        ("at", True, "its `at` is not microseconds since 1970"),
        ("at", 1.5, "its `at` is not microseconds since 1970"),
        ("actor", None, "its `actor` is not a text."),
        ("event", 7, "its `event` is not a text."),
        ("record", ["two"], "its `record` is not a text or null."),
        ("record", None, None),
        ("revision", "1", "its `revision` is not a whole number or null."),
        ("revision", None, None),
        ("detail", None, "its `detail` is not canonical JSON of texts"),
        ("detail", {}, "its `detail` is not canonical JSON"),
        ("detail", "{}", None),
        ("detail", "[]", "its `detail` is not canonical JSON"),
        ("detail", '{"b": 1}', "its `detail` is not canonical JSON"),
        ("detail", '{"b":1,"a":2}', "its `detail` is not canonical JSON"),
        ("detail", '{"b":{}}', "its `detail` is not canonical JSON"),
        ("detail", '{"b":1.5}', "its `detail` is not canonical JSON"),
        ("detail", "[" * 100_000, "its `detail` is not canonical JSON"),
    ],
)
def test_a_value_of_the_wrong_form_is_found_out_however_well_it_is_chained(chain, key, value, says):
    """A row of an export whose value has not its type and form is refused by number and key, though its chain is sound."""
    lines = exported(chain)
    row = {**json.loads(lines[3]), key: value}
    lines = chained([*lines[:3], json.dumps(row).encode(), *lines[4:]])
    count, broken = trail.verify_export(lines)
    assert count == 7
    if says is None:
        assert broken == []
    else:
        [sentence] = broken
        assert sentence.startswith("row 3 (")
        assert f": it was changed after it was written: {says}" in sentence


def test_a_number_of_the_wrong_form_is_told_by_its_place(chain):
    """A row whose own number is none is told by its place in the export."""
    for seq in (None, "3", 3.0, True):
        lines = exported(chain)
        row = {**json.loads(lines[3]), "seq": seq}
        _, broken = trail.verify_export(chained([*lines[:3], json.dumps(row).encode(), *lines[4:]]))
        assert broken[0].startswith("row 3: it was changed after it was written: its `seq` is not a whole number.")


def test_the_first_and_the_last_line_have_their_forms_too(chain):
    """The instant and the store that an export begins with, its count and its head are refused where they are none."""
    first, *rows, last = exported(chain)
    for tamper, says in (
        ({"exported_at": None}, "line 1: it was changed: its `exported_at` is not an instant in UTC (RFC 3339)."),
        ({"exported_at": "20261130T12"}, "line 1: it was changed: its `exported_at`"),
        ({"exported_at": "2026-11-30T25:00:00+00:00"}, "line 1: it was changed: its `exported_at`"),
        ({"store": 7}, "line 1: it was changed: its `store` is not a text."),
    ):
        line = json.dumps(json.loads(first) | tamper).encode()
        [sentence] = trail.verify_export([line, *rows, last])[1]
        assert sentence.startswith(says)
    for tamper, says in (
        ({"count": "7"}, "line 9: it was changed: its `count` is not a whole number."),
        ({"count": 7.0}, "line 9: it was changed: its `count` is not a whole number."),
        ({"head": None}, "line 9: it was changed: its `head` is not 64 lower-case hexadecimal digits."),
        ({"head": json.loads(last)["head"].upper()}, "line 9: it was changed: its `head`"),
    ):
        line = json.dumps(json.loads(last) | tamper).encode()
        [sentence] = trail.verify_export([first, *rows, line])[1]
        assert sentence.startswith(says)


@pytest.mark.sqlite_only("a server's columns hold nothing but what their type says")
def test_a_row_that_is_no_row_any_more_is_not_exported(chain):
    """A row that somebody made unreadable stops the export with its number."""
    chain.raw("UPDATE trail SET detail = x'00' WHERE seq = 4")
    with pytest.raises(StoreRefused, match="Row 4 of the trail can't be exported"):
        exported(chain)


def test_an_auditor_checks_an_export_with_what_the_guide_prints(chain, tmp_path):
    """The ten lines of docs/trail.md, run as they stand with nothing but Python, pass a good export and refuse a touched one."""
    [code] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    script, export = tmp_path / "check.py", tmp_path / "trail.jsonl"
    script.write_text(code)

    def checked(lines):
        export.write_bytes(b"".join(lines))
        return subprocess.run(
            [sys.executable, "-I", "-S", str(script), str(export)], capture_output=True, text=True, check=False
        )

    good = exported(chain)
    done = checked(good)
    assert (done.returncode, done.stdout) == (0, f"7 rows, head {chain.trail()[-1].hash}\n")
    for number, line in enumerate(good):
        assert checked([*good[:number], *good[number + 1 :]]).returncode == 1
        assert checked([*good[:number], line.replace(b'"', b"'", 1), *good[number + 1 :]]).returncode == 1
    assert checked([*good, good[-2]]).returncode == 1


def test_the_guide_names_a_row_as_it_is(chain):
    """The row that docs/trail.md shows has the keys of a real one, in order, and the hash that it prints."""
    [shown] = re.findall(r"```json\n(.*?)\n```", GUIDE, re.DOTALL)
    assert list(json.loads(shown)) == list(json.loads(exported(chain)[1]))
    assert hashlib.sha256(shown.encode()).hexdigest() in GUIDE


def test_a_long_trail_is_checked_and_exported_in_little_memory(office):
    """Checking and exporting a trail takes no more memory for being long."""
    for start in range(0, 20_000, 1000):
        entries = [trail.Entry(event="noise", record_id=f"r{number}") for number in range(start, start + 1000)]
        with office.store.write() as db:
            trail.append(db, at=NOW, actor="a", entries=entries)
    tracemalloc.start()
    try:
        with office.store.read() as db:
            assert trail.verify(db) == (20_000, [])
            assert trail.verify_export(trail.export(db, now=NOW)) == (20_000, [])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# --- the commands


def test_the_commands(house):
    """`embargo trail export` writes for an auditor's eyes alone and overwrites nothing; `verify --export` needs no store."""
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 America/New_York")))
    done = house.run("trail", "export", "trail.jsonl")
    assert (done.returncode, "Written: trail.jsonl" in done.stdout) == (0, True)
    file = house.folder / "trail.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = house.run("trail", "export", "trail.jsonl")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert "can't be written" in house.run("trail", "export", "nowhere/trail.jsonl").stderr
    out = house.run("trail", "export", "-").stdout
    assert out.splitlines()[1:] == file.read_text("utf-8").splitlines()[1:]
    house.config.unlink()
    done = house.run("trail", "verify", "--export", "trail.jsonl")
    assert (done.returncode, done.stdout.strip()) == (0, "sound  1 rows, each follows on the one before it.")
    assert house.run("trail", "verify", "--export", "-", stdin=out).returncode == 0
    file.write_text(file.read_text("utf-8").replace("editor@desk", "nobody@desk"), "utf-8")
    done = house.run("trail", "verify", "--export", "trail.jsonl")
    assert done.returncode == 1
    assert "row 1 (accepted, record one): it was changed after it was written" in done.stdout
    assert "can't be read: No such file" in house.run("trail", "verify", "--export", "none").stderr


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_the_noted_heads_are_part_of_the_proof(house):
    """`embargo trail verify` and `embargo doctor` hold the noted heads against the trail and say where they part."""
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 America/New_York")))
    file = house.folder / "var/embargo.db.heads"
    [row] = house.json("trail")
    file.write_text(f'{{"at":"{NOW.isoformat()}","hash":"{row["hash"]}","seq":1}}\n')
    assert "1 noted head agrees." in house.run("trail", "verify").stdout
    assert house.json("trail", "verify") == {"rows": 1, "broken": [], "heads": 1}
    file.write_text(f'{{"at":"{NOW.isoformat()}","hash":"{row["hash"]}","seq":2}}\n')
    done = house.run("trail", "verify")
    assert (done.returncode, "row 2, noted as the newest at" in done.stdout) == (1, True)
    assert "wrong  trail: row 2, noted as the newest" in house.run("doctor").stdout


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_a_head_noted_while_the_trail_is_proved_is_no_fault(chain):
    """A running service that decides and notes while the proof is under way does not make it fail."""
    noted(chain, seconds=1)
    lines = heads.noted(chain.store)
    with chain.store.read() as db:
        assert trail.verify(db) == (7, [])
        chain.record("later")
        assert noted(chain, seconds=1).seq == 8
        assert heads.against(db, lines, file=heads.beside(chain.store)) == (1, [])


def test_the_trail_of_an_unknown_record(house):
    """`embargo trail --record` of an id that is not there says so, as `embargo show` does."""
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 America/New_York")))
    assert [row["record"] for row in house.json("trail", "--record", "one")] == ["one"]
    done = house.run("trail", "--record", "nobody")
    assert (done.returncode, "There is no record 'nobody'." in done.stderr) == (1, True)


@pytest.mark.parametrize("tamper", ["at = 'yesterday'", "at = 9000000000000000000", "detail = x'ff'"])
def test_a_row_made_unreadable_is_told_by_every_command(house, tamper):
    """A row that somebody filled with something else is named by the commands that read the trail, without a traceback."""
    if house.database != SQLITE and "'" in tamper:
        # As above.
        pytest.skip("a server's columns hold nothing but what their type says")
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 America/New_York")))
    house.raw("DROP TRIGGER trail_refuses_update", f"UPDATE trail SET {tamper}")
    for command in (["trail"], ["trail", "--json"], ["show", "one"]):
        done = house.run(*command)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "Row 1 of the trail can't be read: it was changed" in done.stderr
    assert "row 1" in house.run("trail", "verify").stdout


@pytest.mark.sqlite_only("heads are noted in a file beside it; a server's database has the log's alone")
def test_noted_heads_that_cannot_be_read_are_told(house):
    """A folder in place of the noted heads is an error of the proof and a finding of the doctor; no head at all is said."""
    house.run("add", str(house.record("one", embargo="2099-12-01 09:00 America/New_York")))
    assert "No head has been noted" in house.run("trail", "verify").stdout
    (house.folder / "var/embargo.db.heads").mkdir()
    done = house.run("trail", "verify")
    assert (done.returncode, "can't be read: Is a directory" in done.stderr) == (1, True)
    assert "wrong  trail: The noted heads" in house.run("doctor").stdout
