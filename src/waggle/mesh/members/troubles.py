"""What hinders a node in the swarm, in words for its owner; each is logged once and forgotten when it stays away.

Ours and what peers say of us are kept apart, so that a peer that talks much cannot hide what we know ourselves.
"""

import logging

from waggle.core.inert import one_line

MAX_TROUBLES = 8
"""Of each kind that are kept."""
TROUBLE_SECONDS = 300.0
MAX_WORDS = 256  # characters

log = logging.getLogger(__name__)


class Troubles:
    """The troubles of the last minutes, the newest note of each."""

    def __init__(self) -> None:
        """None yet."""
        self._own: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def note(self, trouble: str, now: float) -> None:
        """We found something out."""
        self._keep(self._own, trouble, now)

    def hear(self, words: str, now: float) -> None:
        """A peer told us why it does not take us; whatever it said."""
        self._keep(self._heard, f"a peer says: {one_line(words, MAX_WORDS)}", now)

    def current(self, now: float) -> tuple[str, ...]:
        """Those that were noted within TROUBLE_SECONDS, ours first."""
        return tuple(
            trouble for kind in (self._own, self._heard) for trouble, at in kind.items() if at > now - TROUBLE_SECONDS
        )

    def _keep(self, kind: dict[str, float], trouble: str, now: float) -> None:
        for old in [known for known, at in kind.items() if at <= now - TROUBLE_SECONDS]:
            del kind[old]
        if trouble not in kind:
            if len(kind) >= MAX_TROUBLES:
                return
            log.warning("%s", trouble)
        kind[trouble] = now
