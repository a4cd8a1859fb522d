"""A process that is handed settings sees these and no others, whatever the environment and the files say."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.ran import COMMAND, run_alone
from waggle.node.config.settings import LOOPBACK, Settings
from waggle.node.config.table import SETTINGS
from waggle.node.running.handover import arguments_of, environment_of

pytestmark = pytest.mark.timeout(120)

ODD = Settings(
    home=Path("/nowhere"),
    name="bee",
    network="orchard",
    listen=LOOPBACK,
    join=("waggle:///ip4/1.2.3.4,odd",),
    multicast=False,
    port_map=True,
    engines=("./a b", "http://127.0.0.1:1/v1#x"),
    capacity=3,
    min_confidence=0.25,
    log_format="json",
    gateway_port=0,
    gateway_hosts=("one", "two"),
)


def test_every_setting_arrives_as_it_was(tmp_path: Path) -> None:
    told = json.loads(run_alone("config", "--json", *arguments_of(ODD), WAGGLE_HOME=str(tmp_path)).out)["settings"]
    for name in SETTINGS.keys() - {"home"}:
        expected = getattr(ODD, name)
        assert told[name]["value"] == (list(expected) if isinstance(expected, tuple) else expected), name


def test_only_what_is_not_at_its_default_is_said() -> None:
    assert arguments_of(Settings())[2:] == []
    assert arguments_of(Settings(capacity=3, multicast=False))[2:] == ["--no-multicast", "--capacity=3"]


def test_neither_file_nor_environment_gets_a_word_in(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "waggle.toml").write_text('join = ["/ip4/1.2.3.4"]')
    foreign = {"WAGGLE_JOIN": "junk", "WAGGLE_CAPACITY": "5", "WAGGLE_CONFIG": "gone.toml", "MY_KEY": "secret"}
    environment = environment_of(tmp_path, {"PATH": "/usr/bin", **foreign})
    assert environment == {"PATH": "/usr/bin", "MY_KEY": "secret", "WAGGLE_HOME": str(tmp_path)}
    command = [*COMMAND, "config", "--json", *arguments_of(Settings(name="bee"))]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60)
    origins = {name: told["from"] for name, told in json.loads(done.stdout)["settings"].items()}
    assert {name: origin for name, origin in origins.items() if origin != "default"} == {
        "home": "WAGGLE_HOME",
        "name": "--name",
    }
