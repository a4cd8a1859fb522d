"""The one thread in which all tensor work of a process happens, however many models it holds.

Models take turns, one step each. The event loop only queues jobs and hears when they end, so it is never blocked. When
the thread ends, for whatever reason, every job ends with an error: nobody waits for ever.
"""

import atexit
import threading

import torch

from waggle.core.errors import EngineUnavailable
from waggle.engines.local.batcher import Batcher
from waggle.engines.local.jobs import Job

IDLE_S = 60.0  # the longest sleep without a look around
JOIN_S = 10.0  # a step takes far less


class LocalHost:
    """Owns the worker thread, whose tensor operations use one core.

    At the hive's size one is fastest: operations are over before a second core has woken up. Texts are the same in any
    company only with one.
    """

    def __init__(self) -> None:
        self._batchers: list[Batcher] = []
        self._leaving: list[Batcher] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="waggle-tensors", daemon=True)

    def attach(self, batcher: Batcher) -> None:
        """Take turns with this one as well; the thread begins with the first."""
        with self._changed:
            self._batchers.append(batcher)
            if not self._thread.ident:
                atexit.register(self.close)  # a thread inside torch at the end of Python would abort it
                self._thread.start()

    def detach(self, batcher: Batcher) -> None:
        """Stop serving it once its jobs, which whoever says so has ended, have left."""
        with self._changed:
            self._leaving.append(batcher)
            self._changed.notify()

    def submit(self, batcher: Batcher, job: Job) -> None:
        """Queue a job; from any thread. Raises EngineUnavailable where nobody would do it."""
        batcher.submit(job)
        with self._changed:
            self._changed.notify()
        if not self._thread.is_alive():
            raise EngineUnavailable("the engine's worker thread has ended")

    def close(self) -> None:
        """End the thread after the step it is in; blocks until then. Twice is harmless."""
        atexit.unregister(self.close)
        self._closing = True
        with self._changed:
            self._changed.notify()
        if self._thread.ident:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                while not self._closing:
                    for batcher in self._loaded():
                        self._take_turn(batcher)
        finally:
            for batcher in self._batchers:
                batcher.fail(EngineUnavailable("the engine's worker thread has ended"))

    def _loaded(self) -> list[Batcher]:
        """The models with something to do; waits until there is one."""
        with self._changed:
            self._batchers = [each for each in self._batchers if each.load or each not in self._leaving]
            self._leaving = [each for each in self._leaving if each in self._batchers]
            self._changed.wait_for(lambda: self._closing or any(each.load for each in self._batchers), IDLE_S)
            return [batcher for batcher in self._batchers if batcher.load]

    def _take_turn(self, batcher: Batcher) -> None:
        try:
            batcher.step()
        except (RuntimeError, MemoryError) as error:  # what torch raises: out of memory, mostly
            batcher.fail(EngineUnavailable(f"the model could not compute: {error}"))
