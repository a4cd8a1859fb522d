"""The bundled hive, as shipped: small, complete, right on its own families, better together, unsure of the rest."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice

import pytest

from waggle.bench.quality.lessons import KnownSet
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest
from waggle.models.hive import hive_folder, hive_names, hive_root, read_card
from waggle.node.calibration import load_calibration
from waggle.node.engines.opening import open_hive
from waggle.node.history.records import load_record, save_record
from waggle.node.rounds.swarm import Swarm
from waggle.training.outside import outside_questions
from waggle.training.plan import RECIPES
from waggle.training.questions import Split, is_right, questions

pytestmark = pytest.mark.timeout(60)  # real models: seconds on an idle machine, more on a busy one

MOST_BYTES, MOST_PARAMETERS = 3_000_000, 1_500_000
SEED = 4711  # not that of any benchmark


@pytest.fixture
async def swarm() -> AsyncIterator[Swarm]:
    swarm = Swarm(open_hive(), load_calibration(hive_root() / "calibration.json"))
    yield swarm
    await swarm.close()


def test_seven_small_models_of_different_sizes_ship_with_cards() -> None:
    assert set(hive_names()) == set(RECIPES)
    for name in hive_names():
        weights = (hive_folder(name) / "model.safetensors").stat().st_size
        assert weights < MOST_BYTES
        assert weights / 2 < MOST_PARAMETERS
        card = read_card(hive_folder(name))
        assert card.licence
        assert card.trained_steps
        assert set(RECIPES[name].families) <= set(card.skills)
    assert len({(r.architecture, r.hidden, r.layers) for r in RECIPES.values()}) >= 6


def test_every_family_has_two_or_three_experts_and_every_model_two_or_three_families() -> None:
    families = [family for recipe in RECIPES.values() for family in recipe.families]
    assert {families.count(family) for family in families} <= {2, 3}
    assert {len(recipe.families) for recipe in RECIPES.values()} <= {2, 3}


async def test_experts_are_right_on_unseen_questions_of_their_families(swarm: Swarm) -> None:
    for node, engine in swarm.engines.items():
        for family in RECIPES[node].families:
            asked = list(islice(questions(family, Split.MEASURE, SEED), 12))
            made = await asyncio.gather(*(engine.generate(GenerateRequest(question=q.text)) for q in asked))
            right = sum(is_right(q, answer.answer) for q, answer in zip(asked, made, strict=True))
            assert right >= 9, f"{node} on {family}: {right} of 12 (seed {SEED})"


async def test_the_swarm_beats_its_best_member_and_the_vote(swarm: Swarm) -> None:
    known = KnownSet(Split.MEASURE, per_kind=4, seed=SEED)
    right: dict[str, int] = {}
    for strategy in ("committee", "vote", *(f"solo:{node}" for node in swarm.engines)):
        records = [swarm.ask(question.text, AskOptions(strategy=strategy)) for question in known.known]
        outcomes = [record.outcome for record in await asyncio.gather(*records)]
        pairs = zip(known.known, outcomes, strict=True)
        right[strategy] = sum(known.is_right(question, outcome.answer or "") for question, outcome in pairs)
    others = max(count for strategy, count in right.items() if strategy != "committee")
    assert right["committee"] > others, f"{right} of {len(known.known)} (seed {SEED})"


async def test_the_swarm_abstains_from_what_nobody_in_it_knows(swarm: Swarm) -> None:
    asked = outside_questions(Split.MEASURE, SEED, 3)
    records = await asyncio.gather(*(swarm.ask(text) for text in asked))
    abstained = sum(record.outcome.abstained for record in records)
    assert abstained >= 0.85 * len(asked), f"{abstained} of {len(asked)}"


async def test_a_record_of_the_hive_replays_from_its_file(
    swarm: Swarm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    record = await swarm.ask("How many 1 bits are there in the binary representation of the number 1453?")
    assert record.outcome.answer == "7"
    path = tmp_path_factory.mktemp("records") / "round.json"
    save_record(record, path)
    assert load_record(path) == record


async def test_the_same_question_and_seed_give_the_same_outcome_in_any_company(swarm: Swarm) -> None:
    known = KnownSet(Split.MEASURE, per_kind=2, seed=SEED).known
    alone = [(await swarm.ask(question.text)).outcome.answer for question in known]
    together = await asyncio.gather(*(swarm.ask(question.text) for question in known))
    assert [record.outcome.answer for record in together] == alone
