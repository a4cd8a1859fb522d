"""How large the source is, folder by folder; fails where a file or a function has outgrown the house rules.

A file over 400 lines is worth a thought (warning), over 500 lines a fault; so is a function over 60 lines. The warning
is no cap: one idea is one file. Functions are measured from `def` to their last line without their docstring, files as
they are.

    python tools/size_report.py [folder, default src/waggle]
"""

import ast
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

WARN_FILE_LINES = 400
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
WARN_FOLDER_FILES = 9
LARGEST = 5


@dataclass(frozen=True)
class Function:
    """One function or method and the lines that it takes."""

    name: str
    lines: int


@dataclass(frozen=True)
class File:
    """One source file, its lines and its functions."""

    path: Path
    lines: int
    functions: tuple[Function, ...]


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, docstring not counted."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def measure(path: Path, root: Path) -> File:
    """Read one file; `root` is what its name is told from."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(root)
    functions = tuple(
        Function(f"{name}:{node.lineno} {node.name}", function_lines(node))
        for node in ast.walk(ast.parse(text, str(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return File(name, len(text.splitlines()), functions)


def median_of(values: list[int]) -> str:
    """The median as text, a dash where there is nothing to measure."""
    return f"{median(values):.0f}" if values else "-"


def row(name: str, files: list[File]) -> str:
    """One line of the table. Empty files (a bare `__init__.py`) count as files, but not in the median."""
    lines = [file.lines for file in files]
    functions = [function.lines for file in files for function in file.functions]
    cells = [len(files), sum(lines), median_of([n for n in lines if n]), max(lines, default=0), median_of(functions)]
    return f"{name:<14}" + "".join(f"{cell:>10}" for cell in [*cells, max(functions, default=0)])


def table(files: list[File]) -> list[str]:
    """The report, a line for each folder and the largest files and functions."""
    folders: dict[str, list[File]] = defaultdict(list)
    for file in files:
        folders[file.path.parts[0] if len(file.path.parts) > 1 else "."].append(file)
    heads = ("files", "lines", "med file", "max file", "med func", "max func")
    report = [f"{'folder':<14}" + "".join(f"{head:>10}" for head in heads)]
    report += [row(folder, folders[folder]) for folder in sorted(folders)]
    report += [row("all", files), "", "largest files"]
    report += [f"{file.lines:>6}  {file.path}" for file in sorted(files, key=lambda file: -file.lines)[:LARGEST]]
    functions = sorted((function for file in files for function in file.functions), key=lambda f: -f.lines)
    report += ["", "largest functions"]
    report += [f"{function.lines:>6}  {function.name}" for function in functions[:LARGEST]]
    return report


def warnings_of(files: list[File]) -> list[str]:
    """What is worth a thought, but no fault."""
    warnings = [
        f"{file.path}: {file.lines} lines, over {WARN_FILE_LINES}"
        for file in files
        if WARN_FILE_LINES < file.lines <= MAX_FILE_LINES
    ]
    folders: dict[Path, int] = defaultdict(int)
    for file in files:
        folders[file.path.parent] += file.path.name != "__init__.py"
    return warnings + [
        f"{folder}/: {count} files, over {WARN_FOLDER_FILES}"
        for folder, count in sorted(folders.items())
        if count > WARN_FOLDER_FILES
    ]


def faults_of(files: list[File]) -> list[str]:
    """What must be made smaller before it is accepted."""
    return [
        f"{file.path}: {file.lines} lines, over {MAX_FILE_LINES}" for file in files if file.lines > MAX_FILE_LINES
    ] + [
        f"{function.name}: {function.lines} lines, over {MAX_FUNCTION_LINES}"
        for file in files
        for function in file.functions
        if function.lines > MAX_FUNCTION_LINES
    ]


def main() -> None:
    """Print the report and exit with 1 when there is a fault."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "src" / "waggle")
    files = [measure(path, root) for path in sorted(root.rglob("*.py"))]
    if not files:
        sys.exit(f"no Python files under {root}")
    faults = faults_of(files)
    print("\n".join(table(files)))
    for label, lines in (("warning", warnings_of(files)), ("FAULT", faults)):
        for line in lines:
            print(f"{label}: {line}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
