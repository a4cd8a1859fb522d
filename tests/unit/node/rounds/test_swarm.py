"""How a question becomes a plan: one strategy after another, and what cannot be asked is said in a sentence."""

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.asking import MAX_QUESTION_BYTES, PROMPT_MARGIN, AskOptions
from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, ConfidenceModel, Plan, Standing
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.calibration import Calibration
from waggle.node.rounds.swarm import Swarm
from waggle.routing.kinds import fit_kinds
from waggle.routing.skills import NodeSkills, SkillCount
from waggle.testing.clock import VirtualClock

QUESTION = "What is 6 plus 7?"
NAMES = ("ant", "bee", "cat")


def engines() -> dict[NodeId, ScriptedEngine]:
    return {NodeId(name): ScriptedEngine(Script(name=name), {}) for name in NAMES}


def model(intercept: float) -> ConfidenceModel:
    return ConfidenceModel(intercept=intercept, coefficients=(1.0,) * 7)


def calibration() -> Calibration:
    """The bee adds best, the ant hardly; the cat was never measured."""

    def skills(right: float) -> NodeSkills:
        return NodeSkills(proposer={"sum": SkillCount(right, 20.0)}, judge={"sum": SkillCount(right, 20.0)})

    return Calibration(
        nodes={"ant": skills(8.0), "bee": skills(19.0)},
        judge_methods={"ant": JudgeMethod.VERDICT, "bee": JudgeMethod.RESOLVE},
        chances={"sum": 0.05},
        kinds=fit_kinds([(f"What is {a} plus {b}?", "sum") for a in range(5) for b in range(5)]),
        confidence={"committee": model(0.1), "vote": model(0.2), "solo": model(0.3)},
    )


def plan(*, calibrated: bool = True, question: str = QUESTION, **options: object) -> Plan:
    swarm = Swarm(engines(), calibration() if calibrated else None, VirtualClock())
    return swarm.plan(question, AskOptions(**options))  # type: ignore[arg-type]  # whatever the test wants


def nodes(standings: tuple[Standing, ...]) -> list[str]:
    return [standing.node for standing in standings]


def test_a_swarm_plan_asks_everyone_and_weighs_them_by_what_was_measured() -> None:
    made = plan()
    assert nodes(made.proposers) == nodes(made.judges) == ["bee", "ant", "cat"]
    bee, ant, cat = made.judges
    assert bee.judge_weight > 0 == ant.judge_weight == cat.judge_weight
    assert bee.support_weight > ant.support_weight > cat.support_weight == 0
    assert made.familiarity == 1.0
    assert made.confidence == model(0.1)


def test_without_a_calibration_all_weigh_the_same_and_familiarity_is_unknown() -> None:
    made = plan(calibrated=False)
    assert {(s.support_weight, s.judge_weight, s.skill) for s in made.proposers} == {(1.0, 1.0, 0.5)}
    assert nodes(made.proposers) == list(NAMES)
    assert made.familiarity == 0.5
    assert made.confidence is None


def test_a_calibration_of_other_nodes_altogether_counts_as_none() -> None:
    strangers = Swarm({NodeId("dog"): ScriptedEngine(Script(), {})}, calibration(), VirtualClock())
    (dog,) = strangers.plan(QUESTION, AskOptions()).judges
    assert (dog.support_weight, dog.judge_weight) == (1.0, 1.0)


def test_a_question_of_no_known_kind_is_unfamiliar() -> None:
    assert plan(question="Who wrote the second symphony, and was it any good?").familiarity < 0.5


def test_a_vote_has_no_judges_and_equal_weights() -> None:
    made = plan(strategy="vote")
    assert made.judges == ()
    assert {standing.support_weight for standing in made.proposers} == {1.0}
    assert not made.count_self_confidence
    assert made.confidence == model(0.2)


def test_the_best_is_the_most_skilled_alone() -> None:
    made = plan(strategy="best")
    assert (nodes(made.proposers), made.judges, made.confidence) == (["bee"], (), model(0.3))


def test_solo_is_the_named_one_alone() -> None:
    made = plan(strategy="solo:ant")
    assert (nodes(made.proposers), made.judges, made.confidence) == (["ant"], (), model(0.3))


@pytest.mark.parametrize("strategy", ["", "Swarm", "solo", "best of three"])
def test_an_unknown_strategy_is_refused_with_the_ones_there_are(strategy: str) -> None:
    with pytest.raises(UsageError, match="there are auto, committee, vote, best and solo:MODEL"):
        plan(strategy=strategy)


@pytest.mark.parametrize("strategy", ["solo:", "solo:dog", "solo:BEE"])
def test_an_unknown_model_is_refused_with_the_ones_there_are(strategy: str) -> None:
    with pytest.raises(UsageError, match="there are ant, bee, cat"):
        plan(strategy=strategy)


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        plan(question=question)


def test_an_oversize_question_is_refused_by_its_bytes() -> None:
    assert plan(question="ä" * (MAX_QUESTION_BYTES // 2)).question
    with pytest.raises(UsageError, match="longer than 64 KiB"):
        plan(question="ä" * (MAX_QUESTION_BYTES // 2) + "a")


def test_a_question_that_is_no_valid_text_is_refused() -> None:
    with pytest.raises(UsageError, match="lone surrogates"):
        plan(question="what is \ud800?")


def test_a_swarm_needs_an_engine() -> None:
    with pytest.raises(UsageError, match="at least one engine"):
        Swarm({})


def test_options_reach_the_plan_and_each_round_has_its_own_id() -> None:
    budget = Budget(tokens=5_000, seconds=7.0)
    made = plan(
        budget=budget,
        min_confidence=0.7,
        max_tokens=99,
        seed=5,
        judge_method=JudgeMethod.DIRECT,
        both_orders=False,
        pairs_per_judge=3,
        use_support=False,
    )
    assert (made.budget, made.min_confidence, made.max_tokens, made.seed) == (budget, 0.7, 99, 5)
    assert (made.judge_method, made.both_orders, made.pairs_per_judge) == (JudgeMethod.DIRECT, False, 3)
    assert not made.use_support
    assert made.round_id != plan().round_id
    assert len(made.round_id) == 32


def test_weights_and_judges_can_be_left_out_to_see_what_they_bring() -> None:
    made = plan(use_weights=False)
    assert {standing.judge_weight for standing in made.judges} == {1.0}
    assert [standing.skill for standing in made.proposers] == [standing.skill for standing in plan().proposers]
    assert plan(use_judges=False).judges == ()


@in_virtual_time
async def test_closing_the_swarm_closes_every_engine() -> None:
    swarm = Swarm(engines(), clock=VirtualClock())
    await swarm.close()
    await swarm.close()
    (failures,) = [(await swarm.ask(QUESTION)).outcome.reasons]
    assert set(failures) == set(NAMES)
    assert all("closed" in reason for reason in failures.values())


@in_virtual_time
async def test_a_small_token_budget_shortens_answers_so_that_at_least_the_most_skilled_is_asked() -> None:
    assert plan(budget=Budget(tokens=200)).max_tokens == 200 - len(QUESTION) - PROMPT_MARGIN
    assert plan(budget=Budget(tokens=50_000)).max_tokens == AskOptions().max_tokens
    assert plan(budget=Budget(tokens=10)).max_tokens == AskOptions().max_tokens  # nobody can be asked, and it says so
    tight = await Swarm(engines(), calibration()).ask(QUESTION, AskOptions(budget=Budget(tokens=200)))
    assert len(tight.outcome.failures) == len(NAMES) - len(tight.outcome.candidates)
    assert tight.outcome.spent.proposing_tokens + tight.outcome.spent.judging_tokens <= 200


def skilled(right: float) -> Swarm:
    """The bee was right on so many of 40 sums."""
    nodes = {"bee": NodeSkills(proposer={"sum": SkillCount(right, 40.0)})}
    return Swarm(engines(), replace(calibration(), nodes=nodes), VirtualClock())


@pytest.mark.parametrize(
    ("right", "question", "options", "strategy"),
    [
        (40.0, QUESTION, {}, "best"),
        (36.0, QUESTION, {}, "committee"),
        (40.0, "Who wrote it?", {}, "committee"),
        (40.0, QUESTION, {"proposers": 2}, "committee"),
        (40.0, QUESTION, {"judges": 1}, "committee"),
    ],
    ids=["a skilled node", "none skilled enough", "a strange question", "proposers asked for", "judges asked for"],
)
def test_the_gate_asks_one_node_or_the_committee(
    right: float, question: str, options: dict[str, int], strategy: str
) -> None:
    planned = skilled(right).plan(question, AskOptions(strategy="auto", **options))  # type: ignore[arg-type]
    assert planned.strategy == strategy
    assert nodes(planned.proposers)[0] == "bee"
    assert planned.confidence == model(0.3 if strategy == "best" else 0.1)


def test_without_measurements_the_gate_asks_the_committee() -> None:
    assert plan(calibrated=False, strategy="auto").strategy == "committee"
