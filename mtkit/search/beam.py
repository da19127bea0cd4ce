"""Beam search: the parts put together. Greedy search is a beam of one."""

from collections.abc import Sequence

import torch

from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.search.batching import Ids, in_batches, padded
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.length import length_limit
from mtkit.search.state import Beams
from mtkit.search.step import best_candidates
from mtkit.subword.vocabulary import EOS

BATCH_TOKENS: int = TranslateSettings.model_fields["batch_tokens"].default


def search(
    model: Transformer,
    sources: Sequence[Ids],
    settings: SearchSettings,
    batch_tokens: int = BATCH_TOKENS,
    workers: Workers = ALONE,
) -> list[list[Hypothesis]]:
    """The n best translations of each source, best first.

    Sentences are batched by length and come back in their own order; which sentences share a batch changes
    no result but for rounding. The model is searched without dropout and left in the mode it was in.

    Args:
        model: the model.
        sources: ids of each sentence, without EOS.
        settings: beam size, n-best, length penalty and limits.
        batch_tokens: source tokens searched at once; changes speed and memory.
        workers: search batches side by side.

    Returns:
        For each source at most `n_best` hypotheses; at least one.

    Raises:
        ModelError: a source is longer than the model's positions, or the model's scores are not numbers.
    """

    def of_batch(numbers: list[int]) -> list[list[Hypothesis]]:
        return search_batch(model, [sources[number] for number in numbers], settings)

    with evaluating(model):
        return in_batches(of_batch, [len(ids) + 1 for ids in sources], batch_tokens, workers)


@torch.inference_mode()
def search_batch(
    model: Transformer, sources: Sequence[Ids], settings: SearchSettings
) -> list[list[Hypothesis]]:
    """Search sentences side by side; as `search`, in one batch."""
    source, source_is_token = padded([[*ids, EOS] for ids in sources], model.device)
    cache = model.start(model.encode(source, source_is_token), source_is_token)
    cache.expand(settings.beam_size)
    limits = [length_limit(len(ids), settings, model.max_tokens) for ids in sources]
    beams = Beams(limits, settings, model.device)
    while beams.running:
        logits = model.step(beams.newest(), cache)  # [B * N, V]
        candidates = best_candidates(logits, beams.totals, 2 * settings.beam_size)
        cache.select(beams.advance(candidates))
    return beams.results()
