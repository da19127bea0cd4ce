"""Where a search stands: the hypotheses that run, those that have ended, and the sentences that are done."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis, best_first, most_ended, most_probable
from mtkit.search.length import score_of
from mtkit.search.step import Candidates, first_of_best
from mtkit.subword.vocabulary import BOS, EOS


class Beams:
    """The beams of a batch of sentences, all at the same step.

    Of the best 2N continuations of a sentence (N is `beam_size`) those among the first N that end with EOS
    have ended, and the first N that do not end go on: the beam keeps its width. That is how fairseq and
    CTranslate2 search, so that all engines find the same. A sentence is done

    - when 2N hypotheses have ended (with N = 1, the first); if more have, the 2N most probable are kept, or
    - when `n_best` hypotheses have ended and none that runs can still score better than the worst of them:
      a log probability only falls, so its best possible score is that of the length limit, or
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
            candidates: the 2N best continuations of each sentence that runs (fewer if there are no more).

        Returns:
            Which of the old rows (hypotheses of all sentences) the new rows continue, [B' * N].
        """
        self.tokens += 1
        size = self.totals.size(1)
        past = self.ids.gather(1, candidates.parents.unsqueeze(-1).expand(-1, -1, self.tokens - 1))
        ids = torch.cat([past, candidates.ids.unsqueeze(-1)], dim=-1)  # [B, 2N, T]
        ends = candidates.ids == EOS  # [B, 2N]
        at_limit = torch.tensor([self.limits[n] <= self.tokens for n in self.running], device=ends.device)
        ranks = torch.arange(ends.size(1), device=ends.device)
        leave = (ranks < size) & candidates.totals.isfinite() & (ends | at_limit.unsqueeze(1))  # [B, 2N]
        self._record(candidates.totals[leave].tolist(), ids[leave].tolist(), leave.nonzero()[:, 0].tolist())
        self.totals, order = first_of_best(candidates.totals.masked_fill(ends, -torch.inf), size)  # [B, N]
        self.ids = ids.gather(1, order.unsqueeze(-1).expand(-1, -1, self.tokens))  # [B, N, T]
        return self._leave(candidates.parents.gather(1, order))

    def results(self) -> list[list[Hypothesis]]:
        """The n best hypotheses of each sentence, best first."""
        most, count = most_ended(self.settings), self.settings.n_best
        return [best_first(most_probable(found, most))[:count] for found in self.ended]

    def _record(self, totals: list[float], all_ids: list[list[int]], rows: list[int]) -> None:
        """Note hypotheses that have ended or were cut off, and the rows of their sentences."""
        for total, ids, row in zip(totals, all_ids, rows, strict=True):
            finished = ids[-1] == EOS
            kept = tuple(ids[:-1] if finished else ids)
            score = score_of(total, self.tokens, self.settings)
            self.ended[self.running[row]].append(Hypothesis(kept, total, score, finished))

    def _leave(self, parents: Tensor) -> Tensor:
        """Let the sentences that are done leave; the old rows of those that stay, [B' * N]."""
        bests = self.totals.amax(1).tolist()
        done = [self._is_done(n, best) for n, best in zip(self.running, bests, strict=True)]
        old = (
            torch.arange(len(done), device=parents.device).unsqueeze(1) * self.totals.size(1) + parents
        )  # [B, N]
        if not any(done):
            return old.flatten()
        stay = torch.tensor([row for row, gone in enumerate(done) if not gone], dtype=torch.long)
        stay = stay.to(parents.device)
        self.running = [self.running[row] for row in stay.tolist()]
        self.totals, self.ids = self.totals[stay], self.ids[stay]
        return old[stay].flatten()

    def _is_done(self, number: int, best_running: float) -> bool:
        limit = self.limits[number]
        if best_running == -torch.inf or self.tokens >= limit:
            return True
        ended, wanted = self.ended[number], self.settings.n_best
        if len(ended) < wanted:
            return False
        if len(ended) >= most_ended(self.settings):
            return True
        worst = sorted((found.score for found in ended), reverse=True)[wanted - 1]
        return score_of(best_running, limit, self.settings) <= worst
