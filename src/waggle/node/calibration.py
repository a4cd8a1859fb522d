"""What a deployment has measured of its own nodes: skills by kind of question, and how sure a winner may make it.

One JSON file. It belongs to a set of nodes, by name; a node that is not in it counts as unmeasured. The hive ships
with one, made on questions that no benchmark uses.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from waggle.consensus.calibration import PlattCalibration
from waggle.core.asking import COMMITTEE
from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import ConfidenceModel, Standing
from waggle.node.home.files import read_json, replace_file
from waggle.routing.kinds import KindClassifier, KindGuess
from waggle.routing.skills import NodeSkills, weigh

MAX_FILE_BYTES = 4 * 1024 * 1024
EARLIER_NAMES = {"swarm": COMMITTEE}
"""What fits were called in calibrations that people have already: to measure anew takes many minutes."""


class Calibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything measured. `chances` is, per kind, the share of questions that the commonest answer gets right.

    `confidence` holds one model per strategy; a strategy without one reports an uncalibrated confidence.
    """

    nodes: dict[str, NodeSkills]
    judge_methods: dict[str, JudgeMethod]
    chances: dict[str, float]
    kinds: KindClassifier
    confidence: dict[str, ConfidenceModel] = {}
    questions_per_kind: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for model in self.confidence.values():
            PlattCalibration(model.intercept, model.coefficients)
        if not all(0 <= chance <= 1 for chance in self.chances.values()):
            raise ValueError("chances are shares of questions")
        if not all(threshold > 0 for threshold in self.kinds.thresholds):
            raise ValueError("a familiarity threshold is above 0")

    def guess(self, question: str) -> KindGuess:
        """What kind of question this seems to be."""
        return self.kinds.guess(question)

    def standing(self, node: NodeId, guess: KindGuess) -> Standing:
        """A node's weights for a question of that kind; an unmeasured node weighs nothing."""
        chance = sum(p * self.chances.get(kind, 0.0) for kind, p in guess.probabilities.items())
        skills = self.nodes.get(node, NodeSkills())
        weights = weigh(guess.probabilities, skills, certainty=guess.certainty, proposer_chance=min(chance, 0.95))
        return Standing(
            node=node,
            support_weight=weights.proposer,
            judge_weight=weights.judge,
            skill=weights.proposer_p,
            judge_method=self.judge_methods.get(node, JudgeMethod.AUTO),
        )


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        UsageError: missing, oversize or not a calibration; the text says what to do.
    """
    try:
        found = read_json(path, Calibration, name="calibration", most_bytes=MAX_FILE_BYTES)
    except UsageError as error:
        raise UsageError(f"{error}; run waggle calibrate") from error
    fits = {EARLIER_NAMES.get(name, name): fit for name, fit in found.confidence.items()}
    return msgspec.structs.replace(found, confidence=fits)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration, readable for people where it can be. Raises UsageError where that is not possible."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(calibration), indent=1))
