"""The settings described: the page, the schema for editors, and what is in force."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from test_malformed_configs import FULL, cases, furnish

from scheduler import shipped
from scheduler.config import read, reference
from scheduler.config.parts import Config, Settings

ROOT = Path(__file__).parents[2]
SCHEMA = reference.schema()
VALIDATOR = Draft202012Validator(SCHEMA)

# What only the service can judge: the schema knows the form of a value, and neither files nor zones nor which port is one.
MEANING = {
    *("newsroom.timezone: EST", "newsroom.timezone: Europe/Pariss", "newsroom.timezone: UTC+1", "newsroom.timezone: Paris"),
    *("records.timezone: CET/Berlin", "records.timezone: Asia/Tokio", 'newsroom.name: "a\\0b"', 'records.folder: "a\\0b"'),
    *("newsroom.url: https://a:0/", "newsroom.url: https://[::1", "newsroom.url: https://a:99999/"),
    *('clock.servers: ["a:x"]', 'clock.servers: ["a:0"]', "http.listen: 0.0.0.0:99999", "http.listen: 127.0.0.1:0"),
    *("site.items: 1_0", "site.items: 0x10"),
    *("alerts.repeat: 0h", "alerts.repeat: 30s", "alerts.repeat: 2d", "desk.ahead: [0m]", "desk.ahead: [31d]"),
    *("backup.every: 0d", "backup.every: 31d", "retention.text: 12h", "retention.ledger: 34d", "retention.ledger: 1m"),
    *("mail.password_file: nowhere", "mail.password_file: records", "mail.fallback_password_file: nowhere"),
    *("alerts.webhooks.secret_file: nowhere", "alerts.webhooks.secret_file: secrets/smtp", "templates: nowhere"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return furnish(tmp_path)


def embargo(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "config", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def parts(tree):
    """Every schema within a schema."""
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(each)


def test_the_page_of_all_settings_is_current():
    """`docs/configuration.md` says what the settings say of themselves."""
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == reference.page(), (
        "It is out of date. Renew it: embargo config reference > docs/configuration.md"
    )


def test_the_schema_is_current_and_travels_with_the_package():
    """`config.schema.json` says what the settings say of themselves, and lies beside the sample, which names it."""
    assert shipped("config.schema.json").read_text("utf-8") == reference.schema_text(), (
        "It is out of date. Renew it: embargo config schema > config.schema.json"
    )
    sample = shipped("config.yaml").read_text("utf-8")
    assert sample.startswith("# yaml-language-server: $schema=config.schema.json\n")
    assert shipped("config.schema.json").parent == shipped("config.yaml").parent


def test_what_the_commands_print_is_what_the_files_hold(tmp_path):
    """`embargo config reference` and `embargo config schema` print the page and the schema as they stand in their files."""
    assert embargo(tmp_path, "reference") == reference.page()
    assert embargo(tmp_path, "schema") == reference.schema_text()


def test_every_setting_is_described_in_a_sentence_with_an_example():
    """Every setting has one sentence about it, and an example that the schema takes; every section has one about it."""
    for part in (SCHEMA, *SCHEMA["$defs"].values()):
        assert re.fullmatch(r"[A-Z`].+\.", part.get("description", "").split("\n")[0]) or "enum" in part
        for key, value in part.get("properties", {}).items():
            if "$ref" in str(value) and "description" not in value:
                continue  # a section: told where it is defined
            assert re.fullmatch(r"[A-Z].+\.", value["description"]), key
            whole = {**value, "$defs": SCHEMA["$defs"]}
            assert [*Draft202012Validator(whole).iter_errors(value["examples"][0])] == [], key


def test_the_schema_is_closed_and_of_its_draft():
    """The schema is one of draft 2020-12, and knows no object that takes unknown keys."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert all(part["additionalProperties"] is False for part in parts(SCHEMA) if part.get("type") == "object")


def test_the_schema_takes_what_the_service_takes():
    """The sample configuration, one with every key, and one whose sections are left empty are good by the schema."""
    empty = re.sub(r"^(log|site|http|mail):\n(  .*\n)+", r"\1:\n", FULL, flags=re.MULTILINE)
    for text in (shipped("config.yaml").read_text("utf-8"), FULL, empty):
        assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


def test_the_schema_refuses_what_the_service_refuses():
    """What the service refuses for its form an editor refuses too, by the schema."""
    good, count = set(), 0
    for text, _, _, what in cases():
        try:
            tree = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        if what.endswith("twice"):
            continue  # which a parser takes without a word
        count += 1
        if VALIDATOR.is_valid(tree):
            good.add(what)
    assert {each for each in good if not each.startswith(("mail.transport: smtp", "mail.fallback: smtp"))} == MEANING
    assert count > 400


def test_what_is_in_force_can_be_written_again(folder):
    """`embargo config show` prints settings that mean the same, with every default and whole paths."""
    for number, text in enumerate((FULL, shipped("config.yaml").read_text("utf-8"))):
        file = folder / "config.yaml"
        file.write_text(text, "utf-8")
        before = read(file)
        shown = embargo(folder, "show")
        again = folder / "elsewhere" / str(number) / "config.yaml"
        again.parent.mkdir(parents=True)
        again.write_text(shown.replace("https://hooks.example.org/***", "https://hooks.example.org/x"), "utf-8")
        after = read(again)
        assert {**dict(after), "file": None, "text": None} == {**dict(before), "file": None, "text": None}
        assert [hook.secret for hook in after.alerts.webhooks] == [hook.secret for hook in before.alerts.webhooks]
        assert yaml.safe_load(shown).keys() == Settings.model_fields.keys()
        assert str(folder / "records") in shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://press:sesame@db/name", "postgresql://press:***@db/name"),
        ("postgresql://press:ses@me/x@db/name", "postgresql://press:***@db/name"),
        ("postgresql://press@db/name", "postgresql://press@db/name"),
        (
            "postgresql://db/name?user=a&password=sesame&sslmode=require",
            "postgresql://db/name?user=a&password=***&sslmode=require",
        ),
        ("postgresql://db/name?sslpassword=sesame", "postgresql://db/name?sslpassword=***"),
    ],
)
def test_no_secret_is_shown(folder, written, shown):
    """What is in force is shown without passwords, secrets and the addresses of webhooks, also as JSON."""
    file = folder / "config.yaml"
    text = FULL.replace("sqlite:///var/embargo.db", f'"{written}"')
    file.write_text(text.replace("hooks.example.org/x", "hooks.example.org/sesame?a=sesame"), "utf-8")
    settings = read(file)
    found = reference.shown(settings)
    assert found["database"] == shown
    assert found["alerts"]["webhooks"][0]["url"] == "https://hooks.example.org/***"
    assert "sesame" not in str(found)
    assert settings.password == "sesame"
    assert not found.keys() & (Config.model_fields.keys() - Settings.model_fields.keys())


def test_what_is_in_force_for_a_machine(folder):
    """`embargo config show --json` is one document with the same in it, units and all."""
    (folder / "config.yaml").write_text(FULL, "utf-8")
    found = json.loads(embargo(folder, "show", "--json"))
    assert found == reference.shown(read(folder / "config.yaml"))
    assert (found["mail"]["rate"], found["mail"]["from"]) == ("10/s", "Press <press@example.org>")
    assert (found["alerts"]["repeat"], found["alerts"]["disk"], found["desk"]["ahead"]) == ("4h", "500M", ["1d", "1h"])
