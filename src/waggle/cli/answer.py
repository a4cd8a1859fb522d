"""Prints a finished round: the answer, the explanation, or one JSON object."""

import json
from collections.abc import Iterable

from waggle.cli.output import writing
from waggle.cli.shared import plain_console
from waggle.cli.table import Column, print_table, shown
from waggle.core.ids import NodeId
from waggle.core.inert import inert, one_line
from waggle.core.round_picture import pairwise
from waggle.core.round_values import BallotReceived, Proposal, ProposalReceived, Record
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.observing.names import names_of

WORDS, LABEL, REASON = 40, 24, 200  # characters shown of an answer, of a row's answer, of a name or failure
LEAST = 8  # to which answers are folded on a narrow screen


def print_round(record: Record, *, explain: bool, as_json: bool) -> None:
    """What was asked for, on standard output. Raises OutputError where that cannot be written."""
    with writing("the answer"):
        if as_json:
            print_json(record)
            return
        if explain:
            print_explanation(record)
        print_answer(record)


def print_answer(record: Record) -> None:
    """The answer, how sure, and what it cost; nothing where nobody was heard."""
    console, outcome = plain_console(), record.outcome
    ending = ending_of(outcome, record.events)
    if ending is Ending.FAILED:
        return
    if outcome.answer is None:
        console.print("the swarm has no answer: nothing that its models wrote can be used", style="bold yellow")
    elif outcome.abstained:
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


def print_explanation(record: Record) -> None:
    """Who said what, who stands behind which candidate, and who beat whom by how much."""
    console, outcome, names = plain_console(), record.outcome, names_of(record.plan)
    console.print("proposals", style="bold")
    _print_proposals(record)
    for node, reason in outcome.reasons.items():
        name = one_line(names.get(NodeId(node), node), WORDS)
        console.print(f"{name} failed: {one_line(reason, REASON)}", style="red", soft_wrap=True)
    console.print("\ncandidates", style="bold")
    _print_candidates(record)
    if outcome.ballots.cast:
        console.print("\nhow often the row beats the column, as the judges see it", style="bold")
        _print_pairwise(record)
    count = outcome.ballots
    console.print(
        f"\nballots: {count.asked} asked, {count.cast} cast, {count.refused} refused, "
        f"{count.unparseable} unparseable; ended because {one_line(outcome.reason, REASON)}",
        style="dim",
        soft_wrap=True,
    )


def _print_proposals(record: Record) -> None:
    names = names_of(record.plan)
    weights = {standing.node: standing.support_weight for standing in (*record.plan.proposers, *record.plan.standby)}
    found = _proposals_of(record)
    sure = ("-" if each.self_confidence is None else f"{each.self_confidence:.0%}" for each in found)
    print_table(
        [
            Column(head="node", cells=tuple(_shown(names[each.node], REASON) for each in found)),
            _folding("answer", (_shown(each.answer, WORDS) for each in found)),
            Column(head="sure of itself", cells=tuple(sure), spare=1),
            Column(head="weight", cells=tuple(f"{weights[each.node]:.2f}" for each in found), spare=2),
        ]
    )


def _print_candidates(record: Record) -> None:
    names, found = names_of(record.plan), record.outcome.candidates
    supporters = (", ".join(names[node] for node in candidate.supporters) for candidate in found)
    print_table(
        [
            Column(head="", cells=tuple(str(place) for place, _ in enumerate(found, 1))),
            _folding("candidate", (_shown(candidate.answer, WORDS) for candidate in found)),
            Column(head="strength", cells=tuple(f"{candidate.strength:+.2f}" for candidate in found)),
            Column(head="supporters", cells=tuple(_shown(each, REASON) for each in supporters), folds=True),
        ]
    )


def _folding(head: str, cells: Iterable[str]) -> Column:
    """A column of answers, whose words may be broken."""
    return Column(head=head, cells=tuple(cells), folds=True, least=LEAST)


def _shown(text: str, limit: int) -> str:
    return shown(one_line(text, limit))


def _proposals_of(record: Record) -> list[Proposal]:
    """The accepted proposals, in the plan's order of nodes."""
    order = {standing.node: rank for rank, standing in enumerate((*record.plan.proposers, *record.plan.standby))}
    found = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    return sorted(found, key=lambda proposal: order[proposal.node])


def _print_pairwise(record: Record) -> None:
    """Mean P(row beats column) over all judges and both orders, by weight."""
    candidates = record.outcome.candidates
    ballots = tuple(event.ballot for event in record.events if isinstance(event, BallotReceived))
    shares = pairwise(record.plan, ballots)
    places = [str(place) for place, _ in enumerate(candidates, 1)]
    columns = [
        Column(head="", cells=tuple(places)),
        _folding("", (_shown(row.answer, LABEL) for row in candidates)),
    ]
    for place, column in zip(places, candidates, strict=True):
        found = (shares.get((row.number, column.number)) for row in candidates)
        columns.append(Column(head=place, cells=tuple("" if share is None else f"{share:.0%}" for share in found)))
    print_table(columns)


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
        "failures": outcome.reasons,
        "reason": outcome.reason,
    }
    print(json.dumps(shown, allow_nan=False))
