"""Writes `docs/cli/`, a page for each verb, from the verbs' own help; with --check says which pages are out of date.

The pages are the help texts at a fixed width without colour, so they are the same on every machine.

    python -m waggle.cli.helppages [--check] [FOLDER]
"""

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import typer

from waggle.cli.verbs import app

FOLDER = Path("docs/cli")
WIDTH = 100  # characters


def pages() -> dict[str, str]:
    """The text of every page by its file name: one for `waggle` itself, one for each verb with all its parts."""
    groups = {str(group.name): group.typer_instance for group in app.registered_groups}
    verbs: dict[str, list[tuple[str, ...]]] = {name: [(name,)] for name in _commands(app)}
    verbs |= {name: [(name,), *((name, part) for part in _commands(group))] for name, group in groups.items()}
    return {"waggle.md": _page([()])} | {f"{name}.md": _page(parts) for name, parts in verbs.items()}


def _commands(group: typer.Typer | None) -> list[str]:
    return [str(command.name) for command in group.registered_commands] if group else []


def _page(commands: Sequence[tuple[str, ...]]) -> str:
    first, *parts = (f"# {' '.join(('waggle', *words))}\n\n```text\n{_help(words)}\n```\n" for words in commands)
    return "\n".join([first, *(f"#{part}" for part in parts)])


def _help(words: tuple[str, ...]) -> str:
    """What `waggle WORDS --help` prints at the pages' width."""
    with redirect_stdout(io.StringIO()) as printed:
        app([*words, "--help"], prog_name="waggle", standalone_mode=False, terminal_width=WIDTH)
    return printed.getvalue().rstrip()


def out_of_date(folder: Path) -> list[str]:
    """File names in `folder` that are missing, differ from the help, or belong to no verb."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def write(folder: Path) -> None:
    """Make the folder hold these pages and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in out_of_date(folder):
        (folder / name).unlink(missing_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check only say what differs; returns the exit status."""
    folder = next((Path(word) for word in arguments if word != "--check"), FOLDER)
    if "--check" not in arguments:
        write(folder)
        return 0
    stale = out_of_date(folder)
    for name in stale:
        print(f"{folder / name} is out of date: run python -m waggle.cli.helppages", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
