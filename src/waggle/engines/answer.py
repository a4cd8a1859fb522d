"""What every engine does to a completion: cut it at stop strings, find the answer in it, say how sure it was.

Pure functions of text and log-probabilities, so that one completion is read in the same way whichever engine
wrote it. Knows nothing of tokenizers, servers or rounds. Invariant: the pieces that `StopCutter` lets through
add up to the text before the first stop string, however the text was cut into pieces.
"""

import math
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from waggle.core.engine_values import Finish, GenerateRequest, Generation, StreamedToken


def split_answer(text: str, marker: str | None) -> tuple[str, str]:
    """Split a completion into what leads up to the answer and the answer itself.

    Args:
        text: the whole completion.
        marker: what the engine writes before its answer; None where it has no such habit.

    Returns:
        (trace, answer). The answer is what follows the *last* marker, without the spaces around it; all of the
        text where `marker` is None; "" where the marker was never written.
        `split_answer("6 x 7. Answer: 42", "Answer:")` is `("6 x 7. ", "42")`.
    """
    if marker is None:
        return "", text.strip()
    trace, found, answer = text.rpartition(marker)
    return (trace, answer.strip()) if found else (text, "")


def answer_start(pieces: Sequence[str], marker: str | None) -> int:
    """Index of the first piece that holds some of the answer; `len(pieces)` where there is no answer.

    Needed to know which log-probabilities belong to the answer: `answer_start(["So", " Answer:", " 42"], "Answer:")`
    is 2.
    """
    text = "".join(pieces)
    answer = split_answer(text, marker)[1]
    if not answer:
        return len(pieces)
    begin = len(text.rstrip()) - len(answer)
    end = 0
    for index, piece in enumerate(pieces):
        end += len(piece)
        if end > begin:
            return index
    return len(pieces)


def self_confidence(logprobs: Sequence[float]) -> float | None:
    """Geometric mean probability of the answer's own tokens.

    Args:
        logprobs: natural log-probabilities, one for each token of the answer. A value above 0 by rounding counts as 0.

    Returns:
        A number in [0, 1], or None where there is no token or a value is not a number.
        Two tokens of probability 0.25 and 1 give exp((ln 0.25 + ln 1) / 2) = 0.5.
    """
    if not logprobs or any(math.isnan(logprob) for logprob in logprobs):
        return None
    mean = sum(min(logprob, 0.0) for logprob in logprobs) / len(logprobs)
    return math.exp(mean)


def cut_at_stop(text: str, stops: Sequence[str]) -> str | None:
    """The text before the first stop string, or None where none occurs; empty stop strings are ignored.

    The first is the one that is complete first, as when the text is written from left to right: with "ab" and "b",
    "xab" is cut to "x" (both are complete at once, so the longer one counts), with "bcd" and "c", "abcd" to "ab".
    """
    found = [(text.find(stop), len(stop)) for stop in stops if stop]
    ends = [(place + length, place) for place, length in found if place >= 0]
    return text[: min(ends)[1]] if ends else None


class StopCutter:
    """Passes streamed text on up to the first stop string.

    A stop string may arrive spread over several pieces, so an end that may be the beginning of one is held back until
    what follows tells. With stops ("END",), feeding "aE", "N", "x" gives out "a", "", "ENx".
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Cut at the earliest of `stops`."""
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """Take the next piece of text and return what may be shown now; nothing once a stop string was seen."""
        if self.stopped:
            return ""
        self._held += piece
        before = cut_at_stop(self._held, self._stops)
        if before is not None:
            self.stopped, self._held = True, ""
            return before
        shown = self._held[: len(self._held) - self._doubtful()]
        self._held = self._held[len(shown) :]
        return shown

    def rest(self) -> str:
        """What was held back and, as the text has ended, begins no stop string after all."""
        held, self._held = self._held, ""
        return held

    def _doubtful(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        beginnings = (stop[:length] for stop in self._stops for length in range(1, len(stop)))
        return max((len(beginning) for beginning in beginnings if self._held.endswith(beginning)), default=0)


async def last_generation(stream: AsyncGenerator[StreamedToken, None]) -> Generation:
    """Read a stream to its end and give the generation that it ends with; the stream is closed whatever happens."""
    async with aclosing(stream) as tokens:
        async for token in tokens:
            if token.generation is not None:
                return token.generation
    raise AssertionError("a stream ended without its generation")


# --- words in place of tokens, for engines without a tokenizer --------------------------------------------------------


def tokens_of(text: str) -> list[str]:
    """Words with the spaces before them; they add up to the text."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def count_tokens(text: str) -> int:
    """How many tokens a text is; a prompt has at least one."""
    return max(1, len(tokens_of(text)))


def bounded(text: str, request: GenerateRequest) -> tuple[list[str], Finish]:
    """As much of a text as was asked for, in tokens, and why it ends there."""
    pieces = tokens_of(text)
    kept = pieces[: max(0, request.max_tokens)]
    before = cut_at_stop("".join(kept), request.stop)
    if before is not None:
        return tokens_of(before), Finish.STOP
    return kept, Finish.STOP if len(kept) == len(pieces) else Finish.LENGTH
