"""A swarm as a gateway or a web page uses it: ask it, have one model write, embed texts, see who is there.

One seam with two implementations: `local_service` for engines of this process, `mesh_service` for a node of a mesh.
Every method may be called many times at once; cancelling a call stops its work everywhere.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec import Struct

from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.strategies.machine import Watch


class ServedModel(Struct, frozen=True, kw_only=True):
    """A model of the swarm, and the nodes that have it. `skills` by kind of question; speed in tokens per second.

    `nodes` are those that can be used now; `down` are nodes whose engine cannot, with the reason. `converses` and
    `calls_tools` are those of `EngineCard`, and hold for every node that has it.
    """

    name: str
    family: str = ""
    context_tokens: int = 0
    nodes: tuple[NodeId, ...] = ()
    skills: dict[str, float] = {}
    tokens_per_second: float | None = None
    embeds: bool = True
    converses: bool = True
    calls_tools: bool = False
    down: dict[NodeId, str] = {}

    @property
    def usable(self) -> bool:
        """Whether some node can use it now, as far as is known."""
        return bool(self.nodes) or not self.down


class Service(Protocol):
    """A swarm in use. `id` is our own node's."""

    @property
    def id(self) -> NodeId:
        """Our own node."""
        ...

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question with the swarm.

        Args:
            request: 32 hexadecimal digits that name the question everywhere; the round's id is the same.

        Raises:
            UsageError: nothing that can be asked, or an unknown strategy or model. EngineUnavailable: nobody is there.
            PeerBusy: everybody is full; `retry_after` says when to come again.
        """
        ...

    def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        """Have one model write, token by token; the last item carries the whole `Generation`.

        Where the node that writes dies, another one with the same model goes on: what was given out stays given out.

        Args:
            seconds: the longest it may take in all.

        Raises:
            UsageError: no node has the model. EngineError: the model cannot. MeshError: nobody could in time.
        """
        ...

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """One unit-length vector per text; errors as for `generate`."""
        ...

    def models(self) -> tuple[ServedModel, ...]:
        """All models, by name; those that no node can use now are told by having no `nodes`, and why by `down`."""
        ...

    def peers(self) -> tuple[Peer, ...]:
        """The other nodes that are known, also those that cannot be used now (`reason` says why)."""
        ...

    @property
    def load(self) -> Load:
        """How busy our own node is."""
        ...

    @property
    def troubles(self) -> tuple[str, ...]:
        """What hinders our own node in the swarm, in words; some are a peer's."""
        ...
