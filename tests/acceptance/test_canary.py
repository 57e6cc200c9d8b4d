"""Unique words in everything that is held, and a search for them, in every writing, on every surface there is."""

# ruff: noqa: RUF001  # the words are of scripts whose letters look alike, on purpose
from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import quopri
import re
import resource
import shutil
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.header import Header
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Office, ahead, eventually, locked, words

from scheduler.outlets.site import Site
from scheduler.pipeline.release import Projection
from scheduler.store import open_store

HELD = {"latin": "Quokzephyr", "greek": "Ξψζφωβδγ", "han": "龘麤鱻靐"}
"""Words that stand in nothing but what stays held to the end."""
LIFTING = {"latin": "Wombatglyph", "greek": "Χρυσοψαξβ", "han": "鸞鬱籲驫"}
"""Words of the one record that lifts, by which the search is proved."""
LATER = words(ahead(30 * 86400))
FIELDS = ("title", "summary", "topic", "attribution", "contact", "source", "body")

# --- the search


def written(word):
    """A word as it may be written: plainly, and as each coding that text meets on its way makes it."""
    for text in {word, word.lower(), word.upper()}:
        data = text.encode()
        yield from (data, text.encode("utf-16-le"), text.encode("utf-16-be"), data.hex().encode())
        yield from (b"".join(pattern % byte for byte in data) for pattern in (b"%%%02X", b"=%02X", rb"\x%02x"))
        points = [ord(sign) for sign in text]
        yield from (b"".join(form % point for point in points) for form in (b"&#%d;", b"&#x%X;", rb"\u%04x"))
        for before in range(3):  # the three ways in which the word can fall on base64's groups of three
            coded = base64.b64encode(bytes(before) + data)
            yield coded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


def pattern(stems):
    return re.compile(
        b"|".join(re.escape(form) for word in stems.values() for form in set(written(word))), re.IGNORECASE
    )


SEARCH = {"held": pattern(HELD), "lifting": pattern(LIFTING)}


def opened(data):
    """The bytes as they are, what is packed in them, and all with the lines joined that mail breaks."""
    if (start := data.find(b"\x1f\x8b\x08")) >= 0:
        with contextlib.suppress(zlib.error):
            data += zlib.decompressobj(31).decompress(data[start:])
    return data + b"\n\n" + re.sub(rb"=?\r?\n[ \t]?", b"", data)


def hits(surfaces, *which):
    """Where the words were found: each surface with the bytes around the find."""
    return [
        (name, found[max(0, match.start() - 60) : match.end() + 40])
        for name, data in surfaces.items()
        for found in [opened(name.encode("utf-8", "surrogateescape") + b"\0" + data)]
        for each in which
        if (match := SEARCH[each].search(found))
    ]


# --- the surfaces


def tree(folder, *, without=()):
    """Every file and folder below, names and bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not any(name == each or name.startswith(f"{each}/") for each in without):
            with contextlib.suppress(FileNotFoundError):  # half-written files of the moment
                found[name] = path.read_bytes() if path.is_file() else b""
    return found


def private(house):
    """Where the words may be: what was dropped in, the settings, the store, and its copies."""
    store = [str(path.relative_to(house.folder)) for path in (house.folder / "var").glob("embargo.db*")]
    # The service notes the settings it runs on, which are not the records'.
    kept = [name for name in store if name.endswith((".db", "-wal", "-shm", ".vitals", ".vitals.tmp"))]
    return ("records", "config.yaml", "templates", "copy.db", *kept)


def asked(port, request):
    """The whole answer to some bytes, whatever they are; nothing where the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as line, contextlib.suppress(OSError):
        line.sendall(request)
        answer = b""
        while part := line.recv(65536):
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        return re.sub(rb"(?im)^date: .*\r?\n?", b"", head + b"\r\n") + b"\r\n" + body
    return b""


def request(method, path, *fields):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


MALFORMED = [
    *(b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /rss.xml\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    b"GET /%zz%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
]
FLOOD = "flood"
"""More than the server reads: whether its answer outruns the end of the connection is up to the kernel."""


def http(house, ids):
    """The answers to all that a curious reader may send: every path of the site, others that may be, and what is no request."""
    paths = ["/", "/none", "/releases/", "/records/", "/config.yaml", "/var/embargo.db", "/%2e%2e/var/embargo.db", "/."]
    paths += [f"/{quote(name)}" for name in tree(house.folder / "public")]
    requests = {f"GET {path}": request("GET", path) for path in paths}
    for number, record_id in enumerate(ids):
        for shape in (
            "/releases/{}.html",
            "/releases/{}",
            "/{}",
            "/{}.html",
            "/records/{}.md",
            "/%2e%2e/records/{}.md",
        ):
            requests[f"{shape} {number}"] = request("GET", shape.format(quote(record_id)))
        target = f"/releases/{quote(record_id)}.html"
        for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PROPFIND"):
            requests[f"{method} {number}"] = request(method, target)
        requests[f"raw {number}"] = (
            f"GET /releases/{record_id}.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
    for target in ("/rss.xml", "/", "/none"):
        for field in (
            *("Range: bytes=0-9", "Range: bytes=-1", "Range: bytes=0-1,5-9", "Range: bytes=99999999-", "If-Match: *"),
            *("If-None-Match: *", 'If-None-Match: "x"', "If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT"),
            *("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT", "Accept-Encoding: gzip", "Expect: 100-continue"),
        ):
            requests[f"{target} {field}"] = request("GET", target, field)
        requests.update({f"{method} {target}": request(method, target) for method in ("HEAD", "OPTIONS", "TRACE")})
    for number, malformed in enumerate(MALFORMED):
        requests[f"malformed {number}"] = malformed
    requests[FLOOD] = b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"
    with ThreadPoolExecutor(8) as readers:
        answers = readers.map(lambda each: asked(house.port, each), requests.values())
    return dict(zip(requests, answers, strict=True))


def family(pid):
    """A process and all that descend from it."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def processes(house):
    """What the machine shows of the service's processes: arguments, environment, names, open and mapped files."""
    found = {}
    for pid in family(house.service.pid):
        place = Path("/proc") / str(pid)
        with contextlib.suppress(FileNotFoundError):
            for name in ("cmdline", "environ", "comm", "maps", "mountinfo"):
                found[f"{pid} {name}"] = (place / name).read_bytes()
            for link in [*(place / "fd").iterdir(), place / "cwd", *place.glob("task/*/comm")]:
                with contextlib.suppress(FileNotFoundError):
                    found[f"{pid} {link.name}"] = (
                        os.fsencode(link.readlink()) if link.is_symlink() else link.read_bytes()
                    )
    return found


COMMANDS = [
    *(["doctor"], ["doctor", "--json"], ["trail", "verify"], ["trail", "verify", "--json"], ["backup", "copy.db"]),
    *(["backup", "copy.db"], ["mail", "ledger"], ["clock"], ["worker", "--once"], ["run", "-v"], ["init", "other"]),
    *(["show", "none"], ["preview", "open", "--as", "mail"], ["trail", "--record", "open"]),
    *(["withdraw", "open", "--reason", "x"], ["lift", "none", "--reason", "x"], ["explain", "noon"], ["--help"]),
]


def commands(house):
    """What commands say that were asked about something else, on both channels."""

    def output(command):
        done = house.run(*command)
        said = done.stdout + done.stderr
        if command[0] == "doctor":  # it tells of the lists, which are the settings' own
            said = said.replace("list quokzephyr-list", "list")
        return said.encode()

    # The second backup finds the first one there.
    with ThreadPoolExecutor(3) as people:
        return {
            f"{number}: {' '.join(each)}": said
            for number, (each, said) in enumerate(zip(COMMANDS, people.map(output, COMMANDS), strict=True))
        }


# --- the newsroom


def worded(stems, *, tag):
    """A word of each script for each field; they begin alike, so that one search finds them all."""
    return {field: " ".join(f"{stem}{field}{tag}" for stem in stems.values()) for field in FIELDS}


def text(stems, *, tag, embargo, keys="", body=""):
    """A record file with a word of each script in every field."""
    word = worded(stems, tag=tag)
    lines = [
        *("---", f"title: {word['title']}", f"summary: {word['summary']}", f"topics: [{word['topic']}]"),
        *(f"attribution: {word['attribution']}", f"contact: {word['contact']}"),
        f"source: https://www.example.org/{word['source'].replace(' ', '/')}",
        f"withhold: [{stems['latin']}withheld Person]",
        *([f"embargo: {embargo}"] if embargo else []),
        *([keys] if keys else []),
        *("---", word["body"], body, ""),
    ]
    return "\n".join(lines)


def call(stem, embargo):
    """A transcript whose speakers and questions carry the word."""
    return (
        f"---\ntitle: {stem} call\nembargo: {embargo}\n---\nMODERATOR:  Welcome.  Let us turn to {stem}speaker One.\n\n"
        f"{stem.upper()}SPEAKER ONE:  Thank you.  {stem}body figures.\n\n"
        f"MODERATOR:  Let’s go to the line of {stem}asker Smith from {stem}outlet Radio.\n\n"
        f"QUESTION:  Thank you.  Is {stem}question so?\n\n{stem.upper()}SPEAKER ONE:  It is.\n"
    )


TRAP = """{% if release.language == "tlh" %}{{ release[release.title] }}{% endif %}
{% if release.language == "sux" %}{{ release.title.encode("ascii", "strict") }}{% endif %}
{% if release.language == "akk" %}{{ {}[release.summary] }}{% endif %}
{{ release.title }}
"""

DROPPED = {
    "held": text(HELD, tag="held", embargo=LATER, keys="lists: [quokzephyr-list]"),
    "event": text(HELD, tag="event", embargo="on delivery"),
    "amended": text(HELD, tag="before", embargo=LATER),
    "withdrawn": text(HELD, tag="withdrawn", embargo=LATER),
    "broken-later": text(HELD, tag="broken", embargo=LATER),
    "untimed": text(HELD, tag="untimed", embargo=None),
    "past": text(HELD, tag="past", embargo="2020-01-01 09:00 UTC"),
    "named": text(HELD, tag="named", embargo=LATER, body=f"By {HELD['latin']}withheld Person."),
    "unknown-key": text(HELD, tag="key", embargo=LATER, keys=f"{HELD['latin'].lower()}: x\ntitel: {HELD['greek']}"),
    "bad-yaml": text(HELD, tag="yaml", embargo=LATER, keys=f"summary: {HELD['latin']}: {HELD['greek']}: [x"),
    "no-list": text(HELD, tag="list", embargo=LATER, keys=f"lists: [{HELD['latin']}lost]"),
    "no-time": text(HELD, tag="time", embargo=f"{HELD['latin']} {HELD['greek']} o'clock"),
    "bad-source": text(HELD, tag="address", embargo=LATER).replace("https://", "nowhere://"),
    "no-language": text(HELD, tag="language", embargo=LATER, keys=f"language: {HELD['latin']}!"),
    **{f"trap-{name}": text(HELD, tag=name, embargo=LATER, keys=f"language: {name}") for name in ("tlh", "sux", "akk")},
    "large": text(HELD, tag="large", embargo=LATER, body=f"{HELD['latin']} " * 500_000),
}
"""What each record of the held kind is like; its file, and so its id, begin with a word of the search."""
WANTED = {
    "held": {"held", "event", "amended", "call"},
    "attention": {"untimed", "past", "named", "broken-later"},
    "withdrawn": {"withdrawn"},
}
TRAPPED = {"trap-tlh", "trap-sux", "trap-akk"}
REFUSED = {"unknown-key", "bad-yaml", "no-list", "no-time", "bad-source", "no-language", "large", *TRAPPED}


def rows(house, query, *parameters):
    return house.raw(query, parameters=parameters)


def mails(house):
    return len(list((house.folder / "var" / "mail").glob("new/*")))


def named(what):
    """The id of a record of the held kind, with a word of each script."""
    return f"{'-'.join(HELD.values())}-{what}"


def states(house):
    found = {state: set() for state in WANTED}
    for record_id, state in rows(house, "SELECT id, state FROM records WHERE state <> 'released'"):
        found.setdefault(state, set()).add(record_id.removeprefix(named("")))
    return found


def refused(house):
    return {Path(origin).stem.removeprefix(named("")) for (origin,) in rows(house, "SELECT origin FROM refusals")}


@pytest.fixture
def newsroom(house, tmp_path_factory, monkeypatch):
    """A newsroom at work, one record released, with a temporary folder of its own and templates that fail on some records."""
    temporary = tmp_path_factory.mktemp("temporary")
    for name in ("TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(temporary))
    lists = "".join(
        f"    {stems['latin'].lower()}-list: {{name: {' '.join(stems.values())}, recipients: "
        f'["{" ".join(stems.values())} <{stems["latin"].lower()}@example.net>"]}}\n'
        for stems in (HELD, LIFTING)
    )
    house.config.write_text(house.config.read_text() + lists + "templates: templates/\n")
    (house.folder / "templates").mkdir()
    (house.folder / "templates" / "headline.txt").write_text(TRAP)
    house.start()
    house.record("open", embargo="none", title="An open one")
    eventually(lambda: b"An open one" in house.site("feed.json"), "the first release")
    eventually(lambda: mails(house) == 2, "its mails")
    eventually(lambda: b"200 OK" in asked(house.port, request("GET", "/rss.xml")), "the web server")
    # Until the second after a file's last change is over, its Last-Modified is the present (RFC 9110 section 8.8.2.1).
    written = max(path.stat().st_ctime for path in (house.folder / "public").rglob("*"))
    eventually(lambda: datetime.now(UTC).timestamp() > written + 2, "what was just written to be of the past")
    return house, temporary


def fill(house):
    """Brings every kind of held, waiting, refused, amended and withdrawn record about."""
    for what, content in DROPPED.items():
        house.write(f"{named(what)}.md", content)
    house.write(f"{named('call')}.txt", call(HELD["latin"], LATER))
    eventually(lambda: refused(house) == REFUSED, "the refusals")
    eventually(lambda: len(states(house)["held"]) == 6, "the held ones")
    house.write(f"{named('amended')}.md", text(HELD, tag="after", embargo=LATER))
    house.write(f"{named('broken-later')}.md", DROPPED["bad-yaml"].replace("yaml", "broken"))
    assert house.run("withdraw", named("withdrawn"), "--reason", f"{HELD['latin']}reason").returncode == 0
    eventually(lambda: states(house) == WANTED, "every kind of record")
    eventually(lambda: refused(house) == REFUSED | {"broken-later"}, "all refusals")


def fail(house):
    """Has a record meet a full disk, and another a locked database, until the log tells of both."""
    told = house.log.count("intake_failed")
    _, hard = resource.prlimit(house.service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(house.service.pid, resource.RLIMIT_FSIZE, (500_000, hard))
    house.write(f"{named('unwritten')}.md", text(HELD, tag="disk", embargo=LATER, body=f"{HELD['latin']} " * 100_000))
    eventually(lambda: house.log.count("intake_failed") > told, "the full disk to be told")
    resource.prlimit(house.service.pid, resource.RLIMIT_FSIZE, (hard, hard))
    eventually(lambda: "unwritten" in states(house)["held"], "it to be taken in after all")
    with locked(house.url) as told_of:
        house.write(f"{named('waiting')}.md", text(HELD, tag="locked", embargo=LATER))
        eventually(lambda: told_of in house.log, "the locked database to be told", patience=60)
    eventually(lambda: "waiting" in states(house)["held"], "it to be taken in after all")


def everything(house, temporary, ids):
    """Every surface at this moment."""
    kinds = {
        "file": tree(house.folder, without=private(house)),
        "temporary": tree(temporary),
        "answer": http(house, ids),
        "process": processes(house),
    }
    return {f"{kind} {name}": data for kind, found in kinds.items() for name, data in found.items()}


def test_no_surface_betrays_what_is_held(newsroom):
    """No word of a held, waiting, refused, amended, withdrawn or about-to-lift record is anywhere to be seen before its lift."""
    house, temporary = newsroom
    ids = [named(what) for what in DROPPED] + ["-".join(LIFTING.values())]
    site = tree(house.folder / "public")
    before = {f"answer {name}": answer for name, answer in http(house, ids).items() if name != FLOOD}
    fill(house)
    fail(house)
    assert hits(commands(house), "held") == []

    lift_at = ahead(19)  # within the time in which what is coming is made ready
    house.write(f"{ids[-1]}.md", text(LIFTING, tag="now", embargo=words(lift_at), keys="lists: [wombatglyph-list]"))
    eventually(lambda: rows(house, "SELECT 1 FROM records WHERE id = ? AND state = 'held'", ids[-1]), "it to be held")
    now = everything(house, temporary, ids)
    assert before.items() <= now.items()
    assert tree(house.folder / "public") == site
    held = rows(house, "SELECT state FROM records WHERE id = ?", ids[-1])
    assert held == [("held",)], "all has to be gathered before the lift to prove anything"
    assert hits(now, "held", "lifting") == []

    eventually(lambda: LIFTING["latin"].encode() in house.site("feed.json"), "the lift")
    eventually(lambda: mails(house) == 3, "its mail")
    after = everything(house, temporary, ids)
    assert hits(after, "held") == []
    found = {name for name, _ in hits(after, "lifting")}
    page = f"releases/{ids[-1]}.html"
    for name in (page, "rss.xml", "atom.xml", "feed.json", "index.html"):
        assert {f"file public/{name}", f"answer GET /{quote(name)}"} <= found
        shown = (house.folder / "public" / name).read_text()
        assert all(word in shown for word in worded(LIFTING, tag="now")["title"].split())
    shown = (house.folder / "public" / page).read_text()
    assert all(
        word in shown or quote(word) in shown for each in worded(LIFTING, tag="now").values() for word in each.split()
    )
    assert any(name.startswith("file var/mail/new/") for name in found)
    assert not any(name.startswith(("process", "temporary", "file service.log")) for name in found)
    assert "withheld" not in shown
    house.stop()
    assert hits(tree(house.folder, without=private(house)), "held") == []


CODED = {
    "percent": lambda word: quote(f"/{word}", safe="").encode(),
    "base64": lambda word: base64.b64encode(f"xx {word} x".encode()),
    "base64 in lines": lambda word: base64.encodebytes(f"{'x' * 50}{word}{'x' * 50}".encode()),
    "entities": lambda word: "".join(f"&#{ord(sign)};" for sign in word).encode(),
    "hexadecimal entities": lambda word: "".join(f"&#x{ord(sign):x};" for sign in word).encode(),
    "JSON": lambda word: json.dumps(word).encode(),
    "quoted-printable": lambda word: quopri.encodestring(f"{'x' * 70}{word}".encode()),
    "UTF-16": lambda word: word.encode("utf-16"),
    "big-endian UTF-16": lambda word: word.encode("utf-16-be"),
    "a repr": lambda word: repr(word.encode()).encode(),
    "capitals": lambda word: word.upper().encode(),
    "gzip": lambda word: gzip.compress(word.encode()),
    "a header": lambda word: Header(f"About {word}", "utf-8").encode().encode(),
    "hexadecimal": lambda word: word.encode().hex().encode(),
}


@pytest.mark.parametrize("word", [f"{stem}title" for stem in HELD.values()])
@pytest.mark.parametrize("coded", CODED.values(), ids=CODED)
def test_the_search_finds_the_words_however_they_are_written(coded, word):
    """The search finds a word of each script in each coding, wherever it begins, and nothing in what only looks like it."""
    for before in ("", "a", "ab", "abc"):
        assert hits({"here": coded(before + word)}, "held")
    assert not hits({"here": coded("Quokka zephyr, and much else besides")}, "held")
    assert hits({f"{word}.html": b""}, "held")


@pytest.mark.sqlite_only("a copy of its file")
def test_two_sites_with_the_same_releases_are_the_same_bytes(office, tmp_path):
    """Of two newsrooms with the same releases at the same time, one with held records and one without, the sites are equal."""
    office.record("one", embargo="none", title="First")
    office.record("two", embargo="2026-11-30 07:05 America/New_York", title="Second")
    office.lift()
    office.clock.pass_by(minutes=10)
    office.lift()
    office.store.close()
    shutil.copytree(tmp_path / "var", tmp_path / "other" / "var")
    other = Office(
        tmp_path / "other", office.parts, open_store(f"sqlite:///{tmp_path}/other/var/embargo.db"), office.clock
    )
    for number, embargo in enumerate([LATER, "on delivery", None, "2026-11-30 07:11 America/New_York"]):
        other.record(f"{HELD['latin']}-{number}", embargo=embargo, title=HELD["greek"], body=HELD["han"])
    other.withdraw(f"{HELD['latin']}-1")
    sites = []
    for each in (office, other):
        folder = each.folder / "site"
        shown = Projection(store=each.store, site=Site(folder), renderer=each.parts.renderer, items=50)
        shown.warm(until=each.clock() + timedelta(minutes=5), at_most=10)
        shown.rebuild(now=each.clock())
        shown.follow(now=each.clock())
        sites.append(tree(folder))
    other.store.close()
    assert sites[0] == sites[1]
    assert len(sites[0]) > 10
    assert not hits(sites[1], "held")
