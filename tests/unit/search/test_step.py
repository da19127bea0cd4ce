import math

import pytest
import torch

from mtkit.errors import ModelError
from mtkit.search.step import best_candidates, first_of_best
from mtkit.subword.vocabulary import BOS, EOS, PAD, UNK

SIZE = 7


def logits(*rows: dict[int, float]) -> torch.Tensor:
    """Logits that are the logarithms of the given probabilities; the rest is shared by what may be said."""
    table = torch.empty(len(rows), SIZE)
    for row, given in zip(table, rows, strict=True):
        others = [number for number in range(EOS, SIZE) if number not in given]
        rest = (1 - sum(given.values())) / len(others)
        for number in range(SIZE):
            chance = given.get(number, rest if number in others else 0.0)
            row[number] = math.log(chance) if chance else -math.inf
    return table


def test_the_best_of_all_continuations_are_taken_across_hypotheses() -> None:
    totals = torch.tensor([[math.log(0.5), math.log(0.4)]])
    candidates = best_candidates(logits({4: 0.6, 5: 0.3}, {6: 0.9, 4: 0.05}), totals, 3)
    assert candidates.parents.tolist() == [[1, 0, 0]]
    assert candidates.ids.tolist() == [[6, 4, 5]]
    torch.testing.assert_close(candidates.totals.exp(), torch.tensor([[0.36, 0.30, 0.15]]))


def test_sentences_do_not_mix() -> None:
    totals = torch.zeros(2, 1)
    candidates = best_candidates(logits({4: 0.9}, {5: 0.4}), totals, 1)
    assert candidates.ids.tolist() == [[4], [5]]
    assert candidates.parents.tolist() == [[0], [0]]


def test_ids_that_stand_for_no_text_are_never_produced_and_have_no_probability() -> None:
    candidates = best_candidates(logits({PAD: 0.3, UNK: 0.3, BOS: 0.2, EOS: 0.1}), torch.zeros(1, 1), 2)
    assert candidates.ids[0, 0] == EOS
    assert float(candidates.totals[0, 0].exp()) == pytest.approx(0.5)  # of the 0.2 that can be said
    every = best_candidates(logits({PAD: 0.3, UNK: 0.3, BOS: 0.2, EOS: 0.1}), torch.zeros(1, 1), SIZE)
    assert every.totals.isfinite().sum() == SIZE - 3


def test_hypotheses_that_do_not_run_have_no_continuation() -> None:
    totals = torch.tensor([[-torch.inf, -1.0]])
    candidates = best_candidates(logits({4: 0.9}, {5: 0.4}), totals, 4)
    assert candidates.parents.tolist() == [[1, 1, 1, 1]]


def test_of_equal_continuations_the_lower_hypothesis_then_the_lower_id_wins() -> None:
    candidates = best_candidates(torch.zeros(2, SIZE), torch.zeros(1, 2), 5)
    assert candidates.parents.tolist() == [[0, 0, 0, 0, 1]]
    assert candidates.ids.tolist() == [[3, 4, 5, 6, 3]]


def test_ties_across_the_cut_and_inside_it_take_the_first() -> None:
    scores = torch.tensor([[1.0, 5.0, 3.0, 5.0, 3.0, 3.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    values, places = first_of_best(scores, 3)
    assert places.tolist() == [[1, 3, 2], [0, 1, 2]]
    assert values.tolist() == [[5.0, 5.0, 3.0], [6.0, 5.0, 4.0]]


def test_all_values_may_be_wanted() -> None:
    values, places = first_of_best(torch.tensor([[2.0, 2.0, 7.0]]), 3)
    assert (values.tolist(), places.tolist()) == ([[7.0, 2.0, 2.0]], [[2, 0, 1]])


def test_scores_that_are_not_numbers_are_an_error() -> None:
    broken = torch.zeros(1, SIZE)
    broken[0, 4] = torch.nan
    with pytest.raises(ModelError, match="not numbers"):
        best_candidates(broken, torch.zeros(1, 1), 1)
