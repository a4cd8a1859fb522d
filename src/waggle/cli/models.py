"""`waggle models`: the cards of the bundled models."""

from pathlib import Path
from typing import TYPE_CHECKING

from waggle.cli.shared import AsJson, plain_console

if TYPE_CHECKING:
    from rich.table import Table

EXPERT = 0.85  # share of right answers from which on a model counts as an expert


def models(as_json: AsJson = False) -> None:
    """Show the bundled models and what they were measured to know.

    A skill is the percentage of unseen questions answered right; behind the slash, of pairs judged right.
    """
    from waggle.core.errors import CheckpointError
    from waggle.models.hive import hive_names

    facts = {name: _facts(name) for name in hive_names()}
    if as_json:
        import json

        print(json.dumps(facts, allow_nan=False))
    elif facts:
        _print_cards(facts)
    else:
        raise CheckpointError("this package holds no models: run waggle train hive")


def _facts(name: str) -> dict[str, object]:
    from waggle.models.config import load_json, read_config
    from waggle.models.hive import hive_folder, read_card

    folder = hive_folder(name)
    card, config = read_card(folder), read_config(load_json(folder / "config.json"))
    weights = folder / "model.safetensors"
    return {
        "architecture": config.family,
        "layers": config.layers,
        "hidden": config.hidden,
        "parameters": _parameters(weights),
        "bytes": weights.stat().st_size,
        "trained_steps": card.trained_steps,
        "trained_seconds": card.trained_seconds,
        "licence": card.licence,
        "judge": card.judge,
        "skills": card.skills,
        "judge_skills": card.judge_skills,
    }


def _parameters(weights: Path) -> int:
    """Numbers in a float16 safetensors file: everything behind its header, two bytes each."""
    with weights.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    return (weights.stat().st_size - 8 - header) // 2


def _print_cards(facts: dict[str, dict[str, object]]) -> None:
    console = plain_console()
    sizes = _table("model", "network", "weights", "file", "trained", "judges by", "licence")
    for name, fact in facts.items():
        trained = f"{fact['trained_steps']} steps {_number(fact['trained_seconds']) / 60:.0f} min"
        size = f"{_number(fact['bytes']) / 1e6:.1f} MB"
        shape = f"{fact['architecture']} {fact['layers']}x{fact['hidden']}"
        millions = f"{_number(fact['parameters']) / 1e6:.2f} M"
        sizes.add_row(name, shape, millions, size, trained, str(fact["judge"] or "-"), str(fact["licence"]))
    console.print(sizes)
    if any(fact["skills"] for fact in facts.values()):
        console.print(_skills(facts))
        console.print("per cent answered right / judged right; waggle calibrate measures it")
    else:
        console.print("not measured yet: run waggle calibrate")


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, padding=0, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _skills(facts: dict[str, dict[str, object]]) -> "Table":
    from rich.text import Text

    table = _table("", *facts)
    kinds = sorted({kind for fact in facts.values() for kind in _shares(fact["skills"])})
    for kind in kinds:
        cells = [_cell(fact, kind) for fact in facts.values()]
        table.add_row(kind, *(Text(text, style=style) for text, style in cells))
    return table


def _cell(fact: dict[str, object], kind: str) -> tuple[str, str]:
    answers, judges = _shares(fact["skills"]).get(kind), _shares(fact["judge_skills"]).get(kind)
    if answers is None or judges is None:
        return "-", "dim"
    return f"{100 * answers:.0f}/{100 * judges:.0f}", "bold green" if answers >= EXPERT else ""


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _shares(value: object) -> dict[str, float]:
    return value if isinstance(value, dict) else {}
