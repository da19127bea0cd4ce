"""Search: the parts put together."""

from collections.abc import Sequence
from functools import partial

import torch

from mtkit.config.search import SearchSettings
from mtkit.model.evaluating import evaluating
from mtkit.model.workers import ALONE, Workers
from mtkit.search.batching import BATCH_TOKENS, Ids, in_batches, most_sentences, padded, samples_at_once
from mtkit.search.constraints import Constraints
from mtkit.search.coverage import with_coverage
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.diverse import search_in_groups
from mtkit.search.ensemble import Model, Reader
from mtkit.search.forced import scored_by_model
from mtkit.search.greedy import search_greedily
from mtkit.search.hypothesis import Hypothesis, most_ended
from mtkit.search.length import length_limit
from mtkit.search.sampling import sample_batch
from mtkit.search.state import Beams
from mtkit.search.step import best_candidates
from mtkit.subword.vocabulary import EOS


def search(
    model: Model,
    sources: Sequence[Ids],
    settings: SearchSettings,
    batch_tokens: int = BATCH_TOKENS,
    workers: Workers = ALONE,
    demands: Demands = NO_DEMANDS,
) -> list[list[Hypothesis]]:
    """The n best translations of each source, best first; or samples, if the settings ask for them.

    Sentences are batched by length and come back in their own order; which sentences share a batch changes
    no result but for rounding. The model is searched without dropout and left in the mode it was in.

    Args:
        model: the model, or an ensemble.
        sources: ids of each sentence, without EOS.
        settings: beam size, n-best, length penalty, limits, and all else that can be wished.
        batch_tokens: source tokens searched at once, fewer where hypotheses are many (`most_sentences`);
            changes speed and memory.
        workers: search batches side by side.
        demands: how translations must begin and what they may not contain.

    Returns:
        For each source at most `n_best` hypotheses; at least one.

    Raises:
        ModelError: a source is longer than the model's positions, or the model's scores are not numbers.
    """

    looked = settings
    if settings.coverage_penalty and settings.sampling is None:  # which ranks a whole beam
        looked = settings.model_copy(update={"n_best": settings.beam_size})
    blocking = settings.no_repeat_ngram > 0 and settings.sampling is None
    if blocking:  # what is found is ranked anew
        looked = settings.model_copy(update={"n_best": most_ended(settings)})

    def of_batch(numbers: list[int]) -> list[list[Hypothesis]]:
        return search_batch(model, [sources[number] for number in numbers], looked, demands.of(numbers))

    lengths, sentences = [len(ids) + 1 for ids in sources], most_sentences(looked, model.target_size)
    with evaluating(model):
        found = in_batches(of_batch, lengths, batch_tokens, workers, sentences)
    if blocking:
        found = scored_by_model(model, sources, found, settings, batch_tokens, workers)
    if settings.coverage_penalty:
        found = with_coverage(model, sources, found, settings.coverage_penalty, batch_tokens, workers)
    return [best[: settings.n_best] for best in found]


@torch.inference_mode()
def search_batch(
    model: Model, sources: Sequence[Ids], settings: SearchSettings, demands: Demands = NO_DEMANDS
) -> list[list[Hypothesis]]:
    """Search sentences side by side; as `search`, in one batch."""
    source, source_is_token = padded([[*ids, EOS] for ids in sources], model.device)
    limits = [length_limit(len(ids), settings, model.max_tokens) for ids in sources]
    constraints = Constraints(list(map(len, sources)), limits, settings, demands, model.device)
    if settings.sampling is not None:
        at_once = samples_at_once(len(sources), model.target_size)
        read = partial(Reader, model, source, source_is_token)
        return sample_batch(read, sources, limits, settings, constraints, at_once)
    groups = settings.diversity.groups if settings.diversity is not None else 1
    reader = Reader(model, source, source_is_token, groups, fills_up=settings.beam_size == 1)
    if settings.diversity is not None:
        return search_in_groups(reader, limits, settings, constraints)
    if settings.beam_size == 1:
        return search_greedily(reader, limits, settings, constraints)
    size, beams = settings.beam_size, Beams(limits, settings, model.device)
    shape = constraints.shape(beams)
    if model.target_size >= 2 * size:  # all hypotheses are alike at first, so one reads for all
        logits = reader.step(beams.newest()[::size])  # [B, V]
        candidates = best_candidates(logits, beams.totals[:, :1], 2 * size, shape)
        reader.expand(size)
        reader.select(beams.advance(candidates))
    else:
        reader.expand(size)
    while beams.running:
        logits = reader.step(beams.newest())  # [B * N, V]
        reader.select(beams.advance(best_candidates(logits, beams.totals, 2 * size, shape)))
    return beams.results()
