"""Hypotheses that repeat themselves: searched a second time, with repetition blocked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.engine import Engine
from mtkit.translation.flags import is_repeated

BLOCKED_NGRAM = 3  # pieces; no run of so many comes twice in a retried translation
_SETTING = "no_repeat_ngram"


class Searcher(Protocol):
    """What a translator has that a second search needs."""

    engine: Engine
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
    found: Sequence[list[Hypothesis]], sources: Sequence[list[int]], texts: Sequence[str], searcher: Searcher
) -> list[Found]:
    """What search found; where the best repeats itself, what a second search finds if that does not.

    Args:
        found: of the first search, for each source.
        sources: source ids without EOS.
        texts: the same as text.
        searcher: searches again.
    """

    def loops(place: int, best: Hypothesis) -> bool:
        return is_repeated(texts[place], searcher.target_text(best))

    blocking = blocked(searcher.settings)
    places = [place for place, n_best in enumerate(found) if blocking and loops(place, n_best[0])]
    result = [Found(n_best) for n_best in found]
    if blocking and places:
        again = searcher.engine.search([sources[place] for place in places], blocking)
        for place, n_best in zip(places, again, strict=True):
            if not loops(place, n_best[0]):
                result[place] = Found(n_best, retried=True)
    return result


def blocked(settings: SearchSettings) -> SearchSettings | None:
    """The same search with repetition blocked; None where it already is, or cannot be."""
    if getattr(settings, _SETTING, True):
        return None
    return settings.model_copy(update={_SETTING: BLOCKED_NGRAM})
