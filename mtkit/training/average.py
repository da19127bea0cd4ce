"""Averages of weights: exponential while training, and of several snapshots afterwards."""

import copy
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from mtkit.training.sharding import here

Model = TypeVar("Model", bound=nn.Module)


class ExponentialAverage(Generic[Model]):
    """A copy of the model whose weights follow the trained ones slowly.

    Early on the average follows faster, with decay (1 + update) / (10 + update), so that the random first
    weights do not stay in it; the decay is a function of the update, so resuming needs the weights alone.

    Args:
        model: the model that is trained.
        decay: share of the average that an update keeps.
        copied: makes a copy of the model, whose weights are shared out if the model's are.

    Source: Polyak and Juditsky 1992; the start as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: Model, decay: float, copied: Callable[[Model], Model] = copy.deepcopy) -> None:
        self.decay = decay
        self.model = copied(model)
        self.model.requires_grad_(False).eval()
        self._average: list[Tensor] = list(self.model.parameters())
        self._trained: list[Tensor] = list(model.parameters())

    @torch.no_grad()
    def follow(self, update: int) -> None:
        """Move the average towards the weights after `update`."""
        decay = min(self.decay, (1 + update) / (10 + update))
        torch._foreach_lerp_([*map(here, self._average)], [*map(here, self._trained)], 1 - decay)


def mean(snapshots: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of several snapshots.

    Args:
        snapshots: at least one; a generator that reads them keeps one in memory at a time.

    Returns:
        float32 tensors, summed in float64 so that the order of the snapshots does not matter.
    """
    sums: dict[str, Tensor] = {}
    count = 0
    for weights in snapshots:
        count += 1
        for key, value in weights.items():
            sums[key] = value.double() if key not in sums else sums[key].add_(value.double())
    assert count, "there is at least one snapshot"
    return {key: (value / count).float() for key, value in sums.items()}
