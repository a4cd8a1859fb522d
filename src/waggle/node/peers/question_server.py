"""Serves questions from outside: a client opens a stream, and hears the plan, every event and the outcome."""

import asyncio
import logging
from contextlib import suppress

from waggle.core.carried import working_for
from waggle.core.errors import PeerBusy, PeerUnreachable, RemoteProtocolError
from waggle.core.failures import failure_of
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import ASK_PROTOCOL, CannotAnswer, PleaseAnswer
from waggle.mesh.transport import Stream, Transport
from waggle.node.observing.logs import facts, logged_request
from waggle.node.peers.heartbeat import keep_saying_still_here
from waggle.node.peers.questions import Question, Questions
from waggle.trust.keys import NodeKey

log = logging.getLogger(__name__)

QUESTION_SECONDS = 10.0


class QuestionServer:
    """Answers whoever asks; the same question asked twice by one asker is one round."""

    def __init__(self, key: NodeKey, questions: Questions) -> None:
        self._key = key
        self._questions = questions

    async def serve(self, transport: Transport) -> None:
        """Answer from now on."""
        await transport.serve_streams(ASK_PROTOCOL, self._answer)

    async def _answer(self, stream: Stream) -> None:
        channel = SignedChannel(stream, self._key, None)
        with suppress(PeerUnreachable, RemoteProtocolError, TimeoutError):
            async with asyncio.timeout(QUESTION_SECONDS):
                asked = await channel.expect(PleaseAnswer)
            if asked.request != channel.round_id:
                raise RemoteProtocolError(f"{channel.peer}: the request is not the one that its envelope names")
            with logged_request(asked.request), working_for(channel.peer, asked.request):
                await self._follow(channel, asked)

    async def _follow(self, channel: SignedChannel, asked: PleaseAnswer) -> None:
        log.info("question from outside", extra=facts(asker=channel.peer))
        try:
            question = self._questions.ask(asked, channel.peer)
        except PeerBusy as error:
            log.info("question turned away: full", extra=facts(asker=channel.peer))
            await channel.send(CannotAnswer(failure=failure_of(error)))
        except RemoteProtocolError as error:
            log.info("question turned away: against the rules", extra=facts(asker=channel.peer))
            await channel.send(CannotAnswer(failure=failure_of(error)))
        else:
            await _tell(channel, question)


async def _tell(channel: SignedChannel, question: Question) -> None:
    """Tell all there is to tell, unless the client goes away first."""
    telling = asyncio.create_task(_tell_all(channel, question))
    others = [asyncio.create_task(_until_gone(channel)), asyncio.create_task(keep_saying_still_here(channel))]
    try:
        await asyncio.wait([telling, *others[:1]], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (telling, *others):
            task.cancel()
        await asyncio.gather(telling, *others, return_exceptions=True)


async def _tell_all(channel: SignedChannel, question: Question) -> None:
    async for message in question.follow():
        await channel.send(message)


async def _until_gone(channel: SignedChannel) -> None:
    """A client has nothing more to say than its question: anything but silence ends the conversation."""
    with suppress(PeerUnreachable, RemoteProtocolError):
        await channel.receive()
