"""Which files may be shared or fetched: plain data under a plain relative path. Says in words why another may not.

Formats whose loaders can run code (Python, pickles, libraries) are named, so that the refusal says what to use
instead; every other unknown format is refused as unknown. Paths are ASCII without anything that a file system or a
shell reads specially, so that one manifest means the same on every machine.
"""

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

MAX_PATH_CHARACTERS = 255
MAX_PATH_DEPTH = 4
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z"
"""Names of models: one word that is also a folder's name. `\\Z`, because `$` lets a line end pass."""

DATA_SUFFIXES = (".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja", ".md")
DATA_NAMES = ("LICENSE", "LICENCE", "NOTICE", "README", "COPYING")
CODE_SUFFIXES = frozenset({
    ".py", ".pyc", ".pyd", ".sh", ".bat", ".cmd", ".ps1", ".exe", ".dll", ".so", ".dylib", ".js", ".jar", ".wasm",
    ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras", ".nemo",
    ".mar", ".zip", ".tar", ".gz", ".7z", ".whl",
})  # fmt: skip
"""Programs, pickles, formats that may hold either, and archives that may hold anything."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*\Z")
_DEVICES = frozenset(["CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))])


def name_fault(name: str) -> str | None:
    """Why this cannot be the name of a model; None where it can."""
    if re.match(NAME_PATTERN, name) is None:
        return f"{name[:100]!r} is no name: up to 96 letters, digits, '.', '_' and '-', a letter or digit first"
    if re.fullmatch(r"[0-9a-fA-F]{64}", name):
        return f"{name!r} would be taken for a manifest"
    if name.split(".")[0].upper() in _DEVICES or name.endswith("."):
        return f"{name!r} cannot be a folder's name on every system"
    return None


def path_fault(path: str) -> str | None:
    """Why a file of this path is neither shared nor fetched; None where it is."""
    parts = path.split("/")
    if len(path) > MAX_PATH_CHARACTERS or len(parts) > MAX_PATH_DEPTH:
        return f"{path[:60]!r}...: paths have at most {MAX_PATH_CHARACTERS} characters and {MAX_PATH_DEPTH} parts"
    for part in parts:
        if _PART.match(part) is None or part[-1] in ". ":
            return f"{path!r} is not a plain relative path of letters, digits, '_', '.', '+', '-' and spaces"
        if part.split(".")[0].rstrip().upper() in _DEVICES:
            return f"{path!r} names a device on some systems"
    return _format_fault(path, parts[-1])


def _format_fault(path: str, file: str) -> str | None:
    if file in DATA_NAMES or file.endswith(DATA_SUFFIXES):
        return None
    suffix = Path(file).suffix.lower()
    if suffix in CODE_SUFFIXES:
        return f"{path!r}: {suffix} files can hold code and are never shared; convert weights to .safetensors"
    return f"{path!r} is no data format known here ({', '.join(DATA_SUFFIXES)})"


def content_fault(file: Path) -> str | None:
    """Why a file of weights is not what its suffix says; None where it is. Reads its header only, runs nothing."""
    if file.suffix == ".safetensors":
        return _safetensors_fault(file)
    if file.suffix == ".gguf":
        with file.open("rb") as opened:
            return None if opened.read(4) == b"GGUF" else f"{file.name} does not begin as a GGUF file does"
    return None


def _safetensors_fault(file: Path) -> str | None:
    """The library checks that the header parses and that the tensors fill the file without gap or overlap."""
    try:
        with safe_open(str(file), framework="numpy"):
            return None
    except (SafetensorError, ValueError) as error:
        return f"{file.name} is no safetensors file: {error}"
