"""What a recipe asks of a training and only the data or the device can show to be impossible.

Mistakes that the recipe shows by itself are findings of `config/training.py`; what the memory holds is
`fitting.py`'s business.
"""

from pathlib import Path

import torch

from mtkit.config.training import TrainSettings
from mtkit.errors import RecipeError, RunError
from mtkit.model.cores import cpu_name
from mtkit.training.tuning import has_bfloat16


def check_parts(settings: TrainSettings, pairs: int) -> None:
    """Micro-batches without a pair would be none.

    Raises:
        RecipeError: `accumulate` asks for more micro-batches than there are training pairs.
    """
    wanted = settings.accumulate
    if isinstance(wanted, int) and wanted > pairs:
        raise RecipeError(
            f"an update cannot be cut into {wanted:,} micro-batches: the corpus has {pairs:,} training pairs",
            where="stages.train.accumulate",
            expected=f"at most {pairs:,} micro-batches, with a pair in each",
            advice="Set `stages.train.accumulate: auto`, or train on more pairs.",
        )


def check_warm_up(settings: TrainSettings, updates_per_epoch: int) -> None:
    """How many updates an epoch has, only the corpus says; `until.updates` has been looked at before.

    Raises:
        RecipeError: `until.epochs` ends training before the learning rate has reached its peak.
    """
    epochs, warm_up = settings.until.epochs, settings.schedule.warmup_updates
    if epochs is None or warm_up < (updates := epochs * updates_per_epoch):
        return
    raise RecipeError(
        f"training ends after {epochs:,} epochs, which are {updates:,} updates on this corpus, before warm-up"
        f" does ({warm_up:,})",
        where="stages.train.schedule.warmup_updates",
        expected="fewer warm-up updates than updates",
        advice=f"Set `stages.train.schedule.warmup_updates: {max(1, updates // 10)}`, raise"
        " `stages.train.until.epochs`, or lower `stages.train.batch_tokens`."
        if updates > 1
        else "Raise `stages.train.until.epochs`, or lower `stages.train.batch_tokens`.",
    )


def check_precision(precision: str, device: torch.device, record: Path | None = None) -> None:
    """What has no bfloat16 emulates it in torch, far slower than float32.

    Args:
        precision: asked for, or chosen.
        device: that is to compute in it.
        record: where it stands what was chosen when the training began; None: the recipe says it.

    Raises:
        RunError: the device does not compute in this precision.
    """
    if precision != "bfloat16" or has_bfloat16(device):
        return
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        kind, better = "GPU", "a GPU of compute capability 8.0 or later"
    else:
        name = cpu_name()
        kind, better = "CPU", "a CPU with AVX512-BF16 or AMX (x86), or with BF16 (ARM)"
    if record is not None:
        raise RunError(
            "this training computes in bfloat16, as was chosen when it began, and this"
            f" {kind} ({name}) does not",
            where=str(record),
            expected=better,
            advice="Go on with it where it began. Or train anew here, with `stages.train.precision: float32`:"
            " that is another training, and this one stays as it is.",
        )
    raise RunError(
        f"precision bfloat16, in which this {kind} ({name}) does not compute",
        where=str(device),
        expected=f"float32 or auto; or {better}",
        advice="Set `stages.train.precision: auto`, which takes the faster one of those that are there.",
    )
