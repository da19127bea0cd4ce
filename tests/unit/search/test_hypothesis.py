import subprocess
import sys

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis, best_first, most_ended


def test_finished_come_before_unfinished_and_better_before_worse() -> None:
    cut = Hypothesis((4, 5), -0.1, -0.1, finished=False)
    good, bad = Hypothesis((4,), -1.0, -0.8, finished=True), Hypothesis((5,), -2.0, -1.6, finished=True)
    assert best_first([cut, bad, good]) == [good, bad, cut]


def test_equal_scores_are_ordered_by_ids() -> None:
    first, second = Hypothesis((4, 9), -1.0, -1.0, finished=True), Hypothesis((5,), -1.0, -1.0, finished=True)
    assert best_first([second, first]) == [first, second]


def test_the_end_mark_is_a_token_of_finished_hypotheses_only() -> None:
    assert Hypothesis((4, 5), -1.0, -1.0, finished=True).tokens == 3
    assert Hypothesis((4, 5), -1.0, -1.0, finished=False).tokens == 2


def test_how_many_may_end_is_rounded_as_ctranslate2_does_in_single_precision() -> None:
    each = [(1, 9.0, 1), (5, 2.0, 10), (3, 1.5, 5), (5, 1.1, 6), (15, 2.1, 31), (25, 1.18, 29)]
    for size, patience, wanted in each:
        assert most_ended(SearchSettings(beam_size=size, patience=patience)) == wanted


def test_hypotheses_and_lengths_need_no_torch() -> None:
    code = "import sys, mtkit.search.hypothesis, mtkit.search.length; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
