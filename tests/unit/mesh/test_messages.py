"""The messages' own bounds: every field that a stranger fills in has one, and each is where it says."""

from typing import cast

import pytest
from msgspec import inspect, structs, to_builtins

from tests.unit.mesh.forger import refusal, saying
from tests.unit.mesh.wire_samples import NODE, ROUND, SAMPLES, SEQ, packed
from waggle.core.engine_values import GenerateRequest, Generation, Sampling
from waggle.core.round_values import Budget
from waggle.mesh.codec import KINDS, unseal
from waggle.mesh.message_bounds import fault_of
from waggle.mesh.messages import Answered, Happened, Message, Planned

FROM_THE_ROUND = (Planned, Happened, Answered)
"""These carry a round's own values, which the round checks by replaying; only a frame's size and shape bound them."""


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_frozen_and_take_no_unknown_fields(kind: str) -> None:
    config = KINDS[kind].__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    assert config.tag == kind


@pytest.mark.parametrize("kind", [kind for kind, cls in KINDS.items() if cls not in FROM_THE_ROUND])
def test_every_number_and_text_has_bounds(kind: str) -> None:
    unbounded = [path for path, leaf in leaves(inspect.type_info(KINDS[kind]), kind) if not is_bounded(leaf)]
    assert unbounded == []


def leaves(kind: inspect.Type, path: str) -> list[tuple[str, inspect.Type]]:
    """Every leaf of a type with the way to it; what `fault_of` bounds is left out."""
    match kind:
        case inspect.StructType():
            if kind.cls in (Sampling, Budget, GenerateRequest, Generation):
                return []
            return [leaf for field in kind.fields for leaf in leaves(field.type, f"{path}.{field.name}")]
        case inspect.UnionType():
            return [leaf for option in kind.types for leaf in leaves(option, path)]
        case inspect.TupleType():
            return [leaf for item in kind.item_types for leaf in leaves(item, path)]
        case inspect.VarTupleType():
            return [(path, kind), *leaves(kind.item_type, f"{path}[]")]
        case _:
            return [(path, kind)]


def is_bounded(kind: inspect.Type) -> bool:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return kind.ge is not None and (kind.le is not None or kind.lt is not None)
        case inspect.StrType():
            return kind.max_length is not None or str(kind.pattern).endswith(r"\Z")
        case inspect.VarTupleType():
            return kind.max_length is not None
        case inspect.EnumType() | inspect.NoneType() | inspect.BoolType():
            return True
        case _:
            return False


def taken(kind: str, **changes: object) -> Message:
    """The sample of a kind with fields changed, as it comes out of the codec."""
    body = body_of(kind, changes)
    return unseal(saying(body, kind), sender=NODE, round_id=ROUND, seq=SEQ)


def body_of(kind: str, changes: dict[str, object]) -> dict[str, object]:
    """The sample's body with some fields changed, each given by its path: "ballot.p"."""
    body: dict[str, object] = to_builtins(SAMPLES[kind])
    for path, value in changes.items():
        *outer, name = path.split(".")
        inner = body
        for step in outer:
            inner = cast("dict[str, object]", inner[step])
        inner[name] = value
    return body


EDGES: list[tuple[str, str, list[object], list[object]]] = [
    ("ballot", "ballot.first", [0, 63], [-1, 64]),
    ("ballot", "ballot.p", [None, 0, 1, 0.5], [-1e-9, 1.0000001, "0.5", True]),
    ("ballot", "ballot.reason", ["", "x" * 4096], ["x" * 4097]),
    (
        "commit",
        "promise.digest",
        ["0" * 64],
        ["0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n", "\n" + "0" * 64],
    ),
    ("commit", "promise.tokens", [0, 2**40], [-1, 2**40 + 1, 1.5]),
    ("reveal", "reveal.proposal.answer", ["", "x" * 65_536], ["x" * 65_537, None]),
    ("reveal", "reveal.proposal.trace", ["x" * 262_144], ["x" * 262_145]),
    ("reveal", "reveal.nonce", ["0" * 32], ["0" * 31, "0" * 33, "0" * 32 + "\n", ""]),
    ("reveal", "reveal.proposal.self_confidence", [None, 0, 1], [-0.1, 1.1]),
    ("propose", "ask.brief.question", ["x" * 65_536], ["x" * 65_537]),
    ("propose", "seconds", [0, 1e7], [-1, 1e7 + 1]),
    ("propose", "ask.brief.model", ["", "x" * 256], ["x" * 257]),
    ("question", "request", ["a" * 32], ["a" * 32 + "\n", "A" * 32]),
    ("judge", "pairs", [], [(), [structs.asdict(SAMPLES["judge"].pairs[0])] * 65]),  # type: ignore[union-attr]
    ("question", "options.max_tokens", [1, 2**20], [0, 2**20 + 1]),
    ("question", "options.min_confidence", [0, 1], [-0.1, 1.1]),
    ("question", "options.seed", [-(2**63), 2**63 - 1], [2**63]),
    ("no_proposal", "failure.retry_after", [None, 0, 1e7], [-1, 1e8]),
    (
        "propose",
        "ask.sampling",
        [{}, {"temperature": 0}, {"temperature": 100}, {"temperature": 1e-3}, {"top_k": 2**31 - 1}, {"top_p": 0}],
        [
            {"temperature": 1e-300}, {"temperature": -1}, {"temperature": 101}, {"top_k": -1}, {"top_k": 2**31},
            {"top_p": -0.1}, {"top_p": 1.1}, {"unheard": 1},
        ],
    ),
    ("question", "options.sampling", [{"temperature": 1}], [{"temperature": 1e-30}, {"top_p": 2}]),
    (
        "question",
        "options.budget",
        [{}, {"tokens": None}, {"tokens": 0, "seconds": 0}, {"tokens": 2**40, "seconds": 1e7}],
        [{"tokens": -1}, {"tokens": 2**41}, {"seconds": -1}, {"seconds": 1e8}],
    ),
]  # fmt: skip
"""Kind, field, values at the edge that are taken, values beyond it that are refused."""


@pytest.mark.parametrize(
    ("kind", "field", "fit", "unfit"), EDGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bounds_are_where_they_say(kind: str, field: str, fit: list[object], unfit: list[object]) -> None:
    for value in fit:
        taken(kind, **{field: value})
    for value in unfit:
        assert refusal(saying(body_of(kind, {field: value}), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_message_has_no_fault(kind: str) -> None:
    assert fault_of(SAMPLES[kind]) is None
    assert taken(kind) == SAMPLES[kind]


@pytest.mark.parametrize("tag", ["round_over", "", "propose", "RoundStarted", None, 3, ["round_started"]])
def test_an_event_of_an_unknown_kind_is_refused(tag: object) -> None:
    refusal(saying({"type": "happened", "event": {"type": tag, "at": 0.0}}, "happened"))
    refusal(saying({"type": "happened", "event": {"at": 0.0}}, "happened"))


def test_an_event_may_not_be_nested_in_an_event() -> None:
    event = {"type": "round_started", "at": 0.0}
    refusal(saying({"type": "happened", "event": {"type": "happened", "event": event}}, "happened"))
    assert len(packed(event)) < 50
