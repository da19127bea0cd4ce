"""How a training computes on this machine: threads and precision, found by measuring for a second or two.

Measured is what an update mostly consists of: forward and backward of micro-batches of the training's size,
of its own model. What was found on a quiet machine is remembered for this machine (`remembering.py`); what
was found while other programs took its cores holds for one training only.
"""

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtkit import __version__
from mtkit.config.training import Precision
from mtkit.errors import RunError
from mtkit.files import read_json, write_json
from mtkit.model.cores import cpu_name
from mtkit.model.remembering import recall, remember
from mtkit.training.trial import TAKEN_CORES, Trial, Way, Workload

MARGIN = 1.1  # times as fast as what is simpler; less may be noise
BFLOAT16_MARGIN = 1.15  # it rounds to 8 bits, and has to earn that
CROWDED = "other programs compute here, and more threads would wait for each other"


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
    others = ["bfloat16"] if work.precision == "auto" and has_bfloat16(work.model.device) else []
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

    Raises:
        RunError: the record is damaged.
    """
    if not asked and record.is_file():
        return replace(tuned, torch_threads=_kept_threads(record))
    write_json(record, {"torch_threads": tuned.torch_threads})
    return tuned


def _kept_threads(record: Path) -> int:
    with suppress(RunError, TypeError, KeyError):
        threads = read_json(record, error=RunError)["torch_threads"]
        if isinstance(threads, int) and threads > 0:
            return threads
    raise RunError(
        "this does not say with how many threads of torch the training has computed so far",
        where=str(record),
        expected='{"torch_threads": N}',
        advice="Delete this file alone, and the training goes on; where N was more than 1, its last bits may"
        " change. Or give `--threads`.",
    )


def _on_gpu(work: Workload) -> Tuned:
    if work.precision != "auto":
        return Tuned(1, 1, "bfloat16" if work.precision == "bfloat16" else "float32", "the GPU computes")
    if has_bfloat16(work.model.device):
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


def has_bfloat16(device: torch.device) -> bool:
    """True if a device multiplies in bfloat16 by itself; emulated it is slow beyond doubt."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
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
        trial = Trial(work, seed)
        trial.rounds(ways)
        chosen = _fastest(trial, ways)
        others = [way for way in trial.seconds if way != chosen]
        reason = trial.said_of(chosen, others) if others else "as asked for" if len(ways) == 1 else CROWDED
        precision_reason, measured = "as the recipe says", trial.rates()
        if bfloat16:
            trial.widen()
            other = chosen._replace(precision="bfloat16")
            trial.rounds([chosen, other])
            faster = trial.rate(other) / trial.rate(chosen)
            precision_reason = f"bfloat16 has {faster:.2g} times the speed of float32"
            measured |= trial.rates()
            if faster > BFLOAT16_MARGIN:
                chosen = other
        elif work.precision == "auto":
            precision_reason = "this processor does not compute in bfloat16"
        taken = round(trial.cores_taken(), 2)
        return Tuned(*chosen, reason, precision_reason, measured, taken)
    finally:
        model.train(was_training)
        torch.set_num_threads(threads)


def _fastest(trial: Trial, ways: Sequence[Way]) -> Way:
    """The fastest way, a simpler one if it is almost as fast."""
    chosen = ways[0]
    for way in (way for way in ways[1:] if way in trial.seconds):
        if trial.rate(way) > MARGIN * trial.rate(chosen):
            chosen = way
    return chosen
