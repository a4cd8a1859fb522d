"""`waggle config` shows what is in force and where it came from; its flags are those of every other verb."""

import json
import tomllib
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tests.unit.cli.ran import Waggle
from waggle.cli.config import takes_settings
from waggle.node.config.example import example
from waggle.node.config.load import Configuration
from waggle.node.config.table import SETTINGS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waggle.toml of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_shown_with_its_value_and_origin(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # room for any path
    monkeypatch.setenv("WAGGLE_NETWORK", "meadow")
    Path("waggle.toml").write_text("\ncapacity = 3\n")
    ran = waggle("config", "--relay", "/one", "--relay", "/two", "--no-multicast")
    assert (ran.status, ran.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.strip()}
    assert list(rows)[2:] == [*[*SETTINGS][:6], "relays", "/two", *[*SETTINGS][7:]]
    assert rows["network"] == ["meadow", "WAGGLE_NETWORK"]
    assert rows["capacity"] == ["3", "waggle.toml,", "line", "2"]
    assert rows["relays"] == ["/one", "--relay"]
    assert rows["/two"] == []
    assert rows["multicast"] == ["false", "--multicast"]
    assert rows["engines"] == ["-", "default"]


def test_json_holds_the_same(waggle: Waggle) -> None:
    Path("waggle.toml").write_text('join = ["waggle:///ip4/1.2.3.4"]')
    ran = waggle("config", "--json", "--budget-seconds", "5")
    told = json.loads(ran.out)
    assert list(told["settings"]) == list(SETTINGS)
    assert told["settings"]["budget_seconds"] == {"value": 5.0, "from": "--budget-seconds"}
    assert told["settings"]["join"] == {"value": ["waggle:///ip4/1.2.3.4"], "from": "waggle.toml, line 1"}
    assert (told["file"], told["warnings"]) == ("waggle.toml", [])


def test_the_example_is_a_waggle_toml(waggle: Waggle) -> None:
    ran = waggle("config", "--example")
    assert (ran.status, ran.out) == (0, example())
    assert tomllib.loads(ran.out) == {}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_not_shown(waggle: Waggle, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    monkeypatch.setenv("MY_KEY", "sekret1")
    addresses = ["http://me:sekret2@h/v1#m", "https://sekret3@h/v1?key=sekret4#m", "http://u:se@kret5@h/v1?a=/sekret6"]
    engines = [word for address in addresses for word in ("--engine", address)]
    ran = waggle("config", *form, *engines, "--key-variable", "MY_KEY")
    assert "MY_KEY" in ran.out
    assert "http://***@h/v1#m" in ran.out
    assert "sekret" not in ran.out + ran.err
    assert "kret5" not in ran.out


def test_a_warning_goes_beside_the_output(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAGGLE_CAPACTY", "3")
    ran = waggle("config", "--json")
    assert (
        ran.complaint() == "the environment variable WAGGLE_CAPACTY is none of waggle's; did you mean WAGGLE_CAPACITY?"
    )
    assert json.loads(ran.out)["warnings"] == [ran.complaint()]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--capacity", "0"], "--capacity must be a whole number from 1 to 256"),
        (["--log-level", "loud"], "--log-level must be one of debug, info, warning, error"),
        (["--config", "gone.toml"], "cannot read gone.toml: No such file or directory"),
        (["--nmae", "x"], "No such option: --nmae (Possible options: --home, --name) (see waggle config --help)"),
    ],
)
def test_a_mistake_is_one_line(waggle: Waggle, arguments: list[str], complaint: str) -> None:
    ran = waggle("config", *arguments)
    assert (ran.status, ran.out, ran.complaint()) == (2, "", complaint)


def test_an_origin_cannot_steer_the_terminal(waggle: Waggle) -> None:
    Path("\x1b[31m.toml").write_text("capacity = 3")
    assert "\x1b" not in waggle("config", "--config", "\x1b[31m.toml").out


def test_a_verb_gets_the_settings_that_it_asks_for_beside_its_own_options() -> None:
    seen: list[tuple[Configuration, str, int]] = []
    app = typer.Typer()

    @app.command()
    @takes_settings("name", "listen")
    def dance(
        configuration: Configuration,
        bee: Annotated[str, typer.Argument()],
        times: Annotated[int, typer.Option(min=1)] = 1,
    ) -> None:
        """Dance."""
        seen.append((configuration, bee, times))

    done = CliRunner().invoke(app, ["maya", "--times", "3", "--name", "ant", "--listen", "/a", "--listen", "/b"])
    assert done.exit_code == 0, done.output
    configuration, bee, times = seen[0]
    assert (bee, times) == ("maya", 3)
    assert (configuration.settings.name, configuration.settings.listen) == ("ant", ("/a", "/b"))
    assert CliRunner().invoke(app, ["maya", "--capacity", "3"]).exit_code == 2, "it did not ask for this one"
