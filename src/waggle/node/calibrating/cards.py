"""Carries what a calibration measured onto the bundled models' own cards."""

import msgspec

from waggle.models.hive import hive_folder, hive_names, read_card, write_card
from waggle.node.calibration import Calibration
from waggle.routing.skills import SkillCount


def write_skills(calibration: Calibration) -> None:
    """Update the card of every bundled model that was measured: skills, judging skills, and how it judges best."""
    for name in set(hive_names()) & set(calibration.nodes):
        skills = calibration.nodes[name]
        card = msgspec.structs.replace(
            read_card(hive_folder(name)),
            skills=_shares(skills.proposer),
            judge_skills=_shares(skills.judge),
            judge=calibration.judge_methods[name].value,
        )
        write_card(hive_folder(name), card)


def _shares(counts: dict[str, SkillCount]) -> dict[str, float]:
    return {kind: round(count.right / count.asked, 3) for kind, count in counts.items() if count.asked}
