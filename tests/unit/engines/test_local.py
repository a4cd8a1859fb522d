"""The local engine keeps the contract of all engines, and computes what it says it computes."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import torch

from tests.unit.models.tiny import tiny_folder
from waggle.core.engine_values import GenerateRequest, Generation, JudgeMethod, JudgeRequest, Sampling
from waggle.core.errors import CheckpointError, EngineError, EngineRefused, EngineUnavailable
from waggle.engines.batching.host import LocalHost
from waggle.engines.batching.jobs import Job
from waggle.engines.local import MOST_WAITING, LocalEngine, LocalModel, load_model
from waggle.engines.protocol import Engine
from waggle.models.checkpoint import load_decoder
from waggle.models.hive import ModelCard
from waggle.testing.check_engine import CHECKS, Check, run_check
from waggle.testing.engine_subject import Subject

QUESTION = GenerateRequest(question="What is 17 + 25?", max_tokens=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("marked"))


@pytest.fixture(scope="module")
def marked(folder: Path) -> LocalModel:
    return load_model(folder)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return load_model(tiny_folder(tmp_path_factory.mktemp("foreign"), marker=None, context=1024))


@pytest.fixture
async def engine(marked: LocalModel) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(marked)
    yield engine
    await engine.close()


def subject_of(model: LocalModel) -> Subject:
    engines: list[LocalEngine] = []

    async def make() -> Engine:
        engines.append(LocalEngine(model))
        return engines[-1]

    return Subject(make_engine=make, busy=lambda: engines[-1].load, max_tokens=100)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_engine_contract(check: Check, marked: LocalModel) -> None:
    await run_check(check, subject_of(marked))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_engine_contract_without_a_marker(check: Check, foreign: LocalModel) -> None:
    await run_check(check, subject_of(foreign))


def sampled(seed: int) -> GenerateRequest:
    rule = Sampling(temperature=1.0, top_p=0.9 if seed % 3 == 0 else 1.0, top_k=7 if seed % 4 == 0 else 0, seed=seed)
    return GenerateRequest(question=f"{seed} bees" + " and more" * (seed % 7), max_tokens=10 + seed % 30, sampling=rule)


def bits(done: Generation) -> Generation:
    return msgspec.structs.replace(done, seconds=0.0)


async def test_many_seeds_give_the_same_bits_alone_and_in_company(engine: LocalEngine) -> None:
    alone = [await engine.generate(sampled(seed)) for seed in range(60)]
    together = await asyncio.gather(*(engine.generate(sampled(seed)) for seed in reversed(range(60))))
    assert [bits(done) for done in alone] == [bits(done) for done in reversed(together)]


async def test_greedy_text_and_logprobs_are_the_plain_decoders(engine: LocalEngine, folder: Path) -> None:
    done = await engine.generate(QUESTION)
    decoder, tokenizer = load_decoder(folder), engine.model.tokenizer
    tokens = tokenizer.encode_prompt(QUESTION.question)
    logprobs = []
    with torch.inference_mode():
        for _ in range(40):
            scores = decoder.logits(decoder(torch.tensor([tokens]))[0, -1]).log_softmax(dim=-1)
            tokens.append(int(scores.argmax()))
            logprobs.append(float(scores.max()))
    assert done.text == tokenizer.decode(tokens[done.prompt_tokens :])
    assert done.logprobs == pytest.approx(logprobs, abs=1e-4)


async def test_resolve_is_the_plain_decoders_likelihood_ratio(marked: LocalModel, folder: Path) -> None:
    text = (await first_text(marked))[:9]
    marker = text[5:8]  # something that the model does write
    model = LocalModel("marked", marked.network, marked.tokenizer, ModelCard(answer_marker=marker))
    engine = LocalEngine(model)
    judged = await engine.judge(
        JudgeRequest(question=QUESTION.question, first="42", second="no", method=JudgeMethod.RESOLVE)
    )
    await engine.close()
    decoder, tokenizer = load_decoder(folder), marked.tokenizer
    written = text[: text.index(marker) + len(marker)]
    assert judged.reason == written.strip()
    prefix = greedy_prefix(marked, written)
    likelihoods = []
    for proposal in (" 42", " no"):
        continuation = [*tokenizer.encode(proposal), 3]
        with torch.inference_mode():
            hidden = decoder(torch.tensor([[*prefix, *continuation]]))[0, len(prefix) - 1 : -1]
            scores = decoder.logits(hidden).log_softmax(dim=-1)
        likelihoods.append(float(scores.gather(1, torch.tensor(continuation)[:, None]).sum()))
    assert judged.p == pytest.approx(1 / (1 + math.exp(likelihoods[1] - likelihoods[0])), rel=1e-3)


async def first_text(model: LocalModel) -> str:
    engine = LocalEngine(model)
    done = await engine.generate(QUESTION)
    await engine.close()
    return done.text


def greedy_prefix(model: LocalModel, written: str) -> list[int]:
    """The prompt and the text that was written behind it."""
    return [*model.tokenizer.encode_prompt(QUESTION.question), *model.tokenizer.encode(written)]


async def test_engines_share_a_host_and_one_closes_without_the_other(marked: LocalModel, foreign: LocalModel) -> None:
    host = LocalHost()
    first, second = LocalEngine(marked, host), LocalEngine(foreign, host)
    both = await asyncio.gather(first.generate(QUESTION), second.generate(QUESTION))
    await first.close()
    assert (await second.generate(QUESTION)).text == both[1].text
    with pytest.raises(EngineUnavailable, match="closed"):
        await first.generate(QUESTION)
    host.close()
    with pytest.raises(EngineUnavailable, match="ended"):
        await second.generate(QUESTION)
    await second.close()


async def test_the_event_loop_runs_on_while_the_model_works(engine: LocalEngine) -> None:
    ticks = 0
    task = asyncio.create_task(engine.generate(msgspec.structs.replace(QUESTION, max_tokens=200)))
    while not task.done():
        await asyncio.sleep(0)
        ticks += 1
    assert ticks > 20


async def test_a_full_queue_is_said_to_be_full(engine: LocalEngine) -> None:
    tasks = [asyncio.create_task(engine.generate(QUESTION)) for _ in range(MOST_WAITING + 40)]
    await asyncio.sleep(0)
    for task in tasks[:-1]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ended[-1], EngineUnavailable)
    assert "waiting" in str(ended[-1])


async def test_a_question_that_does_not_fit_is_refused_with_its_length(engine: LocalEngine) -> None:
    with pytest.raises(EngineRefused, match="the model's context has 256"):
        await engine.generate(GenerateRequest(question="z" * 300))
    with pytest.raises(EngineRefused, match="max_tokens is 0"):
        await engine.generate(GenerateRequest(question="?", max_tokens=0))


async def test_the_card_tells_model_skills_and_measured_speed(engine: LocalEngine, folder: Path) -> None:
    card = await engine.describe()
    expected = sum(parameter.numel() for parameter in load_decoder(folder).parameters())
    assert (card.model, card.family, card.skills) == ("tiny", "qwen3", {"chain_sum": 0.5})
    assert (card.context_tokens, card.parameters, card.answer_marker) == (256, expected, "\nAnswer:")
    assert card.tokens_per_second is not None
    assert card.tokens_per_second > 0


async def test_hidden_states_are_within_reach(marked: LocalModel) -> None:
    seen: list[tuple[int, torch.Size]] = []

    def observe(job: Job, first: int, hidden: torch.Tensor) -> None:
        seen.append((first, hidden.shape))

    engine = LocalEngine(marked, observe=observe)
    done = await engine.generate(msgspec.structs.replace(QUESTION, max_tokens=3))
    await engine.close()
    prompt = done.prompt_tokens
    assert seen == [(0, (prompt, 64)), (prompt, (1, 64)), (prompt + 1, (1, 64))]


async def test_equal_texts_have_equal_embeddings_in_any_company(engine: LocalEngine) -> None:
    alone = await engine.embed(["a bee"])
    company = await engine.embed(["honey " * 30, "a bee", "", "wax"])
    assert alone[0] == company[1]
    assert company[1] != company[3]


async def test_a_template_that_fails_is_an_engine_error(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "{{ raise_exception('no users') }}"}))
    engine = LocalEngine(load_model(folder))
    with pytest.raises(EngineError, match="no users"):
        await engine.generate(QUESTION)
    await engine.close()


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path, marked: LocalModel) -> None:
    folder = tiny_folder(tmp_path)
    path, size = folder / "tokenizer.json", marked.tokenizer.size
    raw = json.loads(path.read_text())
    raw["model"]["vocab"]["quite new"] = size
    path.write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match=f"{size + 1} tokens, the model only {size}"):
        load_model(folder)
