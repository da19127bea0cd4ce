"""Keeping validation and test sentences out of training: a pair goes if either of its sides is held out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtkit.corpus.chunk import SIDES, Chunk, Mask
from mtkit.corpus.fold import Folding
from mtkit.corpus.seen import SeenKeys

# `held_out` of a recipe → foldings under which a sentence counts as equal to a held-out one
FOLDINGS: Mapping[str, Sequence[Folding]] = {"strict": ("light",), "exact": ("none",), "off": ()}


class HeldOut:
    """The sentences of validation and test, by side.

    Args:
        foldings: a sentence is held out if it equals one under any of these.
        scratch: a folder for what must be remembered.
    """

    def __init__(self, foldings: Sequence[Folding], scratch: Path) -> None:
        self._seen = {(side, folding): SeenKeys(scratch) for side in SIDES for folding in foldings}

    def add(self, chunk: Chunk) -> None:
        """Hold these pairs out."""
        for (side, folding), seen in self._seen.items():
            seen.add(chunk.keys(side, folding))

    def close(self) -> None:
        """Forget everything and remove what was remembered on disk."""
        for seen in self._seen.values():
            seen.close()

    def keep(self, chunk: Chunk) -> Mask:
        """True for each pair neither of whose sides is held out on its side."""
        mask = np.ones(len(chunk), dtype=np.bool_)
        for (side, folding), seen in self._seen.items():
            mask &= ~seen.contains(chunk.keys(side, folding))
        return mask
