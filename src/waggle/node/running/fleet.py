"""Several nodes of one swarm on this machine, each its own process; all end with whoever started them.

Every child ends when the pipe to its parent breaks, so that not even kill -9 of the parent leaves one behind.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from msgspec import Struct

from waggle.core.errors import UsageError, WaggleError
from waggle.mesh.invite import format_invite
from waggle.node.config.settings import Settings
from waggle.node.control.client import ask_node
from waggle.node.control.messages import Status, StatusReply
from waggle.node.home.home import RunInfo
from waggle.node.running.child import Child

STATUS_SECONDS = 1.0


class Member(Struct, frozen=True, kw_only=True):
    """One node of the fleet as it is now; `status` None while it does not answer, `fault` empty while it runs."""

    name: str
    models: str
    status: StatusReply | None = None
    fault: str = ""


class Fleet:
    """The nodes that one command runs."""

    def __init__(self, nodes: Sequence[Settings]) -> None:
        """Start nothing yet; each node sees its settings and no others. The first one is where the others join."""
        self._children = [Child(settings) for settings in nodes]

    def check(self) -> None:
        """See to it that every node's folder is there, free, and can be written to. Raises UsageError."""
        if any(child.home.is_locked() for child in self._children):
            raise UsageError(
                "waggle up runs here already: end it with Ctrl-C there, or run another one with --home FOLDER"
            )
        with ExitStack() as held:
            for child in self._children:
                held.enter_context(child.home.lock())

    async def start(self, tell: Callable[[str, int], None]) -> RunInfo:
        """Bring all up, the first one before the others; gives what the first one says of itself.

        Args:
            tell: hears of each node that is up, and how many are.

        Raises:
            EngineUnavailable: one did not start; says why. Those that run are left to `stop`.
        """
        first, *others = self._children
        await first.start(())
        info = await first.until_up()
        invite = format_invite(info.addresses, info.network)
        tell(first.home.name, 1)
        for child in others:
            await child.start((invite,))
        for count, child in enumerate(others, start=2):
            await child.until_up()
            tell(child.home.name, count)
        return info

    def invites(self) -> list[str]:
        """One to each node that runs."""
        found = (child.home.running() for child in self._children)
        return [format_invite(info.addresses, info.network) for info in found if info is not None]

    def faults(self) -> dict[str, str]:
        """Why each node that has ended did so, by name."""
        return {child.home.name: child.fault for child in self._children if child.fault}

    async def look(self) -> list[Member]:
        """All nodes as they are now."""
        return list(await asyncio.gather(*(self._look_at(child) for child in self._children)))

    async def _look_at(self, child: Child) -> Member:
        status = None
        if not child.fault:
            with suppress(WaggleError, OSError):
                status = await ask_node(child.home.control_path(), Status(), StatusReply, seconds=STATUS_SECONDS)
        models = ", ".join(engine.rpartition("/")[2].removeprefix("hive:") for engine in child.settings.engines)
        return Member(name=child.home.name, models=models, status=status, fault=child.fault)

    async def stop(self) -> None:
        """End all; no process is left when this returns."""
        await asyncio.gather(*(child.stop() for child in self._children))
