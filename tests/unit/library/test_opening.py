"""A swarm of this process's own models: opened, asked, followed and closed."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import waggle
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import CheckpointError, EngineError, EngineUnavailable, UsageError
from waggle.core.round_picture import Phase
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.library import opening
from waggle.node.calibrating.kept import FILE, bundled_calibration
from waggle.node.calibration import Calibration, save_calibration

QUESTION = "What is 17 + 25?"
THREE = ("scripted:ann", "scripted:bob", "scripted:cat")
PATIENCE_SECONDS = 30.0


class Held(ScriptedEngine):
    """An engine that answers when it is let."""

    def __init__(self, name: str = "held") -> None:
        super().__init__(Script(name=name, skill=1.0), {QUESTION: "42"})
        self.go_on = asyncio.Event()
        self.asked_once = asyncio.Event()
        self.left = asyncio.Event()
        self.at_work = 0
        self.closed = False

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        self.at_work += 1
        self.asked_once.set()
        self.left.clear()
        try:
            await self.go_on.wait()
            async with aclosing(super().stream(request)) as tokens:
                async for token in tokens:
                    yield token
        finally:
            self.at_work -= 1
            self.left.set()

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, in which nothing lies."""
    monkeypatch.setenv("WAGGLE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_question_is_answered_and_its_record_replays(tmp_path: Path) -> None:
    async with waggle.open(*THREE) as swarm:
        answer = await swarm.ask(QUESTION, strategy="committee", min_confidence=0.0)
    assert answer.text == answer.candidates[0].answer == str(answer)
    assert (answer.abstained, answer.confidence) == (False, answer.record.outcome.confidence)
    assert answer.tokens == answer.record.used_tokens > 0
    waggle.save(answer.record, tmp_path / "round.json")
    assert waggle.load(tmp_path / "round.json") == answer.record
    pictures = list(waggle.replay(answer.record))
    assert len(pictures) == len(answer.record.events)
    assert pictures[-1].outcome == answer.record.outcome


async def test_an_abstention_says_so() -> None:
    async with waggle.open(*THREE) as swarm:
        answer = await swarm.ask(QUESTION, min_confidence=1.0)
    assert answer.abstained
    assert str(answer) == f"not sure enough; best guess: {answer.text}"


async def test_engines_stand_beside_names_and_are_called_by_their_models() -> None:
    async def answer(question: str) -> str:
        return "42"

    own = ScriptedEngine(Script(name="ann"), {})
    async with waggle.open("scripted:ann", own, waggle.engine("mine", answer)) as swarm:
        record = (await swarm.ask(QUESTION, strategy="vote", min_confidence=0.0)).record
        alone = await swarm.ask(QUESTION, strategy="solo:mine", min_confidence=0.0)
    assert {standing.node for standing in record.plan.proposers} == {"ann", "ann-2", "mine"}
    assert alone.text == "42"


async def test_without_models_it_is_the_bundled_hive_with_its_calibration() -> None:
    async with waggle.open() as swarm:
        answer = await swarm.ask("How many 1 bits are there in the binary representation of the number 1453?")
    assert answer.text == "7"
    assert answer.record.plan.confidence is not None
    assert answer.confidence > 0.9


@pytest.fixture
def measured() -> Calibration:
    """Of ann, the worst of all, and of nobody else."""
    ours = bundled_calibration()
    assert ours is not None
    return replace(ours, nodes={"ann": ours.nodes["acacia"]})


async def weights_of(*models: opening.Model, calibration: Path | None = None) -> set[float]:
    """How much the support of each counts."""
    async with waggle.open(*models, calibration=calibration) as swarm:
        plan = (await swarm.ask(QUESTION, min_confidence=0.0)).record.plan
    return {standing.support_weight for standing in plan.proposers}


async def test_the_users_own_calibration_counts_and_one_that_is_given_counts_more(
    home: Path, measured: Calibration
) -> None:
    own = ScriptedEngine(Script(name="ann"), {})
    assert await weights_of("scripted:ann", "scripted:bob") == {1.0}
    save_calibration(measured, home / FILE)
    assert 0.0 in await weights_of("scripted:ann", "scripted:bob")
    assert 1.0 not in await weights_of(own)
    save_calibration(replace(measured, nodes={}), home / "given.json")
    assert await weights_of("scripted:ann", calibration=home / "given.json") == {1.0}


async def test_pictures_come_as_things_happen_and_the_answer_last() -> None:
    held = Held()
    steps: list[waggle.RoundPicture | waggle.Answer] = []
    async with waggle.open(held) as swarm:
        async for step in swarm.follow(QUESTION, strategy="vote", min_confidence=0.0):
            steps.append(step)
            held.go_on.set()  # nothing more would come before that
    *pictures, answer = steps
    assert isinstance(answer, waggle.Answer)
    assert answer.text == "42"
    phases = [picture.phase for picture in pictures if isinstance(picture, waggle.RoundPicture)]
    assert (phases[0], phases[-1]) == (Phase.PROPOSE, Phase.DONE)
    assert len(phases) == len(pictures)


async def test_a_slow_reader_is_shown_the_newest_picture_alone() -> None:
    steps = []
    async with waggle.open(*THREE) as swarm:
        async for step in swarm.follow(QUESTION, min_confidence=0.0):
            steps.append(step)
            if len(steps) == 1:
                others = [await swarm.ask(QUESTION, min_confidence=0.0) for _ in range(3)]  # meanwhile it ends
    assert len(steps) == 3
    assert isinstance(steps[1], waggle.RoundPicture)
    assert steps[1].phase is Phase.DONE
    assert len(others[0].record.events) > len(steps)


async def test_leaving_the_loop_stops_the_work() -> None:
    held = Held()
    async with waggle.open(held) as swarm:
        async with aclosing(swarm.follow(QUESTION)) as steps:
            async for _ in steps:
                await held.asked_once.wait()
                break
        assert held.at_work == 0
        async for _ in swarm.follow(QUESTION + " "):
            break
        held.asked_once.clear()
        async for _ in swarm.follow(QUESTION + " "):
            await held.asked_once.wait()
            break
        async with asyncio.timeout(PATIENCE_SECONDS):
            await held.left.wait()


async def test_leaving_the_block_stops_what_is_followed_and_closes_the_engines() -> None:
    held = Held()

    async def follow(swarm: waggle.Swarm) -> None:
        async for _ in swarm.follow(QUESTION):
            pass

    async with waggle.open(held) as swarm:
        following = asyncio.create_task(follow(swarm))
        await held.asked_once.wait()
    assert (held.at_work, held.closed) == (0, True)
    with pytest.raises(EngineUnavailable, match="closed before"):
        await following
    with pytest.raises(UsageError, match="closed"):
        await swarm.ask(QUESTION)


async def test_what_nobody_can_answer_is_an_error_with_every_reason() -> None:
    async def fail(question: str) -> str:
        raise LookupError("no such town")

    async with waggle.open(waggle.engine("ann", fail), waggle.engine("bob", fail)) as swarm:
        with pytest.raises(EngineError, match="no answer: ann: ann failed: LookupError: no such town; bob: "):
            await swarm.ask(QUESTION)
        with pytest.raises(EngineError, match="no answer"):
            assert [step async for step in swarm.follow(QUESTION)] == []


@pytest.mark.parametrize(
    ("model", "error", "fault"),
    [
        ("hive:nosuch", UsageError, "no model 'nosuch'"),
        ("./nowhere", UsageError, "neither a model folder nor an address"),
        (Path("nowhere"), UsageError, "neither a model folder nor an address"),
        (Path(), CheckpointError, "config.json is missing"),
        ("http://localhost:1/v1", UsageError, "which model of"),
    ],
)
async def test_what_cannot_be_opened_says_why(model: opening.Model, error: type[Exception], fault: str) -> None:
    with pytest.raises(error, match=fault):
        async with waggle.open(model):
            raise AssertionError("opened")


async def test_whoever_gives_up_while_models_are_loaded_leaves_none_open(home: Path, measured: Calibration) -> None:
    held = Held()
    os.mkfifo(home / "slow.json")  # is read to the end where somebody has written it
    entering = asyncio.create_task(waggle.open(held, calibration=home / "slow.json").__aenter__())
    writer = await asyncio.to_thread(open, home / "slow.json", "wb")
    entering.cancel()
    with writer:
        writer.write(msgspec.json.encode(measured))
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert held.closed


def test_without_a_loop_one_call_asks() -> None:
    assert waggle.ask_sync(QUESTION, *THREE, strategy="vote", min_confidence=0.0).text


async def test_within_a_loop_one_call_says_to_await() -> None:
    with pytest.raises(UsageError, match=r"await swarm\.ask"):
        waggle.ask_sync(QUESTION, *THREE)
