"""Every exception of the project, in one tree.

    WaggleError
    |-- UsageError              the caller asked for something that cannot be done: say what to do instead
    |-- CheckpointError         a model folder is incomplete, damaged or not supported
    |   `-- UnsupportedModel    the architecture or an option of it is not implemented
    |-- EngineError             an engine could not do the work
    |   |-- EngineUnavailable   not reachable, overloaded or out of retries
    |   |   `-- OutOfTime       it was not ready in time
    |   `-- EngineRefused       it answered, but not with anything usable
    |       `-- TooLong         it was asked for more tokens than its context has
    |-- MeshError               the network could not do it
    |   |-- PeerUnreachable     no link, or the link was lost
    |   |   `-- PeerSilent      no answer in time
    |   |-- PeerBusy            the peer has no room now: ask it again later, or another one
    |   `-- PeerRefused         it does not serve this, or failed at it
    |-- InvalidBallots          weights or shapes that no honest round produces
    |-- NotConverged            a fit that did not reach its tolerance; never swallowed
    `-- ProtocolError
        |-- LocalProtocolError  our own side broke the round's rules: a bug
        `-- RemoteProtocolError the other side broke them: only this may cost reputation

Foreign exceptions are translated once, in the module that calls the foreign library.
"""

from math import ceil


class WaggleError(Exception):
    """Base of all errors that waggle raises on purpose; its text is fit to be shown to a person."""


class UsageError(WaggleError):
    """The request itself is wrong; the command line exits with status 2."""


class CheckpointError(WaggleError):
    """A model folder cannot be loaded; the text names the file and the fault."""


class UnsupportedModel(CheckpointError):
    """The checkpoint is intact, but its architecture or an option of it is not implemented."""


class EngineError(WaggleError):
    """An engine could not do the work; the round goes on without it."""


class EngineUnavailable(EngineError):
    """The engine was not reachable, was overloaded, or ran out of retries."""


class OutOfTime(EngineUnavailable):
    """The engine was not ready in time."""


class EngineRefused(EngineError):
    """The engine answered, but with nothing usable (wrong shape, refused request)."""


class TooLong(EngineRefused):
    """What was asked does not fit the model's context; the text names both numbers where they are known."""


class MeshError(WaggleError):
    """The network could not do it."""


class PeerUnreachable(MeshError):
    """No link to the peer, the link was lost, or (`PeerSilent`) no answer came in time."""


class PeerSilent(PeerUnreachable):
    """Nothing came from the peer in time."""


class PeerBusy(MeshError):
    """The peer is there and has no room now; `retry_after` is its own estimate in seconds, where it gave one."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def advice(self) -> str:
        """When to come again, in words."""
        return "try again later" if self.retry_after is None else f"try again in {max(1, ceil(self.retry_after))} s"


class PeerRefused(MeshError):
    """The peer does not serve this, or failed at it."""


class InvalidBallots(WaggleError):
    """Ballot weights are negative, not finite or of the wrong shape; the round blames their sender."""


class NotConverged(WaggleError):
    """A numeric fit stopped before its tolerance; the round is reported as failed."""


class ProtocolError(WaggleError):
    """Somebody broke the rules of the round."""


class LocalProtocolError(ProtocolError):
    """We broke them: a bug on this side."""


class RemoteProtocolError(ProtocolError):
    """They broke them: the event is refused and the state does not change."""
