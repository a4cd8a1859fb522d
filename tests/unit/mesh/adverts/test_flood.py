"""Junk from any number of invented nodes: how much memory it takes, and what becomes of honest ones meanwhile."""

import tracemalloc
from itertools import count

import pytest
from msgspec.structs import replace

from tests.unit.mesh.adverts.making import TODAY, describe, make_key, sealed
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, ModelOffer, SharedFiles
from waggle.mesh.adverts.directory import Directory, Verdict
from waggle.mesh.adverts.holdings import memory_of
from waggle.mesh.adverts.signed import OpenAdvert, read_advert
from waggle.mesh.limits import MAX_ADVERT_BYTES, MAX_ADVERTS, MAX_HELD_BYTES

pytestmark = pytest.mark.timeout(300)

MIB = 2**20
JUNK = "an invented node"
PLAIN = sealed(1).signed
SHARED = tuple(SharedFiles(name="n" * 60 + f"{n}", manifest=f"{n:064x}", size=10**12) for n in range(32))


def skilled(models: int, skills: int) -> Advert:
    """What a node with so many models and skills says, no value of it shared with another advert."""
    offers = (
        ModelOffer(
            model=f"m{model}",
            family="f",
            context_tokens=512,
            skills={f"{skill:02x}": 0.5 / (1 + model + skill) for skill in range(skills)},
        )
        for model in range(models)
    )
    return replace(describe(), offers=tuple(offers), addresses=())


SHAPES = [skilled(1, 9), skilled(7, 9), skilled(14, 32), skilled(16, 0), replace(skilled(0, 0), shared=SHARED)]


def grown(number: int, shape: Advert) -> OpenAdvert:
    """An advert as it is read from the wire, every value a new one."""
    real = sealed(number, **{name: getattr(shape, name) for name in ("offers", "shared", "addresses")})
    return read_advert(real.signed)


def junk(number: int) -> OpenAdvert:
    """The costliest advert there is, of a node that was never there; not signed, which is not what is measured."""
    signed = replace(PLAIN, body=(b"%d " % number).ljust(MAX_ADVERT_BYTES, b"x"))
    return OpenAdvert(replace(skilled(14, 32), node=NodeId(f"{JUNK} {number}")), signed, 0)


def add(directory: Directory, advert: OpenAdvert, by: str, now: float = 0.0) -> Verdict:
    return directory.add(advert, NodeId(by), now=now, wall=TODAY + now)


def test_the_memory_of_an_advert_is_known_before_it_is_held() -> None:
    for shape in SHAPES:
        made = [grown(number, shape).signed for number in range(1, 41)]
        tracemalloc.start()
        directory = Directory(make_key(0).node_id, "waggle")
        for number, signed in enumerate(made, 1):
            again = read_advert(replace(signed, body=bytes(bytearray(signed.body))))
            assert add(directory, again, make_key(number).node_id).accepted
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken <= directory.holdings.bytes < 2 * taken


def test_junk_of_many_introducers_takes_no_more_than_its_bound_and_evicts_nobody() -> None:
    directory = Directory(make_key(0).node_id, "waggle")
    honest = [sealed(number) for number in range(1, 20)]
    for advert in honest:
        assert add(directory, advert, advert.advert.node).accepted
    tracemalloc.start()
    verdicts = [add(directory, junk(number), f"introducer {number // 100}") for number in range(900)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verdicts[-1] is Verdict.FULL
    assert verdicts.count(Verdict.NEWS) < 860
    assert peak < 64 * MIB
    assert directory.holdings.bytes <= MAX_HELD_BYTES
    assert all(directory.entry(advert.advert.node) for advert in honest)
    assert all(add(directory, sealed(number, sequence=2), "anyone", 1.0).accepted for number in range(1, 20))


def test_what_has_come_in_small_does_not_grow_past_the_bound() -> None:
    directory = Directory(make_key(0).node_id, "waggle")
    for number in range(1, 4):
        assert add(directory, grown(number, skilled(0, 0)), make_key(number).node_id).accepted
    numbers = count()
    while add(directory, junk(next(numbers)), f"introducer {next(numbers) // 100}").accepted:
        pass
    fat = sealed(1, sequence=2, offers=skilled(14, 32).offers, addresses=())
    assert add(directory, fat, fat.advert.node, 1.0) is Verdict.FULL
    assert add(directory, sealed(2, sequence=2, offers=(), addresses=()), "anyone", 1.0).accepted
    directory.bury(NodeId(f"{JUNK} 0"), now=1.0)
    assert add(directory, fat, fat.advert.node, 2.0).accepted  # there is room again


def test_the_memory_counted_is_that_of_what_is_held() -> None:
    directory = Directory(make_key(0).node_id, "waggle")
    for number, shape in enumerate(SHAPES, 1):
        assert add(directory, grown(number, shape), make_key(number).node_id).accepted
        assert add(directory, grown(number, replace(shape, sequence=2)), make_key(number).node_id, 1.0) is Verdict.KNOWN
    assert directory.holdings.bytes == sum(memory_of(entry.advert) for entry in directory.others())
    for number in range(1, 1 + len(SHAPES)):
        directory.bury(make_key(number).node_id, now=2.0)
    assert directory.holdings.bytes == 0


def test_the_bound_has_room_for_a_full_directory_of_plain_nodes() -> None:
    assert MAX_ADVERTS * memory_of(grown(1, replace(SHAPES[0], addresses=sealed(1).advert.addresses))) <= MAX_HELD_BYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_thousand_records_of_two_thousand_introducers_take_less_than_64_megabytes() -> None:
    directory = Directory(make_key(0).node_id, "waggle")
    sample = junk(0)
    cost = memory_of(sample)
    tracemalloc.start()
    for number in range(200_000):
        made = replace(sample, advert=replace(sample.advert, node=NodeId(f"{JUNK} {number}")))
        if directory.holdings.bytes + cost <= MAX_HELD_BYTES:
            made = junk(number)  # every value a new one, since it will be held
        add(directory, made, f"introducer {number // 100}", number / 500)
        if number % 1_000 == 0:
            directory.expire(now=number / 500, wall=TODAY + number / 500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * MIB
    assert directory.holdings.bytes <= MAX_HELD_BYTES
