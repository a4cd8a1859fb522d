"""How a round ended, plainly: the answer and how sure it is, an abstention, or why there is none."""

from collections.abc import Mapping

from waggle.core.round_values import Outcome, Record
from waggle.dashboard.elements import box, link, words
from waggle.dashboard.words import duration, many, one_line, percent, plain, short_id, with_names
from waggle.node.picture import names_of

LONG = 120  # characters from which an answer is a text and not a word


def show_verdict(record: Record, *, opens: bool) -> None:
    """Show the end of a round; `opens` adds the link to its record."""
    outcome, names = record.outcome, names_of(record.plan)
    kind, label = verdict_kind(outcome)
    with box(f"answer {kind}", "section", aria_label="The answer", role="alert" if kind == "failed" else "region"):
        words(label, "answer-label", "p")
        if outcome.answer is None:
            _failures(outcome, names)
        else:
            long = "long" if len(outcome.answer) > LONG else ""
            words(plain(outcome.answer) or "(an empty answer)", f"answer-words words {long}", "p")
            _meter(outcome.confidence, record.plan.min_confidence, kind)
            words(confidence_words(record), "small", "p")
            _behind(outcome, names)
        with box("row apart"):
            words(cost_words(record), "dim small num")
            if opens:
                link("Open the record", f"/rounds/{record.plan.round_id}", "small")


def verdict_kind(outcome: Outcome) -> tuple[str, str]:
    """The look of an ending, and the sentence that says it."""
    if outcome.answer is None:
        return "failed", "The round failed: there is no answer."
    if outcome.abstained:
        return "unsure", "The swarm is not sure enough to answer. Its best guess:"
    return "", "The swarm answers"


def confidence_words(record: Record) -> str:
    """How sure the swarm is, beside what was asked for, and what comes second."""
    outcome = record.outcome
    sure = f"Confidence {percent(outcome.confidence)}"
    if record.plan.min_confidence > 0:
        sure += f", asked for {percent(record.plan.min_confidence)}"
    if outcome.runner_up is None:
        return sure + "."
    behind = f" Runner-up: “{one_line(outcome.runner_up, 80)}”"
    better = "" if outcome.confusion_p is None else f", better with a probability of {percent(outcome.confusion_p)}"
    return f"{sure}.{behind}{better}."


def cost_words(record: Record) -> str:
    """What it cost."""
    spent = record.outcome.spent
    tokens = spent.proposing_tokens + spent.judging_tokens
    return f"{many(tokens, 'token')} ({spent.judging_tokens:,} of them judging), {duration(spent.seconds)}"


def _meter(confidence: float, wanted: float, kind: str) -> None:
    with box("meter", role="img", aria_label=f"Confidence {percent(confidence)}, asked for {percent(wanted)}"):
        box("meter-fill").style(f"width: {100 * min(1.0, max(0.0, confidence)):.1f}%")
        if wanted > 0:
            box("meter-mark").style(f"left: {100 * min(1.0, wanted):.1f}%")


def _behind(outcome: Outcome, names: Mapping[str, str]) -> None:
    if outcome.candidates:
        with box("row").style("gap: .35rem; margin: .4rem 0"):
            words("Supported by", "dim small")
            for name in outcome.candidates[0].supporters:
                words(short_id(names.get(name, name)), "chip", title=one_line(name, 200))
    for node, reason in outcome.failures.items():
        words(f"{short_id(names.get(node, node))} failed: {one_line(with_names(reason, names), 200)}", "dim small", "p")


def _failures(outcome: Outcome, names: Mapping[str, str]) -> None:
    words(f"It ended because {one_line(outcome.reason, 200)}.", "", "p")
    with box("stack", "ul").style("gap: .1rem; padding-left: 1.2rem; margin: .4rem 0"):
        for node, reason in outcome.failures.items():
            words(f"{short_id(names.get(node, node))}: {one_line(with_names(reason, names), 200)}", "small words", "li")
