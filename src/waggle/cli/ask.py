"""`waggle ask`: a question in, the swarm's answer out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.shared import AsJson, Engines, KeyVariable, Seed, check_target, swarm_of

if TYPE_CHECKING:
    from waggle.core.round_values import Record
    from waggle.node.planning import AskOptions
    from waggle.node.runner import Watch
    from waggle.node.swarm import Swarm

ABSTAINED = 3
DAY = 86_400.0  # seconds
Via = Annotated[
    list[str] | None,
    typer.Option(
        "--via",
        metavar="INVITE",
        help="Ask a running swarm in place of models of this process: an invite (waggle://...) or multiaddr of "
        "one of its nodes. Repeatable.",
    ),
]


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.")],
    strategy: Annotated[str, typer.Option(metavar="NAME", help="swarm, vote, best or solo:MODEL.")] = "swarm",
    engine: Engines = None,
    key_variable: KeyVariable = None,
    via: Via = None,
    budget_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Ceiling in tokens, prompts included.", min=1)
    ] = None,
    budget_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Ceiling in seconds, once the models are loaded.", min=0.1, max=DAY)
    ] = 60.0,
    min_confidence: Annotated[
        float, typer.Option(metavar="P", help="Abstain below this confidence.", min=0.0, max=1.0)
    ] = 0.5,
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

    from waggle.cli.answer import no_answer, print_round
    from waggle.cli.live import live_round
    from waggle.core.errors import EngineError, UsageError
    from waggle.core.round_values import Budget
    from waggle.node.planning import AskOptions
    from waggle.node.records import save_record

    check_target(record)
    if via and (engine or key_variable):
        raise UsageError("--via asks models elsewhere: leave out --engine and --key-variable")
    options = AskOptions(
        strategy=strategy,
        budget=Budget(tokens=budget_tokens, seconds=budget_seconds),
        min_confidence=min_confidence,
        max_tokens=max_tokens,
        seed=seed,
    )
    text = _text_of(question)
    with live_round(quiet=as_json) as watch:
        if via:
            done = asyncio.run(_ask_via(via, text, options, watch))
        else:
            swarm = swarm_of(engine, key_variable)  # outside the event loop, which would keep Ctrl-C waiting
            done = asyncio.run(_ask(swarm, text, options, watch))
    print_round(done, explain=explain, as_json=as_json)
    if record is not None:
        save_record(done, record)
    if done.outcome.answer is None:
        raise EngineError(no_answer(done))
    raise typer.Exit(ABSTAINED if done.outcome.abstained else 0)


async def _ask(swarm: "Swarm", question: str, options: "AskOptions", watch: "Watch | None") -> "Record":
    try:
        return await swarm.ask(question, options, watch)
    finally:
        await swarm.close()


async def _ask_via(invites: list[str], question: str, options: "AskOptions", watch: "Watch | None") -> "Record":
    from waggle.mesh.invite import parse_invite
    from waggle.node.outside import ask_via

    parsed = [parse_invite(text) for text in invites]
    return await ask_via([invite.addresses for invite in parsed], parsed[0].network, question, options, watch)


def _text_of(given: str) -> str:
    """The question in words; - is what standard input holds, of which no more is read than a question may have."""
    from waggle.core.errors import UsageError
    from waggle.node.planning import MAX_QUESTION_BYTES, check_question

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
