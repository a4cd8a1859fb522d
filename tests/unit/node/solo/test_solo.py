"""A node's models served one by one: what goes out, what a stranger hears, and what stops when it leaves."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.carried import counting_waste
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import (
    EngineRefused,
    EngineUnavailable,
    PeerBusy,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
    WaggleError,
)
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.engines.script import Hanger, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.channel import SignedChannel
from waggle.mesh.codec import seal
from waggle.mesh.memory import MemoryNetwork, MemoryTransport
from waggle.mesh.messages import (
    MODEL_PROTOCOL,
    CannotGenerate,
    Embedded,
    Generated,
    Message,
    PleaseEmbed,
    PleaseGenerate,
    PleaseReveal,
    StillHere,
    Wrote,
)
from waggle.mesh.transport import Stream
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.work import NodeWork
from waggle.node.solo.bounds import MAX_PIECE, MAX_WRITTEN, most_prompt_tokens
from waggle.node.solo.client import SoloClient
from waggle.node.solo.serving import Solo
from waggle.testing.clock import VirtualClock
from waggle.trust.keys import NodeKey

SERVER, ASKER = NodeKey.generate(), NodeKey.generate()
REQUEST = "ab" * 16
TEXT = "I worked it out step by step.\nAnswer: 5"
BEE = Script(name="bee", skill=1.0)
SLOW = replace(BEE, seconds_per_token=0.5)
ASKED = GenerateRequest(question="2 + 3")


class Echo(ScriptedEngine):
    """Writes the pieces that it is given."""

    def __init__(self, pieces: Sequence[str], *, logprob: float | None = -0.5, every: float = 0.0) -> None:
        super().__init__(replace(BEE, answer_marker=None), {}, clock=VirtualClock())
        self.pieces, self.logprob, self.every = pieces, logprob, every

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        self.in_flight += 1
        try:
            for piece in self.pieces:
                await asyncio.sleep(self.every)
                yield StreamedToken(text=piece, logprob=self.logprob)
            *_, last = [token async for token in super().stream(replace(request, max_tokens=1))]
            assert last.generation is not None
            text = "".join(self.pieces)
            made = replace(last.generation, text=text, answer=text.strip(), trace="", logprobs=())
            yield StreamedToken(text="", generation=made)
        finally:
            self.in_flight -= 1


@dataclass
class Pair:
    """A node that serves, and one that asks."""

    engine: ScriptedEngine
    work: NodeWork
    node: NodeId
    key: NodeKey
    transport: MemoryTransport
    client: SoloClient

    async def open(self) -> SignedChannel:
        return SignedChannel(await self.transport.open(self.node, MODEL_PROTOCOL), self.key, REQUEST)

    async def said(self, *messages: Message) -> list[Message]:
        """All that is answered, heartbeats left out."""
        channel = await self.open()
        for message in messages:
            await channel.send(message)
        answers = []
        while (answer := await channel.receive()) is not None:
            answers.append(answer)
        return [answer for answer in answers if not isinstance(answer, StillHere)]

    def generate(self, asked: GenerateRequest = ASKED) -> AsyncGenerator[StreamedToken, None]:
        return self.client.generate(self.node, please(asked))

    async def text(self, asked: GenerateRequest = ASKED) -> str:
        return "".join([token.text async for token in self.generate(asked)])


def please(asked: GenerateRequest = ASKED, *, model: str = "bee", seconds: float = 60.0) -> PleaseGenerate:
    return PleaseGenerate(request=REQUEST, model=model, asked=asked, seconds=seconds)


async def linked() -> tuple[MemoryTransport, MemoryTransport]:
    """The transports of a node that is asked and of one that asks."""
    network = MemoryNetwork(0)
    serving, asking = network.join(SERVER.node_id), network.join(ASKER.node_id)
    await asking.connect(await serving.addresses())
    return serving, asking


@asynccontextmanager
async def pair(engine: ScriptedEngine | Script = BEE, *, capacity: int = 2, queue: int = 2) -> AsyncIterator[Pair]:
    if isinstance(engine, Script):
        engine = ScriptedEngine(engine, {"2 + 3": "5"}, clock=VirtualClock())
    serving, asking = await linked()
    work = NodeWork({"bee": engine}, Admission(capacity=capacity, queue=queue, queue_per_asker=queue))
    await Solo(SERVER, work).serve(serving)
    yield Pair(engine, work, SERVER.node_id, ASKER, asking, SoloClient(ASKER, asking.open))
    assert (engine.in_flight, work.load.running, work.load.waiting) == (0, 0, 0)
    await serving.close()
    await asking.close()


@in_virtual_time
async def test_a_frame_carries_all_that_was_written_since_the_last_one() -> None:
    async with pair(BEE) as two:
        fast = await two.said(please())
    async with pair(SLOW) as two:
        slow = await two.said(please())
    assert [type(message) for message in fast] == [Wrote, Generated]
    assert [type(message) for message in slow] == [Wrote] * 9 + [Generated]
    for messages in (fast, slow):
        entries = [entry for message in messages if isinstance(message, Wrote) for entry in message.tokens]
        assert "".join(text for text, _ in entries) == TEXT
        assert all(logprob is not None for _, logprob in entries)


@in_virtual_time
async def test_a_silent_engine_is_known_to_be_alive() -> None:
    async with pair(replace(BEE, seconds_per_call=30.0)) as two:
        assert await two.text() == TEXT


@in_virtual_time
async def test_the_place_is_free_before_the_last_word_is_out() -> None:
    async with pair(capacity=1, queue=0) as two:
        for _ in range(5):
            async for token in two.generate():
                if token.generation is not None:
                    assert two.work.load.running == 0
                    break


@in_virtual_time
async def test_a_full_node_says_so_at_once_and_when_to_come_again() -> None:
    async with pair(SLOW, capacity=1, queue=0) as two:
        first = asyncio.create_task(two.text())
        await asyncio.sleep(1.0)
        with pytest.raises(PeerBusy, match="no room now") as caught:
            await two.text()
        assert caught.value.retry_after is not None
        with pytest.raises(PeerBusy):
            await two.client.embed(two.node, "bee", ["a"], 5.0, REQUEST)
        assert await first == TEXT


@in_virtual_time
async def test_whoever_leaves_stops_the_engine_and_leaves_the_queue() -> None:
    async with pair(SLOW, capacity=1) as two:
        async with aclosing(two.generate()) as tokens:
            await anext(tokens)
            waiting = asyncio.create_task(two.text())
            await asyncio.sleep(0.1)
            assert (two.work.load.running, two.work.load.waiting) == (1, 1)
            waiting.cancel()
            await asyncio.sleep(0.1)
            assert (two.work.load.running, two.work.load.waiting) == (1, 0)
        await asyncio.sleep(0.1)
        assert (two.engine.in_flight, two.work.load.running) == (0, 0)


@in_virtual_time
async def test_an_engine_beyond_its_time_is_stopped() -> None:
    async with pair(replace(BEE, conduct=Hanger())) as two:
        assert await two.said(please(seconds=3.0)) == [CannotGenerate(failure=Failure(Cause.LATE, "no answer in time"))]


@in_virtual_time
async def test_of_a_fault_in_the_engine_a_stranger_hears_nothing() -> None:
    class Faulty(Echo):
        async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
            yield StreamedToken(text="so")
            raise ValueError("/home/me/secret")

        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            raise ValueError("/home/me/secret")

    async with pair(Faulty([])) as two:
        said = await two.said(please())
        assert said == [
            Wrote(tokens=(("so", None),)),
            CannotGenerate(failure=Failure(Cause.CRASHED, "a fault in the node")),
        ]
        asked = PleaseEmbed(request=REQUEST, model="bee", texts=("a",), seconds=5.0)
        assert await two.said(asked) == [CannotGenerate(failure=Failure(Cause.CRASHED, "a fault in the node"))]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["bee " * 3 * MAX_PIECE], ""),
        (["b" * 1_000] * 263, "more than 262144 characters"),
        (["b" * 1_000] * 262, ""),
        (["so", "\ud800"], "cannot be sent"),
        ([""] * 200, ""),
    ],
    ids=["one long token", "too long", "just short enough", "no text", "empty tokens"],
)
@in_virtual_time
async def test_long_and_odd_texts_are_sent_whole_or_not_at_all(pieces: list[str], expected: str) -> None:
    async with pair(Echo(pieces)) as two:
        if expected:
            with pytest.raises((EngineRefused, EngineUnavailable), match=expected):
                await two.text()
        else:
            assert await two.text() == "".join(pieces)
    assert MAX_WRITTEN == 262_144


@pytest.mark.parametrize("logprob", [float("nan"), float("-inf"), 3.0, None])
@in_virtual_time
async def test_odd_log_probabilities_do_not_break_the_stream(logprob: float | None) -> None:
    async with pair(Echo(["a", "b"], logprob=logprob)) as two:
        tokens = [token async for token in two.generate()]
        assert "".join(token.text for token in tokens) == "ab"
        assert all(token.logprob is None or token.logprob <= 0 for token in tokens)


class Stuck:
    """A stream whose other side asks once and then neither reads nor leaves."""

    def __init__(self, key: NodeKey) -> None:
        self.peer = key.node_id
        self._frames = [seal(key, please(), round_id=REQUEST, seq=0)]

    async def receive(self) -> bytes | None:
        if not self._frames:
            await asyncio.sleep(10_000.0)
        return self._frames.pop()

    async def send(self, frame: bytes) -> None:
        await asyncio.sleep(10_000.0)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("engine", [Echo(["x"] * 5_000), Echo(["x"] * 3, every=1.0)], ids=["fast", "slow"])
@in_virtual_time
async def test_a_client_that_reads_nothing_is_dropped_and_its_engine_stopped(engine: Echo) -> None:
    work = NodeWork({"bee": engine}, Admission(capacity=1, queue=0, queue_per_asker=0))
    async with asyncio.timeout(25.0):
        await Solo(NodeKey.generate(), work)._answer(Stuck(NodeKey.generate()))
    assert (engine.in_flight, work.load.running) == (0, 0)


@pytest.mark.parametrize(
    "first",
    [
        PleaseReveal(),
        StillHere(),
        replace(please(), request="cd" * 16),
        CannotGenerate(failure=Failure(Cause.UNAVAILABLE, "no")),
    ],
    ids=lambda message: type(message).__name__,
)
@in_virtual_time
async def test_a_wrong_first_message_ends_the_stream(first: Message) -> None:
    async with pair() as two:
        assert await two.said(first) == []
        assert two.engine.calls == 0


@in_virtual_time
async def test_a_second_message_ends_the_conversation() -> None:
    async with pair(SLOW) as two:
        said = await two.said(please(), please())
        assert not any(isinstance(message, Generated) for message in said)


@in_virtual_time
async def test_whoever_says_nothing_is_not_waited_for() -> None:
    async with pair() as two:
        channel = await two.open()
        async with asyncio.timeout(15.0):
            assert await channel.receive() is None


@in_virtual_time
async def test_a_model_that_is_not_there_may_be_elsewhere() -> None:
    async with pair() as two:
        [said] = await two.said(please(model="wasp"))
        assert said == CannotGenerate(failure=Failure(Cause.UNAVAILABLE, "this node has no model 'wasp'"))
        assert "".join([token.text async for token in two.client.generate(two.node, please(model=""))]) == TEXT


@in_virtual_time
async def test_a_refused_request_is_said_to_be_at_fault() -> None:
    async with pair() as two:
        with pytest.raises(EngineRefused, match="a node says: bee calls no such tool"):
            await two.text(replace(ASKED, tool_choice="required"))


@in_virtual_time
async def test_a_strangers_reason_is_short_and_plain() -> None:
    serving, asking = await linked()

    async def refuse(stream: Stream) -> None:
        channel = SignedChannel(stream, SERVER, None)
        await channel.receive()
        await channel.send(CannotGenerate(failure=Failure(Cause.UNAVAILABLE, "no\x1b[31m\n" + "x" * 4_000)))

    await serving.serve_streams(MODEL_PROTOCOL, refuse)
    with pytest.raises(WaggleError) as caught:
        await anext(SoloClient(ASKER, asking.open).generate(SERVER.node_id, please()))
    assert str(caught.value).startswith("a node says: no[31mxxx")
    assert len(str(caught.value)) < 250


@in_virtual_time
async def test_large_vectors_travel_in_several_frames() -> None:
    class Wide(Echo):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            return [[1.0] + [0.0] * 4_095 for _ in texts]

    async with pair(Wide([])) as two:
        texts = tuple(f"text {number}" for number in range(20))
        said = await two.said(PleaseEmbed(request=REQUEST, model="bee", texts=texts, seconds=9.0))
        assert [len(message.vectors) for message in said if isinstance(message, Embedded)] == [8, 8, 4]
        vectors = await two.client.embed(two.node, "bee", texts, 9.0, REQUEST)
        assert [len(vector) for vector in vectors] == [4_096] * 20


@in_virtual_time
async def test_vectors_that_no_message_holds_are_a_refusal() -> None:
    class Huge(Echo):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            return [[1.0] + [0.0] * 20_000 for _ in texts]

    async with pair(Huge([])) as two:
        with pytest.raises(EngineUnavailable, match="cannot be sent"):
            await two.client.embed(two.node, "bee", ["a"], 9.0, REQUEST)


@in_virtual_time
async def test_texts_beyond_a_message_are_the_callers_fault() -> None:
    async with pair() as two:
        with pytest.raises(UsageError, match="65536 characters"):
            await two.client.embed(two.node, "bee", ["x" * 70_000], 9.0, REQUEST)
        with pytest.raises(UsageError, match="cannot be asked"):
            await two.text(GenerateRequest(question="\ud800"))


@in_virtual_time
async def test_a_node_learns_its_speed_from_what_it_wrote() -> None:
    async with pair(SLOW) as two:
        await two.text()
        assert two.work.speed("bee") == pytest.approx((3 + 9) / 4.5, rel=0.01)
        assert two.work.answered == 1


@in_virtual_time
async def test_a_broken_link_and_a_broken_rule_are_told_apart() -> None:
    async with pair(SLOW) as two:
        tokens = two.generate()
        await anext(tokens)
        await two.transport.disconnect(two.node)
        with pytest.raises(PeerUnreachable):
            await anext(tokens)
        await asyncio.sleep(0.1)
    serving, asking = await linked()

    async def babble(stream: Stream) -> None:
        await stream.receive()
        await stream.send(b"no envelope")

    await serving.serve_streams(MODEL_PROTOCOL, babble)
    with pytest.raises(RemoteProtocolError):
        await anext(SoloClient(ASKER, asking.open).generate(SERVER.node_id, please()))


class Swarmlike(Echo):
    """Behind it stand many calls, which took more tokens than the text has."""

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        async for token in super().stream(request):
            made = token.generation
            big = replace(made, prompt_tokens=10**6, completion_tokens=10**5) if made is not None else None
            yield replace(token, generation=big)


@in_virtual_time
async def test_a_peer_is_told_no_more_tokens_than_it_believes_of_one_model() -> None:
    asked = replace(ASKED, max_tokens=8)
    async with pair(Swarmlike(["4", "2"])) as two:
        said = [token async for token in two.generate(asked)]
        made = said[-1].generation
        assert made is not None
        assert (made.text, made.completion_tokens, made.prompt_tokens) == ("42", 8, most_prompt_tokens(asked))


@in_virtual_time
async def test_what_a_peer_had_written_before_it_was_left_is_told() -> None:
    async with pair(SLOW) as two:
        with counting_waste() as wasted:
            async with aclosing(two.generate()) as tokens:
                async for _ in tokens:
                    break
        assert (wasted.prompt_tokens, wasted.tokens) == (0, 1)
        await asyncio.sleep(1.0)
