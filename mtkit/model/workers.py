"""Threads that compute side by side, each with one thread of torch. What they compute is not known here.

Why not leave it to torch, which splits every product among its threads: at the widths a CPU trains, a product
is over in microseconds, and its threads spend their time meeting. Two micro-batches, or two batches of
search, in two threads meet once at their end (figures: docs/log.md, 2026-11-23).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

AHEAD = 2  # tasks for each worker that may be begun or done before their results are taken


class Workers:
    """Runs independent tasks side by side and hands their results out in the order of the tasks.

    Results do not depend on the number of workers: each task is computed by one thread of torch, or by as
    many as the caller says.

    Args:
        count: how many tasks run at once; 1: in the calling thread, one after the other.
        torch_threads: of each worker; of a calling thread its caller decides.
    """

    def __init__(self, count: int = 1, torch_threads: int = 1) -> None:
        self.count, self.torch_threads = count, torch_threads
        self._lock = threading.Lock()
        self._seconds = self._processor_seconds = 0.0
        self._pool = None
        if count > 1:
            self._pool = ThreadPoolExecutor(count, "mtkit-worker", _begin_worker, (torch_threads,))

    def map(self, tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """The results, in order; few are computed or waiting to be taken at any time.

        Whichever worker is free takes the next task, so that one whose core is taken by another program does
        fewer, and the others need not wait for it.

        Raises:
            Exception: what a task raised, when its turn comes.
        """
        if self._pool is None:
            yield from (self._timed(task) for task in tasks)
            return
        waiting: deque[Future[Result]] = deque()
        for task in tasks:
            waiting.append(self._pool.submit(self._timed, task))
            if len(waiting) == AHEAD * self.count:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()

    def core_share(self) -> float | None:
        """What share of a core the tasks since the last call had; None if there were none.

        Below 1, other programs compute on the same cores: 0.5 means that each takes as much as a worker gets.
        """
        with self._lock:
            share = self._processor_seconds / self._seconds if self._seconds else None
            self._processor_seconds = self._seconds = 0.0
        return None if share is None else min(1.0, share)

    def _timed(self, task: Callable[[], Result]) -> Result:
        began, used = time.perf_counter(), time.thread_time()
        try:
            return task()
        finally:
            with self._lock:
                self._seconds += time.perf_counter() - began
                self._processor_seconds += time.thread_time() - used

    def close(self) -> None:
        """Let the threads go when they have finished what they are at."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


ALONE = Workers()  # the calling thread and no other; it holds nothing, so all may share it


def _begin_worker(torch_threads: int) -> None:
    """What torch keeps for each thread of its own."""
    torch.set_num_threads(torch_threads)
    torch.set_flush_denormal(True)
