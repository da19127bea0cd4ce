"""One step of search: from the logits of all running hypotheses to their best continuations."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.errors import ModelError
from mtkit.subword.vocabulary import NEVER_PRODUCED


class Candidates(NamedTuple):
    """The best continuations of each sentence, best first.

    Attributes:
        totals: log probability of hypothesis and continuation in nats, [B, k]; -inf: no candidate.
        parents: which hypothesis of the sentence is continued, [B, k].
        ids: with which id, [B, k].
    """

    totals: Tensor
    parents: Tensor
    ids: Tensor


def best_candidates(
    logits: Tensor, totals: Tensor, count: int, shape: Callable[[Tensor], None] | None = None
) -> Candidates:
    """The `count` best of all N * V continuations of each sentence, or all if there are fewer.

    Of equal totals the lower hypothesis wins, then the lower id.

    Args:
        logits: [B * N, V]; changed in place.
        totals: log probabilities of the hypotheses so far, -inf for those that do not run, [B, N].
        count: k.
        shape: forbids continuations: sets some of the totals [B, N, V] to -inf, in place.

    Raises:
        ModelError: the model's logits are not numbers.
    """
    size = logits.size(-1)
    scores = producible(logits).view(*totals.shape, size) + totals.unsqueeze(-1)  # [B, N, V]
    if shape is not None:
        shape(scores)
    flat = scores.flatten(1)
    best, places = first_of_best(flat, min(count, flat.size(1)))  # [B, k]
    refuse_nan(best)
    return Candidates(best, places // size, places % size)


def producible(logits: Tensor) -> Tensor:
    """Log probabilities of what may come next, given that PAD, UNK and BOS never do.

    They stand for no text, and no translation has them: what the model would give them is shared among the
    rest. This, and not the softmax over all ids, is what P(y | x) means wherever a translation is searched
    or scored; training, which never meets them, has no need of it.

    Args:
        logits: [..., V]; changed in place.

    Returns:
        [..., V] in single precision, -inf at PAD, UNK and BOS.
    """
    logits[..., NEVER_PRODUCED] = -torch.inf
    return logits.float().log_softmax(-1)


def refuse_nan(scores: Tensor) -> None:
    """Raise a ModelError if a score is not a number."""
    if bool(scores.isnan().any()):
        raise ModelError(
            "the model's scores are not numbers (NaN)",
            expected="finite logits",
            advice="Take an earlier checkpoint: this model's training diverged.",
        )


def first_of_best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row, largest first; of equal ones the first wins.

    `topk` alone leaves the order of equal values open. Equal values can matter only if two neighbours of the
    first count + 1 are equal; then, and only then, the row is sorted in full.

    Args:
        scores: [B, M].
        count: k, at most M.

    Returns:
        Values and places, both [B, k].
    """
    values, places = scores.topk(min(count + 1, scores.size(1)))  # [B, k + 1]
    equal = (values[:, 1:] == values[:, :-1]) & values[:, 1:].isfinite()  # [B, k]
    if bool(equal.any()):
        rows = equal.any(1)
        exact, order = scores[rows].sort(dim=1, descending=True, stable=True)
        values[rows], places[rows] = exact[:, : values.size(1)], order[:, : values.size(1)]
    return values[:, :count], places[:, :count]
