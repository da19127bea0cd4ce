"""Means over the last few updates, for people and events. What else is noticed of them: `observer.py`."""

import math

import torch
from torch import Tensor

from mtkit.training.guard import Observed


class Meter:
    """Means over the updates since the last reading; sums stay on the device until then."""

    def __init__(self) -> None:
        self.loss = self.objective = self.gradient_norm = math.nan
        self.tokens_per_second = 0.0
        self._clear()

    def _clear(self) -> None:
        self._sums: list[Tensor] = []
        self._tokens, self._seconds = 0, 0.0

    def add(self, observed: Observed, objective: Tensor, seconds: float) -> None:
        """One more update."""
        self._sums.append(torch.stack((observed.nats, objective * observed.tokens, observed.gradient_norm)))
        self._tokens += observed.tokens
        self._seconds += seconds

    def read(self) -> None:
        """Bring the means up to date, and begin anew."""
        nats, objective, norms = torch.stack(self._sums).double().sum(dim=0).tolist()
        self.loss, self.objective = nats / self._tokens, objective / self._tokens
        self.gradient_norm = norms / len(self._sums)
        self.tokens_per_second = self._tokens / max(self._seconds, 1e-9)
        self._clear()
