"""Cut sentence pairs, counted by their lengths, into batches with little padding. Nothing here is random.

Pairs of equal lengths on both sides are alike, so the work is done over cells (source length, target length,
number of pairs), of which a large corpus has hardly more than a small one. The cells are cut in two, again
and again, along source or target length, where it promises the least padding, until each part is one batch
or its lengths are so alike that they may be batched in any way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PADDED_PER_BUDGET = 2  # positions of either side, padding included, per token of the budget
CUTS_TRIED = 15  # along each side, for each cut
ALIKE = 0.02  # share of padding up to which pairs may be batched in any way


@dataclass(frozen=True)
class Cells:
    """Some pairs, counted by their lengths.

    Attributes:
        source: source length of each cell.
        target: target length of each cell.
        number: how many pairs of these lengths.
        kind: the cell's number in the whole corpus.
    """

    source: Ints
    target: Ints
    number: Ints
    kind: Ints

    @property
    def pairs(self) -> int:
        """Sentence pairs."""
        return int(self.number.sum())

    @property
    def tokens(self) -> int:
        """Target tokens."""
        return int(self.number @ self.target)

    @property
    def longest(self) -> int:
        """Positions of a pair, both sides together, were this one batch."""
        return int(self.source.max()) + int(self.target.max())

    @property
    def padding(self) -> int:
        """Padded positions of both sides, were this one batch."""
        return self.pairs * self.longest - int(self.number @ (self.source + self.target))

    def take(self, chosen: "slice | Ints", number: Ints) -> "Cells":
        """Some of the cells, with other numbers of pairs."""
        return Cells(self.source[chosen], self.target[chosen], number, self.kind[chosen])

    def cut(self, pairs: int) -> "tuple[Cells, Cells]":
        """The first `pairs` pairs and the others."""
        ends = np.cumsum(self.number)
        cell = int(np.searchsorted(ends, pairs))
        rest = int(ends[cell]) - pairs  # of the cell that is cut through
        head, tail = self.number[: cell + 1].copy(), self.number[cell:].copy()
        head[-1] -= rest
        tail[0] = rest
        first = cell if rest else cell + 1
        return self.take(slice(cell + 1), head), self.take(slice(first, None), tail[first - cell :])


def partition(cells: Cells, batches: int, budget: int | None = None) -> Iterator[tuple[Cells, Ints]]:
    """Cut the cells into parts of one batch, or of several batches of pairs that are much alike.

    Args:
        cells: the pairs; at least as many as batches.
        batches: how many batches to aim at; without a budget there will be just so many.
        budget: most target tokens of a batch, where more batches are made if need be; None: no limit.

    Returns:
        parts, with the sizes, in pairs, of the batches that each part makes in its order.
    """
    waiting = [(cells, batches)]
    while waiting:
        part, wanted = waiting.pop()
        if budget is not None:
            wanted = _needed(part, wanted, budget)
        if wanted == 1 or part.padding <= ALIKE * part.pairs * part.longest:
            yield part, _even_sizes(part, wanted, budget)
        else:
            left, right, left_batches = _best_cut(part, wanted)
            waiting += [(left, left_batches), (right, wanted - left_batches)]


def _needed(part: Cells, wanted: int, budget: int) -> int:
    """How many batches the part takes: 1 if it fits, else what was wanted or more."""
    pairs, tokens, room = part.pairs, part.tokens, PADDED_PER_BUDGET * budget
    padded = pairs * max(int(part.source.max()), int(part.target.max()))
    if pairs == 1 or (tokens <= budget and padded <= room):
        return 1
    least = -(-tokens // budget) if tokens > budget else -(-padded // room)
    return min(max(wanted, least, 2), pairs)


def _even_sizes(part: Cells, batches: int, budget: int | None) -> Ints:
    """Sizes in pairs that differ by one at most, small enough for the budget whatever pairs come together."""
    if budget is not None and batches > 1:
        room = PADDED_PER_BUDGET * budget
        batches = -(
            -part.pairs // max(1, min(budget // int(part.target.max()), room // int(part.source.max())))
        )
    return (part.pairs + np.arange(batches)) // batches


def _best_cut(part: Cells, batches: int) -> tuple[Cells, Cells, int]:
    """The cut in two, along either side, that promises the least padding; with the batches on the left."""
    tried = np.unique(np.linspace(1, batches - 1, min(CUTS_TRIED, batches - 1)).astype(np.int64))
    best: tuple[float, Cells, int, int] | None = None
    for order in (np.lexsort((part.target, part.source)), np.lexsort((part.source, part.target))):
        ordered = part.take(order, part.number[order])
        pairs, padding = _tried_cuts(ordered, tried, batches)
        least = int(np.argmin(padding))
        if best is None or padding[least] < best[0]:
            best = (float(padding[least]), ordered, int(pairs[least]), int(tried[least]))
    assert best is not None
    _, ordered, left_pairs, left_batches = best
    return *ordered.cut(left_pairs), left_batches


def _tried_cuts(cells: Cells, tried: Ints, batches: int) -> tuple[Ints, Floats]:
    """For each number of batches on the left: where to cut, in pairs, and the padding it promises."""
    number, target = cells.number, cells.target
    ends, token_ends = np.cumsum(number), np.cumsum(number * target)
    goals = token_ends[-1] * tried // batches
    cell = np.searchsorted(token_ends, goals)
    inside = (goals - (token_ends[cell] - number[cell] * target[cell]) + target[cell] // 2) // target[cell]
    # Each batch needs a pair.
    pairs = np.clip(ends[cell] - number[cell] + inside, tried, ends[-1] - (batches - tried))
    cell = np.searchsorted(ends, pairs)  # the cell of the last pair on the left
    rest = ends[cell] - pairs
    first = np.where(rest > 0, cell, cell + 1)  # the cell of the first pair on the right
    left, right = [], []
    for lengths in (cells.source, target):
        sums = np.cumsum(number * lengths)
        left_sum = sums[cell] - rest * lengths[cell]
        longest_so_far = np.maximum.accumulate(lengths)
        longest_from_here = np.maximum.accumulate(lengths[::-1])[::-1]
        left.append(pairs * longest_so_far[cell] - left_sum)
        right.append((ends[-1] - pairs) * longest_from_here[first] - (sums[-1] - left_sum))
    return pairs, _promised(left, tried) + _promised(right, batches - tried)


def _promised(padding: list[Ints], batches: Ints) -> Floats:
    """About how much padding is left when a part is cut into a grid of batches.

    Args:
        padding: of the source and of the target, were the part one batch.
        batches: how many batches the part will be cut into.
    """
    # A side's padding shrinks with the number of columns (rows); the best grid leaves both sides the same.
    source, target = padding[0].astype(np.float64), padding[1].astype(np.float64)
    columns = np.clip(np.sqrt(batches * source / np.maximum(target, 1e-9)), 1.0, batches)
    return np.asarray(source / columns + target * columns / batches)
