"""Choosing among hypotheses by something else than search: a utility, or a model of the other direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mtkit.corpus.normalize import normalize
from mtkit.search.hypothesis import Hypothesis, best_first
from mtkit.subword.vocabulary import Side

Utilities = Callable[[Sequence[str]], list[float]]  # of each text, the others being as likely to be right


@dataclass(frozen=True)
class Candidates:
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
    """Gives every hypothesis of every source a score by which they are ranked; higher is better."""

    @property
    def by_text(self) -> bool:
        """True if hypotheses of one text have one score, so that the text is ranked, once."""
        ...

    def __call__(self, of_each: Sequence[Candidates]) -> list[list[float]]:
        """A score for each hypothesis of each source."""
        ...


def ranked(of_each: Sequence[Candidates], chooser: Chooser, n_best: int) -> list[list[Hypothesis]]:
    """The n best for each source by the chooser's scores, which become theirs."""
    found = []
    for candidates, scores in zip(of_each, chooser(of_each), strict=True):
        scored = [replace(h, score=score) for h, score in zip(candidates.hypotheses, scores, strict=True)]
        best = best_first(_each_once(scored, candidates.texts) if chooser.by_text else scored)
        found.append(best[:n_best])
    return found


def _each_once(hypotheses: Sequence[Hypothesis], texts: Sequence[str]) -> list[Hypothesis]:
    """Of the hypotheses of each text the best."""
    of_text: dict[str, list[Hypothesis]] = {}
    for hypothesis, text in zip(hypotheses, texts, strict=True):
        of_text.setdefault(text, []).append(hypothesis)
    return [best_first(some)[0] for some in of_text.values()]


class ByUtility:
    """Minimum Bayes risk: the best is what is most like everything else that could be right.

    Args:
        utilities: the mean similarity of each text with all of them.
    Source: Kumar and Byrne 2004; Eikema and Aziz 2020, equation 4 (over samples).
    """

    by_text = True

    def __init__(self, utilities: Utilities) -> None:
        self.utilities = utilities

    def __call__(self, of_each: Sequence[Candidates]) -> list[list[float]]:
        """The expected utility of each hypothesis."""
        return [self.utilities(candidates.texts) for candidates in of_each]


class Reverse(Protocol):
    """What is asked of a translator of the other direction."""

    @property
    def form(self) -> str:
        """Normal form of its text."""
        ...

    @property
    def limit(self) -> int:
        """Most tokens of a side, EOS counted, that it takes."""
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

    T and S are tokens of translation and source, EOS counted. Where one of a source's hypotheses, or the
    source, is longer than the reverse model takes, all of that source stay ranked as search ranked them.

    Args:
        reverse: translates targets into sources.
        weight: of what the reverse model says.
    Source: Yee et al. 2019, equation 3, without a language model.
    """

    by_text = False

    def __init__(self, reverse: Reverse, weight: float = 1.0) -> None:
        self.reverse, self.weight = reverse, weight

    def __call__(self, of_each: Sequence[Candidates]) -> list[list[float]]:
        """The combined score of each hypothesis."""
        form = self.reverse.form
        wanted = self.reverse.ids([normalize(candidates.source, form) for candidates in of_each], "target")
        scores = [[h.score for h in candidates.hypotheses] for candidates in of_each]
        asked, read, written = [], [], []
        for number, (candidates, ids) in enumerate(zip(of_each, wanted, strict=True)):
            each = self.reverse.ids([normalize(text, form) for text in candidates.texts], "source")
            if max(map(len, [ids, *each])) < self.reverse.limit:
                asked.append(number)
                read += each
                written += [ids] * len(each)
        back = iter(self.reverse.log_probabilities(read, written) if asked else ())
        for number in asked:
            scores[number] = [
                h.log_probability / max(1, h.tokens) + self.weight * next(back) / (len(wanted[number]) + 1)
                for h in of_each[number].hypotheses
            ]
        return scores
