"""Hypotheses that repeat themselves: searched a second time, with repetition blocked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.flags import is_repeated

BLOCKED_NGRAM = 3  # pieces; no run of so many comes twice in a retried translation

Again = Callable[[list[int], SearchSettings], list[list[Hypothesis]]]


class Searcher(Protocol):
    """What a translator has that a second search needs."""

    settings: SearchSettings

    def target_text(self, hypothesis: Hypothesis) -> str:
        """The text of a hypothesis."""
        ...


@dataclass(frozen=True)
class Found:
    """What search found for a part of a line.

    Attributes:
        n_best: best first.
        retried: True if it is of the second search, because the first went in circles.
    """

    n_best: list[Hypothesis]
    retried: bool = False


def without_loops(
    found: Sequence[list[Hypothesis]], texts: Sequence[str], searcher: Searcher, again: Again
) -> list[Found]:
    """What search found; where the best repeats itself, what a second search finds if that does not.

    Args:
        found: of the first search, for each source.
        texts: the sources as text.
        searcher: what has searched.
        again: searches some of the sources, by their places, with other settings.
    """

    def loops(place: int, best: Hypothesis) -> bool:
        return is_repeated(texts[place], searcher.target_text(best))

    blocking = blocked(searcher.settings)
    places = [place for place, n_best in enumerate(found) if blocking and loops(place, n_best[0])]
    result = [Found(n_best) for n_best in found]
    if blocking and places:
        for place, n_best in zip(places, again(places, blocking), strict=True):
            if not loops(place, n_best[0]):
                result[place] = Found(n_best, retried=True)
    return result


def blocked(settings: SearchSettings) -> SearchSettings | None:
    """The same search with repetition blocked; None where it already is."""
    if settings.no_repeat_ngram:
        return None
    return settings.model_copy(update={"no_repeat_ngram": BLOCKED_NGRAM})
