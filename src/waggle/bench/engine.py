"""How fast the local engine writes, beside transformers on the same weights in the same run.

Method. The same greedy requests, of mixed lengths and with end tokens switched off so that every side writes the same
number of tokens, go through the batched engine and through transformers' `generate`; the tokens are compared. Each
measurement is repeated with the sides taking turns, after one unmeasured round; given is the median wall time. The
engine runs on one core; transformers runs on one core and on all, and the goals take whichever was quicker. For 32
requests at once it runs them one after the other and as one padded static batch, which must write the longest
request's number of tokens for all; the goal is against one after the other, what a caller gets who just calls it.
"""

import os
import platform
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor

import waggle
from waggle.core.engine_values import Sampling
from waggle.core.errors import UsageError
from waggle.engines.batching.batcher import Batcher
from waggle.engines.batching.host import LocalHost
from waggle.engines.batching.jobs import GenerateJob
from waggle.engines.local import LocalModel, load_model
from waggle.models.hive import hive_folder, hive_names

CONCURRENT = 32
STREAM_TOKENS, FEWEST_TOKENS, MOST_TOKENS = 100, 20, 120
ONE_STREAM_GOAL, CONCURRENT_GOAL = 2.0, 5.0  # times transformers' tokens per second
IN_TURN, PADDED = "transformers, one after the other", "transformers, one padded batch"
PATIENCE_S = 600.0

Row = dict[str, object]


class Reference(Protocol):
    """What is used of a transformers model."""

    def generate(self, tokens: Tensor, *, attention_mask: Tensor, max_new_tokens: int) -> Tensor:
        """Prompts and completions (B, T)."""
        ...


@dataclass(frozen=True)
class Request:
    """A prompt and how many tokens to write."""

    prompt: list[int]
    tokens: int


@dataclass(frozen=True)
class Side:
    """One way of doing the same requests."""

    name: str
    threads: int
    run: Callable[[list[Request]], list[list[int]]]


def run_engine_bench(model_folder: Path | None = None, *, seed: int = 1, repeats: int = 3) -> dict[str, object]:
    """Run the suite; a few minutes for a bundled model, which is taken where no folder is given.

    Returns:
        {suite, version, machine, seed, rows, goals}, all plain JSON values. A goal is {name, value, goal, met}.

    Raises:
        UsageError: transformers is not installed, no model is bundled, or `repeats` is below 1.
        CheckpointError: the folder cannot be loaded.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be at least 1, got {repeats}")
    folder = model_folder or _bundled()
    model, reference = load_model(folder), _load_reference(folder)
    rng = random.Random(seed)
    one = [_request(model, rng, STREAM_TOKENS)]
    many = [_request(model, rng, rng.randint(FEWEST_TOKENS, MOST_TOKENS)) for _ in range(CONCURRENT)]
    host = LocalHost()
    sides = _sides(model, host, reference)
    try:
        rows = [*_rows("one stream", one, [side for side in sides if side.name != PADDED], repeats)]
        rows += _rows(f"{CONCURRENT} at once", many, sides, repeats)
    finally:
        host.close()
    machine = _machine(model)
    return {
        "suite": "engine",
        "version": waggle.__version__,
        "machine": machine,
        "seed": seed,
        "rows": rows,
        "goals": _goals(rows),
    }


def _bundled() -> Path:
    names = hive_names()
    if not names:
        raise UsageError("no model is bundled yet: give a model folder, or run waggle train hive")
    return hive_folder(names[0])


def _load_reference(folder: Path) -> Reference:
    try:
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise UsageError(
            "the engine suite compares with transformers, which is not installed: pip install transformers"
        ) from error
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    settings = reference.generation_config
    settings.eos_token_id, settings.pad_token_id, settings.do_sample = None, 0, False
    loaded: Reference = reference
    return loaded


def _request(model: LocalModel, rng: random.Random, tokens: int) -> Request:
    """A sum of two to nine numbers, so that prompts differ in length."""
    terms = " + ".join(str(rng.randint(1, 999)) for _ in range(rng.randint(2, 9)))
    prompt = model.tokenizer.encode_prompt(f"What is {terms}?")
    return Request(prompt, min(tokens, model.network.context - len(prompt)))


def _sides(model: LocalModel, host: LocalHost, reference: Reference) -> list[Side]:
    """The engine first, then transformers in each of its ways."""
    batcher = Batcher(model.network, kept_tokens=0)
    host.attach(batcher)

    def ours(requests: list[Request]) -> list[list[int]]:
        return _write(host, batcher, requests)

    def in_turn(requests: list[Request]) -> list[list[int]]:
        return [_generate(reference, [request])[0] for request in requests]

    def padded(requests: list[Request]) -> list[list[int]]:
        return _generate(reference, requests)

    cores = sorted({1, os.cpu_count() or 1})
    theirs = ((IN_TURN, in_turn), (PADDED, padded))
    return [Side("waggle", 1, ours), *(Side(name, threads, run) for name, run in theirs for threads in cores)]


def _write(host: LocalHost, batcher: Batcher, requests: list[Request]) -> list[list[int]]:
    """All requests at once through the engine's worker thread."""
    left, done = len(requests), threading.Event()

    def count() -> None:  # called in the worker's thread only
        nonlocal left
        left -= 1
        if not left:
            done.set()

    jobs = [
        GenerateJob(request.prompt, max_tokens=request.tokens, end_tokens=frozenset(), sampling=Sampling())
        for request in requests
    ]
    for job in jobs:
        job.on_end = count
        host.submit(batcher, job)
    if not done.wait(PATIENCE_S):
        raise UsageError(f"{len(requests)} requests took over {PATIENCE_S:g} s: choose a smaller model")
    return [job.written for job in jobs]


@torch.inference_mode()
def _generate(reference: Reference, requests: list[Request]) -> list[list[int]]:
    """One call of transformers' `generate`, prompts padded on the left."""
    longest = max(len(request.prompt) for request in requests)
    padding = [longest - len(request.prompt) for request in requests]
    tokens = torch.tensor([[0] * left + request.prompt for left, request in zip(padding, requests, strict=True)])
    mask = torch.tensor([[0] * left + [1] * (longest - left) for left in padding])
    most = max(request.tokens for request in requests)
    written = reference.generate(tokens, attention_mask=mask, max_new_tokens=most)[:, longest:].tolist()
    return [row[: request.tokens] for row, request in zip(written, requests, strict=True)]


def _rows(workload: str, requests: list[Request], sides: list[Side], repeats: int) -> Iterator[Row]:
    """Tokens per second of every side; the sides take turns, and the first round does not count."""
    seconds: dict[int, list[float]] = {number: [] for number in range(len(sides))}
    written: dict[int, list[list[int]]] = {}
    for _ in range(1 + repeats):
        for number, side in enumerate(sides):
            torch.set_num_threads(side.threads)
            begin = perf_counter()
            written[number] = side.run(requests)
            seconds[number].append(perf_counter() - begin)
    total = sum(request.tokens for request in requests)
    for number, side in enumerate(sides):
        times = seconds[number][1:]
        yield {
            "name": f"{side.name}, {workload}",
            "workload": workload,
            "side": side.name,
            "threads": side.threads,
            "tokens": total,
            "tokens_per_second": total / median(times),
            "median_s": median(times),
            "lowest_s": min(times),
            "highest_s": max(times),
            "same_as_first": sum(map(list.__eq__, written[number], written[0])) / len(requests),
        }


def _goals(rows: list[Row]) -> list[Row]:
    one, many = (str(row["workload"]) for row in (rows[0], rows[-1]))
    same = min(_number(row, "same_as_first") for row in rows if row["side"] == IN_TURN)
    return [
        _goal(f"{one}: times transformers", _ratio(rows, one, IN_TURN), ONE_STREAM_GOAL),
        _goal(f"{many}: times {IN_TURN}", _ratio(rows, many, IN_TURN), CONCURRENT_GOAL),
        _goal(f"{many}: times {PADDED}", _ratio(rows, many, PADDED), 1.0),
        _goal("share of greedy texts that are transformers' to the token", same, 1.0),
    ]


def _ratio(rows: list[Row], workload: str, side: str) -> float:
    """Our tokens per second over the other side's best."""
    speeds = {
        name: [_number(row, "tokens_per_second") for row in rows if (row["workload"], row["side"]) == (workload, name)]
        for name in ("waggle", side)
    }
    return max(speeds["waggle"]) / max(speeds[side])


def _goal(name: str, value: float, least: float) -> Row:
    return {"name": name, "value": value, "goal": f">= {least:g}", "met": value >= least}


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float)
    return float(value)


def _machine(model: LocalModel) -> Row:
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "model": model.name,
        "parameters": model.network.parameters,
    }
