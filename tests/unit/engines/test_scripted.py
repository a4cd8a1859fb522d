"""The make-believe engine does what its script says, and the same on every run."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.chat_values import Role, Tool, Turn
from waggle.core.engine_values import Finish, GenerateRequest, JudgeRequest, Sampling
from waggle.core.errors import EngineRefused, EngineUnavailable
from waggle.engines.actor import shifted
from waggle.engines.script import Babbler, Crasher, Hanger, Mute, Script, Shill, share
from waggle.engines.scripted import ScriptedEngine
from waggle.testing.clock import VirtualClock, run_virtual

TRUTH = {f"What is {a} + {b}?": str(a + b) for a in range(20) for b in range(25)}
QUESTIONS = list(TRUTH)
N = len(QUESTIONS)


def answers(script: Script, *, temperature: float = 0.0, seed: int = 0) -> list[str]:
    sampling = Sampling(temperature=temperature, seed=seed)

    async def ask_all() -> list[str]:
        engine = ScriptedEngine(script, TRUTH, kind_of=lambda question: "even" if "0 +" in question else "odd")
        return [(await engine.generate(GenerateRequest(question=q, sampling=sampling))).answer for q in QUESTIONS]

    return run_virtual(ask_all())


def right_share(given: list[str]) -> float:
    return sum(answer == TRUTH[question] for question, answer in zip(QUESTIONS, given, strict=True)) / N


def judgements(script: Script, *, swapped: bool = False, wrong_by: int = 1) -> list[float | None]:
    async def judge_all() -> list[float | None]:
        engine = ScriptedEngine(script, TRUTH)
        pairs = [(q, *[TRUTH[q], shifted(TRUTH[q], wrong_by)][:: -1 if swapped else 1]) for q in QUESTIONS]
        return [(await engine.judge(JudgeRequest(question=q, first=a, second=b))).p for q, a, b in pairs]

    return run_virtual(judge_all())


@pytest.mark.parametrize("skill", [0.0, 0.3, 0.8, 1.0])
def test_it_is_right_as_often_as_its_skill_says(skill: float) -> None:
    assert right_share(answers(Script(skill=skill))) == pytest.approx(skill, abs=0.06)


def test_skill_may_differ_by_kind_of_question() -> None:
    given = answers(Script(skill=0.0, skills={"even": 1.0}))
    right = [q for q, answer in zip(QUESTIONS, given, strict=True) if answer == TRUTH[q]]
    assert right == [question for question in QUESTIONS if "0 +" in question]


def test_the_same_script_gives_the_same_answers_and_another_seed_others() -> None:
    assert answers(Script(seed=1)) == answers(Script(seed=1))
    assert answers(Script(seed=1)) != answers(Script(seed=2))


def test_two_engines_err_independently_of_each_other() -> None:
    both = zip(answers(Script(seed=1, skill=0.5)), answers(Script(seed=2, skill=0.5)), QUESTIONS, strict=True)
    assert sum(a == b == TRUTH[q] for a, b, q in both) / N == pytest.approx(0.25, abs=0.06)


def test_the_seed_of_a_request_counts_only_when_it_samples() -> None:
    assert answers(Script(), seed=1) == answers(Script(), seed=2)
    assert answers(Script(), temperature=1.0, seed=1) != answers(Script(), temperature=1.0, seed=2)


def test_wrong_answers_are_as_many_as_the_script_says() -> None:
    wrong = answers(Script(skill=0.0, wrong_choices=3))
    assert {int(answer) - int(TRUTH[q]) for q, answer in zip(QUESTIONS, wrong, strict=True)} == {1, 2, 3}


@pytest.mark.parametrize("skill", [0.0, 0.7, 1.0])
def test_it_judges_as_well_as_its_judge_skill_says(skill: float) -> None:
    given = judgements(Script(judge_skill=skill))
    assert {round(p or 0.0, 9) for p in given} <= {0.1, 0.9}
    assert sum(p == 0.9 for p in given) / N == pytest.approx(skill, abs=0.06)


def test_without_position_bias_swapping_a_pair_swaps_the_verdict() -> None:
    there, back = judgements(Script()), judgements(Script(), swapped=True)
    assert all(p is not None and q is not None and abs(p + q - 1) < 1e-9 for p, q in zip(there, back, strict=True))


@pytest.mark.parametrize(("bias", "place"), [(0.4, 1.0), (-0.4, 0.0)])
def test_position_bias_decides_its_share_of_pairs_by_place(bias: float, place: float) -> None:
    script = Script(position_bias=bias)
    both = zip(judgements(script), judgements(script, swapped=True), strict=True)
    assert sum(p == q == place for p, q in both) / N == pytest.approx(0.4, abs=0.06)


def test_unreadable_verdicts_come_at_the_rate_of_the_script() -> None:
    assert judgements(Script(unreadable=0.25)).count(None) / N == pytest.approx(0.25, abs=0.06)


def test_equal_proposals_are_a_tie() -> None:
    assert set(judgements(Script(), wrong_by=0)) == {0.5}


def test_a_ring_of_shills_proposes_one_wrong_answer_and_always_prefers_it() -> None:
    ring = [Script(seed=seed, conduct=Shill(wrong_choice=2)) for seed in (1, 2)]
    expected = [shifted(TRUTH[question], 2) for question in QUESTIONS]
    assert answers(ring[0]) == answers(ring[1]) == expected
    assert set(judgements(ring[0], wrong_by=2)) == {0.0}
    assert set(judgements(ring[1], wrong_by=2, swapped=True)) == {1.0}


def test_a_shill_of_a_given_answer_sticks_to_it() -> None:
    assert set(answers(Script(conduct=Shill(answer="buy honey")))) == {"buy honey"}


def test_a_shill_of_nothing_prefers_its_own_answer() -> None:
    given = judgements(Script(skill=0.0, wrong_choices=1, conduct=Shill()))
    assert set(given) == {0.0}


def test_a_babbler_and_a_mute_give_nothing_readable() -> None:
    for conduct in (Babbler(), Mute()):
        assert right_share(answers(Script(conduct=conduct))) == 0.0
        assert set(judgements(Script(conduct=conduct))) == {None}


@in_virtual_time
async def test_a_crasher_fails_after_its_good_calls_for_ever() -> None:
    engine = ScriptedEngine(Script(conduct=Crasher(after_calls=2)), TRUTH)
    for _ in range(2):
        await engine.generate(GenerateRequest(question=QUESTIONS[0]))
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="crashed after 2 calls"):
            await engine.generate(GenerateRequest(question=QUESTIONS[0]))
    assert engine.in_flight == 0


@in_virtual_time
async def test_a_hanger_hangs_until_cancelled_or_closed() -> None:
    engine = ScriptedEngine(Script(conduct=Hanger()), TRUTH)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3_600):
            await engine.judge(JudgeRequest(question="?", first="1", second="2"))
    assert engine.in_flight == 0
    task = asyncio.create_task(engine.generate(GenerateRequest(question="?")))
    await asyncio.sleep(1)
    assert engine.in_flight == 1
    await engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await task


@in_virtual_time
async def test_latency_is_slept_on_the_given_clock_and_reported() -> None:
    script = Script(skill=1.0, seconds_per_call=10.0, seconds_per_token=1.0)
    clock = VirtualClock()
    engine = ScriptedEngine(script, TRUTH, clock=clock)
    done = await engine.generate(GenerateRequest(question=QUESTIONS[0]))
    assert done.completion_tokens == 9
    assert done.seconds == clock.now() == 19.0


@in_virtual_time
async def test_the_words_are_cut_where_asked_and_confidence_is_that_of_the_answer() -> None:
    engine = ScriptedEngine(Script(skill=1.0), TRUTH)
    whole = await engine.generate(GenerateRequest(question=QUESTIONS[0]))
    assert whole.text == "I worked it out step by step.\nAnswer: 0"
    assert whole.self_confidence is not None
    assert 0.6 <= whole.self_confidence <= 1.0
    assert len(whole.logprobs) == whole.completion_tokens
    short = await engine.generate(GenerateRequest(question=QUESTIONS[0], max_tokens=3))
    assert (short.text, short.finish, short.answer) == ("I worked it", Finish.LENGTH, "")
    assert short.self_confidence is None


@in_virtual_time
async def test_a_question_without_a_truth_is_not_known() -> None:
    engine = ScriptedEngine(Script(answer_marker=None), lambda question: None)
    assert (await engine.generate(GenerateRequest(question="Why?"))).answer == "I do not know"


@in_virtual_time
async def test_texts_that_share_words_have_embeddings_near_each_other() -> None:
    bee, fox, primes = await ScriptedEngine(Script(), TRUTH).embed(
        ["the red bee", "the red fox", "seven prime numbers"]
    )
    near, far = (sum(x * y for x, y in zip(bee, other, strict=True)) for other in (fox, primes))
    assert near > far


def test_draws_are_even_and_the_same_on_every_machine() -> None:
    drawn = [share("x", index) for index in range(1_000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert share("bee", 7) == 0.15398326262494066


# --- conversations and tools ------------------------------------------------------------------------------------------

CALLER = Script(name="caller", skill=1.0, tool_call="weather", tool_arguments='{"place": "hive"}')
WEATHER = Tool(name="weather")
ASKED = GenerateRequest(question=QUESTIONS[0], tools=(WEATHER,), max_tokens=20)


@in_virtual_time
async def test_it_calls_its_tool_where_that_is_offered() -> None:
    engine = ScriptedEngine(CALLER, TRUTH)
    made = await engine.generate(ASKED)
    [call] = made.tool_calls
    assert (call.name, call.arguments, made.finish) == ("weather", '{"place": "hive"}', Finish.TOOL_CALLS)
    assert (made.text, made.completion_tokens) == ("", 3)
    for asked in (
        replace(ASKED, tools=()),
        replace(ASKED, tool_choice="none"),
        replace(ASKED, tools=(Tool(name="time"),)),
        replace(ASKED, turns=(Turn(role=Role.TOOL, content="rain", tool_call_id=call.id),)),
    ):
        other = await engine.generate(asked)
        assert (other.tool_calls, other.answer) == ((), TRUTH[QUESTIONS[0]])


@pytest.mark.parametrize("choice", ["required", "weather", "time"])
@in_virtual_time
async def test_it_refuses_to_call_what_its_script_does_not_say(choice: str) -> None:
    engine = ScriptedEngine(replace(CALLER, tool_call=None), TRUTH)
    with pytest.raises(EngineRefused, match="calls no such tool"):
        await engine.generate(replace(ASKED, tool_choice=choice))


@in_virtual_time
async def test_it_remembers_what_it_was_asked_and_counts_the_whole_conversation() -> None:
    engine = ScriptedEngine(Script(), TRUTH)
    turns = (Turn(role=Role.USER, content="one two three"), Turn(role=Role.USER, content=QUESTIONS[0]))
    asked = GenerateRequest(question=QUESTIONS[0], turns=turns)
    alone = await engine.generate(replace(asked, turns=()))
    whole = await engine.generate(asked)
    assert whole.prompt_tokens == alone.prompt_tokens + 3
    assert whole.answer == alone.answer
    assert list(engine.asked) == [replace(asked, turns=()), asked]
