"""A swarm in this process, asked at a prompt, and through a gateway if wanted: `waggle up --mesh memory`."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from waggle.cli.answer import print_answer
from waggle.cli.gateway import running_gateway
from waggle.cli.lines import Lines, standard_input
from waggle.cli.shared import engines_of, plain_console
from waggle.cli.stopping import stop_on_signals, until

if TYPE_CHECKING:
    from waggle.core.asking import AskOptions
    from waggle.core.ids import NodeId
    from waggle.engines.protocol import Engine
    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.network.mesh_node import MeshNode
    from waggle.node.observing.logs import RecentLogs

MEET_SECONDS = 10.0


def run_at_prompt(configuration: "Configuration", specs: list[str], node: "Settings") -> None:
    """Answer one question per line of standard input, until an empty one, the input's end or Ctrl-C.

    `node` is what each of the nodes with these engines is told.
    """
    from waggle.node.observing.logs import configure_logs

    settings = configuration.settings
    recent = configure_logs(settings.log_level, settings.log_format, log_prompts=settings.log_prompts)
    engines = engines_of(settings, specs)  # outside the loop: Ctrl-C ends it
    asyncio.run(_until_stopped(_run(configuration, engines, node, recent)))


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        await until(stop, work)


async def _run(
    configuration: "Configuration", engines: "dict[NodeId, Engine]", node: "Settings", recent: "RecentLogs"
) -> None:
    from waggle.node.calibrating.kept import bundled_calibration
    from waggle.node.config.settings import NO_PORT
    from waggle.node.network.memory_swarm import start_in_memory
    from waggle.node.running.running import options_of
    from waggle.node.services.mesh import MeshService

    settings, options = configuration.settings, replace(options_of(node, relays=False), name="")
    nodes = await start_in_memory(engines, options, calibration=bundled_calibration())
    try:
        await _meet(nodes)
        async with AsyncExitStack() as held:
            url, named = "", {str(name): engine for name, engine in engines.items()}
            if settings.gateway_port != NO_PORT:
                gateway = running_gateway(configuration, MeshService(nodes[0]), settings.home, recent, named)
                url = await held.enter_async_context(gateway)
            await _converse(nodes, _options(settings), url)
    finally:
        await asyncio.gather(*(node.close() for node in nodes))


def _options(settings: "Settings") -> "AskOptions":
    from waggle.core.asking import AskOptions
    from waggle.core.round_values import Budget

    budget = Budget(tokens=settings.budget_tokens or None, seconds=settings.budget_seconds)
    return AskOptions(budget=budget, min_confidence=settings.min_confidence)


async def _meet(nodes: "list[MeshNode]") -> None:
    """Wait until the first node may ask all others."""
    async with asyncio.timeout(MEET_SECONDS):
        while len(nodes[0].membership.usable()) < len(nodes) - 1:
            await nodes[0].membership.changed()


async def _converse(nodes: "list[MeshNode]", options: "AskOptions", url: str) -> None:
    """Question by question; where input that nobody types has ended, a gateway goes on."""
    from waggle.core.asking import MAX_QUESTION_BYTES
    from waggle.core.errors import WaggleError

    said = plain_console(stderr=True)
    said.print(f"{len(nodes)} nodes are up; one question per line, an empty one or Ctrl-C ends it")
    if url:
        plain_console().print(f"dashboard {url}/ and OpenAI API {url}/v1", soft_wrap=True)
    lines = Lines(standard_input(), MAX_QUESTION_BYTES + 1)
    while question := await _next_question(lines):
        try:
            print_answer(await nodes[0].ask(question, options))
        except WaggleError as error:
            said.print(str(error), style="red", soft_wrap=True)
    if url and question is None:
        said.print("no more questions here; the gateway goes on until Ctrl-C")
        await asyncio.Event().wait()


async def _next_question(lines: Lines) -> str | None:
    """Empty for an empty line, None at the end of the input."""
    if sys.stdin is not None and sys.stdin.isatty():
        plain_console(stderr=True).print("question> ", end="", style="bold")
    line = await lines.next()
    return None if line is None else line.strip()
