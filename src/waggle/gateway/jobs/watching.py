"""Work as one who waits for it sees it: a sign of life whenever something happens, and when nothing does for long.

At the very beginning nothing is told for a moment, until somebody has proposed an answer. What cannot be done at all
(too long for every model, a budget that pays for nobody, no room anywhere) fails by then, and is a plain error for a
client that has been sent nothing yet.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Event, ProposalReceived
from waggle.gateway.jobs.answering import Answerer, Heard
from waggle.gateway.jobs.values import Answer, Job, Written
from waggle.strategies.machine import Moment

BETWEEN_SIGNS_SECONDS = 0.05
HELD_SECONDS = 0.3
Tell = Callable[[RoundPicture | None], Awaitable[None]]


async def watched(answerer: Answerer, job: Job, request: str, keep_alive_seconds: float, tell: Tell) -> Answer:
    """Have a job done, and tell of it meanwhile.

    Args:
        tell: is given the picture of the round, or None where there is none; who takes long over it misses some.

    Raises:
        ApiError: it could not be done.
    """
    clock = asyncio.get_running_loop().time
    held_until = clock() + min(HELD_SECONDS, keep_alive_seconds)
    changed = asyncio.Event()
    last: Moment | None = None
    proposed = False

    def watch(moment: Moment, event: Event) -> None:
        nonlocal last, proposed
        last = moment
        proposed |= isinstance(event, ProposalReceived) and bool(event.proposal.answer.strip())
        changed.set()

    work = asyncio.create_task(answerer.answer(job, request, watch))
    work.add_done_callback(lambda _: changed.set())
    try:
        while not work.done():
            held = held_until - clock()
            with suppress(TimeoutError):
                async with asyncio.timeout(held if held > 0 else keep_alive_seconds):
                    await changed.wait()
            changed.clear()
            if (proposed or clock() >= held_until) and not work.done():
                await tell(None if last is None else last.picture())
                await asyncio.wait({work}, timeout=BETWEEN_SIGNS_SECONDS)
        return work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def overheard(
    answerer: Answerer, job: Job, request: str, keep_alive_seconds: float, heard: Heard, tell: Tell
) -> Answer:
    """Have one model do a job and pass its text on; `tell` of it, as of no round, where nothing is heard for long.

    Raises:
        ApiError: it could not be done.
    """
    clock = asyncio.get_running_loop().time
    quiet_since = clock()

    async def piece(text: str, tokens: Sequence[Written]) -> None:
        nonlocal quiet_since
        await heard(text, tokens)
        quiet_since = clock()

    work = asyncio.create_task(answerer.answer(job, request, heard=piece))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=quiet_since + keep_alive_seconds - clock())
            if not work.done() and clock() - quiet_since >= keep_alive_seconds:
                await tell(None)
                quiet_since = clock()
        return work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def progress_of(picture: RoundPicture) -> str:
    """How far a round is, in a line that holds nothing but numbers: "proposals 3 of 7, ballots 12 of 40"."""
    made = sum(proposer.proposal is not None for proposer in picture.proposers)
    asked, ballots = max(made, len(picture.plan.proposers)), len(picture.ballots)
    return f"proposals {made} of {asked}, ballots {ballots} of {max(ballots, picture.count.asked)}"


def draft_of(picture: RoundPicture) -> str | None:
    """The answer that leads so far; None where there is none. Only the end of the round says which one wins.

    Before candidates are known the most frequent answer leads, then the strongest of them.
    """
    if picture.candidates:
        return picture.candidates[0].answer
    made = Counter(proposer.proposal.answer for proposer in picture.proposers if proposer.proposal is not None)
    return made.most_common(1)[0][0] if made else None
