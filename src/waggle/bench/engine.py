"""How fast the local engine writes, beside transformers on the same weights in the same run.

Method. The same greedy requests, unseen questions of the kinds that a bundled model was taught (of all kinds for
another model), go through the batched engine and through transformers' `generate`, up to the model's own end token or
120 tokens; the tokens are compared. The sides take turns in rounds, every round with new questions, the first round
unmeasured; speeds are those of the quickest round, as whatever else the machine does only adds. What the engine
remembers for its guesses is thus of other questions, as in service. It runs on one core, with guesses and without;
transformers runs on one core and on all, and the goals take whichever was quicker. A stream is 12 questions, each asked
when the last is answered. 32 questions at once it gets one after the other, as from a caller who just calls it, and as
one padded static batch; the goal is against one after the other.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor

from waggle.bench.report import Goal, Report, Row, at_least, number, report
from waggle.core.engine_values import Sampling
from waggle.core.errors import EngineUnavailable, UsageError
from waggle.engines.local.batcher import Batcher
from waggle.engines.local.engine import LocalModel, load_model
from waggle.engines.local.host import LocalHost
from waggle.engines.local.jobs import GenerateJob
from waggle.models.hive import hive_folder, hive_names
from waggle.training.families import FAMILIES
from waggle.training.plan import RECIPES
from waggle.training.questions import Split, questions

IN_A_ROW, CONCURRENT, MOST_TOKENS = 12, 32, 120
ONE_STREAM_GOAL, CONCURRENT_GOAL = 2.0, 5.0  # times transformers' tokens per second
ONE_STREAM, AT_ONCE = "one stream", f"{CONCURRENT} at once"
OURS, UNGUESSED = "waggle", "waggle without guesses"
IN_TURN, PADDED = "transformers, one after the other", "transformers, one padded batch"
PATIENCE_S = 600.0

Tokens = list[list[int]]  # of several prompts or texts


class Reference(Protocol):
    """What is used of a transformers model."""

    def generate(self, tokens: Tensor, *, attention_mask: Tensor, max_new_tokens: int, do_sample: bool) -> Tensor:
        """Prompts with their completions, (B, T)."""
        ...


@dataclass(frozen=True)
class Side:
    """One way of writing on behind prompts, and on how many cores."""

    name: str
    threads: int
    run: Callable[[Tokens], Tokens]


@dataclass(frozen=True)
class Run:
    """What a side wrote in one round, and how long it took."""

    texts: Tokens
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """End tokens count, padding does not."""
        return sum(map(len, self.texts)) / self.seconds


def run_engine_bench(model_folder: Path | None = None, *, seed: int = 1, repeats: int = 3) -> Report:
    """Run the suite; a few minutes for a bundled model, which is taken where no folder is given.

    Raises:
        UsageError: transformers is not installed, no model is bundled, or `repeats` is below 1.
        CheckpointError: the folder cannot be loaded.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be at least 1, got {repeats}")
    folder = model_folder or _bundled()
    model, reference = load_model(folder), _load_reference(folder)
    prompts = _prompts(model, seed)
    host = LocalHost()
    try:
        few, many = ([list(islice(prompts, size)) for _ in range(1 + repeats)] for size in (IN_A_ROW, CONCURRENT))
        rows = list(_rows(ONE_STREAM, few, _lone_sides(model, host, reference)))
        rows += _rows(AT_ONCE, many, _crowd_sides(model, host, reference))
    finally:
        host.close()
    of_model = {"torch": torch.__version__, "model": model.name, "parameters": model.network.parameters}
    return report("engine", seed, rows, _goals(rows), **of_model)


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
    reference: Reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return reference


def _prompts(model: LocalModel, seed: int) -> Iterator[list[int]]:
    """Unseen questions, the model's own kinds in turn; those that leave no room for an answer are left out."""
    recipe = RECIPES.get(model.name)
    streams = [questions(family, Split.MEASURE, seed) for family in (recipe.families if recipe else FAMILIES)]
    prompts = (
        model.tokenizer.encode_prompt(question.text) for turn in zip(*streams, strict=False) for question in turn
    )
    return (prompt for prompt in prompts if len(prompt) + MOST_TOKENS <= model.network.context)


def _lone_sides(model: LocalModel, host: LocalHost, reference: Reference) -> list[Side]:
    """Each question is asked when the last is answered."""
    ours = [
        Side(name, 1, partial(_write, model, host, _batcher(model, host, guesses=guesses), at_once=1))
        for name, guesses in ((OURS, True), (UNGUESSED, False))
    ]
    return ours + [Side(IN_TURN, cores, partial(_generate, model, reference, at_once=1)) for cores in _core_counts()]


def _crowd_sides(model: LocalModel, host: LocalHost, reference: Reference) -> list[Side]:
    """All questions are there at the beginning."""
    theirs = [
        Side(name, cores, partial(_generate, model, reference, at_once=at_once))
        for name, at_once in ((IN_TURN, 1), (PADDED, CONCURRENT))
        for cores in _core_counts()
    ]
    batcher = _batcher(model, host, guesses=True)
    return [Side(OURS, 1, partial(_write, model, host, batcher, at_once=CONCURRENT)), *theirs]


def _core_counts() -> list[int]:
    return sorted({1, os.cpu_count() or 1})


def _batcher(model: LocalModel, host: LocalHost, *, guesses: bool) -> Batcher:
    batcher = Batcher(model.network, guesses=guesses)
    host.attach(batcher)
    return batcher


def _write(model: LocalModel, host: LocalHost, batcher: Batcher, prompts: Tokens, *, at_once: int) -> Tokens:
    """What the engine writes, `at_once` prompts at a time."""
    jobs = [
        GenerateJob(prompt, max_tokens=MOST_TOKENS, end_tokens=model.tokenizer.end_tokens, sampling=Sampling())
        for prompt in prompts
    ]
    for begin in range(0, len(jobs), at_once):
        ended = [_submitted(host, batcher, job) for job in jobs[begin : begin + at_once]]
        if not all(each.wait(PATIENCE_S) for each in ended):
            raise EngineUnavailable(f"no answer after {PATIENCE_S:g} s: choose a smaller model")
    return [job.written for job in jobs]


def _submitted(host: LocalHost, batcher: Batcher, job: GenerateJob) -> threading.Event:
    ended = threading.Event()
    job.on_end = ended.set
    host.submit(batcher, job)
    return ended


@torch.inference_mode()
def _generate(model: LocalModel, reference: Reference, prompts: Tokens, *, at_once: int) -> Tokens:
    """What transformers writes, `at_once` prompts at a time, padded on the left."""
    texts: Tokens = []
    for begin in range(0, len(prompts), at_once):
        batch = prompts[begin : begin + at_once]
        longest = max(map(len, batch))
        tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in batch])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in batch])
        written = reference.generate(tokens, attention_mask=mask, max_new_tokens=MOST_TOKENS, do_sample=False)
        texts += [_up_to_end(row, model.tokenizer.end_tokens) for row in written[:, longest:].tolist()]
    return texts


def _up_to_end(tokens: list[int], ends: frozenset[int]) -> list[int]:
    """The end token counts, the padding behind it does not."""
    found = [place for place, token in enumerate(tokens) if token in ends]
    return tokens[: found[0] + 1] if found else tokens


def _rows(workload: str, rounds: list[Tokens], sides: list[Side]) -> Iterator[Row]:
    """Tokens per second of every side; the sides take turns, and the first round does not count."""
    runs = [[_timed(side, prompts) for side in sides] for prompts in rounds][1:]
    for place, side in enumerate(sides):
        texts = [text for run in runs for text in run[place].texts]
        ours = [text for run in runs for text in run[0].texts]
        seconds = [run[place].seconds for run in runs]
        yield {
            "name": f"{side.name}, {workload}",
            "workload": workload,
            "side": side.name,
            "cores": side.threads,
            "texts": len(texts),
            "tokens": sum(map(len, texts)),
            "tokens_per_second": max(run[place].tokens_per_second for run in runs),
            "lowest_tokens_per_second": min(run[place].tokens_per_second for run in runs),
            "median_s": median(seconds),
            "texts_as_ours": sum(map(list.__eq__, texts, ours)) / len(texts),
        }


def _timed(side: Side, prompts: Tokens) -> Run:
    torch.set_num_threads(side.threads)  # of this thread, in which transformers runs
    begin = perf_counter()
    texts = side.run(prompts)
    return Run(texts, perf_counter() - begin)


def _goals(rows: list[Row]) -> list[Goal]:
    same = min(number(row["texts_as_ours"]) for row in rows if row["side"] in (UNGUESSED, IN_TURN))
    return [
        at_least(f"{ONE_STREAM}: times transformers", _ratio(rows, ONE_STREAM, IN_TURN), ONE_STREAM_GOAL),
        at_least(f"{AT_ONCE}: times {IN_TURN}", _ratio(rows, AT_ONCE, IN_TURN), CONCURRENT_GOAL),
        at_least(f"{AT_ONCE}: times {PADDED}", _ratio(rows, AT_ONCE, PADDED), 1.0),
        at_least("share of greedy texts that are transformers' to the token", same, 1.0),
    ]


def _ratio(rows: list[Row], workload: str, side: str) -> float:
    """Our tokens per second over the other side's best."""
    ours, theirs = (
        max(number(row["tokens_per_second"]) for row in rows if (row["workload"], row["side"]) == (workload, name))
        for name in (OURS, side)
    )
    return ours / theirs
