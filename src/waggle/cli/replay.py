"""`waggle replay`: a recorded round, followed again event by event."""

from pathlib import Path
from typing import Annotated

import typer

from waggle.cli.shared import AsJson


def replay(
    record: Annotated[Path, typer.Argument(metavar="FILE", help="What waggle ask --record wrote.")],
    explain: Annotated[bool, typer.Option("--explain", help="Print proposals, supporters and strengths.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a recorded round and print it as waggle ask does.

    No model is asked. Exit status: 0 replayed, 1 its outcome does not follow from its events, 2 wrong usage.
    """
    from waggle.cli.answer import print_round
    from waggle.core.inert import one_line
    from waggle.node.history.records import load_record
    from waggle.node.observing.ending import Ending, ending_of, why_none

    done = load_record(record)
    print_round(done, explain=explain, as_json=as_json)
    if not as_json and ending_of(done.outcome, done.events) is Ending.FAILED:
        print(one_line(why_none(done), 2_000))
