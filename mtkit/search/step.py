"""One step of search: from the logits of all running hypotheses to their best continuations."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.errors import ModelError
from mtkit.subword.vocabulary import NEVER_PRODUCED

STRIP = 32  # ids of a strip: near the square root of what is computed with it, for vocabularies of thousands
NEIGHBOURS = 64  # ids of a strip where one is looked for that lies together
FIRST = 8  # of them are compared at first, for a vector unit wants long rows


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
    chances = producible(logits).view(*totals.shape, -1)  # [B, N, V]
    if shape is not None:
        chances += totals.unsqueeze(-1)
        shape(chances)
        totals = torch.zeros_like(totals)
    size = chances.size(-1)
    best, places = first_of_sums(chances, totals, min(count, totals.size(1) * size))  # [B, k]
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
    logits.narrow(-1, 0, len(NEVER_PRODUCED)).fill_(-torch.inf)  # the first ids; one operation a step
    if logits.device.type == "cpu" and logits.dtype == torch.float32 and not torch.is_grad_enabled():
        return torch.log_softmax(logits, -1, out=logits)
    return logits.float().log_softmax(-1)


def first_of_sums(chances: Tensor, totals: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of chances + totals of each sentence, as `first_of_best` of all N * V sums.

    Few of the sums are made: the vocabulary is cut into strips, and none but the best of a strip is looked
    at until it is known which strips the best of all are in.

    Args:
        chances: [B, N, V].
        totals: [B, N].
        count: k, at most N * V.

    Returns:
        Values and places among the N * V, both [B, k].
    """
    size = chances.size(2)
    strips = max(1, size // STRIP)  # strip s has the ids s, s + strips, s + 2 strips, …
    wanted = min(count + 1, totals.size(1) * size)
    if size < STRIP or wanted > totals.size(1) * strips:
        return first_of_best((chances + totals.unsqueeze(-1)).flatten(1), count)
    tops = _tops(chances, strips) + totals.unsqueeze(-1)  # [B, N, strips]
    _, best = tops.flatten(1).topk(wanted)  # [B, k + 1]
    parents = best // strips
    within = torch.arange(0, size, strips, device=best.device)
    ids = (best % strips).unsqueeze(-1) + within  # [B, k + 1, STRIP or more]
    places = (parents * size).unsqueeze(-1) + ids.clamp(max=size - 1)
    sums = chances.flatten(1).gather(1, places.flatten(1)).view_as(places)
    sums = (sums + totals.gather(1, parents).unsqueeze(-1)).masked_fill(ids >= size, -torch.inf)
    values, order = sums.flatten(1).topk(wanted)  # [B, k + 1]
    places = places.flatten(1).gather(1, order)
    tied = _has_ties(values)
    if bool(tied.any()):
        every = (chances[tied] + totals[tied].unsqueeze(-1)).flatten(1)
        values[tied], places[tied] = _sorted(every, wanted)
    return values[:, :count], places[:, :count]


def _tops(chances: Tensor, strips: int) -> Tensor:
    """The best of each strip, [..., strips], of [..., V]."""
    rows, size, whole = chances.shape[:-1], chances.size(-1), STRIP * strips
    first = chances[..., :whole].view(*rows, FIRST, -1).amax(-2)  # [..., STRIP / FIRST * strips]
    tops = first.view(*rows, -1, strips).amax(-2)
    for start in range(whole, size, strips):
        rest = chances[..., start : start + strips]
        tops[..., : rest.size(-1)] = torch.maximum(tops[..., : rest.size(-1)], rest)
    return tops


def first_of_each(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each row and its place, both [B], of [B, V]; of equal ones the first wins.

    `max` looks for the place of every value it meets; here that is done in one of many short strips.
    """
    size = scores.size(1)
    whole = size - size % NEIGHBOURS
    tops = (
        scores[:, :whole].view(scores.size(0), whole // NEIGHBOURS, NEIGHBOURS).amax(-1)
    )  # [B, V / NEIGHBOURS]
    if whole < size:
        tops = torch.cat([tops, scores[:, whole:].amax(-1, keepdim=True)], dim=1)
    best, strip = tops.max(1, keepdim=True)  # [B, 1]
    places = strip * NEIGHBOURS + torch.arange(NEIGHBOURS, device=scores.device)
    within = scores.gather(1, places.clamp(max=size - 1)).argmax(1, keepdim=True)
    return best.squeeze(1), (strip * NEIGHBOURS + within).squeeze(1)


def refuse_nan(scores: Tensor) -> None:
    """Raise a ModelError if a score is not a number."""
    if bool(scores.isnan().any()):
        raise not_numbers()


def not_numbers() -> ModelError:
    """What is told of a model whose scores are not numbers."""
    return ModelError(
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
    wanted = min(count + 1, scores.size(1))
    values, places = scores.topk(wanted)  # [B, k + 1]
    tied = _has_ties(values)
    if bool(tied.any()):
        values[tied], places[tied] = _sorted(scores[tied], wanted)
    return values[:, :count], places[:, :count]


def _has_ties(values: Tensor) -> Tensor:
    """In which rows neighbours of sorted values are equal, [B]."""
    return ((values[:, 1:] == values[:, :-1]) & values[:, 1:].isfinite()).any(1)


def _sorted(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row, of equal ones the first first, by sorting all."""
    values, places = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :count], places[:, :count]
