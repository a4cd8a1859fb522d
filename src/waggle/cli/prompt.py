"""A swarm in this process, asked at a prompt: `waggle up --mesh memory`."""

import asyncio
import sys
from typing import TYPE_CHECKING

from waggle.cli.answer import print_answer
from waggle.cli.shared import bundled_calibration, plain_console

if TYPE_CHECKING:
    from waggle.node.config.settings import Settings
    from waggle.node.network.mesh_node import MeshNode

MEET_SECONDS = 10.0


async def ask_at_prompt(settings: "Settings", specs: list[str]) -> None:
    """Answer one question per line of standard input, until it ends."""
    from waggle.core.errors import WaggleError
    from waggle.core.round_values import Budget
    from waggle.node.calibrating.calibration import load_calibration
    from waggle.node.engines.opening import open_engines
    from waggle.node.network.memory_swarm import start_in_memory
    from waggle.node.rounds.planning import AskOptions

    path = bundled_calibration()
    calibration = load_calibration(path) if path.exists() else None
    nodes = await start_in_memory(
        open_engines(specs, key_variable=settings.key_variable or None), calibration=calibration
    )
    budget = Budget(tokens=settings.budget_tokens or None, seconds=settings.budget_seconds)
    options = AskOptions(budget=budget, min_confidence=settings.min_confidence)
    try:
        await _meet(nodes)
        plain_console(stderr=True).print(f"{len(nodes)} nodes are up; one question per line, an empty one ends it")
        while question := await _next_question():
            try:
                print_answer(await nodes[0].ask(question, options))
            except WaggleError as error:
                plain_console(stderr=True).print(str(error), style="red", soft_wrap=True)
    finally:
        await asyncio.gather(*(node.close() for node in nodes))


async def _meet(nodes: "list[MeshNode]") -> None:
    """Wait until the first node may ask all others."""
    async with asyncio.timeout(MEET_SECONDS):
        while len(nodes[0].membership.usable()) < len(nodes) - 1:
            await nodes[0].membership.changed()


async def _next_question() -> str:
    if sys.stdin.isatty():
        plain_console(stderr=True).print("question> ", end="", style="bold")
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()
