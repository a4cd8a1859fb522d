"""Write requirements.lock: every package but torch, pinned, with the hashes of all its published files.

Reads the dependencies of pyproject.toml (runtime and dev), replaces torch by the packages that its CPU build asks
for, and lets `uv` resolve them for every platform and Python that the project supports. The lock holds names,
versions and hashes only: no address of an index, so that it works with whichever one pip is set up to use.

    pip install uv && python tools/lock.py [--upgrade]
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"

# `Requires-Dist` of torch 2.13.0's CPU build.
TORCH_CPU_REQUIRES = (
    "filelock",
    "fsspec>=0.8.5",
    "jinja2",
    "networkx>=2.5.1",
    "setuptools>=77.0.3",
    "sympy>=1.13.3",
    "typing-extensions>=4.10.0",
)

# hivemind asks for torch; an override with a marker that never holds keeps it, and what CUDA builds ask for, out.
OVERRIDES = "torch ; python_version < '3'\n"

HEADER = """\
# Every package that waggle runs and is tested with, except torch. Written by tools/lock.py; do not edit.
#
# torch is left out because one version of it has several builds (CPU, CUDA, one per platform) with different
# hashes and different dependencies, and pip's hash mode would turn down all but those listed here. `make setup`
# installs torch==2.13.0 from wherever pip is set up to look; a CPU build is enough and is preferred when in reach.
"""


def requirements() -> list[str]:
    """The project's direct requirements, without torch and with what torch needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [line for line in direct if not re.match(r"torch\b", line)] + list(TORCH_CPU_REQUIRES)


def resolve(wanted: list[str], *, upgrade: bool) -> str:
    """Let uv pin `wanted`; unless `upgrade`, versions of the present lock are kept where they still fit."""
    command = ["uv", "pip", "compile", "-", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
    command += ["--output-file", str(LOCK)] + (["--upgrade"] if upgrade else [])
    with NamedTemporaryFile("w", suffix=".txt") as overrides:
        overrides.write(OVERRIDES)
        overrides.flush()
        subprocess.run([*command, "--override", overrides.name], input="\n".join(wanted), text=True, check=True)
    return LOCK.read_text()


def main() -> None:
    """Write the lock and refuse one that names an address, torch itself or a CUDA package."""
    lock = resolve(requirements(), upgrade="--upgrade" in sys.argv[1:])
    lock = "\n".join(line for line in lock.splitlines() if not line.startswith("#")) + "\n"
    unwanted = re.findall(r"(?m)^(?:--\S+|torch==|nvidia-).*|\S*(?:://|file:)\S*", lock)
    if unwanted:
        sys.exit(f"requirements.lock must not hold: {unwanted}")
    LOCK.write_text(HEADER + lock)
    print(f"{LOCK.name}: {len(re.findall(r'(?m)^[a-z0-9]', lock))} packages")


if __name__ == "__main__":
    main()
