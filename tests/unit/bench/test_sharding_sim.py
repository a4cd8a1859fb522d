"""The model of a sharded directory counts what its words say."""

import numpy as np
import pytest

from waggle.bench.swarm.sharding import (
    CONTACTS,
    INDEXED,
    SHARD_NODES,
    SKILLS,
    held,
    make_swarm,
    publish,
    run_sharding_sim,
    search,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize(("nodes", "shards"), [(2_000, 1), (10_000, 8), (100_000, 64)])
def test_shards_are_halved_until_none_is_too_large(nodes: int, shards: int) -> None:
    swarm = make_swarm(nodes, rng())
    assert swarm.shards == shards
    assert np.bincount(swarm.shard, minlength=shards).max() < 1.3 * SHARD_NODES


def test_the_dead_stay_listed_for_as_long_as_their_adverts_live() -> None:
    assert make_swarm(10_000, rng(), churn=0.0).alive.all()
    dead = np.count_nonzero(~make_swarm(10_000, rng(), churn=0.1).alive)
    assert dead == 1_250  # 1,000 die in 60 s, and an advert lasts 75 s longer than its author


def test_a_common_skill_is_published_by_few_and_a_rare_one_by_all() -> None:
    swarm = make_swarm(100_000, rng(), churn=0.0)
    published = publish(swarm, rng())
    holders = np.bincount(swarm.skills.ravel(), minlength=SKILLS)
    listed = np.bincount(swarm.skills[published], minlength=SKILLS)
    assert holders[0] > 20_000
    assert 0.5 * INDEXED < listed[0] < 2 * INDEXED
    rare = holders < 0.1 * INDEXED * swarm.shards / SHARD_NODES
    assert (listed[rare] == holders[rare]).all()


def test_a_node_holds_its_shard_the_adverts_of_skills_and_contacts() -> None:
    swarm = make_swarm(10_000, rng())
    none = np.zeros(swarm.skills.shape, bool)
    skills = np.zeros(SKILLS, np.int64)
    alone = held(swarm, none, skills)
    assert alone.sum() == len(swarm.shard) + swarm.shards * CONTACTS * (swarm.shards - 1)
    assert (held(swarm, ~none, skills) - alone).tolist() == [swarm.skills.size] + [0] * (swarm.shards - 1)


def test_rare_skills_are_found_through_their_shard_alone() -> None:
    swarm = make_swarm(100_000, rng())
    at_home, found = search(swarm, publish(swarm, rng()), rng())
    assert at_home.mean() < 0.2
    assert found.mean() > 0.99


def test_contacts_that_all_keep_silent_leave_what_is_at_home() -> None:
    swarm = make_swarm(10_000, rng())
    at_home, found = search(swarm, publish(swarm, rng()), rng(), liars=1.0)
    assert (at_home == found).all()
    assert found.mean() < 0.5


def test_the_dead_in_a_list_do_not_count_as_found() -> None:
    swarm = make_swarm(10_000, rng(), churn=0.0)
    nobody = type(swarm)(swarm.shards, swarm.shard, np.arange(len(swarm.alive)) < 5_000, swarm.skills)
    published = publish(swarm, rng())
    assert search(nobody, published, rng())[0].mean() < search(swarm, published, rng())[0].mean()


def test_the_report_has_a_row_and_a_goal_for_every_size() -> None:
    found = run_sharding_sim(1, (5_000, 20_000))
    assert [row["nodes"] for row in found["rows"]] == [5_000, 20_000]
    assert [goal["met"] for goal in found["goals"]] == [True, True]
