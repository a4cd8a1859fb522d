"""A peer's part in a round, seen from the coordinator: a `Worker` behind one stream.

The stream is opened with the first ask and lives as long as the round. What is asked goes through a queue, so that an
ask that nobody waits for any longer does not cut a message short. Whatever the peer sends that is not due ends the
stream, and with it all that is still awaited from this peer. A link that breaks does not: what is awaited is asked for
again, once, on another stream, where the peer goes on with the work of that request. Only between its commitment and
the reveal this ends it too, because it would commit itself anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from waggle.core.errors import EngineUnavailable, PeerBusy, PeerUnreachable, RemoteProtocolError, WaggleError
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_values import Ballot, Plan, Proposal
from waggle.mesh.channel import SignedChannel
from waggle.mesh.limits import MAX_RELAYED_BYTES
from waggle.mesh.messages import (
    CannotJudge,
    CannotPropose,
    CastBallot,
    Committed,
    Message,
    Pair,
    PleaseJudge,
    PleasePropose,
    PleaseReveal,
    PleaseStop,
    Revealed,
)
from waggle.mesh.transport import Stream
from waggle.node.peers.heartbeat import SILENT_SECONDS, Hearing
from waggle.node.rounds.workers import Promise, Reveal
from waggle.trust.keys import NodeKey

T = TypeVar("T")
MAX_PAIRS_PER_MESSAGE = 64
MAX_BATCH_BYTES = MAX_RELAYED_BYTES * 3 // 4
"""Texts in one message of several pairs, so that the whole fits a relayed link."""
PAIR_BYTES = 96  # of a pair besides its texts
CLOSE_SECONDS = 1.0
AGAIN_SECONDS = 1.0  # to open another stream: a peer that died takes longer to say so, and a standby is better then

OpenStream = Callable[[NodeId], Awaitable[Stream]]
"""Opens a stream of the round protocol to a peer. Raises MeshError."""


class RemoteWorker:
    """One peer in one round."""

    def __init__(self, peer: NodeId, plan: Plan, request: str, key: NodeKey, open_stream: OpenStream) -> None:
        self._peer = peer
        self._plan = plan
        self._request = request
        self._key = key
        self._open_stream = open_stream
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._talk: asyncio.Task[None] | None = None
        self._promise: asyncio.Future[Promise] | None = None
        self._reveal: asyncio.Future[Reveal] | None = None
        self._ballots: dict[tuple[int, int], asyncio.Future[Ballot]] = {}
        self._proposing: PleasePropose | None = None
        self._judging: dict[tuple[int, int], AskBallot] = {}
        self._hearing: Hearing | None = None
        self._heard = set[tuple[int, int] | type[Message]]()
        self._is_bound = False  # it has committed itself and not revealed
        self._unsent: list[AskBallot] = []
        self._over: WaggleError | None = None

    async def propose(self, ask: AskProposal) -> Promise:
        """Ask for an answer and wait for the commitment to it."""
        self._promise = self._expect()
        self._proposing = PleasePropose(
            request=self._request,
            question=ask.question,
            max_tokens=ask.max_tokens,
            sampling=ask.sampling,
            seconds=self._plan.budget.seconds,
            model=ask.model,
            turns=ask.turns,
        )
        self._send(self._proposing)
        try:
            return await self._promise
        except asyncio.CancelledError:
            if self._over is None:
                self._send(PleaseStop())
            raise

    async def reveal(self) -> Reveal:
        """Ask for the answer that was committed to."""
        self._reveal = self._expect()
        self._send(PleaseReveal())
        return await self._reveal

    async def judge(self, ask: AskBallot) -> Ballot:
        """Ask for a ballot; asks made in the same moment travel in one message."""
        ballot = self._ballots[ask.first, ask.second] = self._expect()
        self._judging[ask.first, ask.second] = ask
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send_pairs)
        self._unsent.append(ask)
        return await ballot

    async def close(self) -> None:
        """Leave the round; the peer stops working for it."""
        self._end(PeerUnreachable("the round is over"))
        if self._talk is not None:
            self._talk.cancel()
            with suppress(asyncio.CancelledError):
                await self._talk

    def _expect(self) -> "asyncio.Future[T]":
        """Something the peer is to send; it fails at once when the conversation is over."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._over is not None:
            future.set_exception(self._over)
        return future

    def _send(self, message: Message) -> None:
        self._outbox.put_nowait(message)
        if self._talk is None and self._over is None:
            self._talk = asyncio.create_task(self._converse())

    def _send_pairs(self) -> None:
        asks, self._unsent = self._unsent, []
        for some in _batches(asks):
            self._send(
                PleaseJudge(
                    request=self._request,
                    question=some[0].question,
                    max_tokens=some[0].max_tokens,
                    pairs=tuple(_pair(ask) for ask in some),
                    seconds=self._plan.budget.seconds,
                    model=some[0].model,
                    turns=some[0].turns,
                )
            )

    async def _converse(self) -> None:
        """Talk until either side is done; once more where the link breaks."""
        try:
            try:
                await self._talk_once()
            except PeerUnreachable:
                if not self._ask_again():
                    raise
                await self._talk_once(AGAIN_SECONDS)
            self._end(PeerUnreachable("the peer has left the round"))
        except (WaggleError, TimeoutError) as error:
            self._end(error if isinstance(error, WaggleError) else PeerUnreachable("the link broke and stays so"))

    async def _talk_once(self, open_seconds: float | None = None) -> None:
        """Open a stream as soon as there is something to say, then send and receive."""
        first = await self._outbox.get()
        stream = await asyncio.wait_for(self._open_stream(self._peer), open_seconds)
        channel = SignedChannel(stream, self._key, self._plan.round_id)
        self._hearing, self._heard = Hearing(channel), set()
        sending = asyncio.create_task(self._send_all(channel, first))
        try:
            while (message := await self._hearing.next()) is not None:
                self._hear(message)
        finally:
            sending.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await channel.close()

    def _ask_again(self) -> bool:
        """Ask for all that is awaited; False where the peer was not there, fell silent, or has to reveal."""
        silent = self._hearing is None or asyncio.get_running_loop().time() - self._hearing.last > SILENT_SECONDS / 2
        if silent or self._is_bound:
            return False
        self._outbox = asyncio.Queue()
        if self._proposing is not None and self._promise is not None and not self._promise.done():
            self._send(self._proposing)
        self._unsent = [ask for pair, ask in self._judging.items() if not self._ballots[pair].done()]
        self._send_pairs()
        return True

    async def _send_all(self, channel: SignedChannel, message: Message) -> None:
        try:
            while True:
                await channel.send(message)
                message = await self._outbox.get()
        except PeerUnreachable:
            return  # whoever receives learns of it
        except WaggleError as error:
            self._end(error)
            await channel.close()

    def _end(self, error: WaggleError) -> None:
        """Nothing more will come: all that is awaited fails."""
        if self._over is not None:
            return
        self._over = error
        for future in (self._promise, self._reveal, *self._ballots.values()):
            if future is not None and not future.done():
                future.set_exception(error)

    def _hear(self, message: Message) -> None:
        """Hand a message to who waits for it. Raises RemoteProtocolError for one that is not due."""
        subject = (message.first, message.second) if isinstance(message, CastBallot | CannotJudge) else type(message)
        if subject in self._heard:
            raise RemoteProtocolError(f"{self._peer}: an answer that it has given before")
        self._heard.add(subject)
        match message:
            case Committed() if self._promise is not None:
                self._is_bound = True
                _settle(self._promise, Promise(message.digest, message.tokens))
            case CannotPropose() if self._promise is not None:
                _refuse(self._promise, self._failure(message))
            case Revealed() if self._reveal is not None:
                self._is_bound = False
                _settle(self._reveal, Reveal(self._proposal(message), message.nonce))
            case CastBallot() if (message.first, message.second) in self._ballots:
                _settle(self._ballots[message.first, message.second], self._ballot(message))
            case CannotJudge() if (message.first, message.second) in self._ballots:
                _refuse(self._ballots[message.first, message.second], self._failure(message))
            case _:
                raise RemoteProtocolError(f"{self._peer}: a message that nobody asked for")

    def _failure(self, message: CannotPropose | CannotJudge) -> WaggleError:
        if message.retry_after is not None:
            return PeerBusy(message.reason, message.retry_after)
        return EngineUnavailable(message.reason)

    def _proposal(self, message: Revealed) -> Proposal:
        return Proposal(
            node=self._peer,
            answer=message.answer,
            trace=message.trace,
            self_confidence=message.self_confidence,
            tokens=message.tokens,
            prompt_tokens=message.prompt_tokens,
            seconds=message.seconds,
        )

    def _ballot(self, message: CastBallot) -> Ballot:
        return Ballot(
            judge=self._peer,
            first=message.first,
            second=message.second,
            p=message.p,
            reason=message.reason,
            tokens=message.tokens,
            prompt_tokens=message.prompt_tokens,
            seconds=message.seconds,
        )


def _batches(asks: Sequence[AskBallot]) -> Iterator[list[AskBallot]]:
    """In parts that fit a message, by number and by bytes; one pair is one at least, however long its texts.

    Every part repeats the question. Where that is long, a part has as many bytes of pairs again: so the whole is at
    most doubled.
    """
    repeated = _question_bytes(asks[0]) if asks else 0
    room = max(MAX_BATCH_BYTES - repeated, repeated)
    batch: list[AskBallot] = []
    size = 0
    for ask in asks:
        more = len(ask.first_text.encode()) + len(ask.second_text.encode()) + PAIR_BYTES
        if batch and (len(batch) == MAX_PAIRS_PER_MESSAGE or size + more > room):
            yield batch
            batch, size = [], 0
        batch.append(ask)
        size += more
    if batch:
        yield batch


def _question_bytes(ask: AskBallot) -> int:
    texts = [ask.question]
    for turn in ask.turns:
        texts += [turn.content, *(call.arguments for call in turn.tool_calls)]
    return sum(len(text.encode()) for text in texts)


def _pair(ask: AskBallot) -> Pair:
    return Pair(
        first=ask.first,
        second=ask.second,
        first_text=ask.first_text,
        second_text=ask.second_text,
        method=ask.method,
        seed=ask.seed,
    )


def _settle(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():  # else nobody waits for it any longer
        future.set_result(value)


def _refuse(future: "asyncio.Future[T]", error: WaggleError) -> None:
    if not future.done():
        future.set_exception(error)
