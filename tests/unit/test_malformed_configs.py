"""Hundreds of ways to get `config.yaml` wrong, each of which is told with its line, its key and what to write."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from scheduler.config import FALLBACK_VARIABLE, PASSWORD_VARIABLE, read, reference
from scheduler.errors import ConfigRefused
from scheduler.intake.fields import load

FULL = """\
newsroom:
  name: Press
  url: https://press.example.org/
  timezone: Europe/Paris
  language: en
records:
  - folder: records/
    timezone: Asia/Tokyo
database: sqlite:///var/embargo.db
embargo:
  past_on_arrival: hold
  overdue: release
clock:
  tolerance: 0.5
  unsynchronised: alarm
  servers: [ntp.example.org]
site:
  folder: public/
  items: 50
  text: full
http:
  listen: 127.0.0.1:8080
websub:
  hubs: [https://hub.example.org/]
  allow_private: false
mail:
  from: Press <press@example.org>
  transport: smtp://press@mail.example.org:587
  password_file: secrets/smtp
  connections: 8
  rate: 600/m
  fallback: smtp://press@relay.example.org:587
  fallback_password_file: secrets/smtp
  bounces:
    address: bounces@example.org
    maildir: var/bounces
  consent: I agree.
  postal_address: 1 Example Street
  lists:
    press:
      name: Press list
      recipients: [desk@example.org]
      file: lists/press.csv
      default: true
      public: false
      uncertain: hold
log:
  format: text
monitor:
  listen: 127.0.0.1:9797
alerts:
  mail: [ops@example.org]
  webhooks:
    - url: https://hooks.example.org/x
      form: standard
      secret_file: secrets/hook
  repeat: 4h
  disk: 500M
desk:
  mail: [desk@example.org]
  ahead: [1d, 1h]
backup:
  folder: backups/
  every: 1d
  keep: 14
retention:
  text: 365d
  ledger: 365d
  asks: 30d
templates: mine/
"""
MARKED = load(FULL, file="config.yaml", settings=True)
KEYS = {path: line for path, line in MARKED.lines.items() if path and isinstance(path[-1], str)}


PLACES = {".".join(step for step in path if isinstance(step, str)): path for path in KEYS}
ROWS = FULL.splitlines()
LIST_PLACE = "mail.lists.press"
MAY_BE_EMPTY = {
    *("embargo", "clock", "site", "http", "websub", "mail", "log", "monitor", "alerts", "desk", "backup", "retention"),
    *("records.timezone", "mail.password_file", "mail.rate", "mail.fallback", "mail.fallback_password_file"),
    *("mail.bounces", "mail.bounces.maildir", "mail.postal_address", f"{LIST_PLACE}.file", "templates"),
    *("alerts.webhooks.secret_file", "retention.text", "retention.ledger"),
}
SECTIONS = {name for name in PLACES if any(other.startswith(f"{name}.") for other in PLACES)}
LISTS = {
    *("records", "clock.servers", "websub.hubs", f"{LIST_PLACE}.recipients", "alerts.mail", "alerts.webhooks"),
    *("desk.mail", "desk.ahead"),
}
REQUIRED = {
    *("newsroom", "newsroom.name", "newsroom.url", "newsroom.timezone", "records", "records.folder", "database"),
    *("mail.from", "mail.transport", "mail.bounces.address", f"{LIST_PLACE}.name", "alerts.webhooks.url"),
    *("desk.mail", "backup.folder"),
}

# Values that a key can't have, beside those that no key of its kind can.
WRONG = {
    "newsroom.name": ['""', '"  "', '"a\\0b"', "x" * 5001],
    "newsroom.url": ["press.example.org", "ftp://a/", "https://", "https://a/?b=c", "https://a/#b", "https://a b/",
                     "https://a:0/", "https://[::1", "mailto:press@example.org", "https://a:99999/"],
    "newsroom.timezone": ["EST", "Europe/Pariss", "UTC+1", "Paris", "+01:00", "../../etc/passwd", "5"],
    "newsroom.language": ["klingonese", "e", "english language", "en_US", "1"],
    "records.folder": ['""', "~/records", '"a\\0b"'],
    "records.timezone": ["CET/Berlin", "Asia/Tokio"],
    "database": ["embargo.db", "mysql://a/b", "sqlite://var/embargo.db", "sqlite:///", "'sqlite:///:memory:'", "postgres://a/b"],
    "embargo.past_on_arrival": ["relase", "true", "Hold"],
    "embargo.overdue": ["perhaps", "2h", "{release_within: 2}", "{release_within: 2w}", "{within: 2h}", "{release_within: }",
                        "{release_within: -1h}", "{release_within: 2h, or: hold}", "{release_within: [2h]}"],
    "clock.tolerance": ["0", "-1", "61", "0,5", "nan", "inf", "500ms", "1e1", "half"],
    "clock.unsynchronised": ["perhaps", "false"],
    "clock.servers": ["[a b]", '["a:x"]', '["http://a"]', "['']", "[~]", "[{a: b}]", "[user@host]", '["a:0"]', "ntp.example.org"],
    "site.folder": ["~/public", '""'],
    "site.items": ["0", "-3", "1001", "many", "5.5", "1_0", "0x10", "99999999999999999999", "true", "'5 0'"],
    "site.text": ["half", "Full"],
    "http.listen": ["8080", "0.0.0.0:99999", "127.0.0.1", '":8080"', "127.0.0.1:0", "http://127.0.0.1:8080", "a b:80", "::1:80",
                    "127.0.0.1:port"],
    "websub.hubs": ["[hub.example.org]", '["https://a/#b"]', "['https://me:pw@a/']", "[1]", "https://a/", "[ftp://a/]"],
    "websub.allow_private": ["perhaps", "2", "nein"],
    "mail.from": ["press", "press@", "'@example.org'", "Press press@example.org", "a@b@c", "Press <press@example.org"],
    "mail.transport": ["carrier:pigeon", "mail.example.org:587", "smtp://", "smtp://a:b@host", "smtp://press@host/path",
                       "smtp://press@host:port", "smtp://press@host?tls=maybe", "smtp://press@host?tsl=none",
                       "smtp://press@host?timeout=soon", "smtp://press@host?ca=nowhere.pem", "smtps://press@host?tls=starttls",
                       "smtp://host"],
    "mail.fallback": ["carrier:pigeon", "smtp://a:b@host", "relay.example.org"],
    "mail.password_file": ["nowhere", "~/secret", "records"],
    "mail.fallback_password_file": ["nowhere"],
    "mail.connections": ["0", "65", "-1", "all", "1.5"],
    "mail.rate": ["20", "0/s", "20/w", "20 per second", "-1/s", "fast", "1.5/s", "/s"],
    "mail.bounces.address": ["bounces", "bounces+x@example.org", "Bounces <bounces@example.org>", "bounces@"],
    f"{LIST_PLACE}.recipients": ["[desk]", "[desk@]", "desk@example.org", "['a@example.org, b@example.org']", "[{a: b}]", "[~]"],
    f"{LIST_PLACE}.default": ["perhaps", "2", "yep"],
    f"{LIST_PLACE}.public": ["nope"],
    f"{LIST_PLACE}.uncertain": ["drop", "yes"],
    "log.format": ["xml", "JSON", "true"],
    "monitor.listen": ["0.0.0.0:9797", "192.0.2.1:9797", "9797", "example.org:9797", "127.0.0.1", "'[::]:9797'"],
    "alerts.mail": ["[ops]", "ops@example.org", "['']"],
    "alerts.webhooks": ["https://a/", "[https://a/]", "{url: https://a/}"],
    "alerts.webhooks.url": ["hooks.example.org", "https://me:pw@a/", "https://a/#b", "ftp://a/"],
    "alerts.webhooks.form": ["discord", "Teams"],
    "alerts.webhooks.secret_file": ["nowhere", "secrets/smtp"],
    "alerts.repeat": ["4", "0h", "30s", "2d", "4 hours", "-4h", "1h30m", "4w"],
    "alerts.disk": ["500", "500MB", "-1G", "5%", "half", "0.5G", "500m"],
    "desk.mail": ["[]", "[desk]", "desk@example.org"],
    "desk.ahead": ["[]", "1d", "[1]", "[0m]", "[31d]", "[1d, soon]", "[1m, 2m, 3m, 4m, 5m, 6m, 7m, 8m, 9m]"],
    "backup.folder": ["~/backups", '""'],
    "backup.every": ["0d", "daily", "31d", "1"],
    "backup.keep": ["0", "-1", "all", "10001"],
    "retention.text": ["365", "12h", "1y", "for ever", "-1d"],
    "retention.ledger": ["34d", "1m"],
    "retention.asks": ["never", "30"],
    "templates": ["nowhere", "~/templates"],
}  # fmt: skip

# Keys where they don't belong: what stands there, what is written in its place, the key and the words of the refusal.
MISPLACED = [
    ("  lists:", "  recipients: [a@example.org]\n  lists:", "recipients", "`recipients` belongs under `mail.lists.NAME`."),
    ("templates:", "file: x\ntemplates:", "file", "`file` belongs under `mail.lists.NAME`."),
    ("templates:", "timezone: x\ntemplates:", "timezone", "`timezone` belongs under `newsroom` or under `records`."),
    ("templates:", "name: x\ntemplates:", "name", "`name` belongs under `newsroom` or under `mail.lists.NAME`."),
    ("templates:", "recipient: x\ntemplates:", "recipient", "`recipients` belongs under `mail.lists.NAME`."),
    ("templates:", "hubs: []\ntemplates:", "hubs", "`hubs` belongs under `websub`."),
    ("templates:", "release_withn: 2h\ntemplates:", "release_withn", "Known keys: newsroom, records, database,"),
    ("templates:", "webhooks: []\ntemplates:", "webhooks", "`webhooks` belongs under `alerts`."),
    ("templates:", "password: x\ntemplates:", "password", "Known keys: newsroom, records, database, embargo,"),
    ("templates:", "text: x\ntemplates:", "text", "`text` belongs under `site` or under `retention`."),
    ("templates:", "transport: x\ntemplates:", "transport", "`transport` belongs under `mail`."),
    ("  text: full", "  maildir: x", "maildir", "`maildir` belongs under `mail.bounces`."),
    ("  items: 50", "  database: x", "database", "`database` belongs at the top."),
    ("  tolerance: 0.5", "  overdue: hold", "overdue", "`overdue` belongs under `embargo`."),
    ("  language: en", "  folder: records/", "folder", "`folder` belongs under `records` or under `site` or under `backup`."),
    ("  from: Press <press@example.org>", "  sender: a@example.org", "sender", "Known keys: from, transport,"),
    ("  format: text", "  level: debug", "level", "Known keys: format."),
    ("      form: standard", "      format: standard", "format", "Did you mean `form`?"),
    ("  text: full", "  TEXT: full", "TEXT", "Did you mean `text`?"),
    ("  keep: 14", "  keep_: 14", "keep_", "Did you mean `keep`?"),
    ("log:", "logging:", "logging", "Did you mean `log`?"),
]  # fmt: skip

# What is wrong with the file itself: bytes, line and words of the refusal.
BROKEN = [
    (FULL.encode("utf-16"), 1, "not UTF-8. Save"),
    (FULL.replace("name: Press\n", "name: Prêt\n").encode("latin-1"), 2, "not UTF-8. Save"),
    (FULL.replace("Example Street", "Example\x00Street").encode(), 38, "control character. Delete"),
    (FULL.replace("Example Street", "Example\x1bStreet").encode(), 38, "control character. Delete"),
    (FULL.replace("  items: 50", "\titems: 50").encode(), 19, "tab can't indent YAML. Indent with blanks"),
    (FULL.replace("  items: 50", "  \titems: 50").encode(), 19, "tab can't indent YAML. Indent with blanks"),
    (FULL.replace("  items: 50", "   items: 50").encode(), 19, "indented too far. Put"),
    (FULL.replace("  items: 50", " items: 50").encode(), 19, "line up"),
    (FULL.replace("  items: 50", "  items 50").encode(), 19, "line up"),
    (FULL.replace("  items: 50", "  items:50").encode(), 19, "line up"),
    (FULL.replace("  text: full", "  text: full: 1").encode(), 20, "second colon in an unquoted value"),
    (FULL.replace("name: Press\n", "name: *Press\n").encode(), 2, "starts with `.*Put the value in"),
    (FULL.replace("name: Press\n", "name: &Press\n").encode(), 2, "starts with `.*Put the value in"),
    (FULL.replace("name: Press\n", "name: !Press x\n").encode(), 2, "starts with `!`. Put the value in"),
    (FULL.replace("name: Press\n", "name: @Press\n").encode(), 2, "starts with `@`, `%` or a backtick. Put the value in"),
    (FULL.replace("name: Press\n", "name: %Press\n").encode(), 2, "starts with `@`, `%` or a backtick. Put the value in"),
    (FULL.replace("name: Press\n", 'name: "Press\n').encode(), 2, "closed.*Close it"),
    (FULL.replace("name: Press\n", "name: 'Press\n").encode(), 2, "closed.*Close it"),
    (FULL.replace("name: Press\n", 'name: "Press" Office\n').encode(), 2, "line up"),
    (FULL.replace("name: Press\n", 'name: "\\q"\n').encode(), 2, "unknown backslash"),
    (FULL.replace("servers: [ntp.example.org]", "servers: [ntp.example.org").encode(), 16, "closed.*Close it"),
    (FULL.replace("overdue: release", "overdue: {release_within: 2h").encode(), 12, "closed.*Close it"),
    (FULL.replace("records:\n", "? [a]\n: b\nrecords:\n").encode(), 6, "key is not plain words. Write"),
    (FULL.replace("records:\n", "---\nrecords:\n").encode(), 6, "second YAML document begins. Delete the line"),
    (FULL.replace("templates: mine/", "templates: " + "[" * 60 + "]" * 60).encode(), 70, "nested too deeply. Write"),
    (b"", 1, "`newsroom` is missing. Add a line"),
    (b"# nothing yet\n", 1, "`database` is missing. Add a line `database: sqlite:///var/embargo.db`"),
    (b"just words\n", 1, "no `key: value` lines here. Start each line with a key, such as `newsroom: …`"),
    (b"- newsroom\n", 1, "no `key: value` lines here. Start"),
    (b"42\n", 1, "no `key: value` lines here. Start"),
    (b"{newsroom: {name: Press}\n", 1, "closed.*Close it"),
    (FULL.replace("form: standard", "form: slack").encode(), 56, "`alerts.webhooks.secret_file`: only the form `standard`"),
    (FULL.replace("backups/", "public/").encode(), 18, "holds the backups"),
    (FULL.encode() + b"#" * 1_000_000, 1, "more than a megabyte. Put recipients into"),
]  # fmt: skip

REMEDY = re.compile(
    r"\b([Ww]rite|Did you mean|belongs under|Known keys|Add a line|Keep one|Delete|Create|Name another|Let the|put it|Make one|"
    r"It should be)\b"
)


def changed(name: str, value: str) -> str:
    """FULL with another value for one key, and nothing of what stood below it."""
    path = PLACES[name]
    at = KEYS[path] - 1
    end = max(line for other, line in MARKED.lines.items() if other[: len(path)] == path)
    head = ROWS[at][: ROWS[at].index(":") + 1]
    return "\n".join([*ROWS[:at], f"{head} {value}".rstrip(), *ROWS[end:]]) + "\n"


def without(name: str) -> tuple[str, int]:
    """FULL without a key, and the line of what it belongs to."""
    path = PLACES[name]
    row = ROWS[KEYS[path] - 1]
    if row.lstrip().startswith("- "):
        below = ROWS[KEYS[path]]
        return FULL.replace(f"{row}\n{below}", f"{row[: row.index('-')]}- {below.strip()}"), KEYS[path]
    end = max(line for other, line in MARKED.lines.items() if other[: len(path)] == path)
    return "\n".join(ROWS[: KEYS[path] - 1] + ROWS[end:]) + "\n", MARKED.line_of(path[:-1])


def cases():
    """Settings that are wrong in one thing: what they are, the line and key that must be told, and what is wrong in a word."""
    for name, path in PLACES.items():
        line, key = KEYS[path], str(path[-1])
        is_list, is_one = name in LISTS, name not in SECTIONS | LISTS
        nothings = () if name in MAY_BE_EMPTY else ("", "null", "~")
        others = ("[a, b]", "{a: b}") if is_one else ("words", "{zzzz: 1}" if is_list else "[a, b]")
        for value in (*nothings, *others, *WRONG.get(name, ())):
            yield changed(name, value), line, key, f"{name}: {value[:60]}"
        if name in REQUIRED:
            text, parent = without(name)
            yield text, parent, key, f"{name} missing"
        row = ROWS[line - 1]
        if name not in SECTIONS:
            yield FULL.replace(f"{row}\n", f"{row}\n{row.replace('- ', '  ')}\n", 1), line + 1, key, f"{name} twice"
        if name != LIST_PLACE:
            typo = key[:-2] + key[-1] if len(key) > 3 else f"{key}s"
            yield FULL.replace(row, row.replace(f"{key}:", f"{typo}:"), 1), line, typo, f"{name} mistyped"


def furnish(folder: Path) -> Path:
    """Put into a folder what FULL names."""
    for name in ("secrets", "mine", "records", "lists"):
        (folder / name).mkdir()
    (folder / "secrets" / "smtp").write_text("sesame\n")
    (folder / "secrets" / "hook").write_text("whsec_" + base64.b64encode(bytes(32)).decode() + "\n")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for variable in (PASSWORD_VARIABLE, FALLBACK_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return furnish(tmp_path)


def refusals(folder: Path, data: str | bytes) -> list[tuple[int, str]]:
    """The lines and sentences with which settings are refused; none where they are taken."""
    file = folder / "config.yaml"
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    try:
        read(file)
    except ConfigRefused as error:
        problems = error.problems
    else:
        return []
    found = [re.fullmatch(rf"{re.escape(str(file))}:(\d+): (\S.*)", each) for each in problems]
    assert all(found), problems
    return [(int(each[1]), each[2]) for each in found if each]


def test_the_settings_that_the_table_spoils_are_good_and_whole(folder):
    """The settings that are spoilt here in every way are good as they stand, and hold every key there is."""
    assert refusals(folder, FULL) == []
    known = set()
    for part in reference.page().split("\n## ")[1:]:
        place = part[1 : part.index("`", 1)].replace("[]", "").replace("NAME", "press") + "." if part[0] == "`" else ""
        known |= {place + key for key in re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)}
    assert known == set(PLACES) - {LIST_PLACE}


def test_every_malformed_setting_is_refused_with_line_key_and_remedy(folder):
    """Whatever is wrong with a setting is told with file, line, key and what to write."""
    count, wrong = 0, []
    for text, line, key, what in cases():
        count += 1
        told = refusals(folder, text)
        if not any(at == line and re.search(rf"[`.]{key}`", said) and REMEDY.search(said) for at, said in told):
            wrong.append((what, line, told))
    assert wrong == []
    assert count > 500


@pytest.mark.parametrize(("old", "new", "key", "words"), MISPLACED, ids=[each[2] for each in MISPLACED])
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(folder, old, new, key, words):
    """A key that stands where it doesn't belong, or is mistyped, is told with the place or the key that was meant."""
    text = FULL.replace(f"\n{old}", f"\n{new}", 1)
    line = next(
        number for number, row in enumerate(text.splitlines(), 1) if re.match(rf"\W*{key}:", row) and row not in ROWS
    )
    assert any(at == line and said.startswith(f"Unknown key `{key}`. {words}") for at, said in refusals(folder, text))


@pytest.mark.parametrize(("data", "line", "words"), BROKEN)
def test_a_file_that_is_broken_is_refused_with_its_line(folder, data, line, words):
    """A file with a wrong encoding, tabs, open quotes or anything else that is no YAML is told with its line and what to do."""
    told = refusals(folder, data)
    assert any(at == line and re.search(words, said) for at, said in told), told


def test_no_refusal_repeats_a_secret(folder):
    """What is wrong with an address of a server, a hub or a webhook is told without the address, which may hold a secret."""
    for name, value in (
        ("mail.transport", "smtp://a:sesame@host"),
        ("mail.fallback", "smtp://a:sesame@host"),
        ("websub.hubs", "['https://a:sesame@host/']"),
        ("alerts.webhooks.url", "ftp://host/sesame"),
        ("database", "mysql://a:sesame@host/b"),
    ):
        told = refusals(folder, changed(name, value))
        assert told
        assert "sesame" not in str(told)
