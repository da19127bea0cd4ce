"""How much each of some translations is like all of them: the utility of minimum Bayes risk decoding."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mtkit.scoring.metrics import open_metric

ALIKE = 100.0  # the utility of a text that is the reference


def expected_utilities(utility: str, language: str = "") -> Callable[[Sequence[str]], list[float]]:
    """A function from texts to the mean utility of each, every text in turn being the reference.

    A text that comes several times counts as often, as samples do.

    Args:
        utility: `chrf`, or `bleu` of single sentences (its effective order).
        language: of the texts, for BLEU's tokenizer.

    Raises:
        RunError: the tokenizer of the language is not installed.

    Source: Eikema and Aziz 2020, equation 4; chrF as utility: Müller and Sennrich 2021.
    """
    metric = open_metric(utility, language)
    if utility == "bleu":
        metric.effective_order = True

    def of(texts: Sequence[str]) -> list[float]:
        counts = Counter(texts)
        found = {text: _mean(metric, text, counts) for text in counts}
        return [found[text] for text in texts]

    return of


def _mean(metric: Any, text: str, references: Counter[str]) -> float:
    total = sum(count * _likeness(metric, text, reference) for reference, count in references.items())
    return total / references.total()


def _likeness(metric: Any, text: str, reference: str) -> float:
    """What the metric says, 0 to 100; of two empty texts, which are alike, it says 0."""
    return ALIKE if not text and not reference else float(metric.sentence_score(text, [reference]).score)
