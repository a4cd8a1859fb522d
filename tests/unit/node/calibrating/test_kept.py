"""Which calibration belongs to which engines."""

from pathlib import Path

from msgspec.structs import replace

from waggle.node.calibrating.kept import FILE, bundled_calibration, calibration_of, kept_at
from waggle.node.calibration import save_calibration


def test_a_calibration_of_named_engines_goes_to_the_users_home(tmp_path: Path) -> None:
    assert kept_at(("a",), tmp_path) == tmp_path / FILE
    assert tmp_path not in kept_at((), tmp_path).parents


def test_bundled_models_that_are_named_keep_what_was_measured_of_them(tmp_path: Path) -> None:
    ours = bundled_calibration()
    assert ours is not None
    assert calibration_of(("hive:acacia", "hive:sage"), tmp_path) == ours
    assert calibration_of(("hive:acacia", "./mine"), tmp_path) is None


def test_the_users_own_calibration_counts_for_the_models_that_it_knows(tmp_path: Path) -> None:
    ours = bundled_calibration()
    assert ours is not None
    own = replace(ours, nodes={"acacia": ours.nodes["acacia"]}, seed=77)
    save_calibration(own, tmp_path / FILE)
    for engines, expected in {("hive:acacia",): own, ("hive:sage",): ours, ("./mine",): own, (): ours}.items():
        assert calibration_of(engines, tmp_path) == expected
