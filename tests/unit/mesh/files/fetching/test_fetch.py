"""What is fetched is what was shared, from however many peers, and asked for once."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.mesh.files.swarm import MIB, Swarm, make_model, same_files
from tests.virtual import in_virtual_time
from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.core.words import amount
from waggle.mesh.files.fetching import fetch as module
from waggle.mesh.files.fetching.fetch import Fetched, Progress, fetch
from waggle.mesh.files.serve import FileServer
from waggle.mesh.files.store import FileStore
from waggle.mesh.files.wire import CHUNK_PROTOCOL, LIST_PROTOCOL
from waggle.mesh.limits import RELAYED_PIECE_BYTES
from waggle.mesh.memory.wires import Conditions
from waggle.testing.clock import run_virtual

pytestmark = pytest.mark.timeout(300)


@in_virtual_time
async def test_a_model_is_fetched_by_its_name(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert len(swarm.peers[NodeId("anna")].asked_for(LIST_PROTOCOL)) == 1
    assert (got.path, got.name, got.manifest) == (swarm.store.models / "thyme", "thyme", swarm.manifest)
    assert got.fetched_bytes == got.size
    assert (got.sources, got.dropped) == (("anna",), ())
    assert got.seconds > 0.1


@in_virtual_time
async def test_a_model_is_fetched_by_its_address(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    await fetch(swarm.me, swarm.store, f" {swarm.manifest.upper()} ", swarm.ids)
    assert swarm.landed()


@in_virtual_time
async def test_several_peers_share_the_work_and_no_chunk_is_asked_for_twice(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=24 * MIB)
    peers = [await swarm.add(name) for name in ("anna", "bert", "cleo")]
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert set(got.sources) == {"anna", "bert", "cleo"}
    served = [swarm.servers[peer.node_id].served_bytes for peer in peers]
    assert sum(served) == got.size
    assert min(served) > 4 * MIB


def test_three_peers_are_faster_than_one(tmp_path: Path) -> None:
    async def seconds(names: Sequence[str]) -> float:
        root = tmp_path / str(len(names))
        swarm = await Swarm.of(root, *names, size=24 * MIB)
        return (await fetch(swarm.me, swarm.store, "thyme", swarm.ids)).seconds

    assert run_virtual(seconds(["anna", "bert", "cleo"])) < 0.5 * run_virtual(seconds(["anna"]))


@in_virtual_time
async def test_what_is_here_already_is_not_fetched_again(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    first = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    asked = len(anna.asked)
    for wanted in ("thyme", first.manifest):
        again = await fetch(swarm.me, swarm.store, wanted, swarm.ids)
        assert (again.path, again.fetched_bytes) == (first.path, 0)
    assert len(anna.asked) == asked


@in_virtual_time
async def test_a_landed_folder_without_a_record_is_adopted_not_fetched(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    shutil.rmtree(swarm.store.root / "records")
    got = await fetch(swarm.me, FileStore(swarm.store.root), "thyme", swarm.ids)
    assert got.fetched_bytes == 0
    assert swarm.servers[anna.node_id].served_bytes == got.size


@in_virtual_time
async def test_a_fetched_model_that_was_damaged_since_is_not_taken_for_whole(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    (got.path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="holds other files; move or remove it"):
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    shutil.rmtree(got.path)
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()


@in_virtual_time
async def test_a_fetched_model_is_served_to_the_next(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    await FileServer(swarm.me, swarm.store).start()
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    await anna.close()
    dora = await swarm.stranger("dora")
    got = await fetch(dora, FileStore(tmp_path / "dora"), "thyme", [swarm.me.node_id])
    assert same_files(got.path, swarm.model)


@in_virtual_time
async def test_a_fetched_model_is_kept_to_oneself_when_told_so(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids, share=False)
    assert swarm.store.shared() == ()
    assert (await fetch(swarm.me, swarm.store, "thyme", [])).fetched_bytes == 0


@in_virtual_time
async def test_two_models_of_one_name_are_told_apart_by_their_addresses(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna", "bert")
    await swarm.add("cleo", make_model(tmp_path / "other", size=100, seed=1), "thyme")
    with pytest.raises(UsageError, match="2 different models are shared as 'thyme'") as told:
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    first, second = str(told.value).splitlines()[1:]
    assert swarm.manifest in first
    assert "shared by 2" in first
    assert "shared by 1" in second
    await fetch(swarm.me, swarm.store, swarm.manifest, swarm.ids)
    assert swarm.landed()


@in_virtual_time
async def test_nobody_has_it(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    bert = await swarm.add("bert")
    await bert.close()
    with pytest.raises(MeshError, match="nobody shares sage: asked 2 peers, 1 of them did not answer"):
        await fetch(swarm.me, swarm.store, "sage", swarm.ids)
    with pytest.raises(MeshError, match=r"did not answer; shared are thyme$"):
        await fetch(swarm.me, swarm.store, "sage", swarm.ids)
    with pytest.raises(MeshError, match="nobody shares sage: there is no peer to ask"):
        await fetch(swarm.me, swarm.store, "sage", [])
    with pytest.raises(MeshError, match="nobody shares 00000"):
        await fetch(swarm.me, swarm.store, "0" * 64, [anna.node_id])
    for wanted in ("", "../x", "a b"):
        with pytest.raises(UsageError, match="no name"):
            await fetch(swarm.me, swarm.store, wanted, swarm.ids)


@in_virtual_time
async def test_sources_may_be_found_by_a_function(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")

    async def find() -> Sequence[NodeId]:
        await asyncio.sleep(1)
        return [swarm.me.node_id, *swarm.ids, *swarm.ids]

    got = await fetch(swarm.me, swarm.store, "thyme", find)
    assert swarm.landed()
    assert got.sources == ("anna",)


def test_progress_counts_every_byte_once(tmp_path: Path) -> None:
    async def body() -> tuple[list[Progress], Fetched]:
        swarm = Swarm(tmp_path)
        told: list[Progress] = []
        for name in ("anna", "bert"):
            await swarm.add(name)
        got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids, progress=told.append)
        return told, got

    told, got = run_virtual(body())
    assert list(dict.fromkeys(one.phase for one in told)) == ["finding", "checking", "fetching", "verifying"]
    for phase in ("fetching", "verifying"):
        done = [one.done_bytes for one in told if one.phase == phase]
        assert (done[0], done[-1]) == (0, got.size)
        assert done == sorted(done)
    assert max(one.peers for one in told) == 2
    assert {one.total_bytes for one in told if one.phase == "fetching"} == {got.size}


@in_virtual_time
async def test_a_relayed_link_carries_small_pieces_only(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    anna.most_bytes = 0
    swarm.me.relayed.add(anna.node_id)
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert 0 < anna.most_bytes <= RELAYED_PIECE_BYTES + 1


@in_virtual_time
async def test_a_direct_link_carries_whole_chunks_soon(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, size=24 * MIB)
    anna = await swarm.add("anna")
    anna.most_bytes = 0
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert anna.most_bytes == MIB + 1
    assert len(anna.asked_for(CHUNK_PROTOCOL)) < 24 + 40


@in_virtual_time
async def test_a_slow_link_is_asked_for_what_it_can_carry_in_time(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, conditions=Conditions(delay=0.3, bandwidth=30_000))
    anna = await swarm.add("anna")
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert got.seconds < 1.6 * got.size / 30_000
    assert swarm.servers[anna.node_id].served_bytes < 1.3 * got.size


@in_virtual_time
async def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swarm = Swarm(tmp_path)
    anna = await swarm.add("anna")
    size = swarm.servers[anna.node_id]._store.shared()[0].size
    free = size + module.DISK_MARGIN_BYTES - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, free))
    with pytest.raises(UsageError, match="not enough disk") as told:
        await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert f"{amount(size)} are missing" in str(told.value)
    assert f"{amount(free)} free" in str(told.value)
    assert anna.asked_for(CHUNK_PROTOCOL) == []
    assert list(swarm.store.partials.iterdir()) == []
    free += 1
    await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()


@in_virtual_time
async def test_of_two_fetches_at_once_one_says_that_the_other_is_at_it(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    results = await asyncio.gather(
        *(fetch(swarm.me, FileStore(tmp_path / "mine"), "thyme", swarm.ids) for _ in range(2)),
        return_exceptions=True,
    )
    assert swarm.landed()
    (failed,) = [result for result in results if isinstance(result, BaseException)]
    assert isinstance(failed, UsageError)
    assert "being fetched already" in str(failed)


@in_virtual_time
async def test_two_models_are_fetched_at_once(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path)
    other = make_model(tmp_path / "sage", size=2 * MIB, seed=1)
    await swarm.add("anna")
    await swarm.add("bert", other)
    await asyncio.gather(*(fetch(swarm.me, swarm.store, name, swarm.ids) for name in ("thyme", "sage")))
    assert swarm.landed()
    assert same_files(swarm.store.models / "sage", other)


@in_virtual_time
async def test_silent_peers_hold_up_the_search_only_briefly(tmp_path: Path) -> None:
    swarm = await Swarm.of(tmp_path, "anna")
    silent = [(await swarm.stranger(f"mute{number}")).node_id for number in range(15)]
    swarm.network.partition(silent)
    got = await fetch(swarm.me, swarm.store, "thyme", [*silent, *swarm.ids])
    assert swarm.landed()
    assert got.seconds < 4
