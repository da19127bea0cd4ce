"""Which split a pair belongs to: decided by a hash of one of its sentences, so growth moves nothing.

A sentence's key (fold.py) is a number spread evenly over 64 bits. It lies below the share of `test`, below
the share of `test` and `valid` together, or above both. Nothing else is looked at, in particular not the
other pairs: a pair that was added, removed or changed elsewhere moves no pair from one split to another.
The price is that sizes are only about as large as the shares say.
"""

import numpy as np

from mtkit.config.corpus import Shares
from mtkit.config.dataset import HashSplits, Split
from mtkit.corpus.chunk import Chunk, Mask, Side

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def split_masks(chunk: Chunk, rule: Shares | None, side: Side) -> dict[Split, Mask]:
    """For each split, True where a pair belongs to it; every pair belongs to exactly one.

    Args:
        chunk: the pairs.
        rule: how many are held out; None: none.
        side: the side whose sentence decides.
    """
    if rule is None:
        everything = np.ones(len(chunk), dtype=np.bool_)
        return {"train": everything, "valid": ~everything, "test": ~everything}
    words = chunk.words(side)
    eligible = (words >= rule.min_words) & (words <= rule.max_words)
    place = chunk.keys(side, "light").astype(np.float64) / 2.0**64
    test = eligible & (place < rule.test)
    valid = eligible & ~test & (place < rule.test + rule.valid)
    return {"train": ~(test | valid), "valid": valid, "test": test}


def deciding_side(rule: HashSplits | None, source_language: str, target_language: str) -> Side:
    """The side whose sentence decides: with `by` both directions of a pair hold out the same pairs."""
    by = rule.by if rule else None
    return "target" if by == target_language and by != source_language else "source"
