"""A relay knows whether it is fit. On loopback; every relay here is a process of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay import RelayCheck, _dial, _test_node, check_relay, near_addresses, start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.mesh.limits import MAX_FRAME_BYTES
from waggle.mesh.transport import Stream
from waggle.testing.netlab.faulty import limited_relay

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(60)]

PROTOCOL = "/waggle/test/1"
UNFIT = RelayCheck(healthy=False, seconds=0.0, reason="as told")
FIT = RelayCheck(healthy=True, seconds=0.0)


def _settings(folder: Path) -> Settings:
    return Settings(key_path=folder / "key", run_dir=folder / "run")


async def test_a_relay_that_cuts_links_after_128_kib_is_caught_every_time(tmp_path: Path) -> None:
    async with limited_relay(tmp_path) as addresses:
        checks = [await check_relay(addresses) for _ in range(5)]
    assert [check.healthy for check in checks] == [False] * 5
    assert all("1048576 bytes" in check.reason for check in checks)


async def test_a_relay_with_our_limits_passes_its_test(tmp_path: Path) -> None:
    transport, report = await start_relay(_settings(tmp_path))
    try:
        assert report.healthy
        again = [await check_relay([(await transport.addresses())[0]]) for _ in range(3)]
        assert [check.reason for check in again] == [""] * 3
    finally:
        await transport.close()


async def test_the_largest_frame_passes_a_relay_of_ours_whole(tmp_path: Path) -> None:
    frame = bytes(MAX_FRAME_BYTES)
    relay, report = await start_relay(_settings(tmp_path))
    assert report.healthy
    address = (await relay.addresses())[0]
    try:
        async with _test_node(tmp_path, "a", [address]) as a, _test_node(tmp_path, "b") as b:
            await a.serve_streams(PROTOCOL, _echo)
            async with asyncio.timeout(30):
                await _dial(b, f"{address}/p2p-circuit/p2p/{a.node_id}")
                stream = await b.open(a.node_id, PROTOCOL)
                assert [link.relayed for link in await b.links() if link.peer == a.node_id] == [True]
                await stream.send(frame)
                assert await stream.receive() == frame
    finally:
        await relay.close()


async def _echo(stream: Stream) -> None:
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


async def test_a_node_that_does_not_consent_relays_nothing_at_all(tmp_path: Path) -> None:
    transport = await start_libp2p(_settings(tmp_path))
    try:
        check = await check_relay([(await transport.addresses())[0]])
    finally:
        await transport.close()
    assert not check.healthy


async def test_an_unfit_relay_is_started_again_at_the_same_address_until_it_is_fit(tmp_path: Path) -> None:
    verdicts, tested = [UNFIT, UNFIT, FIT], []

    async def check(addresses: Sequence[str]) -> RelayCheck:
        tested.append(tuple(addresses))
        return verdicts[len(tested) - 1]

    transport, report = await start_relay(_settings(tmp_path), check=check)
    try:
        assert report.checks == (UNFIT, UNFIT, FIT)
        assert report.healthy
        assert len(set(tested)) == 1
        assert set(await transport.addresses()) == set(tested[0])
    finally:
        await transport.close()


async def test_a_node_whose_relay_never_gets_fit_runs_without_relaying_and_says_so(tmp_path: Path) -> None:
    async def check(_: Sequence[str]) -> RelayCheck:
        return UNFIT

    transport, report = await start_relay(_settings(tmp_path), max_starts=2, check=check)
    try:
        assert not report.healthy
        assert report.starts == 2
        assert not (await check_relay([(await transport.addresses())[0]])).healthy
    finally:
        await transport.close()


async def test_a_node_that_listens_nowhere_cannot_relay(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="listens nowhere"):
        await start_relay(Settings(key_path=tmp_path / "key", listen=()))


def test_a_node_that_listens_everywhere_is_dialled_on_loopback() -> None:
    settings = Settings(key_path=Path("key"), listen=("/ip4/0.0.0.0/udp/4001/quic-v1", "/ip4/10.0.0.1/tcp/4001"))
    node = "12D3KooWMSANvJVBTRkmb7Giy4tF37fBgpco8UP23EDaKappn1M4"
    assert near_addresses(settings, NodeId(node)) == (
        f"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/{node}",
        f"/ip4/10.0.0.1/tcp/4001/p2p/{node}",
    )
