"""Validation: the loss over the whole validation set, and what is asked of those who translate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mtkit.batches.batch import Batch
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.training.loss import add, measure


@dataclass(frozen=True)
class Validation:
    """What a validator found.

    Attributes:
        scores: by metric, for example {"bleu": 31.2, "chrf": 55.0}.
        samples: (source, hypothesis, reference) to show.
    """

    scores: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[str, str, str]] = field(default_factory=list)


Validator = Callable[[Transformer], Validation]


def validation_loss(model: Transformer, batches: Iterable[Batch]) -> float:
    """Mean of -log P per target token, in nats: no smoothing, no dropout. The model's mode is left as it was.

    Args:
        model: any mode, on any device.
        batches: all of the validation set.
    """
    sums, tokens = [], 0
    with evaluating(model):
        for batch in batches:
            sums.append(measure(model, batch.to(model.device)))
            tokens += batch.target_tokens
    return float(add(sums).nats.double()) / tokens
