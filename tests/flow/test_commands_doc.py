"""docs/commands.md: each example is typed as it stands there, and no command is left out."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command

from scheduler import cli
from scheduler.cli.app import app

TEXT = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
BLOCK = re.compile(r"(?:^`([a-z/.]+)` [^\n]+:\n\n)?^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLE = re.compile(r"^embargo .*$", re.MULTILINE)


def commands(group, *names) -> Iterator[str]:
    """The words of every command below a group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        elif not command.hidden:
            yield " ".join(("embargo", *names, name))


def test_every_command_has_an_example():
    """docs/commands.md shows every command of the program, and none that is not there."""
    known = set(commands(get_command(app)))
    assert "embargo mail ledger" in known
    shown = EXAMPLE.findall(TEXT)
    assert [each for each in known if not any(f"{line} ".startswith(f"{each} ") for line in shown)] == []
    names = known | {each.rpartition(" ")[0] for each in known} - {"embargo"}
    assert [line for line in shown if not f"{line} ".startswith(tuple(f"{each} " for each in names))] == []


def test_the_examples(tmp_path, monkeypatch, capsys):
    """Typed one after the other in a new newsroom, the examples do what is said behind them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBARGO_ACTOR", "editor@desk")
    text = TEXT.replace("2026", str(datetime.now(UTC).year + 1))
    for file, language, content in BLOCK.findall(text):
        if file:
            Path(file).write_text(content, "utf-8")
        for line in content.splitlines() if language == "sh" else ():
            words = shlex.split(line, comments=True)
            if words[0] == "cd":
                monkeypatch.chdir(words[1])
                continue
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                cli.main()
            said = "".join(capsys.readouterr())
            assert (ended.value.code or 0) == ("# status 1" in line), f"{line}\n{said}"
            assert said.strip(), line
    assert Path("trail.jsonl").exists()
