"""What is known of a training before its first update: the memory it will take, and how fast it will be.

Both are remembered from the last training of the same kind on this machine. Where there was none, the memory
is foretold and the speed is estimated from what `tuning.py` has measured.
"""

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import torch

from mtkit.batches.stream import parts_of_each
from mtkit.config.training import FixedTrainSettings
from mtkit.model.cores import available_cores
from mtkit.model.count import count_parameters
from mtkit.model.remembering import recall, remember
from mtkit.training.choosing import key_of
from mtkit.training.fitting import Fitting, Work
from mtkit.training.memory import Expected, memory_of, taken_bytes
from mtkit.training.tuning import Tuned

ESTIMATED = "estimated"
# Settings on which neither speed nor memory depends.
INDIFFERENT = {"until", "validate_", "keep", "schedule", "on_divergence"}


@dataclass(frozen=True)
class Outlook:
    """What a training is going to take.

    Attributes:
        parameters: weights of the model.
        expected: memory of each process at its peak.
        available: bytes that this process has and may yet get; None: nobody tells.
        tokens_per_second: target tokens, over all processes; None: nothing is known.
        basis: where the speed comes from, for people.
        key: what it is remembered by.
    """

    parameters: int
    expected: Expected
    available: int | None
    tokens_per_second: float | None = None
    basis: str = ""
    key: dict[str, Any] = field(default_factory=dict)

    def keep(self, rate: float) -> None:
        """Remember for the next training of this kind what this one takes.

        Args:
            rate: target tokens a second, as measured.
        """
        memory = {**asdict(self.expected), "others": 0}
        found = {"expected": memory, "tokens_per_second": rate, "measured_on": date.today().isoformat()}
        remember("outlooks", self.key, found)


def look_ahead(settings: FixedTrainSettings, work: Work, tuned: Tuned) -> Outlook:
    """What is known of a training.

    Args:
        settings: of the stage.
        work: model, lengths, memory.
        tuned: how this machine computes.
    """
    key = _key(settings, work, tuned)
    remembered = _recalled(key)
    if remembered is None:
        expected = Fitting(settings, work, settings.precision).expected(
            settings.batch_tokens, settings.accumulate
        )
        rate = _estimated(settings, work, tuned)
        basis = "" if rate is None else ESTIMATED
    else:
        expected, rate, basis = remembered
        expected = Expected(**{**asdict(expected), "others": max(0, work.taken - expected.weights)})
    parameters = count_parameters(work.model)
    available = available_bytes(work.device, work.local_processes)
    return Outlook(parameters, expected, available, rate, basis, key)


def available_bytes(device: torch.device, processes: int = 1) -> int | None:
    """What this process has on a device and may yet get; None: nobody tells.

    Args:
        processes: that share the memory of a machine; a GPU belongs to one.
    """
    memory = memory_of(device)
    if memory is None:
        return None
    return memory.free // (processes if device.type == "cpu" else 1) + taken_bytes(device)


def _key(settings: FixedTrainSettings, work: Work, tuned: Tuned) -> dict[str, Any]:
    told = settings.model_dump(mode="json", by_alias=True, exclude=INDIFFERENT)
    return {**key_of(settings, work), "settings": told, "way": str(tuned.way)}


def _recalled(key: dict[str, Any]) -> tuple[Expected, float, str] | None:
    found = recall("outlooks", key)
    try:
        if found is None:
            return None
        rate = float(found["tokens_per_second"])
        return Expected(**found["expected"]), rate, f"measured before, on {found['measured_on']}"
    except (KeyError, TypeError, ValueError):
        return None


def _estimated(settings: FixedTrainSettings, work: Work, tuned: Tuned) -> float | None:
    """From the speed of forward and backward passes alone."""
    if tuned.tokens_per_second is None:
        return None
    used = min(tuned.workers, parts_of_each(settings.accumulate, work.processes))
    share = share_of_cores(work.local_processes, used * tuned.torch_threads, work.device)
    return tuned.tokens_per_second * used / tuned.workers * work.processes * share


def share_of_cores(processes: int, threads: int, device: torch.device) -> float:
    """What share of a core each thread gets if so many processes here compute with so many threads each."""
    return min(1.0, available_cores() / (processes * threads)) if device.type == "cpu" else 1.0
