"""The daemon's messages: what we ask of it as bytes, what it says as frozen values. Pure.

Built on the message descriptions (protobuf) in the hivemind package, loaded without running any other code of it, and
only when first needed. The daemon is ours, but what it hands on comes from strangers: whatever does not parse is a
`ValueError`, and the connection it came on is given up.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from waggle.core.errors import UsageError


class PeerSeen(Struct, frozen=True):
    """One connection: the other side's id and its address, both binary."""

    peer: bytes
    addresses: tuple[bytes, ...]


class Response(Struct, frozen=True):
    """The answer to a request. `error` is the daemon's text, None where it went well."""

    error: str | None = None
    peer: bytes = b""
    """Who the daemon is, or who is at the other end of a stream."""
    addresses: tuple[bytes, ...] = ()
    peers: tuple[PeerSeen, ...] = ()


class StreamOpened(Struct, frozen=True):
    """What the daemon says first on a stream that a peer opened."""

    peer: bytes
    protocol: str


class Asked(Struct, frozen=True):
    """A peer calls us. It chose the call's id: two of its calls may have the same."""

    call: bytes
    peer: bytes
    protocol: str
    data: bytes


class Answered(Struct, frozen=True):
    """The reply to a call of ours, or the daemon's consent (without data)."""

    call: bytes
    data: bytes | None


class Failed(Struct, frozen=True):
    """A call came to nothing. `by_peer` where the other side says so; the text is not to be trusted."""

    call: bytes
    reason: str
    by_peer: bool


class Cancelled(Struct, frozen=True):
    """A peer has given up a call to us, or the daemon one of ours."""

    call: bytes


Event = Asked | Answered | Failed | Cancelled


@cache
def package_folder() -> Path:
    """Where hivemind is installed; nothing of it is run."""
    found = importlib.util.find_spec("hivemind")
    if found is None or not found.submodule_search_locations:
        raise UsageError("the libp2p daemon is missing; type: pip install hivemind")
    return Path(found.submodule_search_locations[0])


@cache
def _messages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("p2pd_pb2", package_folder() / "proto" / "p2pd_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _decode_error() -> type[Exception]:
    """What protobuf raises for damaged bytes."""
    module = importlib.import_module("google.protobuf.message")
    error: type[Exception] = module.DecodeError
    return error


def _request(kind: str, **fields: object) -> bytes:
    messages = _messages()
    data: bytes = messages.Request(type=messages.Request.Type.Value(kind), **fields).SerializeToString()
    return data


def identify() -> bytes:
    """Who are you, and where do you listen?"""
    return _request("IDENTIFY")


def list_peers() -> bytes:
    """Whom are you connected to?"""
    return _request("LIST_PEERS")


def upgrade() -> bytes:
    """From now on this connection carries calls; the daemon ends when the last such connection does."""
    return _request("PERSISTENT_CONN_UPGRADE")


def connect(peer: bytes, addresses: Sequence[bytes], seconds: int) -> bytes:
    """Connect to a peer at any of these."""
    return _request("CONNECT", connect=_messages().ConnectRequest(peer=peer, addrs=addresses, timeout=seconds))


def disconnect(peer: bytes) -> bytes:
    """Drop every connection to a peer."""
    return _request("DISCONNECT", disconnect=_messages().DisconnectRequest(peer=peer))


def open_stream(peer: bytes, protocol: str, seconds: int) -> bytes:
    """Make this connection a stream to a peer."""
    fields = _messages().StreamOpenRequest(peer=peer, proto=[protocol], timeout=seconds)
    return _request("STREAM_OPEN", streamOpen=fields)


def take_streams(protocol: str, listener: bytes) -> bytes:
    """Hand the streams of a protocol to the socket at `listener`, one connection each."""
    fields = _messages().StreamHandlerRequest(addr=listener, proto=[protocol], balanced=False)
    return _request("STREAM_HANDLER", streamHandler=fields)


def leave_streams(protocol: str, listener: bytes) -> bytes:
    """Serve a protocol no more, whoever served it in the daemon before."""
    fields = _messages().RemoveStreamHandlerRequest(addr=listener, proto=[protocol])
    return _request("REMOVE_STREAM_HANDLER", removeStreamHandler=fields)


def _persistent(call: bytes, **fields: object) -> bytes:
    data: bytes = _messages().PersistentConnectionRequest(callId=call, **fields).SerializeToString()
    return data


def take_calls(call: bytes, protocol: str) -> bytes:
    """Hand us the calls of a protocol."""
    return _persistent(call, addUnaryHandler=_messages().AddUnaryHandlerRequest(proto=protocol, balanced=False))


def make_call(call: bytes, peer: bytes, protocol: str, data: bytes) -> bytes:
    """Call a peer."""
    return _persistent(call, callUnary=_messages().CallUnaryRequest(peer=peer, proto=protocol, data=data))


def give_reply(call: bytes, data: bytes) -> bytes:
    """Answer a peer's call."""
    return _persistent(call, unaryResponse=_messages().CallUnaryResponse(response=data))


def cancel_call(call: bytes) -> bytes:
    """Give up a call of ours; the daemon tells the peer."""
    return _persistent(call, cancel=_messages().Cancel())


def _parsed(name: str, data: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202 - made at run time
    """The message of that name in these bytes."""
    message = getattr(_messages(), name)()
    try:
        message.ParseFromString(data)
    except _decode_error() as error:
        raise ValueError(f"the libp2p daemon sent no {name}") from error
    return message


def read_response(data: bytes) -> Response:
    """Raises ValueError for bytes that are no response."""
    message = _parsed("Response", data)
    if message.type != _messages().Response.OK:
        return Response(error=message.error.msg or "no reason given")
    peers = tuple(PeerSeen(seen.id, tuple(seen.addrs)) for seen in message.peers)
    peer = message.streamInfo.peer or message.identify.id
    return Response(peer=peer, addresses=tuple(message.identify.addrs), peers=peers)


def read_stream_opened(data: bytes) -> StreamOpened:
    """Raises ValueError for bytes that are no such message."""
    message = _parsed("StreamInfo", data)
    return StreamOpened(message.peer, message.proto)


def read_event(data: bytes) -> Event:
    """Raises ValueError for bytes that are no message of a connection that carries calls."""
    message = _parsed("PersistentConnectionResponse", data)
    call = message.callId
    match message.WhichOneof("message"):
        case "requestHandling":
            asked = message.requestHandling
            return Asked(call, asked.peer, asked.proto, asked.data)
        case "callUnaryResponse" if message.callUnaryResponse.HasField("error"):
            return Failed(call, message.callUnaryResponse.error.decode(errors="replace"), by_peer=True)
        case "callUnaryResponse":
            return Answered(call, message.callUnaryResponse.response)
        case "daemonError":
            return Failed(call, message.daemonError.message, by_peer=False)
        case "cancel":
            return Cancelled(call)
        case _:
            return Answered(call, None)
