"""What the documents say is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

from scheduler import shipped
from scheduler.cli.app import app
from scheduler.config import Config
from scheduler.intake.matter import WithBody

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def commands(group, prefix=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield f"{prefix}{name}"
            yield from commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}"


COMMANDS = set(commands(typer.main.get_command(app)))


def test_every_command_is_in_the_readme():
    """Every command is in the README."""
    for command in COMMANDS:
        assert re.search(rf"`[^`\n]*\b{command}\b|embargo {command}", README), command


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_is_there(document):
    """Every command that a document tells you to type is there."""
    for line in re.findall(r"`embargo ([a-z-]+(?: [a-z]+)?)", document.read_text("utf-8")):
        assert line in COMMANDS or line.split()[0] in COMMANDS, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_and_test_that_a_document_names_is_there(document):
    """Every file, link and test that a document names is there."""
    text = document.read_text("utf-8")
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
    for name in re.findall(r"`((?:tests|docs|benchmarks|scheduler|deploy|examples)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((?!http)([\w./-]+)\)", text):
        assert (document.parent / name).exists(), name


def test_every_key_of_a_record_is_documented():
    """Every key of a record file is documented."""
    text = (ROOT / "docs" / "records.md").read_text("utf-8")
    for key in WithBody.model_fields:
        assert f"`{key}" in text, key


def test_every_setting_stands_in_the_sample_configuration():
    """Every setting stands in the sample configuration, with a word about it."""
    text = shipped("config.yaml").read_text("utf-8")
    keys = set(re.findall(r"^\s*(?:#\s+|- )?(\w+):", text, re.MULTILINE))

    def walk(model):
        for name, info in model.model_fields.items():
            if name in {"file", "text", "own", "password", "fallback_password"}:
                continue
            assert (info.alias or name) in keys, name
            for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
                if hasattr(kind, "model_fields"):
                    walk(kind)

    walk(Config)
    assert yaml.safe_load(text)


def test_templates_and_examples_travel_with_the_package():
    """Templates, examples and the sample configuration travel with the package."""
    for name in (
        "rss.xml",
        "atom.xml",
        "feed.json",
        "release.html",
        "index.html",
        "mail.txt",
        "mail.html",
        "style.css",
    ):
        assert (shipped("templates") / name).is_file()
    assert (shipped("examples") / "background-call.txt").is_file()
    assert shipped("config.yaml").is_file()
