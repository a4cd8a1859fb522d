"""A directory too large for one node, in shards: what a node holds, and whether it finds nodes with a skill.

The plan of `docs/scaling.md` as a statistical model of one moment; no message is sent. A node's shard is the head of
the hash of its key. It holds its own shard whole and some contacts in every other one. A skill has a shard as well, by
the hash of its name; the holders of a rare skill put their adverts there too, so many that about `INDEXED` are found.
A seeker takes the skill from its own shard, which is a fair sample of the swarm, else asks its contacts in the skill's,
and where all are silent a neighbour's contacts.

Every minute a share of the nodes is killed without a word and others come with new keys. The dead stay listed until
their adverts expire, newcomers are unknown at first, contacts grow old, and some contacts answer that they know nobody.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from waggle.bench.report import Report, Row, at_least, number, print_report, report

SIZES = (10_000, 100_000, 1_000_000)
SHARD_NODES = 2_048
"""A shard is halved when it has more members."""
INDEXED = 128
REPLY = 64
"""Adverts in one reply."""
CONTACTS, TRIES = 3, 2
CONTACT_SECONDS = 300.0
"""A contact is looked for anew when it is this old."""
SKILLS, SKILLS_PER_NODE = 1_000, 2
CHURN, LIARS = 0.1, 0.1
LISTED_DEAD_SECONDS, UNKNOWN_SECONDS = 75.0, 10.0
"""An advert lives 90 s and is renewed every 30: at its author's death it has 60 to 90 s left."""
RENEW_SECONDS, ADVERT_BYTES = 30.0, 1_000
"""Of one model with nine measured skills and four addresses: 974 bytes."""
QUERIES, WANTED = 20_000, 7
FOUND_GOAL = 0.99

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Swarm:
    """One moment. Per listed node its shard, whether it lives, and its skills, shape (nodes, SKILLS_PER_NODE)."""

    shards: int
    shard: Ints
    alive: Flags
    skills: Ints


def make_swarm(nodes: int, rng: np.random.Generator, churn: float = CHURN) -> Swarm:
    """So many live nodes, less those nobody knows yet, and the dead that are still listed. Skills are Zipf's."""
    rate = churn / 60.0
    living, dead = int(nodes * (1 - rate * UNKNOWN_SECONDS)), int(nodes * rate * LISTED_DEAD_SECONDS)
    shards = 1 << max(0, int(np.ceil(np.log2(nodes / SHARD_NODES))))
    share = 1.0 / np.arange(1, SKILLS + 1)
    listed = living + dead
    return Swarm(
        shards=shards,
        shard=rng.integers(shards, size=listed),
        alive=np.arange(listed) < living,
        skills=rng.choice(SKILLS, size=(listed, SKILLS_PER_NODE), p=share / share.sum()),
    )


def publish(swarm: Swarm, rng: np.random.Generator) -> Flags:
    """Which holdings their nodes put into the skills' shards: each judges a skill's rarity by its own shard."""
    at = swarm.skills * swarm.shards + swarm.shard[:, None]
    here = np.bincount(at.ravel(), minlength=SKILLS * swarm.shards)
    chance = INDEXED / (here[at] * swarm.shards)
    return np.asarray(rng.random(at.shape) < chance)


def held(swarm: Swarm, published: Flags, skill_shard: Ints) -> Ints:
    """Adverts that a node of each shard holds, its contacts included."""
    own = np.bincount(swarm.shard, minlength=swarm.shards)
    skills = np.bincount(skill_shard[swarm.skills[published]], minlength=swarm.shards)
    return np.asarray(own + skills + CONTACTS * (swarm.shards - 1))


def search(
    swarm: Swarm, published: Flags, rng: np.random.Generator, churn: float = CHURN, liars: float = LIARS
) -> tuple[Flags, Flags]:
    """Of QUERIES for a skill that twice WANTED live nodes have: which found WANTED at home, and which did at all."""
    live = np.broadcast_to(swarm.alive[:, None], swarm.skills.shape)
    at_home = np.bincount((swarm.skills * swarm.shards + swarm.shard[:, None])[live], minlength=SKILLS * swarm.shards)
    wanted = np.flatnonzero(np.bincount(swarm.skills[live], minlength=SKILLS) >= 2 * WANTED)
    skill, home = rng.choice(wanted, QUERIES), rng.integers(swarm.shards, size=QUERIES)
    near = at_home[skill * swarm.shards + home]
    good, bad = (
        np.bincount(swarm.skills[published & state], minlength=SKILLS)[skill] for state in (live, np.logical_not(live))
    )
    far = rng.hypergeometric(good, bad, np.minimum(REPLY, good + bad))
    reached = rng.random(QUERIES) >= _deaf(churn, liars) ** (CONTACTS * TRIES)
    return near >= WANTED, near + np.where(reached, far, 0) >= WANTED


def _deaf(churn: float, liars: float) -> float:
    """The chance that a contact of a chance age is dead or says nothing."""
    deaths = churn / 60.0 * CONTACT_SECONDS
    dead = 1 - (1 - np.exp(-deaths)) / deaths if deaths else 0.0
    return float(1 - (1 - dead) * (1 - liars))


def simulate(nodes: int, rng: np.random.Generator) -> Row:
    """One size. `whole_*` is what a node would hold and receive if it held everybody."""
    swarm = make_swarm(nodes, rng)
    published = publish(swarm, rng)
    adverts = held(swarm, published, rng.integers(swarm.shards, size=SKILLS))
    kept = adverts - CONTACTS * (swarm.shards - 1)
    at_home, found = search(swarm, published, rng)
    contacts = CONTACTS * (swarm.shards - 1) / CONTACT_SECONDS
    return {
        "nodes": nodes,
        "shards": swarm.shards,
        "adverts_p50": float(np.median(adverts)),
        "adverts_most": int(adverts.max()),
        "megabytes": float(np.median(adverts)) * ADVERT_BYTES / 1e6,
        "kilobytes_per_s": (float(np.median(kept)) / RENEW_SECONDS + contacts) * ADVERT_BYTES / 1e3,
        "whole_megabytes": nodes * ADVERT_BYTES / 1e6,
        "whole_kilobytes_per_s": nodes / RENEW_SECONDS * ADVERT_BYTES / 1e3,
        "found_at_home": float(np.mean(at_home)),
        "found": float(np.mean(found)),
    }


def run_sharding_sim(seed: int, sizes: tuple[int, ...] = SIZES) -> Report:
    """Simulate every size; some seconds."""
    rng = np.random.default_rng(seed)
    rows = [simulate(nodes, rng) for nodes in sizes]
    goals = [
        at_least(f"queries answered at {row['nodes']} nodes, share", number(row["found"]), FOUND_GOAL) for row in rows
    ]
    return report("sharding", seed, rows, goals)


if __name__ == "__main__":
    print_report(run_sharding_sim(1))
