"""What decoding step by step remembers: keys and values of self-attention, and of the source."""

import torch
from torch import Tensor

FIRST_CAPACITY = 16  # target positions; doubled whenever they are used up


class Cache:
    """Keys and values of all decoder layers; rows are hypotheses, the N of a sentence side by side.

    What a row has read lies in one piece, whatever the layer, so that reordering the beam is one copy of the
    used part. It goes to and fro between two tensors: asking the system for fresh memory each time costs
    five times the copy itself (measured at 330 rows). Keys and values of the source exist once a sentence
    and are shared by its hypotheses.

    Attributes:
        past: self-attention, [R, C, L, 2, G, K] with R = B * N and capacity C; 2 is (keys, values).
        source: cross-attention, [B, L, 2, G, S, K].
        may_attend: True at source tokens, [B, 1, 1, S], or None if nothing is padding.
        length: target positions written so far.
    """

    def __init__(self, source: Tensor, may_attend: Tensor | None) -> None:
        self.source = source
        self.may_attend = may_attend
        self.length = 0
        sentences, layers, two, kv_heads, _, head_dim = source.shape
        self.past = source.new_empty(sentences, FIRST_CAPACITY, layers, two, kv_heads, head_dim)
        self._spare: Tensor | None = None  # the other of the two tensors, at least as large

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
        capacity = self.past.size(1)
        if self.length < capacity:
            return
        wider = self.past.new_empty(self.rows, 2 * capacity, *self.past.shape[2:])
        wider[:, :capacity] = self.past
        self.past, self._spare = wider, None

    def expand(self, count: int) -> None:
        """Turn each row into `count` rows side by side: N becomes N * count."""
        self.past, self._spare = self.past.repeat_interleave(count, dim=0), None

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may come several times.

        Args:
            rows: old row numbers, [R']. The rows of a sentence must stay side by side and N in number: beams
                are reordered inside their sentence, and sentences leave whole.
        """
        if rows.numel() == self.rows and _is_range(rows):
            return
        count = self.hypotheses
        self._reorder(rows)
        sentences = rows[::count] // count  # [B']
        if sentences.numel() != self.source.size(0) or not _is_range(sentences):
            self.source = self.source.index_select(0, sentences)
            if self.may_attend is not None:
                self.may_attend = self.may_attend.index_select(0, sentences)

    def _reorder(self, rows: Tensor) -> None:
        if self._spare is None or self._spare.size(0) < rows.numel():
            self._spare = torch.empty_like(self.past)
        used = self.length * self.past[0, 0].numel() if self.rows else 0
        target = self._spare[: rows.numel()]
        torch.index_select(self.past.flatten(1)[:, :used], 0, rows, out=target.flatten(1)[:, :used])
        self.past, self._spare = target, self.past


def _is_range(numbers: Tensor) -> bool:
    return torch.equal(numbers, torch.arange(numbers.numel(), device=numbers.device))
