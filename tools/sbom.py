"""Print what waggle is made of as a CycloneDX 1.6 document: every locked package, torch, the bundled models.

Reads requirements.lock, pyproject.toml and the weights, and asks no index. The same tree gives the same document, byte
for byte: it has no date, and its serial number follows from its contents. A package's hashes are those of all files
that it was published as, any of which the lock takes. torch has none here, as in the lock (which says why).

    python tools/sbom.py > sbom.json
"""

import json
import re
import sys
import tomllib
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).parent.parent
LOCK, PROJECT, HIVE = ROOT / "requirements.lock", ROOT / "pyproject.toml", ROOT / "src" / "waggle" / "hive"
SPEC = "http://cyclonedx.org/schema/bom-1.6.schema.json"

PACKAGE = re.compile(r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[A-Za-z0-9.+!]+)(?: ; (?P<marker>[^\\]+))?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

Json = dict[str, object]


def read_lock(text: str) -> list[Json]:
    """A component for every package of a lock.

    Raises:
        ValueError: a line that is neither a comment, nor a pinned package, nor its hash; a package without a hash.
    """
    packages: list[tuple[re.Match[str], list[str]]] = []
    for line in text.splitlines():
        content = line.removesuffix("\\").strip()
        if content.startswith("#"):
            continue
        if found := PACKAGE.fullmatch(content):
            packages.append((found, []))
        elif (digest := HASH.fullmatch(content)) and packages:
            packages[-1][1].append(digest[1])
        else:
            raise ValueError(f"neither a pinned package nor its hash: {content[:80]!r}")
    return [_package(found, hashes) for found, hashes in packages]


def _package(found: re.Match[str], hashes: list[str]) -> Json:
    if not hashes:
        raise ValueError(f"{found['name']} has no hash")
    component = _component("library", found["name"], found["version"], hashes)
    component["bom-ref"] = component["purl"] = f"pkg:pypi/{found['name']}@{found['version']}"
    if found["marker"]:
        component["properties"] = [{"name": "waggle:installed-where", "value": found["marker"].strip()}]
    return component


def read_torch(project: str) -> Json:
    """The one package outside the lock."""
    (version,) = re.findall(r'"torch==([^"]+)"', project)
    purl = f"pkg:pypi/torch@{version}"
    reason = {"name": "waggle:not-hashed", "value": "its CPU and CUDA builds are different files of one version"}
    return _component("library", "torch", version, []) | {"purl": purl, "bom-ref": purl, "properties": [reason]}


def read_hive(folder: Path) -> list[Json]:
    """A component for every bundled model, with the hash of its weights."""
    weights = sorted(folder.glob("*/model.safetensors"))
    return [
        _component("machine-learning-model", file.parent.name, None, [sha256(file.read_bytes()).hexdigest()])
        | {"bom-ref": f"waggle:hive/{file.parent.name}"}
        for file in weights
    ]


def _component(kind: str, name: str, version: str | None, hashes: list[str]) -> Json:
    component: Json = {"type": kind, "name": name}
    if version is not None:
        component["version"] = version
    if hashes:
        component["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in hashes]
    return component


def make_sbom(components: list[Json], project: str, version: str) -> Json:
    """The document. Raises ValueError where two components have one name."""
    about = tomllib.loads(project)["project"]
    whole = _component("application", about["name"], version, []) | {
        "bom-ref": "waggle",
        "licenses": [{"license": {"id": about["license"]}}],
        "description": about["description"],
    }
    refs = [str(component["bom-ref"]) for component in components]
    if len(set(refs)) < len(refs):
        raise ValueError("two components of one name and version")
    return {
        "$schema": SPEC,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps([whole, components]))}",
        "version": 1,
        "metadata": {"component": whole},
        "components": components,
    }


def main() -> None:
    """Print the document of this tree."""
    project = PROJECT.read_text()
    components = [*read_lock(LOCK.read_text()), read_torch(project), *read_hive(HIVE)]
    (version,) = re.findall(r'(?m)^__version__ = "([^"]+)"', (ROOT / "src/waggle/__init__.py").read_text())
    json.dump(make_sbom(components, project, version), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
