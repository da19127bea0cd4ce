"""A translation piece by piece: how probable each is, and which source pieces it looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import EOS, Side

MOST_WEIGHTS = 1_000_000  # of attention that a record holds: it grows with the square of a line's length


class Attended(NamedTuple):
    """What a piece attended to, which lies within its own part.

    Attributes:
        first: the part's first source piece, from 0.
        weights: of each source piece of the part, the end last.
    """

    first: int
    weights: Sequence[float]


class Vocabulary(Protocol):
    """What is asked of the vocabularies here."""

    def pieces(self, ids: Sequence[int], side: Side) -> list[str]:
        """The pieces that ids stand for."""
        ...


@dataclass(frozen=True)
class ScoredPieces:
    """The pieces of one translation; of a line translated in parts, all parts one after the other.

    Attributes:
        pieces: the end of each finished part is one of them.
        log_probabilities: of each piece given the source and the pieces before, in nats.
        source_pieces: of the source, the end of each part among them; empty unless attention was asked for.
        attention: what each piece attended to; None unless asked for.
        alignment: which source piece, from 0, each piece attended to most; None for an end.
    """

    pieces: list[str] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    source_pieces: list[str] = field(default_factory=list)
    attention: list[Attended] | None = None
    alignment: list[int | None] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """For JSON; what nobody asked for is left out, and a table of more than MOST_WEIGHTS is None."""
        found: dict[str, Any] = {
            "pieces": self.pieces,
            "token_log_probabilities": [round(value, 6) for value in self.log_probabilities],
        }
        if self.attention is not None:
            found["source_pieces"] = self.source_pieces
            found["alignment"] = self.alignment
            found["attention"] = self._table(self.attention)
        return found

    def _table(self, attention: Sequence[Attended]) -> list[list[float]] | None:
        """How much each piece attended to each source piece of the line."""
        width = len(self.source_pieces)
        if width * len(attention) > MOST_WEIGHTS:
            return None
        return [
            [
                *[0.0] * first,
                *(round(weight, 4) for weight in weights),
                *[0.0] * (width - first - len(weights)),
            ]
            for first, weights in attention
        ]


def scored_pieces(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    scores: Sequence[TokenScores],
    vocabulary: Vocabulary,
    *,
    attention: bool = False,
) -> ScoredPieces:
    """Put the parts of a line together.

    Args:
        sources: ids of each part, without EOS.
        targets: ids of each part's translation, without EOS.
        scores: of each part; says whether an end was found.
        vocabulary: what ids stand for.
        attention: it was asked for, and is in the scores.
    """
    found = ScoredPieces(attention=[] if attention else None)
    for source, target, score in zip(sources, targets, scores, strict=True):
        ends = len(score.log_probabilities) - len(target)
        found.pieces.extend(vocabulary.pieces([*target, *[EOS] * ends], "target"))
        found.log_probabilities.extend(score.log_probabilities)
        if found.attention is None:
            continue
        before = len(found.source_pieces)
        found.source_pieces.extend(vocabulary.pieces([*source, EOS], "source"))
        found.attention.extend(Attended(before, row) for row in score.attention)
        aligned = score.aligned()
        found.alignment.extend(before + at for at in aligned[: len(target)])
        found.alignment.extend([None] * ends)
    return found
