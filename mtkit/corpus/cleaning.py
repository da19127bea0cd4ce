"""Pairs through normalisation and filters, in order; each removed pair is counted once, with examples."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtkit.config.corpus import Filter
from mtkit.corpus.chunk import SIDES, Chunk, Mask
from mtkit.corpus.filters import Duplicates, Empty, PairFilter, make_filter
from mtkit.corpus.normalize import normalize
from mtkit.corpus.pairs import Texts

EXAMPLES = 5
EXAMPLE_CHARACTERS = 200


class Tally:
    """What one filter removed.

    Attributes:
        filter: its name.
        removed: how many pairs.
        examples: the first few of them, source and target.
    """

    def __init__(self, name: str) -> None:
        self.filter, self.removed = name, 0
        self.examples: list[list[str]] = []

    def count(self, chunk: Chunk, mask: Mask) -> None:
        """Count the pairs of a chunk that `mask` leaves out."""
        gone = (~mask).nonzero()[0]
        self.removed += len(gone)
        for row in gone[: EXAMPLES - len(self.examples)].tolist():
            self.examples.append([_clipped(chunk.texts[side][row]) for side in SIDES])

    def record(self) -> dict[str, Any]:
        """As written to corpus.json."""
        return {"filter": self.filter, "removed": self.removed, "examples": self.examples}


def _clipped(text: str) -> str:
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"


class Cleaner:
    """Filters in order, and what each removed.

    Args:
        filters: as in a recipe.
        scratch: a folder for what filters must remember.
    """

    def __init__(self, filters: Sequence[Filter], scratch: Path) -> None:
        self._filters: list[PairFilter] = [Empty(), *(make_filter(item, scratch) for item in filters)]
        self.tallies = [Tally(item.name) for item in self._filters]
        self.read = 0

    def clean(self, chunk: Chunk) -> Chunk:
        """The pairs of a chunk that pass every filter."""
        self.read += len(chunk)
        for item, tally in zip(self._filters, self.tallies, strict=True):
            mask = item.keep(chunk)
            tally.count(chunk, mask)
            chunk = chunk.keep(mask)
        return chunk

    def close(self) -> None:
        """Remove what filters remembered on disk."""
        for item in self._filters:
            if isinstance(item, Duplicates):
                item.close()

    def records(self) -> list[dict[str, Any]]:
        """What each filter removed; the unasked check for empty sides only if it removed something."""
        return [tally.record() for tally in self.tallies if tally.filter != Empty.name or tally.removed]


def normalized(texts: Iterable[Texts], form: str) -> Iterator[Chunk]:
    """Chunks of normalised pairs."""
    for source, target in texts:
        yield Chunk([normalize(text, form) for text in source], [normalize(text, form) for text in target])
