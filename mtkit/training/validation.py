"""Validation: the loss over the whole validation set, and what is asked of those who translate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from mtkit.batches.batch import Batch
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.training.loss import LossSums, add, measure


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


def validation_loss(model: Transformer, batches: Iterable[Batch], workers: Workers = ALONE) -> float:
    """Mean of -log P per target token, in nats: no smoothing, no dropout. The model's mode is left as it was.

    Args:
        model: any mode, on any device.
        batches: all of the validation set.
        workers: measure batches side by side; the sum is the same, bit for bit.
    """

    def of_batch(batch: Batch) -> tuple[LossSums, int]:
        return measure(model, batch.to(model.device)), batch.target_tokens

    with evaluating(model):
        found = list(workers.map(partial(of_batch, batch) for batch in batches))
    return float(add(sums for sums, _ in found).nats.double()) / sum(tokens for _, tokens in found)
