"""`config.yaml`: what it may say, and how it is told what is wrong with it."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from scheduler import shipped
from scheduler.config import PASSWORD_VARIABLE, Config, read, reference
from scheduler.errors import ConfigRefused
from scheduler.record import Overdue, PastOnArrival

SCHEMA = Draft202012Validator(reference.schema())
SMALL = """\
newsroom: {name: Press, url: "https://press.example.org/", timezone: Europe/Paris}
records:
  - folder: records/
database: sqlite:///var/embargo.db
"""
KEY = base64.b64encode(bytes(range(32))).decode()
MAIL = """\
mail:
  from: Press <press@example.org>
  transport: maildir:var/mail
  lists:
    press: {name: Press list, recipients: [desk@example.org], default: true}
    wire: {name: Wire}
"""
SMTP = MAIL.replace("maildir:var/mail", "smtp://user@mail.example.org:587")


@pytest.fixture(autouse=True)
def _no_password(monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


def taken(folder: Path, text: str | bytes) -> Config:
    file = folder / "config.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    config = read(file)
    # What is taken, the schema takes too.
    SCHEMA.validate(yaml.safe_load(file.read_text("utf-8-sig")))
    return config


def refused(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigRefused) as caught:
        taken(folder, text)
    for problem in caught.value.problems:
        assert re.match(rf"{re.escape(str(folder / 'config.yaml'))}(:\d+)?: \S", problem), problem
        assert problem.rstrip().endswith((".", "?", "`.")), problem
    return [problem.removeprefix(str(folder / "config.yaml")) for problem in caught.value.problems]


def test_the_shipped_settings_are_taken(tmp_path):
    """The shipped `config.yaml` runs as it is."""
    config = taken(tmp_path, shipped("config.yaml").read_text("utf-8"))
    assert config.default_lists == ("press",)
    assert config.http is not None
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8080)
    assert config.records[0].folder == tmp_path / "records"
    assert config.database == f"sqlite:///{tmp_path}/var/embargo.db"


def test_what_is_left_out_has_a_default(tmp_path):
    """Newsroom, records and database are enough: the rest has defaults, and nothing is served or mailed."""
    config = taken(tmp_path, SMALL)
    assert (config.http, config.mail, config.lists, config.default_lists) == (None, None, {}, ())
    assert (config.site.folder, config.site.items) == (tmp_path / "public", 50)
    assert config.embargo.past_on_arrival is PastOnArrival.HOLD
    assert (config.embargo.overdue, config.embargo.release_within) == (Overdue.RELEASE, None)
    assert (config.clock.tolerance, config.clock.unsynchronised, config.clock.servers) == (0.5, "alarm", [])
    assert (config.websub.hubs, config.websub.allow_private) == ([], False)
    assert (config.newsroom.language, config.password, config.templates) == ("en", None, None)
    assert (config.log.format, config.monitor, config.desk, config.backup) == ("text", None, None, None)
    assert (config.alerts.mail, config.alerts.webhooks, config.alerts.disk) == ([], [], 500_000_000)
    assert config.alerts.repeat == timedelta(hours=4)
    assert (config.retention.text, config.retention.ledger, config.retention.asks) == (None, None, timedelta(days=7))
    assert config.file == tmp_path / "config.yaml"


def test_every_key(tmp_path):
    """Every documented key is taken."""
    (tmp_path / "mine").mkdir()
    config = taken(
        tmp_path,
        SMALL.replace("Europe/Paris}", "Europe/Paris, language: pt-BR}").replace(
            "folder: records/", "folder: records/\n    timezone: Asia/Tokyo"
        )
        + MAIL.replace("var/mail", "var/mail\n  connections: 3")
        + "embargo: {past_on_arrival: release, overdue: hold}\nsite: {folder: www, items: 7}\n"
        + 'http: {listen: "[::1]:99"}\ntemplates: mine\n'
        + 'clock: {tolerance: 2, unsynchronised: hold, servers: [ntp.example.org, "[::1]:1230"]}\n'
        + 'websub: {hubs: ["https://hub.example.org/?a=1", "http://10.0.0.1:99/", "https://hub.example.org/?a=1"], '
        + "allow_private: true}\n",
    )
    assert config.records[0].timezone == "Asia/Tokyo"
    assert (config.embargo.past_on_arrival, config.embargo.overdue) == (PastOnArrival.RELEASE, Overdue.HOLD)
    assert config.embargo.release_within == timedelta()
    assert (config.clock.tolerance, config.clock.unsynchronised) == (2, "hold")
    assert config.clock.servers == ["ntp.example.org", "[::1]:1230"]
    assert config.websub.hubs == ["https://hub.example.org/?a=1", "http://10.0.0.1:99/"]  # each once
    assert config.websub.allow_private
    assert (config.site.folder, config.site.items) == (tmp_path / "www", 7)
    assert config.http is not None
    assert (config.http.host, config.http.port) == ("::1", 99)
    assert config.templates == tmp_path / "mine"
    assert config.mail is not None
    assert (config.mail.sender, config.mail.connections) == ("Press <press@example.org>", 3)
    assert (list(config.lists), config.default_lists) == (["press", "wire"], ("press",))


def test_every_key_of_watching_and_keeping(tmp_path):
    """Log, monitor, alerts, desk, backups and retention are taken as they are written, in units a person writes."""
    (tmp_path / "hook").write_text(f"whsec_{KEY}\n")
    config = taken(
        tmp_path,
        SMALL
        + MAIL
        + """\
log: {format: json}
monitor: {listen: "[::1]:9798"}
alerts:
  mail: [ops@example.org]
  webhooks:
    - {url: "https://hooks.example.org/x", secret_file: hook}
    - {url: "https://hooks.example.org/y", form: slack}
  repeat: 90m
  disk: 2G
desk: {mail: [Desk <desk@example.org>], ahead: [1h, 2d, 60m]}
backup: {folder: backups, every: 12h, keep: 3}
retention: {text: 365d, ledger: 40d, asks: 48h}
""",
    )
    assert config.log.format == "json"
    assert config.monitor is not None
    assert (config.monitor.host, config.monitor.port) == ("::1", 9798)
    assert (config.alerts.mail, config.alerts.disk) == (["ops@example.org"], 2 * 10**9)
    assert config.alerts.repeat == timedelta(minutes=90)
    assert [(hook.form, hook.secret) for hook in config.alerts.webhooks] == [("standard", KEY), ("slack", None)]
    assert config.alerts.webhooks[0].secret_file == tmp_path / "hook"
    assert config.desk is not None
    assert config.desk.ahead == (timedelta(days=2), timedelta(hours=1))  # each once, the first to come first
    assert config.backup is not None
    assert (config.backup.folder, config.backup.every) == (tmp_path / "backups", timedelta(hours=12))
    assert config.backup.keep == 3
    kept = config.retention
    assert (kept.text, kept.ledger, kept.asks) == (timedelta(365), timedelta(40), timedelta(2))
    assert not any(each in repr(config) for each in (KEY, "ops@", "desk@", "hooks.example.org"))


def test_what_is_for_the_service_alone(tmp_path):
    """Secrets, backups and all that holds text or addresses are private; so are settings that hold a secret themselves."""
    (tmp_path / "hook").write_text(KEY)
    (tmp_path / "smtp").write_text("sesame")
    text = SMALL + SMTP + "  password_file: smtp\n  bounces: {address: b@example.org, maildir: bounces}\n"
    text = text.replace("wire: {name: Wire}", "wire: {name: Wire, file: wire.csv}")
    hook = "alerts: {webhooks: [{url: 'https://a/', secret_file: hook}]}\n"
    config = taken(tmp_path, text + hook + "backup: {folder: backups}\n")
    assert {path.relative_to(tmp_path).as_posix(): what for path, what in config.private.items()} == {
        "records": "the records",
        "var/embargo.db": "the database",
        "smtp": "the mail password",
        "wire.csv": "a mail list",
        "bounces": "the bounces",
        "hook": "a webhook's secret",
        "backups": "the backups",
    }
    config = taken(tmp_path, SMALL + "alerts: {webhooks: [{url: 'https://a/', form: teams}]}\n")
    assert config.private[config.file] == "the settings"
    assert config.file not in taken(tmp_path, SMALL + hook).private
    server = SMALL.replace("sqlite:///var/embargo.db", "postgresql://user:word@host/name")
    config = taken(tmp_path, server)
    assert config.private[config.file] == "the settings"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("alerts: {mail: [ops@example.org]}\n", 5, "`alerts.mail` needs the section `mail`."),
        ("desk:\n  mail: [ops@example.org]\n", 6, "`desk.mail` needs the section `mail`."),
        (f"{MAIL}  fallback_password_file: x\n", 11, "`mail.fallback_password_file`: there is no `fallback`"),
        (f"{MAIL}  fallback: smtp://a@b\n", 11, "`mail.fallback`: The mail transport names a user but there is no"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path, text, line, problem):
    """What two settings say against each other is told at the one that needs the other."""
    assert any(each.startswith(f":{line}: {problem}") for each in refused(tmp_path, SMALL + text))


@pytest.mark.parametrize("written", ["true", "True", "TRUE", "yes", "Yes", "on", '"true"', "false", "no", "OFF"])
def test_switches_may_be_written_in_many_ways(tmp_path, written):
    """A switch is true, yes or on, or false, no or off, however its first letter is written."""
    config = taken(tmp_path, SMALL + f"websub: {{allow_private: {written}}}\n")
    assert config.websub.allow_private is (written.strip('"').lower() in {"true", "yes", "on"})


def test_words_that_look_like_something_else_stay_words(tmp_path):
    """A name that YAML would take for a number or a switch is the name that was written; a null alone is no value."""
    assert taken(tmp_path, SMALL.replace("name: Press", "name: 2024")).newsroom.name == "2024"
    assert taken(tmp_path, SMALL.replace("name: Press", "name: on")).newsroom.name == "on"
    assert taken(tmp_path, SMALL.replace("name: Press", "name: 'null'")).newsroom.name == "null"
    assert taken(tmp_path, SMALL + "http: null\nsite: ~\ntemplates: Null\n").http is None


def test_a_large_file_is_refused_and_not_cut(tmp_path):
    """Settings of more than a megabyte are refused: the rest is never left unread."""
    assert refused(tmp_path, SMALL + "#" * 1_000_000)[0].startswith(":1: this is more than a megabyte.")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2 h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_how_late_a_release_may_be(tmp_path, written, meant):
    """An overdue release may be limited to so many seconds, minutes, hours or days."""
    text = SMALL + f"embargo: {{overdue: {{release_within: {written}}}}}\n"
    assert taken(tmp_path, text).embargo.release_within == meant


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    """A relative path is meant from the file's folder, wherever the command runs; an absolute one stays."""
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep/config.yaml").write_text(SMALL.replace("folder: records/", "folder: /srv/records"))
    config = read(Path("deep/config.yaml"))
    assert config.file == tmp_path / "deep/config.yaml"
    assert config.records[0].folder == Path("/srv/records")
    assert config.site.folder == tmp_path / "deep/public"
    assert config.database == f"sqlite:///{tmp_path}/deep/var/embargo.db"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:////srv/embargo.db", "sqlite:////srv/embargo.db"),
        ("postgresql://user@host/name", "postgresql://user@host/name"),
    ],
)
def test_other_database_addresses_stay(tmp_path, given, meant):
    """An absolute path and a server's address are taken as they are."""
    assert taken(tmp_path, SMALL.replace("sqlite:///var/embargo.db", given)).database == meant


def test_an_address_gets_its_slash(tmp_path):
    """The site's address means a folder, with or without its last slash."""
    assert taken(tmp_path, SMALL.replace('org/"', 'org/press"')).newsroom.url == "https://press.example.org/press/"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("database:", "databse:", ":4: Unknown key `databse`. Did you mean `database`?"),
        ("timezone:", "timezon:", ":1: Unknown key `timezon`. Did you mean `timezone`?"),
        ("folder:", "qqqqq:", ":3: Unknown key `qqqqq`. Known keys: folder, timezone."),
        ("name: Press", "nick: Press", ":1: `newsroom.name` is missing. Add a line `name: Example Press Office`."),
        (
            "records:\n  - folder: records/",
            "records: []",
            ":2: `records` can't be used. It should have at least one item.",
        ),
        (
            "records:\n  - folder: records/",
            "records: records/",
            ":2: `records` can't be used. It should be a valid list.",
        ),
        (
            "  - folder: records/\n",
            "  - folder: [a, b]\n",
            ":3: `records.folder` holds keys or a list where one value belongs.",
        ),
        ("Europe/Paris", "Europe/Pariss", ":1: "),
        ("Europe/Paris", "EST", ":1: "),
        ('"https://press.example.org/"', "press.example.org", ":1: `newsroom.url` is not a web address."),
        ('"https://press.example.org/"', "ftp://press.example.org", ":1: `newsroom.url` is not a web address."),
        (
            '"https://press.example.org/"',
            '"https://press.example.org/?a=b"',
            ":1: `newsroom.url` is not a web address.",
        ),
        ("Europe/Paris}", "Europe/Paris, language: klingonese}", ":1: `newsroom.language` is no language tag."),
        ("sqlite:///var/embargo.db", "sqlite:///a\ndatabase: sqlite:///b", ":5: `database` stands on line 4 already."),
        ("newsroom: {", "newsroom: [", ":1: "),
        ("database: ", "database: sqlite:///a\nsite: {items: 0}\nx: ", ":5: `site.items` can't be used."),
        ("database: ", "site: {items: many}\ndatabase: ", ":4: `site.items` can't be used."),
        ("database: ", "http: {listen: 8080}\ndatabase: ", ":4: `http.listen` is not an address and a port."),
        (
            "database: ",
            'http: {listen: "0.0.0.0:99999"}\ndatabase: ',
            ":4: `http.listen` is not an address and a port.",
        ),
        ("database: ", "embargo: {overdue: perhaps}\ndatabase: ", ":4: `embargo.overdue` can't be used."),
        ("database: ", "embargo: {overdue: {release_within: 2}}\ndatabase: ", ":4: `embargo.overdue` can't be used."),
        ("database: ", "embargo: {overdue: {within: 2h}}\ndatabase: ", ":4: `embargo.overdue` can't be used."),
        ("database: ", "embargo: {overdue: [hold]}\ndatabase: ", ":4: `embargo.overdue` can't be used."),
        ("database: ", "clock: {tolerance: 0}\ndatabase: ", ":4: `clock.tolerance` can't be used."),
        ("database: ", "clock: {unsynchronised: perhaps}\ndatabase: ", ":4: `clock.unsynchronised` can't be used."),
        ("database: ", "clock: {servers: [a b]}\ndatabase: ", ":4: `clock.servers` holds what is no name or address"),
        ("database: ", 'clock: {servers: ["a:x"]}\ndatabase: ', ":4: `clock.servers` holds what is no name or"),
        ("database: ", 'clock: {servers: ["http://a"]}\ndatabase: ', ":4: `clock.servers` holds what is no name or"),
        ("database: ", "clock: {server: a}\ndatabase: ", ":4: Unknown key `server`. Did you mean `servers`?"),
        (
            "database: ",
            "websub: {hubs: [hub.example.org]}\ndatabase: ",
            ":4: `websub.hubs` is no web address",
        ),
        (
            "database: ",
            "websub:\n  hubs:\n  - https://a/\n  - ftp://b/\ndatabase: ",
            ":7: `websub.hubs` is no web",
        ),
        ("database: ", 'websub: {hubs: ["https://a/#b"]}\ndatabase: ', ":4: `websub.hubs` is no web address"),
        (
            "database: ",
            "websub: {hubs: ['https://me:pw@a/']}\ndatabase: ",
            ":4: `websub.hubs` is no web address",
        ),
        ("database: ", "websub: {hubs: [1]}\ndatabase: ", ":4: `websub.hubs` is no web address"),
        ("database: ", "websub: {hubs: https://a/}\ndatabase: ", ":4: `websub.hubs` can't be used."),
        ("database: ", "websub: {allow_private: perhaps}\ndatabase: ", ":4: `websub.allow_private` can't be used."),
        ("database: ", "websub: {hub: a}\ndatabase: ", ":4: Unknown key `hub`. Did you mean `hubs`?"),
        ("database: ", "templates: nowhere\ndatabase: ", ":4: `templates` is no folder."),
        ("database: ", "file: x\ndatabase: ", ":4: Unknown key `file`."),
        ("database: ", "password: x\ndatabase: ", ":4: Unknown key `password`."),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path, old, new, problem):
    """A setting that can't be used is told with file, line, key and what to write."""
    assert SMALL.count(old) == 1
    problems = refused(tmp_path, SMALL.replace(old, new))
    assert any(each.startswith(problem) for each in problems), problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("maildir:var/mail", "carrier:pigeon", ":7: `mail.transport` must begin with maildir:, smtp:// or smtps://."),
        ("maildir:var/mail", "smtp://user:secret@host", ":7: `mail.transport`: The mail transport holds a password"),
        (
            "maildir:var/mail",
            "smtp://user@host:587",
            ":7: `mail.transport`: The mail transport names a user but there is no password",
        ),
        (
            "maildir:var/mail",
            "maildir:var/mail\n  password_file: nowhere",
            ":8: `mail.password_file`: the file ",
        ),
        ("    wire:", "    the wire:", ":10: The list id `the wire` can't be used."),
        ("name: Wire", "nome: Wire", ":10: Unknown key `nome`. Did you mean `name`?"),
        ("default: true", "default: perhaps", ":9: `mail.lists.press.default` can't be used."),
        ("from:", "sender:", ":6: Unknown key `sender`."),
        ("from:", "form:", ":6: Unknown key `form`. Did you mean `from`?"),
    ],
)
def test_a_mail_setting_that_cannot_be_used(tmp_path, old, new, problem):
    """A mail setting that can't be used is told with its line, and no password is ever repeated."""
    assert MAIL.count(old) == 1
    problems = refused(tmp_path, SMALL + MAIL.replace(old, new))
    assert any(each.startswith(problem) for each in problems), problems
    assert not any("secret" in each for each in problems)


def test_all_problems_are_told_at_once(tmp_path):
    """Everything that is wrong with the settings is told at once, in the order of its lines."""
    problems = refused(tmp_path, SMALL.replace("timezone: ", "zone: ").replace("folder:", "dir:") + "sit: {}\n")
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    assert {1, 3, 5} <= set(lines)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (SMALL.replace("Press", "Pr\u00e9sse").encode("latin-1"), ":1: this is not UTF-8. Save the file as UTF-8."),
        (b"", ":1: `newsroom` is missing. Add a line `newsroom: {name: Press, url: "),
        (b"- a\n- b\n", ":1: There are no `key: value` lines here."),
        (b"just words\n", ":1: There are no `key: value` lines here."),
        (b"newsroom: !!python/object:os.system {}\n", ":1: A value starts with `!`."),
    ],
)
def test_a_file_that_holds_no_settings(tmp_path, data, problem):
    """A file that is not UTF-8, not YAML or not a mapping is refused with its line."""
    assert any(each.startswith(problem) for each in refused(tmp_path, data))


def test_a_byte_order_mark_is_no_harm(tmp_path):
    """A byte order mark and Windows line ends are no harm."""
    assert taken(tmp_path, b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode()).newsroom.name == "Press"


def test_a_file_that_is_not_there(tmp_path):
    """Where there is no settings file, the sentence says how to get one."""
    with pytest.raises(ConfigRefused, match=r"there is no such file. `embargo init` writes one"):
        read(tmp_path / "config.yaml")
    with pytest.raises(ConfigRefused, match=r"can't be read: Is a directory"):
        read(tmp_path)


def test_a_password_comes_from_its_file(tmp_path):
    """The mail password comes from its file, without the line's end, and is never shown."""
    (tmp_path / "secret").write_text("open sesame\n")
    config = taken(tmp_path, SMALL + SMTP + "  password_file: secret\n")
    assert config.password == "open sesame"
    assert "sesame" not in repr(config)


def test_a_password_comes_from_the_environment(tmp_path, monkeypatch):
    """Without a password file the password comes from the environment."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")
    assert taken(tmp_path, SMALL + SMTP).password == "open sesame"


def test_recipients_are_not_shown(tmp_path):
    """Settings that are printed show no recipient."""
    assert "desk@example.org" not in repr(taken(tmp_path, SMALL + MAIL))


def test_an_empty_section_takes_its_defaults(tmp_path):
    """A section that is named and left empty takes its defaults."""
    assert taken(tmp_path, SMALL + "embargo:\nsite:\nhttp:\nmail:\n").site.items == 50


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("folder: public/", "folder: records/", "holds the records"),
        ("folder: public/", "folder: records/public", "lies in the folder of the records"),
        ("folder: public/", "folder: .", "holds the"),
        ("folder: public/", "folder: var", "holds the"),
    ],
)
def test_the_site_folder_holds_nothing_private(tmp_path, old, new, what):
    """A site folder that would show records, settings, database or mail to everybody is refused with its line."""
    file = tmp_path / "config.yaml"
    file.write_text(shipped("config.yaml").read_text("utf-8").replace(old, new), "utf-8")
    (tmp_path / "records").mkdir()
    with pytest.raises(ConfigRefused) as refused:
        read(file)
    assert what in str(refused.value)
    assert "config.yaml:" in refused.value.problems[0]


def test_the_ends_of_what_is_allowed_are_allowed(tmp_path):
    """The shortest and the longest duration are good, a kilobyte is a thousand bytes, and another Maildir has its whole path."""
    fallback = "  fallback: maildir:var/second\n"
    for repeat, meant in (("1m", timedelta(minutes=1)), ("1d", timedelta(days=1))):
        config = taken(tmp_path, SMALL + MAIL + fallback + f"alerts: {{repeat: {repeat}, disk: 3K}}\n")
        assert (config.alerts.repeat, config.alerts.disk) == (meant, 3000)
        assert config.mail is not None
        assert config.mail.fallback == f"maildir:{tmp_path}/var/second"


def test_a_section_that_is_none_is_told_with_its_keys(tmp_path):
    """A section that is left empty is told as empty where it is needed, and words in place of one with the keys it has."""
    assert refused(tmp_path, SMALL + "log: json\n") == [
        ":5: `log` can't be used. It should be `key: value` lines below it. Known keys: format."
    ]
    assert refused(tmp_path, re.sub("newsroom: .*", "newsroom:", SMALL))[0].startswith(":1: `newsroom` is empty.")
