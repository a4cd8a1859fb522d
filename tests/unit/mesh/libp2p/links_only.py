"""What the transports have in common that tests write for those who look at links: nothing else is to be called."""

from collections.abc import Sequence

from waggle.core.ids import NodeId
from waggle.mesh.transport import CallHandler, Stream, StreamHandler


class LinksOnly:
    """The part of a `Transport` that is not used; a test's own adds the rest."""

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        raise NotImplementedError

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = 10.0) -> Stream:
        raise NotImplementedError

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        raise NotImplementedError

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        raise NotImplementedError

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        raise NotImplementedError

    async def addresses(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        raise NotImplementedError
