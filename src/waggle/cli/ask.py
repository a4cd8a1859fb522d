"""`waggle ask`: a question in, the swarm's answer out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.shared import AsJson, Seed, check_target, swarm_of
from waggle.core.asking import COMMITTEE
from waggle.strategies.ways import BUILT_IN, spoken

if TYPE_CHECKING:
    from waggle.core.asking import AskOptions
    from waggle.core.round_values import Record
    from waggle.mesh.invite import Invite
    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.rounds.swarm import Swarm
    from waggle.strategies.machine import Watch

ABSTAINED = 3
STRATEGY_HELP = f"The way of answering: {spoken(BUILT_IN)}, or one that is installed."
OF_QUESTIONS = ("budget_tokens", "budget_seconds", "min_confidence")
Via = Annotated[
    list[str] | None,
    typer.Option(
        "--via",
        metavar="INVITE",
        help="Ask a running swarm in place of models of this process: an invite (waggle://...) or multiaddr of "
        "one of its nodes. Repeatable.",
    ),
]
Here = Annotated[
    bool, typer.Option("--here", help="Ask the swarm of your node that runs on this machine (waggle up, waggle join).")
]


@takes_settings("engines", "key_variable", *OF_QUESTIONS, "network", "home")
def ask(
    configuration: "Configuration",
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.")],
    strategy: Annotated[str, typer.Option(metavar="NAME", help=STRATEGY_HELP)] = COMMITTEE,
    via: Via = None,
    here: Here = False,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="The same, and which node where several run.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", help="Longest answer of one model, in tokens.", min=1, max=2**20)
    ] = 256,
    seed: Seed = 0,
    explain: Annotated[bool, typer.Option("--explain", help="Print proposals, supporters and strengths.")] = False,
    as_json: AsJson = False,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the round's full record, as JSON, to this file.")
    ] = None,
) -> None:
    """Ask the swarm a question.

    Exit status: 0 answered, 3 abstained (the swarm is not sure enough), 1 failed, 2 wrong usage.
    """
    import asyncio

    from waggle.cli.answer import print_round
    from waggle.cli.live import live_round
    from waggle.core.errors import EngineError
    from waggle.node.history.records import save_record
    from waggle.node.observing.ending import Ending, ending_of, why_none

    check_target(record)
    _refuse_engines_elsewhere(configuration, via, here=here or node is not None)
    settings = configuration.settings
    options = _options(settings, strategy, max_tokens, seed)
    text = _text_of(question)
    with live_round(quiet=as_json) as watch:
        if invites := _invites(configuration, via, node, here=here or node is not None):
            done = asyncio.run(_ask_via(invites, text, options, watch))
        else:
            swarm = swarm_of(settings)  # outside the event loop, which would keep Ctrl-C waiting
            done = asyncio.run(_ask(swarm, text, options, watch))
    print_round(done, explain=explain, as_json=as_json)
    if record is not None:
        save_record(done, record)
    if ending_of(done.outcome, done.events) is Ending.FAILED:
        raise EngineError(why_none(done))
    raise typer.Exit(ABSTAINED if done.outcome.abstained else 0)


def _refuse_engines_elsewhere(configuration: "Configuration", via: list[str] | None, *, here: bool) -> None:
    """Engines that the file or the environment names are for questions asked here; on one command line both clash.

    Raises:
        UsageError: saying what to leave out.
    """
    from waggle.core.errors import UsageError
    from waggle.node.config.table import SETTINGS

    given = [name for name in ("engines", "key_variable") if configuration.origins[name] == SETTINGS[name].flag]
    if via and here:
        raise UsageError("--via asks a swarm by its invite, --here and --node your own: give one of them")
    if (via or here) and given:
        which = "--via" if via else "--here"
        raise UsageError(f"{which} asks models elsewhere: leave out --engine and --key-variable")


def _invites(configuration: "Configuration", via: list[str] | None, node: str | None, *, here: bool) -> "list[Invite]":
    """Whom to ask instead of models of this process; nobody for those."""
    from waggle.cli.invites import invites_here, read_invites

    return invites_here(configuration.settings.home, node) if here else read_invites(via or (), configuration)


def _options(settings: "Settings", strategy: str, max_tokens: int, seed: int) -> "AskOptions":
    from waggle.core.asking import AskOptions
    from waggle.core.round_values import Budget

    return AskOptions(
        strategy=strategy,
        budget=Budget(tokens=settings.budget_tokens or None, seconds=settings.budget_seconds),
        min_confidence=settings.min_confidence,
        max_tokens=max_tokens,
        seed=seed,
    )


async def _ask(swarm: "Swarm", question: str, options: "AskOptions", watch: "Watch | None") -> "Record":
    try:
        return await swarm.ask(question, options, watch)
    finally:
        await swarm.close()


async def _ask_via(invites: "list[Invite]", question: str, options: "AskOptions", watch: "Watch | None") -> "Record":
    from waggle.node.network.outside import ask_via

    return await ask_via([invite.addresses for invite in invites], invites[0].network, question, options, watch)


def _text_of(given: str) -> str:
    """The question in words; - is what standard input holds, of which no more is read than a question may have."""
    from waggle.core.asking import MAX_QUESTION_BYTES, check_question
    from waggle.core.errors import UsageError

    raw = given.encode(errors="surrogateescape")
    if given == "-":
        raw = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_QUESTION_BYTES + 1)
    try:
        text = raw.decode() if len(raw) <= MAX_QUESTION_BYTES else raw.decode(errors="replace")
    except UnicodeDecodeError as error:
        raise UsageError("the question is not UTF-8 text") from error
    if "\0" in text:
        raise UsageError("the question holds a NUL byte: is it a text?")
    check_question(text)
    return text.strip()
