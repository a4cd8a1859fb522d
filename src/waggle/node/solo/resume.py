"""Joins what several nodes write to one request into one text, when the first of them did not come to its end.

The rule: what was given out stays given out. Whoever goes on is asked the same thing with the same seed, and its text
is held back while it repeats what was given out already. Where it has repeated all of it, the rest is passed on, and
nobody sees that there was a break. Where it differs on the way, or ends too early, nothing can go on from what was
given out: an empty line marks the break, and behind it stands the new node's text from its beginning. No text is ever
made up to bridge the two. Pure: no I/O, no clock.
"""

from msgspec.structs import replace

from waggle.core.engine_values import Generation, StreamedToken

BREAK = "\n\n"


class Resumption:
    """One text in the making; `begin` before every node that writes at it."""

    def __init__(self) -> None:
        """Nothing written."""
        self.given = ""
        """All that was given out."""
        self.broken = False
        """Whether two texts that differ stand in it."""
        self._entries = 0  # given out
        self._lost = 0  # of those, how many stand before the last break
        self._prefix = ""  # what stands before the text of the node that writes now
        self._heard = ""
        self._repeating = False

    def begin(self) -> None:
        """A node begins to write, the first one or one that goes on."""
        self._heard = ""
        self._repeating = len(self.given) > len(self._prefix)

    def take(self, token: StreamedToken) -> StreamedToken | None:
        """What is to be given out because of a token; None while it only repeats."""
        if token.generation is not None:
            return self._end(token, token.generation)
        if not self._repeating:
            return self._give(token)
        new = self._compare(token.text)
        return self._give(StreamedToken(text=new)) if new else None

    def _compare(self, text: str) -> str:
        """What of the text heard so far is new; nothing while it repeats."""
        expected = self.given[len(self._prefix) :]
        place = len(self._heard)
        self._heard += text
        if expected.startswith(text, place):
            self._repeating = len(self._heard) < len(expected)
            return ""
        self._repeating = False
        return self._heard[len(expected) :] if self._heard.startswith(expected) else self._broken_off()

    def _broken_off(self) -> str:
        self.broken = True
        self._lost = self._entries
        self._prefix = self.given + BREAK
        return BREAK + self._heard

    def _give(self, token: StreamedToken) -> StreamedToken:
        self.given += token.text
        self._entries += 1
        return token

    def _end(self, token: StreamedToken, made: Generation) -> StreamedToken:
        """The last token, whose generation is that of the whole text."""
        text = token.text
        if self._repeating:
            text = self._compare(token.text)
            if self._repeating:
                self._repeating = False
                text = self._broken_off()
        self.given += text
        if not self.broken:
            return StreamedToken(text=text, logprob=token.logprob, generation=made)
        whole = replace(
            made,
            text=self.given,
            trace=self._prefix + made.trace if made.trace else "",
            completion_tokens=made.completion_tokens + self._lost,
            logprobs=(),
        )
        return StreamedToken(text=text, generation=whole)
