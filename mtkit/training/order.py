"""The order of data as one hash: trainings that have it in common saw the same pairs in the same order."""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray


def chained(order: str, rows: NDArray[np.integer], target_tokens: int) -> str:
    """The hash after one more update; how the update is cut into micro-batches does not count.

    Args:
        order: the hash before it; empty before the first.
        rows: line numbers of the update's pairs, in any order. [pairs]
        target_tokens: of the update; says with sampled subwords how the sentences were cut.
    """
    said = f"{order} {target_tokens} "
    return sha256(said.encode() + np.sort(rows).astype("<i8").tobytes()).hexdigest()
