"""Liars, silence, loss and full disks: the model lands whole from those who are honest, or not at all."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.unit.mesh.files.swarm import MIB, Answer, Swarm, Watched, make_model
from tests.virtual import in_virtual_time
from waggle.core.errors import MeshError, PeerBusy, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.files.fetching.fetch import Progress, fetch
from waggle.mesh.files.fetching.source import CALL_SECONDS, DEAD_SECONDS, PATIENCE_SECONDS
from waggle.mesh.files.manifest import CHUNK_BYTES, FileEntry, Manifest, address
from waggle.mesh.files.wire import (
    CHUNK_PROTOCOL,
    LIST_PROTOCOL,
    MANIFEST_PROTOCOL,
    AskManifest,
    AskRange,
    Listed,
    Listing,
    ManifestPiece,
)
from waggle.mesh.memory.wires import Conditions
from waggle.mesh.packing import encode
from waggle.mesh.transport import Refusal, Stream


def nothing_landed(swarm: Swarm) -> bool:
    return list(swarm.store.models.iterdir()) == []


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


# --- the network


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_a_model_lands_though_messages_get_lost(tmp_path: Path, seed: int) -> None:
    swarm = Swarm(tmp_path, seed=seed)
    for name in ("anna", "bert", "cleo")[: 1 + seed % 3]:
        await swarm.add(name)
    swarm.network.conditions = Conditions(
        delay=0.02, jitter=0.05, loss=0.02 + 0.01 * seed, reordering=0.1, bandwidth=4e6
    )
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert not any(one.bad for one in got.dropped)


@pytest.mark.parametrize("end", ["kill", "cut", "partition"])
@in_virtual_time
async def test_a_source_that_dies_midway_costs_a_few_seconds(tmp_path: Path, end: str) -> None:
    swarm = await Swarm.of(tmp_path, "anna", size=24 * MIB)
    anna, me = NodeId("anna"), swarm.me.node_id
    await swarm.add("bert")

    died: list[str] = []

    def watch(progress: Progress) -> None:
        if progress.phase == "fetching" and progress.done_bytes > 8 * MIB and not died:
            died.append(end)
            match end:
                case "kill":
                    swarm.network.kill(anna)
                case "cut":
                    swarm.network.cut(anna, me)
                case _:
                    swarm.network.partition([anna])

    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids, progress=watch)
    assert swarm.landed()
    assert died
    assert set(got.sources) == {"anna", "bert"}
    assert got.seconds < 1.5 + 24 * MIB / 20e6 + CALL_SECONDS


@in_virtual_time
async def test_without_a_source_the_fetch_ends_and_goes_on_later_where_it_was(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna", size=12 * MIB)

    def watch(progress: Progress) -> None:
        if progress.phase == "fetching" and progress.done_bytes > 5 * MIB and swarm.network._nodes[NodeId("anna")].up:
            swarm.network.kill(NodeId("anna"))

    began = asyncio.get_running_loop().time()
    with pytest.raises(MeshError, match=r"no source of thyme is left .*fetch again to go on"):
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids, progress=watch)
    assert asyncio.get_running_loop().time() - began < 120
    assert nothing_landed(swarm)
    bert = await swarm.add("bert")
    got = await fetch(swarm.me, swarm.store, "thyme", [bert.node_id])
    assert swarm.landed()
    assert got.fetched_bytes == swarm.servers[bert.node_id].served_bytes < got.size - 5 * MIB


@in_virtual_time
async def test_sources_are_looked_for_again_when_all_are_lost(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna", size=8 * MIB)

    looks: list[float] = []

    async def find() -> list[NodeId]:
        looks.append(asyncio.get_running_loop().time())
        if len(looks) == 3:
            await swarm.add("bert")
        return [NodeId("anna") if len(looks) < 3 else NodeId("bert")]

    def watch(progress: Progress) -> None:
        if progress.done_bytes > MIB:
            swarm.network.kill(NodeId("anna"))

    got = await fetch(swarm.me, swarm.store, "thyme", find, progress=watch)
    assert swarm.landed()
    assert set(got.sources) == {"anna", "bert"}


@in_virtual_time
async def test_a_slow_peer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=12 * MIB)
    slow = (await swarm.add("slow")).node_id
    await swarm.add("anna")
    swarm.network.set_way(slow, swarm.me.node_id, Conditions(delay=0.005, bandwidth=20_000))
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert got.seconds < 5
    assert got.dropped == ()


@in_virtual_time
async def test_a_peer_that_falls_silent_is_dropped_while_others_go_on(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=40 * MIB, conditions=Conditions(delay=0.005, bandwidth=1e6))
    mute, anna = await swarm.add("mute"), await swarm.add("anna")

    async def never(_: bytes, reply: bytes) -> bytes:
        await asyncio.sleep(10_000)
        return reply

    mute.answers[CHUNK_PROTOCOL] = never
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert got.sources == (anna.node_id,)
    assert [(one.peer, one.bad) for one in got.dropped] == [(mute.node_id, False)]
    assert "does not answer" in got.dropped[0].reason
    assert got.seconds < 1.2 * got.size / 1e6


@pytest.mark.parametrize("busy_share", [0.5, 1.0])
@in_virtual_time
async def test_a_busy_peer_is_asked_again_but_not_for_ever(tmp_path: Path, busy_share: float) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    asked = 0

    async def busy(_: bytes, reply: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked % 2 or busy_share == 1.0:
            raise PeerBusy("later")
        return reply

    anna.answers[CHUNK_PROTOCOL] = busy
    began = asyncio.get_running_loop().time()
    if busy_share == 1.0:
        with pytest.raises(MeshError, match="gave nothing"):
            await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
        assert asyncio.get_running_loop().time() - began < 6 * (PATIENCE_SECONDS + 10)
        assert asked < 10_000
    else:
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
        assert swarm.landed()


@in_virtual_time
async def test_a_peer_that_shares_no_longer_is_dropped_at_once(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna", size=12 * MIB)
    await swarm.add("bert", shared_as="thyme")
    store = swarm.servers[NodeId("anna")]._store

    def watch(progress: Progress) -> None:
        if progress.phase == "fetching":
            store.unshare("thyme")

    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids, progress=watch)
    assert swarm.landed()
    assert got.seconds < 3
    assert not any(one.bad for one in got.dropped)


# --- liars


async def flip(_: bytes, reply: bytes) -> bytes:
    return bytes([reply[0] ^ 1]) + reply[1:]


async def zeros(_: bytes, reply: bytes) -> bytes:
    return bytes(len(reply))


async def too_short(_: bytes, reply: bytes) -> bytes:
    return reply[:-1]


async def too_long(_: bytes, reply: bytes) -> bytes:
    return reply + b"x"


async def nothing(_: bytes, __: bytes) -> bytes:
    return b""


async def huge(_: bytes, __: bytes) -> bytes:
    return bytes(3 * MIB)


async def mostly_right(request: bytes, reply: bytes) -> bytes:
    return reply if msgspec.msgpack.decode(request, type=AskRange).offset < 2 * MIB else bytes(len(reply))


@pytest.mark.parametrize("lie", [flip, zeros, too_short, too_long, nothing, huge, mostly_right])
@in_virtual_time
async def test_a_peer_that_sends_bad_bytes_is_dropped_reported_and_replaced(tmp_path: Path, lie: Answer) -> None:
    swarm = Swarm(tmp_path, size=12 * MIB)
    liar, anna = await swarm.add("liar"), await swarm.add("anna")
    liar.answers[CHUNK_PROTOCOL] = lie
    reported: list[NodeId] = []
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids, on_bad_peer=lambda peer, _: reported.append(peer))
    assert swarm.landed()
    assert reported == [liar.node_id]
    assert [one.peer for one in got.dropped if one.bad] == [liar.node_id]
    assert anna.node_id in got.sources
    assert len(liar.asked_for()) < 30


@pytest.mark.parametrize("lie", [flip, too_short, nothing])
@in_virtual_time
async def test_of_a_liar_alone_nothing_lands(tmp_path: Path, lie: Answer) -> None:
    swarm = Swarm(tmp_path)
    (await swarm.add("liar")).answers[CHUNK_PROTOCOL] = lie
    reported: list[str] = []
    with pytest.raises(MeshError, match="no source of thyme is left"):
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids, on_bad_peer=lambda _, reason: reported.append(reason))
    assert nothing_landed(swarm)
    (reason,) = reported
    assert reason.startswith("sent wrong bytes" if lie is flip else "sent ")
    assert ("where" in reason) == (lie is not flip)


@in_virtual_time
async def test_many_liars_and_one_honest_peer(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=12 * MIB)
    lies = [flip, zeros, too_short, too_long, nothing, huge, mostly_right]
    for number, lie in enumerate(lies):
        (await swarm.add(f"liar{number}")).answers[CHUNK_PROTOCOL] = lie
    await swarm.add("anna")
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert {one.peer for one in got.dropped if one.bad} == {f"liar{number}" for number in range(len(lies))}


def piece(total: int, data: bytes) -> bytes:
    return msgspec.msgpack.encode({"total": total, "data": data})


async def another_manifest(_: bytes, __: bytes) -> bytes:
    return piece(3, b"abc")


async def endless_manifest(_: bytes, __: bytes) -> bytes:
    return piece(9 * MIB, b"x" * 40_000)


async def growing_manifest(request: bytes, __: bytes) -> bytes:
    ask = msgspec.msgpack.decode(request, type=AskManifest)
    return piece(min(9 * MIB, ask.offset + 100), b"x" * 50)


async def impossible_manifest(_: bytes, __: bytes) -> bytes:
    return piece(2**60, b"x")


async def empty_piece(_: bytes, __: bytes) -> bytes:
    return piece(100, b"")


async def too_large_a_piece(_: bytes, __: bytes) -> bytes:
    return piece(3 * MIB - 100, bytes(3 * MIB - 100))


async def noise(_: bytes, __: bytes) -> bytes:
    return b"\xdd\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "lie",
    [another_manifest, endless_manifest, growing_manifest, impossible_manifest, empty_piece, too_large_a_piece, noise],
)
@in_virtual_time
async def test_a_false_manifest_is_found_out_and_asked_of_another(tmp_path: Path, lie: Answer) -> None:
    swarm = Swarm(tmp_path)
    liar = await swarm.add("liar")
    await swarm.add("anna")
    liar.answers[MANIFEST_PROTOCOL] = lie
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert [one.peer for one in got.dropped if one.bad] == [liar.node_id]
    assert liar.asked_for(CHUNK_PROTOCOL) == []


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",
        b"\x81" * 5_000,
        msgspec.msgpack.encode({"shared": [{"name": "thyme", "manifest": "0" * 64, "size": 1}] * 65}),
        msgspec.msgpack.encode({"shared": [{"name": "thyme", "manifest": "0" * 64 + "\n", "size": 1}]}),
        msgspec.msgpack.encode({"shared": [{"name": "../x", "manifest": "0" * 64, "size": 1}]}),
        msgspec.msgpack.encode({"shared": [{"name": "\x1b[2J", "manifest": "0" * 64, "size": 1}]}),
        msgspec.msgpack.encode({"shared": [{"name": "thyme", "manifest": "0" * 64, "size": 2**60}]}),
        msgspec.msgpack.encode({"shared": [], "more": 1}),
        bytes(MIB),
    ],
)
@in_virtual_time
async def test_a_list_that_breaks_a_rule_is_reported_and_not_believed(tmp_path: Path, listing: bytes) -> None:
    swarm = Swarm(tmp_path)
    liar = await swarm.add("liar")
    await swarm.add("anna")

    async def lie(_: bytes, __: bytes) -> bytes:
        return listing

    liar.answers[LIST_PROTOCOL] = lie
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert [one.peer for one in got.dropped if one.bad] == [liar.node_id]


async def serve_made_up(peer: Watched, name: str, encoded: bytes, content: bytes = b"") -> str:
    """Let a peer share whatever manifest, and serve `content` as its files' bytes."""
    manifest = address(encoded)

    async def lists(_: NodeId, __: bytes) -> bytes:
        return encode(Listing(shared=(Listed(name=name, manifest=manifest, size=1),)), MIB)

    async def manifests(_: NodeId, request: bytes) -> bytes:
        ask = msgspec.msgpack.decode(request, type=AskManifest)
        data = encoded[ask.offset : ask.offset + ask.length]
        return encode(ManifestPiece(total=len(encoded), data=data), 2 * MIB)

    async def chunks(stream: Stream) -> None:
        while (request := await stream.receive()) is not None:
            ask = msgspec.msgpack.decode(request, type=AskRange)
            await stream.send(bytes([Refusal.NONE]) + content[ask.offset : ask.offset + ask.length])

    await peer.serve_calls(LIST_PROTOCOL, lists)
    await peer.serve_calls(MANIFEST_PROTOCOL, manifests)
    await peer.serve_streams(CHUNK_PROTOCOL, chunks)
    return manifest


def bomb(**changes: object) -> bytes:
    file = {"path": "a.json", "size": 1, "sha256": bytes(32), "chunks": bytes(32)} | changes
    return msgspec.msgpack.encode({"name": "thyme", "chunk_bytes": CHUNK_BYTES, "files": [file]})


@pytest.mark.parametrize(
    "encoded",
    [
        bomb(path="../../escaped.json"),
        bomb(path="/tmp/escaped.json"),
        bomb(path="a/../../escaped.json"),
        bomb(path="run.py"),
        bomb(path="weights.bin"),
        bomb(path="nul.json"),
        bomb(size=2**60, chunks=b""),
        bomb(size=2**38, chunks=b""),
        bomb(size=0),
        bomb(chunks=bytes(32 * 200_000)),
        msgspec.msgpack.encode({"name": "thyme", "chunk_bytes": CHUNK_BYTES, "files": [0] * 1_000_000}),
        msgspec.msgpack.encode({"name": "sage", "chunk_bytes": CHUNK_BYTES, "files": []}),
        b"\x91" * 100_000,
    ],
)
@in_virtual_time
async def test_a_manifest_that_breaks_a_rule_is_refused_before_anything_is_written(
    tmp_path: Path, encoded: bytes
) -> None:
    swarm = Swarm(tmp_path)
    peer = await swarm.stranger("liar")
    manifest = await serve_made_up(peer, "thyme", encoded)
    before = everything_in(tmp_path)
    for wanted in ("thyme", manifest):
        with pytest.raises(RemoteProtocolError):
            await fetch(swarm.me, swarm.store, wanted, [peer.node_id])
    assert everything_in(tmp_path) == before


@in_virtual_time
async def test_a_manifest_of_another_name_is_refused(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    peer = await swarm.stranger("liar")
    honest = await swarm.add("anna", make_model(tmp_path / "sage", size=10))
    encoded = swarm.servers[honest.node_id]._store.manifest_range(
        swarm.servers[honest.node_id]._store.shared()[0].manifest, 0, MIB
    )[1]
    await serve_made_up(peer, "thyme", encoded)
    with pytest.raises(RemoteProtocolError, match="'sage'"):
        await fetch(swarm.me, swarm.store, "thyme", [peer.node_id])
    assert nothing_landed(swarm)


def made_up(path: str, content: bytes, sha256: Callable[[bytes], bytes]) -> bytes:
    digest = hashlib.sha256(content).digest()
    entry = FileEntry(path=path, size=len(content), sha256=sha256(digest), chunks=digest)
    return encode(Manifest(name="thyme", files=(entry,)), MIB)


@pytest.mark.parametrize(
    ("path", "content", "sha256", "told"),
    [
        ("model.safetensors", b"\x80\x04\x95cos\nsystem\n", lambda digest: digest, "no safetensors file"),
        ("model.gguf", b"\x7fELF", lambda digest: digest, "GGUF"),
        ("config.json", b"{}", lambda _: bytes(32), "contradicts itself"),
    ],
)
@in_virtual_time
async def test_a_model_that_is_not_what_it_says_is_removed(
    tmp_path: Path, path: str, content: bytes, sha256: Callable[[bytes], bytes], told: str
) -> None:
    swarm = Swarm(tmp_path)
    peer = await swarm.stranger("liar")
    await serve_made_up(peer, "thyme", made_up(path, content, sha256), content)
    with pytest.raises(RemoteProtocolError, match=told):
        await fetch(swarm.me, swarm.store, "thyme", [peer.node_id])
    assert nothing_landed(swarm)
    assert list(swarm.store.partials.iterdir()) == []


@in_virtual_time
async def test_a_finder_that_fails_costs_nothing_that_is_here(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=8 * MIB)
    anna = await swarm.add("anna")
    looks: list[int] = []

    async def find() -> list[NodeId]:
        looks.append(1)
        if len(looks) > 1:
            raise RemoteProtocolError("somebody sent nonsense")
        return [anna.node_id]

    def watch(progress: Progress) -> None:
        if progress.phase == "fetching" and progress.done_bytes > 4 * MIB:
            swarm.network.kill(anna.node_id)

    with pytest.raises(RemoteProtocolError, match="nonsense"):
        await fetch(swarm.me, swarm.store, "thyme", find, progress=watch)
    bert = await swarm.add("bert")
    got = await fetch(swarm.me, swarm.store, "thyme", [bert.node_id])
    assert swarm.landed()
    assert got.fetched_bytes < 4 * MIB + 2_000


# --- our own disk


@in_virtual_time
async def test_damage_on_our_own_disk_is_fetched_again(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")

    def rot(progress: Progress) -> None:
        if progress.phase == "verifying" and progress.done_bytes == 0 and not done:
            done.append(1)
            (file,) = swarm.store.partials.glob("*/files/model.safetensors")
            with file.open("r+b") as opened:
                opened.seek(MIB + 7)
                opened.write(b"rotten")

    done: list[int] = []
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids, progress=rot)
    assert done
    assert swarm.landed()
    assert got.fetched_bytes == got.size + MIB


@in_virtual_time
async def test_a_disk_that_fills_up_midway_is_told_and_what_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = await Swarm.of(tmp_path, "anna", size=8 * MIB)
    write, room = os.pwrite, 4 * MIB

    def pwrite(file: int, data: memoryview, offset: int) -> int:
        nonlocal room
        if len(data) > room:
            raise OSError(28, "No space left on device")
        room -= len(data)
        return write(file, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(UsageError, match=r"the disk is full: .* are missing, .* are free"):
            await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert nothing_landed(swarm)
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert 0 < got.fetched_bytes <= got.size - 3 * MIB


def test_the_bounds_on_waiting_fit_together() -> None:
    assert DEAD_SECONDS < CALL_SECONDS < PATIENCE_SECONDS
