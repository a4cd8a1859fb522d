"""What a running node says to its user's own commands about the models that it shares."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.mesh.adverts.making import make_key
from tests.virtual import in_virtual_time
from waggle.core.errors import UsageError
from waggle.mesh.files.store import FileStore
from waggle.mesh.memory import MemoryNetwork
from waggle.node.control.messages import Share, Shared, Unshare
from waggle.node.network.mesh_node import make_node
from waggle.node.running.local_control import MOST_NAMES, LocalControl


@asynccontextmanager
async def controlled(tmp_path: Path) -> AsyncIterator[LocalControl]:
    """Of a node that keeps files."""
    key = make_key(0)
    transport = MemoryNetwork(0).join(key.node_id)
    node = await make_node(key, transport, {}, store=FileStore(tmp_path / "files"))
    await node.start([])
    try:
        yield LocalControl(node, asyncio.Event())
    finally:
        await node.close()


def folder(tmp_path: Path, name: str) -> str:
    """A small model folder of this name."""
    path = tmp_path / name
    path.mkdir()
    (path / "config.json").write_text(f'"{name}"')
    return str(path)


@in_virtual_time
async def test_what_is_not_shared_cannot_be_stopped_and_what_is_shared_is_told(tmp_path: Path) -> None:
    async with controlled(tmp_path) as control:
        with pytest.raises(UsageError, match=r"^no model 'nope' is shared; nothing is shared$"):
            await control.handle(Unshare(name="nope"))
        for name in ("thyme", "sage"):
            await control.handle(Share(path=folder(tmp_path, name)))
        with pytest.raises(UsageError, match=r"^no model 'nope' is shared; shared are sage, thyme$"):
            await control.handle(Unshare(name="nope"))


@in_virtual_time
async def test_sharing_is_stopped_once(tmp_path: Path) -> None:
    async with controlled(tmp_path) as control:
        await control.handle(Share(path=folder(tmp_path, "sage")))
        assert await control.handle(Unshare(name="sage")) == Shared(files=())
        with pytest.raises(UsageError, match=r"nothing is shared$"):
            await control.handle(Unshare(name="sage"))


@in_virtual_time
async def test_of_many_models_some_are_named(tmp_path: Path) -> None:
    async with controlled(tmp_path) as control:
        for number in range(MOST_NAMES + 2):
            await control.handle(Share(path=folder(tmp_path, f"model-{number:02}")))
        with pytest.raises(UsageError, match=f"model-{MOST_NAMES - 1:02} and 2 more$"):
            await control.handle(Unshare(name="nope"))
