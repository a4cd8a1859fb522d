"""Opens engines from what a person writes: nothing (the bundled hive), a server's address, or a model folder."""

import re
import zlib
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.engines.protocol import Engine

Engines = dict[NodeId, Engine]
HIVE = "hive:"
SCRIPTED = "scripted:"
"""An engine without a model, for trying and measuring everything around it: right in three sums of four."""


def open_engines(
    specs: Sequence[str] = (), *, key_variable: str | None = None, others: Sequence[tuple[str, Engine]] = ()
) -> Engines:
    """One engine per spec, named after its model, and the others; the bundled hive where there are neither.

    Args:
        specs: `http://host:port/v1#model` for an OpenAI-compatible server, `hive:NAME` for a bundled model,
            `scripted:NAME` for an engine without one, else a folder with a checkpoint.
        key_variable: name of the environment variable that holds the servers' key, if they want one.
        others: engines that were made already, each with its model's name.

    Raises:
        UsageError: a spec is neither; CheckpointError: a folder cannot be loaded.
    """
    if not specs and not others:
        return open_hive()
    if not all(spec.strip() for spec in specs):
        raise UsageError("an engine without a name: give a model folder or an address like http://host:port/v1#model")
    servers = [spec for spec in specs if spec.startswith(("http://", "https://"))]
    scripted = [spec.removeprefix(SCRIPTED) for spec in specs if spec.startswith(SCRIPTED)]
    folders = [_folder(spec) for spec in specs if not spec.startswith(("http://", "https://", SCRIPTED))]
    named = [_open_server(spec, key_variable) for spec in servers]
    named += [(name or "scripted", _open_scripted(name)) for name in scripted]
    named += _open_folders(folders)
    return _distinct([*named, *others])


def is_bundled(specs: Sequence[str]) -> bool:
    """Whether these name nothing but bundled models, which the bundled calibration was measured on."""
    return all(spec.startswith(HIVE) for spec in specs)


def _folder(spec: str) -> Path:
    if not spec.startswith(HIVE):
        return Path(spec)
    from waggle.models.hive import hive_folder, hive_names

    name = spec.removeprefix(HIVE)
    if name not in hive_names():
        raise UsageError(f"the package holds no model {name!r}; there are {', '.join(hive_names())}")
    return hive_folder(name)


def open_hive() -> Engines:
    """The bundled models, all in one worker thread."""
    from waggle.models.hive import hive_folder, hive_names

    names = hive_names()
    if not names:
        raise UsageError("this package holds no models: run waggle train hive, or name engines with --engine")
    return _distinct(_open_folders([hive_folder(name) for name in names]))


def _open_folders(folders: Sequence[Path]) -> list[tuple[str, Engine]]:
    if not folders:
        return []
    for folder in folders:
        if folder.is_file():
            raise UsageError(f"{str(folder)!r} is a file: give the folder that holds config.json and *.safetensors")
        if not folder.is_dir():
            raise UsageError(f"{str(folder)!r} is neither a model folder nor an address like http://host:port/v1#model")
    from waggle.engines.local.engine import LocalEngine, load_model
    from waggle.engines.local.host import LocalHost

    host = LocalHost()
    models = [load_model(folder) for folder in folders]
    return [(model.name, LocalEngine(model, host)) for model in models]


def _open_server(spec: str, key_variable: str | None) -> tuple[str, Engine]:
    from waggle.engines.openai.engine import OpenAIHttpEngine
    from waggle.node.engines.server_spec import read_server_spec

    settings = read_server_spec(spec, key_variable=key_variable)
    return settings.model, OpenAIHttpEngine(settings)


def _open_scripted(name: str) -> Engine:
    from waggle.engines.script import Script
    from waggle.engines.scripted import ScriptedEngine
    from waggle.node.clock import SystemClock

    seed = zlib.crc32(name.encode())
    script = Script(name=name or "scripted", seed=seed, skill=0.75, judge_skill=0.9)
    return ScriptedEngine(script, sum_in, clock=SystemClock())


def sum_in(question: str) -> str | None:
    """The sum that a question asks for: "What is 17 + 25?" gives 42; None where it asks for none."""
    found = re.search(r"(\d{1,9}) ?\+ ?(\d{1,9})", question)
    return str(int(found[1]) + int(found[2])) if found else None


def _distinct(named: Sequence[tuple[str, Engine]]) -> Engines:
    """Nodes need different names: a model that is there twice gets a number."""
    engines: Engines = {}
    for name, engine in named:
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        engines[next(NodeId(free) for free in names if free not in engines)] = engine
    return engines
