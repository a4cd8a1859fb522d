"""`waggle bench`: measure, and say plainly which goals were missed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.shared import AsJson, Seed, check_target, make_group, progress_bars

if TYPE_CHECKING:
    from waggle.bench.report import Report

app = make_group("Measure waggle against its goals and its baselines.")
PlotFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a plot, as PNG, to this file.")]


@app.command("quality")
def quality(
    questions: Annotated[int, typer.Option(metavar="N", help="Unseen questions in all.", min=9)] = 900,
    families: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these families, with commas between.")
    ] = None,
    seed: Seed = 2026,
    ablations: Annotated[bool, typer.Option(help="Also measure the swarm with parts taken away.")] = True,
    judging: Annotated[
        int, typer.Option(metavar="N", help="Questions per family on which judges compare pairs.", min=0)
    ] = 40,
    raw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every answer, as JSON lines, to this file.")
    ] = None,
    plot: PlotFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure how often the swarm is right, beside every baseline.

    The questions are ones that nothing was trained or calibrated on.
    """
    import asyncio

    from waggle.bench.quality.suite import QualityOptions, run_quality_bench

    for path in (raw, plot):
        check_target(path)
    names = tuple(families.split(",")) if families else None
    options = QualityOptions(
        questions=questions, families=names, seed=seed, ablations=ablations, judging=judging, raw=raw
    )
    with progress_bars() as progress:
        result = asyncio.run(run_quality_bench(options, progress))
    if plot is not None:
        from waggle.bench.quality.plots import plot_quality

        plot_quality(result, plot)
    _show(result, as_json)


@app.command("engine")
def engine(
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A model folder; a bundled model if not given.")
    ] = None,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Measure tokens per second, beside transformers.

    One stream and 32 at once, on the same weights in the same run.
    """
    from waggle.bench.engine import run_engine_bench

    _show(run_engine_bench(model, seed=seed), as_json)


@app.command("consensus")
def consensus(
    seed: Seed = 1,
    repeats: Annotated[int, typer.Option(metavar="N", help="Timed runs of each fit.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Time Bradley-Terry fits, and compare them with choix's."""
    from waggle.bench.consensus import run_consensus_bench

    _show(run_consensus_bench(seed, repeats), as_json)


@app.command("round")
def round_(
    seed: Seed = 1,
    rounds: Annotated[int, typer.Option(metavar="N", help="Rounds to run.", min=10)] = 300,
    as_json: AsJson = False,
) -> None:
    """Measure the round's own cost, with engines that take no time."""
    from waggle.bench.round import run_round_bench

    _show(run_round_bench(seed, rounds), as_json)


@app.command("ballots")
def ballots(
    seed: Seed = 1,
    rounds: Annotated[int, typer.Option(metavar="N", help="Questions to each crowd.", min=10)] = 300,
    as_json: AsJson = False,
) -> None:
    """Measure how many ballots clear and doubtful rounds need.

    Committees of 7, 20 and 50 scripted engines, in this process.
    """
    from waggle.bench.ballots import run_ballots_bench

    _show(run_ballots_bench(seed, rounds, on_progress=_say), as_json)


@app.command("swarm")
def swarm(
    seed: Seed = 1,
    nodes: Annotated[int, typer.Option(metavar="N", help="Simulated nodes; 0 for none.", min=0)] = 1_000,
    minutes: Annotated[float, typer.Option(metavar="N", help="Simulated minutes of questions.", min=0.1)] = 2.0,
    rounds: Annotated[int, typer.Option(metavar="N", help="Rounds over libp2p per size; 0 for none.", min=0)] = 40,
    as_json: AsJson = False,
) -> None:
    """Measure rounds over the mesh, and a large simulated swarm.

    Over libp2p 7, 20 and 50 nodes answer on this machine. In the simulation nodes die and messages get lost.
    """
    from waggle.bench.swarm.suite import run_swarm_bench

    _show(run_swarm_bench(seed, nodes, minutes, rounds, on_progress=_say), as_json)


@app.command("nat")
def nat(
    seed: Seed = 0,
    runs: Annotated[int, typer.Option(metavar="N", help="Runs of each pair of NATs.", min=1)] = 40,
    as_json: AsJson = False,
) -> None:
    """Measure how nodes behind NAT boxes reach each other.

    It takes about 25 minutes. Network namespaces need Linux and its administrator.
    """
    from waggle.bench.swarm.nat import run_nat_bench

    _show(run_nat_bench(seed, runs, on_progress=_say), as_json)


def _say(text: str) -> None:
    typer.echo(text, err=True)


@app.command("mesh")
def mesh(
    seed: Seed = 1,
    repeats: Annotated[int, typer.Option(metavar="N", help="Counted repeats of every measurement.", min=2)] = 9,
    seconds: Annotated[float, typer.Option(metavar="S", help="Seconds of one measurement.", min=0.05)] = 0.3,
    as_json: AsJson = False,
) -> None:
    """Measure the transport beside hivemind, Lattica and grpcio.

    All on loopback, in the same run. What is not installed is skipped, and the row says how to install it.
    """
    from waggle.bench.mesh.suite import run_mesh_bench, unmeasured

    result = run_mesh_bench(seed, repeats, seconds)
    _show(result, as_json, unmeasured(result))


@app.command("gateway")
def gateway(
    seed: Seed = 1,
    repeats: Annotated[int, typer.Option(metavar="N", help="Counted repeats of every measurement.", min=2)] = 5,
    seconds: Annotated[float, typer.Option(metavar="S", help="Seconds of one measurement.", min=0.05)] = 2.0,
    load: Annotated[int, typer.Option(metavar="N", help="Requests of each load run; 0 for none.", min=0)] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Measure the gateway beside LiteLLM's and OptiLLM's proxies.

    Also what it adds to a round, and whether a crowd loses anything. Rivals that are not installed are skipped.
    """
    from waggle.bench.gateway.suite import GatewayBench, run_gateway_bench

    _show(run_gateway_bench(seed, GatewayBench(repeats=repeats, seconds=seconds, load=load), on_progress=_say), as_json)


def _show(result: "Report", as_json: bool, unmeasured: Sequence[str] = ()) -> None:
    if as_json:
        print(json.dumps(result))
    else:
        from waggle.bench.report import print_report

        print_report(result, unmeasured)
