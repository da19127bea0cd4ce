"""From lists of ids to padded tensors: sentences of like length together, within a budget of tokens."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from mtkit.config.search import TranslateSettings
from mtkit.model.workers import Workers
from mtkit.search.grouping import token_batches
from mtkit.subword.vocabulary import PAD

BATCH_TOKENS: int = TranslateSettings.model_fields["batch_tokens"].default
Ids = Sequence[int]
Result = TypeVar("Result")


class Padded(NamedTuple):
    """Sentences side by side.

    Attributes:
        ids: padded behind with PAD, [B, T].
        is_token: True where a token stands, [B, T].
    """

    ids: Tensor
    is_token: Tensor


def padded(sentences: Sequence[Ids], device: torch.device) -> Padded:
    """Put sentences side by side, as wide as the longest."""
    width = max(len(ids) for ids in sentences)
    rows = [[*ids, *[PAD] * (width - len(ids))] for ids in sentences]
    lengths = torch.tensor([len(ids) for ids in sentences])
    is_token = torch.arange(width) < lengths.unsqueeze(1)  # [B, T]
    return Padded(torch.tensor(rows, dtype=torch.long).to(device), is_token.to(device))


def in_batches(
    of_batch: Callable[[list[int]], Sequence[Result]],
    lengths: Sequence[int],
    batch_tokens: int,
    workers: Workers,
) -> list[Result]:
    """One result for each sentence, in the sentences' own order, computed batch by batch.

    Args:
        of_batch: from the positions of some sentences to their results; runs in a worker's thread.
        lengths: tokens of each sentence.
        batch_tokens: see `token_batches`.
        workers: compute batches side by side.
    """
    batches = token_batches(lengths, batch_tokens)
    found: dict[int, Result] = {}
    for numbers, results in zip(batches, workers.map(partial(of_batch, b) for b in batches), strict=True):
        found.update(zip(numbers, results, strict=True))
    return [found[number] for number in range(len(lengths))]
