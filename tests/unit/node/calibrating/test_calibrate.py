"""Calibration finds out what scripted engines were told to be, and how far a winner may be believed."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import sqrt

import pytest

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import Judgement, JudgeMethod, JudgeRequest
from waggle.core.errors import EngineUnavailable, UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import Outcome
from waggle.engines.actor import shifted
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.calibrating.calibrate import Answered, Lessons, calibrate, hard_negatives
from waggle.node.calibrating.known import KnownQuestion
from waggle.node.calibration import Calibration
from waggle.node.rounds.swarm import Swarm
from waggle.routing.skills import SkillCount

pytestmark = pytest.mark.timeout(300)

SUMS = {f"What is {a} plus {b}?": str(a + b) for a in range(20) for b in range(10)}
WORDS = {f"Spell the word number {n} backward, letter by letter": f"word{n}" for n in range(200)}
TRUTH = {**SUMS, **WORDS}
OUTSIDE = [f"Who was the ruler of land {n} in those years, and whom did he fight?" for n in range(30)]
N = 80  # questions of each kind to measure on


def kind_of(question: str) -> str:
    return "sum" if question in SUMS else "spell"


def known(texts: Sequence[str]) -> list[KnownQuestion]:
    return [
        KnownQuestion(kind=kind_of(text), text=text, answer=TRUTH[text], wrong=shifted(TRUTH[text], 9))
        for text in texts
    ]


def lessons(per_kind: int = N, rounds: int = 25) -> Lessons:
    sums, words = list(SUMS), list(WORDS)
    return Lessons(
        known=known(sums[:per_kind] + words[:per_kind]),
        rounds=known(sums[-rounds:] + words[-rounds:]) if rounds else [],
        outside=OUTSIDE if rounds else [],
        is_right=lambda question, said: said == question.answer,
    )


def engine(script: Script) -> ScriptedEngine:
    return ScriptedEngine(script, TRUTH, kind_of=kind_of)


Engines = dict[NodeId, ScriptedEngine]
Progress = tuple[str, int, int]


def team() -> Engines:
    return {
        NodeId("adder"): engine(Script(seed=1, skills={"sum": 0.9, "spell": 0.2}, judge_skill=0.9)),
        NodeId("speller"): engine(Script(seed=2, skills={"sum": 0.3, "spell": 0.8}, judge_skill=0.7)),
        NodeId("guesser"): engine(Script(seed=3, skill=0.1, judge_skill=0.5)),
    }


@in_virtual_time
async def run_calibrate(engines: Mapping[NodeId, ScriptedEngine], given: Lessons) -> tuple[Calibration, list[Progress]]:
    told: list[Progress] = []
    return await calibrate(engines, given, seed=7, progress=lambda *what: told.append(what)), told


@cache
def measured() -> tuple[Calibration, list[Progress]]:
    return run_calibrate(team(), lessons())


@in_virtual_time
async def outcomes(strategy: str, questions: Sequence[str]) -> list[Outcome]:
    swarm = Swarm(team(), measured()[0])
    return [(await swarm.ask(question, AskOptions(strategy=strategy))).outcome for question in questions]


def assert_near(count: SkillCount, p: float, *, independent: float) -> None:
    """Within 3.5 standard errors of a binomial with that many independent questions."""
    assert abs(count.right / count.asked - p) <= 3.5 * sqrt(p * (1 - p) / independent)


@pytest.mark.parametrize(
    ("node", "sums", "words", "judging"),
    [("adder", 0.9, 0.2, 0.9), ("speller", 0.3, 0.8, 0.7), ("guesser", 0.1, 0.1, 0.5)],
)
def test_skills_are_found_within_their_binomial_error(node: str, sums: float, words: float, judging: float) -> None:
    skills = measured()[0].nodes[node]
    assert_near(skills.proposer["sum"], sums, independent=N)
    assert_near(skills.proposer["spell"], words, independent=N)
    for kind in ("sum", "spell"):
        assert skills.judge[kind].asked == 2 * N  # both orders
        assert_near(skills.judge[kind], judging, independent=N)


def test_chances_are_what_the_commonest_answer_gets_right() -> None:
    answers = [SUMS[text] for text in list(SUMS)[:N]]
    most = max(answers.count(answer) for answer in answers)
    assert measured()[0].chances == {"sum": most / N, "spell": 1 / N}


def test_the_kinds_are_learnt_and_the_numbers_written_down() -> None:
    calibration, _ = measured()
    assert calibration.guess(list(SUMS)[-1]).kind == "sum"
    assert calibration.guess(list(WORDS)[-1]).kind == "spell"
    assert (calibration.questions_per_kind, calibration.seed) == (N, 7)
    assert set(calibration.confidence) == {"committee", "vote", "solo"}


def test_progress_is_told_to_the_end_of_each_activity() -> None:
    _, told = measured()
    for activity in ("answering", "judging", "rounds"):
        done = [(count, total) for what, count, total in told if what == activity]
        assert [count for count, _ in done] == list(range(1, len(done) + 1))
        assert {total for _, total in done} == {len(done)}


@pytest.mark.parametrize("strategy", ["committee", "best"])
def test_questions_from_outside_are_given_a_low_probability_and_known_ones_a_higher(strategy: str) -> None:
    strange = outcomes(strategy, [text + " And why?" for text in OUTSIDE[:10]])
    asked = [*list(SUMS)[100:120], *list(WORDS)[100:120]]
    inside = [(o.confidence, o.answer == TRUTH[text]) for o, text in zip(outcomes(strategy, asked), asked, strict=True)]
    stated, right = (sum(values) / len(inside) for values in zip(*inside, strict=True))
    assert max(outcome.confidence for outcome in strange) < 0.15
    assert stated > 0.5
    assert stated == pytest.approx(right, abs=0.15)


class BetterAtOne(ScriptedEngine):
    """Judges well by one method and by chance by the others."""

    good = JudgeMethod.VERDICT

    async def judge(self, request: JudgeRequest) -> Judgement:
        judge = engine(Script(seed=5, judge_skill=0.95 if request.method is self.good else 0.5))
        return await judge.judge(request)


@pytest.mark.parametrize("good", [JudgeMethod.VERDICT, JudgeMethod.RESOLVE])
def test_the_better_way_of_judging_is_picked_and_its_skill_counted(good: JudgeMethod) -> None:
    node = BetterAtOne(Script(seed=5, skill=0.5), TRUTH)
    node.good = good
    calibration, _ = run_calibrate({NodeId("only"): node}, lessons(per_kind=30, rounds=0))
    assert calibration.judge_methods == {"only": good}
    assert_near(calibration.nodes["only"].judge["sum"], 0.95, independent=30)


def test_two_equal_ways_of_judging_take_the_one_that_needs_no_training() -> None:
    assert set(measured()[0].judge_methods.values()) == {JudgeMethod.RESOLVE}


def test_an_engine_that_fails_is_measured_as_never_right_and_does_not_stop_the_others() -> None:
    engines = {**team(), NodeId("broken"): engine(Script(conduct=Crasher()))}
    calibration, _ = run_calibrate(engines, lessons(per_kind=10, rounds=4))
    skills = calibration.nodes["broken"]
    assert {count.right for count in (*skills.proposer.values(), *skills.judge.values())} == {0.0}
    assert calibration.nodes["adder"].proposer["sum"].right > 0


def test_without_questions_there_is_nothing_to_fit() -> None:
    with pytest.raises(UsageError, match="calibration questions"):
        run_calibrate(team(), Lessons(known=[], rounds=[], outside=[], is_right=lambda question, said: False))


def test_the_wrong_answers_to_compare_with_are_the_engines_own_each_in_its_turn() -> None:
    questions = known(list(SUMS)[:9])
    given = [("a", "lost"), ("b", "8"), ("c", "8"), ("d", ""), ("e", "right"), ("f", "rare")]
    answered = [
        Answered(NodeId(node), question, said, said == "right") for question in questions for node, said in given
    ]
    chosen = hard_negatives(answered)
    assert list(chosen) == [question.text for question in questions]
    assert sorted(chosen.values()) == ["8"] * 3 + ["lost"] * 3 + ["rare"] * 3


def test_where_nobody_was_wrong_there_is_no_wrong_answer_of_their_own() -> None:
    (question,) = known(list(SUMS)[:1])
    assert hard_negatives([Answered(NodeId("a"), question, question.answer, True)]) == {}
    assert hard_negatives([Answered(NodeId("a"), question, "", False)]) == {}


def test_an_engine_that_is_away_for_ever_is_no_reason_to_crash() -> None:
    class Away(ScriptedEngine):
        async def judge(self, request: JudgeRequest) -> Judgement:
            raise EngineUnavailable("away")

    engines = {NodeId("away"): Away(Script(seed=1, skill=0.9), TRUTH)}
    calibration, _ = run_calibrate(engines, lessons(per_kind=5, rounds=2))
    assert calibration.nodes["away"].judge["sum"] == SkillCount(0.0, 10.0)
