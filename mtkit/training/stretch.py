"""A short stretch of a training, watched update by update: what `mtkit verify-resume` runs.

Watching changes nothing about the training but where it stops. What is made of the notes: `comparing.py`.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtkit.training.guard import Observed
from mtkit.training.trace import add_note

WAIT_SECONDS = 0.01  # between two looks whether anybody is there to kill a training


@dataclass(frozen=True)
class Stretch:
    """How much of a training is made, and how closely it is watched.

    Attributes:
        updates: the last one; training stops behind it, with a checkpoint and without a model.
        checkpoint_updates: from one checkpoint to the next.
        trace: gets a line for every update, as soon as it is made.
        waits_at: an update behind which training waits for the kill that is on its way, or None. However
            late that comes on a busy machine, training has not ended by then.
    """

    updates: int
    checkpoint_updates: int
    trace: Path
    waits_at: int | None = None

    def is_over(self, update: int) -> bool:
        """True behind the last update."""
        return update >= self.updates

    def saves(self, update: int) -> bool:
        """True where a checkpoint is to be written."""
        return update % self.checkpoint_updates == 0

    def note(self, observed: Observed, rows: NDArray[np.integer]) -> None:
        """Leave a line about an update: its pairs, its numbers to the last bit, and who made it."""
        record = {
            "update": observed.update,
            "process": os.getpid(),
            "time": time.time(),
            "rows": np.sort(rows).tolist(),
            "target_tokens": observed.tokens,
            "nats": float(observed.nats).hex(),
            "gradient_norm": float(observed.gradient_norm).hex(),
        }
        add_note(self.trace, record)
        if self.waits_at is not None and observed.update >= self.waits_at:
            parent = os.getppid()
            while os.getppid() == parent:  # who is to kill it is still there
                time.sleep(WAIT_SECONDS)
