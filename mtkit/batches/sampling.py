"""Subword regularisation: training text in another random segmentation each time it is seen.

Sampling changes lengths, so that a plan made of stored lengths would pad a third of all positions. Therefore
the batches of a plan are taken a group at a time: the group's pairs are sampled and batched anew by their
true lengths, into as many batches as before. A group is decided by (seed, epoch, group) alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.plan import plan_group
from mtkit.batches.randomness import seed_of
from mtkit.batches.store import IdStore
from mtkit.config.training import SubwordSampling
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES, Ids, Side

GROUP_BATCHES = 256  # more: less padding, and more to sample again after a seek
SAMPLED_AT_ONCE = 1024  # sentences; bounds memory
EXPECTED_FROM = 2048  # pairs of the corpus from which the growth of sentences is measured


class Pairs(NamedTuple):
    """The ids of some sentence pairs, without BOS and EOS, and which pairs of the store they are."""

    sources: Sequence[Ids]
    targets: Sequence[Ids]
    numbers: NDArray[np.int64]


def lengths(sentences: Sequence[Ids]) -> NDArray[np.int64]:
    """Tokens of each sentence, EOS counted."""
    return np.array([len(ids) + 1 for ids in sentences], dtype=np.int64)


class SampledPairs:
    """The pairs of a store in random segmentations.

    Args:
        store: the pairs, in their best segmentation.
        subword: the vocabularies that the ids are of.
        sampling: how far to stray, and on which sides.
        max_tokens: where a sampled side is cut off, EOS counted.
        seed: the recipe's seed.

    Raises:
        RecipeError: the sampling does not fit the vocabularies.
    """

    def __init__(
        self, store: IdStore, subword: Subword, sampling: SubwordSampling, max_tokens: int, seed: int
    ) -> None:
        subword.check_sampling(sampling)
        self._store, self._subword, self._sampling = store, subword, sampling
        self._max_tokens, self._seed = max_tokens, seed

    def growth(self) -> float:
        """Target tokens of sampled sentences per token of the same sentences as stored; measured on some."""
        count = min(EXPECTED_FROM, len(self._store))
        pairs = np.arange(count, dtype=np.int64) * len(self._store) // count
        sampled = self._side(pairs, "target", (self._seed,))
        return int(lengths(sampled).sum()) / int(self._store.target_lengths[pairs].sum())

    def group(self, batches: list[NDArray[np.int64]], epoch: int, group: int) -> list[Pairs]:
        """The pairs of some batches, sampled, in as many batches of other pairs."""
        numbers = np.concatenate(batches)
        key = (self._seed, epoch, group)
        sources, targets = (self._side(numbers, side, key) for side in SIDES)
        return [
            Pairs([sources[index] for index in chosen], [targets[index] for index in chosen], numbers[chosen])
            for chosen in plan_group(lengths(sources), lengths(targets), len(batches), *key)
        ]

    def _side(self, pairs: NDArray[np.int64], side: Side, key: tuple[int, ...]) -> Sequence[Ids]:
        if self._sampling.sides not in (side, "both"):
            return self._store.ids(pairs, side)
        sampled: list[Ids] = []
        for start in range(0, len(pairs), SAMPLED_AT_ONCE):
            ids = self._store.ids(pairs[start : start + SAMPLED_AT_ONCE], side)
            # The text comes from the ids: decoding what was encoded gives it back exactly.
            texts = self._subword.decode_all(ids, side)
            seed = seed_of(*key, SIDES.index(side), start)
            for one in self._subword.sample(texts, side, self._sampling, seed):
                sampled.append(np.array(one[: self._max_tokens - 1], dtype=np.int32))
        return sampled
