"""Makes the whole hive from nothing, in three stages, and writes it into the package.

1. Every model learns to work its own families and to guess at the others.
2. All models answer training questions they were not asked before; their wrong answers are kept.
3. Every model goes on with lessons in judging, in which those wrong answers stand against the right ones.

Each stage is saved as it goes, so the same command resumes after an interruption. Models train side by side, one
thread each: at this size that is faster than several threads on one model.
"""

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import Empty, Queue

import torch
from tokenizers import Tokenizer

from waggle.models.decoder import Decoder
from waggle.training.examples import Mix, Pool
from waggle.training.families import FAMILIES
from waggle.training.plan import RECIPES
from waggle.training.practice import answers
from waggle.training.questions import Split, is_right, questions
from waggle.training.state import load_state, read_progress
from waggle.training.trainer import Trainer
from waggle.training.vocabulary import build_tokenizer

POOL_SIZE, POOL_SEED = 16_000, 3
JUDGE_STEPS = 400
JUDGING = Mix(work=0.40, judge=0.50, guess=0.10)
JUDGE_RATE = 0.3
WRONG_QUESTIONS, WRONG_SEED = 120, 3  # per family; the pool's own seed, so that lessons can use them

Report = Callable[[str, int, int, float], None]  # model, step, steps, loss


def train_hive(names: list[str], work: Path, *, jobs: int, device: str, report: Report) -> None:
    """Run all three stages for `names`; stage 2 asks every model that has finished stage 1.

    Raises:
        Whatever a training process raised; what was saved until then is kept.
    """
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer.json").exists():
        build_tokenizer().save(str(work / "tokenizer.json"))
    unfinished = [name for name in names if read_progress(work / name).step < RECIPES[name].steps]
    _in_parallel(_learn_to_work, unfinished, work, jobs, device, report)
    collect_wrong(work, device)
    unfinished = [name for name in names if read_progress(work / name).step < RECIPES[name].steps + JUDGE_STEPS]
    _in_parallel(_learn_to_judge, unfinished, work, jobs, device, report)


def _in_parallel(
    stage: Callable[[str, Path, str, "Queue[tuple[str, int, int, float]]"], None],
    names: list[str],
    work: Path,
    jobs: int,
    device: str,
    report: Report,
) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        news: Queue[tuple[str, int, int, float]] = manager.Queue()
        runs = [pool.submit(stage, name, work, device, news) for name in names]
        while not _finished(runs):
            try:
                report(*news.get(timeout=1.0))
            except Empty:
                continue


def _finished(runs: "list[Future[None]]") -> bool:
    done, waiting = wait(runs, timeout=0)
    for run in done:
        run.result()
    return not waiting


def _learn_to_work(name: str, work: Path, device: str, news: "Queue[tuple[str, int, int, float]]") -> None:
    with _trainer(name, work, device, wrong=False) as trainer:
        trainer.advance(steps=trainer.recipe.steps, report=lambda step, of, loss: news.put((name, step, of, loss)))


def _learn_to_judge(name: str, work: Path, device: str, news: "Queue[tuple[str, int, int, float]]") -> None:
    with _trainer(name, work, device, wrong=True) as trainer:
        trainer.advance(
            steps=trainer.recipe.steps + JUDGE_STEPS,
            since=trainer.recipe.steps,
            mix=JUDGING,
            rate=JUDGE_RATE,
            report=lambda step, of, loss: news.put((name, step, of, loss)),
        )


@contextmanager
def _trainer(name: str, work: Path, device: str, *, wrong: bool) -> Iterator[Trainer]:
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(work)
    known = json.loads((work / "wrong.json").read_text()) if wrong else None
    pool = Pool(tokenizer, size=POOL_SIZE, seed=POOL_SEED, wrong=known)
    yield Trainer(RECIPES[name], pool, work / name, vocabulary=tokenizer.get_vocab_size(), device=device)


def load_tokenizer(work: Path) -> Tokenizer:
    """The tokenizer that the runs in `work` share."""
    return Tokenizer.from_file(str(work / "tokenizer.json"))


def load_model(name: str, work: Path, device: str = "cpu") -> Decoder:
    """The weights of a run as they stand."""
    model = Decoder(RECIPES[name].config(load_tokenizer(work).get_vocab_size())).to(device)
    load_state(work / name, model, [])
    return model.eval()


def collect_wrong(work: Path, device: str) -> None:
    """Stage 2: every trained model answers the same questions of every family; distinct wrong answers are kept."""
    target = work / "wrong.json"
    if target.exists():
        return
    tokenizer = load_tokenizer(work)
    models = [load_model(name, work, device) for name in RECIPES if (work / name / "progress.json").exists()]
    wrong: dict[str, dict[str, list[str]]] = {}
    for family in FAMILIES:
        asked = list(islice(questions(family, Split.TRAIN, WRONG_SEED), WRONG_QUESTIONS))
        found: defaultdict[str, list[str]] = defaultdict(list)
        for seed, model in enumerate(models):
            given = answers(model, tokenizer, [q.text for q in asked], seed=seed)
            for question, answer in zip(asked, given, strict=True):
                known = found[question.text]
                if answer and len(answer) < 40 and not is_right(question, answer) and answer not in known:
                    known.append(answer)
        wrong[family] = {text: known for text, known in found.items() if known}
    target.write_text(json.dumps(wrong))
