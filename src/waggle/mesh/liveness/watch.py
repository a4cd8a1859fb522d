"""Who is there, by our own pings alone (after SWIM, Das et al. 2002). Pure: times are arguments.

Only an answer to our own ping makes a node usable, and only our own unanswered pings make it suspect, then dead.
What others say of it never kills and never revives: a rumour of its silence makes us ask it at once, and others'
word that it answers them only puts its death off, once. Load plays no part: a busy node answers pings.
"""

from collections.abc import Iterable
from random import Random

from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Liveness, Load
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.liveness.pings import MAX_HINTS, Hint

HEARSAY_SECONDS = 3.0
"""A rumour about a node makes us ask it once in this time at most."""
HEARSAY_FRESH_SECONDS = 1.0
"""A node that answered us so short a time ago is not asked again for a rumour."""
STRANGER_SECONDS = 10.0
"""How long a suspect may go without ever answering before it is given up."""
LEAST_FAILURES = 3
STRANGER_FAILURES = 6


class Pulse(Struct):
    """What our pings to one node gave. Times in seconds of our clock."""

    incarnation: int
    added_at: float
    answered_at: float | None = None
    round_trip: float | None = None
    load: Load | None = None
    failures: int = 0
    """Unanswered pings since the last answer."""
    suspect_since: float | None = None
    vouched: bool = False
    was_lost: bool = False
    """It was given up before and has not answered since."""
    asked_at: float = -1e9
    doubted_at: float = -1e9


class Watch:
    """The pulses of all nodes that are neither departed nor dead."""

    def __init__(self, pace: Pace, rng: Random) -> None:
        """Watch nobody."""
        self._pace = pace
        self._rng = rng
        self._pulses: dict[NodeId, Pulse] = {}
        self._usable: dict[NodeId, None] = {}
        self._suspects: dict[NodeId, None] = {}
        self._round: list[NodeId] = []
        self._in_round: set[NodeId] = set()

    def __contains__(self, node: NodeId) -> bool:
        return node in self._pulses

    @property
    def usable(self) -> Iterable[NodeId]:
        """Those who answered our last ping, in the order in which they became so."""
        return self._usable

    @property
    def usable_count(self) -> int:
        """How many these are."""
        return len(self._usable)

    def pulse(self, node: NodeId) -> Pulse | None:
        """What we know of a node that we watch."""
        return self._pulses.get(node)

    # --- what happens ------------------------------------------------------------------------------------------------

    def add(self, node: NodeId, incarnation: int, now: float, *, was_lost: bool = False) -> bool:
        """Watch a node, or begin anew where it has; False where nothing changed."""
        old = self._pulses.get(node)
        if old is not None and old.incarnation >= incarnation:
            return False
        self.forget(node)
        self._pulses[node] = Pulse(incarnation, now, was_lost=was_lost)
        if self._round and node not in self._in_round:
            self._round.insert(self._rng.randrange(len(self._round) + 1), node)
            self._in_round.add(node)
        return True

    def forget(self, node: NodeId) -> None:
        """Watch it no longer."""
        self._pulses.pop(node, None)
        self._usable.pop(node, None)
        self._suspects.pop(node, None)

    def asked(self, node: NodeId, now: float) -> None:
        """A ping goes out."""
        if pulse := self._pulses.get(node):
            pulse.asked_at = now

    def answered(self, node: NodeId, now: float, round_trip: float, load: Load | None) -> bool:
        """It answered our ping; whether it was not usable before. No load was told where None."""
        pulse = self._pulses.get(node)
        if pulse is None:
            return False
        pulse.answered_at, pulse.round_trip, pulse.load = now, round_trip, load or pulse.load
        pulse.failures, pulse.suspect_since, pulse.vouched, pulse.was_lost = 0, None, False, False
        self._suspects.pop(node, None)
        new = node not in self._usable
        self._usable[node] = None
        return new

    def failed(self, node: NodeId) -> None:
        """A ping was not answered."""
        if pulse := self._pulses.get(node):
            pulse.failures += 1

    def suspect(self, node: NodeId, now: float) -> bool:
        """Choose it no longer; whether it was usable before."""
        pulse = self._pulses.get(node)
        if pulse is None:
            return False
        if pulse.suspect_since is None:
            pulse.suspect_since = now
        self._suspects[node] = None
        return self._usable.pop(node, "absent") is None

    def vouch(self, node: NodeId) -> None:
        """Others say that a suspect answers them."""
        if node in self._suspects:
            self._pulses[node].vouched = True

    def is_doubtful(self, node: NodeId, incarnation: int, now: float) -> bool:
        """Hearsay: somebody could not reach it. Whether we should ask it now."""
        pulse = self._pulses.get(node)
        if pulse is None or pulse.incarnation != incarnation or pulse.suspect_since is not None:
            return False
        if pulse.answered_at is None or now - pulse.answered_at < HEARSAY_FRESH_SECONDS:
            return False
        return now - pulse.doubted_at >= HEARSAY_SECONDS

    def doubt(self, node: NodeId, now: float) -> None:
        """We ask it for a rumour."""
        if pulse := self._pulses.get(node):
            pulse.doubted_at = now

    # --- what follows ------------------------------------------------------------------------------------------------

    def next_in_round(self) -> NodeId | None:
        """The next node of the shuffled list: everybody is asked once before anybody is asked again.

        Newcomers are put into the list at random, as in SWIM: a swarm that begins all at once would else have lists
        that end all at once, and whoever was late in none of them.
        """
        if not self._round:
            self._round = list(self._pulses)
            self._in_round = set(self._round)
            self._rng.shuffle(self._round)
        while self._round:
            node = self._round.pop()
            self._in_round.discard(node)
            if node in self._pulses and node not in self._suspects:
                return node
        return None

    def suspects_due(self, now: float) -> list[NodeId]:
        """Suspects to ask again."""
        return [node for node in self._suspects if now - self._pulses[node].asked_at >= self._pace.ping_every]

    def condemned(self, now: float) -> list[NodeId]:
        """Suspects whose time is over: dead, as far as we can tell."""
        return [node for node in self._suspects if self._is_over(self._pulses[node], now)]

    def _is_over(self, pulse: Pulse, now: float) -> bool:
        if pulse.suspect_since is None:
            return False
        suspected = now - pulse.suspect_since
        if pulse.answered_at is None and not pulse.was_lost:
            return suspected >= STRANGER_SECONDS and pulse.failures >= STRANGER_FAILURES
        seconds = self._pace.vouched_seconds if pulse.vouched else self._pace.suspect_seconds
        return suspected >= seconds and pulse.failures >= LEAST_FAILURES

    def hints(self) -> tuple[Hint, ...]:
        """The newest suspects that answered us once and nobody vouches for."""
        hints = []
        for node in reversed(self._suspects):
            pulse = self._pulses[node]
            if pulse.answered_at is not None and not pulse.vouched:
                hints.append(Hint(node, pulse.incarnation))
            if len(hints) == MAX_HINTS:
                break
        return tuple(hints)

    def some(self, count: int, *, but: Iterable[NodeId] = ()) -> list[NodeId]:
        """A few usable nodes by chance."""
        left_out = set(but)
        found = [node for node in self._usable if node not in left_out]
        return self._rng.sample(found, min(count, len(found)))

    def anybody(self) -> list[NodeId]:
        """One node by chance, usable or not; empty where none is watched."""
        return [self._rng.choice(list(self._pulses))] if self._pulses else []

    def is_usable(self, node: NodeId) -> bool:
        """Whether it answered our last ping."""
        return node in self._usable

    def has_answered(self, node: NodeId) -> bool:
        """Whether a node that we watch ever answered us."""
        pulse = self._pulses.get(node)
        return pulse is not None and pulse.answered_at is not None

    def liveness(self, node: NodeId) -> Liveness:
        """Of a node that we watch; one that has not answered yet is not called dead."""
        return Liveness.SUSPECT if node in self._suspects else Liveness.ALIVE

    def reason(self, node: NodeId, now: float) -> str:
        """Why it is not usable, in words; empty where it is."""
        pulse = self._pulses.get(node)
        if pulse is None or node in self._usable:
            return ""
        if pulse.answered_at is None:
            return "it has not answered yet" if not pulse.failures else "it has never answered us"
        others = "; it answers others" if pulse.vouched else ""
        return f"no answer for {now - pulse.answered_at:.0f} s{others}"
