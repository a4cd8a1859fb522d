"""Puts calls of tools together from the pieces that a server streams. Pure; what comes is untrusted.

Invariants: never more than `MAX_TOOL_CALLS` calls, arguments of at most `MAX_ARGUMENTS` characters each and
`MAX_ALL_ARGUMENTS` together; only tools that were offered are called; every call has an id of its own.
"""

import hashlib
from collections.abc import Collection

from waggle.core.chat_values import MAX_TOOL_CALLS, ToolCall
from waggle.core.errors import EngineRefused
from waggle.engines.openai.wire import MAX_ARGUMENTS, CallDelta

MAX_ALL_ARGUMENTS = 4 * MAX_ARGUMENTS
MAX_NAME = 256
MAX_PIECES = 100_000


class _Call:
    """One call as far as it has come."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.size = 0


class CallReader:
    """Takes pieces in the order in which they come; `calls` gives the whole."""

    def __init__(self, offered: Collection[str]) -> None:
        """Nothing called yet; `offered` are the tools that may be."""
        self._offered = frozenset(offered)
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._size = self._pieces = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, pieces: Collection[CallDelta]) -> None:
        """Take what a chunk adds. Raises EngineRefused where a bound is passed."""
        for piece in pieces:
            self._pieces += 1
            call = self._call_of(piece)
            call.id = call.id or piece.id or ""
            if piece.function.name != call.name:  # some repeat it in every piece
                call.name += piece.function.name or ""
            more = piece.function.arguments or ""
            call.arguments.append(more)
            call.size += len(more)
            self._size += len(more)
            too_much = call.size > MAX_ARGUMENTS or self._size > MAX_ALL_ARGUMENTS
            if too_much or len(call.name) > MAX_NAME or self._pieces > MAX_PIECES:
                raise EngineRefused("the server's calls of tools are too long: not usable")

    def calls(self) -> tuple[ToolCall, ...]:
        """All calls. Raises EngineRefused for one that names no tool that was offered."""
        if any(call.name not in self._offered for call in self._calls):
            raise EngineRefused("the server called a tool that was not offered: not usable")
        ids = [call.id for call in self._calls]
        return tuple(
            ToolCall(
                id=call.id if call.id and ids.count(call.id) == 1 else _id_of(number, call),
                name=call.name,
                arguments="".join(call.arguments) or "{}",
            )
            for number, call in enumerate(self._calls)
        )

    def _call_of(self, piece: CallDelta) -> _Call:
        """The call that a piece belongs to.

        By its index; a new id together with a name begins another call all the same, since some servers number all
        calls 0. Without an index, an id begins a call and what has none goes on with the last one.
        """
        if piece.index is None:
            return self._begun(len(self._calls)) if piece.id or not self._calls else self._calls[-1]
        known = self._at.get(piece.index)
        if known is None or (piece.id and piece.function.name and known.id not in ("", piece.id)):
            return self._begun(piece.index)
        return known

    def _begun(self, index: int) -> _Call:
        if len(self._calls) == MAX_TOOL_CALLS:
            raise EngineRefused(f"the server called more than {MAX_TOOL_CALLS} tools at once: not usable")
        self._calls.append(_Call())
        self._at[index] = self._calls[-1]
        return self._calls[-1]


def _id_of(number: int, call: _Call) -> str:
    """An id for a call that has none of its own: the same for the same words."""
    whole = repr((number, call.name, call.arguments))
    return "call_" + hashlib.sha256(whole.encode(errors="replace")).hexdigest()[:24]
