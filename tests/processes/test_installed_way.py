"""A package of somebody else's adds a way of answering: by command, over the gateway, over a mesh, and in its records.

The package is the one of docs/strategies.md, laid out as an installer would.
"""

import json
import os
import re
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.pages import DOCS, examples_on
from tests.processes.nodes import run, running, url_in
from tests.processes.proc import PATIENCE_SECONDS
from waggle.core.errors import UsageError
from waggle.node.history.records import load_record

pytestmark = pytest.mark.timeout(400)

PAGE = "strategies.md"
ENGINES = ("--engine", "scripted:a", "--engine", "scripted:b")
QUESTION = "What is 3 + 96?"
RIGHT, LONGEST = "99", "102"
"""What a says, who is asked first, and what b says."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, where the processes of a test find it and this one does not."""
    (code,) = (example.code for example in examples_on(PAGE))
    told = re.search(r"```toml\n(.*?)```", (DOCS / PAGE).read_text(), re.DOTALL)
    assert told is not None
    project = tomllib.loads(told[1])["project"]
    rows = [
        line
        for group, ways in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in ways.items()))
    ]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(rows))
    (tmp_path / "longest.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def test_the_command_asks_by_it_and_its_record_replays_where_it_is_installed(package: Path, root: Path) -> None:
    ran = run(root, "ask", "--strategy", "longest", *ENGINES, "--json", "--record", "round.json", QUESTION).expect(0)
    told = json.loads(ran.stdout)
    assert (told["answer"], told["strategy"]) == (LONGEST, "longest")
    assert told["spent"]["proposing_tokens"] > 0
    again = run(root, "replay", "--json", "round.json").expect(0)
    assert json.loads(again.stdout)["answer"] == LONGEST
    with pytest.raises(UsageError, match="unknown strategy 'longest'"):
        load_record(root / "round.json")


@pytest.mark.parametrize("command", [("serve",), ("up", "--mesh", "memory", "--nodes", "2")], ids=["alone", "mesh"])
def test_the_gateway_offers_it_and_answers_by_it(package: Path, root: Path, command: tuple[str, ...]) -> None:
    """In the mesh the longest answer is that of another node, which commits itself first."""
    with running(root, *command, *ENGINES, "--gateway-port", "0"):
        url = f"{url_in(root)}/v1"
        models = httpx.get(f"{url}/models", timeout=PATIENCE_SECONDS).json()["data"]
        asked = {"model": "swarm/longest", "messages": [{"role": "user", "content": QUESTION}]}
        made = httpx.post(f"{url}/chat/completions", json=asked, timeout=PATIENCE_SECONDS).json()
    assert "swarm/longest" in {model["id"] for model in models}
    assert made["choices"][0]["message"]["content"] == LONGEST
    assert made["waggle"]["strategy"] == "longest"
