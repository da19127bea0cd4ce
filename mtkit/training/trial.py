"""Measuring how fast a training computes in one way or another: tasks of forward and backward, timed.

What is chosen by it is `tuning.py`'s business.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from mtkit.batches.batch import Batch, make_batch
from mtkit.config.training import Precision, TrainSettings
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.subword.vocabulary import EOS
from mtkit.training.update import part_gradients

SECONDS = 0.6  # for threads, and as long again for the precision
MOST_ROUNDS = 7
HOPELESS = 3  # times as long as the simplest way: one look is enough
TASK_SECONDS = 0.1  # about how long one measured task takes
WIDE_SECONDS = 0.5  # the longest that one takes where precisions are compared
TYPICAL_BATCH = 4096  # target tokens, where the recipe leaves it open
MOST_TOKENS, LEAST_TOKENS = 512, 32  # target tokens of a measured task; more rows are hardly faster
TAKEN_CORES = 0.3  # from here on it is said that other programs compute, and nothing is remembered


@dataclass(frozen=True)
class Workload:
    """What is going to be computed.

    Attributes:
        model: on its device; its weights and its mode stay as they are.
        tokens: target tokens of a micro-batch, about.
        lengths: of a typical pair: source and target tokens, EOS counted.
        micro_batches: most that can be computed side by side.
        precision: as the recipe has it, maybe `auto`.
    """

    model: Transformer
    tokens: int
    lengths: tuple[int, int]
    micro_batches: int
    precision: str


def workload(
    settings: TrainSettings,
    model: Transformer,
    pairs: int,
    tokens: tuple[int, int],
    longest: int,
    cores: int,
    processes: int = 1,
) -> Workload:
    """What a training is going to compute, as far as it is known before `auto` is settled.

    Args:
        settings: as the recipe has them.
        model: to be trained.
        pairs: of the training corpus.
        tokens: of its sources and of its targets, EOS counted.
        longest: target tokens of its longest pair.
        cores: that may compute in this process.
        processes: among which an update is shared out.
    """
    batch = TYPICAL_BATCH if settings.batch_tokens == "auto" else settings.batch_tokens
    if settings.accumulate == "auto":
        micro_batches = max(1, batch // processes // longest)
        parts = processes * min(cores, micro_batches)
    else:
        parts = settings.accumulate
        micro_batches = -(-parts // processes)
    source, target = (max(1, round(count / pairs)) for count in tokens)
    return Workload(model, max(1, batch // parts), (source, target), micro_batches, settings.precision)


class Way(NamedTuple):
    """A way to compute: so many workers, each with so many threads of torch."""

    workers: int
    torch_threads: int = 1
    precision: Precision = "float32"

    @property
    def threads(self) -> str:
        """The threads, in words."""
        count = self.workers * self.torch_threads
        if count == 1:
            return "1 thread"
        if self.torch_threads == 1:
            return f"{count} threads side by side"
        return f"{count} threads" + (f", {self.torch_threads} a micro-batch" if self.workers > 1 else "")

    def __str__(self) -> str:
        return f"{self.threads} in {self.precision}"


class Trial:
    """Measured tasks.

    A task of one thread counts with its processor time, as if nobody else used its core: what else runs now
    is gone in an hour. Several threads of torch wait for each other, so they count with the time that passes.
    """

    def __init__(self, work: Workload, seed: int) -> None:
        self._model, self._seed = work.model, seed
        self._lengths, self._most = work.lengths, min(work.tokens, MOST_TOKENS)
        self._batch = self._make(min(work.tokens, LEAST_TOKENS))
        torch.set_num_threads(1)
        self._task("float32")
        took = self._task("float32").processor
        # Of a large model even a few tokens take long: there is no time to warm up, and less need.
        self._warms_up = took < 2 * TASK_SECONDS
        tokens = round(TASK_SECONDS / took * self._batch.target_tokens)
        self._batch = self._make(min(self._most, max(LEAST_TOKENS, tokens)))
        self.seconds: dict[Way, list[float]] = {}
        self._shares: list[tuple[int, float]] = []

    def rounds(self, ways: Sequence[Way]) -> None:
        """Measure ways in turn while there is time; a first round may only warm up.

        That round drops what is hopeless. Threads that wait for each other are not even tried where other
        programs take the cores: a single task of theirs could take half a minute.
        """
        ways, first = list(ways), ways[0]
        simplest = self._measure(first, counts=not self._warms_up)
        for way in ways[1:]:
            if way.torch_threads > 1 and self.cores_taken() >= TAKEN_CORES:
                ways.remove(way)
                continue
            took = self._measure(way, counts=not self._warms_up)
            if took / way.workers > HOPELESS * simplest / first.workers:
                self.seconds[way] = [took]
                ways.remove(way)
        began, done = time.perf_counter(), 0
        least = 2 if self._warms_up else 0  # its first round counts
        while done < least or (
            self._warms_up and done < MOST_ROUNDS and time.perf_counter() - began < SECONDS
        ):
            for way in ways:
                self._measure(way)
            done += 1

    def widen(self) -> None:
        """Measure larger micro-batches from now on, of as many tokens as in training, unless that takes long.

        Of few tokens the cast of all weights is a great part, and bfloat16 seems to gain less than it does.
        """
        larger = self._most / self._batch.target_tokens
        if larger > 1 and larger * min(map(min, self.seconds.values())) < WIDE_SECONDS:
            self._batch = self._make(self._most)
            self.seconds.clear()

    def rates(self) -> dict[str, float]:
        """Target tokens a second of each way."""
        return {str(way): round(self.rate(way), 1) for way in self.seconds}

    def rate(self, way: Way) -> float:
        """Target tokens a second."""
        return way.workers * self._batch.target_tokens / min(self.seconds[way])

    def said_of(self, chosen: Way, others: Sequence[Way]) -> str:
        """How much faster the chosen way is than the others."""
        return ", ".join(
            f"{self.rate(chosen) / self.rate(other):.2g} times the speed of {other.threads}"
            for other in others
        )

    def cores_taken(self) -> float:
        """How many of the cores that the widest way uses were other programs', on average."""
        widest = max((workers for workers, _ in self._shares), default=1)
        shares = [share for workers, share in self._shares if workers == widest]
        return widest * (1 - statistics.fmean(shares)) if shares else 0.0

    def _measure(self, way: Way, *, counts: bool = True) -> float:
        """Measure a way once and, if it counts, keep what was found."""
        took, shares = self._once(way)
        if counts:
            self.seconds.setdefault(way, []).append(took)
        self._shares += [(way.workers, share) for share in shares]
        return took

    def _once(self, way: Way) -> tuple[float, list[float]]:
        """Seconds of one task of a way, as counted, and the share of a core that each task had."""
        with Workers(way.workers, way.torch_threads) as workers:
            if way.workers == 1:
                torch.set_num_threads(way.torch_threads)
            list(workers.map([time.perf_counter] * way.workers))  # the threads exist
            began = time.perf_counter()
            tasks = list(workers.map([partial(self._task, way.precision)] * way.workers))
            passed = time.perf_counter() - began
        if way.torch_threads > 1:
            return passed, []
        processor = statistics.fmean(task.processor for task in tasks)
        return processor, [min(1.0, task.processor / task.passed) for task in tasks]

    def _task(self, precision: Precision) -> "_Seconds":
        """Forward and backward of the batch."""
        began, used = time.perf_counter(), time.thread_time()
        part_gradients(self._model, self._batch, self._batch.target_tokens, 0.1, precision, self._seed)
        return _Seconds(time.thread_time() - used, time.perf_counter() - began)

    def _make(self, tokens: int) -> Batch:
        """Sentences of any words, of typical lengths."""
        source, target = (max(1, length - 1) for length in self._lengths)
        pairs = max(1, round(tokens / (target + 1)))
        random = np.random.default_rng(self._seed)
        source_ids, target_ids = (
            list(random.integers(min(EOS, size - 1), size, (pairs, length)))
            for size, length in ((self._model.source_size, source), (self._model.target_size, target))
        )
        return make_batch(source_ids, target_ids, np.arange(pairs))


class _Seconds(NamedTuple):
    """Of one task: of its thread's processor time, and of the clock."""

    processor: float
    passed: float
