"""The second pass over a split that was divided off: what is held out already goes, then repetitions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtkit.corpus.chunk import SIDES, Chunk
from mtkit.corpus.cleaning import Cleaner, Tally
from mtkit.corpus.held_out import HeldOut
from mtkit.corpus.pairs import read_sides
from mtkit.corpus.writing import PairWriter


def set_apart(
    split: str, scratch: Path, out: Path, held_out: HeldOut, repeated: Cleaner
) -> tuple[int, list[dict[str, Any]]]:
    """Write a split without what other splits hold, and without repetitions.

    Args:
        split: its name.
        scratch: the folder where its pairs lie, normalised and cleaned.
        out: the folder where they go.
        held_out: sentences of other splits.
        repeated: the filters that find repetitions.

    Returns:
        How many pairs are left, and what was removed, as in `corpus.json`.
    """
    tally = Tally("held_out")
    with PairWriter(out, split) as writer:
        for chunk in chunks_of(scratch, split):
            mask = held_out.keep(chunk)
            tally.count(chunk, mask)
            writer.write(repeated.clean(chunk.keep(mask)))
    return writer.pairs, [tally.record(), *repeated.records()]


def chunks_of(folder: Path, split: str) -> Iterator[Chunk]:
    """What was written before; normalising it again would change nothing."""
    source, target = (folder / f"{split}.{side}" for side in SIDES)
    if source.stat().st_size:
        for texts in read_sides(source, target):
            yield Chunk(*texts)
