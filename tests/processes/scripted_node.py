"""Runs a node like `waggle join` does, with a scripted engine in place of a model, so that many fit in memory.

    python scripted_node.py NAME [INVITE]

Its folder is WAGGLE_HOME. It ends on SIGTERM.
"""

import asyncio
import os
import sys
import zlib
from pathlib import Path

from waggle.cli.stopping import stop_on_signals
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.invite import parse_invite
from waggle.node.config.settings import Settings
from waggle.node.running.running import Ready, run_node


def truth(question: str) -> str | None:
    """The sum that a question like `2 + 3` asks for."""
    left, plus, right = question.partition(" + ")
    return str(int(left) + int(right)) if plus else None


async def serve(name: str, invites: list[str]) -> None:
    """Be a node until told to stop."""
    settings = Settings(
        home=Path(os.environ["WAGGLE_HOME"]), name=name, listen=("/ip4/127.0.0.1/tcp/0",), multicast=False
    )
    engine = ScriptedEngine(Script(name=name, seed=zlib.crc32(name.encode()), skill=0.9), truth)
    stop = asyncio.Event()
    with stop_on_signals(stop):
        parsed = [parse_invite(invite) for invite in invites]
        await run_node(settings, parsed, {name: engine}, None, stop=stop, ready=_tell)


def _tell(ready: Ready) -> None:
    print(ready.info.node, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
