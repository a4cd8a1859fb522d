"""Puts a gateway together: keys, history, the API, the dashboard; for `waggle serve` and for nodes that have one."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from waggle.cli.config import shown_value

if TYPE_CHECKING:
    from waggle.engines.protocol import Engine
    from waggle.gateway.options import GatewayOptions
    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.history.history import History
    from waggle.node.network.mesh_node import MeshNode
    from waggle.node.observing.logs import LogLine, RecentLogs
    from waggle.node.running.running import Beside
    from waggle.node.services.service import Service

OF_GATEWAYS = (
    "gateway_host",
    "gateway_port",
    "gateway_hosts",
    "gateway_origins",
    "gateway_open_metrics",
    "history",
)
KEYS, HISTORY, QUALITY = "keys.sqlite", "history.sqlite3", "quality.json"


def beside_of(configuration: "Configuration", recent: "RecentLogs") -> "Beside":
    """What runs with a node: a gateway where the settings name a port, else nothing."""
    from waggle.node.config.settings import NO_PORT
    from waggle.node.running.running import nothing_beside

    settings = configuration.settings
    if settings.gateway_port == NO_PORT:
        return nothing_beside

    def gateway_of(node: "MeshNode") -> AbstractAsyncContextManager[str]:
        from waggle.node.home.home import NodeHome
        from waggle.node.services.mesh import MeshService

        folder = NodeHome(settings.home, settings.name).folder
        return running_gateway(configuration, MeshService(node), folder, recent, node.work.engines)

    return gateway_of


def check_gateway(settings: "Settings") -> None:
    """See to it that the gateway, where there is to be one, can listen where it is to.

    Raises:
        UsageError: its address is taken or not ours, or is open to others while there is no key.
    """
    from waggle.node.config.settings import NO_PORT

    if settings.gateway_port == NO_PORT:
        return
    from waggle.gateway.door.hosts import check_binding
    from waggle.gateway.keys.live import LiveKeys
    from waggle.gateway.server import bound

    keys = LiveKeys(settings.home / KEYS)
    try:
        check_binding(_options(settings), keys)
    finally:
        keys.close()
    bound(settings.gateway_host, settings.gateway_port).close()


@asynccontextmanager
async def running_gateway(
    configuration: "Configuration",
    service: "Service",
    folder: Path,
    recent: "RecentLogs",
    engines: "Mapping[str, Engine]",
) -> AsyncIterator[str]:
    """A gateway with its dashboard while the block runs; gives its base URL.

    Args:
        folder: where its history is kept.
        recent: the latest lines of the log, for the page.
        engines: those of this process, whose batches are in the metrics.

    Raises:
        UsageError: the address is taken, or is not loopback while there is no key.
    """
    from waggle.dashboard.attach import attach
    from waggle.gateway.app import make_app
    from waggle.gateway.door.admission import PAGES
    from waggle.gateway.door.hosts import check_binding
    from waggle.gateway.keys.live import LiveKeys
    from waggle.gateway.server import serving
    from waggle.node.engines.occupancy import occupancy_of
    from waggle.node.observing.telemetry import make_telemetry

    settings = configuration.settings
    options, telemetry = _options(settings), make_telemetry()
    keys, history = LiveKeys(settings.home / KEYS), _history(settings, folder)
    try:
        check_binding(options, keys)
        app = make_app(
            service, options, keys=keys, history=history, telemetry=telemetry, occupancy=occupancy_of(engines)
        )
        attach(
            app,
            app.state.service,
            history=history,
            quality=settings.home / QUALITY,
            settings=lambda: values_of(configuration),
            logs=lambda: [_words(line) for line in recent.lines()],
            place=partial(app.state.admission.place, PAGES),
        )
        async with serving(app, options) as url:
            yield url
    finally:
        await asyncio.to_thread(telemetry.close)
        if history is not None:
            await asyncio.to_thread(history.close)
        keys.close()


def _options(settings: "Settings") -> "GatewayOptions":
    from waggle.gateway.options import GatewayOptions

    return GatewayOptions(
        host=settings.gateway_host,
        port=max(0, settings.gateway_port),
        allowed_hosts=settings.gateway_hosts,
        allowed_origins=settings.gateway_origins,
        open_metrics=settings.gateway_open_metrics,
        min_confidence=settings.min_confidence,
        budget_seconds=settings.budget_seconds,
        budget_tokens=settings.budget_tokens or None,
        request_seconds=max(settings.budget_seconds, GatewayOptions.request_seconds),
    )


def _history(settings: "Settings", folder: Path) -> "History | None":
    from waggle.node.history.history import History

    if settings.history == "off":
        return None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return History(folder / HISTORY, questions=settings.history == "all")


def _words(line: "LogLine") -> str:
    facts = "".join(
        f" {name}={value:.4g}" if isinstance(value, float) else f" {name}={value}" for name, value in line.facts.items()
    )
    clock = time.strftime("%H:%M:%S", time.localtime(line.at))
    return f"{clock} {line.level:7} {line.message}{facts}" + (f" [{line.request}]" if line.request else "")


def values_of(configuration: "Configuration") -> Mapping[str, object]:
    """Every setting in words with where it came from, for the page."""
    return {name: (shown_value(configuration, name), configuration.origins[name]) for name in configuration.origins}
