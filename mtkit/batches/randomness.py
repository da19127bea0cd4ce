"""Random orders and seeds that stay the same on every machine and with every numpy.

numpy promises that SeedSequence and the raw output of a bit generator never change; its shuffles may.
"""

import numpy as np
from numpy.typing import NDArray


def raw(count: int, *key: int) -> NDArray[np.uint64]:
    """`count` random 64-bit numbers, decided by `key` alone."""
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(count).astype(np.uint64, copy=False)


def seed_of(*key: int) -> int:
    """A random 32-bit seed, decided by `key` alone."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])
