"""Asking without a server: what a question may be, models in folders, exit statuses."""

import io
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.cli.ran import Waggle, run_alone
from tests.unit.cli.rounds import HOSTILE, assert_inert
from tests.unit.models.tiny import tiny_folder
from waggle.models.hive import ModelCard, write_card
from waggle.node.history.records import load_record

pytestmark = pytest.mark.timeout(300)

Typed = Callable[[bytes], None]


@pytest.mark.parametrize("question", ["", "  \n\t", "-"])
def test_an_empty_question_is_wrong_usage(waggle: Waggle, typed: Typed, question: str) -> None:
    typed(b"\n")
    assert waggle("ask", question).complaint(2) == "the question is empty"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"a\0b", "the question holds a NUL byte: is it a text?"),
        (b"\xff\xfe", "the question is not UTF-8 text"),
        (b"x" * 70_000, "the question is longer than 64 KiB"),
        ("é".encode() * 40_000, "the question is longer than 64 KiB"),
    ],
)
def test_what_is_no_question_is_wrong_usage(waggle: Waggle, typed: Typed, data: bytes, complaint: str) -> None:
    typed(data)
    assert waggle("ask", "-").complaint(2) == complaint


class Endless(io.RawIOBase):
    """An input that never ends."""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """More of the same."""
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


def test_an_endless_question_is_not_read_to_its_end(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    assert waggle("ask", "-").complaint() == "the question is longer than 64 KiB"


def test_bytes_of_no_encoding_on_the_command_line_are_wrong_usage(waggle: Waggle) -> None:
    assert waggle("ask", "\udcff").complaint() == "the question is not UTF-8 text"


def test_without_standard_input_the_question_is_empty(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert waggle("ask", "-").complaint() == "the question is empty"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--engine", ""], "--engine must be a list of texts"),
        (["--engine", "localhost:11434/v1#m"], "neither a model folder nor an address"),
        (["--engine", "http://localhost:1/v1"], "which model of http://localhost:1/v1?"),
        (["--engine", "http://a:b@localhost:1/v1#m"], "a key belongs in the environment"),
        (["--engine", "http://localhost:1/v1#m", "--key-variable", "WAGGLE_NO_SUCH_KEY"], "WAGGLE_NO_SUCH_KEY is not"),
        (["--engine", "http://localhost:1/v1#m", "--strategy", "best of"], "unknown strategy 'best of'"),
        (["--engine", "http://localhost:1/v1#m", "--strategy", "solo:n"], "no model 'n' in this swarm; there are m"),
        (["--engine", "http://localhost:1/v1#m", "--record", "/no/such/folder/file"], "cannot write /no/such"),
        (["--budget-seconds", "nan"], "--budget-seconds"),
        (["--budget-seconds", "inf"], "--budget-seconds"),
        (["--budget-tokens", "-1"], "--budget-tokens"),
        (["--min-confidence", "nan"], "--min-confidence"),
        (["--max-tokens", "0"], "--max-tokens"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(waggle: Waggle, options: list[str], complaint: str) -> None:
    ran = waggle("ask", "why?", *options)
    assert (ran.status, ran.out) == (2, "")
    assert complaint in ran.complaint()


def test_a_model_folder_answers(waggle: Waggle, folder: Path) -> None:
    ran = waggle("ask", "why?", "--engine", str(folder), "--max-tokens", "8", "--min-confidence", "0")
    assert (ran.status, ran.err) == (0, "")
    assert "confidence " in ran.out.splitlines()[-1]


def test_an_unsure_swarm_abstains_with_status_3(waggle: Waggle, folder: Path) -> None:
    ran = waggle("ask", "why?", "--engine", str(folder), "--max-tokens", "8", "--min-confidence", "1", "--json")
    assert (ran.status, ran.err) == (3, "")
    assert json.loads(ran.out)["abstained"] is True


def test_the_record_of_a_round_can_be_read_back(waggle: Waggle, folder: Path, tmp_path: Path) -> None:
    options = ("--engine", str(folder), "--max-tokens", "8", "--seed", str(2**32 - 1))
    ran = waggle("ask", "why?", *options, "--json", "--record", str(tmp_path / "round.json"))
    record = load_record(tmp_path / "round.json")
    assert record.outcome.answer == json.loads(ran.out)["answer"]
    assert record.plan.seed == 2**32 - 1


def test_a_question_too_long_for_every_model_is_a_failure_that_says_so(waggle: Waggle, folder: Path) -> None:
    ran = waggle("ask", "why? " * 400, "--engine", str(folder), "--json")
    assert ran.complaint(1).startswith("no answer: random: the question takes ")
    assert json.loads(ran.out)["answer"] is None


def test_a_folder_without_a_model_is_a_failure(waggle: Waggle, tmp_path: Path) -> None:
    assert waggle("ask", "why?", "--engine", str(tmp_path)).complaint(1) == f"{tmp_path}/config.json is missing"


def test_damaged_weights_are_a_failure(waggle: Waggle, tmp_path: Path) -> None:
    weights = tiny_folder(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2_000])
    assert "is damaged" in waggle("ask", "why?", "--engine", str(tmp_path)).complaint(1)


def test_hostile_names_in_a_model_folder_are_shown_inert(waggle: Waggle, tmp_path: Path) -> None:
    tiny_folder(tmp_path, marker=None)
    write_card(tmp_path, ModelCard(name=HOSTILE))
    ran = waggle("ask", "why?", "--engine", str(tmp_path), "--max-tokens", "8", "--explain")
    assert "[bold]big[/]" in ran.out
    assert_inert(ran.out)
    save_file({HOSTILE: torch.zeros(1)}, tmp_path / "model.safetensors")
    complaint = waggle("ask", "why?", "--engine", str(tmp_path)).complaint()
    assert "unexpected tensor" in complaint
    assert_inert(complaint)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_leaving_while_a_model_still_writes_is_no_crash(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, marker=None, context=4_096)
    options = ("--engine", str(folder), "--max-tokens", "4000", "--budget-seconds", "0.1")
    ran = run_alone("ask", "why?", *options)
    assert ran.complaint(1) == "no answer: " + folder.name + ": no answer in time"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_cold_start_answers_within_eight_seconds() -> None:
    """Of processor time, since nothing in it waits: how busy the machine is plays no part."""
    question = "How many 1 bits are there in the binary representation of the number 1453?"
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = run_alone("ask", question, "--json")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{seconds:.1f} s of processor time, {time.perf_counter() - began:.1f} s by the wall")
    assert seconds < 8.0
    assert (ran.status in (0, 3), ran.err) == (True, "")
    assert json.loads(ran.out)["answer"] is not None
