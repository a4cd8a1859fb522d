"""A server gives what is shared, exactly as asked, and turns everything else away unharmed."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.mesh.files.swarm import MIB, Swarm
from tests.virtual import in_virtual_time
from waggle.core.errors import PeerBusy, PeerRefused, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.files.manifest import address
from waggle.mesh.files.serve import IDLE_SECONDS, MAX_STREAMS, MAX_STREAMS_OF_ONE, MAX_WAITING, FileServer
from waggle.mesh.files.wire import (
    CHUNK_PROTOCOL,
    LIST_PROTOCOL,
    MANIFEST_PROTOCOL,
    AskList,
    AskManifest,
    AskRange,
    Listing,
    ManifestPiece,
)
from waggle.mesh.packing import decode_as, encode
from waggle.mesh.transport import Refusal

ANNA = NodeId("anna")


async def ask_range(swarm: Swarm, request: bytes) -> bytes:
    """The frame that answers, its code first."""
    stream = await swarm.me.open(ANNA, CHUNK_PROTOCOL)
    await stream.send(request)
    frame = await stream.receive()
    await stream.close()
    assert frame is not None
    return frame


@in_virtual_time
async def test_a_peer_is_told_what_is_shared(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    reply = await swarm.me.call(ANNA, LIST_PROTOCOL, encode(AskList(), 100))
    (listed,) = decode_as(Listing, reply, MIB).shared
    assert (listed.name, listed.manifest) == ("thyme", swarm.manifest)


@in_virtual_time
async def test_a_manifest_can_be_read_in_pieces(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    data, total = b"", 1
    while len(data) < total:
        ask = AskManifest(manifest=swarm.manifest, offset=len(data), length=100)
        piece = decode_as(ManifestPiece, await swarm.me.call(ANNA, MANIFEST_PROTOCOL, encode(ask, 1_000)), MIB)
        assert len(piece.data) <= 100
        data, total = data + piece.data, piece.total
    assert address(data) == swarm.manifest
    ask = AskManifest(manifest=swarm.manifest, offset=total, length=100)
    with pytest.raises(PeerRefused):
        await swarm.me.call(ANNA, MANIFEST_PROTOCOL, encode(ask, 1_000))


@in_virtual_time
async def test_a_range_is_exactly_what_was_asked_for(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    whole = (swarm.model / "model.safetensors").read_bytes()
    for offset, length in [(0, 1), (5, 1_000), (MIB - 1, 2), (2 * MIB, MIB), (len(whole) - 1, 1)]:
        ask = AskRange(manifest=swarm.manifest, file=3, offset=offset, length=length)
        reply = await ask_range(swarm, encode(ask, 1_000))
        assert reply == b"\0" + whole[offset : offset + length]
    assert swarm.servers[ANNA].served_bytes == 1 + 1_000 + 2 + MIB + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest": "0" * 64}, {"manifest": "../../etc"}, {"manifest": ""}, {"file": 5}, {"file": 1_024}, {"file": -1},
        {"offset": -1}, {"offset": 2**60}, {"offset": 4 * MIB}, {"length": 0}, {"length": MIB + 1}, {"length": 2**62},
        {"offset": 3 * MIB, "length": MIB}, {"path": "/etc/passwd"}, {"file": "0"}, {"file": 2, "length": 1},
    ],
)  # fmt: skip
@in_virtual_time
async def test_any_other_range_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    fine = {"manifest": swarm.manifest, "file": 3, "offset": 0, "length": 10}
    assert len(await ask_range(swarm, msgspec.msgpack.encode(fine))) == 11
    refused = await ask_range(swarm, msgspec.msgpack.encode(fine | changes))
    assert refused in (bytes([Refusal.FAILED]), bytes([Refusal.MALFORMED]))
    assert len(await ask_range(swarm, msgspec.msgpack.encode(fine))) == 11


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(st.sampled_from([LIST_PROTOCOL, MANIFEST_PROTOCOL, CHUNK_PROTOCOL]), st.binary(min_size=2, max_size=200))
@in_virtual_time
async def test_arbitrary_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, protocol: str, data: bytes
) -> None:
    swarm = await Swarm.of(tmp_path_factory.mktemp("swarm"), "anna")
    if protocol == CHUNK_PROTOCOL:
        assert await ask_range(swarm, data) == bytes([Refusal.MALFORMED])
        return
    with pytest.raises((PeerRefused, RemoteProtocolError)):
        await swarm.me.call(ANNA, protocol, data)


@in_virtual_time
async def test_why_something_is_refused_is_not_told(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    (swarm.model / "LICENSE").write_text("changed")
    ask = AskRange(manifest=swarm.manifest, file=0, offset=0, length=5)
    assert await ask_range(swarm, encode(ask, 1_000)) == bytes([Refusal.FAILED])
    reply = await swarm.me.call(ANNA, LIST_PROTOCOL, encode(AskList(), 100))
    assert decode_as(Listing, reply, MIB).shared == ()


@in_virtual_time
async def test_the_owner_is_told_once_that_a_shared_file_changed(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    told: list[str] = []
    server = FileServer(await swarm.stranger("bert"), swarm.servers[ANNA]._store, tell_owner=told.append)
    await server.start()
    (swarm.model / "LICENSE").write_text("changed")
    request = encode(AskRange(manifest=swarm.manifest, file=0, offset=0, length=5), 1_000)
    for _ in range(3):
        stream = await swarm.me.open(NodeId("bert"), CHUNK_PROTOCOL)
        await stream.send(request)
        assert await stream.receive() == bytes([Refusal.FAILED])
        await stream.close()
    assert told == ["peers cannot fetch thyme any longer: a file of it changed; waggle share it again"]


@in_virtual_time
async def test_reads_are_bounded_and_the_next_caller_is_told_to_come_again(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    server = FileServer(await swarm.stranger("bert"), swarm.servers[ANNA]._store, most_at_once=2)
    ask = AskRange(manifest=swarm.manifest, file=3, offset=0, length=MIB)
    request = encode(ask, 1_000)
    results = await asyncio.gather(
        *(server._range(ANNA, request) for _ in range(MAX_WAITING + 10)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, PeerBusy)]
    assert len(refused) == 10
    assert all(result.retry_after for result in refused)
    assert sum(isinstance(result, bytes) for result in results) == MAX_WAITING
    assert len(await server._range(ANNA, request)) == MIB


@in_virtual_time
async def test_streams_are_bounded_for_each_peer_and_for_all(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    request = encode(AskRange(manifest=swarm.manifest, file=0, offset=0, length=5), 1_000)
    greedy = [await swarm.stranger(f"greedy{number}") for number in range(MAX_STREAMS // MAX_STREAMS_OF_ONE)]
    address = await swarm.peers[ANNA].addresses()
    held = []
    for peer in greedy:
        await peer.connect(address)
        for number in range(MAX_STREAMS_OF_ONE + 1):
            stream = await peer.open(ANNA, CHUNK_PROTOCOL)
            await stream.send(request)
            expected = b"\0do as" if number < MAX_STREAMS_OF_ONE else bytes([Refusal.BUSY])
            assert await stream.receive() == expected
            held.append(stream)
    assert await ask_range(swarm, request) == bytes([Refusal.BUSY])
    await held[0].close()
    await asyncio.sleep(1)
    assert await ask_range(swarm, request) == b"\0do as"


@in_virtual_time
async def test_an_idle_stream_is_ended(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    stream = await swarm.me.open(ANNA, CHUNK_PROTOCOL)
    assert await stream.receive() is None
    assert asyncio.get_running_loop().time() == pytest.approx(IDLE_SECONDS, abs=1)
