"""Which continuations are forbidden: lengths, beginnings, repetitions, banned pieces and texts.

A continuation that is forbidden gets -inf and keeps its share of probability, so that a hypothesis has the
log probability that the model gives it. Ending is never forbidden where nothing else is left to say.

Repetitions alone leave their share to the rest, as with CTranslate2, which has to find the same: beams are
followed so, and what they find is scored as the model would (`beam.py`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.search.banned import Automaton, automaton
from mtkit.search.demands import Demands
from mtkit.search.length import least_length
from mtkit.search.state import Beams
from mtkit.subword.vocabulary import EOS


class Constraints:
    """What a batch of sentences may not say next.

    Args:
        source_tokens: of each sentence, without EOS.
        limits: most target tokens of each, EOS counted.
        settings: least lengths and repetition.
        demands: prefixes of these sentences, and what is banned.
        device: where the model is.
    """

    def __init__(
        self,
        source_tokens: Sequence[int],
        limits: Sequence[int],
        settings: SearchSettings,
        demands: Demands,
        device: torch.device,
    ) -> None:
        # at the limit a hypothesis may end, or nothing could
        self.least = [
            min(least_length(count, settings), limit)
            for count, limit in zip(source_tokens, limits, strict=True)
        ]
        self.ngram = settings.no_repeat_ngram
        self.prefixes = [demands.prefix(number) for number in range(len(limits))]
        self.longest_prefix = max(map(len, self.prefixes), default=0)
        self.ids: Tensor | None = None
        self.texts: Automaton | None = None
        if demands.banned is not None and demands.banned.ids:
            self.ids = torch.tensor(demands.banned.ids, device=device)
        if demands.banned is not None and demands.banned.texts:
            self.texts = automaton(demands.banned, device)

    @property
    def any(self) -> bool:
        """True if anything is ever forbidden."""
        return bool(self.bans or self.longest_prefix or any(least > 1 for least in self.least))

    @property
    def bans(self) -> bool:
        """True if pieces, texts or repetitions are forbidden."""
        return bool(self.ngram or self.ids is not None or self.texts is not None)

    def shape(self, beams: Beams) -> Callable[[Tensor], None] | None:
        """What `best_candidates` forbids at the step where beams stand; None where nothing ever is."""
        if not self.any:
            return None
        return lambda scores: self.apply(scores, beams.ids[:, : scores.size(1)], beams.running)

    def forbid(self, scores: Tensor, ids: Tensor, running: Sequence[int]) -> None:
        """Set to -inf what may not come next.

        Args:
            scores: of every continuation, [B, N, V]; changed in place.
            ids: what the hypotheses say so far, [B, N, T].
            running: which sentences the rows are.
        """
        early = [ids.size(-1) + 1 < self.least[n] for n in running]
        if not (self.bans or any(early)):
            return
        ends = scores[..., EOS].clone()
        if self.ids is not None:
            scores[..., self.ids] = -torch.inf
        if self.ngram:
            before = scores.logsumexp(-1, keepdim=True)  # [B, N, 1]
            forbid_repeats(scores, ids, self.ngram)
            left = scores.logsumexp(-1, keepdim=True)
            scores += torch.where(left.isneginf(), 0.0, before - left)
        if self.texts is not None:
            scores.masked_fill_(self.texts.completes[self.texts.state(ids)], -torch.inf)
        scores[..., EOS].masked_fill_(
            torch.tensor(early, device=scores.device).unsqueeze(1), -torch.inf
        )  # [B, N]
        if self.bans:  # otherwise there are all other pieces
            stuck = scores.amax(-1).isneginf()  # [B, N]
            scores[..., EOS] = torch.where(stuck, ends, scores[..., EOS])

    def force(self, scores: Tensor, written: int, running: Sequence[int]) -> Tensor:
        """The scores in which nothing but the next id of a prefix is left, where a prefix goes on.

        Args:
            scores: [B, N, V], before anything was forbidden: a prefix stands above all else.
            written: target positions so far, T.
            running: which sentences the rows are.

        Returns:
            True in the rows that were forced, [B].
        """
        forced = [len(self.prefixes[n]) > written for n in running]
        for row, number in enumerate(running):
            if forced[row]:
                wanted = self.prefixes[number][written]
                kept = scores[row, :, wanted].clone()
                scores[row] = -torch.inf
                scores[row, :, wanted] = kept
        return torch.tensor(forced, device=scores.device)

    def apply(self, scores: Tensor, ids: Tensor, running: Sequence[int]) -> None:
        """Leave only what may come next; as `forbid`, but for prefixes that are not at their end."""
        if ids.size(-1) >= self.longest_prefix:
            self.forbid(scores, ids, running)
            return
        free = scores.clone()
        forced = self.force(scores, ids.size(-1), running)
        self.forbid(free, ids, running)
        scores.copy_(torch.where(forced[:, None, None], scores, free))


def forbid_repeats(scores: Tensor, ids: Tensor, length: int) -> None:
    """Forbid what would complete a run of `length` ids that has been there before.

    Args:
        scores: [B, N, V]; changed in place.
        ids: [B, N, T].
        length: of the runs, at least 1.
    Source: Paulus et al. 2018, section 2.5.
    """
    if ids.size(-1) < length:
        return
    runs = ids.unfold(-1, length, 1)  # [B, N, T - length + 1, length]
    last = ids[..., ids.size(-1) - length + 1 :]  # [B, N, length - 1]
    begun = (runs[..., :-1] == last.unsqueeze(2)).all(-1)  # [B, N, T - length + 1]
    would_end = runs[..., -1].masked_fill(~begun, 0)  # PAD, which never comes anyway
    scores.scatter_(-1, would_end, -torch.inf)
