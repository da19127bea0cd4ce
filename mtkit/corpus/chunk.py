"""Some thousand sentence pairs at a time, with what filters ask of them computed once."""

from itertools import compress
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from mtkit.corpus.fold import Folding, Keys, keys_of

Side = Literal["source", "target"]
Mask: TypeAlias = npt.NDArray[np.bool_]
SIDES: tuple[Side, Side] = ("source", "target")


class Chunk:
    """Normalised sentence pairs: single spaces only, no `\\n`.

    Args:
        source: source sentences.
        target: target sentences, as many.
    """

    def __init__(self, source: list[str], target: list[str]) -> None:
        self.texts: dict[Side, list[str]] = {"source": source, "target": target}
        self._words: dict[Side, npt.NDArray[np.int64]] = {}
        self._keys: dict[tuple[Side, Folding], Keys] = {}
        self._series: dict[Side, pl.Series] = {}

    def __len__(self) -> int:
        return len(self.texts["source"])

    def words(self, side: Side) -> npt.NDArray[np.int64]:
        """Words of each sentence: what stands between spaces."""
        if side not in self._words:
            counts = [text.count(" ") + 1 if text else 0 for text in self.texts[side]]
            self._words[side] = np.array(counts, dtype=np.int64)
        return self._words[side]

    def characters(self, side: Side) -> npt.NDArray[np.int64]:
        """Characters of each sentence."""
        return np.array([len(text) for text in self.texts[side]], dtype=np.int64)

    def keys(self, side: Side, folding: Folding) -> Keys:
        """The key of each sentence."""
        if (side, folding) not in self._keys:
            self._keys[side, folding] = keys_of(self.texts[side], folding)
        return self._keys[side, folding]

    def series(self, side: Side) -> pl.Series:
        """The sentences as a polars column."""
        if side not in self._series:
            self._series[side] = pl.Series(side, self.texts[side], dtype=pl.String)
        return self._series[side]

    def keep(self, mask: Mask) -> "Chunk":
        """The pairs where `mask` is True, with what was computed so far."""
        if mask.all():
            return self
        chosen = mask.tolist()
        kept = Chunk(*(list(compress(self.texts[side], chosen)) for side in SIDES))
        kept._words = {side: words[mask] for side, words in self._words.items()}
        kept._keys = {name: keys[mask] for name, keys in self._keys.items()}
        kept._series = {side: series.filter(pl.Series(mask)) for side, series in self._series.items()}
        return kept

    def first(self, count: int) -> "Chunk":
        """The first `count` pairs."""
        return self if count >= len(self) else self.keep(np.arange(len(self)) < count)
