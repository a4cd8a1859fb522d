"""What each node of `waggle up` is told: its share of what the command was, and nothing else."""

from typing import TYPE_CHECKING

from waggle.cli.ask import OF_QUESTIONS
from waggle.cli.gateway import OF_GATEWAYS
from waggle.cli.local import UP

if TYPE_CHECKING:
    from waggle.node.config.settings import Settings

OF_ALL_NODES = (
    "network",
    "key_variable",
    "capacity",
    "queue",
    "queue_per_asker",
    "max_nodes",
    "hedge_factor",
    *OF_QUESTIONS,
    "log_level",
    "log_format",
    "log_prompts",
    "home",
)
NAME_CHARACTERS = 48


def nodes_of(settings: "Settings", specs: list[str]) -> "list[Settings]":
    """The settings of every node, one for each engine; the first one alone has the gateway."""
    from msgspec.structs import replace

    from waggle.node.config.settings import LOOPBACK, Settings

    shared = {name: getattr(settings, name) for name in OF_ALL_NODES}
    common = Settings(**shared, listen=LOOPBACK, multicast=False, remember=False)
    nodes = [replace(common, name=name, engines=(spec,)) for name, spec in zip(node_names(specs), specs, strict=True)]
    return [replace(nodes[0], **{name: getattr(settings, name) for name in OF_GATEWAYS}), *nodes[1:]]


def node_names(specs: list[str]) -> list[str]:
    """A name for each node, after its model: up-acacia, up-borage, up-acacia-2."""
    names: list[str] = []
    for spec in specs:
        model = spec.rpartition("#")[2].rpartition("/")[2].removeprefix("hive:")
        base = UP + ("".join(c if c.isalnum() or c in "._-" else "-" for c in model) or "node")[:NAME_CHARACTERS]
        copies = sum(name == base or name.startswith(base + "-") for name in names)
        names.append(base if not copies else f"{base}-{copies + 1}")
    return names


def bundled() -> list[str]:
    """Every bundled model. Raises UsageError where there is none."""
    from waggle.core.errors import UsageError
    from waggle.models.hive import hive_names

    if names := hive_names():
        return [f"hive:{name}" for name in names]
    raise UsageError("this package holds no models: run waggle train hive, or name engines with --engine")
