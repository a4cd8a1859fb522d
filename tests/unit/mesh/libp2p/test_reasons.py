"""What the daemon says of failed dials, told in plain words: its texts here were taken from real ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import PeerRefused, PeerUnreachable
from waggle.mesh.libp2p.p2pd.control import failure
from waggle.mesh.libp2p.p2pd.reasons import MAX_REASONS, MAX_UNKNOWN, plain

ID = "12D3KooWGy2BRM8d8oCoC5yqb9npvb2cseeJYqFAXxpveJtXPY1P"
HEAD = f"failed to dial: failed to dial {ID}: all dials failed"
REFUSED = "\n  * [/ip4/127.0.0.1/tcp/1] dial tcp4 127.0.0.1:1: connect: connection refused"
BACKOFF = "\n  * [/ip4/127.0.0.1/tcp/1] dial backoff"
SILENT = "\n  * [/ip4/127.0.0.1/tcp/2] failed to negotiate security protocol: context deadline exceeded"
OTHER = f"\n  * [/ip4/127.0.0.1/udp/3/quic-v1] CRYPTO_ERROR 0x12a (local): peer id mismatch: expected {ID}, but"
NO_RELAY = (
    f"\n  * [/ip4/127.0.0.1/tcp/4/p2p/{ID}/p2p-circuit] error opening hop stream to relay: failed to negotiate "
    "protocol: protocols not supported: [/libp2p/circuit/relay/0.2.0/hop]"
)

NO_NODE = "\n  * [/ip4/127.0.0.1/tcp/5] failed to negotiate security protocol: message did not have trailing newline"
HANGS_UP = "\n  * [/ip4/127.0.0.1/tcp/6] failed to negotiate security protocol: EOF"
NO_LOOPBACK = "\n  * [/ip4/127.0.0.1/tcp/7] dial tcp4 127.0.0.1:7: connect: network is unreachable"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (REFUSED, "nothing listens at its address"),
        (REFUSED + BACKOFF, "nothing listens at its address"),
        (BACKOFF, "it could not be reached a moment ago"),
        (REFUSED + REFUSED + SILENT, "nothing listens at its address; no answer in time"),
        (OTHER, "another node is at that address, or it has a new key"),
        (NO_RELAY, "the node in between does not relay"),
        (NO_NODE, "what answers there is no waggle node"),
        (HANGS_UP, "it hung up at once: is it a waggle node?"),
        (NO_LOOPBACK, "the loopback interface of this machine is down"),
        (NO_LOOPBACK.replace("127.0.0.1", "10.0.0.1"), "there is no way to its network from here"),
    ],
)
def test_every_attempt_is_told_once_in_plain_words(told: str, words: str) -> None:
    assert plain(HEAD + told) == words
    assert str(failure(HEAD + told)) == f"the peer cannot be reached: {words}"


def test_a_node_that_does_not_relay_is_no_peer_that_refuses_a_protocol() -> None:
    assert isinstance(failure(HEAD + NO_RELAY), PeerUnreachable)
    assert isinstance(failure("failed to negotiate protocol: protocols not supported: [/x]"), PeerRefused)


def test_an_unknown_reason_is_told_as_it_is_without_the_daemons_head() -> None:
    assert plain(f"failed to dial: failed to dial {ID}: the moon is\n full") == "the moon is full"
    assert plain("") == "no reason is known"


@given(st.lists(st.text(), max_size=40).map("\n  * [/x] ".join))
def test_whatever_it_says_is_told_in_one_short_line(text: str) -> None:
    told = plain(text)
    assert told.isprintable()
    assert 0 < len(told) <= MAX_REASONS * (MAX_UNKNOWN + len("; "))
