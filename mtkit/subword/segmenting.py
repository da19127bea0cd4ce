"""Random segmentations that repeat: BPE-dropout, and sampling from the lattice of a unigram model.

SentencePiece has both, but from 0.2.2 on no seed decides what it samples. Here the seed alone does, in every
process and on every machine: random numbers are raw output of PCG64, which numpy promises never to change,
and no result depends on a platform's `exp`. The best segmentation is `codec.py`'s business.
"""

import math
import re
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import count
from operator import add
from typing import Any, NamedTuple, Protocol

import numpy as np

from mtkit.subword.vocabulary import SPACE_MARK, UNK

REMEMBERED = 65_536  # words whose segmentations stay in memory: about 1 kB each
REMEMBERED_DROPS = 1  # of a word; with more, there are too many ways to meet one again
LONGEST_REMEMBERED = 32  # characters; longer is text without spaces, of which no stretch comes again
BLOCK = 4096  # random numbers made at once
UNKNOWN_PENALTY = 10.0  # from the worst piece's score to an unknown character's, as in SentencePiece
SHARPEST = 1e6  # the alpha from which on the best segmentation alone is drawn: no larger one differs

# Decimal's exp is rounded correctly, thus the same everywhere, and nothing underflows however long a word is.
_EXACT = Context(prec=28, Emin=MIN_EMIN, Emax=MAX_EMAX)
_DRAWS = Decimal(2**63)  # how many random numbers there are: a threshold may be this number


class Sampler(Protocol):
    """Draws segmentations."""

    def sample(self, lines: Sequence[str], seed: int) -> list[list[int]]:
        """A random segmentation of each line, as ids, decided by the lines and the seed."""


class Pieces:
    """What a SentencePiece model knows, and how it cuts text before it looks for pieces.

    Args:
        processor: a loaded `SentencePieceProcessor`, learnt as `learn.py` does.

    Attributes:
        ids: the id of every learnt or user-defined piece; special pieces and bytes are not among them.
        scores: the score of every learnt piece.
    """

    def __init__(self, processor: Any) -> None:
        self.ids: dict[str, int] = {}
        self.scores: dict[str, float] = {}
        self._bytes: dict[int, int] = {}
        for number in range(processor.get_piece_size()):
            piece, score = str(processor.id_to_piece(number)), float(processor.get_score(number))
            if processor.is_byte(number):
                self._bytes[int(piece[3:-1], 16)] = number
            elif not (processor.is_control(number) or processor.is_unknown(number)):
                self.ids[piece] = number
                # User-defined pieces score 0; learnt ones less, BPE's first merge -0.
                if math.copysign(1.0, score) < 0:
                    self.scores[piece] = score
        self._chunk = self._boundaries()

    def chunks(self, line: str) -> list[str]:
        """The line cut wherever no piece crosses: before spaces, before and after user-defined pieces."""
        return self._chunk.findall(SPACE_MARK + line.replace(" ", SPACE_MARK)) if line else []

    def is_whole(self, chunk: str) -> bool:
        """True if the chunk is a user-defined piece, which is never split."""
        return chunk in self.ids and chunk not in self.scores

    def spell(self, piece: str) -> tuple[int, ...]:
        """The id of a piece; for an unknown character its bytes, or UNK without byte fallback."""
        number = self.ids.get(piece)
        if number is not None:
            return (number,)
        return tuple(self._bytes[byte] for byte in piece.encode()) if self._bytes else (UNK,)

    def _boundaries(self) -> re.Pattern[str]:
        whole = sorted(set(self.ids) - set(self.scores), key=len, reverse=True)  # the longest one wins
        ends = [re.escape(piece) for piece in whole]
        chosen = ends.copy()
        if not any(SPACE_MARK in piece[1:] for piece in self.scores):
            ends.append(SPACE_MARK)
        inner = f"(?:(?!{'|'.join(ends)}).)*" if ends else ".*"
        return re.compile("|".join([*chosen, "." + inner]), re.DOTALL)


class _Merged(NamedTuple):
    """The ids of a chunk, and how many merges were decided upon."""

    ids: tuple[int, ...]
    decisions: int


class DroppingMerges:
    """BPE-dropout (Provilkov et al. 2020): byte-pair encoding with some merges left out at random.

    As in SentencePiece, a merge that was left out is considered again only after a neighbour has changed.

    Args:
        pieces: of a BPE model.
        probability: of leaving out each merge; 0 gives the best segmentation.
    """

    def __init__(self, pieces: Pieces, probability: float) -> None:
        self._pieces, self._probability = pieces, probability
        # Which merges are dropped decides all: what came of it once is remembered.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._replay)

    def sample(self, lines: Sequence[str], seed: int) -> list[list[int]]:
        """As `Sampler.sample`."""
        drops = _Drops(self._probability, seed)
        return [_one_unknown(self._line(line, drops)) for line in lines]

    def _line(self, line: str, drops: "_Drops") -> list[int]:
        ids: list[int] = []
        for chunk in self._pieces.chunks(line):
            ids.extend(self._draw(chunk, drops))
        return ids

    def _draw(self, chunk: str, drops: "_Drops") -> tuple[int, ...]:
        start = drops.passed
        dropped: tuple[int, ...] = ()

        def is_dropped(index: int) -> bool:
            return index in dropped or drops.before(start + index + 1) is not None

        while len(chunk) <= LONGEST_REMEMBERED and len(dropped) <= REMEMBERED_DROPS:
            merged = self._remembered(chunk, dropped)
            drop = drops.before(start + merged.decisions)
            if drop is None:
                break
            dropped += (drop - start,)
        else:
            merged = self._merge(chunk, is_dropped)
        drops.passed += merged.decisions
        return merged.ids

    def _replay(self, chunk: str, dropped: tuple[int, ...]) -> _Merged:
        """Merge with the decisions of these numbers being to drop."""
        return self._merge(chunk, dropped.__contains__)

    def _merge(self, chunk: str, is_dropped: Callable[[int], bool]) -> _Merged:
        """Merge the best pair, the leftmost of equal ones, until none is left.

        Args:
            chunk: what `Pieces.chunks` gives.
            is_dropped: asked once about each merge, numbered from 0.
        """
        if self._pieces.is_whole(chunk):
            return _Merged(self._pieces.spell(chunk), 0)
        parts = list(chunk)
        before, after = list(range(-1, len(parts) - 1)), [*range(1, len(parts)), -1]
        scores = self._pieces.scores
        queue = [
            (-scores[joined], left, left + 1, joined)
            for left, joined in enumerate(map(add, parts, parts[1:]))
            if joined in scores
        ]
        heapify(queue)

        def offer(left: int, right: int) -> None:
            joined = parts[left] + parts[right]
            if joined in scores:
                heappush(queue, (-scores[joined], left, right, joined))

        decisions = count()
        while queue:
            _, left, right, joined = heappop(queue)
            # Either part may have merged with another one since.
            if not (parts[left] and parts[right] and len(parts[left]) + len(parts[right]) == len(joined)):
                continue
            if is_dropped(next(decisions)):
                continue
            parts[left], parts[right] = joined, ""
            after[left] = after[right]
            if after[left] >= 0:
                before[after[left]] = left
                offer(left, after[left])
            if before[left] >= 0:
                offer(before[left], left)
        return _Merged(
            tuple(one for part in parts if part for one in self._pieces.spell(part)), next(decisions)
        )


class _Drops:
    """An endless row of decisions, of which some are to drop; asked for in order.

    Attributes:
        passed: decisions that are behind us.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.passed = 0
        self._below = round(probability * 2**53)
        self._bits = _random_bits(seed)
        self._known = 0
        self._waiting: deque[int] = deque()

    def before(self, end: int) -> int | None:
        """Take the next decision to drop out of the row, if it comes before decision `end`."""
        while self._known < end:
            drops = np.flatnonzero(self._bits.random_raw(BLOCK) >> np.uint64(11) < self._below)
            self._waiting.extend((drops + self._known).tolist())
            self._known += BLOCK
        return self._waiting.popleft() if self._waiting and self._waiting[0] < end else None


class _Lattice(NamedTuple):
    """All pieces of a chunk, ordered by where they end; `firsts` says which is the first at each end.

    Attributes:
        firsts: for each place in the chunk the number of the first piece that ends there, and one more.
        thresholds: of the pieces of one end, random numbers below the first threshold choose the first piece,
            others below the second the second, and so on; the last piece takes the rest.
        starts: where each piece starts.
        ids: the ids of each piece.
    """

    firsts: "array[int]"
    thresholds: "array[int]"
    starts: "array[int]"
    ids: list[tuple[int, ...]]


class SampledLattice:
    """Segmentations drawn from a unigram model with P in proportion to exp(alpha · score) (Kudo 2018).

    Forward filtering, backward sampling: exact, over all segmentations. User-defined pieces stay whole.

    Args:
        pieces: of a unigram model.
        alpha: how much the better segmentations are preferred; 0 would draw all alike.
    """

    def __init__(self, pieces: Pieces, alpha: float) -> None:
        self._pieces = pieces
        sharpness = Decimal(min(alpha, SHARPEST))
        worst = min(pieces.scores.values(), default=0.0)
        self._known = {
            piece: (_weight(score, sharpness), pieces.spell(piece)) for piece, score in pieces.scores.items()
        }
        self._unknown = _weight(worst - UNKNOWN_PENALTY, sharpness)
        self._longest = max(map(len, pieces.scores), default=1)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._filter)

    def sample(self, lines: Sequence[str], seed: int) -> list[list[int]]:
        """As `Sampler.sample`."""
        draws = _draws(seed)
        return [_one_unknown(self._line(line, draws)) for line in lines]

    def _line(self, line: str, draws: Iterator[int]) -> list[int]:
        ids: list[int] = []
        for chunk in self._pieces.chunks(line):
            filter_ = self._filter if len(chunk) > LONGEST_REMEMBERED else self._remembered
            firsts, thresholds, starts, spelt = filter_(chunk)
            found: list[tuple[int, ...]] = []
            place = len(chunk)
            while place > 0:
                piece = bisect_right(thresholds, next(draws), firsts[place], firsts[place + 1] - 1)
                found.append(spelt[piece])
                place = starts[piece]
            for one in reversed(found):
                ids.extend(one)
        return ids

    def _filter(self, chunk: str) -> _Lattice:
        """The pieces of the chunk, and the shares of all ways to each end that come by each of them."""
        lattice = _Lattice(array("L", [0, 0]), array("Q"), array("L"), [])
        reached = [Decimal(1)]  # the weight of all ways to each place
        for end in range(1, len(chunk) + 1):
            ways: list[Decimal] = []  # by the first piece, by the first two, …
            for start, weight, ids in self._ending(chunk, end):
                through = _EXACT.multiply(reached[start], weight)
                ways.append(_EXACT.add(ways[-1], through) if ways else through)
                lattice.starts.append(start)
                lattice.ids.append(ids)
            scale = _EXACT.divide(_DRAWS, ways[-1])
            lattice.thresholds.extend(int(_EXACT.multiply(one, scale)) for one in ways[:-1])
            lattice.thresholds.append(0)  # of the last piece, never looked at
            lattice.firsts.append(len(lattice.starts))
            reached.append(ways[-1])
        return lattice

    def _ending(self, chunk: str, end: int) -> Iterator[tuple[int, Decimal, tuple[int, ...]]]:
        """Start, weight and ids of the pieces that end here: at least the character before."""
        if self._pieces.is_whole(chunk):
            yield 0, Decimal(1), self._pieces.spell(chunk)
            return
        for start in range(max(0, end - self._longest), end):
            known = self._known.get(chunk[start:end])
            if known is not None:
                yield start, *known
            elif start == end - 1:
                yield start, self._unknown, self._pieces.spell(chunk[start])


def _weight(score: float, alpha: Decimal) -> Decimal:
    return _EXACT.exp(_EXACT.multiply(alpha, Decimal(score)))


def _random_bits(seed: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence(seed))


def _draws(seed: int) -> Iterator[int]:
    """Endless random numbers from 0 to 2^63 - 1."""
    bits = _random_bits(seed)
    while True:
        yield from (bits.random_raw(BLOCK) >> np.uint64(1)).tolist()


def _one_unknown(ids: list[int]) -> list[int]:
    """Neighbouring unknown characters are one piece, as in SentencePiece."""
    if UNK not in ids:
        return ids
    return [one for place, one in enumerate(ids) if one != UNK or place == 0 or ids[place - 1] != UNK]
