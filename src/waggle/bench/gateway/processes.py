"""The servers of the gateway's bench, each a process of its own: our gateway, the stub upstream, and the two rivals.

LiteLLM and OptiLLM need versions of packages that waggle does not share, so each runs on a Python of its own, named by
an environment variable. They run as they ship: one process, their own server, nothing logged, no request left behind.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from waggle.bench.gateway.http import connect
from waggle.bench.processes import START_SECONDS, Peer, running

POLL_SECONDS = 0.2
STUB_COMMAND = (sys.executable, "-m", "waggle.bench.gateway.stub")
GATEWAY_COMMAND = (sys.executable, "-m", "waggle", "serve", "--port", "0", "--json-ready")
LITELLM, OPTILLM = "LiteLLM", "OptiLLM"
PYTHONS = {LITELLM: "WAGGLE_BENCH_LITELLM", OPTILLM: "WAGGLE_BENCH_OPTILLM"}
"""The environment variables that name the Pythons with these packages."""
PACKAGES = {LITELLM: "litellm[proxy]", OPTILLM: "optillm"}
LITELLM_PROGRAM = "from litellm import run_server; run_server()"
OPTILLM_PROGRAM = "from optillm.server import main; main()"


@dataclass(frozen=True)
class Running:
    """A server at work: the base URL of its API, and its process."""

    url: str
    pid: int

    def resident_bytes(self) -> int:
        """Its memory now; 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Processor time that it has used; 0 where the system does not tell."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def why_not(name: str) -> str:
    """Why a rival cannot be measured here, and how it could; empty where it can."""
    python = os.environ.get(PYTHONS[name], "")
    if shutil.which(python):
        return ""
    return f"skipped: pip install '{PACKAGES[name]}' into an environment and set {PYTHONS[name]} to its python"


@asynccontextmanager
async def start_stub() -> AsyncIterator[Running]:
    """The stub upstream."""
    async with running(*STUB_COMMAND, more={}, minds_its_input=True) as peer:
        yield Running(await _announced(peer), peer.process.pid)


@asynccontextmanager
async def start_gateway(engines: Sequence[str]) -> AsyncIterator[Running]:
    """Our gateway with these engines and a home of its own, as `waggle serve` runs it."""
    specs = [part for engine in engines for part in ("--engine", engine)]
    with TemporaryDirectory(prefix="waggle-bench-") as home:
        async with running(*GATEWAY_COMMAND, *specs, more={"WAGGLE_HOME": home}) as peer:
            yield Running(f"{await _announced(peer)}/v1", peer.process.pid)


@asynccontextmanager
async def start_rival(name: str, upstream: str) -> AsyncIterator[Running]:
    """LiteLLM's or OptiLLM's proxy in front of the upstream."""
    port = _free_port()
    with TemporaryDirectory(prefix="waggle-bench-") as folder:
        command = _rival_command(name, upstream, port, Path(folder))
        async with running(*command, more=_rival_environment(folder), heard=False) as peer:
            url = f"http://127.0.0.1:{port}/v1"
            await _until_reachable(url, peer)
            yield Running(url, peer.process.pid)


def _rival_command(name: str, upstream: str, port: int, folder: Path) -> tuple[str, ...]:
    python = os.environ[PYTHONS[name]]
    if name == OPTILLM:
        options = ("--base-url", upstream, "--approach", "none", "--log", "error", "--port", str(port))
        return (python, "-c", OPTILLM_PROGRAM, *options)
    served = {"model": "openai/stub", "api_base": upstream, "api_key": "bench"}
    config = folder / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps({"model_list": [{"model_name": "stub", "litellm_params": served}]}), encoding="utf-8")
    options = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    return (python, "-c", LITELLM_PROGRAM, *options, "--telemetry", "False")


def _rival_environment(folder: str) -> dict[str, str]:
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    open_to_all = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    return quiet | open_to_all | {"OPENAI_API_KEY": "bench", "HOME": folder, "PYTHONPATH": ""}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def _announced(peer: Peer) -> str:
    """The URL that it says it is at."""
    try:
        told = json.loads(await peer.line())
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("url"), str):
        raise peer.fault("a server of the bench did not say where it is")
    return str(told["url"])


async def _until_reachable(url: str, peer: Peer) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while peer.process.returncode is None:
                with suppress(OSError):
                    (await connect(url)).close()
                    return
                await asyncio.sleep(POLL_SECONDS)
    raise peer.fault("a server of the bench did not start")
