"""The conformance suite passes good engines, and each of its checks fails an engine broken in just that way."""

import asyncio
import dataclasses
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest
from msgspec.structs import replace

from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import (
    Finish,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.core.errors import EngineRefused
from waggle.engines.protocol import Engine
from waggle.engines.script import Babbler, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.testing import check_engine as suite
from waggle.testing.check_engine import CHECKS, Check, check_engine, run_check
from waggle.testing.clock import VirtualClock, run_virtual
from waggle.testing.engine_subject import Subject

TRUTH = {"What is 17 + 25?": "42"}
SLOW = Script(skill=1.0, seconds_per_call=1.0, seconds_per_token=0.5)  # leftover work outlasts the suite's settle_s


class Sound(ScriptedEngine):
    """An engine without a fault, from which the broken ones are made."""

    def __init__(self, script: Script = SLOW) -> None:
        super().__init__(script, TRUTH, clock=VirtualClock())


def subject_of(make: Callable[[], ScriptedEngine], *, embeds: bool = True) -> Subject:
    made: list[ScriptedEngine] = []

    async def make_engine() -> Engine:
        made.append(make())
        return made[-1]

    def busy() -> int:
        return sum(engine.in_flight for engine in made)

    return Subject(make_engine=make_engine, busy=busy, embeds=embeds, patience_s=60)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("script", [SLOW, replace(SLOW, conduct=Babbler()), replace(SLOW, answer_marker="\nA")])
def test_a_sound_engine_passes(check: Check, script: Script) -> None:
    run_virtual(run_check(check, subject_of(lambda: Sound(script))))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_engine_that_calls_tools_passes(check: Check) -> None:
    run_virtual(run_check(check, subject_of(lambda: Sound(replace(SLOW, tool_call="look_up")))))


def test_the_whole_suite_runs_every_check() -> None:
    run_virtual(check_engine(subject_of(Sound)))


def test_every_check_in_the_file_belongs_to_the_suite() -> None:
    named = {name for name in vars(suite) if name.startswith("check_") and name != "check_engine"}
    assert named == {check.__name__ for check in CHECKS}


def altered(method: str, change: Callable[..., object]) -> type[Sound]:
    """Sound, but for what one method says."""

    async def says(self: Sound, *asked: object) -> object:
        return change(await getattr(Sound, method)(self, *asked))

    return type(f"Alters_{method}", (Sound,), {method: says})


def saying(method: str, **changes: object) -> type[Sound]:
    return altered(method, lambda said: replace(said, **changes))


def exponentials(done: Generation) -> Generation:
    return replace(done, logprobs=tuple(math.exp(logprob) for logprob in done.logprobs))


class MiscountsTokens(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        return replace(await super().generate(request), completion_tokens=request.max_tokens + 1)


class MixesUpConcurrentRequests(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        others = self.in_flight
        done = await super().generate(request)
        return replace(done, text=f"{done.text} {others}")


async def soundly(engine: Sound, request: GenerateRequest) -> Generation:
    """What the engine would generate if it did not stream badly."""
    *_, last = [token async for token in Sound.stream(engine, request)]
    assert last.generation is not None
    return last.generation


class StreamsNothing(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        return
        yield

    async def generate(self, request: GenerateRequest) -> Generation:
        return await soundly(self, request)


class StreamsWithoutSpaces(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        async for token in super().stream(request):
            yield replace(token, text=token.text.strip())


class StreamsNoGeneration(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        async for token in super().stream(request):
            if token.generation is None:
                yield token

    async def generate(self, request: GenerateRequest) -> Generation:
        return await soundly(self, request)


class IgnoresMaxTokens(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        return await super().generate(replace(request, max_tokens=64))


class IgnoresStopStrings(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        return await super().generate(replace(request, stop=()))


class StreamsPastStopStrings(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        async for token in super().stream(replace(request, stop=())):
            yield token

    async def generate(self, request: GenerateRequest) -> Generation:
        return await soundly(self, request)


class JudgesOneOrderOnly(Sound):
    async def judge(self, request: JudgeRequest) -> Judgement:
        judged = await super().judge(request)
        return judged if request.first > request.second else replace(judged, p=-1.0)


class CannotBeCancelled(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        return await asyncio.shield(super().generate(request))


class SwallowsCancelling(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        work = asyncio.create_task(super().generate(request))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            return await work


class JudgesOnWhenCancelled(Sound):
    async def judge(self, request: JudgeRequest) -> Judgement:
        return await asyncio.shield(super().judge(request))


class FinishesAbandonedStreams(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        self.in_flight += 1
        async for token in super().stream(request):
            yield token
        self.in_flight -= 1


class GoesOnWhenClosed(Sound):
    async def close(self) -> None:
        pass


class CannotBeClosedTwice(Sound):
    async def close(self) -> None:
        if self._closed.is_set():
            raise RuntimeError("closed already")
        await super().close()


class RaisesForeignErrors(Sound):
    async def generate(self, request: GenerateRequest) -> Generation:
        request.question.encode()
        return await super().generate(request)


class LosesItsWordsInConversation(Sound):
    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        async for token in super().stream(request):
            yield replace(token, text="") if request.turns else token


class CannotJudgeConversations(Sound):
    async def judge(self, request: JudgeRequest) -> Judgement:
        judged = await super().judge(request)
        return replace(judged, p=2.0) if request.turns else judged


LOOK_UP = ToolCall(id="1", name="look_up", arguments="{}")


class CallsTools(Sound):
    """Without a fault, but for what is set here."""

    calls_made: tuple[ToolCall, ...] = (LOOK_UP,)
    finish = Finish.TOOL_CALLS

    async def generate(self, request: GenerateRequest) -> Generation:
        done = await super().generate(replace(request, tool_choice="none"))
        return replace(done, tool_calls=self.calls_made, finish=self.finish) if self.calls_for(request) else done

    def calls_for(self, request: GenerateRequest) -> bool:
        return bool(request.tools) and request.tool_choice != "none"


class CallsWhatWasNotOffered(CallsTools):
    calls_made = (replace(LOOK_UP, name="rm"),)


class CallsTwiceByOneId(CallsTools):
    calls_made = (LOOK_UP, LOOK_UP)


class CallsWithoutAnId(CallsTools):
    calls_made = (replace(LOOK_UP, id=""),)


class CallsAndSaysStop(CallsTools):
    finish = Finish.STOP


class CallsThoughForbidden(CallsTools):
    def calls_for(self, request: GenerateRequest) -> bool:
        return bool(request.tools)


class CallsOnlyWhereItLikes(CallsTools):
    def calls_for(self, request: GenerateRequest) -> bool:
        return bool(request.tools) and request.tool_choice == "auto"


BROKEN: list[tuple[type[Sound], Check, str]] = [
    (MiscountsTokens, suite.check_counts_fit_the_completion, "65 completion tokens"),
    (saying("generate", logprobs=(-0.1,)), suite.check_counts_fit_the_completion, "1 log-probabilities"),
    (altered("generate", exponentials), suite.check_counts_fit_the_completion, "above 0"),
    (saying("generate", seconds="soon"), suite.check_counts_fit_the_completion, "Expected `float`"),
    (saying("generate", self_confidence=1.5), suite.check_counts_fit_the_completion, "confidence 1.5"),
    (saying("generate", seconds=math.inf), suite.check_counts_fit_the_completion, "inf seconds"),
    (
        altered("generate", lambda done: replace(done, answer=f"Answer: {done.answer}")),
        suite.check_answer_is_what_follows_the_marker,
        "trace and answer",
    ),
    (MixesUpConcurrentRequests, suite.check_same_seed_gives_same_text_in_company, "in company"),
    (StreamsNothing, suite.check_stream_adds_up_to_the_generation, "was empty"),
    (StreamsWithoutSpaces, suite.check_stream_adds_up_to_the_generation, "streamed"),
    (StreamsNoGeneration, suite.check_stream_adds_up_to_the_generation, "carries no generation"),
    (IgnoresMaxTokens, suite.check_max_tokens_ends_with_length, "finished with stop"),
    (saying("generate", finish=Finish.STOP), suite.check_max_tokens_ends_with_length, "finished with stop"),
    (IgnoresStopStrings, suite.check_stop_string_is_cut_off, "stopped at"),
    (StreamsPastStopStrings, suite.check_stop_string_is_cut_off, "streamed"),
    (LosesItsWordsInConversation, suite.check_a_conversation_is_answered, "streamed ''"),
    (CannotJudgeConversations, suite.check_a_conversation_is_answered, "P is 2"),
    (CallsWhatWasNotOffered, suite.check_tools_are_called_properly_or_not_at_all, "it calls .'rm'"),
    (CallsTwiceByOneId, suite.check_tools_are_called_properly_or_not_at_all, "the ids"),
    (CallsWithoutAnId, suite.check_tools_are_called_properly_or_not_at_all, "without an id"),
    (CallsAndSaysStop, suite.check_tools_are_called_properly_or_not_at_all, "finished with stop"),
    (CallsThoughForbidden, suite.check_tools_are_called_properly_or_not_at_all, "may not call"),
    (CallsOnlyWhereItLikes, suite.check_tools_are_called_properly_or_not_at_all, "does not say so"),
    (saying("judge", p=90.0), suite.check_judgement_is_a_probability_or_nothing, "P is 90"),
    (saying("judge", reason=None), suite.check_judgement_is_a_probability_or_nothing, "Expected `str`"),
    (JudgesOneOrderOnly, suite.check_both_orders_can_be_asked_at_once, "P is -1"),
    (
        altered("embed", lambda made: [[2 * value for value in one] for one in made]),
        suite.check_embeddings_are_unit_vectors,
        "not of length 1",
    ),
    (
        altered("embed", lambda made: [[1.0] + [0.0] * index for index in range(len(made))]),
        suite.check_embeddings_are_unit_vectors,
        "different sizes",
    ),
    (altered("embed", lambda made: made[:1]), suite.check_embeddings_are_unit_vectors, "1 vectors for 3 texts"),
    (saying("describe", model=""), suite.check_card_is_typed, "without a name"),
    (saying("describe", skills={"sums": "good"}), suite.check_card_is_typed, "Expected `float`"),
    (CannotBeCancelled, suite.check_cancelled_generation_stops, "still went on"),
    (SwallowsCancelling, suite.check_cancelled_generation_stops, "came back with"),
    (JudgesOnWhenCancelled, suite.check_cancelled_judgement_stops, "still went on"),
    (FinishesAbandonedStreams, suite.check_abandoned_stream_stops, "still went on"),
    (GoesOnWhenClosed, suite.check_close_stops_running_work, "ended with Generation"),
    (GoesOnWhenClosed, suite.check_close_is_final_and_harmless_twice, "answered with Generation"),
    (RaisesForeignErrors, suite.check_odd_questions_raise_engine_errors_only, "UnicodeEncodeError"),
]


@pytest.mark.parametrize(("broken", "check", "complaint"), BROKEN, ids=lambda part: getattr(part, "__name__", ""))
def test_a_broken_engine_fails_the_check_for_its_fault(broken: type[Sound], check: Check, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run_virtual(run_check(check, subject_of(broken)))


def test_no_check_is_without_an_engine_that_fails_it() -> None:
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


def test_closing_twice_must_not_raise() -> None:
    with pytest.raises(RuntimeError, match="closed already"):
        run_virtual(run_check(suite.check_close_is_final_and_harmless_twice, subject_of(CannotBeClosedTwice)))


def test_an_engine_without_embeddings_must_refuse() -> None:
    class Refuses(Sound):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            raise EngineRefused("this model has no embeddings: use another")

    run_virtual(run_check(suite.check_embeddings_are_unit_vectors, subject_of(Refuses, embeds=False)))
    with pytest.raises(AssertionError, match="though said not to"):
        run_virtual(run_check(suite.check_embeddings_are_unit_vectors, subject_of(Sound, embeds=False)))


def test_an_engine_that_does_not_judge_must_not() -> None:
    subject = dataclasses.replace(subject_of(Sound), judges=False)
    with pytest.raises(AssertionError, match="though said not to"):
        run_virtual(run_check(suite.check_cancelled_judgement_stops, subject))


@pytest.mark.parametrize("check", [suite.check_cancelled_generation_stops, suite.check_close_stops_running_work])
def test_an_engine_too_quick_to_be_cancelled_cannot_be_checked(check: Check) -> None:
    with pytest.raises(AssertionError, match="cannot be checked"):
        run_virtual(run_check(check, subject_of(lambda: Sound(Script()))))


def test_a_hanging_engine_fails_when_patience_ends() -> None:
    class Hangs(Sound):
        async def generate(self, request: GenerateRequest) -> Generation:
            await asyncio.Event().wait()
            raise AssertionError("never")

    with pytest.raises(AssertionError, match="not over after 60 s"):
        run_virtual(run_check(suite.check_max_tokens_ends_with_length, subject_of(Hangs)))


def test_checks_are_awaitable_one_by_one() -> None:
    async def all_of_them() -> int:
        works: list[Awaitable[None]] = [run_check(check, subject_of(Sound)) for check in CHECKS]
        await asyncio.gather(*works)
        return len(works)

    assert run_virtual(all_of_them()) == 18
