"""Validation: the loss over the whole validation set, and what is asked of those who translate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from mtkit.batches.batch import Batch
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.training.loss import measure
from mtkit.training.processes import ONE_PROCESS, Processes


@dataclass(frozen=True)
class Validation:
    """What a validator found.

    Attributes:
        scores: by metric, for example {"bleu": 31.2, "chrf": 55.0}.
        samples: (source, hypothesis, reference) to show.
    """

    scores: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[str, str, str]] = field(default_factory=list)


Validator = Callable[[Transformer, Workers], Validation]


def validation_loss(
    model: Transformer,
    batches: Iterable[Batch],
    workers: Workers = ALONE,
    processes: Processes = ONE_PROCESS,
) -> float:
    """Mean of -log P per target token, in nats: no smoothing, no dropout. The model's mode is left as it was.

    Args:
        model: any mode, on any device.
        batches: all of the validation set, or this process's share of it.
        workers: measure batches side by side; the sum is the same, bit for bit.
        processes: have the other shares; again the sum is the same.
    """

    def of_batch(batch: Batch) -> tuple[Tensor, int]:
        return measure(model, batch.to(model.device)).nats, batch.target_tokens

    with evaluating(model):
        found = list(workers.map(partial(of_batch, batch) for batch in batches))
    mine: list[float] = torch.stack([nats for nats, _ in found]).tolist() if found else []
    nats = torch.tensor(processes.in_order(mine))
    tokens = sum(processes.in_order([tokens for _, tokens in found]))
    return float(nats.sum().double()) / tokens
