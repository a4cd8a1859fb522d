"""What is wrong from the start is told before engines are opened and nodes are started."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.ran import Waggle
from waggle.node.home.home import NodeHome

ENGINE = ("--engine", "no-such-folder")
"""Whoever opens it says so."""
WRONG_ENGINE = "'no-such-folder' is neither a model folder"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_engine_would_be_complained_of(waggle: Waggle) -> None:
    assert WRONG_ENGINE in waggle("join", *ENGINE).complaint()


def test_a_node_that_runs_already_is_told_before_engines_are_opened(waggle: Waggle, tmp_path: Path) -> None:
    with NodeHome(tmp_path / "home", "bee").lock():
        assert "node 'bee' runs already" in waggle("join", *ENGINE, "--name", "bee").complaint()


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--listen=nonsense", "is no address like"),
        ("--listen=/ip4/192.0.2.77/tcp/4001", "cannot listen on /ip4/192.0.2.77/tcp/4001"),
        ("--announce=/ip4/1.2.3.4/tcp/0", "needs its real port"),
        ("--relay=/ip4/1.2.3.4/tcp/4001", "has to end in /p2p/"),
        ("--gateway-host=0.0.0.0", "will not listen on 0.0.0.0 without API keys"),
    ],
)
def test_addresses_are_checked_before_engines_are_opened(waggle: Waggle, flag: str, complaint: str) -> None:
    assert complaint in waggle("join", *ENGINE, flag, "--gateway-port=0").complaint(2)


def test_ports_are_tried_before_engines_are_opened(waggle: Waggle, taken: int) -> None:
    assert "cannot listen on" in waggle("join", *ENGINE, f"--listen=/ip4/127.0.0.1/tcp/{taken}").complaint()
    assert f"port {taken} is in use" in waggle("join", *ENGINE, f"--gateway-port={taken}").complaint()


@pytest.mark.parametrize("mesh", ["libp2p", "memory"])
def test_up_tries_the_port_of_its_gateway_first(waggle: Waggle, taken: int, mesh: str) -> None:
    ran = waggle("up", *ENGINE, f"--gateway-port={taken}", "--mesh", mesh)
    assert (ran.status, ran.out) == (2, "")
    assert f"port {taken} is in use" in ran.complaint()
