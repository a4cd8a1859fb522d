"""The mesh bench compares what it says: ratios the right way round, wrong replies refused, what is missing said."""

import asyncio
from importlib.util import find_spec

import pytest

from waggle.bench.mesh.peer import measure
from waggle.bench.mesh.processes import start_client, start_server
from waggle.bench.mesh.suite import (
    GRPC,
    HIVEMIND,
    LATTICA,
    OURS,
    SUBJECTS,
    Figures,
    run_mesh_bench,
    summarise,
)
from waggle.bench.mesh.values import FRAME_BYTES, IN_FLIGHT, MEASURES, Figure, Measure, Order
from waggle.bench.report import Report, Row, number
from waggle.core.errors import PeerUnreachable, RemoteProtocolError, UsageError

SECONDS = 0.05


def figures(**values: list[float]) -> Figures:
    """The same figures in all four measures, under each subject's name."""
    return {
        (name, measure): [Figure(value, 2 * value) for value in taken]
        for name, taken in values.items()
        for measure in SUBJECTS[name].measures
    }


def ratio(report: Report, words: str, beside: str = HIVEMIND) -> Row:
    (row,) = [row for row in report["rows"] if row.get("figure") == words and row["beside"] == beside]
    return row


class Echo:
    """A client without a network. It remembers how many calls were under way at once."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def call(self, request: bytes) -> bytes:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return request

    async def ping(self, frame: bytes) -> bytes:
        await asyncio.sleep(0)
        return frame

    async def pull(self, frames: int) -> int:
        await asyncio.sleep(0)
        return frames * FRAME_BYTES


class Wrong(Echo):
    """A client that gives back less than it should."""

    async def call(self, request: bytes) -> bytes:
        return request[:-1]

    async def ping(self, frame: bytes) -> bytes:
        return b""

    async def pull(self, frames: int) -> int:
        return frames * FRAME_BYTES - 1


class Waiting(Echo):
    """A client that threads wait for."""

    def call_and_wait(self, request: bytes) -> bytes:
        self.most += 1
        return request

    async def call(self, request: bytes) -> bytes:
        raise AssertionError("threads should have waited")


class WrongWaiting(Waiting):
    def call_and_wait(self, request: bytes) -> bytes:
        return request[1:]


def test_twice_the_latency_is_half_as_good_and_twice_the_rate_twice_as_good() -> None:
    report = summarise(figures(waggle=[2.0, 4.0, 6.0], hivemind=[1.0, 2.0, 3.0]), [OURS, HIVEMIND], 1)
    assert ratio(report, "unary latency")["times_as_good"] == 0.5
    assert ratio(report, "stream round trip")["times_as_good"] == 0.5
    assert ratio(report, "calls per second")["times_as_good"] == 2.0
    assert ratio(report, "MB per second")["times_as_good"] == 2.0


def test_a_ratio_is_taken_within_a_repeat_so_that_a_slow_machine_does_not_widen_it() -> None:
    report = summarise(figures(waggle=[1.0, 50.0, 3.0], hivemind=[1.0, 50.0, 3.0]), [OURS, HIVEMIND], 1)
    row = ratio(report, "unary latency")
    assert (row["low"], row["times_as_good"], row["high"], row["repeats"]) == (1.0, 1.0, 1.0, 3)


def test_an_interval_holds_its_ratio_and_is_as_wide_as_the_repeats_disagree() -> None:
    report = summarise(figures(waggle=[1.0, 2.0, 3.0, 4.0], hivemind=[2.0, 2.0, 2.0, 2.0]), [OURS, HIVEMIND], 1)
    row = ratio(report, "calls per second")
    assert 0.5 <= number(row["low"]) < number(row["times_as_good"]) < number(row["high"]) <= 2.0


@pytest.mark.parametrize(
    ("ours", "latency_met", "rate_met"), [(1.29, True, True), (1.31, False, True), (0.76, True, False)]
)
def test_a_goal_beside_hivemind_is_missed_past_its_bound_in_the_bad_direction_only(
    ours: float, latency_met: bool, rate_met: bool
) -> None:
    report = summarise(figures(waggle=[ours] * 3, hivemind=[1.0] * 3), [OURS, HIVEMIND], 1)
    assert [goal["met"] for goal in report["goals"]] == [latency_met, latency_met, rate_met, rate_met]


def test_the_goals_beside_lattica_are_the_two_rates() -> None:
    report = summarise(figures(waggle=[9.0] * 3, lattica=[10.0] * 3), [OURS, LATTICA], 1)
    assert [goal["name"] for goal in report["goals"]] == [
        "calls per second: ours over Lattica's",
        "MB per second: ours over Lattica's",
    ]
    assert not any(goal["met"] for goal in report["goals"])


def test_a_subject_that_is_not_installed_is_named_with_the_way_to_install_it_and_has_no_goal() -> None:
    report = summarise(figures(waggle=[1.0, 1.0]), [OURS, LATTICA], 1)
    ours, lattica = report["rows"]
    assert lattica["note"] == "skipped: not installed: pip install --no-deps lattica==1.0.21"
    assert lattica["calls_per_second"] is None
    assert (ours["note"], ours["unary_p50_ms"], ours["unary_p99_ms"]) == ("", 1.0, 2.0)
    assert report["goals"] == []


def test_lattica_has_no_figure_for_a_stream_round_trip() -> None:
    report = summarise(figures(waggle=[1.0, 1.0], lattica=[1.0, 1.0]), [OURS, LATTICA], 1)
    assert report["rows"][1]["stream_p50_ms"] is None
    assert not [row for row in report["rows"] if row.get("figure") == "stream round trip"]


@pytest.mark.parametrize("name", MEASURES)
async def test_every_measure_gives_a_figure(name: Measure) -> None:
    figure = await measure(Echo(), Order(name, SECONDS))
    assert figure.value > 0
    assert (figure.p99_ms is None) == (name in ("calls", "bytes"))


@pytest.mark.parametrize("name", MEASURES)
async def test_a_wrong_reply_is_no_figure(name: Measure) -> None:
    with pytest.raises(RemoteProtocolError):
        await measure(Wrong(), Order(name, SECONDS))


@pytest.mark.parametrize("name", ["unary", "calls"])
async def test_a_wrong_reply_to_a_waiting_thread_is_no_figure(name: Measure) -> None:
    with pytest.raises(RemoteProtocolError):
        await measure(WrongWaiting(), Order(name, SECONDS))


async def test_latency_has_one_call_under_way_and_the_rate_sixteen() -> None:
    client = Echo()
    await measure(client, Order("unary", SECONDS))
    assert client.most == 1
    await measure(client, Order("calls", SECONDS))
    assert client.most == IN_FLIGHT == 16


@pytest.mark.parametrize("name", ["unary", "calls"])
async def test_threads_wait_for_a_client_that_is_faster_so(name: Measure) -> None:
    client = Waiting()
    assert (await measure(client, Order(name, SECONDS))).value > 0
    assert client.most > 0


async def test_a_process_that_fails_is_an_error_with_its_last_words() -> None:
    with pytest.raises(PeerUnreachable, match="No module named 'no_such_subject'"):
        async with start_server("no_such_subject"):
            pass


@pytest.mark.parametrize(("repeats", "seconds"), [(1, 0.1), (2, 0.0)])
def test_too_little_to_measure_is_refused(repeats: int, seconds: float) -> None:
    with pytest.raises(UsageError, match="needs 2 repeats"):
        run_mesh_bench(1, repeats, seconds)


def test_an_unknown_subject_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown: carrier pigeon"):
        run_mesh_bench(1, subjects=["carrier pigeon"])


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [name for name in SUBJECTS if find_spec(SUBJECTS[name].package)])
async def test_every_transport_gives_every_figure_it_is_asked_for(name: str) -> None:
    module = f"waggle.bench.mesh.{SUBJECTS[name].module}"
    async with start_server(module) as address, start_client(module, address) as client:
        for asked in SUBJECTS[name].measures:
            assert (await client(Order(asked, 0.1))).value > 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_whole_run_measures_ours_beside_another() -> None:
    report = run_mesh_bench(1, 2, 0.05, [GRPC])
    assert [row["name"] for row in report["rows"] if "name" in row] == [OURS, GRPC]
    assert [row["figure"] for row in report["rows"] if "figure" in row] == [
        "unary latency",
        "stream round trip",
        "calls per second",
        "MB per second",
    ]
