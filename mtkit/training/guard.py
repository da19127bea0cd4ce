"""The guard: stops a training whose numbers are no longer finite, or whose loss went up and stays there."""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.errors import RunError
from mtkit.training.state import GuardState

SMOOTHING = 0.98  # of the loss over updates
FAR_ABOVE = 2.0  # nats per token over the best smoothed loss; ordinary bumps stay under 0.5
PATIENCE_UPDATES = 300  # in a row
SHOWN_LINES = 8


class Observed(NamedTuple):
    """What one update showed; the tensors may still be on their way from the device.

    Attributes:
        update: its number.
        rows: line numbers of its pairs, from 0.
        nats: -log P summed over its target tokens.
        tokens: its target tokens.
        gradient_norm: before clipping.
    """

    update: int
    rows: list[Tensor]
    nats: Tensor
    tokens: int
    gradient_norm: Tensor


class Guard:
    """Watches every update; looks at a GPU's numbers only when asked, so that it never waits in between.

    Args:
        state: is changed here; belongs to the checkpoint.
    """

    def __init__(self, state: GuardState) -> None:
        self.state = state
        self._unseen: list[Observed] = []

    def add(self, observed: Observed) -> None:
        """Keep an update for the next `check`."""
        self._unseen.append(observed)

    def check(self, checkpoint: Path | None) -> None:
        """Look at all updates since the last check.

        Args:
            checkpoint: the last good one, for the message.

        Raises:
            RunError: loss or gradient is not finite, or the loss has been far above its best for long.
        """
        if not self._unseen:
            return
        unseen, self._unseen = self._unseen, []
        numbers = torch.stack([torch.stack((item.nats / item.tokens, item.gradient_norm)) for item in unseen])
        for item, (loss, norm) in zip(unseen, numbers.tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise _not_finite(item, loss, norm, checkpoint)
            self._follow(loss)
            if self.state.updates_above >= PATIENCE_UPDATES:
                raise _diverged(item, self.state, checkpoint)

    def _follow(self, loss: float) -> None:
        state = self.state
        before = loss if state.smoothed is None else state.smoothed
        state.smoothed = SMOOTHING * before + (1 - SMOOTHING) * loss
        state.best = min(state.best, state.smoothed)
        above = state.smoothed > state.best + FAR_ABOVE
        state.updates_above = state.updates_above + 1 if above else 0


def _not_finite(item: Observed, loss: float, norm: float, checkpoint: Path | None) -> RunError:
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    return RunError(
        f"{what}: training cannot go on",
        where=f"update {item.update}, {_lines(item.rows)} of the training pairs",
        expected="finite numbers",
        advice=_advice(checkpoint),
    )


def _diverged(item: Observed, state: GuardState, checkpoint: Path | None) -> RunError:
    return RunError(
        f"training diverged: the loss is about {state.smoothed:.2f} nats per token and was {state.best:.2f};"
        f" it has stayed there for {state.updates_above} updates",
        where=f"update {item.update}",
        expected=f"a loss that stays within {FAR_ABOVE:g} nats of its best",
        advice=_advice(checkpoint),
    )


def _advice(checkpoint: Path | None) -> str:
    last = f"The last good checkpoint is {checkpoint}." if checkpoint else "There is no checkpoint yet."
    return (
        "Halve `optimizer.learning_rate`, or raise `schedule.warmup_updates`, set `clip_norm: 1.0` or"
        f" `precision: float32`, and train again. {last}"
    )


def _lines(rows: list[Tensor]) -> str:
    numbers = sorted(int(row) + 1 for part in rows for row in part)
    shown = ", ".join(str(number) for number in numbers[:SHOWN_LINES])
    return f"lines {shown}" + (f" and {len(numbers) - SHOWN_LINES} more" * (len(numbers) > SHOWN_LINES))
