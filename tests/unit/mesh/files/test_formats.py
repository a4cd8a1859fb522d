"""Only plain data under plain paths."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mesh.files.swarm import safetensors_bytes
from waggle.mesh.files.formats import CODE_SUFFIXES, content_fault, name_fault, path_fault


@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors", "model-00001-of-00002.safetensors", "config.json", "tokenizer.model", "merges.txt",
        "chat_template.jinja", "LICENSE", "README.md", "q4_k_m.gguf", "a/b/c/d.json", "1_Pooling/config.json",
        "my model.json",
    ],
)  # fmt: skip
def test_data_files_are_taken(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/etc/passwd.json", "../a.json", "a/../b.json", "a/./b.json", "./a.json", "a//b.json", "a/b.json/",
        "a\\b.json", "C:\\a.json", "c:a.json", "a\x00.json", "a\n.json", "a.json\n", "a\x1b[2J.json", "\u202ea.json",
        "ä.json", ".hidden.json", ".git/a.json", "~/a.json", "-rf.json", "a/b/c/d/e.json", "a" * 251 + ".json",
        "con.json", "NUL.txt", "aux/a.json", "Com1.json", "lpt9.txt", "con .json", "a.json.", "a.json ", "a /b.json",
        "a./b.json", "$HOME.json", "a;b.json", "a|b.json", "a:b.json", "a*.json", "LICENSE/..", "\ud800.json",
    ],
)  # fmt: skip
def test_any_other_path_is_refused(path: str) -> None:
    assert path_fault(path) is not None


@pytest.mark.parametrize("suffix", sorted(CODE_SUFFIXES))
def test_formats_that_can_hold_code_are_refused_in_words(suffix: str) -> None:
    for name in ("model" + suffix, "model" + suffix.upper(), "model.safetensors" + suffix):
        assert "can hold code" in str(path_fault(name))


@pytest.mark.parametrize("path", ["model", "run.rb", "a.JSON", "license", "a.yaml", "json", "x.safetensors.index"])
def test_unknown_formats_are_refused_and_the_known_ones_named(path: str) -> None:
    assert ".safetensors" in str(path_fault(path))


@pytest.mark.parametrize("name", ["thyme", "Qwen2.5-0.5B", "a", "0", "x_y.z-1", "a" * 96])
def test_plain_names_are_taken(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".a",
        "-a",
        "a/b",
        "a b",
        "a\n",
        "thyme\n",
        "a" * 97,
        "con",
        "NUL.x",
        "a.",
        "ä",
        "0" * 64,
        "F" * 64,
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    assert name_fault(name) is not None


@given(st.text(max_size=30) | st.text("ab/._\\~- \n:é", max_size=12))
def test_a_path_that_is_taken_stays_inside_its_folder(text: str) -> None:
    path = f"{text}.json"
    if path_fault(path) is None:
        assert Path("/root", path).resolve().is_relative_to("/root")
        assert "\\" not in path
        assert path.isprintable()


def test_real_weights_pass_the_look_inside(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors_bytes(1_000))
    assert content_fault(file) is None


def header(value: object) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        header([]),
        header({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}) + b"123",
        header({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}) + b"12345",
        header({"w": {"dtype": "U8", "shape": [2**62], "data_offsets": [0, 4]}}) + b"1234",
        header({"w": {"dtype": "X9", "shape": [4], "data_offsets": [0, 4]}}) + b"1234",
        (20_000).to_bytes(8, "little") + b"[" * 20_000,
    ],
)
def test_damaged_weights_are_found(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    assert "model.safetensors is no safetensors file" in str(content_fault(file))


def test_a_gguf_file_begins_as_one(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF\x03")
    assert content_fault(file) is None
    file.write_bytes(b"\x80\x04GGUF")
    assert content_fault(file) is not None
