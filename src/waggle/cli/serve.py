"""`waggle serve`: an OpenAI-compatible endpoint and a dashboard over models of this process."""

from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.ask import OF_QUESTIONS
from waggle.cli.config import takes_settings
from waggle.cli.gateway import OF_GATEWAYS, running_gateway
from waggle.cli.shared import plain_console

if TYPE_CHECKING:
    from waggle.node.config.load import Configuration
    from waggle.node.observing.logs import RecentLogs
    from waggle.node.rounds.swarm import Swarm

DEFAULT_PORT = 8080
OF_SERVERS = (
    "engines",
    "key_variable",
    *OF_QUESTIONS,
    "log_level",
    "log_format",
    "log_prompts",
    "home",
    *OF_GATEWAYS,
)


@takes_settings(*OF_SERVERS)
def serve(
    configuration: "Configuration",
    port: Annotated[
        int | None,
        typer.Option(metavar="N", help="The same as --gateway-port; 8080 if neither is given.", min=0, max=65_535),
    ] = None,
    json_ready: Annotated[
        bool, typer.Option("--json-ready", help="Print one JSON object with the URL once it is up, and nothing else.")
    ] = False,
) -> None:
    """Serve the OpenAI API and a dashboard, with all models in this process.

    To serve a swarm of several machines, give a node of it a gateway: waggle join INVITE --gateway-port 8080.
    """
    import uvloop

    from waggle.cli.shared import swarm_of
    from waggle.node.observing.logs import configure_logs

    settings = configuration.settings
    recent = configure_logs(settings.log_level, settings.log_format, log_prompts=settings.log_prompts)
    swarm = swarm_of(settings)
    uvloop.run(_run(_with_port(configuration, port), swarm, recent, json_ready))


def _with_port(configuration: "Configuration", port: int | None) -> "Configuration":
    from msgspec.structs import replace

    from waggle.node.config.settings import NO_PORT

    given = configuration.settings.gateway_port if port is None else port
    chosen = DEFAULT_PORT if given == NO_PORT else given
    origins = configuration.origins if port is None else configuration.origins | {"gateway_port": "--port"}
    return replace(configuration, settings=replace(configuration.settings, gateway_port=chosen), origins=origins)


async def _run(configuration: "Configuration", swarm: "Swarm", recent: "RecentLogs", json_ready: bool) -> None:
    import asyncio
    import gc

    from waggle.cli.stopping import stop_on_signals
    from waggle.node.services.local import make_local_service

    stop = asyncio.Event()
    service, folder = await make_local_service(swarm), configuration.settings.home
    engines = {str(name): engine for name, engine in swarm.engines.items()}
    try:
        with stop_on_signals(stop):
            async with running_gateway(configuration, service, folder, recent, engines) as url:
                gc.freeze()  # what is loaded stays: looking through it for garbage would stop everything for 0.3 s
                _tell(url, json_ready)
                await stop.wait()
    finally:
        await service.close()


def _tell(url: str, json_ready: bool) -> None:
    if json_ready:
        import json

        print(json.dumps({"url": url}), flush=True)
        return
    console = plain_console()
    console.print(f"dashboard:   {url}/", style="bold", soft_wrap=True)
    console.print(f"OpenAI API:  {url}/v1     (model: swarm)", soft_wrap=True)
    console.print("Ctrl-C ends it", style="dim")
