"""waggle: many small models answer a question together, with no server in the middle.

    async with waggle.open() as swarm:
        answer = await swarm.ask("How many 1 bits are there in the number 1453?")

What a program needs of it is here by name, and imported when it is first used; `docs/python.md` shows it at work.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

_ROOMS = {
    "waggle.consensus.bradley_terry": "Strengths fit_strengths",
    "waggle.consensus.comparisons": "wins_matrix",
    "waggle.consensus.confidence": "probability_stronger winner_score",
    "waggle.consensus.grouping": "group_answers",
    "waggle.consensus.ranking": "Ranking rank_ballots",
    "waggle.consensus.votes": "confidence_vote plurality weighted_vote",
    "waggle.core.asking": "AskOptions",
    "waggle.core.chat_values": "Role Turn",
    "waggle.core.errors": "CheckpointError EngineError InvalidBallots MeshError NotConverged ProtocolError UsageError "
    "WaggleError",
    "waggle.core.round_picture": "RoundPicture",
    "waggle.core.round_values": "Budget Record",
    "waggle.engines.function": "engine",
    "waggle.engines.protocol": "Engine",
    "waggle.library.answers": "Answer",
    "waggle.library.opening": "ask_sync join open",
    "waggle.library.records": "load replay save",
    "waggle.library.swarm": "Swarm",
    "waggle.strategies.ways": "Way add_way remove_way",
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}
__all__ = ("__version__", *_HOMES)

if TYPE_CHECKING:  # the same once more, for whoever reads types
    from waggle.consensus.bradley_terry import Strengths as Strengths
    from waggle.consensus.bradley_terry import fit_strengths as fit_strengths
    from waggle.consensus.comparisons import wins_matrix as wins_matrix
    from waggle.consensus.confidence import probability_stronger as probability_stronger
    from waggle.consensus.confidence import winner_score as winner_score
    from waggle.consensus.grouping import group_answers as group_answers
    from waggle.consensus.ranking import Ranking as Ranking
    from waggle.consensus.ranking import rank_ballots as rank_ballots
    from waggle.consensus.votes import confidence_vote as confidence_vote
    from waggle.consensus.votes import plurality as plurality
    from waggle.consensus.votes import weighted_vote as weighted_vote
    from waggle.core.asking import AskOptions as AskOptions
    from waggle.core.chat_values import Role as Role
    from waggle.core.chat_values import Turn as Turn
    from waggle.core.errors import CheckpointError as CheckpointError
    from waggle.core.errors import EngineError as EngineError
    from waggle.core.errors import InvalidBallots as InvalidBallots
    from waggle.core.errors import MeshError as MeshError
    from waggle.core.errors import NotConverged as NotConverged
    from waggle.core.errors import ProtocolError as ProtocolError
    from waggle.core.errors import UsageError as UsageError
    from waggle.core.errors import WaggleError as WaggleError
    from waggle.core.round_picture import RoundPicture as RoundPicture
    from waggle.core.round_values import Budget as Budget
    from waggle.core.round_values import Record as Record
    from waggle.engines.function import engine as engine
    from waggle.engines.protocol import Engine as Engine
    from waggle.library.answers import Answer as Answer
    from waggle.library.opening import ask_sync as ask_sync
    from waggle.library.opening import join as join
    from waggle.library.opening import open as open  # noqa: A004
    from waggle.library.records import load as load
    from waggle.library.records import replay as replay
    from waggle.library.records import save as save
    from waggle.library.swarm import Swarm as Swarm
    from waggle.strategies.ways import Way as Way
    from waggle.strategies.ways import add_way as add_way
    from waggle.strategies.ways import remove_way as remove_way
else:

    def __getattr__(name: str) -> object:
        """Import what is asked for, once."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    """What there is, also what was not imported yet."""
    return sorted({*globals(), *__all__})
