"""Pairs to be judged travel in messages that a relayed link carries, none lost and none before its turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import JudgeMethod
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, Brief, Pair
from waggle.mesh.codec import seal
from waggle.mesh.limits import KIB, MAX_RELAYED_BYTES
from waggle.mesh.messages import PleaseJudge
from waggle.node.peers.remote import MAX_PAIRS_PER_MESSAGE, _batches
from waggle.trust.keys import NodeKey

KEY = NodeKey.generate()
ROUND = "0" * 32


def asks(count: int, words: int, question: int, turns: tuple[Turn, ...] = ()) -> list[AskBallot]:
    """Pairs of candidates with so many bytes each."""
    return [
        AskBallot(
            judge=NodeId("j"),
            brief=Brief(question="q" * question, turns=turns, max_tokens=256),
            pair=Pair(
                first=number % 64,
                second=(number + 1) % 64,
                first_text="a" * words,
                second_text="b" * words,
                method=JudgeMethod.AUTO,
                seed=number,
            ),
        )
        for number in range(count)
    ]


def frames(found: list[AskBallot]) -> list[bytes]:
    """What goes over the link."""
    return [
        seal(
            KEY,
            PleaseJudge(
                brief=some[0].brief,
                pairs=tuple(ask.pair for ask in some),
                seconds=60.0,
            ),
            round_id=ROUND,
            seq=0,
        )
        for some in _batches(found)
    ]


@given(count=st.integers(1, 200), words=st.integers(0, 8 * KIB), question=st.integers(1, 31 * KIB))
def test_batches_stay_below_what_a_relayed_link_carries(count: int, words: int, question: int) -> None:
    found = asks(count, words, question)
    assert max(map(len, frames(found))) <= MAX_RELAYED_BYTES
    assert [ask for some in _batches(found) for ask in some] == found
    assert max(map(len, _batches(found))) <= MAX_PAIRS_PER_MESSAGE


def test_a_conversation_counts_as_the_question_does() -> None:
    turns = (Turn(role=Role.USER, content="t" * 24 * KIB), Turn(role=Role.ASSISTANT, content="t" * 6 * KIB))
    assert max(map(len, frames(asks(64, 2 * KIB, 1, turns)))) <= MAX_RELAYED_BYTES


@pytest.mark.parametrize("question", [40 * KIB, 64 * KIB])
def test_a_long_question_is_not_repeated_for_every_pair(question: int) -> None:
    found = asks(64, 1 * KIB, question)
    said = sum(len(ask.pair.first_text) + len(ask.pair.second_text) for ask in found)
    assert sum(map(len, frames(found))) < 3 * (said + question)


def test_few_short_pairs_are_one_message() -> None:
    assert len(list(_batches(asks(40, 200, 100)))) == 1
    assert list(_batches([])) == []
