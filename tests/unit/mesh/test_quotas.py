"""One peer's use of us is counted, bounded and given back."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.mesh.limits import (
    BURST_BYTES,
    MAX_BYTES_PER_SECOND,
    MAX_CALLS_PER_PEER,
    MAX_STREAMS_PER_PEER,
    MESSAGE_BYTES,
    MIB,
)
from waggle.mesh.quotas import PeerQuotas

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
def quotas(watch: Watch) -> PeerQuotas:
    return PeerQuotas(watch)


def test_the_seventeenth_call_of_a_peer_is_told_busy_while_another_peer_is_served(quotas: PeerQuotas) -> None:
    with ExitStack() as held:
        for _ in range(MAX_CALLS_PER_PEER):
            held.enter_context(quotas.call(ANN))
        with pytest.raises(PeerBusy) as refused, quotas.call(ANN):
            pass
        assert refused.value.retry_after is not None
        with quotas.call(BOB):
            pass
    with quotas.call(ANN):
        pass


def test_the_sixty_fifth_stream_is_refused_and_a_call_still_served(quotas: PeerQuotas) -> None:
    with ExitStack() as held:
        for _ in range(MAX_STREAMS_PER_PEER):
            held.enter_context(quotas.stream(ANN))
        with pytest.raises(PeerBusy), quotas.stream(ANN):
            pass
        with quotas.call(ANN):
            pass
    with quotas.stream(ANN):
        pass


def test_a_place_is_given_back_when_the_work_fails(quotas: PeerQuotas) -> None:
    for _ in range(2 * MAX_CALLS_PER_PEER):
        with pytest.raises(ValueError, match="failed"), quotas.call(ANN):
            raise ValueError("failed")
    with quotas.call(ANN):
        pass


def test_bytes_within_the_burst_cost_no_pause_and_beyond_it_the_rate(quotas: PeerQuotas, watch: Watch) -> None:
    assert quotas.spend(ANN, BURST_BYTES) == 0.0
    assert quotas.spend(ANN, MAX_BYTES_PER_SECOND) == pytest.approx(1.0)
    watch.now = 1.0
    assert quotas.spend(ANN, MAX_BYTES_PER_SECOND // 2) == pytest.approx(0.5)
    assert quotas.spend(BOB, BURST_BYTES) == 0.0


CHECK_SECONDS = 0.00014  # to check one message


@pytest.mark.parametrize("size", [0, 1, 234, 4_096])
def test_small_messages_are_no_cheaper_than_they_are(quotas: PeerQuotas, watch: Watch, size: int) -> None:
    """However a peer cuts what it sends: checking it takes a tenth of a core at most, a third of a second at once."""
    checked = 0
    while watch.now < 60.0:
        watch.now += quotas.spend(ANN, size, messages=1)
        checked += 1
    assert (checked - BURST_BYTES / MESSAGE_BYTES) * CHECK_SECONDS <= 0.1 * 60.0
    assert BURST_BYTES / MESSAGE_BYTES * CHECK_SECONDS < 1 / 3


def test_calls_and_opened_streams_are_charged_as_messages_are(quotas: PeerQuotas, watch: Watch) -> None:
    for _ in range(BURST_BYTES // MESSAGE_BYTES // 2):
        with quotas.call(ANN), quotas.stream(ANN):
            pass
    assert quotas.spend(ANN, MESSAGE_BYTES) == pytest.approx(MESSAGE_BYTES / MAX_BYTES_PER_SECOND)


@pytest.mark.parametrize(
    ("rounds", "messages", "size"),
    [(80, 5, 1_000), (1, 6, 64 * 1024)],
    ids=["as many rounds as a core ends", "rounds of 50 nodes with long texts"],
)
def test_an_honest_coordinator_is_never_held_up(
    quotas: PeerQuotas, watch: Watch, rounds: int, messages: int, size: int
) -> None:
    """To one peer go, a round: propose, reveal, and a few lists of pairs; and the stream is opened."""
    for _ in range(60 * rounds):
        watch.now += 1 / rounds
        with quotas.stream(ANN):
            for _ in range(messages - 1):
                assert quotas.spend(ANN, size, messages=1) == 0.0


def test_a_long_rest_fills_the_bucket_to_the_burst_and_no_further(quotas: PeerQuotas, watch: Watch) -> None:
    quotas.spend(ANN, BURST_BYTES)
    watch.now = 1e6
    assert quotas.spend(ANN, BURST_BYTES) == 0.0
    assert quotas.spend(ANN, 2 * MIB) == pytest.approx(1.0)


def test_a_call_is_refused_while_the_bytes_are_overdrawn_and_costs_nothing_then(
    quotas: PeerQuotas, watch: Watch
) -> None:
    quotas.spend(ANN, BURST_BYTES + 2 * MIB)
    for _ in range(3):
        with pytest.raises(PeerBusy) as refused, quotas.call(ANN, MIB):
            pass
        assert refused.value.retry_after == pytest.approx(1.0)
    watch.now = 1.0
    with quotas.call(ANN, MIB):
        assert quotas.spend(ANN, 0) == pytest.approx(0.5, rel=0.01)


def test_the_longest_idle_peer_is_forgotten_first(watch: Watch) -> None:
    quotas = PeerQuotas(watch, max_peers=2)
    quotas.spend(ANN, BURST_BYTES + MIB)
    quotas.spend(BOB, BURST_BYTES + MIB)
    quotas.spend(ANN, 0)  # heard of again, so Bob is now the longest idle
    quotas.spend(CAT, 0)
    assert quotas.tracked == 2
    assert quotas.spend(ANN, 0) > 0
    assert quotas.spend(BOB, 0) == 0.0, "Bob was forgotten"


def test_a_peer_at_work_is_never_forgotten(watch: Watch) -> None:
    quotas = PeerQuotas(watch, max_peers=2)
    with quotas.stream(ANN):
        quotas.spend(ANN, BURST_BYTES + MIB)
        for name in range(100):
            quotas.spend(NodeId(str(name)), 1)
        assert quotas.tracked == 2
        assert quotas.spend(ANN, 0) > 0
        with quotas.call(BOB), pytest.raises(PeerBusy), quotas.call(CAT):
            pass
        with quotas.call(CAT):
            pass


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, BURST_BYTES)), max_size=50),
)
def test_whoever_pauses_as_told_never_beats_the_rate(sent: list[tuple[float, int]]) -> None:
    watch = Watch()
    quotas = PeerQuotas(watch)
    total = 0
    for rest, size in sent:
        watch.now += rest
        total += size
        watch.now += quotas.spend(ANN, size)
        assert total <= BURST_BYTES + watch.now * MAX_BYTES_PER_SECOND + 1
