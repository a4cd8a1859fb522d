"""The calibration file: written and read back unchanged, and refused in a sentence when it is not one."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import ConfidenceModel
from waggle.node.calibration import MAX_FILE_BYTES, Calibration, load_calibration, save_calibration
from waggle.routing.kinds import fit_kinds
from waggle.routing.skills import NodeSkills, SkillCount

KINDS = fit_kinds(
    [(f"What is {a} plus {b}?", "sum") for a in range(4) for b in range(4)]
    + [(f"Spell the word number {n} backward", "spell") for n in range(16)]
)
CALIBRATION = Calibration(
    nodes={
        "ant": NodeSkills(proposer={"sum": SkillCount(10.0, 20.0)}, judge={"sum": SkillCount(18.0, 20.0)}),
        "bee": NodeSkills(proposer={"spell": SkillCount(20.0, 20.0)}, judge={"spell": SkillCount(10.0, 20.0)}),
    },
    judge_methods={"ant": JudgeMethod.RESOLVE, "bee": JudgeMethod.VERDICT},
    chances={"sum": 0.1, "spell": 0.0},
    kinds=KINDS,
    confidence={"committee": ConfidenceModel(intercept=-0.5, coefficients=(1.0, 0.0, 0.5, 0.0, 0.0, 0.2, 2.0))},
    questions_per_kind=16,
    seed=3,
)

Plain = dict[str, object]


def plain() -> Plain:
    made: Plain = msgspec.to_builtins(CALIBRATION)
    return made


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_calibration(path)
    assert "run waggle calibrate" in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "calibration.json"
    save_calibration(CALIBRATION, path)
    assert load_calibration(path) == CALIBRATION


def test_a_calibration_of_before_the_committee_had_its_name_is_still_good(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    earlier = plain() | {"confidence": {"swarm": msgspec.to_builtins(CALIBRATION.confidence["committee"])}}
    path.write_bytes(msgspec.json.encode(earlier))
    assert load_calibration(path) == CALIBRATION


def test_a_calibration_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write"):
        save_calibration(CALIBRATION, tmp_path / "file" / "calibration.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.json")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path)


def test_an_oversize_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert "too large" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1, 2]",
        b"not JSON",
        b'{"nodes": "\xff"}',
        b'{"nodes": {"\xed\xa0\x80": {}}}',
        b'{"nodes": ' + b"[" * 100_000,
        b'{"nodes": {"a": ' + b'{"proposer": ' * 100_000,
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    assert "not a calibration of this version" in refusal(path)


@pytest.mark.parametrize("place", ["top", "node", "model"])
def test_an_unknown_field_is_refused(tmp_path: Path, place: str) -> None:
    made = plain()
    nodes, models = made["nodes"], made["confidence"]
    assert isinstance(nodes, dict)
    assert isinstance(models, dict)
    target = {"top": made, "node": nodes["ant"], "model": models["committee"]}[place]
    target["surprise"] = 1
    path = tmp_path / "calibration.json"
    path.write_bytes(msgspec.json.encode(made))
    assert "surprise" in refusal(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"chances": {"sum": -0.1}},
        {"chances": {"sum": 1.5}},
        {"nodes": {"ant": {"proposer": {"sum": {"right": 5, "asked": 4}}}}},
        {"nodes": {"ant": {"judge": {"sum": {"right": -1, "asked": 4}}}}},
        {"confidence": {"committee": {"intercept": 0.0, "coefficients": [1.0]}}},
        {"confidence": {"committee": {"intercept": 0.0, "coefficients": [-1.0] * 7}}},
        {"judge_methods": {"ant": "by heart"}},
        {"kinds": msgspec.to_builtins(KINDS) | {"weights": "AAAA"}},
        {"kinds": msgspec.to_builtins(KINDS) | {"thresholds": [0.0, 0.0]}},
        {"kinds": msgspec.to_builtins(KINDS) | {"kinds": ["sum"]}},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_numbers_that_no_measurement_gives_are_refused_on_reading_and_not_in_a_round(
    tmp_path: Path, damage: Plain
) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(msgspec.json.encode(plain() | damage))
    refusal(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = msgspec.json.encode(plain() | {"kinds": msgspec.to_builtins(KINDS) | {"weights": ""}})
    place = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(whole[:place] + data.draw(st.binary(max_size=4)) + whole[place + data.draw(st.integers(0, 3)) :])
    refusal(path)  # without its weights it is damaged in any case


def test_an_unmeasured_node_weighs_nothing() -> None:
    standing = CALIBRATION.standing(NodeId("cat"), CALIBRATION.guess("What is 2 plus 2?"))
    assert standing.support_weight == pytest.approx(0.0, abs=1e-12)
    assert standing.judge_weight == 0.0


def test_a_node_weighs_more_on_what_it_is_good_at() -> None:
    sums, words = (CALIBRATION.guess(text) for text in ("What is 3 plus 1?", "Spell the word number 7 backward"))
    assert (sums.kind, words.kind) == ("sum", "spell")
    ant, bee = NodeId("ant"), NodeId("bee")
    assert CALIBRATION.standing(ant, sums).judge_weight > CALIBRATION.standing(ant, words).judge_weight
    assert CALIBRATION.standing(bee, words).support_weight > CALIBRATION.standing(bee, sums).support_weight
