"""Which sentence pairs form a batch, and in which order: decided by their lengths and a seed.

`partition.py` says how many pairs of which lengths go together; here they are dealt at random. No ids, no
tensors.
"""

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.partition import Cells, Ints, partition
from mtkit.batches.randomness import raw

# Batches are aimed at a little less than the budget, because whole sentences do not add up to it exactly; the
# aim moves within these limits from epoch to epoch, so that the same neighbours do not meet each time.
LEAST_AIM, MOST_AIM = 0.94, 0.97


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
    noise = float(raw(1, seed, epoch)[0] >> np.uint64(11)) / 2**53  # [0, 1)
    aim = batch_tokens * (LEAST_AIM + (MOST_AIM - LEAST_AIM) * noise)
    batches = min(int(np.ceil(target_lengths.sum(dtype=np.int64) / aim)), len(source_lengths))
    return _dealt(source_lengths, target_lengths, batches, batch_tokens, (seed, epoch))


def plan_group(
    source_lengths: NDArray[np.integer], target_lengths: NDArray[np.integer], batches: int, *key: int
) -> list[NDArray[np.int64]]:
    """Just so many batches of about as many target tokens each, in random order.

    Args:
        source_lengths: tokens of each source, EOS counted. [pairs]
        target_lengths: tokens of each target, EOS counted. [pairs]
        batches: how many; at most as many as pairs.
        key: decides what is random.
    """
    return _dealt(source_lengths, target_lengths, batches, None, key)


def _dealt(
    source_lengths: NDArray[np.integer],
    target_lengths: NDArray[np.integer],
    batches: int,
    budget: int | None,
    key: tuple[int, ...],
) -> list[NDArray[np.int64]]:
    """Batches with random pairs of the lengths that the partition says, in random order."""
    width = int(target_lengths.max()) + 1
    kinds = source_lengths.astype(np.int64) * width + target_lengths
    numbers = np.bincount(kinds)
    present = np.flatnonzero(numbers)
    cells = Cells(present // width, present % width, numbers[present], present)
    parts = list(partition(cells, batches, budget))
    dealt = _deal([part for part, _ in parts], _shuffled_by_kind(kinds, raw(len(kinds), *key, 1)))
    ends = np.cumsum(np.concatenate([sizes for _, sizes in parts]))
    made = np.split(dealt, ends[:-1])
    return [made[index] for index in np.argsort(raw(len(made), *key, 2), kind="stable")]


def _shuffled_by_kind(kinds: Ints, noise: NDArray[np.uint64]) -> Ints:
    """The pairs sorted by kind, those of one kind in random order."""
    kind_bits = int(kinds.max()).bit_length()
    keys = kinds.astype(np.uint64) << np.uint64(64 - kind_bits) | noise >> np.uint64(kind_bits)
    return np.argsort(keys, kind="stable")


def _deal(parts: list[Cells], shuffled: Ints) -> Ints:
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
