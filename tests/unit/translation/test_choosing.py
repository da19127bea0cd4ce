from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.choosing import ByReverse, ByUtility, Candidates, ranked

CHOICE = Candidates(
    "aa",
    (
        Hypothesis((5,), -1.0, -0.5, True),
        Hypothesis((6, 7), -2.0, -0.7, True),
        Hypothesis((8,), -0.1, -0.1, False),
    ),
    ("x", "yy", "z"),
)


class Backwards:
    """A model of the other direction that knows what it likes."""

    form = "none"
    limit = 5

    def __init__(self, likes: dict[int, float]) -> None:
        self.likes = likes

    def ids(self, lines: Sequence[str], side: Literal["source", "target"]) -> list[list[int]]:
        return [[ord(character) for character in line] for line in lines]

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        assert all(list(target) == [ord("a")] * 2 for target in targets)
        return [self.likes[source[0]] for source in sources]


def test_utilities_rank_and_become_the_scores_with_what_was_cut_off_last() -> None:
    found = ranked([CHOICE], ByUtility(lambda texts: [10.0 * len(text) for text in texts]), 3)[0]
    assert [(h.ids, h.score, h.log_probability) for h in found] == [
        ((6, 7), 20.0, -2.0),
        ((5,), 10.0, -1.0),
        ((8,), 10.0, -0.1),
    ]


def test_only_the_n_best_stay() -> None:
    assert len(ranked([CHOICE, CHOICE], ByUtility(lambda texts: [0.0] * len(texts)), 2)[1]) == 2


def test_a_text_that_was_found_several_times_stands_once_among_the_best_by_utility() -> None:
    first = CHOICE.hypotheses[0]
    again = (first, replace(first, ids=(5, 9)), *CHOICE.hypotheses, replace(first, finished=False))
    choice = Candidates("aa", again, ("x", "x", *CHOICE.texts, "x"))
    found = ranked([choice], ByUtility(lambda texts: [10.0 * len(text) for text in texts]), 3)[0]
    assert [(h.ids, h.score, h.finished) for h in found] == [
        ((6, 7), 20.0, True),
        ((5,), 10.0, True),
        ((8,), 10.0, False),
    ]


def test_the_noisy_channel_adds_what_both_models_say_a_token() -> None:
    reverse = Backwards({ord("x"): -6.0, ord("y"): -3.0, ord("z"): -9.0})
    scores = ByReverse(reverse, 0.5)([CHOICE])[0]
    assert scores == pytest.approx([-1 / 2 - 0.5 * 6 / 3, -2 / 3 - 0.5 * 3 / 3, -0.1 / 1 - 0.5 * 9 / 3])
    best = ranked([CHOICE], ByReverse(reverse, 0.5), 1)[0][0]
    assert best.ids == (6, 7)


def test_where_the_reverse_model_cannot_read_all_search_ranks() -> None:
    reverse = Backwards({ord("x"): -6.0, ord("y"): -3.0, ord("z"): -9.0})
    long = replace(CHOICE, texts=("x", "y" * reverse.limit, "z"))
    scores = ByReverse(reverse, 0.5)([long, CHOICE])
    assert scores[0] == [h.score for h in CHOICE.hypotheses]
    assert scores[1:] == ByReverse(reverse, 0.5)([CHOICE])
