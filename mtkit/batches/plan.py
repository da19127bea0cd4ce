"""Which sentence pairs form a batch: by their lengths, under a token budget. Knows no ids and no tensors.

Pairs of equal lengths on both sides are alike, so the plan is made over cells (source length, target length,
number of pairs), of which a large corpus has no more than a small one. The cells are cut in two, again and
again, along source or target length, where it promises the least padding, until each part fits into a batch
or its lengths are so alike that they may be batched in any way. Then each cell's pairs are dealt at random.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.randomness import raw

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Batches are aimed at a little less than the budget, because whole sentences do not add up to it exactly; the
# aim moves within these limits from epoch to epoch, so that the same neighbours do not meet each time.
LEAST_AIM, MOST_AIM = 0.94, 0.97
PADDED_PER_BUDGET = 2  # positions of either side, padding included, per token of the budget
CUTS_TRIED = 15  # along each side, for each cut
ALIKE = 0.02  # share of padding up to which pairs may be batched in any way


def plan_epoch(
    source_lengths: NDArray[np.integer],
    target_lengths: NDArray[np.integer],
    batch_tokens: int,
    seed: int,
    epoch: int,
) -> list[NDArray[np.int64]]:
    """The batches of one epoch in the order in which they are to be seen; every pair is in exactly one.

    A batch holds at most `batch_tokens` target tokens (padding not counted), and at most twice as many
    positions on either side (padding counted), which bounds its memory. A pair that is longer than that is a
    batch of its own.

    Args:
        source_lengths: tokens of each source, EOS counted. [pairs]
        target_lengths: tokens of each target, EOS counted. [pairs]
        batch_tokens: most target tokens of a batch, EOS counted.
        seed: the recipe's seed.
        epoch: from 0.

    Returns:
        for each batch the numbers of its pairs, from 0, those of equal lengths side by side.
    """
    if not len(source_lengths):
        return []
    aim_noise, order_seed = raw(2, seed, epoch)
    aim = LEAST_AIM + (MOST_AIM - LEAST_AIM) * float(aim_noise >> np.uint64(11)) / 2**53
    width = int(target_lengths.max()) + 1
    kinds = source_lengths.astype(np.int64) * width + target_lengths
    numbers = np.bincount(kinds)
    cells = np.flatnonzero(numbers)
    parts = list(_partition(_Cells(cells // width, cells % width, numbers[cells], cells), batch_tokens, aim))
    dealt = _deal([part for part, _ in parts], _shuffled_by_kind(kinds, seed, epoch))
    ends = np.cumsum(np.concatenate([sizes for _, sizes in parts]))
    batches = np.split(dealt, ends[:-1])
    order = np.argsort(raw(len(batches), int(order_seed)), kind="stable")
    return [batches[index] for index in order]


@dataclass(frozen=True)
class _Cells:
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
        return int(self.number.sum())

    @property
    def tokens(self) -> int:
        """Target tokens."""
        return int(self.number @ self.target)

    @property
    def padding(self) -> int:
        """Padded positions of both sides, were this one batch."""
        longest = int(self.source.max()) + int(self.target.max())
        return self.pairs * longest - int(self.number @ (self.source + self.target))

    def take(self, chosen: "slice | Ints", number: Ints) -> "_Cells":
        return _Cells(self.source[chosen], self.target[chosen], number, self.kind[chosen])

    def cut(self, pairs: int) -> "tuple[_Cells, _Cells]":
        """The first `pairs` pairs and the others."""
        ends = np.cumsum(self.number)
        cell = int(np.searchsorted(ends, pairs))
        rest = int(ends[cell]) - pairs  # of the cell that is cut through
        head, tail = self.number[: cell + 1].copy(), self.number[cell:].copy()
        head[-1] -= rest
        tail[0] = rest
        first = cell if rest else cell + 1
        return self.take(slice(cell + 1), head), self.take(slice(first, None), tail[first - cell :])


def _partition(cells: _Cells, budget: int, aim: float) -> Iterator[tuple[_Cells, Ints]]:
    """Cut the cells into parts, with the sizes, in pairs, of the batches that each part makes."""
    room = PADDED_PER_BUDGET * budget
    waiting = [(cells, int(np.ceil(cells.tokens / (budget * aim))))]
    while waiting:
        part, batches = waiting.pop()
        pairs, tokens = part.pairs, part.tokens
        source, target = int(part.source.max()), int(part.target.max())
        padded = pairs * max(source, target)
        if pairs == 1 or (tokens <= budget and padded <= room):
            yield part, np.array([pairs])
        elif part.padding <= ALIKE * pairs * (source + target):
            most = max(1, min(budget // target, room // source))
            yield part, _even_sizes(pairs, -(-pairs // most))
        else:
            needed = -(-tokens // budget) if tokens > budget else -(-padded // room)
            left, right, left_batches, right_batches = _best_cut(part, max(batches, needed, 2))
            waiting += [(left, left_batches), (right, right_batches)]


def _even_sizes(pairs: int, batches: int) -> Ints:
    """Sizes that differ by one at most."""
    return (pairs + np.arange(batches)) // batches


def _best_cut(part: _Cells, batches: int) -> tuple[_Cells, _Cells, int, int]:
    """The cut in two, along either side, that promises the least padding; with the batches of each half."""
    tried = np.unique(np.linspace(1, batches - 1, min(CUTS_TRIED, batches - 1)).astype(np.int64))
    best: tuple[float, _Cells, int, int] | None = None
    for order in (np.lexsort((part.target, part.source)), np.lexsort((part.source, part.target))):
        ordered = part.take(order, part.number[order])
        pairs, padding = _tried_cuts(ordered, tried, batches)
        least = int(np.argmin(padding))
        if best is None or padding[least] < best[0]:
            best = (float(padding[least]), ordered, int(pairs[least]), int(tried[least]))
    assert best is not None
    _, ordered, left_pairs, left_batches = best
    left, right = ordered.cut(left_pairs)
    return left, right, left_batches, batches - left_batches


def _tried_cuts(cells: _Cells, tried: Ints, batches: int) -> tuple[Ints, Floats]:
    """For each number of batches on the left: where to cut, in pairs, and the padding it promises."""
    number, target = cells.number, cells.target
    ends, token_ends = np.cumsum(number), np.cumsum(number * target)
    goals = token_ends[-1] * tried // batches
    cell = np.searchsorted(token_ends, goals)
    inside = (goals - (token_ends[cell] - number[cell] * target[cell]) + target[cell] // 2) // target[cell]
    pairs = np.clip(ends[cell] - number[cell] + inside, 1, ends[-1] - 1)
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


def _shuffled_by_kind(kinds: Ints, seed: int, epoch: int) -> Ints:
    """The pairs sorted by kind, those of one kind in random order."""
    kind_bits = int(kinds.max()).bit_length()
    noise = raw(len(kinds), seed, epoch, 1) >> np.uint64(kind_bits)
    keys = kinds.astype(np.uint64) << np.uint64(64 - kind_bits) | noise
    return np.argsort(keys, kind="stable")


def _deal(parts: list[_Cells], shuffled: Ints) -> Ints:
    """The pairs of all parts one after the other: of each kind the next ones that are left."""
    kind = np.concatenate([part.kind for part in parts])
    number = np.concatenate([part.number for part in parts])
    by_kind = np.argsort(kind, kind="stable")
    ends = np.cumsum(number[by_kind])
    starts = np.empty_like(number)
    # Sorted by kind, the shares of all parts lie in `shuffled` one behind the other.
    starts[by_kind] = ends - number[by_kind]
    assert int(ends[-1]) == len(shuffled), "every pair is dealt once"
    before = np.cumsum(number) - number
    return np.asarray(shuffled[np.repeat(starts - before, number) + np.arange(len(shuffled))])
