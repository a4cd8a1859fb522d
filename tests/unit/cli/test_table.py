"""Tables on screens of any width: what names a row is whole, less needed columns go, no line ends in blanks."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.adverts import alive
from tests.unit.cli.ran import PEER, Screen
from waggle.cli.local import COLUMNS, _print_peers
from waggle.cli.table import Column, fold, shown, table_lines
from waggle.core.mesh_values import Load, ModelOffer, Peer, SharedFiles

LONG_NAME = "a-node-whose-name-is-longer-than-any-column-should-be"
LONG_MODEL = "some-vendor/some-very-large-model-instruct-2507:235b-a22b-q4_K_M"


def peer(name: str, *models: str, reason: str = "", shared: str = "") -> Peer:
    """A node with these models."""
    files = (SharedFiles(name=shared, manifest="0" * 64, size=1),) if shared else ()
    offers = tuple(ModelOffer(model=model, family="f", context_tokens=1, tokens_per_second=12.3) for model in models)
    seen = alive(PEER, name=name, offers=offers, shared=files)
    return replace(seen, round_trip=0.0012, load=Load(), reason=reason, way="direct, QUIC")


def peers_on(monkeypatch: pytest.MonkeyPatch, width: int | None, *peers: Peer, encoding: str = "utf-8") -> list[str]:
    """What `waggle peers` prints on a terminal of so many columns; in a pipe for None."""
    raw = io.BytesIO()
    kind = io.TextIOWrapper if width is None else Screen
    monkeypatch.setattr(sys, "stdout", kind(raw, encoding=encoding, write_through=True))
    monkeypatch.setenv("COLUMNS", str(width or 80))
    monkeypatch.setenv("TERM", "dumb")
    _print_peers(list(peers))
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [None, 40, 80, 120])
def test_names_of_nodes_and_models_are_whole_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    lines = peers_on(monkeypatch, width, peer(LONG_NAME, LONG_MODEL), peer("up-borage", "borage"))
    assert any(line.startswith(f"{LONG_NAME} ") for line in lines)
    assert any(line.startswith("up-borage ") for line in lines)
    assert any(LONG_MODEL in line for line in lines)


@pytest.mark.parametrize("width", [None, 40, 80, 120])
def test_no_line_ends_in_blanks_or_is_cut(monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
    lines = peers_on(monkeypatch, width, peer("up-borage", "borage", shared="thyme"), peer("up-sage", "sage"))
    assert lines == [line.rstrip() for line in lines]
    assert not any("…" in line for line in lines)
    assert width is None or max(map(len, lines)) <= width


def test_a_pipe_gets_every_column_on_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [f"model-{number}" for number in range(16)]
    head, _, *rows = peers_on(monkeypatch, None, peer("up-borage", *models, shared="thyme"), peer("up-sage", "sage"))
    assert all(column in head for column in COLUMNS)
    assert len(rows) == 2
    assert ", ".join(models) in rows[0]


def test_a_narrow_screen_lacks_what_is_needed_least(monkeypatch: pytest.MonkeyPatch) -> None:
    def heads(width: int) -> set[str]:
        return set(peers_on(monkeypatch, width, peer("up-borage", "borage"))[0].split("  ")) - {""}

    everything = {column.strip() for column in COLUMNS if column != "shares"}
    assert {head.strip() for head in heads(120)} == everything
    assert {head.strip() for head in heads(70)} == everything - {"id"}
    assert {head.strip() for head in heads(65)} == everything - {"id", "load"}
    assert {head.strip() for head in heads(40)} == {"node", "models", "state", "way"}
    assert {head.strip() for head in heads(20)} == {"node", "models", "state"}


def test_many_models_are_folded_between_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [f"model-{number}" for number in range(16)]
    lines = peers_on(monkeypatch, 60, peer("up-borage", *models))
    assert max(map(len, lines)) <= 60
    assert all(any(model in line for line in lines) for model in models)
    assert "round trip" not in lines[1]


def test_an_id_is_told_by_its_last_letters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peers_on(monkeypatch, None, peer("up-borage", "borage"))[2].endswith(f"  ...{PEER[-6:]}")


def test_where_output_is_not_utf8_letters_are_escaped_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rule, row = peers_on(monkeypatch, None, peer("größe", "sage"), encoding="ascii")
    assert row.startswith("gr\\xf6\\xdfe  sage")
    assert row.index("sage") == head.index("models")
    assert set(rule) == {"-", " "}


def test_what_peers_say_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = peers_on(monkeypatch, None, peer("a\x1b[31m\nb", "sage"))
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=90)), min_size=1, max_size=5), st.integers(1, 130))
def test_every_letter_of_a_needed_column_is_there(rows: list[tuple[str, str]], width: int) -> None:
    cells = [tuple(map(shown, column)) for column in zip(*rows, strict=True)]
    columns = [Column(head="node", cells=cells[0]), Column(head="models", cells=cells[1], folds=True)]
    text = "".join("".join(line.split()) for line in table_lines(columns, width))
    for cell in cells[0]:
        assert "".join(cell.split()) in text
    assert sum(map(len, "".join(cells[0] + cells[1]).split())) <= len(text)


@given(st.text(alphabet="ab ", max_size=60), st.integers(1, 20))
def test_folding_keeps_words_and_their_order(text: str, width: int) -> None:
    lines = fold(text, width)
    assert max(map(len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
