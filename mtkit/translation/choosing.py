"""Choosing among hypotheses by something else than search: a utility, or a model of the other direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mtkit.corpus.normalize import normalize
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.subword.vocabulary import Side

Utilities = Callable[[Sequence[str]], list[float]]  # of each text, the others being as likely to be right


@dataclass(frozen=True)
class Choice:
    """What there is to choose from for one source.

    Attributes:
        source: what is translated, normalised.
        hypotheses: what search found.
        texts: their texts.
    """

    source: str
    hypotheses: tuple[Hypothesis, ...]
    texts: tuple[str, ...]


class Chooser(Protocol):
    """Gives every hypothesis of every choice a score by which they are ranked; higher is better."""

    def __call__(self, choices: Sequence[Choice]) -> list[list[float]]:
        """A score for each hypothesis of each choice."""
        ...


def ranked(choices: Sequence[Choice], chooser: Chooser, n_best: int) -> list[list[Hypothesis]]:
    """The n best of each choice by the chooser's scores, which become theirs."""
    return [
        best_first([replace(h, score=score) for h, score in zip(choice.hypotheses, scores, strict=True)])[
            :n_best
        ]
        for choice, scores in zip(choices, chooser(choices), strict=True)
    ]


class ByUtility:
    """Minimum Bayes risk: the best is what is most like everything else that could be right.

    Args:
        utilities: the mean similarity of each text with all of them.
    Source: Kumar and Byrne 2004; Eikema and Aziz 2020, equation 4 (over samples).
    """

    def __init__(self, utilities: Utilities) -> None:
        self.utilities = utilities

    def __call__(self, choices: Sequence[Choice]) -> list[list[float]]:
        """The expected utility of each hypothesis."""
        return [self.utilities(choice.texts) for choice in choices]


class Reverse(Protocol):
    """What is asked of a translator of the other direction."""

    @property
    def form(self) -> str:
        """Normal form of its text."""
        ...

    def ids(self, lines: Sequence[str], side: Side) -> list[list[int]]:
        """Ids of normalised lines."""
        ...

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """log P(target | source) of each pair."""
        ...


class ByReverse:
    """Noisy channel: log P(y|x) / T + weight * log P(x|y) / S, the second by a model of the other direction.

    T and S are tokens of translation and source, EOS counted.

    Args:
        reverse: translates targets into sources.
        weight: of what the reverse model says.
    Source: Yee et al. 2019, equation 3, without a language model.
    """

    def __init__(self, reverse: Reverse, weight: float = 1.0) -> None:
        self.reverse, self.weight = reverse, weight

    def __call__(self, choices: Sequence[Choice]) -> list[list[float]]:
        """The combined score of each hypothesis."""
        form = self.reverse.form
        texts = [normalize(text, form) for choice in choices for text in choice.texts]
        read = self.reverse.ids(texts, "source")
        wanted = self.reverse.ids([normalize(choice.source, form) for choice in choices], "target")
        written = [ids for choice, ids in zip(choices, wanted, strict=True) for _ in choice.texts]
        back = iter(self.reverse.log_probabilities(read, written))
        return [
            [
                h.log_probability / max(1, h.tokens) + self.weight * next(back) / (len(ids) + 1)
                for h in choice.hypotheses
            ]
            for choice, ids in zip(choices, wanted, strict=True)
        ]
