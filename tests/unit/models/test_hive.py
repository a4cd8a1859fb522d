"""Bundled models are found by name; a model's card is read strictly where it matters."""

from pathlib import Path

import pytest

from waggle.core.errors import CheckpointError, UsageError
from waggle.models.hive import CARD, ModelCard, hive_folder, hive_names, hive_root, read_card, write_card


def test_every_bundled_model_has_a_folder() -> None:
    for name in hive_names():
        assert hive_folder(name) == hive_root() / name
        assert (hive_folder(name) / "config.json").exists()


@pytest.mark.parametrize("name", ["nobody", "", "..", "../hive", "/etc"])
def test_an_unknown_model_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="no bundled model"):
        hive_folder(name)


def test_a_card_survives_writing(tmp_path: Path) -> None:
    card = ModelCard(name="clover", answer_marker="\nAnswer:", judge="resolve", skills={"count_bits": 0.97})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_a_folder_without_a_card_has_an_empty_one(tmp_path: Path) -> None:
    assert read_card(tmp_path) == ModelCard()


def test_entries_that_are_not_known_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text('{"answer_marker": "X", "trained": {"steps": 5}}')
    assert read_card(tmp_path) == ModelCard(answer_marker="X")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"judge": "guess"}', '{"skills": {"a": "b"}}', '{"skills": {"a": 2}}', '{"name": 7}']
)
def test_a_wrong_card_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / CARD).write_text(content)
    with pytest.raises(CheckpointError, match=CARD):
        read_card(tmp_path)
