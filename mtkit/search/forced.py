"""Forced decoding: log probabilities of given translations, whole or token by token, and attention."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.model.evaluating import evaluating
from mtkit.model.workers import ALONE, Workers
from mtkit.search.batching import BATCH_TOKENS, Ids, in_batches, padded
from mtkit.search.ensemble import Model, logits_at, parts
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.search.length import score_of
from mtkit.search.step import refuse_nan
from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED


def log_probabilities(
    model: Model,
    sources: Sequence[Ids],
    targets: Sequence[Ids],
    batch_tokens: int = BATCH_TOKENS,
    workers: Workers = ALONE,
) -> list[float]:
    """log P(target | source) of each pair in nats, EOS included: the sum over its tokens.

    It is what `search` reports as `log_probability` of the same finished hypothesis. An unknown piece, which
    search never produces, counts by its odds against all that it may: its logit less their logsumexp.

    Args:
        model: the model.
        sources: ids of each source, without EOS.
        targets: ids of each target, without BOS and EOS.
        batch_tokens: tokens of the longer side read at once; changes speed and memory.
        workers: read batches side by side.

    Raises:
        ModelError: a side is longer than the model's positions, or the model's scores are not numbers.
    """

    def of_batch(numbers: list[int]) -> list[float]:
        some = [targets[n] for n in numbers]
        pairs = _pairs(model, [sources[n] for n in numbers], some, [True] * len(some))
        return _each(model, pairs).sum(1).tolist()

    with evaluating(model):
        return in_batches(of_batch, _lengths(sources, targets), batch_tokens, workers)


def token_scores(
    model: Model,
    sources: Sequence[Ids],
    targets: Sequence[Ids],
    finished: Sequence[bool],
    batch_tokens: int = BATCH_TOKENS,
    workers: Workers = ALONE,
    *,
    attention: bool = False,
) -> list[TokenScores]:
    """As `log_probabilities`, token by token.

    Args:
        model: the model.
        sources: ids of each source, without EOS.
        targets: ids of each target, without BOS and EOS.
        finished: whether EOS follows, and is one of the tokens.
        batch_tokens: tokens of the longer side read at once; changes speed and memory.
        workers: read batches side by side.
        attention: say what each token attended to as well.

    Raises:
        ModelError: a side is longer than the model's positions, or the model's scores are not numbers.
    """

    def of_batch(numbers: list[int]) -> list[TokenScores]:
        some = [targets[n] for n in numbers]
        pairs = _pairs(model, [sources[n] for n in numbers], some, [finished[n] for n in numbers])
        each = _each(model, pairs).tolist()
        weights = _attention(model, pairs).tolist() if attention else [[] for _ in numbers]
        found = []
        for row, number in enumerate(numbers):
            tokens, width = len(targets[number]) + finished[number], len(sources[number]) + 1
            seen = tuple(tuple(one[:width]) for one in weights[row][:tokens])
            found.append(TokenScores(tuple(each[row][:tokens]), seen))
        return found

    with evaluating(model):
        return in_batches(of_batch, _lengths(sources, targets), batch_tokens, workers)


def scored_by_model(
    model: Model,
    sources: Sequence[Ids],
    found: Sequence[Sequence[Hypothesis]],
    settings: SearchSettings,
    batch_tokens: int,
    workers: Workers,
) -> list[list[Hypothesis]]:
    """The same hypotheses with the log probabilities that the model gives them, ranked anew.

    Args:
        model: the model.
        sources: ids of each source, without EOS.
        found: hypotheses of each source.
        settings: what ranks them.
        batch_tokens: tokens read at once.
        workers: read batches side by side.
    """
    every = [(ids, one) for ids, some in zip(sources, found, strict=True) for one in some]
    finished = [one.finished for _, one in every]
    texts, targets = [ids for ids, _ in every], [one.ids for _, one in every]
    values = iter(token_scores(model, texts, targets, finished, batch_tokens, workers))

    def scored(one: Hypothesis) -> Hypothesis:
        total = math.fsum(next(values).log_probabilities)
        return replace(one, log_probability=total, score=score_of(total, one.tokens, settings))

    return [best_first([scored(one) for one in some]) for some in found]


class Pairs(NamedTuple):
    """Pairs side by side.

    Attributes:
        source: [B, S].
        source_is_token: [B, S].
        target_in: BOS first, [B, T].
        target_out: EOS last where it follows, [B, T].
        target_is_token: [B, T].
    """

    source: Tensor
    source_is_token: Tensor
    target_in: Tensor
    target_out: Tensor
    target_is_token: Tensor


def _lengths(sources: Sequence[Ids], targets: Sequence[Ids]) -> list[int]:
    return [max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]


def _pairs(model: Model, sources: Sequence[Ids], targets: Sequence[Ids], finished: Sequence[bool]) -> Pairs:
    """Pairs side by side; the last id of a target that was cut off is not read: search does not either."""
    counts = [max(1, len(ids) + ended) for ids, ended in zip(targets, finished, strict=True)]
    each = list(zip(targets, counts, strict=True))
    source, source_is_token = padded([[*ids, EOS] for ids in sources], model.device)
    target_in, _ = padded([[BOS, *ids][:count] for ids, count in each], model.device)
    target_out, target_is_token = padded([[*ids, EOS][:count] for ids, count in each], model.device)
    return Pairs(source, source_is_token, target_in, target_out, target_is_token)


@torch.inference_mode()
def _each(model: Model, pairs: Pairs) -> Tensor:
    """Log probabilities of the tokens, 0 at padding, [B, T]."""
    logits = logits_at(
        model, pairs.source, pairs.source_is_token, pairs.target_in, pairs.target_is_token
    )  # [tokens, V]
    wanted = logits.gather(1, pairs.target_out[pairs.target_is_token].unsqueeze(1)).squeeze(1)  # [tokens]
    logits[:, NEVER_PRODUCED] = -torch.inf  # as search does; `wanted` is a copy
    each = torch.zeros_like(pairs.target_out, dtype=torch.float)
    each[pairs.target_is_token] = wanted - logits.logsumexp(-1)
    refuse_nan(each)
    return each


@torch.inference_mode()
def _attention(model: Model, pairs: Pairs) -> Tensor:
    """What each target position attends to, [B, T, S]."""
    each = [
        one.attention(pairs.target_in, one.encode(*pairs[:2]), pairs.source_is_token) for one in parts(model)
    ]
    return torch.stack(each).mean(0)
