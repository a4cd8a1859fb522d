"""Directories: whose adverts are taken, and how long they hold."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.mesh.adverts.making import TODAY, make_key, sealed
from waggle.core.ids import NodeId
from waggle.mesh.addresses import Scope
from waggle.mesh.adverts.directory import MAX_UNPROVEN, Directory, Verdict
from waggle.mesh.adverts.signed import OpenAdvert, within
from waggle.mesh.adverts.summaries import BUCKETS, key_of

ME = make_key(0).node_id
A = make_key(1).node_id
STRANGER = make_key(99).node_id


def make_directory(most: int = 100, view_limit: int | None = None) -> Directory:
    return Directory(ME, "waggle", most=most, view_limit=view_limit, salt=b"salt")


def add(directory: Directory, advert: OpenAdvert, *, by: NodeId | None = None, now: float = 0.0) -> Verdict:
    return directory.add(advert, by or advert.advert.node, now=now, wall=TODAY + now)


def test_only_a_larger_number_of_the_same_author_replaces_an_advert() -> None:
    directory = make_directory()
    assert add(directory, sealed(1, sequence=5)) is Verdict.NEWS
    assert add(directory, sealed(1, sequence=5, name="liar"), now=1) is Verdict.KNOWN
    assert add(directory, sealed(1, sequence=4, name="old"), now=1) is Verdict.KNOWN
    assert add(directory, sealed(1, incarnation=999, sequence=9), now=1) is Verdict.KNOWN
    assert add(directory, sealed(1, sequence=6), now=1) is Verdict.RENEWED
    assert add(directory, sealed(1, sequence=7, name="new"), now=2) is Verdict.NEWS
    assert add(directory, sealed(1, incarnation=1_001, sequence=0, name="new"), now=3) is Verdict.NEWS
    assert len(directory) == 1


def test_hearing_an_advert_again_does_not_prolong_it() -> None:
    directory = make_directory()
    add(directory, sealed(1, ttl=60.0))
    for now in range(1, 60, 5):
        assert add(directory, sealed(1, ttl=60.0), now=now) is Verdict.KNOWN
    assert directory.expire(now=59.9, wall=TODAY + 59.9) == []
    assert [advert.node for advert in directory.expire(now=60.0, wall=TODAY + 60)] == [A]
    assert len(directory) == 0


def test_completed_addresses_do_not_prolong_it_either() -> None:
    directory = make_directory()
    whole = sealed(1)
    add(directory, within(whole, Scope.PUBLIC))
    assert add(directory, whole, now=50) is Verdict.COMPLETED
    entry = directory.entry(A)
    assert entry is not None
    assert entry.advert == whole
    assert len(directory.expire(now=60.0, wall=TODAY + 60)) == 1


def test_an_author_cannot_ask_for_a_longer_life() -> None:
    directory = make_directory()
    add(directory, sealed(1, ttl=1e7))
    assert len(directory.expire(now=120.0, wall=TODAY + 120)) == 1


def test_a_buried_number_is_not_born_again_until_no_date_check_would_pass_it() -> None:
    directory = make_directory()
    advert = sealed(1, sequence=5)
    add(directory, advert)
    directory.bury(A, now=10.0)
    for now in (11.0, 130.0, 400.0, 659.0):
        directory.expire(now=now, wall=TODAY + now)
        assert add(directory, advert, by=STRANGER, now=now) is Verdict.BURIED
    for now in (670.0, 1_000.0, 10_000.0):
        directory.expire(now=now, wall=TODAY + now)
        assert add(directory, advert, by=STRANGER, now=now) is Verdict.WRONG_DATE


def test_a_clock_set_forward_does_not_open_a_grave() -> None:
    directory = make_directory()
    add(directory, sealed(1))
    directory.bury(A, now=0.0)
    directory.expire(now=20.0, wall=TODAY + 1e6)  # the wall clock jumped there and back
    assert add(directory, sealed(1), now=21.0) is Verdict.BURIED


def test_a_larger_number_or_an_answer_of_its_own_brings_a_buried_node_back() -> None:
    directory = make_directory()
    for number in (1, 2):
        add(directory, sealed(number))
        directory.bury(make_key(number).node_id, now=1.0)
    assert add(directory, sealed(1, sequence=2), now=2.0) is Verdict.NEWS
    directory.unbury(make_key(2).node_id)
    assert add(directory, sealed(2), now=2.0) is Verdict.NEWS


def test_when_full_newcomers_are_refused_and_nobody_is_evicted() -> None:
    directory = make_directory(most=3)
    for number in (1, 2, 3):
        assert add(directory, sealed(number)).accepted
    assert add(directory, sealed(4, incarnation=10_000_000)) is Verdict.FULL
    assert add(directory, sealed(1, sequence=2), now=1.0).accepted
    assert {entry.author for entry in directory.others()} == {make_key(number).node_id for number in (1, 2, 3)}


def test_a_stranger_can_bring_only_so_many_that_never_answered() -> None:
    directory = make_directory(most=10_000)
    for number in range(1_000, 1_000 + MAX_UNPROVEN):
        assert add(directory, sealed(number), by=STRANGER) is Verdict.NEWS
    assert add(directory, sealed(1), by=STRANGER) is Verdict.CROWDED
    assert add(directory, sealed(1), by=make_key(2).node_id) is Verdict.NEWS
    assert add(directory, sealed(3)) is Verdict.NEWS
    directory.prove(make_key(1_000).node_id)
    assert add(directory, sealed(4), by=STRANGER) is Verdict.NEWS
    assert add(directory, sealed(5), by=STRANGER) is Verdict.CROWDED
    directory.bury(make_key(1_001).node_id, now=0.0)
    assert add(directory, sealed(5), by=STRANGER) is Verdict.NEWS


def test_adverts_of_other_networks_wrong_dates_and_ourselves_are_refused() -> None:
    directory = make_directory()
    assert add(directory, sealed(1, network="wasps")) is Verdict.OTHER_NETWORK
    assert add(directory, sealed(1, issued_at=TODAY + 601)) is Verdict.WRONG_DATE
    assert add(directory, sealed(1, issued_at=1e11)) is Verdict.WRONG_DATE
    assert add(directory, sealed(1, issued_at=0.0, incarnation=1)) is Verdict.WRONG_DATE
    assert add(directory, sealed(0, incarnation=10**6)) is Verdict.KNOWN
    assert len(directory) == 0


def test_an_author_cannot_make_news_all_the_time() -> None:
    directory = make_directory()
    verdicts = [add(directory, sealed(1, sequence=i, name=str(i)), now=i * 0.01) for i in range(1, 200)]
    assert verdicts.count(Verdict.NEWS) <= 5
    assert add(directory, sealed(1, sequence=500, departed=True), now=2.0) is Verdict.NEWS


def test_two_directories_with_the_same_adverts_have_the_same_sums_whatever_the_order() -> None:
    one, other = make_directory(), make_directory()
    adverts = [sealed(number) for number in range(1, 20)]
    for advert in adverts:
        add(one, advert)
    for advert in reversed(adverts):
        add(other, sealed(advert.advert.incarnation % 7 + 30), now=0.0)
        add(other, advert)
    for number in range(30, 37):
        other.holdings.remove(make_key(number).node_id)
    assert one.holdings.sums(Scope.LOOPBACK) == other.holdings.sums(Scope.LOOPBACK)
    add(other, sealed(3, sequence=2), now=1.0)
    assert one.holdings.sums(Scope.LOOPBACK) != other.holdings.sums(Scope.LOOPBACK)


def test_what_may_not_cross_a_link_makes_no_difference_over_it() -> None:
    near, far = make_directory(), make_directory()
    whole = sealed(1)
    add(near, whole)
    add(far, within(whole, Scope.PUBLIC))
    assert near.holdings.sums(Scope.PUBLIC) == far.holdings.sums(Scope.PUBLIC)
    assert near.holdings.sums(Scope.PRIVATE) != far.holdings.sums(Scope.PRIVATE)
    heads, _ = near.holdings.heads(range(BUCKETS), Scope.PUBLIC)
    assert not any(far.lacks(head, STRANGER) for head in heads)
    heads, _ = near.holdings.heads(range(BUCKETS), Scope.LOOPBACK)
    assert [far.lacks(head, STRANGER) for head in heads] == [True]


def test_copies_for_a_link_are_bounded_and_leave_the_rest_for_later() -> None:
    directory = make_directory()
    keys = []
    for number in range(1, 30):
        add(directory, sealed(number))
        keys.append(key_of(make_key(number).node_id))
    taken, left = directory.holdings.take(keys, Scope.PUBLIC, 4_000)
    assert 3_000 < sum(advert.size for advert in taken) <= 4_000
    assert len(taken) + len(left) == len(keys)
    assert all(advert.private == advert.loopback == b"" for advert in taken)


def test_what_is_buried_is_not_asked_for() -> None:
    one, other = make_directory(), make_directory()
    for directory in (one, other):
        add(directory, sealed(1))
    heads, _ = one.holdings.heads(range(BUCKETS), Scope.LOOPBACK)
    other.bury(A, now=0.0)
    assert not other.lacks(heads[0], STRANGER)


def test_a_partial_view_is_bounded_and_pushing_does_not_help() -> None:
    pushed = make_directory(view_limit=20)
    honest = make_directory(view_limit=20)
    adverts = [sealed(number) for number in range(1, 200)]
    for advert in adverts:
        add(honest, advert)
    random.Random(1).shuffle(adverts)
    for advert in [*adverts, *adverts[:50] * 5]:
        add(pushed, advert)
    assert {entry.author for entry in pushed.others()} == {entry.author for entry in honest.others()}
    assert 10 <= len(pushed) <= 20
    assert len(pushed.take_dropped()) > 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4), st.sampled_from(["add", "bury", "prove", "wait"]))))
def test_no_sequence_of_events_breaks_the_counts(events: list[tuple[int, int, str]]) -> None:
    directory = make_directory(most=4)
    now = 0.0
    for number, sequence, what in events:
        node = make_key(number).node_id
        if what == "add":
            add(directory, sealed(number, sequence=sequence), by=STRANGER, now=now)
        elif what == "bury":
            directory.bury(node, now=now)
        elif what == "prove":
            directory.prove(node)
        else:
            now += 37.0
            directory.expire(now=now, wall=TODAY + now)
        assert len(directory) <= 4
        unproven = sum(not entry.proven for entry in directory.others())
        assert directory.unproven(STRANGER) == unproven
    for entry in list(directory.others()):
        directory.bury(entry.author, now=now)
    assert directory.holdings.sums(Scope.LOOPBACK) == [0] * BUCKETS
    assert directory.unproven(STRANGER) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_million_junk_records_take_less_than_64_megabytes_and_others_still_get_in() -> None:
    directory = Directory(ME, "waggle")
    sample = sealed(1_000, name="x" * 100)
    tracemalloc.start()
    refused = 0
    for index in range(1_000_000):
        junk = OpenAdvert(replace(sample.advert, node=NodeId(f"junk {index}")), sample.signed, sample.scopes)
        refused += not add(directory, junk, by=STRANGER).accepted
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused == 1_000_000 - MAX_UNPROVEN
    assert peak < 64 * 2**20
    assert add(directory, sealed(1), by=make_key(2).node_id) is Verdict.NEWS
