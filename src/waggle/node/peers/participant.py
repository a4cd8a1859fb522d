"""A node's side of other nodes' rounds: serves the round protocol with the node's own work.

One stream is one round. It is asked to propose, to stop and to reveal once each, commits before it reveals, and casts
every ballot as soon as it is made. The stream's end stops all work for that round; a full node says so at once. Where
the link breaks, the work goes on for a little: a coordinator may have died, and the next one asks for the same, which
is then not begun again.
"""

import asyncio
import logging
import secrets
from contextlib import suppress

from waggle.core.carried import working_for
from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.core.failures import failure_of
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, Pair
from waggle.core.round_values import Reveal
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import (
    ROUND_PROTOCOL,
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
from waggle.mesh.transport import Stream, Transport
from waggle.node.observing.logs import Fact, facts, logged_request
from waggle.node.peers.heartbeat import keep_saying_still_here
from waggle.node.rounds.work import NodeWork
from waggle.strategies.limits import check_proposal
from waggle.strategies.promises import promise_of
from waggle.trust.keys import NodeKey

log = logging.getLogger(__name__)

FIRST_MESSAGE_SECONDS = 10.0
LOST_SECONDS = 5.0  # that work outlives a broken link
SPARE_SECONDS = 10.0  # that a coordinator may take beyond the time it stated
MAX_SECONDS = 3_600.0
MAX_PAIRS = 4_096  # of one round: 64 candidates each against each


class Participant:
    """Takes part in the rounds of whoever asks."""

    def __init__(self, key: NodeKey, work: NodeWork) -> None:
        self._key = key
        self._work = work

    async def serve(self, transport: Transport) -> None:
        """Take part from now on."""
        await transport.serve_streams(ROUND_PROTOCOL, self._take_part)

    async def _take_part(self, stream: Stream) -> None:
        session = _Session(SignedChannel(stream, self._key, None), self._key.node_id, self._work)
        with suppress(PeerUnreachable, RemoteProtocolError, TimeoutError):
            await session.run()


class _Session:
    """One round, as seen by one who takes part."""

    def __init__(self, channel: SignedChannel, node: NodeId, work: NodeWork) -> None:
        self._channel = channel
        self._node = node
        self._work = work
        self._proposing: asyncio.Task[None] | None = None
        self._made: Reveal | None = None
        self._heard = set[type[Message]]()
        self._pairs = 0

    async def run(self) -> None:
        """Do as the coordinator asks until it is done. All work ends with this call."""
        tasks = set[asyncio.Task[None]]()
        beating = asyncio.create_task(keep_saying_still_here(self._channel))
        try:
            patience = FIRST_MESSAGE_SECONDS
            while True:
                async with asyncio.timeout(patience):
                    message = await self._channel.receive()
                if message is None:
                    return
                errand = self._channel.round_id
                with logged_request(errand), working_for(self._channel.peer, errand):  # which the tasks take over
                    begun = self._begin(message)
                self._heard.add(type(message))
                for work in begun:
                    tasks.add(work)
                    work.add_done_callback(tasks.discard)
                if isinstance(message, PleasePropose | PleaseJudge):
                    patience = min(message.seconds, MAX_SECONDS) + SPARE_SECONDS
        except PeerUnreachable:
            if tasks:
                await asyncio.wait(tasks, timeout=LOST_SECONDS)
            raise
        finally:
            for task in (beating, *tasks):
                task.cancel()
            await asyncio.gather(beating, *tasks, return_exceptions=True)

    def _begin(self, message: Message) -> list[asyncio.Task[None]]:
        """The tasks that a message asks for. Raises RemoteProtocolError for one that is not due."""
        match message:
            case PleasePropose() | PleaseStop() | PleaseReveal() if type(message) in self._heard:
                raise RemoteProtocolError(f"{self._channel.peer}: a second time what is due once")
            case PleasePropose() if message.ask.node == self._node:
                self._proposing = asyncio.create_task(self._propose(message))
                return [self._proposing]
            case PleaseStop():
                if self._proposing is not None:
                    self._proposing.cancel()
                return []
            case PleaseReveal() if self._made is not None:
                return [asyncio.create_task(self._send(Revealed(reveal=self._made)))]
            case PleaseJudge() if self._pairs + len(message.pairs) <= MAX_PAIRS:
                self._pairs += len(message.pairs)
                return [asyncio.create_task(self._judge(message, pair)) for pair in message.pairs]
            case _:
                raise RemoteProtocolError(f"{self._channel.peer}: a message that is not due now")

    async def _propose(self, message: PleasePropose) -> None:
        try:
            async with asyncio.timeout(min(message.seconds, MAX_SECONDS)):
                proposal = await self._work.propose(self._channel.peer, self._channel.round_id, message.ask)
            check_proposal(proposal)
            self._made = Reveal(proposal=proposal, nonce=secrets.token_hex(16))
            reply: Message = Committed(promise=promise_of(self._made))
            self._log("proposed", tokens=proposal.tokens, seconds=proposal.seconds)
        except Exception as error:  # noqa: BLE001  # an engine's crash must reach the coordinator as a failure
            self._log("could not propose", kind=type(error).__name__)
            reply = CannotPropose(failure=failure_of(error))
        await self._send(reply)

    async def _judge(self, message: PleaseJudge, pair: Pair) -> None:
        ask = AskBallot(judge=self._node, brief=message.brief, pair=pair)
        try:
            async with asyncio.timeout(min(message.seconds, MAX_SECONDS)):
                ballot = await self._work.judge(self._channel.peer, self._channel.round_id, ask)
            reply: Message = CastBallot(ballot=ballot)
            log.debug("judged", extra=facts(asker=self._channel.peer, tokens=ballot.tokens, seconds=ballot.seconds))
        except Exception as error:  # noqa: BLE001  # as above
            log.debug("could not judge", extra=facts(asker=self._channel.peer, kind=type(error).__name__))
            reply = CannotJudge(first=pair.first, second=pair.second, failure=failure_of(error))
        await self._send(reply)

    def _log(self, event: str, **more: Fact) -> None:
        log.info(event, extra=facts(asker=self._channel.peer, **more))

    async def _send(self, message: Message) -> None:
        with suppress(PeerUnreachable):  # whoever asked has gone; the session hears of it where it receives
            await self._channel.send(message)
