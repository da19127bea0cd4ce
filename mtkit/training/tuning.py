"""How a training computes on this machine: threads and precision, found by measuring for a second or two.

Measured is what an update mostly consists of: forward and backward of micro-batches of the training's size,
of its own model. What was found on a quiet machine is remembered for this machine (`remembering.py`); what
was found while other programs took its cores holds for one training only.
"""

import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mtkit import __version__
from mtkit.batches.batch import Batch, make_batch
from mtkit.config.training import Precision, TrainSettings
from mtkit.errors import RunError
from mtkit.files import read_json, write_json
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.subword.vocabulary import EOS
from mtkit.training.remembering import recall, remember
from mtkit.training.update import part_gradients

MARGIN = 1.1  # times as fast as what is simpler; less may be noise
BFLOAT16_MARGIN = 1.15  # it rounds to 8 bits, and has to earn that
SECONDS = 0.6  # for threads, and as long again for the precision
MOST_ROUNDS = 7
HOPELESS = 3  # times as long as the simplest way: one look is enough
TASK_SECONDS = 0.1  # about how long one measured task takes
TYPICAL_BATCH = 4096  # target tokens, where the recipe leaves it open
MOST_TOKENS, LEAST_TOKENS = 512, 32  # target tokens of a measured task; more rows are hardly faster
CROWDED = "other programs compute here, and more threads would wait for each other"
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
    settings: TrainSettings, model: Transformer, pairs: int, tokens: tuple[int, int], longest: int, cores: int
) -> Workload:
    """What a training is going to compute, as far as it is known before `auto` is settled.

    Args:
        settings: as the recipe has them.
        model: to be trained.
        pairs: of the training corpus.
        tokens: of its sources and of its targets, EOS counted.
        longest: target tokens of its longest pair.
        cores: that may compute.
    """
    batch = TYPICAL_BATCH if settings.batch_tokens == "auto" else settings.batch_tokens
    if settings.accumulate == "auto":
        micro_batches = max(1, batch // longest)
        parts = min(cores, micro_batches)
    else:
        micro_batches = parts = settings.accumulate
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


@dataclass(frozen=True)
class Tuned:
    """How to compute.

    Attributes:
        workers: micro-batches side by side (`Workers`).
        torch_threads: threads of torch for each.
        precision: of matrix products.
        reason: why these threads, for people.
        precision_reason: why this precision.
        measured: target tokens a second of forward and backward, by way; empty if nothing was measured. The
            rates are those of cores that nobody else uses.
        cores_taken: by other programs while it was measured.
        measured_on: the day, if it was remembered.
    """

    workers: int
    torch_threads: int
    precision: Precision
    reason: str
    precision_reason: str = "as the recipe says"
    measured: dict[str, float] = field(default_factory=dict)
    cores_taken: float = 0.0
    measured_on: str | None = None

    @property
    def way(self) -> Way:
        """What was chosen."""
        return Way(self.workers, self.torch_threads, self.precision)

    @property
    def tokens_per_second(self) -> float | None:
        """Target tokens a second of forward and backward alone, if they were measured."""
        return self.measured.get(str(self.way))

    def line(self) -> str:
        """The choice and its reason, in one line."""
        said = f"{self.way.threads}: {self.reason}; {self.precision}: {self.precision_reason}"
        if self.cores_taken >= TAKEN_CORES:
            said += (
                f"; other programs took {self.cores_taken:.1f} cores, so it will be measured anew next time"
            )
        return said + (f" (measured on {self.measured_on})" if self.measured_on else "")


def tune(work: Workload, cores: int, *, threads: int | None = None, seed: int = 1) -> Tuned:
    """Choose threads and precision for a training.

    On a GPU nothing is measured: its own cores do the work, and it computes in bfloat16 if it can.

    Args:
        work: what is going to be computed.
        cores: that this process may use.
        threads: asked for; the threads are not measured then.
        seed: of the sentences that are measured.
    """
    if work.model.device.type != "cpu":
        return _on_gpu(work)
    ways = _ways(threads or cores, work.micro_batches)
    if threads:
        ways = ways[-1:]
    wanted: Precision = "bfloat16" if work.precision == "bfloat16" else "float32"
    ways = [way._replace(precision=wanted) for way in ways]
    others = ["bfloat16"] if work.precision == "auto" and has_bfloat16() else []
    if len(ways) == 1 and not others:
        reason = "as asked for" if threads else "one core" if cores == 1 else "one micro-batch at a time"
        if work.precision == "auto":
            return Tuned(*ways[0], reason, "this processor does not compute in bfloat16")
        return Tuned(*ways[0], reason)
    key = _key(work, cores, threads)
    found = _recalled(key)
    if found is None:
        found = _measured(work, ways, bool(others), seed)
        if found.cores_taken < TAKEN_CORES:
            remember("tuning", key, asdict(replace(found, measured_on=date.today().isoformat())))
    return found


def keep_threads(tuned: Tuned, record: Path, *, asked: bool) -> Tuned:
    """The same choice with the threads of torch that an earlier session of the training computed with.

    How many micro-batches are computed side by side changes no bit; how many threads share a product decides
    the order in which it is summed.

    Args:
        record: file in which the first session leaves its own.
        asked: somebody asked for a number of threads, and has it.
    """
    if not asked and record.is_file():
        threads = read_json(record, error=RunError).get("torch_threads")
        if isinstance(threads, int) and threads > 0:
            return replace(tuned, torch_threads=threads)
    write_json(record, {"torch_threads": tuned.torch_threads})
    return tuned


def _on_gpu(work: Workload) -> Tuned:
    if work.precision != "auto":
        return Tuned(1, 1, "bfloat16" if work.precision == "bfloat16" else "float32", "the GPU computes")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Tuned(1, 1, "bfloat16", "the GPU computes", "this GPU computes in it")
    return Tuned(1, 1, "float32", "the GPU computes", "this GPU does not compute in bfloat16")


def _ways(cores: int, micro_batches: int) -> list[Way]:
    """The ways worth trying, the simplest first."""
    most = min(cores, micro_batches)
    ways = [Way(1)]
    if most >= 4:
        ways.append(Way(most // 2))  # cores may be halves of one, with one unit of arithmetic
    if most > 1:
        ways.append(Way(most))
    if cores // most > 1:
        ways.append(Way(most, cores // most))
    return ways


def has_bfloat16() -> bool:
    """True if the CPU multiplies in bfloat16 by itself; emulated it is slow beyond doubt."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, bool)() for name in names)
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)
    return bool(asked())


def _key(work: Workload, cores: int, threads: int | None) -> dict[str, Any]:
    """All that the choice depends on; sizes of batches to the nearest power of two."""
    model = work.model
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "threads": threads,
        "versions": [torch.__version__, __version__],
        "model": model.settings.model_dump(mode="json", by_alias=True),
        "sizes": [model.source_size, model.target_size],
        "precision": work.precision,
        "micro_batches": min(work.micro_batches, cores),
        "shape": [round(float(np.log2(size))) for size in (work.tokens, *work.lengths)],
    }


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _recalled(key: dict[str, Any]) -> Tuned | None:
    found = recall("tuning", key)
    try:
        return None if found is None else Tuned(**found)
    except TypeError:
        return None


def _measured(work: Workload, ways: Sequence[Way], bfloat16: bool, seed: int) -> Tuned:
    """Measure and choose."""
    model = work.model
    was_training, threads = model.training, torch.get_num_threads()
    model.train()
    try:
        trial = _Trial(work, seed)
        trial.rounds(ways)
        chosen = _fastest(trial, ways)
        others = [way for way in trial.seconds if way != chosen]
        reason = trial.said_of(chosen, others) if others else "as asked for" if len(ways) == 1 else CROWDED
        precision_reason = "as the recipe says"
        if bfloat16:
            other = chosen._replace(precision="bfloat16")
            trial.rounds([chosen, other])
            faster = trial.rate(other) / trial.rate(chosen)
            precision_reason = f"bfloat16 has {faster:.2g} times the speed of float32"
            if faster > BFLOAT16_MARGIN:
                chosen = other
        elif work.precision == "auto":
            precision_reason = "this processor does not compute in bfloat16"
        measured = {str(way): round(trial.rate(way), 1) for way in trial.seconds}
        taken = round(trial.cores_taken(), 2)
        return Tuned(*chosen, reason, precision_reason, measured, taken)
    finally:
        model.train(was_training)
        torch.set_num_threads(threads)


def _fastest(trial: "_Trial", ways: Sequence[Way]) -> Way:
    """The fastest way, a simpler one if it is almost as fast."""
    chosen = ways[0]
    for way in (way for way in ways[1:] if way in trial.seconds):
        if trial.rate(way) > MARGIN * trial.rate(chosen):
            chosen = way
    return chosen


class _Trial:
    """Measured tasks.

    A task of one thread counts with its processor time, as if nobody else used its core: what else runs now
    is gone in an hour. Several threads of torch wait for each other, so they count with the time that passes.
    """

    def __init__(self, work: Workload, seed: int) -> None:
        self._model, self._seed = work.model, seed
        self._lengths = work.lengths
        self._batch = self._make(min(work.tokens, LEAST_TOKENS))
        torch.set_num_threads(1)
        self._task("float32")
        took = self._task("float32").processor
        # Of a large model even a few tokens take long: there is no time to warm up, and less need.
        self._warms_up = took < 2 * TASK_SECONDS
        tokens = round(TASK_SECONDS / took * self._batch.target_tokens)
        self._batch = self._make(min(work.tokens, MOST_TOKENS, max(LEAST_TOKENS, tokens)))
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
