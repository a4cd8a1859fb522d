"""How rounds that ended are told: what they cost, what came second, what is down."""

from msgspec.structs import replace

from waggle.core.ids import NodeId, RoundId
from waggle.core.mesh_values import Load
from waggle.core.round_values import BallotCount, CandidateResult, Outcome, Plan, Record, Spent, Standing
from waggle.dashboard.ask.page import welcome_words
from waggle.dashboard.frame.notices import down_words
from waggle.dashboard.rounds.page import answer_words, state_chip
from waggle.dashboard.rounds.verdict_view import cost_words, runner_up_words, verdict_kind, who_answers
from waggle.dashboard.swarm.page import Seen, models_words, network_words, own_models
from waggle.node.history.history import RoundSummary
from waggle.node.services.service import ServedModel

WELL = ServedModel(name="sage", nodes=(NodeId("a"),))
ILL = ServedModel(name="thyme", down={NodeId("b"): "it cannot be\nreached"})


ENDED = Outcome(answer="42", confidence=0.9, abstained=False)
PLAN = Plan(round_id=RoundId("a"), question="?", proposers=(), judges=())


def record(spent: Spent, ballots: BallotCount | None = None) -> Record:
    return Record(plan=PLAN, events=(), outcome=replace(ENDED, spent=spent, ballots=ballots or BallotCount()))


def summary(answer: str | None, *, abstained: bool) -> RoundSummary:
    return RoundSummary(round_id="a", request="a", at=0.0, question="?", answer=answer, strategy="committee",
                        confidence=0.3, abstained=abstained, tokens=1, seconds=1.0, source="", key="")  # fmt: skip


def test_what_judges_remember_costs_nothing_and_is_said_to() -> None:
    cast = BallotCount(asked=2, cast=2)
    assert cost_words(record(Spent(proposing_tokens=8, judging_tokens=2, seconds=1.0), cast)) == (
        "10 tokens (2 of them judging), 1.0 s"
    )
    assert cost_words(record(Spent(proposing_tokens=8, seconds=1.0), cast)) == (
        "8 tokens (none for judging: these answers had been compared before), 1.0 s"
    )
    assert cost_words(record(Spent(proposing_tokens=8, seconds=1.0))) == "8 tokens, 1.0 s"
    assert cost_words(record(Spent(seconds=1.0))) == "1.0 s"
    wasted = replace(record(Spent(proposing_tokens=8, seconds=1.0)), wasted_tokens=3)
    assert cost_words(wasted) == "8 tokens and 3 for unused calls, 1.0 s"


def test_one_node_that_was_asked_alone_is_not_called_the_swarm() -> None:
    sage = Standing(node=NodeId("a"), model="sage")
    best = CandidateResult(number=0, answer="42", supporters=(NodeId("a"),), strength=0.0, support=1.0)
    alone = replace(record(Spent()), plan=replace(PLAN, proposers=(sage,)), outcome=replace(ENDED, candidates=(best,)))
    assert who_answers(alone) == "sage"
    assert verdict_kind(alone.outcome, who_answers(alone)) == ("", "sage answers, asked alone")
    together = replace(alone, plan=replace(PLAN, proposers=(sage, replace(sage, node=NodeId("b")))))
    assert verdict_kind(together.outcome, who_answers(together)) == ("", "The swarm answers")


def test_an_answer_that_came_second_is_told_with_its_chance() -> None:
    assert runner_up_words(ENDED) == ""
    second = replace(ENDED, runner_up="41", confusion_p=0.16)
    assert runner_up_words(second) == "Runner-up: “41” would win about 16 % of comparisons with this answer."


def test_a_guess_of_a_swarm_that_abstained_is_never_shown_as_its_answer() -> None:
    guess = summary("1", abstained=True)
    assert answer_words(guess) == "best guess: 1"
    assert state_chip(guess)[1] == "chip warn"
    assert answer_words(summary("1", abstained=False)) == "1"
    assert answer_words(summary(None, abstained=False)) == "no answer"
    assert verdict_kind(replace(ENDED, answer=None))[0] == "failed"


def test_an_engine_that_is_down_is_told_with_its_reason_on_one_line() -> None:
    assert down_words([WELL, ILL]) == [("thyme", "it cannot be reached")]
    both = ServedModel(name="sage", nodes=(NodeId("a"),), down={NodeId("b"): "gone"})
    assert down_words([both]) == [("sage at b", "gone")]
    assert models_words([WELL, ILL]) == "1 of 2 usable"
    assert models_words([WELL]) == "1"


def test_the_picture_has_the_own_models_with_those_that_are_down() -> None:
    seen = Seen((WELL, ILL), (), Load(running=0, capacity=1))
    own = own_models(seen)
    assert [(each.name, each.down) for each in own] == [("sage", ""), ("thyme", "it cannot be\nreached")]
    assert network_words(seen, own) == "All models are behind this one process."
    assert network_words(seen, []) == "There is nobody to draw."


def test_one_model_is_no_swarm() -> None:
    assert "alone" in welcome_words(1)
    assert "7 models" in welcome_words(7)
