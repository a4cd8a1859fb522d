"""The local engine keeps the contract of all engines, and computes what it says it computes."""

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import torch

from tests.unit.models.tiny import tiny_folder
from waggle.core.carried import counting_waste
from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.engine_values import GenerateRequest, Generation, JudgeMethod, JudgeRequest, Sampling
from waggle.core.errors import CheckpointError, EngineError, EngineRefused, EngineUnavailable, TooLong
from waggle.engines.local.engine import MOST_WAITING, LocalEngine, LocalModel, load_model
from waggle.engines.local.host import LocalHost
from waggle.engines.local.jobs import Job
from waggle.engines.local.text import messages_of
from waggle.engines.protocol import Engine
from waggle.models.checkpoint import load_decoder
from waggle.models.hive import ModelCard
from waggle.testing.check_engine import CHECKS, Check, run_check
from waggle.testing.engine_subject import Subject

pytestmark = pytest.mark.timeout(240)  # real models: seconds on an idle machine, more on a busy one
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

    return Subject(make_engine=make, busy=lambda: engines[-1].load, max_tokens=100, settle_s=20.0)


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


async def test_a_full_queue_is_said_to_be_full(marked: LocalModel) -> None:
    go = threading.Event()  # until then the model's thread stands still

    def stand(job: Job, first: int, hidden: torch.Tensor) -> None:
        go.wait(30)

    engine = LocalEngine(marked, observe=stand)
    tasks = [asyncio.create_task(engine.generate(QUESTION)) for _ in range(MOST_WAITING + 40)]
    await asyncio.sleep(0)
    for task in tasks[:-1]:
        task.cancel()
    go.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    await engine.close()
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
    assert (card.converses, card.calls_tools) == (False, False)
    assert card.tokens_per_second is not None
    assert card.tokens_per_second > 0


async def test_what_a_call_had_computed_before_it_was_cut_off_is_told(engine: LocalEngine) -> None:
    with counting_waste() as wasted:
        async with aclosing(engine.stream(msgspec.structs.replace(QUESTION, max_tokens=200))) as tokens:
            async for _ in tokens:
                break
    done = await engine.generate(QUESTION)
    assert wasted.prompt_tokens == done.prompt_tokens
    assert wasted.tokens > wasted.prompt_tokens
    with counting_waste() as nothing:
        await engine.generate(QUESTION)
    assert nothing.tokens == 0


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


async def test_a_text_beyond_the_context_is_refused_and_not_embedded_in_part(engine: LocalEngine) -> None:
    context = engine.model.network.context
    assert len(await engine.embed(["7" * 20])) == 1
    with pytest.raises(TooLong, match=f"context has {context}"):
        await engine.embed(["a bee", "7 " * 2 * context])


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


# --- conversations ----------------------------------------------------------------------------------------------------

TALK = (
    Turn(role=Role.SYSTEM, content="Be brief."),
    Turn(role=Role.USER, content="Are you a bee?"),
    Turn(role=Role.ASSISTANT, content="", tool_calls=(ToolCall(id="1", name="look", arguments="{}"),)),
    Turn(role=Role.TOOL, content="yes", tool_call_id="1"),
    Turn(role=Role.USER, content=QUESTION.question),
)
TALKED = msgspec.structs.replace(QUESTION, turns=TALK)


def test_turns_become_messages_that_every_template_bears() -> None:
    call, came = "I call the tool look with {}", f"The tool gave: yes\n\n{QUESTION.question}"
    assert messages_of(TALK, takes_instructions=True) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Are you a bee?"},
        {"role": "assistant", "content": call},
        {"role": "user", "content": came},
    ]
    assert messages_of(TALK, takes_instructions=False)[0] == {"role": "user", "content": "Be brief.\n\nAre you a bee?"}


async def test_the_hive_answers_the_last_question_alone(marked: LocalModel) -> None:
    assert not marked.converses
    engine = LocalEngine(marked)
    assert bits(await engine.generate(TALKED)) == bits(await engine.generate(QUESTION))
    await engine.close()


async def test_a_model_with_a_template_for_turns_reads_them_all(foreign: LocalModel) -> None:
    assert foreign.converses
    engine, tokenizer = LocalEngine(foreign), foreign.tokenizer
    made = await engine.generate(TALKED)
    messages = messages_of(TALK, takes_instructions=True)
    assert (
        made.prompt_tokens == len(tokenizer.encode_messages(messages)) > (await engine.generate(QUESTION)).prompt_tokens
    )
    told = msgspec.structs.replace(TALKED, turns=(Turn(role=Role.SYSTEM, content="Be long."), *TALK[1:]))
    assert (await engine.generate(told)).text != made.text
    await engine.close()


async def test_a_conversation_beyond_the_context_is_refused(foreign: LocalModel) -> None:
    engine = LocalEngine(foreign)
    long = msgspec.structs.replace(TALKED, turns=(*TALK[:1], Turn(role=Role.USER, content="bee " * 5_000), *TALK[2:]))
    with pytest.raises(EngineRefused, match="context"):
        await engine.generate(long)
    await engine.close()


async def test_tools_are_left_alone_unless_one_must_be_called(marked: LocalModel) -> None:
    engine = LocalEngine(marked)
    offered = msgspec.structs.replace(QUESTION, tools=(Tool(name="look"),))
    for choice in ("auto", "none"):
        made = await engine.generate(msgspec.structs.replace(offered, tool_choice=choice))
        assert bits(made) == bits(await engine.generate(QUESTION))
    for choice in ("required", "look"):
        with pytest.raises(EngineRefused, match="calls no tools"):
            await engine.generate(msgspec.structs.replace(offered, tool_choice=choice))
    await engine.close()
