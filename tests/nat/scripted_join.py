"""Runs a node like `waggle join` does, on a machine of a lab, with a scripted engine in place of a model.

    python -m tests.nat.scripted_join NAME [--serve-as-relay] [INVITE]

It listens where `join` does and has no other setting. Its folder is WAGGLE_HOME. It ends on SIGTERM.
"""

import asyncio
import os
import sys
import zlib
from pathlib import Path

import uvloop

from tests.processes.scripted_node import truth
from waggle.cli.stopping import stop_on_signals
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.invite import parse_invite
from waggle.node.config.settings import Settings
from waggle.node.observing.logs import configure_logs
from waggle.node.running.running import Ready, run_node

RELAY = "--serve-as-relay"


async def serve(name: str, words: list[str]) -> None:
    """Be a node until told to stop."""
    home = Path(os.environ["WAGGLE_HOME"])
    settings = Settings(home=home, name=name, multicast=False, serve_as_relay=RELAY in words)
    configure_logs("info", settings.log_format, log_prompts=False)
    invites = [parse_invite(word) for word in words if word != RELAY]
    engine = ScriptedEngine(Script(name=name, seed=zlib.crc32(name.encode()), skill=0.9), truth)
    stop = asyncio.Event()
    with stop_on_signals(stop):
        await run_node(settings, invites, {name: engine}, None, stop=stop, ready=_tell)


def _tell(ready: Ready) -> None:
    print(ready.info.node, flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2:]))
