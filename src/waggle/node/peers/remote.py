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

from waggle.core.asking import size_of, texts_of
from waggle.core.errors import PeerUnreachable, RemoteProtocolError, WaggleError
from waggle.core.failures import error_of
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_values import Ballot, Plan, Promise, Proposal, Reveal
from waggle.mesh.channel import SignedChannel
from waggle.mesh.limits import MAX_RELAYED_BYTES
from waggle.mesh.messages import (
    CannotJudge,
    CannotPropose,
    CastBallot,
    Committed,
    Message,
    PleaseJudge,
    PleasePropose,
    PleaseReveal,
    PleaseStop,
    Revealed,
)
from waggle.mesh.transport import Stream
from waggle.node.peers.heartbeat import SILENT_SECONDS, Hearing
from waggle.strategies.promises import check_kept
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

    def __init__(self, peer: NodeId, plan: Plan, key: NodeKey, open_stream: OpenStream) -> None:
        self._peer = peer
        self._plan = plan
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

    async def propose(self, ask: AskProposal) -> Proposal | Promise:
        """Ask for an answer and wait for the commitment to it; for the answer itself where the plan wants no more."""
        promise = await self._bound(ask)
        if self._plan.commit_reveal:
            return promise
        reveal = await self.reveal()
        check_kept(promise.digest, self._peer, reveal.proposal.answer, reveal.nonce)
        return reveal.proposal

    async def _bound(self, ask: AskProposal) -> Promise:
        self._promise = self._expect()
        self._proposing = PleasePropose(ask=ask, seconds=self._plan.budget.seconds)
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
        ballot = self._ballots[ask.pair.first, ask.pair.second] = self._expect()
        self._judging[ask.pair.first, ask.pair.second] = ask
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
            pairs = tuple(ask.pair for ask in some)
            self._send(PleaseJudge(brief=some[0].brief, pairs=pairs, seconds=self._plan.budget.seconds))

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
        """Hand a message to who waits for it. Raises RemoteProtocolError for one that is not due, or another node's."""
        subject = _pair_of(message) or type(message)
        if subject in self._heard:
            raise RemoteProtocolError(f"{self._peer}: an answer that it has given before")
        self._heard.add(subject)
        match message:
            case Committed(promise=promise) if self._promise is not None:
                self._is_bound = True
                _settle(self._promise, promise)
            case CannotPropose(failure=failure) if self._promise is not None:
                _refuse(self._promise, error_of(failure))
            case Revealed(reveal=reveal) if self._reveal is not None and reveal.proposal.node == self._peer:
                self._is_bound = False
                _settle(self._reveal, reveal)
            case CastBallot(ballot=ballot) if subject in self._ballots and ballot.judge == self._peer:
                _settle(self._ballots[ballot.first, ballot.second], ballot)
            case CannotJudge(failure=failure) if subject in self._ballots:
                _refuse(self._ballots[message.first, message.second], error_of(failure))
            case _:
                raise RemoteProtocolError(f"{self._peer}: a message that nobody asked for")


def _pair_of(message: Message) -> tuple[int, int] | None:
    match message:
        case CastBallot(ballot=ballot):
            return ballot.first, ballot.second
        case CannotJudge(first=first, second=second):
            return first, second
        case _:
            return None


def _batches(asks: Sequence[AskBallot]) -> Iterator[list[AskBallot]]:
    """Those of one brief in parts that fit a message, by number and by bytes; one pair is one at least.

    Every part repeats the brief. Where that is long, a part has as many bytes of pairs again: so the whole is at most
    doubled.
    """
    batch: list[AskBallot] = []
    size, room = 0, 0
    for ask in asks:
        more = size_of(ask.pair.first_text) + size_of(ask.pair.second_text) + PAIR_BYTES
        fits = len(batch) < MAX_PAIRS_PER_MESSAGE and size + more <= room
        if batch and not (fits and ask.brief == batch[0].brief):
            yield batch
            batch = []
        if not batch:
            repeated = sum(map(size_of, texts_of(ask.brief.question, ask.brief.turns)))
            size, room = 0, max(MAX_BATCH_BYTES - repeated, repeated)
        batch.append(ask)
        size += more
    if batch:
        yield batch


def _settle(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():  # else nobody waits for it any longer
        future.set_result(value)


def _refuse(future: "asyncio.Future[T]", error: WaggleError) -> None:
    if not future.done():
        future.set_exception(error)
