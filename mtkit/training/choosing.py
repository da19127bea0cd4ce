"""What `auto` becomes: batch tokens, micro-batches and precision, found before the first update.

The choice is recorded in the stage's folder, which a resumed training reads, and remembered on this machine,
so that a second run takes the same. What the memory holds is `fitting.py`'s business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtkit import __version__
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import RunError
from mtkit.files import read_json, write_json
from mtkit.model.cores import cpu_name
from mtkit.model.remembering import recall, remember
from mtkit.training.fitting import Fitting, Work

FORMAT = 1
CHOSEN = "chosen.json"
AUTO = ("batch_tokens", "accumulate", "precision")


@dataclass(frozen=True)
class Chosen:
    """Settings without any `auto`.

    Attributes:
        settings: complete.
        reasons: why, for each setting that was `auto`.
    """

    settings: FixedTrainSettings
    reasons: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """The choice for people, in one line."""
        values = ((name, getattr(self.settings, name), reason) for name, reason in self.reasons.items())
        return "chosen: " + " · ".join(f"{name} {_shown(value)} ({reason})" for name, value, reason in values)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Value and reason of each setting that was `auto`, for `train.json`."""
        return {
            name: {"value": getattr(self.settings, name), "because": reason}
            for name, reason in self.reasons.items()
        }


def _shown(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def choose(settings: TrainSettings, work: Work, out: Path, say: Callable[[str], None]) -> Chosen:
    """Settle what the recipe leaves to the machine: as recorded, as remembered, or anew.

    Args:
        settings: as the recipe has them.
        work: what is to be computed, and where.
        out: the stage's folder, which gets `chosen.json` if anything was `auto`.
        say: is told the choice.

    Raises:
        RunError: not even the smallest micro-batches fit in the memory, or the device lacks the precision.
    """
    if not asked(settings):
        return Chosen(fixed(settings, {}))
    chosen = read_chosen(settings, out)
    if chosen is None:
        key = key_of(settings, work)
        found = recall("choices", key)
        chosen = _from_record(settings, found) if found else None
        if chosen is None:
            chosen = decide(settings, work)
            remember("choices", key, _record(settings, chosen))
        write_json(out / CHOSEN, _record(settings, chosen))
    say(chosen.line())
    return chosen


def asked(settings: TrainSettings) -> list[str]:
    """The settings that are `auto`."""
    return [name for name in AUTO if getattr(settings, name) == "auto"]


def fixed(settings: TrainSettings, values: dict[str, Any]) -> FixedTrainSettings:
    """The settings with values in the place of every `auto`."""
    plain = {name: getattr(settings, name) for name in settings.model_fields_set} | values
    by_key = {type(settings).model_fields[name].alias or name: value for name, value in plain.items()}
    return FixedTrainSettings.model_validate(by_key)


def read_chosen(settings: TrainSettings, out: Path) -> Chosen | None:
    """What an earlier session, or another process, recorded for the same settings; None: nothing."""
    path = out / CHOSEN
    try:
        return _from_record(settings, read_json(path, error=RunError)) if path.is_file() else None
    except RunError as error:
        error.advice = "Restore this file, or delete it alone: then it is chosen anew what is `auto`."
        raise


def _record(settings: TrainSettings, chosen: Chosen) -> dict[str, Any]:
    return {"format": FORMAT, "asked": asked(settings), "chosen": chosen.facts()}


def _from_record(settings: TrainSettings, record: Any) -> Chosen | None:
    """A recorded choice; None if it was made for other settings or is not one."""
    try:
        if record["format"] != FORMAT or record["asked"] != asked(settings):
            return None
        values = {name: record["chosen"][name]["value"] for name in asked(settings)}
        reasons = {name: str(record["chosen"][name]["because"]) for name in asked(settings)}
        return Chosen(fixed(settings, values), reasons)
    except (KeyError, TypeError, ValueError):
        return None


def key_of(settings: TrainSettings, work: Work) -> dict[str, Any]:
    """All that a choice depends on, except how much memory happens to be free."""
    cuda = work.device.type == "cuda"
    return {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "sizes": [work.model.source_size, work.model.target_size],
        "pairs": len(work.source_lengths),
        "tokens": [int(work.source_lengths.sum(dtype=np.int64)), work.tokens],
        "longest": [int(work.source_lengths.max()), work.longest],
        "device": torch.cuda.get_device_name(work.device) if cuda else cpu_name(),
        "memory": work.memory.total if work.memory else None,
        "workers": work.workers,
        "processes": [work.processes, work.local_processes],
        "versions": [torch.__version__, __version__],
    }


def decide(settings: TrainSettings, work: Work) -> Chosen:
    """Choose anew.

    Raises:
        RunError: as `choose`.
    """
    reasons: dict[str, str] = {}
    precision: str = settings.precision
    if precision == "auto":
        precision, reasons["precision"] = work.precision, work.precision_reason
    search = Fitting(settings, work, precision)
    if settings.batch_tokens == "auto":
        batch_tokens, reason = search.batch_tokens()
        reasons["batch_tokens"] = reason
    else:
        batch_tokens = settings.batch_tokens
    if settings.accumulate == "auto":
        accumulate, reason = search.accumulate(batch_tokens)
        reasons["accumulate"] = reason
    else:
        accumulate = settings.accumulate
    values = {"batch_tokens": batch_tokens, "accumulate": accumulate, "precision": precision}
    return Chosen(fixed(settings, values), {name: reasons[name] for name in AUTO if name in reasons})
