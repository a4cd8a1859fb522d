"""The longest common beginning is found, within a bounded number of tokens."""

import torch

from waggle.engines.batching.prefixes import SHORTEST, Prefix, PrefixStore, shared_length


def prefix(*tokens: int) -> Prefix:
    return Prefix(tokens, torch.zeros(1), torch.zeros(1))


def test_the_longest_common_beginning_wins() -> None:
    store = PrefixStore(1_000)
    for length in (10, 20, 15):
        store.keep(prefix(*range(length), 99))
    length, found = store.find(list(range(30)), 30)
    assert length == 20
    assert found is not None
    assert len(found.tokens) == 21


def test_no_more_than_asked_is_reused() -> None:
    store = PrefixStore(1_000)
    store.keep(prefix(*range(20)))
    assert store.find(list(range(20)), 19)[0] == 19


def test_a_short_beginning_is_not_worth_it() -> None:
    store = PrefixStore(1_000)
    store.keep(prefix(*range(20)))
    assert store.find([*range(SHORTEST - 1), 99], 30) == (0, None)


def test_the_longest_unused_goes_first() -> None:
    store = PrefixStore(50)
    for begin in (100, 200):
        store.keep(prefix(*range(begin, begin + 20)))
    store.find(list(range(100, 120)), 20)
    store.keep(prefix(*range(300, 320)))
    assert [store.find(list(range(begin, begin + 20)), 20)[0] for begin in (100, 200, 300)] == [20, 0, 20]


def test_what_is_too_long_or_known_is_not_kept() -> None:
    store = PrefixStore(50)
    store.keep(prefix(*range(51)))
    assert store.find(list(range(51)), 51)[0] == 0
    for _ in range(9):
        store.keep(prefix(*range(20)))
    store.keep(prefix(*range(100, 120)))
    assert store.find(list(range(20)), 20)[0] == 20


def test_shared_length() -> None:
    assert shared_length([1, 2, 3], [1, 2, 4], 9) == 2
    assert shared_length([1, 2, 3], [1, 2], 9) == 2
    assert shared_length([1, 2, 3], [1, 2, 3], 1) == 1
    assert shared_length([], [1], 9) == 0
