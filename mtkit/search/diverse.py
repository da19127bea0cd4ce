"""Diverse beam search: groups of hypotheses, each a beam of its own that avoids what earlier groups say."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.search.constraints import Constraints
from mtkit.search.ensemble import Reader
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.search.state import Beams
from mtkit.search.step import Candidates, best_candidates
from mtkit.subword.vocabulary import EOS

# Of `strength`: a token that costs more is taken where there is no other, and what the model says of it would
# drown in so large a number.
MOST_NATS = 1e4


def search_in_groups(
    reader: Reader,
    limits: Sequence[int],
    settings: SearchSettings,
    constraints: Constraints,
) -> list[list[Hypothesis]]:
    """Search sentences side by side, each in groups.

    At every step the groups choose one after the other. For a later group, `strength` nats are taken off a
    continuation for each hypothesis of an earlier group that has just been continued with the same id
    (Hamming diversity). That turns the choice at this step and no more: totals stay log probabilities, so
    that scores mean what they mean everywhere.

    Args:
        reader: of the sources, each once for every group: row sentence * groups + group.
        limits: most target tokens of each sentence, EOS counted.
        settings: beam size, groups and strength.
        constraints: what may not come next, of the sentences.

    Returns:
        The n best of all groups together, best first; what two groups found stands once.
    Source: Vijayakumar et al. 2018, algorithm 1 with Hamming diversity.
    """
    assert settings.diversity is not None, "only a beam in groups comes here"
    groups = settings.diversity.groups
    size = settings.beam_size // groups
    reader.expand(size)  # for cache and beams each group is a sentence of its own
    own = settings.model_copy(update={"beam_size": size, "n_best": min(size, settings.n_best)})
    beams = Beams([limit for limit in limits for _ in range(groups)], own, reader.model.device)
    while beams.running:
        logits = reader.step(beams.newest())  # [B * groups * N, V]
        candidates = _in_turn(logits, beams, settings, constraints)
        reader.select(beams.advance(candidates))
    found = beams.results()
    return [
        best_first(list({h.ids: h for group in found[at : at + groups] for h in group}.values()))[
            : settings.n_best
        ]
        for at in range(0, len(found), groups)
    ]


def _in_turn(logits: Tensor, beams: Beams, settings: SearchSettings, constraints: Constraints) -> Candidates:
    """The candidates of all rows, group after group."""
    assert settings.diversity is not None
    groups, strength = settings.diversity.groups, min(settings.diversity.strength, MOST_NATS)
    size = beams.totals.size(1)
    sentences = torch.tensor([row // groups for row in beams.running], device=logits.device)
    group = torch.tensor([row % groups for row in beams.running], device=logits.device)
    by_row = logits.view(len(beams.running), size, -1)  # [R, N, V]
    taken = logits.new_zeros(int(sentences.max()) + 1, logits.size(-1))  # how often, [sentences, V]
    parts: list[tuple[Tensor, Candidates]] = []
    for number in range(groups):
        rows = (group == number).nonzero().squeeze(1)
        if not len(rows):
            continue
        named = [int(one) for one in sentences[rows]]
        penalty = strength * taken[named]  # [R', V]
        plain: list[Tensor] = []  # the totals without it, [R', N, V]

        def shape(
            scores: Tensor,
            rows: Tensor = rows,
            named: list[int] = named,
            off: Tensor = penalty,
            plain: list[Tensor] = plain,
        ) -> None:
            if constraints.any:
                constraints.apply(scores, beams.ids[rows], named)
            plain.append(scores.clone())
            scores -= off.unsqueeze(1)

        found = best_candidates(by_row[rows].flatten(0, 1), beams.totals[rows], 2 * size, shape)
        counts = _ends_or_goes_on(found, size)  # [R', 2N]
        places = sentences[rows].unsqueeze(1).expand_as(found.ids), found.ids
        taken.index_put_(places, counts.to(taken), accumulate=True)
        of_found = plain[0].flatten(1).gather(1, found.parents * by_row.size(-1) + found.ids)  # [R', 2N]
        totals = of_found.masked_fill(~counts, -torch.inf)
        parts.append((rows, Candidates(totals, found.parents, found.ids)))
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return Candidates(*(torch.cat([part[at] for _, part in parts])[order] for at in range(3)))


def _ends_or_goes_on(found: Candidates, size: int) -> Tensor:
    """Which of the 2N best end here (of the first N) or go on (the first N that do not end), [R, 2N].

    It is what a beam takes of them; here it goes by the order of candidates, in which diversity has a say.
    """
    ends = found.ids == EOS
    goes_on = ~ends & ((~ends).cumsum(1) <= size)
    first = torch.arange(ends.size(1), device=ends.device) < size
    return (goes_on | (ends & first)) & found.totals.isfinite()
