"""Every property that the protocol asks of a schedule, for any candidates, judges and seeds."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.consensus.schedule import JudgeSeat, Pair, next_batch
from waggle.core.errors import UsageError

relaxed = settings(deadline=None, max_examples=80)
seeds = st.integers(0, 2**32 - 1)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def first_batch(
    candidates: int,
    seats: list[JudgeSeat],
    *,
    seed: int,
    pairs_per_judge: int | None = None,
    both_orders: bool = True,
    judge_weights: list[float] | None = None,
) -> list[list[Pair]]:
    return next_batch(
        candidates,
        seats,
        [[] for _ in seats],
        pairs_per_judge=pairs_per_judge,
        both_orders=both_orders,
        judge_weights=judge_weights,
        rng=rng_of(seed),
    )


def unordered(questions: list[Pair]) -> set[Pair]:
    return {(min(question), max(question)) for question in questions}


def parts(candidates: int, pairs: set[Pair]) -> int:
    part = list(range(candidates))
    for a, b in pairs:
        part = [part[a] if label == part[b] else label for label in part]
    return len(set(part))


@st.composite
def seats_of(draw: st.DrawFn, candidates: int, most: int = 6) -> list[JudgeSeat]:
    """Judges whose claims fit together: a candidate has at most one sole supporter."""
    owns = draw(st.lists(st.one_of(st.none(), st.integers(0, candidates - 1)), min_size=1, max_size=most))
    alone = Counter(own for own in owns if own is not None)
    return [JudgeSeat(own, own is not None and alone[own] == 1 and draw(st.booleans())) for own in owns]


@st.composite
def rounds(draw: st.DrawFn, most: int = 9) -> tuple[int, list[JudgeSeat]]:
    candidates = draw(st.integers(2, most))
    return candidates, draw(seats_of(candidates))


def reachable(candidates: int, seats: list[JudgeSeat]) -> int:
    """How few parts the allowed pairs leave if every judge is asked everything."""
    allowed = {pair for seat in seats for pair in combinations(range(candidates), 2) if seat.recused_from not in pair}
    return parts(candidates, allowed)


@relaxed
@given(rounds(), seeds, st.booleans())
def test_the_union_of_all_pairs_is_connected_where_recusal_allows(
    round_: tuple[int, list[JudgeSeat]], seed: int, both: bool
) -> None:
    candidates, seats = round_
    plan = first_batch(candidates, seats, both_orders=both, seed=seed)
    union = set().union(*map(unordered, plan))
    assert parts(candidates, union) == reachable(candidates, seats)


@relaxed
@given(rounds(), seeds, st.booleans(), st.one_of(st.none(), st.integers(0, 12)))
def test_nobody_is_asked_the_same_question_twice_or_about_its_own_words(
    round_: tuple[int, list[JudgeSeat]], seed: int, both: bool, budget: int | None
) -> None:
    candidates, seats = round_
    plan = first_batch(candidates, seats, pairs_per_judge=budget, both_orders=both, seed=seed)
    limit = candidates * 3 if budget is None else budget
    for seat, questions in zip(seats, plan, strict=True):
        assert len(set(questions)) == len(questions)
        assert all(seat.recused_from not in question for question in questions)
        left = candidates - (seat.recused_from is not None)
        assert len(unordered(questions)) == min(limit, left * (left - 1) // 2)


@relaxed
@given(rounds(), seeds)
def test_each_judge_asks_each_of_its_pairs_in_both_orders(round_: tuple[int, list[JudgeSeat]], seed: int) -> None:
    candidates, seats = round_
    for questions in first_batch(candidates, seats, seed=seed):
        assert {(b, a) for a, b in questions} == set(questions)
        half = len(questions) // 2
        assert unordered(questions[:half]) == unordered(questions)  # all pairs once before any is asked again
        assert Counter(a for a, _ in questions) == Counter(b for _, b in questions)


@relaxed
@given(rounds(), seeds, st.integers(1, 12))
def test_in_one_order_half_the_judges_get_each(round_: tuple[int, list[JudgeSeat]], seed: int, budget: int) -> None:
    candidates, seats = round_
    plan = first_batch(candidates, seats, pairs_per_judge=budget, both_orders=False, seed=seed)
    orders = Counter(question for questions in plan for question in questions)
    for a, b in combinations(range(candidates), 2):
        assert abs(orders[a, b] - orders[b, a]) <= 1


@relaxed
@given(st.integers(2, 12), seeds, st.integers(1, 40))
def test_in_one_order_a_judge_sees_each_candidate_first_as_often_as_second(
    candidates: int, seed: int, budget: int
) -> None:
    (questions,) = first_batch(candidates, [JudgeSeat()], pairs_per_judge=budget, both_orders=False, seed=seed)
    first, second = Counter(a for a, _ in questions), Counter(b for _, b in questions)
    assert all(abs(first[candidate] - second[candidate]) <= 1 for candidate in range(candidates))


@relaxed
@given(st.integers(8, 30), seeds)
def test_candidates_meet_equally_often(candidates: int, seed: int) -> None:
    (questions,) = first_batch(candidates, [JudgeSeat()], seed=seed)
    meetings = Counter(candidate for question in questions for candidate in question)
    assert len(questions) == 2 * 3 * candidates
    assert max(meetings.values()) - min(meetings.values()) <= 3 * 2  # 3 pairs of about 6, each in both orders


def test_two_and_three_candidates() -> None:
    (pair,) = first_batch(2, [JudgeSeat()], seed=0)
    assert sorted(pair) == [(0, 1), (1, 0)]
    (three,) = first_batch(3, [JudgeSeat()], seed=0)
    assert sorted(three) == sorted([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
    alone = [JudgeSeat(0, True), JudgeSeat(1, True)]
    assert first_batch(2, alone, seed=0) == [[], []]


@pytest.mark.parametrize("candidates", [0, 1])
def test_below_two_candidates_nobody_is_asked(candidates: int) -> None:
    assert first_batch(candidates, [JudgeSeat()] * 2, seed=0) == [[], []]
    assert first_batch(5, [], seed=0) == []


def test_a_supporter_among_others_does_judge_its_candidate() -> None:
    (questions,) = first_batch(3, [JudgeSeat(0, False)], seed=0)
    assert any(0 in question for question in questions)


@relaxed
@given(rounds(), seeds, st.data())
def test_judges_of_positive_weight_connect_without_the_others(
    round_: tuple[int, list[JudgeSeat]], seed: int, data: st.DataObject
) -> None:
    candidates, seats = round_
    weights = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(seats), max_size=len(seats)))
    plan = first_batch(candidates, seats, judge_weights=weights, seed=seed)
    heavy = [judge for judge, weight in enumerate(weights) if weight > 0]
    union = {pair for judge in heavy for pair in unordered(plan[judge])}
    assert parts(candidates, union) == reachable(candidates, [seats[judge] for judge in heavy])


def fewest_parts(candidates: int, seats: list[JudgeSeat]) -> int:
    """By trying everything: the fewest parts that one pair per judge can leave."""
    pairs = list(combinations(range(candidates), 2))
    allowed = [[pair for pair in pairs if seat.recused_from not in pair] for seat in seats]
    choices = product(*(choice for choice in allowed if choice))
    return min(parts(candidates, set(choice)) for choice in choices)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4).flatmap(lambda n: st.tuples(st.just(n), seats_of(n, most=4))), seeds)
def test_one_pair_a_judge_connects_whatever_can_be_connected(round_: tuple[int, list[JudgeSeat]], seed: int) -> None:
    candidates, seats = round_
    plan = first_batch(candidates, seats, pairs_per_judge=1, both_orders=False, seed=seed)
    assert parts(candidates, set().union(*map(unordered, plan))) == fewest_parts(candidates, seats)


@relaxed
@given(rounds(), seeds, st.booleans(), st.integers(1, 5))
def test_batches_go_on_until_everything_is_asked_once(
    round_: tuple[int, list[JudgeSeat]], seed: int, both: bool, budget: int
) -> None:
    candidates, seats = round_
    rng = rng_of(seed)
    asked: list[list[Pair]] = [[] for _ in seats]
    for _ in range(2 * candidates * candidates):
        batch = next_batch(candidates, seats, asked, pairs_per_judge=budget, both_orders=both, rng=rng)
        if not any(batch):
            break
        asked = [old + new for old, new in zip(asked, batch, strict=True)]
    for seat, questions in zip(seats, asked, strict=True):
        left = candidates - (seat.recused_from is not None)
        assert len(questions) == len(set(questions)) == left * (left - 1)


def test_a_half_asked_pair_is_finished_first() -> None:
    connected = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)]
    (batch,) = next_batch(4, [JudgeSeat()], [connected], pairs_per_judge=1, rng=rng_of(0))
    assert batch == [(2, 1)]
    (rest,) = next_batch(2, [JudgeSeat()], [[(0, 1)]], rng=rng_of(0))
    assert rest == [(1, 0)]


def test_in_one_order_a_half_asked_pair_is_kept_for_last() -> None:
    connected = [(0, 1), (1, 2)]
    (batch,) = next_batch(3, [JudgeSeat()], [connected], pairs_per_judge=1, both_orders=False, rng=rng_of(0))
    assert unordered(batch) == {(0, 2)}


def test_focus_buys_ballots_on_the_pairs_that_matter() -> None:
    connected = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)]
    (batch,) = next_batch(4, [JudgeSeat()], [connected], pairs_per_judge=1, focus=(0, 3), rng=rng_of(0))
    assert sorted(batch) == [(0, 3), (3, 0)]


def test_the_same_seed_gives_the_same_schedule_and_another_another() -> None:
    seats = [JudgeSeat()] * 3
    assert first_batch(9, seats, seed=1) == first_batch(9, seats, seed=1)
    assert first_batch(9, seats, seed=1) != first_batch(9, seats, seed=2)
    one, two, _ = first_batch(9, seats, seed=1)
    assert one != two


@pytest.mark.parametrize(
    ("seats", "asked", "weights"),
    [
        ([JudgeSeat(5)], [[]], [1.0]),
        ([JudgeSeat(None, True)], [[]], [1.0]),
        ([JudgeSeat()], [[]], [1.0, 1.0]),
        ([JudgeSeat()], [], [1.0]),
        ([JudgeSeat()], [[(0, 0)]], [1.0]),
        ([JudgeSeat()], [[(0, 3)]], [1.0]),
    ],
)
def test_what_does_not_fit_is_refused(seats: list[JudgeSeat], asked: list[list[Pair]], weights: list[float]) -> None:
    with pytest.raises(UsageError):
        next_batch(3, seats, asked, judge_weights=weights, rng=rng_of(0))


def test_the_work_of_a_large_committee_grows_with_its_candidates_and_not_with_its_judges() -> None:
    def questions(candidates: int, judges: int) -> int:
        seats = [JudgeSeat(None, False) for _ in range(judges)]
        return sum(len(asked) for asked in first_batch(candidates, seats, seed=1))

    assert questions(20, 7) == 7 * 2 * 60
    first = 3 * 2 * 60
    assert first <= questions(20, 50) <= 1.15 * first
    assert first <= questions(20, 20) <= 1.15 * first
    assert questions(40, 50) <= 2.1 * questions(20, 50)


def test_later_batches_of_a_large_committee_are_the_work_of_seven() -> None:
    seats = [JudgeSeat(None, False)] * 20
    first = first_batch(20, seats, seed=1)
    second = next_batch(20, seats, first, rng=rng_of(2))
    assert 7 * 2 * 60 <= sum(map(len, second)) <= 1.15 * 7 * 2 * 60
