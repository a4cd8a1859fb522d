"""Which running node a verb means, and in whose folder it looks."""

from pathlib import Path

import pytest

from tests.adverts import alive
from tests.unit.cli.ran import PEER, Running, Waggle, address
from waggle.cli.local import _print_peers, any_running_node
from waggle.core.mesh_values import Peer, SharedFiles


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the environment names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.mark.parametrize("verb", [("leave",), ("share", "clover", "--stop")])
def test_what_changes_something_asks_which_node(
    waggle: Waggle, home: Path, running: Running, verb: tuple[str, ...]
) -> None:
    running(home, "up-acacia", "up-sage")
    assert waggle(*verb).complaint(2) == "which node? say --node up-acacia or up-sage"


@pytest.mark.parametrize("verb", ["peers", "invite"])
def test_what_only_looks_takes_the_first_node_and_says_so(
    waggle: Waggle, home: Path, running: Running, verb: str
) -> None:
    running(home, "up-sage", "up-acacia")
    said, failure = waggle(verb).err.splitlines()
    assert said == "waggle: this is by your node up-acacia; --node takes another one: up-sage"
    assert "no node listens at /c" in failure
    assert "no node listens at /c" in waggle(verb, "--node", "up-sage").complaint()


@pytest.mark.parametrize("verb", ["peers", "invite", "leave"])
def test_that_nothing_runs_is_a_failure_and_no_wrong_usage(waggle: Waggle, home: Path, verb: str) -> None:
    said = waggle(verb).complaint(1)
    assert said == "no node of yours is running: start one with waggle join or waggle up"


def test_one_node_need_not_be_named(waggle: Waggle, home: Path, running: Running) -> None:
    running(home, "up-acacia")
    assert "no node listens at /c" in waggle("leave").complaint()


def test_fetch_takes_the_first_node_or_the_one_that_it_is_given(
    waggle: Waggle, home: Path, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    running(home, "p", "q")
    assert any_running_node(home, None).addresses == (address(1),)
    assert capsys.readouterr().err == "waggle: this is by your node p; --node takes another one: q\n"
    assert any_running_node(home, "q").addresses == (address(2),)
    other = waggle("fetch", "clover", "--node", "r").complaint(2)
    assert other == "no node 'r' of yours is running; there is p or q"
    both = waggle("fetch", "clover", "--node", "p", "--via", address(1)).complaint(2)
    assert both == "--via fetches past your own node: leave out --node"


def test_join_runs_a_node_of_the_home_that_it_is_given(waggle: Waggle, tmp_path: Path, running: Running) -> None:
    running(tmp_path / "other", "bee")
    ran = waggle("join", "--home", str(tmp_path / "other"), "--name", "bee", "--without-models", "--no-multicast")
    assert f"{tmp_path}/other/nodes/bee" in ran.complaint(2)


@pytest.mark.timeout(240)
def test_up_runs_its_nodes_in_the_home_that_it_is_given(waggle: Waggle, home: Path, tmp_path: Path) -> None:
    ran = waggle("up", "--home", str(tmp_path / "other"), "--nodes", "1", "--engine", "nowhere")
    assert (ran.status, "node up-nowhere did not start" in ran.err) == (1, True)
    assert (tmp_path / "other" / "nodes" / "up-nowhere" / "node.log").stat().st_size
    assert not (home / "nodes").exists()


def test_a_second_up_in_one_home_says_how_to_go_on(waggle: Waggle, home: Path, running: Running) -> None:
    running(home, "up-nowhere")
    ran = waggle("up", "--nodes", "2", "--engine", "nowhere")
    assert (ran.status, "waggle up runs here already: end it with Ctrl-C there" in ran.err) == (2, True)


def peer(name: str, *shared: str) -> Peer:
    """A node that shares models of these names."""
    files = tuple(SharedFiles(name=each, manifest="0" * 64, size=1) for each in shared)
    return alive(PEER, name=name, shared=files)


def test_peers_shows_what_can_be_fetched_from_whom(capsys: pytest.CaptureFixture[str]) -> None:
    _print_peers([peer("ant"), peer("bee", "thyme", "sage")])
    head, _, ant, bee = capsys.readouterr().out.strip().splitlines()[:4]
    assert "shares" in head
    assert "thyme, sage" in bee
    assert "thyme" not in ant
    _print_peers([peer("ant")])
    assert "shares" not in capsys.readouterr().out
