"""Questions answered for others: followers, graces, limits."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.errors import EngineUnavailable, PeerBusy, RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.messages import Answered, CannotAnswer, Happened, Message, Planned, PleaseAnswer
from waggle.node.peers.client import request_of, within
from waggle.node.peers.questions import GRACE_SECONDS, MAX_RUNNING_PER_ASKER, Answer, Question, Questions
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.machine import Watch
from waggle.testing.clock import VirtualClock

ANN = NodeId("ann")


def asked(question: str = QUESTIONS[5], seconds: float = 30.0) -> PleaseAnswer:
    return request_of(question, AskOptions(budget=Budget(seconds=seconds)))


def answering(seconds: float = 1.0) -> Answer:
    script = Script(skill=1.0, seconds_per_call=seconds)
    swarm = Swarm({NodeId("n"): ScriptedEngine(script, TRUTH, clock=VirtualClock())}, clock=VirtualClock())

    async def answer(message: PleaseAnswer, watch: Watch) -> Record:
        return await swarm.ask(message.question, message.options, watch)

    return answer


async def everything(question: Question) -> list[Message]:
    return [message async for message in question.follow()]


@in_virtual_time
async def test_early_and_late_followers_hear_the_same_from_plan_to_outcome() -> None:
    questions = Questions(answering())
    question = questions.ask(asked(), ANN)
    early = asyncio.create_task(everything(question))
    await asyncio.sleep(0.5)
    late = asyncio.create_task(everything(question))
    heard = await early
    assert heard == await late == await everything(question)
    assert isinstance(heard[0], Planned)
    assert isinstance(heard[-1], Answered)
    assert all(isinstance(message, Happened) for message in heard[1:-1])


@in_virtual_time
async def test_a_round_without_followers_is_stopped_after_the_grace_and_not_before() -> None:
    questions = Questions(answering(seconds=60.0))
    question = questions.ask(asked(seconds=100.0), ANN)
    following = asyncio.create_task(everything(question))
    await asyncio.sleep(1)
    following.cancel()
    await asyncio.sleep(GRACE_SECONDS - 1)
    in_grace = question.done
    again = asyncio.create_task(everything(question))
    await asyncio.sleep(GRACE_SECONDS + 1)
    followed = question.done
    again.cancel()
    await asyncio.sleep(GRACE_SECONDS + 1)
    assert (in_grace, followed, question.done) == (False, False, True)


@in_virtual_time
async def test_a_stopped_question_can_be_asked_again() -> None:
    questions, message = Questions(answering()), asked()
    question = questions.ask(message, ANN)
    await asyncio.sleep(0.5)
    await question.stop()
    assert [type(said) for said in await everything(question)] == [Planned, Happened]
    assert isinstance((await everything(questions.ask(message, ANN)))[-1], Answered)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (EngineUnavailable("no node with a model"), Failure(Cause.UNAVAILABLE, "no node with a model")),
        (RuntimeError("/home/me/secret"), Failure(Cause.CRASHED, "a fault in the node")),
        (PeerBusy("no room now", 2.5), Failure(Cause.BUSY, "no room now", 2.5)),
    ],
)
@in_virtual_time
async def test_failures_reach_the_client_in_words_and_faults_without(fault: Exception, told: Failure) -> None:
    async def fail(message: PleaseAnswer, watch: Watch) -> Record:
        raise fault

    assert await everything(Questions(fail).ask(asked(), ANN)) == [CannotAnswer(failure=told)]


@in_virtual_time
async def test_another_question_under_a_used_request_id_is_refused_and_less_time_is_not_another_question() -> None:
    questions, message = Questions(answering()), asked()
    question = questions.ask(message, ANN)
    assert questions.ask(within(message, 3.0), ANN) is question
    with pytest.raises(RemoteProtocolError):
        questions.ask(replace(message, question=QUESTIONS[6]), ANN)
    await questions.close()


@in_virtual_time
async def test_anothers_request_id_opens_no_round_of_theirs_and_takes_no_name_from_it() -> None:
    questions, message = Questions(answering()), asked()
    eve = NodeId("eve")
    question = questions.ask(message, ANN)
    heard = asyncio.create_task(everything(question))
    await asyncio.sleep(0.5)
    own, other = questions.ask(message, eve), questions.ask(replace(message, question=QUESTIONS[6]), NodeId("mal"))
    assert question is not own is not other is not question
    stopped = asyncio.create_task(everything(own))
    await asyncio.sleep(0)
    await own.stop()
    await stopped
    assert isinstance((await everything(other))[-1], Answered)
    assert isinstance((await heard)[-1], Answered)
    assert questions.ask(message, ANN) is question
    await questions.close()


@in_virtual_time
async def test_one_asker_cannot_take_all_rounds() -> None:
    questions = Questions(answering(seconds=20.0))
    for _ in range(MAX_RUNNING_PER_ASKER):
        questions.ask(asked(), ANN)
    with pytest.raises(PeerBusy):
        questions.ask(asked(), ANN)
    questions.ask(asked(), NodeId("bob"))
    await questions.close()
