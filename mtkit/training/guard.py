"""The guard: finds that numbers are no longer finite, or that the loss went up and stays there.

What follows on it is decided in `roll_back.py`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtkit.errors import RunError
from mtkit.training.state import GuardState, Measured

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
    rows: NDArray[np.int64]
    nats: Tensor
    tokens: int
    gradient_norm: Tensor


class DivergedError(Exception):
    """Training went wrong; what follows on it is for others to say.

    Attributes:
        update: at which it showed.
        what: the finding in a few words.
        lines: of the update's pairs, from 1; none if it was a validation that showed it.
    """

    def __init__(
        self, update: int, what: str, *, where: str, expected: str, lines: Sequence[int] = ()
    ) -> None:
        super().__init__(what)
        self.update, self.what, self.lines = update, what, list(lines)
        self._where, self._expected = where, expected

    def told(self, checkpoint: Path | None, after: str = "") -> RunError:
        """The error with which training stops.

        Args:
            checkpoint: the last good one.
            after: what has been tried, to follow on the finding; empty: nothing.
        """
        return RunError(
            f"{self.what}: training cannot go on{after}",
            where=self._where,
            expected=self._expected,
            advice=_advice(checkpoint, rolls_back=bool(after)),
        )


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

    def check(self) -> None:
        """Look at all updates since the last check.

        Raises:
            DivergedError: loss or gradient is not finite, or the loss has been far above its best for long.
        """
        if not self._unseen:
            return
        unseen, self._unseen = self._unseen, []
        numbers = torch.stack([torch.stack((item.nats / item.tokens, item.gradient_norm)) for item in unseen])
        for item, (loss, norm) in zip(unseen, numbers.tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise _not_finite(item, loss, norm)
            self._follow(loss)
            if self.state.updates_above >= PATIENCE_UPDATES:
                raise _diverged(item, self.state)

    def _follow(self, loss: float) -> None:
        state = self.state
        before = loss if state.smoothed is None else state.smoothed
        state.smoothed = SMOOTHING * before + (1 - SMOOTHING) * loss
        state.best = min(state.best, state.smoothed)
        above = state.smoothed > state.best + FAR_ABOVE
        state.updates_above = state.updates_above + 1 if above else 0


def check_measured(measured: Measured) -> None:
    """Look at a validation: what the last step made of the weights, no update has shown yet.

    Raises:
        DivergedError: the loss is not finite.
    """
    loss = measured.loss_nats_per_token
    if not math.isfinite(loss):
        where = f"the validation at update {measured.update}"
        raise DivergedError(measured.update, f"the loss is {loss}", where=where, expected="finite numbers")


def _not_finite(item: Observed, loss: float, norm: float) -> DivergedError:
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    lines = _lines(item)
    where = f"update {item.update}, {_shown(lines)} of the corpus stage's train.source and train.target"
    return DivergedError(item.update, what, where=where, expected="finite numbers", lines=lines)


def _diverged(item: Observed, state: GuardState) -> DivergedError:
    what = (
        f"training diverged: the loss is about {state.smoothed:.2f} nats per token and was {state.best:.2f};"
        f" it has stayed there for {state.updates_above} updates"
    )
    expected = f"a loss that stays within {FAR_ABOVE:g} nats of its best"
    where = f"update {item.update}"
    return DivergedError(item.update, what, where=where, expected=expected, lines=_lines(item))


def _advice(checkpoint: Path | None, *, rolls_back: bool) -> str:
    last = f"The last good checkpoint is {checkpoint}." if checkpoint else "There is no checkpoint yet."
    by_itself = "; `on_divergence: {kind: roll_back}` does the first by itself"
    return (
        "Halve `optimizer.learning_rate`, or raise `schedule.warmup_updates`, set `clip_norm: 1.0` or"
        f" `precision: float32`, and train again{'' if rolls_back else by_itself}. {last}"
    )


def _lines(item: Observed) -> list[int]:
    return sorted((item.rows + 1).tolist())


def _shown(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    more = len(lines) - SHOWN_LINES
    return f"lines {shown}" + (f" and {more} more (events.jsonl has all)" if more > 0 else "")
