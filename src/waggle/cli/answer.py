"""Prints a finished round: the answer, the explanation, or one JSON object."""

import json

from rich import box
from rich.table import Table

from waggle.cli.shared import plain_console
from waggle.core.ids import NodeId
from waggle.core.inert import inert, one_line
from waggle.core.round_values import BallotReceived, Proposal, ProposalReceived, Record
from waggle.node.observing.names import names_of
from waggle.node.observing.picture import pairwise

WORDS, LABEL, REASON = 40, 24, 200  # characters shown of an answer, of a row's name, of a failure


def print_round(record: Record, *, explain: bool, as_json: bool) -> None:
    """What was asked for, on standard output."""
    if as_json:
        print_json(record)
        return
    if explain:
        print_explanation(record)
    print_answer(record)


def print_answer(record: Record) -> None:
    """The answer, how sure, and what it cost; nothing where there is no answer."""
    console, outcome = plain_console(), record.outcome
    if outcome.answer is None:
        return
    if outcome.abstained:
        console.print("the swarm is not sure enough to answer", style="bold yellow")
        console.print(f"best guess: {inert(outcome.answer)}", soft_wrap=True)
    else:
        console.print(inert(outcome.answer), style="bold green", soft_wrap=True)
    console.print(_cost(record), style="dim", soft_wrap=True)


def _cost(record: Record) -> str:
    outcome, spent = record.outcome, record.outcome.spent
    tokens = f"{spent.proposing_tokens + spent.judging_tokens} tokens"
    parts = f"proposing {spent.proposing_tokens}, judging {spent.judging_tokens}"
    asked, lost = len(record.plan.proposers), len(outcome.failures)
    failed = f", {lost} of {asked} models failed (--explain says why)" if lost else ""
    return f"confidence {outcome.confidence:.0%}, {tokens} ({parts}), {spent.seconds:.1f} s{failed}"


def no_answer(record: Record) -> str:
    """Why there is no answer at all."""
    names = names_of(record.plan)
    failures = "; ".join(
        f"{names.get(NodeId(node), node)}: {reason}" for node, reason in record.outcome.failures.items()
    )
    return f"no answer: {failures or record.outcome.reason}"


def print_explanation(record: Record) -> None:
    """Who said what, who stands behind which candidate, and who beat whom by how much."""
    console, outcome, names = plain_console(), record.outcome, names_of(record.plan)
    console.print("proposals", style="bold")
    console.print(_proposals(record))
    for node, reason in outcome.failures.items():
        name = one_line(names.get(NodeId(node), node), WORDS)
        console.print(f"{name} failed: {one_line(reason, REASON)}", style="red", soft_wrap=True)
    console.print("candidates", style="bold")
    console.print(_candidates(record))
    if outcome.ballots.cast:
        console.print("how often the row beats the column, as the judges see it", style="bold")
        console.print(_pairwise(record))
    count = outcome.ballots
    console.print(
        f"ballots: {count.asked} asked, {count.cast} cast, {count.refused} refused, "
        f"{count.unparseable} unparseable; ended because {one_line(outcome.reason, REASON)}",
        style="dim",
        soft_wrap=True,
    )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _proposals(record: Record) -> Table:
    table, names = _table("node", "answer", "sure of itself", "weight"), names_of(record.plan)
    weights = {standing.node: standing.support_weight for standing in (*record.plan.proposers, *record.plan.standby)}
    for proposal in proposals_of(record):
        sure = "-" if proposal.self_confidence is None else f"{proposal.self_confidence:.0%}"
        node, answer = one_line(names[proposal.node], WORDS), one_line(proposal.answer, WORDS)
        table.add_row(node, answer, sure, f"{weights[proposal.node]:.2f}")
    return table


def _candidates(record: Record) -> Table:
    table, names = _table("", "candidate", "strength", "supporters"), names_of(record.plan)
    for place, candidate in enumerate(record.outcome.candidates, 1):
        supporters = one_line(", ".join(names[node] for node in candidate.supporters), REASON)
        table.add_row(str(place), one_line(candidate.answer, WORDS), f"{candidate.strength:+.2f}", supporters)
    return table


def proposals_of(record: Record) -> list[Proposal]:
    """The accepted proposals, in the plan's order of nodes."""
    order = {standing.node: rank for rank, standing in enumerate((*record.plan.proposers, *record.plan.standby))}
    found = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    return sorted(found, key=lambda proposal: order[proposal.node])


def _pairwise(record: Record) -> Table:
    """Mean P(row beats column) over all judges and both orders, by weight."""
    candidates = record.outcome.candidates
    ballots = tuple(event.ballot for event in record.events if isinstance(event, BallotReceived))
    shares = pairwise(record.plan, ballots)
    table = _table("", "", *(str(place) for place in range(1, len(candidates) + 1)))
    for place, row in enumerate(candidates, 1):
        found = [shares.get((row.number, column.number)) for column in candidates]
        cells = ("" if share is None else f"{share:.0%}" for share in found)
        table.add_row(str(place), one_line(row.answer, LABEL), *cells)
    return table


def print_json(record: Record) -> None:
    """One object with stable keys on standard output: one line, ASCII, so that it is the same in every locale."""
    outcome, plan = record.outcome, record.plan
    shown = {
        "answer": outcome.answer,
        "confidence": outcome.confidence,
        "abstained": outcome.abstained,
        "candidates": [
            {"answer": c.answer, "strength": c.strength, "support": c.support, "supporters": list(c.supporters)}
            for c in outcome.candidates
        ],
        "runner_up": outcome.runner_up,
        "confusion_p": outcome.confusion_p,
        "ballots": {name: getattr(outcome.ballots, name) for name in outcome.ballots.__struct_fields__},
        "spent": {name: getattr(outcome.spent, name) for name in outcome.spent.__struct_fields__},
        "seed": plan.seed,
        "strategy": plan.strategy,
        "nodes": [standing.node for standing in plan.proposers],
        "failures": outcome.failures,
        "reason": outcome.reason,
    }
    print(json.dumps(shown, allow_nan=False))
