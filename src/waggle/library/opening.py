"""Opens a swarm of this process's own models, joins one that others run, or asks a single question."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Unpack

from waggle.core.errors import EngineUnavailable, UsageError, WaggleError
from waggle.engines.protocol import Engine
from waggle.library.answers import Answer
from waggle.library.asking import Asking
from waggle.library.swarm import Swarm
from waggle.mesh.invite import network_of, parse_invite
from waggle.node.calibrating.kept import calibration_of
from waggle.node.calibration import Calibration, load_calibration
from waggle.node.config.load import load_settings
from waggle.node.engines.opening import open_engines
from waggle.node.network.outside import calling
from waggle.node.rounds.swarm import Swarm as LocalSwarm
from waggle.node.services.local import make_local_service

DESCRIBE_SECONDS = 10.0
Model = str | os.PathLike[str] | Engine
"""What `--engine` of the command takes, a model's folder, or an engine itself."""


@asynccontextmanager
async def open(  # noqa: A001
    *models: Model, calibration: str | Path | None = None, key_variable: str | None = None
) -> AsyncIterator[Swarm]:
    """A swarm of models of this process, and of servers that it calls; closed when the block is left.

    Args:
        models: `hive:NAME`, a model folder, `http://host:port/v1#model`, or an engine; none for the bundled hive.
        calibration: the file with what was measured of them; left out, it is found as the command line finds it: the
            bundled one for bundled models, else the user's own of `waggle calibrate`.
        key_variable: the environment variable that holds the servers' key, if they want one.

    Raises:
        UsageError: a model or the calibration is none. CheckpointError: a model cannot be loaded.
        EngineError: none of the engines can be used.
    """
    service = await make_local_service(await _loaded(models, calibration, key_variable))
    try:
        async with aclosing(Swarm(service.ask)) as swarm:
            yield swarm
    finally:
        await service.close()


@asynccontextmanager
async def join(*invites: str, network: str | None = None) -> AsyncIterator[Swarm]:
    """A swarm that others run, asked from outside; the links to it last as long as the block.

    Args:
        invites: `waggle://...`, or the multiaddr of a node; of several, one that answers is enough.
        network: the network that they must lead to; any where left out.

    Raises:
        UsageError: no invite, or invites to different networks. MeshError: nobody answers in time.
    """
    found = [parse_invite(text, network=network) for text in invites]
    addresses = [invite.addresses for invite in found]
    async with calling(addresses, network_of(found)) as caller, aclosing(Swarm(caller.ask)) as swarm:
        yield swarm


def ask_sync(
    question: str,
    *models: Model,
    calibration: str | Path | None = None,
    key_variable: str | None = None,
    **asking: Unpack[Asking],
) -> Answer:
    """Open a swarm, ask it one question and close it, for programs without a loop of asyncio.

    Arguments and errors as those of `open` and `Swarm.ask`.

    Raises:
        UsageError: a loop runs here, which this would stop.
    """

    async def ask() -> Answer:
        async with open(*models, calibration=calibration, key_variable=key_variable) as swarm:
            return await swarm.ask(question, **asking)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(ask())
    raise UsageError("a loop runs here: say async with waggle.open() as swarm: await swarm.ask(...)")


async def _loaded(models: Sequence[Model], calibration: str | Path | None, key_variable: str | None) -> LocalSwarm:
    """The swarm of these models, loaded in a thread so that the loop goes on."""
    specs = [os.fspath(model) for model in models if isinstance(model, str | os.PathLike)]
    others = [(await _name_of(model), model) for model in models if not isinstance(model, str | os.PathLike)]

    def load() -> LocalSwarm:
        named = [*specs, *(name for name, _ in others)]
        measured = _measured(named) if calibration is None else load_calibration(Path(calibration))
        return LocalSwarm(open_engines(specs, key_variable=key_variable, others=others), measured)

    loading = asyncio.create_task(asyncio.to_thread(load))
    try:
        return await asyncio.shield(loading)
    except asyncio.CancelledError:
        with suppress(WaggleError):
            await (await loading).close()  # a thread cannot be stopped
        raise


def _measured(named: list[str]) -> Calibration | None:
    """The calibration that the command line would find."""
    return calibration_of(named, load_settings({"engines": named}).settings.home if named else Path())


async def _name_of(engine: Engine) -> str:
    """What its model is called."""
    try:
        async with asyncio.timeout(DESCRIBE_SECONDS):
            return (await engine.describe()).model
    except TimeoutError:
        raise EngineUnavailable(f"an engine did not say within {DESCRIBE_SECONDS:g} s what it is") from None
