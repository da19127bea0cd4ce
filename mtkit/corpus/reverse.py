"""The made-up task `reverse`: a row of digits, and the same row backwards. The same on every machine."""

from collections.abc import Iterator
from hashlib import blake2b

from mtkit.config.dataset import GeneratorReader, Split
from mtkit.corpus.pair import Pair


def reverse_pairs(reader: GeneratorReader, split: Split) -> Iterator[Pair]:
    """The pairs of a split; which rows of digits belong to which split is decided by their hash.

    Rows of five digits and more are divided, so that what is held out is never in training; shorter ones
    are few and all belong to train.
    """
    wanted = reader.pairs.get(split, 0)
    made, number = 0, 0
    while made < wanted:
        digits = _digits(reader, split, number)
        number += 1
        if _split_of(digits) == split:
            made += 1
            yield Pair(" ".join(digits), " ".join(reversed(digits)))


def _digits(reader: GeneratorReader, split: Split, number: int) -> str:
    draw = int.from_bytes(blake2b(f"reverse {split} {number}".encode(), digest_size=32).digest(), "big")
    draw, extra = divmod(draw, reader.max_length - reader.min_length + 1)
    length = reader.min_length + extra
    digits = []
    for _ in range(length):
        draw, digit = divmod(draw, 10)
        digits.append(str(digit))
    return "".join(digits)


def _split_of(digits: str) -> Split:
    if len(digits) < 5:
        return "train"
    # a row and its reverse are decided together: each occurs as a source and as a target
    share = blake2b(min(digits, digits[::-1]).encode(), digest_size=1).digest()[0]
    return "valid" if share < 16 else "test" if share < 32 else "train"
