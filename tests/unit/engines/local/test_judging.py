"""Judging compares likelihoods in the right place, works a question once, and never guesses."""

import asyncio
import math

import pytest
from tokenizers import Tokenizer

from tests.unit.models.tiny import vocabulary
from waggle.core.engine_values import JudgeMethod, JudgeRequest
from waggle.core.errors import EngineRefused
from waggle.engines.local.jobs import GenerateJob, Job, ScoreJob
from waggle.engines.local.judging import LocalJudge, sigmoid
from waggle.models.chat_template import ChatTemplate
from waggle.models.hive import ModelCard
from waggle.models.prompts import ANSWER_MARKER, CHAT_TEMPLATE, VERDICT_MARKER
from waggle.models.tokenizer import ChatTokenizer

TOKENIZER = ChatTokenizer(
    Tokenizer.from_str(vocabulary()), end_tokens=frozenset({3}), template=ChatTemplate(CHAT_TEMPLATE, {})
)
HIVE, FOREIGN = ModelCard(answer_marker=ANSWER_MARKER), ModelCard()
END = "<end>"


class Actor:
    """Plays the decoder: writes its line, and likes each continuation as it is told (0 by default)."""

    def __init__(self, line: str, likes: dict[str, float] | None = None, *, card: ModelCard = HIVE) -> None:
        self.line = line
        self.likes = likes or {}
        self.prompts: list[str] = []
        self.scored: list[tuple[str, str]] = []
        self.judge = LocalJudge(TOKENIZER, card, 600, self.run)

    async def run(self, job: Job) -> None:
        await asyncio.sleep(0)
        if isinstance(job, GenerateJob):
            self.prompts.append(TOKENIZER.decode(job.tokens))
            for token in [*TOKENIZER.encode(self.line), 3]:
                if not job.finished:
                    job.accept(token, -0.5, is_last_place=False)
        elif isinstance(job, ScoreJob):
            job.computed = len(job.tokens)
            whole = TOKENIZER.decode(job.tokens)
            text = TOKENIZER.decode(job.targets) + (END if job.targets[-1] == 3 else "")
            self.scored.append((whole, text))
            job.logprobs = [self.likes.get(text, -5.0) / len(job.targets)] * len(job.targets)

    def ask(
        self, first: str, second: str, method: JudgeMethod = JudgeMethod.AUTO, question: str = "What?"
    ) -> JudgeRequest:
        return JudgeRequest(question=question, first=first, second=second, method=method)


async def test_resolve_compares_proposals_in_the_answers_place() -> None:
    actor = Actor(f"17 + 25 is 42{ANSWER_MARKER} 42", {f" 42{END}": -0.1, f" 32{END}": -4.1})
    p, reason, _ = await actor.judge.judge(actor.ask("42", "32"))
    assert p == pytest.approx(1 / (1 + math.exp(-4.0)))
    assert reason == f"17 + 25 is 42{ANSWER_MARKER}".strip()
    assert actor.prompts == ["What?"]
    places = {
        whole.removesuffix(text.removesuffix(END))[: len("What?17 + 25 is 42") + 8] for whole, text in actor.scored
    }
    assert places == {f"What?17 + 25 is 42{ANSWER_MARKER}"}


async def test_swapping_the_proposals_swaps_the_probability() -> None:
    actor = Actor(f"so{ANSWER_MARKER} 42", {f" 42{END}": -0.1, f" 32{END}": -2.0})
    forward, back = [(await actor.judge.judge(actor.ask(*pair)))[0] for pair in (("42", "32"), ("32", "42"))]
    assert forward is not None
    assert back == pytest.approx(1 - forward)
    assert (await actor.judge.judge(actor.ask("7", "7")))[0] == 0.5


async def test_a_question_is_worked_once_and_a_proposal_scored_once_for_all_who_ask_at_once() -> None:
    actor = Actor(f"so{ANSWER_MARKER} 42")
    pairs = [("1", "2"), ("2", "1"), ("2", "3"), ("1", "3"), ("3", "1")]
    results = await asyncio.gather(*(actor.judge.judge(actor.ask(*pair)) for pair in pairs))
    assert len(actor.prompts) == 1
    assert sorted(text for _, text in actor.scored) == [f" {number}{END}" for number in (1, 2, 3)]
    written = len(TOKENIZER.encode(f"so{ANSWER_MARKER}"))
    assert sum(spent.completion_tokens for _, _, spent in results) == written
    again = (await actor.judge.judge(actor.ask("2", "1")))[2]
    assert (again.prompt_tokens, again.completion_tokens) == (0, 0)


async def test_a_working_without_an_answer_is_no_verdict() -> None:
    actor = Actor("I do not know")
    p, reason, spent = await actor.judge.judge(actor.ask("1", "2"))
    assert (p, reason) == (None, "I do not know")
    assert spent.completion_tokens == len(TOKENIZER.encode("I do not know")) + 1
    assert actor.scored == []


async def test_an_endless_proposal_is_looked_at_as_far_as_the_context_goes() -> None:
    actor = Actor(f"so{ANSWER_MARKER} 42", {f" 42{END}": -0.1})
    p, _, spent = await actor.judge.judge(actor.ask("42", "z" * 100_000))
    assert p is not None
    assert p > 0.9
    assert spent.prompt_tokens < 1_300


async def test_a_question_that_does_not_fit_is_refused() -> None:
    actor = Actor("never")
    with pytest.raises(EngineRefused, match="context"):
        await actor.judge.judge(actor.ask("1", "2", question="z" * 700))


@pytest.mark.parametrize(
    ("method", "reason"), [(JudgeMethod.VERDICT, f"A 1 yes{VERDICT_MARKER}"), (JudgeMethod.DIRECT, "")]
)
async def test_verdict_tokens_are_compared_behind_the_marker(method: JudgeMethod, reason: str) -> None:
    actor = Actor(f"A 1 yes{VERDICT_MARKER} A", {" A": -0.2, " B": -1.2})
    p, said, _ = await actor.judge.judge(actor.ask("1", "2", method))
    assert p == pytest.approx(sigmoid(1.0))
    assert said == reason
    assert all(whole.rpartition(VERDICT_MARKER)[2] in ("", " ") for whole, _ in actor.scored)
    assert all("A: 1\nB: 2" in whole for whole, _ in actor.scored)


async def test_the_cards_own_choice_is_taken() -> None:
    actor = Actor("nothing", {" A": -1.0, " B": -1.0}, card=ModelCard(answer_marker=ANSWER_MARKER, judge="direct"))
    assert (await actor.judge.judge(actor.ask("1", "2")))[0] == 0.5
    assert actor.prompts == []


@pytest.mark.parametrize(
    ("line", "p"), [("Both fail.\nVerdict: tie", 0.5), ("Hm.", None), ("Verdict: A or B", None), ("", None)]
)
async def test_a_foreign_model_is_read_as_any_other(line: str, p: float | None) -> None:
    actor = Actor(line, card=FOREIGN)
    assert (await actor.judge.judge(actor.ask("1", "2")))[0] == p
    assert "Two proposals answer one question" in actor.prompts[0]
    assert actor.scored == []


@pytest.mark.parametrize("said", ["A", "B"])
async def test_a_foreign_models_verdict_is_weighed_where_it_stands(said: str) -> None:
    likes = {" A": -0.5, " B": -2.5, "A": -0.5, "B": -2.5}
    actor = Actor(f"A is right.\nVerdict: {said}", likes, card=FOREIGN)
    assert (await actor.judge.judge(actor.ask("1", "2")))[0] == pytest.approx(sigmoid(2.0))
    assert {whole[-8:].strip() for whole, _ in actor.scored} == {"Verdict:"}


@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.5), (1_000.0, 1.0), (-1_000.0, 0.0), (1.0, 0.7310585786)])
def test_sigmoid_does_not_overflow(x: float, expected: float) -> None:
    assert sigmoid(x) == pytest.approx(expected)
