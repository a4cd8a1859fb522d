"""What people call the nodes of a round, in the API, on the pages and in the terminal."""

from collections import Counter
from collections.abc import Mapping

from waggle.core.ids import NodeId
from waggle.core.round_values import Plan
from waggle.core.words import id_end

PEER_ID = "12D3KooW"
"""How the id of every Ed25519 key begins, in base58."""


def short_name(node: NodeId, model: str = "") -> str:
    """The model and the end of the id: "acacia ...9KAYs"; a node of this process goes by its own name."""
    if not node.startswith(PEER_ID):
        return node
    tail = id_end(node)
    return f"{model} {tail}" if model else tail


def names_of(plan: Plan) -> Mapping[str, str]:
    """What to call every node of a plan: its model, and where several have that model the end of its id too."""
    models = {standing.node: standing.model for standing in (*plan.judges, *plan.standby, *plan.proposers)}
    count = Counter(models.values())
    return {node: model if model and count[model] == 1 else short_name(node, model) for node, model in models.items()}
