"""`waggle export gguf` writes the file that it was asked for and no other, and says what it will not do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waggle.cli.export import app
from waggle.core.errors import UsageError
from waggle.models.hive import hive_names

Export = Callable[..., str]


@pytest.fixture
def export() -> Export:
    """Run the verb; what goes wrong is raised as it is for `run_with`."""

    def run(*arguments: str) -> str:
        return CliRunner().invoke(app, ["gguf", *arguments], catch_exceptions=False).stdout

    return run


def needs_gguf() -> None:
    pytest.importorskip("gguf", reason="the extra `export` is not installed")


@pytest.mark.parametrize("prefix", ["", "hive:"])
def test_a_bundled_model_is_exported_by_its_name(export: Export, tmp_path: Path, prefix: str) -> None:
    needs_gguf()
    out = tmp_path / "model.gguf"
    assert export(f"{prefix}{hive_names()[0]}", str(out)) == f"{out}\n"
    assert out.read_bytes()[:4] == b"GGUF"
    assert out.stat().st_mode & 0o777 == 0o644 & ~_umask()


def test_half_precision_takes_half_the_space(export: Export, tmp_path: Path) -> None:
    needs_gguf()
    full, half = tmp_path / "f32.gguf", tmp_path / "f16.gguf"
    export(hive_names()[0], str(full))
    export(hive_names()[0], str(half), "--type", "f16")
    assert 0.4 < half.stat().st_size / full.stat().st_size < 0.6


def test_a_file_that_is_there_is_kept_unless_forced(export: Export, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="--force"):
        export(hive_names()[0], str(out))
    assert out.read_bytes() == b"precious"
    needs_gguf()
    export(hive_names()[0], str(out), "--force")
    assert out.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("model", "out", "complaint"),
    [
        ("nettle", "x.gguf", "no bundled model is called 'nettle'"),
        ("../nettle", "x.gguf", "no bundled model is called"),
        (hive_names()[0], "no/such/x.gguf", "cannot write"),
        (hive_names()[0], ".", "cannot write"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    export: Export, tmp_path: Path, model: str, out: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        export(model, str(tmp_path / out))
    assert not list(tmp_path.iterdir())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
