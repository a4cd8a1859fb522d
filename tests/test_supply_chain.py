"""What waggle is built from: every package pinned by hash, nothing that unpickles, models as plain tensors, one list.

The rules for source hold for src and tools. Each has a planted violation, so that it has been seen to find something.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from tests.test_architecture import Module, read_package
from tests.unit.models.tiny import tiny_folder
from tools.sbom import HIVE, LOCK, PROJECT, Json, make_sbom, read_hive, read_lock, read_torch
from waggle.core.errors import CheckpointError, UsageError
from waggle.mesh.files.formats import CODE_SUFFIXES, path_fault
from waggle.models.checkpoint import PICKLES, load_decoder
from waggle.node.engines.opening import open_engines

pytestmark = pytest.mark.timeout(240)  # reads all sources; the first to use torch waits for its import
ROOT = Path(__file__).parent.parent

UNPICKLERS = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle", "copyreg",
}  # fmt: skip
LOADERS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.serialization.load", "torch.package.PackageImporter",
    "numpy.load", "pandas.read_pickle", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
    "jinja2.Environment", "jinja2.Template", "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec",
    "builtins.compile", "os.system", "os.popen",
}  # fmt: skip
ARGUMENTS = {"allow_pickle": False, "trust_remote_code": False, "weights_only": True, "shell": False}
"""Arguments that may have this value only."""
WEIGHTS = {".safetensors"}
DATA = {".json", ".txt", ".md", ".jinja", ".css", ".svg", ".js", ".png", ".ico", ".typed", ".woff2"}


# --- source ---------------------------------------------------------------------------------------------------------


def find_loaders(modules: dict[str, Module]) -> list[str]:
    """Whatever could run what a file or a peer contains."""
    return [fault for module in modules.values() for fault in (*_imports(module), *_calls(module), *_arguments(module))]


def _imports(module: Module) -> Iterator[str]:
    for node, full, _ in module.imports():
        if full.split(".")[0] in UNPICKLERS:
            yield f"{module.at(node)}: {full}"


def _calls(module: Module) -> Iterator[str]:
    for node, full in module.references():
        if full in LOADERS:
            yield f"{module.at(node)}: {full}"


def _arguments(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        for word in node.keywords if isinstance(node, ast.Call) else ():
            if word.arg in ARGUMENTS and ast.unparse(word.value) != str(ARGUMENTS[word.arg]):
                yield f"{module.at(word.value)}: {word.arg}={ast.unparse(word.value)}"


def tools() -> dict[str, Module]:
    return {path.stem: Module(path.stem, path, False) for path in (ROOT / "tools").glob("*.py")}


def test_no_source_loads_what_could_run() -> None:
    modules = read_package(ROOT / "src") | tools()
    assert {"waggle.models.checkpoint", "lock", "sbom"} <= modules.keys()
    assert find_loaders(modules) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import _pickle as quick",
        "from pickle import Unpickler",
        "def f():\n    import marshal",
        "import shelve",
        "import joblib",
        "from dill import loads",
        "import torch\ntorch.load('f')",
        "from torch import load as read\nread('f', weights_only=True)",
        "from torch.jit import load\nload('f')",
        "import numpy as np\nnp.load('f')",
        "def f(read):\n    read('f', allow_pickle=True)",
        "def f(read, yes):\n    read('f', allow_pickle=yes)",
        "def f(read):\n    read('f', trust_remote_code=True)",
        "def f(read):\n    read('f', weights_only=False)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import yaml\nyaml.load('f', Loader=yaml.Loader)",
        "from jinja2 import Environment\nEnvironment()",
        "eval('1')",
        "exec('1')",
        "run = eval",
        "import builtins\nbuiltins.exec('1')",
        "compile('1', 'f', 'eval')",
        "__import__('pickle')",
    ],
)
def test_each_way_to_load_code_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waggle" / "node" / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert find_loaders(read_package(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "import re\nre.compile('x')",
        "def f(network):\n    return network.eval()",
        "from jinja2.sandbox import ImmutableSandboxedEnvironment\nImmutableSandboxedEnvironment()",
        "from safetensors.torch import load_file\nload_file('f')",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "pickled = 'pickle.load(file)  # words only'",
    ],
)
def test_harmless_namesakes_are_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waggle" / "node" / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert find_loaders(read_package(tmp_path)) == []


# --- the lock -------------------------------------------------------------------------------------------------------


def components() -> list[Json]:
    return read_lock(LOCK.read_text())


def test_the_lock_pins_every_package_by_hash_and_names_no_place() -> None:
    text = "\n".join(line for line in LOCK.read_text().splitlines() if not line.startswith("#"))
    named = re.findall(r"(?m)^\S+", text)
    assert [f"{each['name']}=={each['version']}" for each in components()] == named
    assert len(named) > 100
    assert all(each["hashes"] for each in components())
    assert not re.search(r"://|file:|@|--(index|extra|find|trusted|no-)|^-", text, re.MULTILINE)


def test_the_lock_holds_all_that_is_asked_for() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    asked = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in asked}
    assert names - {str(each["name"]) for each in components()} <= {"torch"}


def test_what_is_installed_is_checked_against_the_lock() -> None:
    for file in ("Makefile", "Dockerfile"):
        installs = [line for line in (ROOT / file).read_text().splitlines() if "requirements.lock" in line]
        assert any("--require-hashes" in line for line in installs), file


@pytest.mark.parametrize(
    "text",
    [
        "a==1.0",
        "a==1.0 \\\n    --hash=md5:00",
        "a>=1.0 \\\n    --hash=sha256:" + "0" * 64,
        "a @ https://evil.example/a.whl",
        "--index-url https://evil.example\na==1.0 \\\n    --hash=sha256:" + "0" * 64,
        "-e .",
        "    --hash=sha256:" + "0" * 64,
    ],
)
def test_a_lock_with_anything_else_in_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hash"):
        read_lock(text)


# --- models ---------------------------------------------------------------------------------------------------------


def test_the_package_holds_weights_as_safetensors_and_nothing_that_could_run() -> None:
    held = {file.suffix for file in (ROOT / "src" / "waggle").rglob("*") if file.is_file()}
    assert held - {".py", ".pyc"} <= WEIGHTS | DATA
    assert {file.suffix for file in HIVE.rglob("*") if file.is_file()} == {".json", *WEIGHTS}


@pytest.mark.parametrize("suffix", sorted(PICKLES))
def test_a_model_in_a_format_that_could_run_is_refused_in_words(tmp_path: Path, suffix: str) -> None:
    folder = tiny_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": torch.ones(64)}, folder / f"pytorch_model{suffix}")
    with pytest.raises(CheckpointError, match=rf"pytorch_model\{suffix} can hold code and is never loaded: convert"):
        load_decoder(folder)
    with pytest.raises(UsageError, match=r"is a file: give the folder that holds config\.json and \*\.safetensors"):
        open_engines([str(folder / f"pytorch_model{suffix}")])
    assert suffix in CODE_SUFFIXES
    assert "can hold code" in (path_fault(f"pytorch_model{suffix}") or "")


def test_a_pickle_under_the_name_of_safe_weights_is_not_read(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    mark = tmp_path / "ran"
    (folder / "model.safetensors").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    with pytest.raises(CheckpointError, match="is damaged"):
        load_decoder(folder)
    assert not mark.exists()


# --- the list of parts ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sbom() -> dict[str, object]:
    made = subprocess.run([sys.executable, ROOT / "tools/sbom.py"], capture_output=True, check=True, timeout=200)
    return dict(json.loads(made.stdout))


def parts(sbom: dict[str, object], kind: str) -> dict[str, Json]:
    listed = sbom["components"]
    assert isinstance(listed, list)
    return {str(part["bom-ref"]): part for part in listed if part["type"] == kind}


def test_the_list_has_the_form_of_cyclonedx(sbom: dict[str, object]) -> None:
    assert set(sbom) == {"$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components"}
    assert (sbom["bomFormat"], sbom["specVersion"], sbom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(sbom["serialNumber"]))
    known = {"type", "name", "version", "hashes", "purl", "bom-ref", "properties"}
    for kind in ("library", "machine-learning-model"):
        for part in parts(sbom, kind).values():
            assert {"type", "name", "bom-ref"} <= part.keys() <= known
            hashes = part.get("hashes", [])
            assert isinstance(hashes, list)
            assert all(each["alg"] == "SHA-256" for each in hashes)
            assert all(re.fullmatch("[0-9a-f]{64}", each["content"]) for each in hashes)


def test_every_locked_package_is_in_the_list_with_its_hashes(sbom: dict[str, object]) -> None:
    listed = parts(sbom, "library")
    locked = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", LOCK.read_text())
    assert len(listed) == len(locked) + 1
    for name, version in locked:
        part = listed[f"pkg:pypi/{name}@{version}"]
        assert (part["name"], part["version"], part["purl"]) == (name, version, part["bom-ref"])
    digests = re.findall(r"sha256:([0-9a-f]{64})", LOCK.read_text())
    assert [each["content"] for part in components() for each in part["hashes"]] == digests  # type: ignore[attr-defined]
    (torch_part,) = (part for part in listed.values() if part["name"] == "torch")
    assert "hashes" not in torch_part
    assert torch_part["properties"]


def test_every_bundled_model_is_in_the_list_with_the_hash_of_its_weights(sbom: dict[str, object]) -> None:
    listed = parts(sbom, "machine-learning-model")
    folders = sorted(file.parent for file in HIVE.glob("*/model.safetensors"))
    assert len(listed) == len(folders) >= 7
    for folder in folders:
        digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert listed[f"waggle:hive/{folder.name}"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_same_tree_gives_the_same_list_and_another_one_another_number() -> None:
    project = PROJECT.read_text()
    whole = [*components(), read_torch(project), *read_hive(HIVE)]
    first, again, less = (make_sbom(each, project, "1.0") for each in (whole, whole, whole[1:]))
    assert first == again
    assert first["serialNumber"] != less["serialNumber"]
    with pytest.raises(ValueError, match="two components"):
        make_sbom([whole[0], whole[0]], project, "1.0")
