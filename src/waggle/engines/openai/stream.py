"""Reading a streamed completion: chunks in, tokens out, at the end the `Generation`. Pure: no I/O, no clock.

Invariants: the tokens' texts add up to the generation's text; there is never text of more tokens than were asked for
and never a stop string in it, whatever the server does; log-probabilities are given only where there is one for each
token; tools are called only where the answer came to its end, and only those that were offered.
"""

from collections.abc import Collection

from waggle.core.engine_values import Finish, Generation, StreamedToken
from waggle.core.errors import EngineRefused, EngineUnavailable
from waggle.engines.answer import StopCutter, answer_start, self_confidence, split_answer
from waggle.engines.openai.calls import CallReader
from waggle.engines.openai.wire import ChoiceLogprobs, Chunk, SwarmNote, TokenLogprob, Usage

LEAST_BELIEVED = 65_536  # tokens of one call that any server is believed; there may be a swarm of many calls behind it
MOST_TIMES = 64  # what is believed beyond that, as a multiple of what was asked
_FINISHES = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
}


class StreamReader:
    """Puts one completion together.

    Stop strings and `max_tokens` are enforced here as well, since a server may ignore them: text is cut, and `done`
    tells that nothing more need be read. Each chunk with text or a piece of a call counts as one token at least.
    """

    def __init__(
        self,
        *,
        prompt: str,
        max_tokens: int,
        stops: tuple[str, ...],
        marker: str | None,
        tools: Collection[str] = (),
        must_call: bool = False,
    ) -> None:
        """Begin with nothing read; `tools` are the names of those that may be called."""
        self.tokens: list[TokenLogprob] = []
        self.text = ""
        self._prompt, self._max_tokens, self._marker = prompt, max_tokens, marker
        self._cutter = StopCutter(stops)
        self._calls = CallReader(tools)
        self._must_call = must_call
        self._chunks = 0
        self._has_begun = False
        self._usage: Usage | None = None
        self._note: SwarmNote | None = None
        self._finish: Finish | None = None

    @property
    def done(self) -> bool:
        """Whether the rest of the stream does not matter."""
        return self._cutter.stopped or self._chunks > self._max_tokens

    def feed(self, chunk: Chunk) -> StreamedToken | None:
        """Take one chunk; returns the text that may be shown because of it."""
        self._has_begun = True
        if bytes(chunk.error) != b"null":
            raise EngineUnavailable("the server reported an error in the middle of its answer: look at its log")
        self._usage = chunk.usage or self._usage
        self._note = chunk.waggle or self._note
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.finish_reason is not None:
            self._finish = _finish_of(choice.finish_reason)
        called = choice.delta.tool_calls or ()
        self._calls.feed(called)
        self._chunks += bool(called) and not choice.delta.content
        return self._take(choice.delta.content or "", choice.logprobs)

    @property
    def used(self) -> tuple[int, int]:
        """Tokens of the prompt and of the completion so far; nothing before the server began to answer."""
        return (self._prompt_tokens(), self._completion_tokens()) if self._has_begun else (0, 0)

    def end(self, seconds: float) -> StreamedToken:
        """The last token: the text held back so far, and the generation."""
        if self._finish is None and not self.done:
            raise EngineUnavailable("the server broke off in the middle of its answer: look at its log")
        if self._note is not None and self._note.abstained:
            raise EngineRefused("the swarm behind this server abstained: it is not sure enough of any answer")
        rest = self._cutter.rest()
        self.text += rest
        return StreamedToken(text=rest, generation=self._generation(seconds))

    def _take(self, content: str, logprobs: ChoiceLogprobs | None) -> StreamedToken | None:
        self._chunks += bool(content)
        if self.done:
            return None
        fresh = (logprobs.content or ()) if logprobs else ()
        self.tokens += fresh
        shown = self._cutter.feed(content)
        self.text += shown
        return StreamedToken(text=shown, logprob=min(fresh[0].logprob, 0.0) if len(fresh) == 1 else None)

    def _generation(self, seconds: float) -> Generation:
        trace, answer = split_answer(self.text, self._marker)
        logprobs = tuple(min(token.logprob, 0.0) for token in self.tokens)
        completion_tokens = self._completion_tokens()
        finish = self._finish_said()
        return Generation(
            text=self.text,
            answer=answer,
            trace=trace,
            prompt_tokens=self._prompt_tokens(),
            completion_tokens=completion_tokens,
            seconds=seconds,
            finish=finish,
            logprobs=logprobs if len(logprobs) == completion_tokens else (),
            self_confidence=self._confidence(logprobs),
            tool_calls=self._calls.calls() if finish is Finish.TOOL_CALLS else (),
        )

    def _finish_said(self) -> Finish:
        """What was called counts at a proper end only: cut off, its arguments are not those that were meant."""
        if self._cutter.stopped:
            return Finish.STOP
        if self.done or self._finish is Finish.LENGTH:
            return Finish.LENGTH
        if self._finish is Finish.TOOL_CALLS and not self._calls:
            raise EngineRefused("the server says that it calls a tool, and calls none: not usable")
        if self._must_call and not self._calls:
            raise EngineRefused("the server called no tool, though it had to: not usable")
        return Finish.TOOL_CALLS if self._calls else Finish.STOP

    def _completion_tokens(self) -> int:
        """The server's count, also where many calls stand behind it; else ours, of what was kept."""
        if self._usage is None:
            return min(max(len(self.tokens), self._chunks), self._max_tokens)
        return min(self._usage.completion_tokens, max(LEAST_BELIEVED, MOST_TIMES * self._max_tokens))

    def _prompt_tokens(self) -> int:
        """The server's count, else a guess: four bytes a token, the usual rate of English text."""
        told = self._usage.prompt_tokens if self._usage else 0
        told = min(told, max(LEAST_BELIEVED, MOST_TIMES * len(self._prompt)))
        return told or max(1, len(self._prompt) // 4)

    def _confidence(self, logprobs: tuple[float, ...]) -> float | None:
        """None unless the tokens spell the text, beyond which there may be a cut-off stop string.

        Where there are no tokens, a swarm behind the server may have said how sure it is.
        """
        if not self.tokens and self._note is not None:
            return self._note.confidence
        pieces = [token.token for token in self.tokens]
        if not "".join(pieces).startswith(self.text):
            return None
        kept = tokens_within(pieces, len(self.text))
        return self_confidence(logprobs[answer_start(pieces[:kept], self._marker) : kept])


def tokens_within(pieces: list[str], length: int) -> int:
    """How many of the pieces it takes to spell the first `length` characters."""
    end = 0
    for index, piece in enumerate(pieces):
        if end >= length:
            return index
        end += len(piece)
    return len(pieces)


def _finish_of(reason: str) -> Finish:
    if reason not in _FINISHES:
        raise EngineRefused("the server ended its answer for a reason other than its end or its length: not usable")
    return _FINISHES[reason]
