"""What is remembered of one owner's work serves no other, in every memory that a local engine has."""

import asyncio

import torch

from tests.unit.engines.local.test_judging import Actor
from waggle.core.carried import NOBODY, Owner, owner, working_for
from waggle.engines.local.drafts import DraftsByAsker
from waggle.engines.local.jobs import EmbedJob
from waggle.engines.local.slots import Prefix, PrefixStore
from waggle.models.prompts import ANSWER_MARKER

ANN, EVE = Owner("ann", "1"), Owner("eve", "1")
TOKENS = tuple(range(20))


def prefix(whose: Owner) -> Prefix:
    return Prefix(TOKENS, torch.zeros(2), torch.zeros(2), whose)


async def test_a_task_works_for_whom_it_was_started() -> None:
    async def whose() -> Owner:
        await asyncio.sleep(0)
        return owner()

    with working_for("ann", "1"):
        task = asyncio.create_task(whose())
        with working_for("eve"):
            assert owner() == Owner("eve")
        job = EmbedJob([1])
    assert (await task, job.owner, owner()) == (ANN, ANN, NOBODY)


def test_a_beginning_is_found_by_its_owner_alone() -> None:
    store = PrefixStore(1_000)
    store.keep(prefix(ANN))
    assert store.find(TOKENS, 20, ANN)[0] == 20
    for other in (EVE, NOBODY, Owner("ann", "2"), Owner("ann")):
        assert store.find(TOKENS, 20, other) == (0, None)


def test_two_owners_may_have_begun_in_the_same_way() -> None:
    store = PrefixStore(1_000)
    ours, theirs = prefix(ANN), prefix(EVE)
    for kept in (ours, theirs, prefix(ANN)):
        store.keep(kept)
    assert store.find(TOKENS, 20, ANN)[1] is ours
    assert store.find(TOKENS, 20, EVE)[1] is theirs


def test_what_one_asker_wrote_is_no_guess_for_another() -> None:
    drafts = DraftsByAsker()
    drafts.of("ann").learn([1, 2, 3, 4], 0)
    assert drafts.of("ann").guess([1, 2], 2) == [3, 4]
    assert drafts.of("eve").guess([1, 2], 2) == []


def test_guesses_of_all_askers_together_are_bounded() -> None:
    drafts = DraftsByAsker(most_entries=1_000, most_askers=8)
    for asker in range(100):
        drafts.of(f"{asker}").learn(range(100), 0)
        drafts.of("ann").learn(range(1_000, 1_100), 0)
    held = drafts._drafts
    assert len(held) <= 8
    assert sum(map(len, held.values())) <= 1_000 + 2 * 300  # those two that learn may go over by what they just learnt
    assert drafts.of("ann").guess([1_000, 1_001], 1) == [1_002]  # who is in use is not forgotten


async def test_a_working_is_not_shared_between_owners() -> None:
    actor = Actor(f"17 + 25 is 42{ANSWER_MARKER} 42")
    told = []
    for asker in ("ann", "ann", "eve"):
        with working_for(asker):
            spent = (await actor.judge.judge(actor.ask("42", "32")))[2]
        told.append((len(actor.prompts), len(actor.scored), spent.completion_tokens > 0))
    assert told == [(1, 2, True), (1, 2, False), (2, 4, True)]
