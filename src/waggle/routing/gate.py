"""One node, or the committee? Where a node is known to be good at this kind of question, others only cost.

A committee can put right what one node gets wrong, at several times the tokens, and it can also outvote who is right.
So the gate sends a question to one node where that node's measured skill leaves the committee little to add. Skill here
is skill at this very question: it falls with the doubt about the question's kind, and a node that was never measured is
never enough. Only nodes that need no check may be given: whoever answers alone is judged by nobody.
"""

from collections.abc import Sequence

from waggle.core.round_values import Standing

ENOUGH_SKILL = 0.9
"""From here on the committee can gain a tenth at most. 40 of 40 calibration questions show 0.91 to 0.95, 38 of 40
less than 0.9."""


def one_is_enough(trusted: Sequence[Standing], *, enough: float = ENOUGH_SKILL) -> Standing | None:
    """The most skilled of these nodes, where its answer alone will do; else None, for the committee."""
    best = max(trusted, key=lambda standing: standing.skill, default=None)
    return best if best is not None and best.skill >= enough else None
