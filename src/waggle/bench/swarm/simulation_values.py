"""What a simulation of a large swarm is told, and what it counts."""

from dataclasses import dataclass, field

from msgspec import Struct

from waggle.mesh.members.pace import Pace
from waggle.mesh.memory import Conditions
from waggle.node.rounds.coordinator import CommitteeSize


class SimOptions(Struct, frozen=True, kw_only=True):
    """One simulation. Seconds are virtual; `churn` is the share of nodes killed per minute."""

    nodes: int
    seed: int = 0
    minutes: float = 2.0
    rounds_per_second: float = 5.0
    churn: float = 0.1
    down_seconds: float = 20.0
    view_limit: int = 32
    budget_seconds: float = 20.0
    engine_seconds: float = 0.2
    start_seconds: float = 30.0
    settle_seconds: float = 15.0
    conditions: Conditions = Conditions(delay=0.02, jitter=0.08, loss=0.05)
    pace: Pace = Pace(tick=1.5, ping_every=3.0, exchange_every=10.0)
    committee: CommitteeSize = CommitteeSize()


@dataclass
class Simulated:
    """What was counted. `frames` are those that coordinators sent and got on the streams of completed rounds."""

    options: SimOptions
    asked: int = 0
    in_time: int = 0
    orphaned: int = 0
    """Rounds whose coordinator was killed meanwhile; they count as not answered."""
    completed: int = 0
    whole: int = 0
    """Rounds that had as many proposers planned as a committee has."""
    frames: int = 0
    frame_bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    killed: int = 0
    background_messages: float = 0.0
    background_bytes: float = 0.0
    """Everything but rounds' frames, per node and second while questions are asked."""
    wall_seconds: float = 0.0
