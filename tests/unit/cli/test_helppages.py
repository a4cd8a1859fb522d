"""The pages in docs/cli say what the verbs' own help says."""

from pathlib import Path

import pytest

from tests.unit.cli.ran import run_alone
from waggle.cli.helppages import main, out_of_date, pages, write

pytestmark = pytest.mark.timeout(300)

DOCS = Path(__file__).parents[3] / "docs" / "cli"

MESH = ("up", "join", "invite", "peers", "leave", "share", "fetch")


def test_the_pages_in_docs_are_up_to_date() -> None:
    assert out_of_date(DOCS) == [], "run python -m waggle.cli.helppages"


def test_every_verb_has_a_page_with_all_its_parts() -> None:
    texts = pages()
    assert set(texts) == {
        f"{n}.md"
        for n in (
            "waggle",
            "ask",
            "replay",
            "models",
            "calibrate",
            "doctor",
            "config",
            "train",
            "bench",
            "serve",
            "key",
            "export",
            *MESH,
        )
    }
    assert all(f"## waggle bench {part}" in texts["bench.md"] for part in ("quality", "engine", "consensus", "round"))
    assert "## waggle train hive" in texts["train.md"]


def test_pages_are_plain_text_of_bounded_width() -> None:
    lines = [line for text in pages().values() for line in text.splitlines()]
    assert max(map(len, lines)) <= 100
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_a_page_is_what_the_command_prints_but_for_its_width() -> None:
    help_text = run_alone("doctor", "--help").out
    assert help_text.split() == pages()["doctor.md"].removeprefix("# waggle doctor\n\n```text\n").split()[:-1]


def test_pages_do_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pages()
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb", "GITHUB_ACTIONS": "true"}.items():
        monkeypatch.setenv(name, value)
    assert pages() == before


def test_what_differs_is_listed_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "ask.md").write_text("old")
    (tmp_path / "dance.md").write_text("no such verb")
    (tmp_path / "models.md").unlink()
    assert main(["--check", str(tmp_path)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" is out of date")[0] for line in told] == [
        str(tmp_path / name) for name in ("ask.md", "dance.md", "models.md")
    ]
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    assert not (tmp_path / "dance.md").exists()
