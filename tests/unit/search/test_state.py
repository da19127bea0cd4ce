import math

import pytest
import torch

from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import most_probable
from mtkit.search.length import length_penalty
from mtkit.search.state import Beams
from mtkit.search.step import Candidates
from mtkit.subword.vocabulary import BOS, EOS

CPU = torch.device("cpu")


def beams(
    *limits: int, beam_size: int = 2, n_best: int = 1, alpha: float = 0.0, patience: float = 2.0
) -> Beams:
    settings = SearchSettings(beam_size=beam_size, n_best=n_best, length_penalty=alpha, patience=patience)
    return Beams(limits, settings, CPU)


def step(*sentences: list[tuple[float, int, int]]) -> Candidates:
    """Candidates from (total, parent, id) of each place."""
    totals, parents, ids = (
        torch.tensor([[place[k] for place in places] for places in sentences]) for k in range(3)
    )
    return Candidates(totals, parents, ids)


def test_one_hypothesis_runs_at_first_and_reads_bos() -> None:
    state = beams(5, 5)
    assert state.newest().tolist() == [BOS] * 4
    assert state.totals.tolist() == [[0.0, -math.inf], [0.0, -math.inf]]


def test_ids_follow_their_parents() -> None:
    state = beams(9)
    assert state.advance(step([(-1.0, 0, 4), (-2.0, 0, 5)])).tolist() == [0, 0]
    assert state.advance(step([(-2.5, 1, 6), (-3.0, 0, 7)])).tolist() == [1, 0]
    assert state.ids.tolist() == [[[5, 6], [4, 7]]]
    assert state.newest().tolist() == [6, 7]


def test_what_ends_makes_room_for_the_next_best_that_goes_on() -> None:
    state = beams(9, n_best=2)
    rows = state.advance(step([(-1.0, 0, 4), (-1.5, 0, EOS), (-2.0, 0, 5), (-2.5, 0, 6)]))
    assert rows.tolist() == [0, 0]
    assert state.totals.tolist() == [[-1.0, -2.0]]
    assert state.newest().tolist() == [4, 5]


def test_what_would_end_behind_the_first_of_the_beam_is_dropped() -> None:
    state = beams(9, n_best=2)
    state.advance(step([(-1.0, 0, 4), (-1.5, 0, 5), (-2.0, 0, EOS), (-2.5, 0, 6)]))
    assert state.totals.tolist() == [[-1.0, -1.5]]
    assert state.results() == [[]]


def test_a_sentence_is_done_when_twice_a_beam_have_ended() -> None:
    state = beams(9, n_best=2, alpha=1.0)
    state.advance(step([(-1.0, 0, EOS), (-1.1, 0, 5), (-1.2, 0, 6), (-9.0, 0, 7)]))
    state.advance(step([(-1.3, 1, EOS), (-1.31, 0, 6), (-1.32, 0, 7), (-9.0, 0, 8)]))
    state.advance(step([(-1.4, 1, EOS), (-1.41, 0, 6), (-1.42, 0, 7), (-9.0, 0, 8)]))
    assert state.running == [0]
    rows = state.advance(step([(-1.5, 1, EOS), (-1.51, 0, 6), (-1.52, 0, 7), (-9.0, 0, 8)]))
    assert state.running == []
    assert rows.tolist() == []
    first, second = state.results()[0]
    assert (first.ids, first.log_probability, first.finished) == ((), -1.0, True)
    assert (second.ids, second.log_probability, second.finished) == ((5, 6, 7), -1.5, True)


def test_if_more_than_twice_a_beam_end_the_most_probable_are_kept() -> None:
    state = beams(9, n_best=1, alpha=3.0)
    state.advance(step([(-1.0, 0, EOS), (-1.1, 0, 5), (-1.2, 0, 6), (-9.0, 0, 7)]))
    state.advance(step([(-1.3, 1, EOS), (-1.31, 0, 6), (-1.32, 0, 7), (-9.0, 0, 8)]))
    state.advance(step([(-1.4, 1, EOS), (-1.41, 0, 6), (-1.42, 0, 7), (-9.0, 0, 8)]))
    state.advance(step([(-1.5, 1, EOS), (-1.51, 0, EOS), (-1.52, 0, 7), (-9.0, 0, 8)]))
    assert state.running == []
    assert len(state.ended[0]) == 5
    assert [found.ids for found in most_probable(state.ended[0], 4)] == [(), (6,), (5, 7), (5, 6, 7)]


def test_with_less_patience_a_sentence_is_done_when_one_beam_has_ended() -> None:
    state = beams(9, n_best=1, alpha=3.0, patience=1.0)
    state.advance(step([(-1.0, 0, EOS), (-1.1, 0, 5), (-1.2, 0, 6), (-9.0, 0, 7)]))
    assert state.running == [0]
    state.advance(step([(-1.3, 1, EOS), (-1.31, 0, 6), (-1.32, 0, 7), (-9.0, 0, 8)]))
    assert state.running == []


def test_search_stops_once_nothing_that_runs_can_win() -> None:
    state = beams(9)
    state.advance(step([(-1.0, 0, EOS), (-1.0, 0, 5)]))
    assert state.running == []


def test_search_goes_on_while_the_length_penalty_could_turn_the_order() -> None:
    alpha, limit = 1.0, 7
    bound = (
        1.0 * length_penalty(1, alpha) * length_penalty(limit, alpha)
    )  # what a running total must stay above
    for total, runs in ((-bound * 0.99, True), (-bound * 1.01, False)):
        state = beams(limit, alpha=alpha)
        state.advance(step([(-1.0, 0, EOS), (total, 0, 5)]))
        assert bool(state.running) is runs


def test_all_n_best_must_be_safe_before_search_stops() -> None:
    state = beams(9, beam_size=3, n_best=2)
    state.advance(step([(-1.0, 0, EOS), (-2.0, 0, 5), (-2.1, 0, 6)]))
    assert state.running == [0]
    state.advance(step([(-2.5, 1, EOS), (-2.6, 1, 5), (-9.0, 2, 6)]))
    assert state.running == []


def test_at_the_limit_what_runs_is_returned_unfinished() -> None:
    state = beams(2, n_best=2)
    state.advance(step([(-1.0, 0, 4), (-2.0, 0, 5), (-3.0, 0, 6), (-4.0, 0, 7)]))
    state.advance(step([(-2.0, 0, 6), (-3.0, 1, EOS), (-3.5, 0, 7), (-4.0, 1, EOS)]))
    assert state.running == []
    ended, cut = state.results()[0]
    assert (ended.ids, ended.finished) == ((5,), True)
    assert (cut.ids, cut.finished, cut.log_probability) == ((4, 6), False, -2.0)


def test_sentences_leave_at_their_own_time_and_keep_their_number() -> None:
    state = beams(1, 9, beam_size=1)
    rows = state.advance(step([(-1.0, 0, 4)], [(-1.5, 0, 5)]))
    assert rows.tolist() == [1]
    assert state.running == [1]
    state.advance(step([(-2.0, 0, EOS)]))
    assert [found[0].ids for found in state.results()] == [(4,), (5,)]


def test_places_without_a_candidate_stay_empty() -> None:
    state = beams(9, beam_size=3, n_best=3)
    state.advance(step([(-1.0, 0, 4), (-math.inf, 0, 0), (-math.inf, 0, EOS)]))
    assert state.totals.tolist() == [[-1.0, -math.inf, -math.inf]]
    state.advance(step([(-2.0, 0, EOS), (-math.inf, 1, EOS), (-math.inf, 0, 0)]))
    assert state.running == []
    assert len(state.results()[0]) == 1


def test_scores_are_log_probabilities_over_the_penalty_of_all_tokens() -> None:
    state = beams(9, beam_size=1, alpha=0.6)
    state.advance(step([(-1.0, 0, 4)]))
    state.advance(step([(-3.0, 0, EOS)]))
    found = state.results()[0][0]
    assert found.score == pytest.approx(-3.0 / (7 / 6) ** 0.6)
