import torch

from mtkit.config.search import Sampling, SearchSettings
from mtkit.search.batching import BATCH_TOKENS, most_samples, most_sentences, padded
from mtkit.search.grouping import token_batches


def test_padding_stands_behind_and_the_mask_tells_tokens() -> None:
    ids, is_token = padded([[4, 5, 6], [7], [8, 9]], torch.device("cpu"))
    assert ids.tolist() == [[4, 5, 6], [7, 0, 0], [8, 9, 0]]
    assert is_token.tolist() == [[True, True, True], [True, False, False], [True, True, False]]


def test_batches_keep_the_budget_and_come_longest_first() -> None:
    assert token_batches([3, 9, 2, 4, 3], 9) == [[1], [3, 0], [4, 2]]


def test_a_sentence_over_the_budget_is_alone() -> None:
    assert token_batches([50, 1, 60], 10) == [[2], [0], [1]]


def test_a_batch_has_no_more_sentences_than_it_may() -> None:
    assert token_batches([1, 2, 1, 1, 1], 100, sentences=2) == [[1, 0], [2, 3], [4]]


def test_no_sentences_are_no_batches() -> None:
    assert token_batches([], 10) == []


def test_a_batch_of_the_defaults_is_bounded_by_its_tokens_alone() -> None:
    shortest = 2  # tokens of a line, EOS counted
    assert most_sentences(SearchSettings(), 32_000) >= BATCH_TOKENS // shortest


def test_many_hypotheses_leave_fewer_sentences_at_once_and_always_one() -> None:
    sampling = Sampling()
    assert most_sentences(SearchSettings(beam_size=100), 32_000) == 50
    assert most_sentences(SearchSettings(sampling=sampling, n_best=100), 32_000) == 12
    assert most_sentences(SearchSettings(sampling=sampling, n_best=10_000), 32_000) == 1
    assert most_sentences(SearchSettings(beam_size=100), 10**9) == most_samples(10**9) == 1
