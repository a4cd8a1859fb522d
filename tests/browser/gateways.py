"""A scene as a gateway of its own: it can end, and come again at the same address with the same history."""

import socket
import subprocess
import sys
import time
from pathlib import Path

SERVE = """
import asyncio, sys, uvicorn
from pathlib import Path
from tests.browser import scenes
async def serve(scene, folder, port):
    app = await scenes.make(scene, Path(folder))
    @app.post("/scene/leave")
    def leave():
        scenes.NAMES = scenes.NAMES[1:]
    await uvicorn.Server(uvicorn.Config(app, port=int(port), log_level="warning")).serve()
asyncio.run(serve(*sys.argv[1:]))
"""
"""Serves a scene at a given port; of one with peers the first leaves when it is told to."""
ROOT = Path(__file__).parents[2]


class Gateway:
    """A scene that can end and come again at the same address, with the same history."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, scene: str) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-c", SERVE, scene, str(self._folder), str(self._port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        for _ in range(600):
            with socket.socket() as trying:
                if not trying.connect_ex(("127.0.0.1", self._port)):
                    return
            time.sleep(0.1)
        raise AssertionError("the scene does not listen")

    def end(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
