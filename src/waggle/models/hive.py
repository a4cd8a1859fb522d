"""The bundled models: where they lie in the package, and the card beside each model's weights.

A model folder is an ordinary Hugging Face folder; `waggle.json` in it says what no other file has a place for. A
folder without one is a model like any other, without an answer marker.
"""

from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from waggle.core.errors import CheckpointError, UsageError

CARD = "waggle.json"


class ModelCard(Struct, frozen=True, kw_only=True):
    """What `waggle.json` says: how the model marks its answer, judges best, and what it was measured to know.

    `skills` maps a kind of question to the measured share of right answers in [0, 1]. `judge` None leaves the choice to
    the engine; `judge_skills` is the same for pairs of which one is right. Entries that are not known here are left
    alone.
    """

    name: str | None = None
    family: str | None = None
    answer_marker: str | None = None
    judge: Literal["resolve", "verdict", "direct"] | None = None
    skills: dict[str, float] = {}
    judge_skills: dict[str, float] = {}
    licence: str | None = None
    trained_steps: int | None = None
    trained_seconds: float | None = None


def hive_root() -> Path:
    """The folder that holds the bundled models; it may not exist yet."""
    return Path(str(files("waggle"))) / "hive"


def hive_names() -> list[str]:
    """The bundled models that are there, in alphabetical order."""
    return sorted(path.parent.name for path in hive_root().glob("*/config.json"))


def hive_folder(name: str) -> Path:
    """The folder of one bundled model. Raises UsageError where there is none of that name."""
    if name not in hive_names():
        raise UsageError(f"no bundled model is called {name!r}; there are {', '.join(hive_names()) or 'none'}")
    return hive_root() / name


def read_card(folder: Path) -> ModelCard:
    """The card of the model in `folder`; an empty one where there is no `waggle.json`. Raises CheckpointError."""
    path = folder / CARD
    if not path.exists():
        return ModelCard()
    try:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise CheckpointError(f"{path} is not a model card: {error}") from error
    if not all(0 <= skill <= 1 for skill in card.skills.values()):
        raise CheckpointError(f"{path}: skills should be shares between 0 and 1, found {card.skills}")
    return card


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `waggle.json`."""
    text = msgspec.json.format(msgspec.json.encode(card), indent=2)
    (folder / CARD).write_bytes(text + b"\n")
