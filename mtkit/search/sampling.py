"""Sampling: translations drawn from the model's distribution, or from its likelier part.

A sample depends on the source, its number and the seed, and on nothing else: neither on the sentences
beside it, nor on how many samples are drawn (but for rounding). The random numbers are made on the CPU.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mtkit.batches.randomness import raw
from mtkit.config.search import Sampling, SearchSettings
from mtkit.search.constraints import Constraints
from mtkit.search.ensemble import Reader
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.search.length import score_of
from mtkit.search.step import producible, refuse_nan
from mtkit.subword.vocabulary import BOS, EOS

Ids = Sequence[int]
FIRST_NUMBERS = 64  # random numbers of a sample that are made at first; twice as many when they are used up


def uniforms(count: int, seed: int, number: int, source: Ids) -> list[float]:
    """The random numbers of one sample of a source, one for each target position, in [0, 1).

    Args:
        count: how many; more begin with the same.
        seed: of the settings.
        number: which sample of this source, from 0.
        source: its ids.
    """
    return [int(value >> 11) * 2.0**-53 for value in raw(count, seed, number, *map(int, source)).tolist()]


def sample_batch(
    read: Callable[[], Reader],
    sources: Sequence[Ids],
    limits: Sequence[int],
    settings: SearchSettings,
    constraints: Constraints,
    at_once: int,
) -> list[list[Hypothesis]]:
    """Draw `n_best` translations of each source, side by side.

    Args:
        read: the sources, anew for each time.
        sources: their ids, from which the random numbers are made.
        limits: most target tokens of each, EOS counted.
        settings: how to draw, and how many.
        constraints: what may not come next.
        at_once: samples of each source that are drawn side by side, at least 1.

    Returns:
        For each source `n_best` hypotheses, best first; the same one may have been drawn twice.
    """
    found: list[list[Hypothesis]] = [[] for _ in sources]
    for first in range(0, settings.n_best, at_once):
        reader = read()
        numbers = range(first, min(first + at_once, settings.n_best))
        samples = Samples(sources, limits, settings, numbers, reader.model.device)
        for every, some in zip(found, _drawn(samples, reader, constraints), strict=True):
            every += some
    return [best_first(every) for every in found]


def _drawn(samples: "Samples", reader: Reader, constraints: Constraints) -> list[list[Hypothesis]]:
    """The samples of each source, those first that ended first."""
    sampling = samples.settings.sampling
    assert sampling is not None, "only sampling comes here"
    reader.expand(len(samples.which))
    while samples.running:
        logits = reader.step(samples.newest())  # [B * N, V]
        chances = producible(logits).view(*samples.totals.shape, -1)  # [B, N, V]
        refuse_nan(chances[..., EOS])
        allowed = chances.clone()
        if constraints.any:
            constraints.apply(allowed, samples.ids, samples.running)
        ids = draw(allowed, sampling, samples.numbers())
        reader.select(samples.advance(ids, chances.gather(-1, ids.unsqueeze(-1)).squeeze(-1)))
    return samples.found


def draw(scores: Tensor, sampling: Sampling, numbers: Tensor) -> Tensor:
    """Draw one id for each hypothesis.

    The ids stand in their own order, each as wide as its probability; the number says how far to go. (In the
    order of their probability, rounding would exchange neighbours that are almost equal.)

    Args:
        scores: logits, -inf for what may not come, [..., V].
        sampling: temperature, top-k and nucleus, in this order.
        numbers: uniform in [0, 1), [...].

    Returns:
        Ids, [...].
    Source: Fan et al. 2018 (top-k); Holtzman et al. 2020, equations 2 and 3 (nucleus).
    """
    scaled = scores.double() / sampling.temperature  # [..., V]
    if sampling.top_k is not None or sampling.top_p is not None:
        scaled = _likelier_part(scaled, sampling)
    reached = scaled.softmax(-1).cumsum(-1)  # [..., V]
    end = reached[..., -1:]
    wanted = (numbers.to(reached).unsqueeze(-1) * end).minimum(end.nextafter(torch.zeros_like(end)))
    return torch.searchsorted(reached, wanted, right=True).squeeze(-1)


def _likelier_part(scaled: Tensor, sampling: Sampling) -> Tensor:
    """-inf for all that top-k and nucleus leave out; of equal ones the lower ids stay."""
    values, ids = scaled.sort(dim=-1, descending=True, stable=True)  # [..., V]
    if sampling.top_k is not None:
        values[..., sampling.top_k :] = -torch.inf
    if sampling.top_p is not None:
        shares = values.softmax(-1)
        before = shares.cumsum(-1) - shares  # what the likelier ones have together
        values = values.masked_fill(before >= sampling.top_p, -torch.inf)
    return torch.full_like(scaled, -torch.inf).scatter(-1, ids, values)


class Samples:
    """The samples of a batch of sentences, all at the same step; a sentence leaves when all have ended.

    Args:
        sources: from which the random numbers are made.
        limits: most target tokens of each sentence, EOS counted.
        settings: the seed and the length penalty.
        which: the numbers of the N samples of each sentence.
        device: where the model is.
    """

    def __init__(
        self,
        sources: Sequence[Ids],
        limits: Sequence[int],
        settings: SearchSettings,
        which: Sequence[int],
        device: torch.device,
    ) -> None:
        assert settings.sampling is not None
        count = len(which)
        self.settings, self.limits, self.which, self.sources = settings, limits, which, sources
        self.seed = settings.sampling.seed
        self.found: list[list[Hypothesis]] = [[] for _ in sources]
        self.running = list(range(len(sources)))  # sentences that are not done; the rows of all that follows
        self.uniform = torch.empty((len(sources), count, 0), dtype=torch.double)  # [B, N, T]
        self.totals = torch.zeros(len(sources), count, device=device)  # [B, N]; what has ended stays as it is
        self.runs = torch.ones(len(sources), count, dtype=torch.bool, device=device)  # [B, N]
        self.ids = torch.empty((len(sources), count, 0), dtype=torch.long, device=device)  # [B, N, T]

    @property
    def tokens(self) -> int:
        """Target positions written so far, T."""
        return self.ids.size(-1)

    def newest(self) -> Tensor:
        """The id that each sample read last, [B * N]; of one that has ended, any."""
        if self.tokens == 0:
            return torch.full((self.totals.numel(),), BOS, device=self.totals.device)
        return self.ids[:, :, -1].flatten()

    def numbers(self) -> Tensor:
        """The random numbers of the next position, [B, N]."""
        if self.tokens == self.uniform.size(-1):
            self.uniform = self._uniforms(max(FIRST_NUMBERS, 2 * self.tokens))
        return self.uniform[:, :, self.tokens].to(self.totals.device)

    def _uniforms(self, most: int) -> Tensor:
        """The first random numbers of all that runs, no more than can be needed, [B, N, T]."""
        count = min(most, max(self.limits[n] for n in self.running))
        each = [
            [uniforms(count, self.seed, number, self.sources[n]) for number in self.which]
            for n in self.running
        ]
        return torch.tensor(each, dtype=torch.double)

    def advance(self, ids: Tensor, log_probabilities: Tensor) -> Tensor:
        """Take one step.

        Args:
            ids: what was drawn, [B, N].
            log_probabilities: of what was drawn, [B, N].

        Returns:
            Which of the old rows the new rows continue, [B' * N].
        """
        self.totals = self.totals + log_probabilities.masked_fill(~self.runs, 0.0)
        self.ids = torch.cat([self.ids, ids.unsqueeze(-1)], dim=-1)  # [B, N, T]
        at_limit = torch.tensor([self.limits[n] <= self.tokens for n in self.running], device=ids.device)
        leaves = self.runs & ((ids == EOS) | at_limit.unsqueeze(1))  # [B, N]
        self._record(leaves)
        self.runs = self.runs & ~leaves
        stay = self.runs.any(1).nonzero().squeeze(1)  # [B']
        old = torch.arange(ids.numel(), device=ids.device).view_as(ids)[stay].flatten()
        left = stay.tolist()
        self.running, self.uniform = [self.running[row] for row in left], self.uniform[left]
        self.totals, self.runs, self.ids = self.totals[stay], self.runs[stay], self.ids[stay]
        return old

    def _record(self, leaves: Tensor) -> None:
        rows = leaves.nonzero()[:, 0].tolist()
        for row, ids, total in zip(
            rows, self.ids[leaves].tolist(), self.totals[leaves].tolist(), strict=True
        ):
            finished = ids[-1] == EOS
            score = score_of(total, self.tokens, self.settings)
            kept = tuple(ids[:-1] if finished else ids)
            self.found[self.running[row]].append(Hypothesis(kept, total, score, finished))
