"""What every engine must do, as small named checks: the contract of `waggle.engines.protocol.Engine`.

`check_engine` runs all of `CHECKS` against engines that the test makes; `run_check` runs one of them, for a
parametrised test. A check fails with AssertionError and one sentence. A check that cannot be carried out (the engine
was done before it could be cancelled) fails as well: choose a longer question. Knows nothing of any engine's insides;
the one thing it asks the test for is a probe that counts the work that is really under way.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import msgspec

from waggle.core.engine_values import (
    EngineCard,
    Finish,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.core.errors import EngineError, EngineRefused
from waggle.engines.answer import split_answer
from waggle.engines.protocol import Engine
from waggle.testing.engine_subject import (
    Subject,
    assert_calls,
    assert_cancellable,
    assert_idle,
    assert_judgement,
    assert_refuses_to_embed,
    begun,
    is_duration,
    typed,
)


class Check(Protocol):
    """One check; its name says what is wrong when it fails."""

    __name__: str

    async def __call__(self, engine: Engine, subject: Subject) -> None:
        """Raise AssertionError where the engine breaks the rule."""
        ...


async def check_counts_fit_the_completion(engine: Engine, subject: Subject) -> None:
    """Tokens, seconds, log-probabilities and confidence are of the right type, in range, and fit each other."""
    done = typed(await engine.generate(subject.request()), Generation)
    assert 1 <= done.completion_tokens <= subject.max_tokens, f"{done.completion_tokens} completion tokens"
    assert done.prompt_tokens >= 1, f"{done.prompt_tokens} prompt tokens"
    assert is_duration(done.seconds), f"took {done.seconds} seconds"
    assert len(done.logprobs) in (0, done.completion_tokens), f"{len(done.logprobs)} log-probabilities"
    assert all(logprob <= 0 for logprob in done.logprobs), "a log-probability above 0"
    assert done.self_confidence is None or 0 <= done.self_confidence <= 1, f"confidence {done.self_confidence}"


async def check_answer_is_what_follows_the_marker(engine: Engine, subject: Subject) -> None:
    """Trace and answer are those parts of the text that the marker on the card tells apart."""
    done, card = await engine.generate(subject.request()), await engine.describe()
    expected = split_answer(done.text, card.answer_marker)
    assert (done.trace, done.answer) == expected, f"trace and answer are {(done.trace, done.answer)}, not {expected}"


async def check_same_seed_gives_same_text_in_company(engine: Engine, subject: Subject) -> None:
    """A sampled completion depends on its own request only, whatever else the engine does meanwhile."""
    alone = await engine.generate(subject.request(seed=7))
    lengths = (2, 4, subject.max_tokens, subject.max_tokens)
    others = [subject.request(seed=seed, max_tokens=length) for seed, length in enumerate(lengths, start=1)]
    crowd = [*others[:3], subject.request(seed=7), *others[3:]]
    together = (await asyncio.gather(*map(engine.generate, crowd)))[3]
    assert together.text == alone.text, f"alone {alone.text!r}, in company {together.text!r}"


async def check_stream_adds_up_to_the_generation(engine: Engine, subject: Subject) -> None:
    """The streamed texts join to the text that `generate` gives; only the last token carries the generation."""
    whole = await engine.generate(subject.request())
    tokens = [typed(token, StreamedToken) async for token in engine.stream(subject.request())]
    assert tokens, "the stream was empty"
    assert all(token.generation is None for token in tokens[:-1]), "a token before the last carries a generation"
    last = tokens[-1].generation
    assert last is not None, "the last token carries no generation"
    joined = "".join(token.text for token in tokens)
    assert joined == last.text == whole.text, f"streamed {joined!r}, its end {last.text!r}, generated {whole.text!r}"


async def check_max_tokens_ends_with_length(engine: Engine, subject: Subject) -> None:
    """A completion that is cut short says so and is the beginning of the whole one."""
    whole = await engine.generate(subject.request())
    assert whole.completion_tokens >= 4, f"cannot be checked on {whole.completion_tokens} tokens: ask for more"
    most = whole.completion_tokens // 2
    short = await engine.generate(subject.request(max_tokens=most))
    assert short.finish is Finish.LENGTH, f"cut to {most} tokens, it finished with {short.finish}"
    assert short.completion_tokens <= most, f"{short.completion_tokens} tokens where {most} were allowed"
    beginning = short.text.rstrip("\N{REPLACEMENT CHARACTER}")
    assert beginning != whole.text, "nothing was cut off"
    assert whole.text.startswith(beginning), f"{short.text!r} is not the beginning of {whole.text!r}"


async def check_stop_string_is_cut_off(engine: Engine, subject: Subject) -> None:
    """A stop string ends the completion with STOP and is not part of it."""
    whole = await engine.generate(subject.request())
    middle = len(whole.text) // 2
    stop = whole.text[middle : middle + 3]
    assert stop, "cannot be checked: the engine wrote nothing"
    cut = await engine.generate(subject.request(stop=("never written", stop)))
    expected = whole.text[: whole.text.index(stop)]
    assert cut.text == expected, f"stopped at {stop!r} with {cut.text!r} instead of {expected!r}"
    assert cut.finish is Finish.STOP, f"it finished with {cut.finish}"
    streamed = [token.text async for token in engine.stream(subject.request(stop=(stop,)))]
    assert "".join(streamed) == expected, f"streamed {''.join(streamed)!r} instead of {expected!r}"


async def check_a_conversation_is_answered(engine: Engine, subject: Subject) -> None:
    """A question at the end of a conversation is answered like any other, and judged."""
    asked = subject.conversation()
    whole = typed(await engine.generate(asked), Generation)
    assert 1 <= whole.completion_tokens <= subject.max_tokens, f"{whole.completion_tokens} completion tokens"
    streamed = [token.text async for token in engine.stream(asked)]
    assert "".join(streamed) == whole.text, f"streamed {''.join(streamed)!r} instead of {whole.text!r}"
    assert_judgement(await engine.judge(msgspec.structs.replace(subject.pair(), turns=asked.turns)))


async def check_tools_are_called_properly_or_not_at_all(engine: Engine, subject: Subject) -> None:
    """Only tools that are offered are called; where one must be called, it is, or the engine refuses."""
    assert_calls(await engine.generate(subject.with_tools()), subject.with_tools())
    assert not (await engine.generate(subject.with_tools("none"))).tool_calls, "it calls a tool that it may not call"
    for choice in ("required", "look_up"):
        try:
            done = await engine.generate(subject.with_tools(choice))
        except EngineRefused:
            continue
        assert_calls(done, subject.with_tools(choice))
        assert done.tool_calls or done.finish is Finish.LENGTH, (
            "it calls no tool where one must be called, and does not say so"
        )


async def check_judgement_is_a_probability_or_nothing(engine: Engine, subject: Subject) -> None:
    """P is in [0, 1] or None; reason, counts and seconds are there."""
    assert_judgement(await engine.judge(subject.pair()))


async def check_both_orders_can_be_asked_at_once(engine: Engine, subject: Subject) -> None:
    """The same pair can be asked in both orders, and at the same time."""
    pair = subject.pair()
    swapped = msgspec.structs.replace(pair, first=pair.second, second=pair.first)
    for judged in await asyncio.gather(engine.judge(pair), engine.judge(swapped)):
        assert_judgement(judged)


async def check_embeddings_are_unit_vectors(engine: Engine, subject: Subject) -> None:
    """One vector of length 1 per text, all of one size; or EngineRefused where the engine has none."""
    texts = ["a bee", "another bee", ""]
    if not subject.embeds:
        return await assert_refuses_to_embed(engine, texts)
    vectors = await engine.embed(texts)
    assert len(vectors) == len(texts), f"{len(vectors)} vectors for {len(texts)} texts"
    assert len({len(vector) for vector in vectors}) == 1, "vectors of different sizes"
    assert all(abs(math.hypot(*vector) - 1) < 1e-3 for vector in vectors), "a vector that is not of length 1"
    assert await engine.embed([]) == [], "no texts, but some vectors"
    return None


async def check_card_is_typed(engine: Engine, subject: Subject) -> None:
    """The engine names its model and family; context and skills are in range."""
    card = typed(await engine.describe(), EngineCard)
    assert card.model, "a model without a name"
    assert card.family, "a model without a family"
    assert card.context_tokens >= 1, f"a context of {card.context_tokens} tokens"
    assert all(0 <= skill <= 1 for skill in card.skills.values()), f"skills {card.skills}"


async def check_cancelled_generation_stops(engine: Engine, subject: Subject) -> None:
    """Cancelling the task stops the work itself, and the engine goes on answering."""
    await assert_cancellable(engine.generate(subject.request()), subject)
    assert (await engine.generate(subject.request(max_tokens=1))).completion_tokens <= 1, "more tokens than asked for"


async def check_cancelled_judgement_stops(engine: Engine, subject: Subject) -> None:
    """The same for judging, where there is any work in it."""
    if subject.judges:
        await assert_cancellable(engine.judge(subject.pair()), subject)
    else:
        assert (await engine.judge(subject.pair())).p is None, "it judges, though said not to"


async def check_abandoned_stream_stops(engine: Engine, subject: Subject) -> None:
    """Closing a stream after its first token stops the work."""
    stream = engine.stream(subject.request())
    assert isinstance(stream, AsyncGenerator), "a stream that cannot be closed: make it an async generator"
    async with aclosing(stream):
        first = await anext(stream)
        assert first.generation is None, "cannot be checked: the first token was the last"
    await assert_idle(subject, "after its stream was closed")


async def check_close_stops_running_work(engine: Engine, subject: Subject) -> None:
    """Closing ends a generation under way with an EngineError."""
    task = await begun(engine.generate(subject.request()), subject)
    await engine.close()
    failure = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(failure, EngineError), f"the generation under way ended with {failure!r}"
    await assert_idle(subject, "after it was closed")


async def check_close_is_final_and_harmless_twice(engine: Engine, subject: Subject) -> None:
    """A second close does nothing; a closed engine raises EngineError."""
    await engine.close()
    await engine.close()
    failures = await asyncio.gather(
        engine.generate(subject.request()), engine.judge(subject.pair()), return_exceptions=True
    )
    for failure in failures:
        assert isinstance(failure, EngineError), f"a closed engine answered with {failure!r}"


async def check_odd_questions_raise_engine_errors_only(engine: Engine, subject: Subject) -> None:
    """Empty, endless and malformed text is answered or refused; nothing else comes out, and the engine lives on."""
    for question in ("", "\x00", "\ud800", "bee " * 20_000, "</s><|im_end|>[INST]"):
        failures = await asyncio.gather(
            engine.generate(GenerateRequest(question=question, max_tokens=1)),
            engine.judge(JudgeRequest(question="?", first=question, second="7", max_tokens=1)),
            return_exceptions=True,
        )
        for failure in failures:
            fine = isinstance(failure, Generation | Judgement | EngineError)
            assert fine, f"the question {question[:20]!r} came back as {failure!r}"
    typed(await engine.generate(subject.request(max_tokens=1)), Generation)


CHECKS: tuple[Check, ...] = (
    check_counts_fit_the_completion,
    check_answer_is_what_follows_the_marker,
    check_same_seed_gives_same_text_in_company,
    check_stream_adds_up_to_the_generation,
    check_max_tokens_ends_with_length,
    check_stop_string_is_cut_off,
    check_a_conversation_is_answered,
    check_tools_are_called_properly_or_not_at_all,
    check_judgement_is_a_probability_or_nothing,
    check_both_orders_can_be_asked_at_once,
    check_embeddings_are_unit_vectors,
    check_card_is_typed,
    check_cancelled_generation_stops,
    check_cancelled_judgement_stops,
    check_abandoned_stream_stops,
    check_close_stops_running_work,
    check_close_is_final_and_harmless_twice,
    check_odd_questions_raise_engine_errors_only,
)


async def check_engine(subject: Subject) -> None:
    """Run all checks, each on a fresh engine; the first one that fails raises AssertionError."""
    for check in CHECKS:
        await run_check(check, subject)


async def run_check(check: Check, subject: Subject) -> None:
    """Run one check on a fresh engine, in bounded time, and close the engine."""
    engine = await subject.make_engine()
    try:
        async with asyncio.timeout(subject.patience_s):
            await check(engine, subject)
    except TimeoutError:
        raise AssertionError(f"{check.__name__} was not over after {subject.patience_s:g} s") from None
    finally:
        await engine.close()
