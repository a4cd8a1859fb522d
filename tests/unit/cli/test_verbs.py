"""The verbs beside `ask`: what they show of this package, and what they refuse before they begin to work."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.ran import Waggle
from waggle.cli.doctor import REQUIRED
from waggle.models.hive import hive_names

pytestmark = pytest.mark.timeout(300)


def test_doctor_names_what_it_checked(waggle: Waggle) -> None:
    ran = waggle("doctor")
    assert ran.status in (0, 1)
    assert all(name in ran.out for name in ("python", "cores", "memory", "hive", "calibration", *REQUIRED))
    assert ("!!" in ran.out) is (ran.status == 1)


def test_models_are_listed_as_json_by_name(waggle: Waggle) -> None:
    ran = waggle("models", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert sorted(json.loads(ran.out)) == hive_names()


def test_models_shows_every_bundled_model_or_says_how_to_make_them(waggle: Waggle) -> None:
    ran = waggle("models")
    if hive_names():
        assert all(name in ran.out for name in hive_names())
    else:
        assert ran.complaint(1) == "this package holds no models: run waggle train hive"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "hive", "nettle"], "no recipe for nettle; there are clover, "),
        (["train", "hive", "--device", "abacus"], "no device 'abacus'; there are cpu and cuda"),
        (["train", "hive", "--jobs", "0"], "--jobs"),
        (["calibrate", "--out", "/no/such/folder/file"], "cannot write /no/such/folder/file"),
        (["calibrate", "--engine", "http://localhost:1/v1"], "which model of http://localhost:1/v1?"),
        (["calibrate", "--questions", "1"], "--questions"),
        (["bench", "quality", "--raw", "/no/such/folder/file"], "cannot write /no/such/folder/file"),
        (["bench", "quality", "--plot", "/no/such/folder/file"], "cannot write /no/such/folder/file"),
        (["bench", "consensus", "--seed", "-1"], "--seed"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(waggle: Waggle, arguments: list[str], complaint: str) -> None:
    ran = waggle(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert complaint in ran.complaint()


def test_a_target_that_is_a_folder_is_refused(waggle: Waggle, tmp_path: Path) -> None:
    assert "cannot write" in waggle("calibrate", "--out", str(tmp_path)).complaint()
