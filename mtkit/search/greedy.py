"""Greedy search: every sentence has one hypothesis, which goes on with the most probable id.

It is a beam of one (`state.py`), and finds what that finds; but there is nothing to reorder, so that ids are
kept as lists, and no more than one best id is looked for.
"""

import math
from collections.abc import Sequence

import torch

from mtkit.config.search import SearchSettings
from mtkit.search.constraints import Constraints
from mtkit.search.ensemble import Reader
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.length import score_of
from mtkit.search.step import first_of_each, not_numbers, producible
from mtkit.subword.vocabulary import BOS, EOS


def search_greedily(
    reader: Reader, limits: Sequence[int], settings: SearchSettings, constraints: Constraints
) -> list[list[Hypothesis]]:
    """Search sentences side by side.

    Args:
        reader: of the sources.
        limits: most target tokens of each sentence, EOS counted.
        settings: how hypotheses are scored.
        constraints: what may not come next.

    Returns:
        The one hypothesis of each sentence; none where everything was forbidden.

    Raises:
        ModelError: the model's scores are not numbers.
    """
    device = reader.model.device
    written: list[list[int]] = [[] for _ in limits]
    found: list[list[Hypothesis]] = [[] for _ in limits]
    running = list(range(len(limits)))  # sentences that are not done; the rows of all that follows
    totals = torch.zeros(len(limits), device=device)  # [B]
    newest = torch.full((len(limits),), BOS, device=device)  # [B]
    tokens = 0
    while running:
        tokens += 1
        chances = producible(reader.step(newest))  # [B, V]
        if constraints.any:
            chances += totals.unsqueeze(1)
            ids = torch.tensor([[written[n]] for n in running], dtype=torch.long, device=device)  # [B, 1, T]
            constraints.apply(chances.unsqueeze(1), ids, running)
            totals, newest = first_of_each(chances)
        else:
            best, newest = first_of_each(chances)
            totals = totals + best
        stay = []
        for row, (number, total, new) in enumerate(
            zip(running, totals.tolist(), newest.tolist(), strict=True)
        ):
            if math.isnan(total):
                raise not_numbers()
            if total == -math.inf:
                continue
            if new != EOS:
                written[number].append(new)
            if new == EOS or tokens >= limits[number]:
                score = score_of(total, tokens, settings)
                found[number] = [Hypothesis(tuple(written[number]), total, score, new == EOS)]
            else:
                stay.append(row)
        if len(stay) < len(running):
            running = [running[row] for row in stay]
            rows = torch.tensor(stay, dtype=torch.long, device=device)
            totals, newest = totals[rows], newest[rows]
            if running:
                reader.select(rows)
    return found
