"""Where a search stands: the hypotheses that run, those that have ended, and the sentences that are done."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.search.length import length_penalty
from mtkit.search.step import Candidates
from mtkit.subword.vocabulary import BOS, EOS


class Beams:
    """The beams of a batch of sentences, all at the same step.

    Each sentence has `beam_size` places. A hypothesis that ends with EOS leaves and takes its place with it;
    the others go on in the places that are left. A sentence is done

    - when no place is left, or
    - when `n_best` hypotheses have ended and none that runs can still score better than the worst of them:
      a log probability only falls, so its best possible score divides it by the largest penalty, that of the
      length limit, or
    - at its length limit; what runs then is returned unfinished.

    With `beam_size` 1 this is greedy search.

    Args:
        limits: most target tokens of each sentence, EOS counted.
        settings: beam size N, n-best and length penalty.
        device: where the model is.
    """

    def __init__(self, limits: Sequence[int], settings: SearchSettings, device: torch.device) -> None:
        count = len(limits)
        self.settings = settings
        self.limits = limits
        self.ended: list[list[Hypothesis]] = [[] for _ in limits]
        self.tokens = 0  # target positions written so far
        self.running = list(range(count))  # sentences that are not done; the rows of all that follows
        self.free = torch.full((count,), settings.beam_size, device=device)  # [B]
        self.totals = torch.full((count, settings.beam_size), -torch.inf, device=device)  # [B, N]
        self.totals[:, 0] = 0.0  # all hypotheses are alike at first: one runs
        self.ids = torch.empty((count, settings.beam_size, 0), dtype=torch.long, device=device)  # [B, N, T]

    def newest(self) -> Tensor:
        """The id that each hypothesis read last, [B * N]."""
        if self.tokens == 0:
            return torch.full((self.totals.numel(),), BOS, device=self.totals.device)
        return self.ids[:, :, -1].flatten()

    def advance(self, candidates: Candidates) -> Tensor:
        """Take one step.

        Args:
            candidates: the `beam_size` best continuations of each sentence that runs.

        Returns:
            Which of the old rows (hypotheses of all sentences) the new rows continue, [B' * N].
        """
        self.tokens += 1
        past = self.ids.gather(1, candidates.parents.unsqueeze(-1).expand(-1, -1, self.tokens - 1))
        self.ids = torch.cat([past, candidates.ids.unsqueeze(-1)], dim=-1)  # [B, N, T]
        ranks = torch.arange(self.totals.size(1), device=self.totals.device)
        placed = (ranks < self.free.unsqueeze(1)) & candidates.totals.isfinite()  # [B, N]
        ends = placed & (candidates.ids == EOS)  # [B, N]
        self._record(ends, candidates.totals, finished=True)
        self.free = self.free - ends.sum(1)
        self.totals = candidates.totals.masked_fill(~placed | ends, -torch.inf)
        return self._leave(candidates.parents)

    def results(self) -> list[list[Hypothesis]]:
        """The n best hypotheses of each sentence, best first."""
        return [best_first(found)[: self.settings.n_best] for found in self.ended]

    def _record(self, which: Tensor, totals: Tensor, *, finished: bool) -> None:
        """Note the hypotheses at `which` [B, N] as ended."""
        places = which.nonzero().tolist()
        if not places:
            return
        penalty = length_penalty(self.tokens, self.settings.length_penalty)
        all_ids, values = self.ids[which].tolist(), totals[which].tolist()
        for (row, _), ids, total in zip(places, all_ids, values, strict=True):
            kept = tuple(ids[:-1] if finished else ids)
            self.ended[self.running[row]].append(Hypothesis(kept, total, total / penalty, finished))

    def _leave(self, parents: Tensor) -> Tensor:
        """Let the sentences that are done leave; the old rows of those that stay, [B' * N]."""
        bests = self.totals.amax(1).tolist()
        done = [self._is_done(n, best) for n, best in zip(self.running, bests, strict=True)]
        old = (
            torch.arange(len(done), device=parents.device).unsqueeze(1) * parents.size(1) + parents
        )  # [B, N]
        if not any(done):
            return old.flatten()
        at_limit = [self.limits[n] <= self.tokens for n in self.running]
        cut = torch.tensor(at_limit, device=parents.device).unsqueeze(1) & self.totals.isfinite()  # [B, N]
        self._record(cut, self.totals, finished=False)
        stay = torch.tensor([row for row, gone in enumerate(done) if not gone], dtype=torch.long)
        stay = stay.to(parents.device)
        self.running = [self.running[row] for row in stay.tolist()]
        self.free, self.totals, self.ids = self.free[stay], self.totals[stay], self.ids[stay]
        return old[stay].flatten()

    def _is_done(self, number: int, best_running: float) -> bool:
        limit = self.limits[number]
        if best_running == -torch.inf or self.tokens >= limit:
            return True
        ended, wanted = self.ended[number], self.settings.n_best
        if len(ended) < wanted:
            return False
        worst = sorted((found.score for found in ended), reverse=True)[wanted - 1]
        return best_running / length_penalty(limit, self.settings.length_penalty) <= worst
