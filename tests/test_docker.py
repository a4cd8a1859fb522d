"""The Dockerfile and compose.yaml cannot be run everywhere; what can be checked of them is checked here."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from waggle.cli.verbs import app

ROOT = Path(__file__).parent.parent


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 0)


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install waggle\n")
    found = subprocess.run([Path(sys.executable).parent / "hadolint", bad], capture_output=True, check=False)
    assert found.returncode == 1


def test_the_compose_file_hands_on_every_argument_of_the_build() -> None:
    node = yaml.safe_load((ROOT / "compose.yaml").read_text())["x-node"]
    asked = [
        line.split()[1].partition("=")[0]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("ARG ")
    ]
    assert list(node["build"]["args"]) == asked


def commands() -> list[list[str]]:
    """What the compose file has the nodes do."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return [service["command"] for service in services.values()]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[2])
def test_every_flag_in_the_compose_file_is_one_that_the_command_has(command: list[str]) -> None:
    import typer.main

    group = typer.main.get_command(app)
    verb = group.get_command(None, command[0])  # type: ignore[attr-defined]
    known = {option for parameter in verb.params for option in parameter.opts}
    assert {word for word in command if word.startswith("--")} <= known
    assert len(commands()) == 3
