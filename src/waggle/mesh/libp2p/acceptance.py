"""The code that every reply and every stream begins with, read as the error it stands for."""

from waggle.core.errors import PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.transport import Refusal


async def check_accepted(stream: FrameStream) -> None:
    """Wait for the code that a stream begins with; a stream that is refused is closed."""
    try:
        code = await stream.receive()
        if code is None:
            raise PeerUnreachable("the other side closed the stream at once")
        if len(code) != 1:
            raise RemoteProtocolError("the stream did not begin with a code")
        check_answered(code)
    except BaseException:
        await stream.close()
        raise


def check_answered(code: bytes) -> None:
    """Raise what the code stands for; return where it is NONE."""
    try:
        refusal = Refusal(code[0])
    except (IndexError, ValueError):
        raise RemoteProtocolError("an answer without a known code") from None
    match refusal:
        case Refusal.NONE:
            return
        case Refusal.BUSY:
            raise PeerBusy("the peer has no room now")
        case Refusal.UNKNOWN:
            raise PeerRefused("the peer does not serve this protocol")
        case Refusal.FAILED:
            raise PeerRefused("the peer failed at it")
        case Refusal.MALFORMED:
            raise PeerRefused("the peer found the request malformed")
