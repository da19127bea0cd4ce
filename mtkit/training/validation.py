"""Validation: the loss over the whole validation set, and what is asked of those who translate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from mtkit.batches.batch import Batch
from mtkit.model.dropout import Rows
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.training.loss import measure
from mtkit.training.pieces import Split, in_pieces_if_needed
from mtkit.training.processes import ONE_PROCESS, Processes


@dataclass(frozen=True)
class Validation:
    """What a validator found.

    Attributes:
        scores: by metric, for example {"bleu": 31.2, "chrf": 55.0}.
        samples: (source, hypothesis, reference) to show.
        smaller_batches: source tokens of the batches that fitted, if larger ones ran out of memory.
    """

    scores: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[str, str, str]] = field(default_factory=list)
    smaller_batches: int | None = None


Validator = Callable[[Transformer, Workers], Validation]


def validation_loss(
    model: Transformer,
    batches: Iterable[Batch],
    workers: Workers = ALONE,
    processes: Processes = ONE_PROCESS,
    tell: Callable[[Split], None] = lambda _: None,
) -> float:
    """Mean of -log P per target token, in nats: no smoothing, no dropout. The model's mode is left as it was.

    Args:
        model: any mode, on any device.
        batches: all of the validation set, or this process's share of it.
        workers: measure batches side by side; the sum is the same, bit for bit.
        processes: have the other shares; again the sum is the same.
        tell: is told of each batch that ran out of memory and was measured in pieces.

    Raises:
        RunError: the memory does not hold one pair by itself.
    """

    def of_piece(piece: Batch, _rows: Rows | None) -> Tensor:
        return measure(model, piece.to(model.device)).nats

    def of_batch(batch: Batch) -> tuple[Tensor, int, Split | None]:
        nats, split = in_pieces_if_needed(batch, of_piece, torch.add, "validation")
        return nats, batch.target_tokens, split

    with evaluating(model):
        found = list(workers.map(partial(of_batch, batch) for batch in batches))
    for split in (split for _, _, split in found if split is not None):
        tell(split)
    mine: list[float] = torch.stack([nats for nats, _, _ in found]).tolist() if found else []
    nats = torch.tensor(processes.in_order(mine))
    tokens = sum(processes.in_order([tokens for _, tokens, _ in found]))
    return float(nats.sum().double()) / tokens
