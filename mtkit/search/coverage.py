"""The coverage penalty: hypotheses that leave source tokens without attention rank lower."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mtkit.model.workers import Workers
from mtkit.search.batching import Ids
from mtkit.search.ensemble import Model
from mtkit.search.forced import token_scores
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.search.token_scores import TokenScores

_LEAST = 1e-10  # attention that counts as none, whose logarithm is finite


def coverage(scores: TokenScores) -> float:
    """The sum over source tokens of log(min(attention it got from all target tokens, 1)); at most 0.

    The source's EOS is left out: nothing translates it.

    Source: Wu et al. 2016, equation 14, without beta.
    """
    columns = list(zip(*scores.attention, strict=True))[:-1]
    return math.fsum(math.log(min(max(math.fsum(column), _LEAST), 1.0)) for column in columns)


def with_coverage(
    model: Model,
    sources: Sequence[Ids],
    found: Sequence[Sequence[Hypothesis]],
    beta: float,
    batch_tokens: int,
    workers: Workers,
) -> list[list[Hypothesis]]:
    """The same hypotheses with beta times their coverage in their scores, ranked anew.

    Args:
        model: what found them.
        sources: ids of each source, without EOS.
        found: hypotheses of each source.
        beta: weight of coverage.
        batch_tokens: tokens read at once.
        workers: read batches side by side.
    """
    every = [(ids, hypothesis) for ids, best in zip(sources, found, strict=True) for hypothesis in best]
    each = iter(
        token_scores(
            model,
            [ids for ids, _ in every],
            [hypothesis.ids for _, hypothesis in every],
            [hypothesis.finished for _, hypothesis in every],
            batch_tokens,
            workers,
            attention=True,
        )
    )
    return [
        best_first([replace(one, score=one.score + beta * coverage(next(each))) for one in best])
        for best in found
    ]
