"""How a round ended, plainly: the answer and how sure it is, an abstention, or why there is none."""

from collections.abc import Mapping

from waggle.core.failures import Cause, Failure
from waggle.core.round_values import Outcome, Record
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, link, words
from waggle.dashboard.frame.words import duration, one_line, percent, plain, short_id, with_names
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.observing.names import names_of

SILENT = "no answer"
UNHEARD = (Cause.LATE, Cause.EMPTY, Cause.UNREACHABLE)
"""The failures of nodes that said nothing, however long each was waited for."""
MOST_NAMED = 12
LONG = 120  # characters from which an answer is a text and not a word


def show_verdict(record: Record, *, opens: bool) -> None:
    """Show the end of a round; `opens` adds the link to its record."""
    outcome, names = record.outcome, names_of(record.plan)
    kind, label = verdict_kind(outcome, who_answers(record), ending_of(outcome, record.events))
    with box(f"answer {kind}", "section", aria_label="The answer", role="alert" if kind == "failed" else "region"):
        with box("answer-parts"):
            with box("answer-said"):
                words(label, "answer-label", "p")
                if outcome.answer is None:
                    _failures(outcome, names)
                else:
                    long = "long" if len(outcome.answer) > LONG else ""
                    words(plain(outcome.answer) or "(an empty answer)", f"answer-words words {long}", "p")
            if outcome.answer is not None:
                _sure(outcome.confidence, record.plan.min_confidence)
        if outcome.answer is not None:
            _behind(outcome, names)
        with box("row apart answer-end"):
            words(cost_words(record), "dim small num")
            if opens:
                link("Open the record", f"/rounds/{record.plan.round_id}", "small")


def who_answers(record: Record) -> str:
    """The swarm, or the one node that was asked alone."""
    candidates = record.outcome.candidates
    if len(record.plan.proposers) != 1 or record.plan.judges or not candidates:
        return "The swarm"
    name = candidates[0].supporters[0] if candidates[0].supporters else record.plan.proposers[0].node
    return short_id(names_of(record.plan).get(name, name))


def verdict_kind(outcome: Outcome, who: str = "The swarm", ending: Ending = Ending.FAILED) -> tuple[str, str]:
    """The look of an ending, and the sentence that says it; `ending` decides where there is no answer."""
    if outcome.answer is None and ending is Ending.ABSTAINED:
        return "unsure", f"{who} abstains: nothing that was proposed can be used."
    if outcome.answer is None:
        return "failed", "The round failed: there is no answer."
    if outcome.abstained:
        return "unsure", f"{who} is not sure enough to answer. Its best guess:"
    return "", f"{who} answers" + ("" if who == "The swarm" else ", asked alone")


def runner_up_words(outcome: Outcome) -> str:
    """What comes second, and how it would fare where a judge compares just the two."""
    if outcome.runner_up is None:
        return ""
    chance = percent(outcome.confusion_p)
    about = "" if chance.startswith("<") else "about "
    better = "" if outcome.confusion_p is None else f" would win {about}{chance} of comparisons with this answer"
    return f"Runner-up: “{one_line(outcome.runner_up, 80)}”{better}."


def cost_words(record: Record) -> str:
    """What it cost; ballots that judges remembered from before cost no tokens."""
    spent, ballots = record.outcome.spent, record.outcome.ballots
    took = duration(spent.seconds)
    tokens = spent.proposing_tokens + spent.judging_tokens
    if not tokens:
        return took
    judging = f" ({spent.judging_tokens:,} of them judging)" if spent.judging_tokens else ""
    if ballots.cast and not spent.judging_tokens:
        judging = " (none for judging: these answers had been compared before)"
    wasted = f" and {record.wasted_tokens:,} for unused calls" if record.wasted_tokens else ""
    return f"{many(tokens, 'token')}{judging}{wasted}, {took}"


def _sure(confidence: float, wanted: float) -> None:
    """How sure the swarm is, beside what was asked for."""
    with box("sure"):
        with box("row apart"):
            words("Confidence", "small")
            words(percent(confidence), "sure-share num")
        with box("meter", aria_hidden="true"):
            box("meter-fill").style(f"width: {100 * min(1.0, max(0.0, confidence)):.1f}%")
            if wanted > 0:
                box("meter-mark").style(f"left: {100 * min(1.0, wanted):.1f}%")
        if wanted > 0:
            words(f"asked for {percent(wanted)}", "small num sure-wanted", "p")


def _behind(outcome: Outcome, names: Mapping[str, str]) -> None:
    if runner_up := runner_up_words(outcome):
        words(runner_up, "small", "p")
    if outcome.candidates:
        with box("row supported"):
            words("Supported by", "dim small")
            for name in outcome.candidates[0].supporters:
                words(short_id(names.get(name, name)), "chip", title=one_line(name, 200))
    for who, reason in failure_lines(outcome.failures, names):
        words(f"{who} {reason}", "dim small", "p")


def failure_lines(failures: Mapping[str, Failure], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who failed and why; those that failed alike are told in one line."""
    alike: dict[str, list[str]] = {}
    for node, failure in failures.items():
        told = SILENT if failure.cause in UNHEARD else one_line(with_names(failure.reason, names), 200)
        alike.setdefault(told, []).append(node)
    lines = []
    for told, nodes in alike.items():
        called = [short_id(names.get(node, node)) for node in nodes]
        if len(nodes) == 1:
            lines.append((called[0], f"failed: {one_line(with_names(failures[nodes[0]].reason, names), 200)}"))
        else:
            more = f" and {len(nodes) - MOST_NAMED:,} more" if len(nodes) > MOST_NAMED else ""
            listed = ", ".join(called[:MOST_NAMED]) + more
            why = f"gave no answer: {listed}" if told == SILENT else f"failed: {listed} ({told})"
            lines.append((f"{len(nodes):,} nodes", why))
    return lines


def _failures(outcome: Outcome, names: Mapping[str, str]) -> None:
    words(f"It ended because {one_line(outcome.reason, 200)}.", "", "p")
    with box("stack", "ul").style("gap: .1rem; padding-left: 1.2rem; margin: .4rem 0"):
        for who, reason in failure_lines(outcome.failures, names):
            words(f"{who} {reason}", "small words", "li")
