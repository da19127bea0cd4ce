"""From lists of ids to padded tensors: sentences of like length together, within a budget of tokens."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.model.workers import Workers
from mtkit.search.grouping import token_batches
from mtkit.subword.vocabulary import PAD

BATCH_TOKENS: int = TranslateSettings.model_fields["batch_tokens"].default
# What a batch has of hypotheses times vocabulary at most: what a thousand sentences have with a beam of five
# and 32,000 pieces, 640 MB in single precision. A constant, so that a text has the same batches everywhere.
MOST_LOGITS = 1000 * 5 * 32_000
# Of a sentence side by side; each sample passes over the keys of all of them: memory grows with their square.
MOST_SAMPLES = 128
_OF_A_SAMPLE = 4  # hypotheses of a beam take its memory: it is drawn from sums in double precision
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


def most_samples(vocabulary: int) -> int:
    """How many samples are drawn at once, of all sentences of a batch together; at least 1.

    Args:
        vocabulary: target ids, V.
    """
    return max(1, MOST_LOGITS // (_OF_A_SAMPLE * vocabulary))


def samples_at_once(sentences: int, vocabulary: int) -> int:
    """How many samples of each of some sentences are drawn side by side; at least 1.

    Args:
        sentences: of the batch.
        vocabulary: target ids, V.
    """
    return max(1, min(MOST_SAMPLES, most_samples(vocabulary) // sentences))


def most_sentences(settings: SearchSettings, vocabulary: int) -> int:
    """How many sentences are searched at once, however short they are; at least 1.

    Args:
        settings: say how many hypotheses of each are followed, or samples drawn.
        vocabulary: target ids, V.
    """
    if settings.sampling is not None:
        return max(1, most_samples(vocabulary) // settings.n_best)
    return max(1, MOST_LOGITS // (settings.beam_size * vocabulary))


def in_batches(
    of_batch: Callable[[list[int]], Sequence[Result]],
    lengths: Sequence[int],
    batch_tokens: int,
    workers: Workers,
    sentences: int | None = None,
) -> list[Result]:
    """One result for each sentence, in the sentences' own order, computed batch by batch.

    Args:
        of_batch: from the positions of some sentences to their results; runs in a worker's thread.
        lengths: tokens of each sentence.
        batch_tokens: see `token_batches`.
        workers: compute batches side by side.
        sentences: most of a batch; None: any number.
    """
    batches = token_batches(lengths, batch_tokens, sentences)
    found: dict[int, Result] = {}
    for numbers, results in zip(batches, workers.map(partial(of_batch, b) for b in batches), strict=True):
        found.update(zip(numbers, results, strict=True))
    return [found[number] for number in range(len(lengths))]
