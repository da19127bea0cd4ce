"""What decoding step by step remembers: keys and values of self-attention, and of the source."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.model.attention import for_each_group

LOOKS = 4  # steps from one look for places that nobody sees to the next
WORTH_KEEPING = 0.75  # of the places, so that giving up the others is not worth the copying
FIRST_CAPACITY = 16  # places of a hypothesis; more are made whenever they are used up


class Alone(NamedTuple):
    """What a layer remembers of sentences with one hypothesis each, as a step on a CPU reads it.

    Attributes:
        past: keys and values of self-attention, [2, C, B * G, K].
        keys: of the source, [B * G, K, S].
        values: of the source, [B * G, S, K].
        padding: 0 at source tokens, -inf elsewhere, [B * G, 1, S], or None if nothing is padding.
    """

    past: Tensor
    keys: Tensor
    values: Tensor
    padding: Tensor | None


class Cache:
    """Keys and values of all decoder layers; rows are hypotheses, the N of a sentence side by side.

    What a hypothesis has read stays where it was written: in one of the places of its sentence, which all of
    its hypotheses share as they share the source. Who may see which place is a table. So reordering a beam
    moves a few booleans and no keys and values, which were the greater part of a step (docs/log.md). Places
    that no hypothesis sees any more, which cost as much as the others, are given up every few steps.

    Attributes:
        past: self-attention of each layer, [B, C, N, 2, G, K] with capacity C; 2 is (keys, values).
        source: cross-attention of each layer, [L, 2, B, G, S, K].
        padding: 0 at source tokens, -inf elsewhere, [B, 1, 1, S], or None if nothing is padding.
        length: target positions written so far.
        used: places of `past` that are taken, of C; fewer than `length` where some were given up.
    """

    def __init__(self, source: Tensor, may_attend: Tensor | None) -> None:
        self.source = source
        self.padding: Tensor | None = None
        if may_attend is not None:
            zeros = source.new_zeros(may_attend.shape)
            self.padding = zeros.masked_fill(~may_attend, -torch.inf)
        self.length = self.used = 0
        self._looks_at = LOOKS
        self.past: list[Tensor] = []
        self._sees = source.new_empty(0, dtype=torch.bool)  # [B, N, C * N]
        self._spare: Tensor | None = None  # memory of one layer, for copies
        self._alone: list[Alone] | None = None  # views that are made once for many steps
        self.expand(1)

    @property
    def rows(self) -> int:
        """R, the number of hypotheses."""
        return self.past[0].size(0) * self.hypotheses

    @property
    def hypotheses(self) -> int:
        """N, the number of hypotheses of each sentence."""
        return self.past[0].size(2)

    @property
    def seen(self) -> Tensor | None:
        """Which places a hypothesis sees, [B, 1, N, (used + 1) * N]; None: all."""
        if self.hypotheses == 1:
            return None
        return self._sees[:, None, :, : (self.used + 1) * self.hypotheses]

    def alone(self) -> list[Alone]:
        """What each layer remembers, where each sentence has one hypothesis."""
        if self._alone is None:
            groups = self.source.size(3)
            padding = None if self.padding is None else for_each_group(self.padding, groups)
            self._alone = []
            for past, source in zip(self.past, self.source, strict=True):
                keys, values = source.flatten(1, 2).unbind()  # [B * G, S, K]
                lying = past.permute(3, 1, 0, 2, 4, 5).flatten(2, 4)  # a view: that is how `_room` makes it
                self._alone.append(Alone(lying, keys.mT, values, padding))
        return self._alone

    def expand(self, count: int) -> None:
        """Give each sentence `count` hypotheses for its only one, which has read one position at most."""
        assert self.length <= 1, "at most one position is shared out"
        layers, two, sentences, kv_heads, _, head_dim = self.source.shape
        read, shape = self.past, (sentences, FIRST_CAPACITY, count, two, kv_heads, head_dim)
        self.past = [_room(self.source, shape) for _ in range(layers)]
        self._alone = None
        self._sees = self.source.new_zeros(sentences, count, FIRST_CAPACITY * count, dtype=torch.bool)
        if self.length:
            self._sees[:, :, 0] = True  # of the first N places the others are nobody's, and hold numbers
            for old, new in zip(read, self.past, strict=True):
                new[:, 0] = 0.0
                new[:, 0, 0] = old[:, 0, 0]

    def make_room(self) -> None:
        """Make sure that one more position can be written, in the place `used`, and is seen by its own."""
        capacity = self.past[0].size(1)
        if self.used >= self._looks_at:
            self._give_up()
            self._looks_at = self.used + LOOKS
        if self.used == capacity:
            self.past = [_longer(past, capacity) for past in self.past]
            self._sees = torch.cat([self._sees, torch.zeros_like(self._sees)], dim=2)
            self._spare = self._alone = None
        count = self.hypotheses
        if count == 1:  # it sees all that it wrote
            return
        own = torch.eye(count, dtype=torch.bool, device=self._sees.device)
        self._sees[:, :, self.used * count : (self.used + 1) * count] = own

    def advance(self) -> None:
        """One more position has been written in every layer."""
        self.length += 1
        self.used += 1

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may come several times.

        Args:
            rows: old row numbers, [R']. The rows of a sentence must stay side by side and N in number: beams
                are reordered inside their sentence, and sentences leave whole.
        """
        if rows.numel() == self.rows and _is_range(rows):
            return
        count = self.hypotheses
        sentences = rows[::count] // count  # [B']
        if sentences.numel() != self.source.size(2) or not _is_range(sentences):
            self._keep(sentences)
        if count > 1:
            parents = (rows % count).view(-1, count, 1)  # [B', N, 1]
            self._sees = self._sees.gather(1, parents.expand(-1, -1, self._sees.size(2)))

    def _keep(self, sentences: Tensor) -> None:
        """Let all other sentences leave."""
        self._alone = None
        self.source = self.source.index_select(2, sentences)
        self._sees = self._sees.index_select(0, sentences)
        if self.padding is not None:
            self.padding = self.padding.index_select(0, sentences)
        for layer, past in enumerate(self.past):
            # To and fro between two tensors: fresh memory costs more than the copy itself.
            target = self._other(past)[: sentences.numel()]
            torch.index_select(past[:, : self.used], 0, sentences, out=target[:, : self.used])
            self.past[layer], self._spare = target, past

    def _other(self, past: Tensor) -> Tensor:
        """Memory for a copy of a layer."""
        if self._spare is None or self._spare.size(0) < past.size(0):
            return _room(past, past.shape)
        return self._spare

    def _give_up(self) -> None:
        """Give up the places that nobody sees, if they are many."""
        count = self.hypotheses
        if count == 1 or not self.rows:
            return
        alive = self._sees.any(1)  # [B, C * N]
        kept = -(-int(alive.sum(1).max()) // count)  # places, rounded up
        if kept > WORTH_KEEPING * self.used:
            return
        order = alive.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : kept * count]
        first = torch.arange(0, alive.numel(), alive.size(1), device=order.device)  # [B]
        flat = (order + first.unsqueeze(1)).flatten()  # [B * kept * N]
        for past in self.past:
            left = past.flatten(0, 2).index_select(0, flat)  # [B * kept * N, 2, G, K]
            past[:, :kept] = left.view(past.size(0), kept, *past.shape[2:])
        left = self._sees.gather(2, order.unsqueeze(1).expand(-1, count, -1))  # [B, N, kept * N]
        self._sees.zero_()
        self._sees[:, :, : kept * count] = left
        self.used = kept


def _room(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Room for the past of a layer, [B, C, N, 2, G, K].

    With one hypothesis a sentence, what is written in a step lies together, and so does what one head reads
    in a product of all; with several, it is torch's own attention that reads, a sentence after the other.
    """
    sentences, capacity, count, two, kv_heads, head_dim = shape
    if count > 1:
        return like.new_empty(tuple(shape))
    return like.new_empty(two, capacity, sentences, count, kv_heads, head_dim).permute(2, 1, 3, 0, 4, 5)


def _longer(past: Tensor, capacity: int) -> Tensor:
    """The same with twice the room."""
    longer = _room(past, (past.size(0), 2 * capacity, *past.shape[2:]))
    longer[:, :capacity] = past
    return longer


def _is_range(numbers: Tensor) -> bool:
    return torch.equal(numbers, torch.arange(numbers.numel(), device=numbers.device))
