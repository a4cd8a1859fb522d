"""What the nodes of `waggle up` are told, and what is told of them."""

from pathlib import Path

import pytest

from tests.unit.cli.ran import run_info
from waggle.cli.up import _gateway_gone, _open_at, _picture, _tell_ends, nodes_of
from waggle.node.config.settings import LOOPBACK, NO_PORT, Settings
from waggle.node.running.fleet import Fleet, Member

FIRST = run_info("up-a", gateway="http://g:1")


def test_nodes_share_what_up_was_told_and_nothing_that_only_join_has_a_flag_for() -> None:
    told = Settings(
        home=Path("/h"), network="n", capacity=3, budget_seconds=5.0, log_level="info", key_variable="K",
        name="mine", join=("junk",), announce=("junk",), relays=("junk",), listen=("junk",),
        serve_as_relay=True, port_map=True, price=9,
    )  # fmt: skip
    assert nodes_of(told, ["hive:acacia"]) == [
        Settings(
            home=Path("/h"), network="n", capacity=3, budget_seconds=5.0, log_level="info", key_variable="K",
            name="up-acacia", engines=("hive:acacia",), listen=LOOPBACK, multicast=False, remember=False,
        )
    ]  # fmt: skip


def test_the_first_one_alone_has_the_gateway() -> None:
    told = Settings(gateway_port=8080, gateway_hosts=("bees",), history="off")
    first, second = nodes_of(told, ["hive:acacia", "hive:acacia"])
    assert (first.gateway_port, first.gateway_hosts, first.history) == (8080, ("bees",), "off")
    assert (second.name, second.gateway_port, second.gateway_hosts) == ("up-acacia-2", NO_PORT, ())


def shown(*members: Member) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(_picture(list(members), FIRST))
    return captured.get()


def test_the_picture_takes_the_gateways_line_back_when_its_node_ends() -> None:
    alive, other = Member(name="up-a", models="a"), Member(name="up-b", models="b", fault="killed (signal 9)")
    assert _open_at(FIRST) in shown(alive, other)
    ended = shown(Member(name="up-a", models="a", fault="killed (signal 9)"))
    assert "http://g:1 is gone" in ended
    assert "in a browser" not in ended


class Ended(Fleet):
    """Of which both nodes have ended."""

    def faults(self) -> dict[str, str]:
        return {"up-b": "killed (signal 9)", "up-a": "ended with status 1: no"}


async def test_without_a_terminal_the_end_of_the_gateway_is_a_line() -> None:
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await _tell_ends(Ended([]), FIRST, tell)
    assert lines == ["node up-b killed (signal 9)", "node up-a ended with status 1: no", _gateway_gone(FIRST)]
