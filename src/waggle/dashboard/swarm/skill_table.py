"""Models by kinds of question: measured shares of right answers as a table of tinted cells."""

from collections.abc import Sequence

from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.words import one_line
from waggle.node.services.service import ServedModel

OVERALL = "any kind"
MOST_KINDS = 16


def kinds_of(models: Sequence[ServedModel]) -> list[str]:
    """All kinds that any model was measured on, by name, the overall figure last."""
    kinds = {kind for model in models for kind in model.skills}
    return [*sorted(kinds - {""})[:MOST_KINDS], *([""] if "" in kinds else [])]


def tint(share: float) -> str:
    """The background of a cell: the more right, the stronger. Text on it stays readable in both themes."""
    return f"background: color-mix(in srgb, var(--heat) {round(8 + 62 * min(1.0, max(0.0, share)))}%, var(--panel))"


def draw_skills(models: Sequence[ServedModel]) -> None:
    """Draw the table; models that were never measured are listed too."""
    if not any(model.usable for model in models):
        empty_state(
            "power_off", "No model can be used", "Neither this node nor a peer offers one now.", "waggle doctor"
        )
        return
    kinds = kinds_of(models)
    with box("scroll-x", tabindex="0", role="region", aria_label="Skills"), box("heat skills", "table"):
        with box("", "thead"), box("", "tr"):
            for name in ("model", "nodes", "tokens/s", *(kind or OVERALL for kind in kinds)):
                words(one_line(name.replace("_", " "), 40), "", "th", scope="col")
        with box("", "tbody"):
            for model in models:
                _row(model, kinds)
    if not kinds:
        words("None of them was measured yet. To measure your engines: waggle calibrate", "dim small", "p")


def _row(model: ServedModel, kinds: Sequence[str]) -> None:
    with box("", "tr"):
        with box("", "th", scope="row"), box("row named"):
            words(one_line(model.name, 60))
            if not model.usable:
                words("down", "chip bad")
        words(str(len(model.nodes)), "none", "td")
        words("–" if model.tokens_per_second is None else f"{model.tokens_per_second:,.0f}", "none", "td")
        for kind in kinds:
            share = model.skills.get(kind)
            if share is None:
                words("–", "none", "td")
            else:
                words(f"{100 * share:.0f}", "", "td").style(tint(share))
