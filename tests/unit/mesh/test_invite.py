"""Invites: read, written, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.mesh.invite import format_invite, parse_invite

ID = "12D3KooWKf4yP7PoXHHJvdjACodu41nHS8U6UdMHdyYy8fEdJia5"
OTHER = "12D3KooWFuHd7CNH4vZZkCyc8vTx8RVFFGLt2TxCPFdeMtHR3Eqo"
PUBLIC = f"/ip4/5.5.5.5/tcp/4001/p2p/{ID}"
LOOPBACK = f"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/{ID}"


@pytest.mark.parametrize("start", ["", "waggle:", "waggle:/", "waggle://", "WAGGLE://"])
def test_every_spelling_of_an_invite_is_read(start: str) -> None:
    invite = parse_invite(f" {start}{PUBLIC},{LOOPBACK}?network=bees\n")
    assert invite.addresses == (PUBLIC, LOOPBACK)
    assert invite.network == "bees"
    assert invite.node == ID


def test_an_invite_reads_back_as_it_was_written_with_far_addresses_first() -> None:
    text = format_invite([LOOPBACK, PUBLIC, PUBLIC], "bees.2")
    assert text == f"waggle://{PUBLIC},{LOOPBACK}?network=bees.2"
    assert parse_invite(text).addresses == (PUBLIC, LOOPBACK)
    assert format_invite([PUBLIC]) == f"waggle://{PUBLIC}"


def test_an_invite_for_another_network_is_refused() -> None:
    assert parse_invite(PUBLIC, network="bees").network == "bees"
    with pytest.raises(UsageError, match="--network wasps"):
        parse_invite(f"{PUBLIC}?network=wasps", network="bees")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "waggle:",
        "waggle:////ip4/5.5.5.5/tcp/1/p2p/" + ID,
        "https://example.org",
        f"wiggle:{PUBLIC}",
        f"waggle:{PUBLIC},",
        f"waggle:{PUBLIC},,{LOOPBACK}",
        f"waggle:{PUBLIC}, {LOOPBACK}",
        f"waggle:{PUBLIC}?network=",
        f"waggle:{PUBLIC}?network=a b",
        f"waggle:{PUBLIC}?net=bees",
        f"waggle:{PUBLIC}?network=bees&x=1",
        f"waggle:{PUBLIC}?network=bees?network=bees",
        f"waggle:{PUBLIC},/ip4/5.5.5.5/tcp/4001/p2p/{OTHER}",
        ",".join([PUBLIC] * 9),
        "waggle:" + PUBLIC * 100,
    ],
)
def test_nonsense_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match=r".{10}"):
        parse_invite(text)


@given(st.text(max_size=80))
def test_any_text_is_an_invite_or_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_invite(text)


def test_no_invite_is_made_without_an_address_of_one_node() -> None:
    with pytest.raises(UsageError, match="without an address"):
        format_invite([])
    with pytest.raises(UsageError, match="different nodes"):
        format_invite([PUBLIC, PUBLIC.replace(ID, OTHER)])
    with pytest.raises(UsageError, match="no name of a network"):
        format_invite([PUBLIC], "a,b")


LONG = f"waggle://{PUBLIC},{LOOPBACK}"
FIRST = len(f"waggle://{PUBLIC}")


@pytest.mark.parametrize("length", [n for n in range(len("waggle:///ip4"), len(LONG)) if LONG[n - 1] != "/"])
def test_an_invite_that_was_copied_in_part_is_named_as_such(length: int) -> None:
    cut = LONG[:length]
    if length == FIRST:
        assert parse_invite(cut).addresses == (PUBLIC,)  # nobody can tell
    elif length < FIRST or length >= FIRST + len(",/ip4"):
        with pytest.raises(UsageError, match="the invite is cut off"):
            parse_invite(cut)
    else:
        with pytest.raises(UsageError):
            parse_invite(cut)


@pytest.mark.parametrize("text", [f"{PUBLIC}xy", f"{PUBLIC[:-5]}?network=bees", f"{PUBLIC[:-5]}0000l", PUBLIC.upper()])
def test_a_mistyped_node_id_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no node id: copy .* once more|no kind of address"):
        parse_invite(text)


def test_a_mistyped_port_is_not_called_cut_off() -> None:
    with pytest.raises(UsageError, match="the port in"):
        parse_invite(f"/ip4/5.5.5.5/tcp/99999/p2p/{ID}")
