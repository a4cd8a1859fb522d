"""Checks on links and on the end: connecting, dropping, dialling again, peers that go, closing."""

import asyncio

from waggle.core.errors import PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.transport import Transport
from waggle.testing.transport_checks.subject import (
    DIAL_S,
    LONG_S,
    SETTLE_S,
    Gate,
    Trio,
    echo,
    echo_frames,
    eventually,
    fresh_protocol,
    met,
    raises,
    soon,
    stream_pair,
)


async def _linked(one: Transport, other: Transport) -> bool:
    return other.node_id in [link.peer for link in await one.links()]


async def _linked_soon(one: Transport, other: Transport, expected: bool) -> None:
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while await _linked(one, other) is not expected:
        assert asyncio.get_running_loop().time() < deadline, f"a link is listed: {not expected}, should be {expected}"
        await asyncio.sleep(0.05)


async def check_connecting_gives_the_peer_and_a_link_at_both_ends(trio: Trio) -> None:
    """Addresses end in the id; connecting gives it; both sides list one link; once more is harmless."""
    a, b, _ = trio
    addresses = await b.addresses()
    assert addresses, "a node without an address"
    assert all(address.endswith(f"/p2p/{b.node_id}") for address in addresses), f"addresses without id: {addresses}"
    for _ in range(2):
        peer = await a.connect(addresses)
        assert peer == b.node_id, f"connected to {peer}"
    await _linked_soon(b, a, expected=True)
    peers = [link.peer for link in await a.links()]
    assert peers.count(b.node_id) == 1, f"links to {peers}"
    assert not any(link.relayed for link in await a.links()), "a link without a relay is called relayed"


async def check_nonsense_is_a_usage_error(trio: Trio) -> None:
    """Text that is no address of one peer; nor is our own address one to connect to."""
    a, b, c = trio
    for text in ("", "nonsense", "/p2p/", b.node_id, f"/p2p/{b.node_id}", "/ip4/127.0.0.1/tcp/1", "/\x00/p2p/x"):
        await raises(UsageError, a.connect([text]), f"connecting to {text!r}", within=SETTLE_S)
    await raises(UsageError, a.connect([]), "connecting to no address", within=SETTLE_S)
    mixed = [*await b.addresses(), *await c.addresses()]
    await raises(UsageError, a.connect(mixed), "connecting to two peers at once", within=SETTLE_S)
    await raises(UsageError, a.connect(await a.addresses()), "connecting to ourselves", within=SETTLE_S)


async def check_a_stranger_is_unreachable(trio: Trio) -> None:
    """Whoever we have no address of cannot be called, and we learn it at once."""
    a, *_ = trio
    for peer in (NodeId("nobody"), NodeId("")):
        await raises(
            PeerUnreachable, a.call(peer, fresh_protocol(), b"", seconds=LONG_S), "calling a stranger", within=SETTLE_S
        )
        await raises(
            PeerUnreachable, a.open(peer, fresh_protocol(), seconds=LONG_S), "a stream to a stranger", within=SETTLE_S
        )


async def check_a_dropped_link_is_dialled_again(trio: Trio) -> None:
    """Both sides see the link go; calls and streams of either side bring it back."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, echo)
    await b.serve_streams(protocol, echo_frames)
    await _drop(a, b)
    assert await a.call(peer, protocol, b"bee") == b"bee", "no call after a link was dropped"
    assert await _linked(a, b), "a call went through without a link"
    await _drop(a, b)
    stream = await a.open(peer, protocol)
    await stream.send(b"bee")
    assert await soon(stream.receive(), "a stream on a new link answers") == b"bee", "another frame came back"
    await stream.close()


async def _drop(a: Transport, b: Transport) -> None:
    await _linked_soon(b, a, expected=True)
    await a.disconnect(b.node_id)
    await _linked_soon(a, b, expected=False)
    await _linked_soon(b, a, expected=False)


async def check_a_dropped_link_ends_the_calls_on_it(trio: Trio) -> None:
    """The caller learns of it long before its time is over, and the handler stops."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    calling = asyncio.create_task(a.call(peer, protocol, b"", seconds=LONG_S))
    await eventually(lambda: gate.running == 1, "the handler runs")
    await b.disconnect(a.node_id)
    await raises(PeerUnreachable, calling, "a call whose link was dropped", within=SETTLE_S)
    await eventually(lambda: gate.running == 0, "the handler of a lost call stops")


async def check_a_peer_that_goes_is_unreachable(trio: Trio) -> None:
    """Calls and streams under way with a peer that closes end at once; new ones and dials fail before their time."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    addresses = await b.addresses()
    near, _, _ = await stream_pair(a, b)
    calling = asyncio.create_task(a.call(peer, protocol, b"", seconds=LONG_S))
    await eventually(lambda: gate.running == 1, "the handler runs")
    await soon(b.close(), "closing while work is under way")
    await raises(PeerUnreachable, calling, "a call to a peer that went", within=SETTLE_S)
    await soon(asyncio.gather(near.receive(), return_exceptions=True), "a stream with a peer that went ends")
    await raises(PeerUnreachable, near.send(b"late"), "sending to a peer that went", within=SETTLE_S)
    await raises(PeerUnreachable, a.call(peer, protocol, b"", seconds=LONG_S), "calling who went", within=DIAL_S)
    await raises(PeerUnreachable, a.open(peer, protocol, seconds=LONG_S), "a stream to who went", within=DIAL_S)
    await raises(PeerUnreachable, a.connect(addresses, seconds=2), "dialling who went", within=SETTLE_S)
    await _linked_soon(a, b, expected=False)


async def check_closing_stops_the_handlers(trio: Trio) -> None:
    """Calls and streams being served when the transport closes are cancelled before `close` returns."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    await b.serve_streams(protocol, gate.attend)
    stream = await a.open(peer, protocol)
    calling = asyncio.create_task(a.call(peer, protocol, b"", seconds=LONG_S))
    await eventually(lambda: gate.running == 2, "a call and a stream are being served")
    await soon(b.close(), "closing while handlers run")
    assert gate.running == 0, f"{gate.running} handlers run after close"
    await raises(PeerUnreachable, calling, "a call to who closed", within=SETTLE_S)
    await stream.close()


async def check_a_closed_transport_stays_closed(trio: Trio) -> None:
    """Closing again is harmless, at the same time or later; everything else is PeerUnreachable."""
    a, b, _ = trio
    peer, addresses, protocol = await met(a, b), await b.addresses(), fresh_protocol()
    await soon(asyncio.gather(a.close(), a.close()), "closing twice at once")
    await soon(a.close(), "closing once more")
    gate = Gate()
    for work, what in (
        (a.call(peer, protocol, b"", seconds=LONG_S), "call"),
        (a.open(peer, protocol, seconds=LONG_S), "open"),
        (a.connect(addresses, seconds=LONG_S), "connect"),
        (a.disconnect(peer), "disconnect"),
        (a.serve_calls(protocol, gate.answer), "serve_calls"),
        (a.serve_streams(protocol, gate.attend), "serve_streams"),
        (a.addresses(), "addresses"),
        (a.links(), "links"),
    ):
        await raises(PeerUnreachable, work, f"{what} after close", within=SETTLE_S)
    await _linked_soon(b, a, expected=False)


async def check_our_own_work_ends_when_we_close(trio: Trio) -> None:
    """Calls and streams that we have under way end with PeerUnreachable when we close ourselves."""
    a, b, _ = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, gate.answer)
    near, _, kept = await stream_pair(a, b)
    calling = asyncio.create_task(a.call(peer, protocol, b"", seconds=LONG_S))
    reading = asyncio.create_task(near.receive())
    await eventually(lambda: gate.running == 1, "the handler runs")
    await soon(a.close(), "closing while our own call is under way")
    await raises(PeerUnreachable, calling, "our own call after close", within=SETTLE_S)
    await raises(PeerUnreachable, reading, "our own stream after close", within=SETTLE_S)
    await eventually(lambda: gate.running == 0, "the handler of who closed is cancelled")
    kept.let_go.set()


LINK_CHECKS = (
    check_connecting_gives_the_peer_and_a_link_at_both_ends,
    check_nonsense_is_a_usage_error,
    check_a_stranger_is_unreachable,
    check_a_dropped_link_is_dialled_again,
    check_a_dropped_link_ends_the_calls_on_it,
)
ENDING_CHECKS = (
    check_a_peer_that_goes_is_unreachable,
    check_closing_stops_the_handlers,
    check_a_closed_transport_stays_closed,
    check_our_own_work_ends_when_we_close,
)
