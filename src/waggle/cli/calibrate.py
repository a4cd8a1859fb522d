"""`waggle calibrate`: measure engines on questions with known answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.shared import Seed, check_target, engines_of, plain_console, progress_bars

if TYPE_CHECKING:
    from waggle.node.config.load import Configuration


@takes_settings("engines", "key_variable", "home")
def calibrate(
    configuration: "Configuration",
    questions: Annotated[
        int, typer.Option(metavar="N", help="Questions of each kind to measure skills on.", min=4)
    ] = 60,
    rounds: Annotated[
        int, typer.Option(metavar="N", help="Questions of each kind to fit the confidence on.", min=4)
    ] = 40,
    seed: Seed = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write; if not given, where waggle ask looks for these engines."),
    ] = None,
) -> None:
    """Measure how far each model can be trusted on which questions.

    The answers to the questions are known. Skills are measured as proposer and as judge, per kind of question; then
    whole rounds, also on questions of no known kind, teach how sure an answer may be called. The questions are never
    those of waggle bench.
    """
    import asyncio

    from waggle.bench.quality.lessons import calibration_lessons
    from waggle.core.ids import NodeId
    from waggle.engines.remembering import RememberingEngine
    from waggle.node.calibrating.calibrate import calibrate as measure
    from waggle.node.calibrating.cards import write_skills
    from waggle.node.calibrating.kept import kept_at
    from waggle.node.calibration import Calibration, save_calibration

    async def run(engines: dict[NodeId, RememberingEngine]) -> Calibration:
        try:
            for wrapped in engines.values():
                await wrapped.describe()  # an engine that is not there is an error, not one without skills
            lessons = calibration_lessons(questions=questions, rounds=rounds, seed=seed)
            with progress_bars() as progress:
                return await measure(engines, lessons, seed=seed, progress=progress)
        finally:
            for wrapped in engines.values():
                await wrapped.close()

    settings = configuration.settings
    target = out or kept_at(settings.engines, settings.home)
    if out is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    check_target(target)
    found = asyncio.run(run({node: RememberingEngine(inner) for node, inner in engines_of(settings).items()}))
    save_calibration(found, target)
    if not settings.engines and out is None:
        write_skills(found)
    plain_console(stderr=True).print(f"wrote {target}", soft_wrap=True)
