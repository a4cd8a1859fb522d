"""One peer's use of us is counted, bounded and given back."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.mesh.guard import PeerGuard
from waggle.mesh.limits import BURST_BYTES, MAX_BYTES_PER_SECOND, MAX_CALLS_PER_PEER, MAX_STREAMS_PER_PEER, MIB

ANN, BOB, CAT = NodeId("ann"), NodeId("bob"), NodeId("cat")


class Watch:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def guard(watch: Watch) -> PeerGuard:
    return PeerGuard(watch)


def test_the_seventeenth_call_of_a_peer_is_told_busy_while_another_peer_is_served(guard: PeerGuard) -> None:
    with ExitStack() as held:
        for _ in range(MAX_CALLS_PER_PEER):
            held.enter_context(guard.call(ANN))
        with pytest.raises(PeerBusy) as refused, guard.call(ANN):
            pass
        assert refused.value.retry_after is not None
        with guard.call(BOB):
            pass
    with guard.call(ANN):
        pass


def test_the_sixty_fifth_stream_is_refused_and_a_call_still_served(guard: PeerGuard) -> None:
    with ExitStack() as held:
        for _ in range(MAX_STREAMS_PER_PEER):
            held.enter_context(guard.stream(ANN))
        with pytest.raises(PeerBusy), guard.stream(ANN):
            pass
        with guard.call(ANN):
            pass
    with guard.stream(ANN):
        pass


def test_a_place_is_given_back_when_the_work_fails(guard: PeerGuard) -> None:
    for _ in range(2 * MAX_CALLS_PER_PEER):
        with pytest.raises(ValueError, match="failed"), guard.call(ANN):
            raise ValueError("failed")
    with guard.call(ANN):
        pass


def test_bytes_within_the_burst_cost_no_pause_and_beyond_it_the_rate(guard: PeerGuard, watch: Watch) -> None:
    assert guard.spend(ANN, BURST_BYTES) == 0.0
    assert guard.spend(ANN, MAX_BYTES_PER_SECOND) == pytest.approx(1.0)
    watch.now = 1.0
    assert guard.spend(ANN, MAX_BYTES_PER_SECOND // 2) == pytest.approx(0.5)
    assert guard.spend(BOB, BURST_BYTES) == 0.0


def test_a_long_rest_fills_the_bucket_to_the_burst_and_no_further(guard: PeerGuard, watch: Watch) -> None:
    guard.spend(ANN, BURST_BYTES)
    watch.now = 1e6
    assert guard.spend(ANN, BURST_BYTES) == 0.0
    assert guard.spend(ANN, 2 * MIB) == pytest.approx(1.0)


def test_a_call_is_refused_while_the_bytes_are_overdrawn_and_costs_nothing_then(guard: PeerGuard, watch: Watch) -> None:
    guard.spend(ANN, BURST_BYTES + 2 * MIB)
    for _ in range(3):
        with pytest.raises(PeerBusy) as refused, guard.call(ANN, MIB):
            pass
        assert refused.value.retry_after == pytest.approx(1.0)
    watch.now = 1.0
    with guard.call(ANN, MIB):
        assert guard.spend(ANN, 0) == pytest.approx(0.5)


def test_the_longest_idle_peer_is_forgotten_first(watch: Watch) -> None:
    guard = PeerGuard(watch, max_peers=2)
    guard.spend(ANN, BURST_BYTES + MIB)
    guard.spend(BOB, BURST_BYTES + MIB)
    guard.spend(ANN, 0)  # heard of again, so Bob is now the longest idle
    guard.spend(CAT, 0)
    assert guard.tracked == 2
    assert guard.spend(ANN, 0) > 0
    assert guard.spend(BOB, 0) == 0.0, "Bob was forgotten"


def test_a_peer_at_work_is_never_forgotten(watch: Watch) -> None:
    guard = PeerGuard(watch, max_peers=2)
    with guard.stream(ANN):
        guard.spend(ANN, BURST_BYTES + MIB)
        for name in range(100):
            guard.spend(NodeId(str(name)), 1)
        assert guard.tracked == 2
        assert guard.spend(ANN, 0) > 0
        with guard.call(BOB), pytest.raises(PeerBusy), guard.call(CAT):
            pass
        with guard.call(CAT):
            pass


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, BURST_BYTES)), max_size=50),
)
def test_whoever_pauses_as_told_never_beats_the_rate(sent: list[tuple[float, int]]) -> None:
    watch = Watch()
    guard = PeerGuard(watch)
    total = 0
    for rest, size in sent:
        watch.now += rest
        total += size
        watch.now += guard.spend(ANN, size)
        assert total <= BURST_BYTES + watch.now * MAX_BYTES_PER_SECOND + 1
