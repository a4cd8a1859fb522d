"""The house rules that no type checker knows: who imports whom, what stays pure, what is never called.

Reads the source as syntax trees and runs none of it. Every rule has a test with a planted violation, so that a
checker that finds nothing has been seen to find something. The table is the one of the project's folders: an
import may only point from a folder to those in its set (and to itself).
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)  # reads all sources
PACKAGE = "waggle"
ROOT = Path(__file__).parent.parent

BELOW_NODE = {
    "core", "consensus", "economy", "routing", "models", "trust", "engines", "strategies", "mesh",
}  # fmt: skip
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "consensus": {"core"},
    "economy": {"core"},
    "routing": {"core", "consensus"},
    "models": {"core"},
    "trust": {"core", "consensus"},
    "engines": {"core", "models"},
    "strategies": {"core", "consensus", "routing"},
    "mesh": {"core", "trust"},
    "node": BELOW_NODE,
    "gateway": {"core", "strategies", "node"},
    "dashboard": {"core", "strategies", "node"},
    "testing": BELOW_NODE | {"node", "training", "bench"},
    "bench": BELOW_NODE | {"node", "training", "testing"},
    "training": {"core", "models"},
    "library": BELOW_NODE | {"node"},
    "cli": BELOW_NODE | {"node", "library", "gateway", "dashboard", "testing", "bench", "training"},
    "hive": set(),  # data only
    "__init__": {"core", "consensus", "engines", "strategies", "library"},  # by name only: see find_cycles
    "__main__": {"cli"},  # `python -m waggle`: the one door to the command line
}
PURE = {"core", "consensus", "economy", "routing", "strategies"}
IMPURE_MODULES = {"asyncio", "time", "random", "secrets", "socket", "logging"}
RUNS_FOREIGN_CODE = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "torch.load",
    "eval", "exec", "builtins.eval", "builtins.exec",
}  # fmt: skip


KEEPS_FILES = {"node", "gateway", "dashboard", "mesh", "trust", "cli"}
REPLACES_FILES = {"waggle.node.home.files", "waggle.cli.helppages"}  # the rule itself; pages that git keeps


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, the folder that its rules come from, its syntax tree."""

    name: str
    path: Path
    is_package: bool

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    @property
    def folder(self) -> str:
        """`waggle.routing.gate` is ruled by `routing`, `waggle/__init__.py` by `__init__`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"

    def at(self, node: ast.stmt | ast.expr) -> str:
        return f"{self.path.name}:{node.lineno} ({self.name})"

    def imports(self) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, str]]:
        """Every import anywhere in the file as (statement, full dotted name, the name that it binds)."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name, alias.asname or alias.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield node, f"{self._origin(node)}.{alias.name}", alias.asname or alias.name

    def _origin(self, node: ast.ImportFrom) -> str:
        """The absolute name behind `from`, relative imports resolved."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*base, node.module] if node.module else base)

    def references(self) -> Iterator[tuple[ast.expr, str]]:
        """Every name or dotted name that is read, as the full name that it stands for."""
        bound = {
            name: full if name != full.split(".")[0] else name
            for _, full, name in self.imports()
            if not full.endswith(".*")
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                head, _, rest = ast.unparse(node).partition(".")
                full = bound.get(head, head)
                yield node, f"{full}.{rest}" if rest else full


def read_package(src: Path) -> dict[str, Module]:
    """All modules of `src/waggle`, by dotted name."""
    modules = {}
    for path in sorted((src / PACKAGE).rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path, is_package)
    return modules


def own_targets(module: Module, modules: dict[str, Module]) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """The modules of ours that `module` imports; an import of something inside a module counts as that module."""
    for node, full, _ in module.imports():
        if full.split(".")[0] == PACKAGE:
            yield node, full if full in modules or "." not in full else full.rpartition(".")[0]


def find_forbidden_imports(modules: dict[str, Module]) -> list[str]:
    faults = []
    for module in modules.values():
        if module.folder not in MAY_IMPORT:
            faults.append(f"{module.name}: folder {module.folder} is not in the table")
            continue
        for node, target in own_targets(module, modules):
            folder = target.split(".")[1] if "." in target else "__init__"
            if folder not in MAY_IMPORT[module.folder] | {module.folder, "__init__"}:
                faults.append(f"{module.at(node)}: {module.folder} may not import {folder}")
    return faults


def find_impurities(modules: dict[str, Module]) -> list[str]:
    faults = []
    for module in modules.values():
        if module.folder not in PURE:
            continue
        for node, full, _ in module.imports():
            if full.split(".")[0] in IMPURE_MODULES:
                faults.append(f"{module.at(node)}: {module.folder} may not import {full}")
        calls = {node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
        for expression, full in module.references():
            if expression in calls and full.startswith("numpy.random."):
                faults.append(f"{module.at(expression)}: {full}() makes randomness; take a Generator as an argument")
    return faults


def find_cycles(modules: dict[str, Module]) -> list[str]:
    """Of all modules but the package itself, which imports nothing until it is asked for a name."""
    graph = {
        name: {target for _, target in own_targets(module, modules)} - {name}
        for name, module in modules.items()
        if module.folder != "__init__"
    }
    return circles_in(graph)


def circles_in(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The first circle of a graph, if there is one, in words."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def find_room_cycles(modules: dict[str, Module]) -> dict[str, list[str]]:
    """Circles between the rooms of each folder, by top-level folder.

    A room is what lies directly in a folder: a file, or a folder with all that is below it. The import of one module by
    another joins two rooms of the deepest folder that holds both.
    """
    rooms: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module in modules.values():
        for _, target in own_targets(module, modules):
            ours, theirs = module.name.split("."), target.split(".")
            depth = next((depth for depth, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
            if depth > 1:
                rooms[".".join(ours[:depth])][ours[depth]].add(theirs[depth])
    found: dict[str, list[str]] = defaultdict(list)
    for folder, graph in rooms.items():
        found[folder.split(".")[1]] += [f"{folder}: {circle}" for circle in circles_in(graph)]
    return {folder: circles for folder, circles in found.items() if circles}


def find_foreign_code(modules: dict[str, Module]) -> list[str]:
    return [
        f"{module.at(node)}: {full} can run what a file or a peer contains"
        for module in modules.values()
        for node, full in module.references()
        if full in RUNS_FOREIGN_CODE
    ]


RULES = [find_forbidden_imports, find_impurities, find_cycles, find_foreign_code]


def find_writing_in_place(modules: dict[str, Module]) -> list[str]:
    """Calls that would cut a file of the program short where they fail half way."""
    kept = [one for one in modules.values() if one.folder in KEEPS_FILES and one.name not in REPLACES_FILES]
    return [
        f"{module.name}:{node.lineno} writes a file in place: use replace_file"
        for module in kept
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _writes_in_place(node)
    ]


def _writes_in_place(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("write_bytes", "write_text"):
        return True
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    modes = [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return name == "open" and any(set(mode) <= set("rwxabt+") and set(mode) & set("wx") for mode in modes)


@pytest.fixture(scope="module")
def source() -> dict[str, Module]:
    return read_package(ROOT / "src")


def plant(tmp_path: Path, files: dict[str, str]) -> dict[str, Module]:
    """Write a package with the given files (paths below `waggle/`) and read it."""
    for name, text in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_package(tmp_path)


def test_the_source_is_found(source: dict[str, Module]) -> None:
    assert "waggle.core.errors" in source


def test_folders_import_only_what_the_table_allows(source: dict[str, Module]) -> None:
    assert find_forbidden_imports(source) == []


def test_pure_folders_have_no_clock_randomness_or_io(source: dict[str, Module]) -> None:
    assert find_impurities(source) == []


def test_no_modules_import_each_other_in_a_circle(source: dict[str, Module]) -> None:
    assert find_cycles(source) == []


def test_the_rooms_of_a_folder_do_not_import_each_other_in_a_circle(source: dict[str, Module]) -> None:
    assert find_room_cycles(source) == {}


def test_nothing_can_run_foreign_code(source: dict[str, Module]) -> None:
    assert find_foreign_code(source) == []


def test_what_the_program_keeps_is_replaced_whole(source: dict[str, Module]) -> None:
    assert find_writing_in_place(source) == []


def test_hive_holds_only_data(source: dict[str, Module]) -> None:
    assert [name for name, module in source.items() if module.folder == "hive"] == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("core/a.py", "from waggle.routing import gate", "core may not import routing"),
        ("core/a.py", "import waggle.models.decoder", "core may not import models"),
        ("routing/a.py", "def f():\n    from ..node import run", "routing may not import node"),
        ("routing/__init__.py", "from ..engines.protocol import Engine", "routing may not import engines"),
        ("bench/a.py", "from waggle.gateway import app", "bench may not import gateway"),
        ("node/a.py", "from waggle.cli.main import run", "node may not import cli"),
        ("node/a.py", "from waggle import cli", "node may not import cli"),
        ("helpers/a.py", "", "folder helpers is not in the table"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, text: str, fault: str) -> None:
    faults = find_forbidden_imports(plant(tmp_path, {file: text, "cli/__init__.py": "", "routing/gate.py": ""}))
    assert len(faults) == 1
    assert faults[0].endswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "from time import monotonic",
        "import random as dice",
        "if True:\n    import logging.handlers",
        "import numpy as np\nrng = np.random.default_rng(0)",
        "import numpy\nnumpy.random.seed(0)",
        "from numpy import random as chance\nx = chance.rand()",
        "from numpy.random import default_rng as make\ndef f(x=make()): ...",
        "import numpy.random\nnumpy.random.default_rng(1)",
    ],
)
def test_an_impurity_is_found_in_pure_folders_only(tmp_path: Path, text: str) -> None:
    assert len(find_impurities(plant(tmp_path / "pure", {"strategies/a.py": text}))) == 1
    assert find_impurities(plant(tmp_path / "rim", {"node/a.py": text})) == []


def test_a_generator_as_an_argument_is_pure(tmp_path: Path) -> None:
    text = "import numpy as np\ndef f(rng: np.random.Generator) -> float:\n    return rng.random()"
    assert find_impurities(plant(tmp_path, {"routing/a.py": text})) == []


@pytest.mark.parametrize(
    "back", ["import waggle.core.a", "from waggle.core import a", "from .a import x", "def f():\n    from . import a"]
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    files = {"core/__init__.py": "", "core/a.py": "from waggle.core.b import y", "core/b.py": "import waggle.core.c"}
    assert find_cycles(plant(tmp_path, files | {"core/c.py": ""})) == []
    assert len(find_cycles(plant(tmp_path, files | {"core/c.py": back}))) == 1


ROOMS = {
    "mesh/a/__init__.py": "", "mesh/a/one.py": "from waggle.mesh.b.one import x", "mesh/a/two.py": "",
    "mesh/b/one.py": "from waggle.mesh.plain import x", "mesh/plain.py": "", "node/a.py": "import waggle.mesh.a.one",
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "text", "rooms"),
    [
        ("mesh/b/two.py", "from waggle.mesh.a import two", {"a", "b"}),
        ("mesh/b/two.py", "def f():\n    import waggle.mesh.a", {"a", "b"}),
        ("mesh/b/c/deep.py", "from ...a.two import x", {"a", "b"}),
        ("mesh/plain.py", "from waggle.mesh.a.two import x", {"a", "b", "plain"}),
    ],
)
def test_a_circle_of_rooms_is_found_where_no_modules_form_one(
    tmp_path: Path, file: str, text: str, rooms: set[str]
) -> None:
    assert find_room_cycles(plant(tmp_path / "clean", ROOMS)) == {}
    modules = plant(tmp_path, ROOMS | {file: text})
    assert find_cycles(modules) == []
    ((circle,),) = find_room_cycles(modules).values()
    assert set(circle.removeprefix("waggle.mesh: ").split(" imports ")) == rooms


def test_a_circle_of_rooms_is_found_at_any_depth(tmp_path: Path) -> None:
    files = {"mesh/a/x/one.py": "from waggle.mesh.a.y import one", "mesh/a/y/one.py": "", "mesh/a/x/two.py": ""}
    assert find_room_cycles(plant(tmp_path, files)) == {}
    modules = plant(tmp_path, files | {"mesh/a/y/two.py": "from waggle.mesh.a.x import two"})
    assert list(find_room_cycles(modules)) == ["mesh"]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.load(open('f', 'rb'))",
        "from pickle import loads as read\nread(b'')",
        "import torch\ntorch.load('f')",
        "import torch as t\nload = t.load",
        "eval('1')",
        "def f(text):\n    exec(text)",
        "import builtins\nbuiltins.eval('1')",
    ],
)
def test_a_call_that_runs_foreign_code_is_found(tmp_path: Path, text: str) -> None:
    assert len(find_foreign_code(plant(tmp_path, {"node/a.py": text}))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "path.write_bytes(b'')",
        "def f(path):\n    path.write_text('x', encoding='utf-8')",
        "with path.open('w') as file: ...",
        "with open('f', mode='wb') as file: ...",
        "open('f', 'x+')",
    ],
)
def test_a_file_that_is_written_in_place_is_found(tmp_path: Path, text: str) -> None:
    assert len(find_writing_in_place(plant(tmp_path / "kept", {"node/a.py": text}))) == 1
    assert find_writing_in_place(plant(tmp_path / "made", {"training/a.py": text})) == []


@pytest.mark.parametrize(
    "text", ["path.open('rb')", "open('f', mode='ab')", "path.read_bytes()", "transport.open(peer)"]
)
def test_a_file_that_is_read_or_added_to_is_not_written_in_place(tmp_path: Path, text: str) -> None:
    assert find_writing_in_place(plant(tmp_path, {"node/a.py": text})) == []


def test_a_network_set_to_evaluation_is_no_foreign_code(tmp_path: Path) -> None:
    assert find_foreign_code(plant(tmp_path, {"models/a.py": "def f(network):\n    return network.eval()"})) == []


def test_a_module_of_the_hive_is_found(tmp_path: Path) -> None:
    modules = plant(tmp_path, {"hive/loader.py": ""})
    assert [module.folder for module in modules.values()] == ["hive"]
