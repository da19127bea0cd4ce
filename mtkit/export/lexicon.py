"""Which target pieces a source piece becomes: a table of probabilities, learnt by aligning a corpus.

Source: Dyer et al. 2013, section 2: Model 1 of Brown et al. 1993 with a prior along the diagonal, whose
tension is left as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 5  # of expectation-maximisation
TENSION = 4.0  # how much a place wants to be aligned to the like place of the other side
FROM_NOTHING = 0.08  # share of target pieces that come from no source piece
MOST_CELLS = 20_000_000  # pairs of a source and a target piece that are looked at; about 0.7 GB
LONGEST_SIDE = 1000  # pieces; a pair with a longer one, of which there are few, would take the place of many

Ids = Sequence[int]
Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Lexicon:
    """p(target piece | source piece) of every two pieces that stand in a pair together.

    Attributes:
        source: source id of each entry, in order; `nothing` for what comes from no source piece.
        target: target id of each entry; of one source piece, the most probable first.
        probability: of each entry.
        nothing: the number that stands for no source piece.
        frequent: target ids, the most frequent in the corpus first.
        pairs: how many sentence pairs it was learnt from.
    """

    source: Places
    target: Places
    probability: Numbers
    nothing: int
    frequent: tuple[int, ...]
    pairs: int

    def candidates(self, most: int) -> Iterator[tuple[int, list[int]]]:
        """Each source id (or `nothing`) with its `most` most probable target ids, the best first."""
        starts = np.flatnonzero(np.diff(self.source, prepend=-1))
        ends = [*starts[1:].tolist(), len(self.source)]
        for start, end in zip(starts.tolist(), ends, strict=True):
            yield int(self.source[start]), self.target[start : min(end, start + most)].tolist()


def can_be_aligned(source: Ids, target: Ids) -> bool:
    """True for a pair that can be looked at: both sides are there, and neither is too long."""
    return bool(source) and bool(target) and max(len(source), len(target)) <= LONGEST_SIDE


def learn_lexicon(sources: Sequence[Ids], targets: Sequence[Ids], source_size: int) -> Lexicon:
    """Align a corpus.

    If it is large, every so-many-th pair is looked at.

    Args:
        sources: ids of each sentence; at least one pair can be aligned.
        targets: of their translations.
        source_size: how many source ids there are.
    """
    pairs = _chosen(sources, targets)
    cells = _Cells(pairs, nothing=source_size)
    table = cells.first_table()
    for _ in range(ROUNDS):
        table = cells.better_table(table)
    order = np.lexsort((cells.target, -table, cells.source))
    counts = np.bincount(np.concatenate([target for _, target in pairs]))
    frequent = np.lexsort((np.arange(len(counts)), -counts))[: np.count_nonzero(counts)]
    return Lexicon(
        source=cells.source[order],
        target=cells.target[order],
        probability=table[order],
        nothing=source_size,
        frequent=tuple(frequent.tolist()),
        pairs=len(pairs),
    )


def _chosen(sources: Sequence[Ids], targets: Sequence[Ids]) -> list[tuple[Places, Places]]:
    """As many pairs as may be looked at, evenly from the whole corpus."""
    pairs = enumerate(zip(sources, targets, strict=True))
    both = [number for number, pair in pairs if can_be_aligned(*pair)]
    cells = sum((len(sources[number]) + 1) * len(targets[number]) for number in both)
    step = max(1, -(-cells // MOST_CELLS))
    return [(np.array(sources[number]), np.array(targets[number])) for number in both[::step]]


class _Cells:
    """Every target piece with every source piece of its sentence, one after the other.

    Args:
        pairs: ids of both sides.
        nothing: the number that stands before every source sentence, for no piece.
    """

    def __init__(self, pairs: Sequence[tuple[Places, Places]], nothing: int) -> None:
        width = nothing + 1
        keys, priors, lengths = [], [], []
        for source, target in pairs:
            row = np.concatenate([[nothing], source])  # [S + 1]
            keys.append((target[:, None] * width + row).ravel())  # [T * (S + 1)]
            priors.append(_prior(len(source), len(target)).ravel())
            lengths.append(np.full(len(target), len(row)))
        unique, self._entry = np.unique(np.concatenate(keys), return_inverse=True)
        self._prior = np.concatenate(priors)
        self._lengths = np.concatenate(lengths)
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])
        self.source, self.target = unique % width, unique // width  # of each entry of the table

    def first_table(self) -> Numbers:
        """All target pieces that stand beside a source piece are as probable."""
        return self._normalised(np.ones(len(self.source)))

    def better_table(self, table: Numbers) -> Numbers:
        """One round of expectation-maximisation: p(target | source) of each entry."""
        weights = table[self._entry] * self._prior
        weights /= np.repeat(np.add.reduceat(weights, self._starts), self._lengths)
        return self._normalised(np.bincount(self._entry, weights, minlength=len(table)).astype(np.float64))

    def _normalised(self, counts: Numbers) -> Numbers:
        whole = np.bincount(self.source, counts)
        found: Numbers = counts / np.maximum(whole[self.source], np.finfo(float).tiny)
        return found


def _prior(source: int, target: int) -> NDArray[np.float32]:
    """How probable it is that a target place is aligned to a source place, nothing first, [T, S + 1]."""
    there = (np.arange(source) + 0.5) / source
    here = (np.arange(target) + 0.5) / target
    near = np.exp(-TENSION * np.abs(here[:, None] - there))  # [T, S]
    near *= (1 - FROM_NOTHING) / near.sum(1, keepdims=True)
    prior = np.concatenate([np.full((target, 1), FROM_NOTHING), near], axis=1)
    return prior.astype(np.float32)
