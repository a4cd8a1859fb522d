"""One thread serves all models in turn; whatever happens to it, nobody waits for ever."""

import threading
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.unit.models.tiny import QWEN3, tiny_decoder
from waggle.core.engine_values import Sampling
from waggle.core.errors import EngineUnavailable
from waggle.engines.local.batcher import Batcher
from waggle.engines.local.host import LocalHost
from waggle.engines.local.jobs import GenerateJob
from waggle.models.fused import FusedDecoder

NETWORK = FusedDecoder(tiny_decoder(replace(QWEN3, context=100_000)))
PATIENCE_S = 30.0


class Watched(Batcher):
    """Writes its name down at every step; at step `breaks_at` it raises `error`."""

    def __init__(self, name: str, diary: list[str], *, error: BaseException | None = None) -> None:
        super().__init__(NETWORK, slots=4)
        self.name, self.diary, self.error = name, diary, error

    def step(self) -> None:
        self.diary.append(self.name)
        if self.error is not None:
            raise self.error
        super().step()


def job_with(ended: threading.Event, most: int = 1_000_000) -> GenerateJob:
    job = GenerateJob([1, 2, 3], max_tokens=most, end_tokens=frozenset(), sampling=Sampling())
    job.on_end = ended.set
    return job


@pytest.fixture
def host() -> Iterator[LocalHost]:
    host = LocalHost()
    yield host
    host.close()


def test_models_take_turns(host: LocalHost) -> None:
    diary: list[str] = []
    first, second = Watched("a", diary), Watched("b", diary)
    host.attach(first)
    host.attach(second)
    endless, ended = job_with(threading.Event()), threading.Event()
    host.submit(first, endless)
    host.submit(second, job_with(ended, most=20))
    assert ended.wait(PATIENCE_S)
    endless.cancelled = True
    begin = diary.index("b")  # its first step draws two tokens: of the prompt, and the next
    assert diary[begin : begin + 37] == ["b", *["a", "b"] * 18]


def test_closing_ends_jobs_with_an_error(host: LocalHost) -> None:
    batcher, ended = Watched("a", []), threading.Event()
    host.attach(batcher)
    job = job_with(ended)
    host.submit(batcher, job)
    host.close()
    assert ended.wait(PATIENCE_S)
    assert isinstance(job.error, EngineUnavailable)
    with pytest.raises(EngineUnavailable, match="ended"):
        host.submit(batcher, job_with(threading.Event()))


def test_what_torch_cannot_do_fails_the_jobs_of_that_model_only(host: LocalHost) -> None:
    broken, healthy = Watched("a", [], error=RuntimeError("out of memory")), Watched("b", [])
    host.attach(broken)
    host.attach(healthy)
    failed, done = threading.Event(), threading.Event()
    job = job_with(failed)
    host.submit(broken, job)
    host.submit(healthy, job_with(done, most=3))
    assert failed.wait(PATIENCE_S)
    assert done.wait(PATIENCE_S)
    assert "out of memory" in str(job.error)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_thread_leaves_nobody_waiting(host: LocalHost) -> None:
    broken, failed = Watched("a", [], error=AssertionError("a bug")), threading.Event()
    host.attach(broken)
    host.submit(broken, job_with(failed))
    assert failed.wait(PATIENCE_S)


def test_a_detached_model_leaves_when_its_jobs_have_left(host: LocalHost) -> None:
    diary: list[str] = []
    batcher, ended = Watched("a", diary), threading.Event()
    host.attach(batcher)
    job = job_with(ended)
    host.submit(batcher, job)
    host.detach(batcher)
    job.cancelled = True
    assert ended.wait(PATIENCE_S)
    other, done = Watched("b", diary), threading.Event()
    host.attach(other)
    host.submit(other, job_with(done, most=2))
    assert done.wait(PATIENCE_S)
    assert batcher.load == 0


def test_closing_twice_or_before_any_work_is_harmless() -> None:
    host = LocalHost()
    host.close()
    host.close()
