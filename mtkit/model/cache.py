"""What decoding step by step remembers: keys and values of self-attention, and of the source."""

import torch
from torch import Tensor

FIRST_CAPACITY = 16  # target positions; doubled whenever they are used up


class Cache:
    """Keys and values of all decoder layers; rows are hypotheses, the N of a sentence side by side.

    Keys and values of all layers lie in one tensor, so that reordering the beam is one copy. Those of the
    source exist once a sentence and are shared by its hypotheses.

    Attributes:
        past: self-attention, [R, L, 2, G, C, K] with R = B * N and capacity C; 2 is (keys, values).
        source: cross-attention, [B, L, 2, G, S, K].
        may_attend: True at source tokens, [B, 1, 1, S], or None if nothing is padding.
        length: target positions written so far.
    """

    def __init__(self, source: Tensor, may_attend: Tensor | None) -> None:
        self.source = source
        self.may_attend = may_attend
        self.length = 0
        sentences, layers, two, kv_heads, _, head_dim = source.shape
        self.past = source.new_empty(sentences, layers, two, kv_heads, FIRST_CAPACITY, head_dim)

    @property
    def rows(self) -> int:
        """R, the number of hypotheses."""
        return self.past.size(0)

    @property
    def hypotheses(self) -> int:
        """N, the number of hypotheses of each sentence."""
        return self.rows // max(1, self.source.size(0))

    def make_room(self) -> None:
        """Make sure that one more position can be written."""
        capacity = self.past.size(4)
        if self.length < capacity:
            return
        wider = self.past.new_empty(*self.past.shape[:4], 2 * capacity, self.past.size(5))
        wider[..., :capacity, :] = self.past
        self.past = wider

    def expand(self, count: int) -> None:
        """Turn each row into `count` rows side by side: N becomes N * count."""
        self.past = self.past.repeat_interleave(count, dim=0)

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may come several times.

        Args:
            rows: old row numbers, [R']. The rows of a sentence must stay side by side and N in number: beams
                are reordered inside their sentence, and sentences leave whole.
        """
        if rows.numel() == self.rows and _is_range(rows):
            return
        count = self.hypotheses
        self.past = self.past.index_select(0, rows)
        sentences = rows[::count] // count  # [B']
        if sentences.numel() != self.source.size(0) or not _is_range(sentences):
            self.source = self.source.index_select(0, sentences)
            if self.may_attend is not None:
                self.may_attend = self.may_attend.index_select(0, sentences)


def _is_range(numbers: Tensor) -> bool:
    return torch.equal(numbers, torch.arange(numbers.numel(), device=numbers.device))
