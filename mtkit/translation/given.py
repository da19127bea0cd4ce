"""Translations that somebody gives: how probable the model finds each, by the chain rule over its tokens."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias

from mtkit.corpus.normalize import normalize
from mtkit.files import NO_CHARACTER
from mtkit.subword.vocabulary import UNK
from mtkit.translation.scored_pieces import ScoredPieces, scored_pieces
from mtkit.translation.translator import Translator

_WINDOW_PAIRS = 1000

Unscored: TypeAlias = Literal["blank", "too_long", "unknown", "invalid_utf8", "no_tab"]
UNSCORED: dict[Unscored, str] = {
    "blank": "with a blank side",
    "too_long": "too long",
    "unknown": "with characters that the model has no piece for",
    "invalid_utf8": "with bytes that are no UTF-8",
    "no_tab": "without a tab",
}
Sides: TypeAlias = tuple[str | None, str | None]  # source and target; None: the line that held it has no tab


@dataclass(frozen=True)
class Given:
    """A pair and its probability.

    Attributes:
        source: the source line as it came; what is no character in it is replaced by U+FFFD.
        target: the given translation, likewise; empty if there is none.
        log_probability: log P(target | source) in nats, EOS included; None if the pair has no score.
        tokens: target tokens, EOS counted; 0 if the pair has no score.
        scored: piece by piece, if somebody asked for that.
        unscored: why the pair has no score; None if it has one.
    """

    source: str
    target: str
    log_probability: float | None
    tokens: int
    scored: ScoredPieces | None = None
    unscored: Unscored | None = None

    @property
    def mean(self) -> float | None:
        """log P of a token on average, in nats; None if the pair has no score."""
        return None if self.log_probability is None else self.log_probability / self.tokens

    def record(self) -> dict[str, Any]:
        """For JSON."""
        value = self.log_probability
        return {
            "source": self.source,
            "target": self.target,
            "log_probability": None if value is None else round(value, 6),
            "tokens": self.tokens,
            **(self.scored.record() if self.scored is not None else {}),
        }


@dataclass
class GivenTotal:
    """Sums over pairs; those without a score are counted apart, by what they lack, and are in no sum."""

    pairs: int = 0
    unscored: Counter[Unscored] = field(default_factory=Counter)
    log_probability: float = 0.0
    tokens: int = 0

    def add(self, given: Given) -> None:
        """Count one more pair."""
        self.pairs += 1
        if given.unscored is not None:
            self.unscored[given.unscored] += 1
        elif given.log_probability is not None:
            self.log_probability += given.log_probability
            self.tokens += given.tokens

    @property
    def nats_per_token(self) -> float:
        """Mean -log P of a target token, EOS counted; there must be one."""
        return -self.log_probability / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the nats per token: among how many equally likely pieces the model still chooses."""
        return math.exp(min(self.nats_per_token, 700.0))  # e^700 is near the largest float

    def record(self) -> dict[str, Any]:
        """For JSON; null where nothing was scored."""
        return {
            "sentences": self.pairs,
            "blank": self.unscored["blank"],
            "too_long": self.unscored["too_long"],
            "log_probability": round(self.log_probability, 6),
            "tokens": self.tokens,
            "nats_per_token": round(self.nats_per_token, 6) if self.tokens else None,
            "perplexity": round(self.perplexity, 6) if self.tokens else None,
        }

    def why_unscored(self) -> str:
        """How many pairs have no score for which reason; reasons that never occurred are left out."""
        return ", ".join(
            f"{self.unscored[reason]:,} {words}"
            for reason, words in UNSCORED.items()
            if self.unscored[reason]
        )

    def line(self) -> str:
        """The total in one line for people."""
        left_out = f" ({self.why_unscored()} left out)" if self.unscored else ""
        if not self.tokens:
            return f"{self.pairs:,} sentences{left_out}: nothing to score"
        return (
            f"{self.pairs:,} sentences{left_out} · {self.tokens:,} tokens · log P {self.log_probability:.2f}"
            f" nats · {self.nats_per_token:.4f} nats a token · perplexity {self.perplexity:.3f}"
        )


def score_given(
    translator: Translator,
    pairs: Iterable[Sides],
    *,
    pieces: bool = False,
    most_tokens: int | None = None,
    only_known: bool = False,
) -> Iterator[Given]:
    """Score given translations, in order.

    Both sides are normalised and segmented as in training. A target that search found scores what search
    said, provided that its text is segmented into the pieces that search had chosen. An unknown piece of the
    target counts by its odds (`search/forced.py`), which may be above 1.

    Args:
        translator: an open model.
        pairs: source and target lines, what is no UTF-8 in them as `lenient_lines` reads it; such a pair has
            no score, nor has one that lacks a side.
        pieces: score every piece as well.
        most_tokens: a pair with a longer side, EOS counted, has no score, as one with a blank side; nor has
            one that is longer than the engine has positions for.
        only_known: a pair with an unknown piece in its target has no score either: odds beside probabilities
            would rank it too high.

    Source: log P(y|x) = Σ log P(y_t | y_<t, x), the factorisation that training maximises.
    """
    pairs = iter(pairs)
    limits = [one for one in (most_tokens, translator.engine.max_tokens) if one is not None]
    most_tokens = min(limits, default=None)
    while window := list(islice(pairs, _WINDOW_PAIRS)):
        yield from _score_window(translator, window, pieces, most_tokens, only_known)


def _score_window(
    translator: Translator, window: Sequence[Sides], pieces: bool, most_tokens: int | None, only_known: bool
) -> Iterator[Given]:
    codec, form = translator.codec, translator.form
    texts = [(_characters(source), _characters(target)) for source, target in window]
    sources = codec.encode([normalize(source, form) for source, _ in texts], "source")
    targets = codec.encode([normalize(target, form) for _, target in texts], "target")
    why = [
        _unread(sides) or _unscored(source, target, most_tokens, only_known)
        for sides, source, target in zip(window, sources, targets, strict=True)
    ]
    rows = [row for row, reason in enumerate(why) if reason is None]
    some = [sources[row] for row in rows], [targets[row] for row in rows]
    if pieces:
        scores = translator.engine.token_scores(*some, [True] * len(rows))
        values = [math.fsum(score.log_probabilities) for score in scores]
        each = [
            scored_pieces([source], [target], [score], codec)
            for source, target, score in zip(*some, scores, strict=True)
        ]
        by_piece = dict(zip(rows, each, strict=True))
    else:
        values, by_piece = translator.engine.log_probabilities(*some), {}
    known = dict(zip(rows, values, strict=True))
    for row, (source, target) in enumerate(texts):
        if row in known:
            yield Given(source, target, known[row], len(targets[row]) + 1, by_piece.get(row))
        else:
            yield Given(source, target, None, 0, unscored=why[row])


def _characters(side: str | None) -> str:
    """A side as it can be shown and encoded."""
    return NO_CHARACTER.sub("\ufffd", side or "")


def _unread(sides: Sides) -> Unscored | None:
    """Why there is no pair of texts, if there is none."""
    source, target = sides
    if source is None or target is None:
        return "no_tab"
    return "invalid_utf8" if NO_CHARACTER.search(source) or NO_CHARACTER.search(target) else None


def _unscored(
    source: Sequence[int], target: Sequence[int], most_tokens: int | None, only_known: bool
) -> Unscored | None:
    """Why the ids of a pair get no score, if they get none."""
    if not source or not target:
        return "blank"
    if most_tokens is not None and max(len(source), len(target)) >= most_tokens:
        return "too_long"
    return "unknown" if only_known and UNK in target else None


def beside(forth: Given, back: Given) -> Given:
    """A pair that both directions were asked for: without a score if one of them has none.

    Args:
        forth: the pair, scored from source to target.
        back: the same pair turned round, scored by a model of the other direction.
    """
    if forth.unscored is not None or back.unscored is None:
        return forth
    return Given(forth.source, forth.target, None, 0, unscored=back.unscored)


def dual(forth: Given, back: Given) -> float | None:
    """How well a pair fits by two models: -(|A - B| + (A + B) / 2) of the nats per token of both directions.

    Args:
        forth: the pair, scored from source to target.
        back: the same pair turned round, scored by a model of the other direction.

    Returns:
        At most 0; None if one of them has no score.
    Source: Junczys-Dowmunt 2018, equation 2 (dual conditional cross-entropy).
    """
    if forth.mean is None or back.mean is None:
        return None
    return -(abs(forth.mean - back.mean) - (forth.mean + back.mean) / 2)
