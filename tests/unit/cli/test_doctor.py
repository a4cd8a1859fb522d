"""How `waggle doctor` marks the ways: only what works is ok, and only what nothing else makes up for is a fault."""

import pytest

from tests.unit.cli.ran import PEER, Waggle, address
from waggle.cli.doctor import invited, ways
from waggle.cli.findings import MARKS
from waggle.node.network.dial_check import QUIC, RELAY, TCP, Finding


def findings(**works: bool) -> list[Finding]:
    return [Finding(way=way, works=fine, remark="why") for way, fine in works.items()]


def marks(rows: list[tuple[str, str, str, bool | None]]) -> list[str]:
    return [MARKS[fine][0] for *_, fine in rows]


def test_a_way_that_does_not_work_is_never_marked_ok() -> None:
    rows = ways(findings(TCP=True, QUIC=False, multicast=False, relay=False))
    assert marks(rows) == ["ok", "--", "--", "--"]
    assert [found for _, found, *_ in rows] == ["works", "does not", "does not", "does not"]
    assert [what for what, *_ in rows] == ["direct TCP", "direct QUIC", "multicast", "relay"]


def test_without_any_direct_way_both_are_faults() -> None:
    assert marks(ways(findings(TCP=False, QUIC=False, multicast=True, relay=False))) == ["!!", "!!", "ok", "--"]
    assert marks(ways(findings(TCP=False, QUIC=True, multicast=True, relay=True))) == ["--", "ok", "ok", "ok"]


def test_one_address_of_an_invite_is_enough() -> None:
    some = [Finding(way=TCP, works=False, remark=""), Finding(way=RELAY, works=True, remark="")]
    assert marks(invited(PEER, some)) == ["--", "ok"]
    none = [Finding(way=TCP, works=False, remark=""), Finding(way=QUIC, works=False, remark="")]
    assert marks(invited(PEER, none)) == ["!!", "!!"]
    assert invited(PEER, none)[0][0] == "...VdSbsN TCP"


def test_what_a_peer_says_cannot_steer_the_terminal() -> None:
    assert ways([Finding(way="relay", works=False, remark="\x1b[31m\nok")])[0][2].isprintable()


@pytest.mark.parametrize("text", ["nonsense", address()[:-4]])
def test_a_wrong_invite_is_refused_before_anything_is_tried(waggle: Waggle, text: str) -> None:
    ran = waggle("doctor", "--via", text)
    assert (ran.status, ran.out) == (2, "")
